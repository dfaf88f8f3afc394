"""What a population bred by genes is, and what happens to it."""

from flax import struct

from evojax_align._types import Array, Bool, Float, Int, Key, PyTree


@struct.dataclass
class State:
    """All that the next generation needs. Selected by score, members are ordered best first on each island."""

    population: PyTree
    fitness: Float[Array, " n"]
    """Share of the judging samples that a member gets right; NaN if its outputs are not finite."""
    score: Float[Array, " n"]
    """Fitness with the bonus for being different; what parents are chosen by."""
    ancestors: PyTree
    """Like the population: the number of the founder that each weight descends from, -1 for weights of no gene."""
    generation: Int[Array, ""]
    founders: Int[Array, ""]
    """How many there have been: the first generation, then immigrants as they come."""


@struct.dataclass
class Brood:
    """Children before they have learnt anything."""

    population: PyTree
    ancestors: PyTree
    parents: Int[Array, "children 2"]
    """Places of both parents in the population."""
    from_b: Bool[Array, "children genes"]
    """Which genes came from the second."""
    hybrid: Float[Array, " children"]
    """1 less the cosine similarity of both parents, once aligned, over all genes."""


@struct.dataclass
class Candidates:
    """Children and immigrants before their training, island after island, and how the children came about."""

    population: PyTree
    ancestors: PyTree
    hybrid: Float[Array, " candidates"]
    """As in `Brood`; 1 for immigrants."""
    keys: Key[Array, " candidates"]
    """Of their training."""
    parents: Int[Array, "children 2"]
    from_b: Bool[Array, "children genes"]
    mutation: Float[Array, " genes"]
    """Scale of the mutation of each gene."""


@struct.dataclass
class Info:
    """What happened in one generation. Candidates are children, then immigrants, of one island after another."""

    parents: Int[Array, "children 2"]
    from_b: Bool[Array, "children genes"]
    untrained: Float[Array, " children"]
    """Fitness of the children before their training."""
    loss: Float[Array, " candidates"]
    """Mean loss in the last epoch of training."""
    fitness: Float[Array, " candidates"]
    score: Float[Array, " candidates"]
    kept: Int[Array, " n"]
    """Which candidate became each member."""
    mutation: Float[Array, " genes"]
    """Scale of the mutation of each gene."""
