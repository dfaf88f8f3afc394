"""The records of evolutionary synthesis."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, Float, Int, Key, PyTree
from evojax_align.pruning import Synapses, total


@struct.dataclass
class SynthesisState:
    """The state: a population of trained sparse networks.

    Attributes:
        population: the members: networks after training.
        masks: a population like the networks, True for living synapses.
        origin: the initial weights of each lineage, before any training, in the order of its neurons.
        fitness: accuracy of each member on the evaluation samples; NaN if its outputs are not finite.
        generation: number of the generation; 1 for the ancestors, as in the paper.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> population, masks = {"w": jnp.array([[0.5, 0.0]])}, {"w": jnp.array([[True, False]])}
        >>> origin, fitness = {"w": jnp.array([[0.25, 0.75]])}, jnp.array([0.5])
        >>> state = ea.evolution.SynthesisState(population, masks, origin, fitness, generation=jnp.array(2, jnp.int32))
        >>> int(ea.population.take(state.masks, 0)["w"].sum())  # synapses of the first member
        1
    """

    population: PyTree
    masks: PyTree
    origin: PyTree
    fitness: Float[Array, " n"]
    generation: Int[Array, ""]


@struct.dataclass
class SynthesisOffspring:
    """Networks before training, and statistics of their drawing.

    Attributes:
        population: the networks with their initial weights.
        masks: a population like the networks, True for living synapses.
        origin: the initial weights of each lineage (see `SynthesisState`).
        keys: random keys of their training.
        parents: indices in the population; -1 for ancestors.
        before: mean number of synapses of the parents.
        allowed: number of synapses that the parents allow (see `encoding.Conception`).
        expected: sum of the probabilities of the synapses.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> weights, masks = {"w": jnp.array([[0.25, 0.0]])}, {"w": jnp.array([[True, False]])}
        >>> keys, parents = jax.random.split(jax.random.key(0), 1), jnp.array([[0, 1]])
        >>> counts = {"before": jnp.array([2.0]), "allowed": jnp.array([2.0]), "expected": jnp.array([1.4])}
        >>> children = ea.evolution.SynthesisOffspring(weights, masks, weights, keys, parents, **counts)
        >>> (children.allowed / children.before).tolist()  # the fraction of their parents' synapses that they may have
        [1.0]
    """

    population: PyTree
    masks: PyTree
    origin: PyTree
    keys: Key[Array, " n"]
    parents: Int[Array, "n parents"]
    before: Float[Array, " n"]
    allowed: Float[Array, " n"]
    expected: Float[Array, " n"]


@struct.dataclass
class SynthesisInfo:
    """Statistics of one generation.

    Attributes:
        parents: indices in the previous population.
        synapses: number of synapses of each child.
        retained: number of synapses of a child divided by the mean number of its parents.
        allowed: number of synapses that the parents allow, likewise.
        expected: sum of the probabilities of the synapses, likewise.
        loss: mean loss in the last epoch of training.
        fitness: fitness of each child after training; NaN if its outputs are not finite.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> shares = {"retained": jnp.array([0.5]), "allowed": jnp.array([1.0]), "expected": jnp.array([0.5])}
        >>> measured = {"loss": jnp.array([0.25]), "fitness": jnp.array([0.75])}
        >>> info = ea.evolution.SynthesisInfo(jnp.array([[0, 1]]), synapses=jnp.array([30]), **shares, **measured)
        >>> (info.synapses / info.retained).tolist()  # the mean number of the parents
        [60.0]
    """

    parents: Int[Array, "n parents"]
    synapses: Int[Array, " n"]
    retained: Float[Array, " n"]
    allowed: Float[Array, " n"]
    expected: Float[Array, " n"]
    loss: Float[Array, " n"]
    fitness: Float[Array, " n"]


def synthesis_info(
    synapses: Synapses, offspring: SynthesisOffspring, loss: Float[Array, " n"], fitness: Float[Array, " n"]
) -> SynthesisInfo:
    """The statistics of offspring after their training."""
    counts, before = jax.vmap(partial(total, synapses))(offspring.masks), jnp.maximum(offspring.before, 1)
    shares = counts / before, offspring.allowed / before, offspring.expected / before
    return SynthesisInfo(offspring.parents, counts, *shares, loss, fitness)
