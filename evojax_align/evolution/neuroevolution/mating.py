"""Crossover by name, and the choice of parents that are aligned before recombination."""

import dataclasses
import math
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from evojax_align import _checks, crossover
from evojax_align._tree import coins, leaves_by_path, with_leaves
from evojax_align._types import Array, Int, PRNGKey, PyTree
from evojax_align.alignment import Identity, Method
from evojax_align.alignment.methods import bijective
from evojax_align.symmetry import PermutationSpec

Crossover: TypeAlias = Callable[[PRNGKey, PyTree, PyTree], PyTree]
"""`crossover(key, a, b) -> child`, for one pair."""

RANDOM = "random"
"""The control that puts the second parent's neurons into a random order."""

OF = ("pairs", "population", "founders")

BY_ENTRY = ("none", "arithmetic", "uniform", "neurons", "layers", "blocks", "one_point")
"""Crossovers that compute every entry of a child from the same entries of its parents and random numbers."""


def fair(key: PRNGKey, a: PyTree, b: PyTree) -> PyTree:
    """`crossover.uniform` at a rate of one half, from one random bit for each weight."""
    leaves_a, leaves_b = leaves_by_path(a), leaves_by_path(b)
    tossed = coins(key, leaves_a)
    return with_leaves(a, {path: jnp.where(tossed[path], leaves_b[path], leaf) for path, leaf in leaves_a.items()})


def crossovers(spec: PermutationSpec | None) -> dict[str, Crossover]:
    """All crossovers by name, with their default settings."""

    def arithmetic(key: PRNGKey, a: PyTree, b: PyTree) -> PyTree:
        return crossover.arithmetic(a, b, jax.random.uniform(key))

    def neurons(key: PRNGKey, a: PyTree, b: PyTree) -> PyTree:
        assert spec is not None  # required with this crossover
        return crossover.neurons(key, a, b, spec=spec)

    return {
        "none": lambda key, a, b: a,
        "arithmetic": arithmetic,
        "spherical": crossover.spherical_split,
        "uniform": fair,
        "neurons": neurons,
        "layers": crossover.layers,
        "blocks": crossover.blocks,
        "one_point": crossover.one_point,
        "line": crossover.line,
    }


@dataclasses.dataclass(frozen=True)
class Aligned:
    """How and when parents are aligned before recombination.

    Attributes:
        method: a bijective method of `align`, by name or as an instance; or "random", a control that gives the second
            parent's neurons a random order.
        share: fraction of matings with alignment. At 0.1, every tenth second parent is aligned, on average.
        every: interval, in generations, at which parents are aligned.
        of: "pairs", the second parent of a mating with the first; "population", all members with the fittest one,
            before mating; or "founders", the same in the first generation only.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, network = jnp.ones((20, 3)), ea.models.MLP(hidden=(4,), classes=2)
        >>> alignment = ea.evolution.Aligned("mutual", share=0.1)
        >>> ga = ea.evolution.Neuroevolution(network.apply, size=20, crossover="neurons", alignment=alignment, probe=x)
        >>> state = ga.init(jax.random.key(0), lambda key: network.init(key, x))
        >>> for seed in range(2):
        ...     state, info = ga.step(jax.random.key(seed), state, lambda key, params: network.apply(params, x).mean())
        >>> int(info.births.aligned.sum())
        2
    """

    method: str | Method = "correlation"
    share: float = 1.0
    every: int = 1
    of: str = "pairs"

    def __post_init__(self) -> None:
        if self.method != RANDOM:
            object.__setattr__(self, "method", bijective("alignment", self.method))
        if not 0 < self.share <= 1:
            fix = "Pass alignment='none' for no alignment."
            raise _checks.bad("share", self.share, "a fraction above 0, at most 1", fix)
        _checks.positive("every", self.every)
        _checks.one_of("of", self.of, OF)
        if self.share < 1 and self.of != "pairs":
            raise _checks.bad("share", self.share, f"1 with of={self.of!r}", "Leave it out, or align pairs.")

    def __bool__(self) -> bool:
        return not isinstance(self.method, Identity)

    @property
    def compares(self) -> bool:
        """Whether neurons are compared, which needs inputs."""
        return bool(self) and self.method != RANDOM

    def most(self, children: int) -> int:
        """The largest number of matings that are aligned in one generation."""
        return math.ceil(self.share * children - 1e-9) if self and self.of == "pairs" else 0

    def drawn(self, key: PRNGKey, children: int, generation: Int[Array, ""]) -> tuple[Array, Array]:
        """The matings of a generation that are aligned: their indices, and whether each of them is used."""
        most, count = self.most(children), self.share * children
        key_places, key_last = jax.random.split(key)
        places = jnp.arange(children)
        if most < children:
            places = jax.random.choice(key_places, children, (most,), replace=False)
        last = jax.random.bernoulli(key_last, min(1.0, count - (most - 1)))
        counts = jnp.arange(most) < most - 1 + last
        return places, counts & (generation % self.every == 0)


def named(crossing: str | Crossover, spec: PermutationSpec | None) -> Crossover:
    """The crossover with the given name; a function is returned unchanged."""
    known = crossovers(spec)
    if not isinstance(crossing, str):
        if not callable(crossing):
            fix = "Pass a name, or functools.partial(crossover.blocks, block=32)."
            raise _checks.bad("crossover", repr(crossing)[:80], "a name, or crossover(key, a, b)", fix)
        return crossing
    return known[_checks.one_of("crossover", crossing, known)]
