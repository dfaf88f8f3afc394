"""What an architecture search remembers: who lives, who was tried, and who comes next. All of it is on the host."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align._types import Float, Int, PRNGKey, PyTree
from evojax_align.evolution.genome import KINDS, Architecture, Genome
from evojax_align.evolution.selection import failed_last

ORIGINS = (*KINDS, "first", "crossover", "crossover and mutation")
"""How a network came about."""


@struct.dataclass
class Individual:
    """A network that has been trained and judged."""

    genes: Int[np.ndarray, "blocks 4"]
    """Its genome (see `Genome.of`)."""
    variables: PyTree
    fitness: Float[np.ndarray, ""]
    """NaN if its training failed."""
    number: Int[np.ndarray, ""]
    """Its place in the history."""


@struct.dataclass
class History:
    """All networks that were evaluated, in order."""

    genes: Int[np.ndarray, "blocks 4"]
    """Of all networks, one after the other."""
    blocks: Int[np.ndarray, " n"]
    """How many are of each."""
    fitness: Float[np.ndarray, " n"]
    loss: Float[np.ndarray, " n"]
    """Mean over the last epoch of training."""
    parents: Int[np.ndarray, "n 2"]
    """Numbers of networks; -1 where there is none."""
    origin: Int[np.ndarray, " n"]
    """Which of `ORIGINS`."""
    niche: Int[np.ndarray, " n"]
    """1 if it was tried inside a niche."""
    epochs: Int[np.ndarray, " n"]
    """All that were spent, with its own."""
    best: Float[np.ndarray, " n"]
    """The highest fitness so far; NaN while all have failed."""

    @property
    def architectures(self) -> list[Architecture]:
        """Of all networks."""
        parts = np.split(self.genes, np.cumsum(self.blocks)[:-1])
        return [Genome.of(part).architecture for part in parts] if self.blocks.size else []


@struct.dataclass
class Pedigree:
    """The state of a search. Its arrays change their shapes; `Pedigree.of` makes one of what was saved."""

    members: tuple[Individual, ...]
    """Of "niching" the parent, and inside a niche also the niche's; of "ageing" the oldest first."""
    champion: Individual
    """The fittest of all, and the first of equals."""
    history: History
    identities: Int[np.ndarray, ""]
    """How many were given to blocks."""
    niche: Int[np.ndarray, ""]
    """Networks that the niche may still try; 0 outside."""

    @classmethod
    def of(cls, tree: Mapping[str, Any]) -> "Pedigree":
        """From dictionaries of arrays by the names of the fields."""
        members = tuple(Individual(**tree["members"][str(n)]) for n in range(len(tree["members"])))
        rest = {"champion": Individual(**tree["champion"]), "history": History(**tree["history"])}
        return cls(members=members, **rest, identities=tree["identities"], niche=tree["niche"])

    @property
    def epochs(self) -> int:
        """All that were spent."""
        return int(self.history.epochs[-1]) if self.history.epochs.size else 0


@dataclasses.dataclass(frozen=True, eq=False)
class Seedling:
    """A network before its training."""

    genome: Genome
    variables: PyTree
    parents: tuple[int, int]
    """Numbers in the history; -1 for none."""
    origin: str
    key: PRNGKey
    """Of its training."""


def fitter(one: Individual, other: Individual) -> bool:
    """Whether the first is strictly fitter; who failed is less fit than anyone else."""
    ours, theirs = failed_last(jnp.array([float(one.fitness), float(other.fitness)]))
    return bool(ours > theirs)
