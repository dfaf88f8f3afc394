"""The records of an architecture search: its members, its history, and the networks to be trained next; all on the
host."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align._types import Float, Int, PRNGKey, PyTree
from evojax_align.evolution.lamarckian.genome import KINDS, Architecture, Genome
from evojax_align.evolution.selection import failed_last

ORIGINS = (*KINDS, "first", "crossover", "crossover and mutation")
"""The possible origins of a network."""


@struct.dataclass
class Individual:
    """A network that has been trained and evaluated.

    Attributes:
        genes: its genome (see `Genome.of`).
        variables: trained parameters and statistics, on the host.
        fitness: accuracy on the evaluation samples, or minus the mean loss if the search has one; NaN if its training
            failed.
        number: its index in the history.

    Example:
        >>> import numpy as np, evojax_align as ea
        >>> genes = np.array([[0, 16, 3, 1]], np.int32)
        >>> one = ea.evolution.Individual(genes, variables={}, fitness=np.array(0.9), number=np.array(0))
        >>> ea.evolution.Genome.of(one.genes).architecture
        ((16, 3, 1),)
    """

    genes: Int[np.ndarray, "blocks 4"]
    variables: PyTree
    fitness: Float[np.ndarray, ""]
    number: Int[np.ndarray, ""]


@struct.dataclass
class SearchHistory:
    """All networks that were evaluated, in order.

    Attributes:
        genes: the genomes of all networks, concatenated.
        blocks: number of blocks of each network.
        fitness: fitness of each network; NaN if its training failed.
        loss: mean loss over the last epoch of training.
        parents: numbers of both parents; -1 for none.
        origin: index of its origin in `ORIGINS`.
        niche: 1 if it was tried in a niche.
        epochs: epochs spent on all networks up to and including this one.
        best: the highest fitness so far; NaN if all have failed.

    Example:
        >>> import numpy as np, evojax_align as ea
        >>> values = {name: np.array([0.5]) for name in ("fitness", "loss", "best")}
        >>> values |= {name: np.array([0]) for name in ("origin", "niche")}
        >>> values |= {"genes": np.array([[0, 16, 3, 1]], np.int32), "blocks": np.array([1]), "epochs": np.array([4])}
        >>> ea.evolution.SearchHistory(parents=np.array([[-1, -1]]), **values).architectures
        [((16, 3, 1),)]
    """

    genes: Int[np.ndarray, "blocks 4"]
    blocks: Int[np.ndarray, " n"]
    fitness: Float[np.ndarray, " n"]
    loss: Float[np.ndarray, " n"]
    parents: Int[np.ndarray, "n 2"]
    origin: Int[np.ndarray, " n"]
    niche: Int[np.ndarray, " n"]
    epochs: Int[np.ndarray, " n"]
    best: Float[np.ndarray, " n"]

    @property
    def architectures(self) -> list[Architecture]:
        """The architectures of all networks."""
        parts = np.split(self.genes, np.cumsum(self.blocks)[:-1])
        return [Genome.of(part).architecture for part in parts] if self.blocks.size else []


@struct.dataclass
class LamarckianState:
    """The state of a search. The shapes of its arrays vary; `LamarckianState.of` rebuilds it from a saved tree.

    Attributes:
        individuals: the networks that are kept, each once: the members, the champion and the marked champions.
        alive: numbers of the members: for "niching" the parent, and in a niche also that of the niche; for "ageing"
            the oldest first.
        fittest: number of the champion, the first of equals.
        best_at: numbers of the champions at the marks of the search; for marks not yet reached, the present champion.
        history: all networks that were evaluated.
        identities: number of identities that were given to blocks.
        niche: number of networks that the niche may still try; 0 outside a niche.

    Example:
        >>> import optax, evojax_align as ea
        >>> make = lambda blocks: ea.models.BlockCNN(blocks, classes=4)
        >>> state = ea.evolution.Lamarckian(make, ea.evolution.Space(), optax.adam(1e-3)).empty()
        >>> state.epochs, state.members
        (0, ())
    """

    individuals: tuple[Individual, ...]
    alive: Int[np.ndarray, " members"]
    fittest: Int[np.ndarray, ""]
    best_at: Int[np.ndarray, " marks"]
    history: SearchHistory
    identities: Int[np.ndarray, ""]
    niche: Int[np.ndarray, ""]

    @classmethod
    def made(
        cls,
        members: Sequence[Individual],
        champion: Individual,
        marked: Sequence[Individual],
        history: SearchHistory,
        **rest: Any,
    ) -> "LamarckianState":
        """Build a state from the individuals in each role, some of which may be the same."""
        kept = {int(one.number): one for one in (*members, champion, *marked)}
        alive, best_at = (np.array([int(one.number) for one in of], np.int64) for of in (members, marked))
        individuals = tuple(kept[number] for number in sorted(kept))
        return cls(individuals, alive, np.array(int(champion.number)), best_at, history, **rest)

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "LamarckianState":
        """Build a state from nested dictionaries of arrays by field name, as `lab.load(path, build=...)` does."""
        individuals = tree["individuals"]
        known = tuple(Individual(**individuals[str(n)]) for n in range(len(individuals)))
        return cls(**{**tree, "individuals": known, "history": SearchHistory(**tree["history"])})

    @property
    def members(self) -> tuple[Individual, ...]:
        """The individuals that may be parents."""
        return tuple(map(self._numbered, self.alive))

    @property
    def champion(self) -> Individual:
        """The fittest of all individuals, the first of equals."""
        return self._numbered(self.fittest)

    @property
    def marked(self) -> tuple[Individual, ...]:
        """The champions at the marks."""
        return tuple(map(self._numbered, self.best_at))

    def _numbered(self, number: Any) -> Individual:
        return next(one for one in self.individuals if int(one.number) == int(number))

    @property
    def epochs(self) -> int:
        """The number of epochs spent so far."""
        return int(self.history.epochs[-1]) if self.history.epochs.size else 0


@dataclasses.dataclass(frozen=True, eq=False)
class LamarckianOffspring:
    """A network before its training.

    Attributes:
        genome: its architecture, and the identities of its blocks.
        variables: initial variables of its training.
        parents: numbers in the history; -1 for none.
        origin: its origin, one of `ORIGINS`.
        key: the random key of its training.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> make = lambda blocks: ea.models.BlockCNN(blocks, classes=2)
        >>> search = ea.evolution.Lamarckian(make, ea.evolution.Space(filters=(4,), windows=(3,)), optax.adam(1e-3))
        >>> (child,) = search.first(jax.random.key(0), (jnp.ones((4, 6, 6)), jnp.arange(4) % 2))
        >>> child.origin, child.parents, child.genome.architecture
        ('first', (-1, -1), ((4, 3, 1),))
    """

    genome: Genome
    variables: PyTree
    parents: tuple[int, int]
    origin: str
    key: PRNGKey


def fitter(one: Individual, other: Individual) -> bool:
    """Whether the first is strictly fitter; a failed individual is less fit than all others."""
    ours, theirs = failed_last(jnp.array([float(one.fitness), float(other.fitness)]))
    return bool(ours > theirs)
