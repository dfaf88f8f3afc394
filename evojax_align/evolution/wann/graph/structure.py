"""Graphs of fixed capacity: the record, and functions that draw, enlarge and layer one."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Int, PRNGKey


@struct.dataclass
class Graph:
    """One network; with a leading axis on every leaf, many.

    Genes are connections, in the order in which they came to be; one that is not enabled carries nothing, yet counts
    where a cycle is to be avoided, since it may be enabled again.

    Attributes:
        source: of each gene, the node that it comes from.
        target: of each gene, the node that it leads to.
        enabled: whether a gene carries anything.
        innovation: which event brought a gene forth; the same number in two graphs is the same gene. -1 in free places.
        activation: of outputs and hidden nodes, as a place in the list of activations.
        event: which event brought a hidden node forth; -1 in free places.
        layer: of each node, the longest way from an input; outputs are beyond all hidden nodes. -1 in free places.

    Example:
        >>> import jax, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph.source.tolist(), graph.target.tolist()  # two inputs and the bias lead to node 3; two places are free
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
        """Genes that carry something."""
        return jnp.sum(self.enabled, axis=-1, dtype=jnp.int32)

    @property
    def genes(self) -> Int[Array, "..."]:
        """Places that are taken, enabled or not."""
        return jnp.sum(self.innovation >= 0, axis=-1, dtype=jnp.int32)

    @property
    def hidden(self) -> Int[Array, "..."]:
        """Hidden nodes."""
        return jnp.sum(self.event >= 0, axis=-1, dtype=jnp.int32)

    @property
    def outputs(self) -> int:
        """How many outputs it has."""
        return self.activation.shape[-1] - self.event.shape[-1]

    @property
    def inputs(self) -> int:
        """How many numbers it takes, without the bias."""
        return self.layer.shape[-1] - self.activation.shape[-1] - 1


def minimal(key: PRNGKey, inputs: int, outputs: int, *, hidden: int, genes: int, enabled: float) -> Graph:
    """No hidden node; each input, and the bias, has a gene to each output, which is enabled by chance.

    Args:
        key: a random key.
        inputs: numbers that come in.
        outputs: numbers that go out.
        hidden: capacity for hidden nodes.
        genes: capacity for connections, enabled or not.
        enabled: the chance of each.

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
        raise _checks.bad("genes", came, f"at least {born}", "Give it a larger capacity.")
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
    """The same graph, or population, with the capacity for so many hidden nodes and genes.

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
        raise _checks.bad("hidden, genes", came, f"at least {had}, what it has", "A capacity never becomes smaller.")

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
    """The graph with its layers recomputed after a change: found from those it has, until none changes.

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

    # begun after one step: in a shard_map, what is carried varies over devices from the start, as the genes may
    start = further(graph.layer)
    _, layer = jax.lax.while_loop(grows, lambda state: (state[1], further(state[1])), (start, further(start)))
    last = jnp.max(layer[first + graph.outputs :], initial=0) + 1
    return dataclasses.replace(graph, layer=layer.at[first : first + graph.outputs].set(last))
