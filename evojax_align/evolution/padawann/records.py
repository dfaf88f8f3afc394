"""The records of evolution of topologies."""

from flax import struct

from evojax_align._types import Array, Bool, Float, Int, PyTree
from evojax_align.pruning import Rollouts


@struct.dataclass
class Topology:
    """Networks with reduced weights, masks of living synapses, and their evaluation.

    Attributes:
        kept: what `pruning.basis` kept.
        masks: a tree like the parameters, True for living synapses.
        rollouts: results on every task at every value: [..., tasks, values].
        fitness: NaN if a task failed at every value, or, if the values are combined, at one of them.
        synapses: number of living synapses.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> accuracy, loss = jnp.array([[0.5, 0.75]]), jnp.array([[0.7, 0.6]])  # on one task at two shared weights
        >>> rollouts = ea.pruning.Rollouts(accuracy=accuracy, loss=loss, ensemble=jnp.array([0.75]))
        >>> kept, masks = {"w": jnp.array([1.0, -1.0, 1.0])}, {"w": jnp.array([True, True, False])}
        >>> one = ea.evolution.Topology(kept, masks, rollouts, fitness=jnp.array(0.75), synapses=jnp.array(2))
        >>> ea.pruning.masked(one.masks, one.kept)["w"].tolist()
        [1.0, -1.0, 0.0]
    """

    kept: PyTree
    masks: PyTree
    rollouts: Rollouts
    fitness: Float[Array, "..."]
    synapses: Int[Array, "..."]


@struct.dataclass
class PadawannState:
    """The state: a population, best first, and the best topology so far.

    Attributes:
        members: the population, the fittest first.
        champion: the best topology so far, a single one; only a strictly fitter one replaces it.
        found: the generation of the champion.
        generation: number of generations so far; 0 for the first.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> ancestors = {"w": jnp.array([[[1.0, -1.0], [1.0, 1.0]]])}
        >>> synapses = ea.pruning.find(ea.population.take(ancestors, 0))
        >>> padawann = ea.evolution.Padawann(lambda p, x: x @ p["w"], synapses, size=3, share=0.25, tournament=2)
        >>> state = padawann.init(jax.random.key(0), ancestors, [ea.pruning.Task(jnp.eye(2), jnp.array([0, 1]))])
        >>> state.members.synapses.tolist(), int(state.champion.synapses), int(state.generation)
        ([3, 3, 3], 3, 0)
    """

    members: Topology
    champion: Topology
    found: Int[Array, ""]
    generation: Int[Array, ""]


@struct.dataclass
class PadawannOffspring:
    """Children before their evaluation, and their parents.

    Attributes:
        kept: what `pruning.basis` kept, for each child.
        masks: masks of each child, True for living synapses.
        parents: indices of both parents in the population; the same twice without crossover.
        crossed: whether a child has two parents.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> kept, masks = {"w": jnp.ones((2, 3))}, {"w": jnp.array([[True, True, False], [True, False, True]])}
        >>> parents = jnp.array([[0, 2], [1, 1]])
        >>> children = ea.evolution.PadawannOffspring(kept, masks, parents, crossed=jnp.array([True, False]))
        >>> (children.parents[:, 0] != children.parents[:, 1]).tolist()
        [True, False]
    """

    kept: PyTree
    masks: PyTree
    parents: Int[Array, "children 2"]
    crossed: Bool[Array, " children"]


@struct.dataclass
class PadawannInfo:
    """Statistics of one generation.

    Attributes:
        parents: indices of both parents in the previous population; the same twice without crossover.
        crossed: whether a child has two parents.
        fitness: fitness of each child; NaN if it failed.
        synapses: number of living synapses of each child.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> parents, crossed, fitness = jnp.array([[0, 2], [1, 1]]), jnp.array([True, False]), jnp.array([0.5, 0.75])
        >>> info = ea.evolution.PadawannInfo(parents, crossed, fitness, synapses=jnp.array([20, 19]))
        >>> info.parents[jnp.argmax(info.fitness)].tolist()  # of the best child
        [1, 1]
    """

    parents: Int[Array, "children 2"]
    crossed: Bool[Array, " children"]
    fitness: Float[Array, " children"]
    synapses: Int[Array, " children"]
