"""The settings of the algorithm, checked and normalised; its programs are compiled for them."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from jax.sharding import Mesh

from evojax_align import _checks
from evojax_align._types import Apply, PyTree
from evojax_align.evolution.neuroevolution.choosing import Selection
from evojax_align.evolution.neuroevolution.islands import Islands
from evojax_align.evolution.neuroevolution.mating import BY_ENTRY, Aligned, named
from evojax_align.evolution.neuroevolution.mutating import Function, Gaussian, Mutation
from evojax_align.symmetry import PermutationSpec

VISITED, DATA, INPUTS = "visited", "data", "inputs"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of `Neuroevolution` in normalised form, without arrays, so that they can be compared and hashed.

    Attributes:
        apply: the network, if any operator needs it.
        size: number of members.
        children: number of children in a generation.
        elites: number of members that compete with the children.
        reevaluate: whether elites are evaluated again.
        selection: the selection of survivors and parents.
        crossover: a name, or a function of one pair.
        crossover_rate: the probability of two parents.
        alignment: how and when second parents are aligned.
        mutation: the mutation of every child.
        probe: "visited", "data", "inputs" for an array that is passed at each call, or "" for none.
        probe_size: number of samples of data on which neurons are compared.
        samples: number of evaluations of each network.
        spec: the symmetry, if given.
        islands: subpopulations that breed separately.
        lineages: whether common ancestors are recorded.
        chunk: networks at once.
        mesh: devices.
    """

    apply: Apply | None
    size: int
    children: int
    elites: int
    reevaluate: bool
    selection: Selection
    crossover: str | Callable
    crossover_rate: float
    alignment: Aligned
    mutation: Mutation
    probe: str
    probe_size: int
    samples: int
    spec: PermutationSpec | None
    islands: Islands
    lineages: bool
    chunk: int | Literal["auto"] | None
    mesh: Mesh | None

    @property
    def asked(self) -> int:
        """Number of networks that are evaluated in a generation after the first."""
        return self.children + (self.elites if self.reevaluate else 0)

    @property
    def aligned(self) -> int:
        """The largest number of matings that are aligned in one generation."""
        return self.alignment.most(self.children)

    @property
    def aligns_migrants(self) -> bool:
        """Whether migrants are aligned with members of their new island."""
        return self.islands.exchange and self.islands.align

    @property
    def compares(self) -> bool:
        """Whether networks are run on the probe."""
        return self.alignment.compares or self.mutation.compares or self.aligns_migrants

    @property
    def permutes(self) -> bool:
        """Whether the symmetry of the network is used."""
        return bool(self.alignment) or self.crossover == "neurons" or self.aligns_migrants

    @property
    def breeding(self) -> str:
        """The strategy of breeding (see `population.map`): vectorised if it has no sums over weights."""
        by_entry = self.crossover in BY_ENTRY and isinstance(self.mutation, Gaussian) and not self.mutation.relative
        return "vmap" if by_entry and self.chunk is None else "auto"

    @property
    def uses_states(self) -> bool:
        """Whether fitness functions must return `Evaluation.states`."""
        return self.probe == VISITED and (self.compares or self.permutes)


def settings(given: Any) -> Settings:
    """The settings of a `Neuroevolution`.

    Raises:
        ValueError: for invalid settings; the error names the argument.
    """
    for name in ("size", "samples", "probe_size"):
        _checks.positive(name, getattr(given, name))
    if given.size < 2:
        raise _checks.bad("size", given.size, "at least 2 members", "Selection needs at least two.")
    elites = given.elites
    if isinstance(elites, bool) or not isinstance(elites, int) or not 0 <= elites <= given.size:
        raise _checks.bad("elites", elites, f"0 to {given.size}, the size", "Pass elites=1.")
    children = given.children
    if children is None:
        children = given.size - elites if given.reevaluate else given.size
        if not children:
            raise _checks.bad("elites", elites, f"fewer than the {given.size} members", "Or pass children.")
    _checks.positive("children", children)
    if elites + children < given.size:
        came = f"{elites} and {children} for {given.size} members"
        raise _checks.bad("elites, children", came, "enough for all members", f"Pass children={given.size}.")
    if not 0 <= given.crossover_rate <= 1:
        raise _checks.bad("crossover_rate", given.crossover_rate, "a number from 0 to 1", "Pass 1 for all children.")
    if not isinstance(given.selection, Selection):
        fix = "Pass, for example, Truncation(0.5); your own selection inherits from evolution.Selection."
        raise _checks.bad("selection", repr(given.selection)[:80], "a Selection", fix)
    named(given.crossover, None)
    if given.reevaluate and not elites:
        raise _checks.bad("reevaluate", True, "elites that can be evaluated again", "Pass elites=1, or leave it out.")
    found = Settings(
        **{
            name: getattr(given, name)
            for name in (
                *("apply", "size", "elites", "reevaluate", "selection", "crossover", "crossover_rate"),
                *("probe_size", "samples", "spec", "lineages", "chunk", "mesh"),
            )
        },
        children=children,
        alignment=given.alignment if isinstance(given.alignment, Aligned) else Aligned(given.alignment),
        mutation=_mutation(given.mutation),
        islands=given.islands if isinstance(given.islands, Islands) else Islands(given.islands),
        probe=_probe(given.probe),
    )
    if found.alignment and found.crossover == "none":
        fix = "Pass crossover='spherical' or another, or leave the alignment out."
        raise _checks.bad("alignment", repr(given.alignment)[:80], "'none' with crossover='none'", fix)
    _check_islands(found)
    _check_network(found)
    return found


def _mutation(given: Any) -> Mutation:
    if isinstance(given, Mutation):
        return given
    if callable(given) and not isinstance(given, type):
        return Function(given)
    if isinstance(given, bool) or not isinstance(given, int | float):
        came = f"the class {given.__name__}" if isinstance(given, type) else repr(given)[:80]
        expected = "a number, a function mutation(key, params), or a Mutation"
        raise _checks.bad("mutation", came, expected, "Pass, for example, mutation=0.05.")
    if not given >= 0:
        raise _checks.bad("mutation", given, "a standard deviation of at least 0", "Pass 0 to change nothing.")
    return Gaussian(float(given))


def _probe(given: PyTree) -> str:
    """The kind of probe."""
    if given is None:
        return ""
    if isinstance(given, str):
        return _checks.one_of("probe", given, (VISITED, DATA))
    _checks.inputs("probe", given)
    return INPUTS


def _check_islands(found: Settings) -> None:
    count = found.islands.count
    for name in ("size", "elites", "children"):
        if getattr(found, name) % count:
            came = f"{count} for {name}={getattr(found, name)}"
            raise _checks.bad("islands", came, f"a number that divides {name}", f"Change {name}, or the islands.")
    if found.islands.exchange and found.islands.migrants >= found.size // count:
        came = f"{found.islands.migrants} of {found.size // count} members of an island"
        raise _checks.bad("migrants", came, "fewer than the members of an island", "Pass migrants=1.")


def _check_network(found: Settings) -> None:
    if not found.compares and not found.permutes:
        return
    if found.apply is None:
        fix = "Alignment, safe mutation and crossover of neurons need it."
        raise _checks.bad("apply", None, "the network", fix)
    _checks.network(found.apply)
    if not found.probe and (found.compares or found.spec is None):
        fix = "Pass inputs of the network, or 'visited' for the states that parents visited."
        use = "on which neurons are compared" if found.compares else "from which the groups of neurons are inferred"
        raise _checks.bad("probe", None, f"inputs {use}", fix)
