"""Graphs of fixed capacity: the record, and functions that draw, enlarge and layer one."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Int, PRNGKey


@struct.dataclass
class Graph:
    """One network as a graph; with a leading axis on every leaf, a population.

    Genes are connections, in the order of their creation. A disabled gene has no effect on the outputs, but is
    considered when cycles are avoided, since it may be enabled again.

    Attributes:
        source: for each gene, the node that it comes from.
        target: for each gene, the node that it leads to.
        enabled: whether a gene is enabled.
        innovation: number of the event that created a gene; equal numbers in two graphs are the same gene. -1 if free.
        activation: activations of outputs and hidden nodes, as indices in the list of activations.
        event: number of the event that created a hidden node; -1 if free.
        layer: for each node, the longest path from an input; outputs are beyond all hidden nodes. -1 if free.

    Example:
        >>> import jax, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph.source.tolist(), graph.target.tolist()  # two inputs and the bias lead to node 3; two genes are free
        ([0, 1, 2, 0, 0], [3, 3, 3, 0, 0])
    """

    source: Int[Array, "... genes"]
    target: Int[Array, "... genes"]
    enabled: Bool[Array, "... genes"]
    innovation: Int[Array, "... genes"]
    activation: Int[Array, "... computing"]
    event: Int[Array, "... hidden"]
    layer: Int[Array, "... nodes"]

    @property
    def connections(self) -> Int[Array, "..."]:
        """Number of enabled genes."""
        return jnp.sum(self.enabled, axis=-1, dtype=jnp.int32)

    @property
    def genes(self) -> Int[Array, "..."]:
        """Number of genes, enabled or not."""
        return jnp.sum(self.innovation >= 0, axis=-1, dtype=jnp.int32)

    @property
    def hidden(self) -> Int[Array, "..."]:
        """Number of hidden nodes."""
        return jnp.sum(self.event >= 0, axis=-1, dtype=jnp.int32)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.activation.shape[-1] - self.event.shape[-1]

    @property
    def inputs(self) -> int:
        """Number of inputs, without the bias."""
        return self.layer.shape[-1] - self.activation.shape[-1] - 1


def minimal(key: PRNGKey, inputs: int, outputs: int, *, hidden: int, genes: int, enabled: float) -> Graph:
    """A graph without hidden nodes; each input and the bias has a gene to each output, randomly enabled.

    Args:
        key: a random key.
        inputs: number of inputs.
        outputs: number of outputs.
        hidden: capacity for hidden nodes.
        genes: capacity for connections, enabled or not.
        enabled: the probability that a gene is enabled.

    Example:
        >>> import jax, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> int(graph.connections), int(graph.hidden)
        (3, 0)
    """
    key = _checks.key("key", key)
    for name, value in (("inputs", inputs), ("outputs", outputs), ("hidden", hidden), ("genes", genes)):
        _checks.positive(name, value)
    born, free = (inputs + 1) * outputs, genes - (inputs + 1) * outputs
    if free < 0:
        came = f"{genes} for {inputs} inputs, a bias and {outputs} outputs"
        raise _checks.bad("genes", came, f"at least {born}", "Pass a larger capacity.")
    number = jnp.arange(born, dtype=jnp.int32)
    on = jax.random.bernoulli(key, enabled, (born,))
    layer = [0] * (inputs + 1) + [1] * outputs + [-1] * hidden
    return Graph(
        source=jnp.pad(number % (inputs + 1), (0, free)),
        target=jnp.pad(inputs + 1 + number // (inputs + 1), (0, free)),
        enabled=jnp.pad(on, (0, free)),
        innovation=jnp.pad(number, (0, free), constant_values=-1),
        activation=jnp.zeros(outputs + hidden, jnp.int32),
        event=jnp.full(hidden, -1, jnp.int32),
        layer=jnp.array(layer, jnp.int32),
    )


def enlarge(graph: Graph, *, hidden: int, genes: int) -> Graph:
    """The same graph, or population, with a larger capacity for hidden nodes and genes.

    Example:
        >>> import jax, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> larger = ea.evolution.graph.enlarge(graph, hidden=4, genes=9)
        >>> larger.source.shape, int(larger.connections)
        ((9,), 3)
    """
    more_hidden, more_genes = hidden - graph.event.shape[-1], genes - graph.source.shape[-1]
    if more_hidden < 0 or more_genes < 0:
        came, had = f"{hidden} and {genes}", f"{graph.event.shape[-1]} and {graph.source.shape[-1]}"
        raise _checks.bad("hidden, genes", came, f"at least {had}, what it has", "A capacity cannot be reduced.")

    def padded(leaf: Array, more: int, value: int | bool) -> Array:
        return jnp.pad(leaf, [(0, 0)] * (leaf.ndim - 1) + [(0, more)], constant_values=value)

    return Graph(
        source=padded(graph.source, more_genes, 0),
        target=padded(graph.target, more_genes, 0),
        enabled=padded(graph.enabled, more_genes, False),
        innovation=padded(graph.innovation, more_genes, -1),
        activation=padded(graph.activation, more_hidden, 0),
        event=padded(graph.event, more_hidden, -1),
        layer=padded(graph.layer, more_hidden, -1),
    )


def layered(graph: Graph) -> Graph:
    """Recompute the layers of a graph after a change, by iteration from the old layers until none changes.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> ea.evolution.graph.layered(graph).layer.tolist()  # inputs and bias, the output, the new node
        [0, 0, 0, 2, 1]
    """
    first = graph.inputs + 1
    born = graph.innovation >= 0

    def further(layer: Array) -> Array:
        return layer.at[graph.target].max(jnp.where(born, layer[graph.source] + 1, -1))

    def grows(state: tuple[Array, Array]) -> Array:
        return jnp.any(state[0] != state[1])

    # started after one step: inside shard_map, the carry must vary over devices from the start, like the genes
    start = further(graph.layer)
    _, layer = jax.lax.while_loop(grows, lambda state: (state[1], further(state[1])), (start, further(start)))
    last = jnp.max(layer[first + graph.outputs :], initial=0) + 1
    return dataclasses.replace(graph, layer=layer.at[first : first + graph.outputs].set(last))
