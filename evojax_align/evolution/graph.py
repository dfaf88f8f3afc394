"""Networks whose topology is free: any nodes, any connections between them without a cycle, all of one weight.

Everything has a fixed capacity, so that a population of graphs is one pytree and one program serves them all. Nodes are
numbered: the inputs, the bias, the outputs, then hidden nodes as they come.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float, Int, PRNGKey

__all__ = [
    "Graph",
    "apply",
    "change",
    "connect",
    "cross",
    "enable",
    "enlarge",
    "forward",
    "layered",
    "minimal",
    "split",
]

Forward: TypeAlias = Callable[[Float[Array, "one_or_values batch inputs"]], Float[Array, "values batch outputs"]]
"""The outputs of a graph at each of several shared weights; inputs are the same at all of them, or differ."""


def _sine(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of pi times x, to 2e-7; the general one takes six times as long on a CPU, longer where x is large."""
    turn = x - 2 * jnp.round(x / 2)
    folded = jnp.where(jnp.abs(turn) > 0.5, jnp.sign(turn) - turn, turn)
    total = jnp.full_like(x, SINE[0])
    for factor in SINE[1:]:
        total = total * folded**2 + factor
    return folded * total


SINE = (-0.0073704309, 0.0821458866, -0.5992645293, 2.5501640399, -5.16771278, 3.1415926536)
"""Of the odd powers of x from the 11th to the first: Taylor's series of the sine of pi times x."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "sine": _sine,
    "gaussian": lambda x: jnp.exp(-(x**2) / 2),
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "inverse": lambda x: -x,
    "absolute": jnp.abs,
    "relu": jax.nn.relu,
    "cosine": lambda x: _sine(x + 0.5),
    "step": lambda x: (x > 0).astype(x.dtype),
}
"""What a node does with the sum of what comes in. Outputs are linear. The last is not used for classification."""


@struct.dataclass
class Graph:
    """One network; with a leading axis on every leaf, many.

    Genes are connections, in the order in which they came to be; one that is not enabled carries nothing, yet counts
    where a cycle is to be avoided, since it may be enabled again.

    Attributes:
        innovation: which event brought a gene forth; the same number in two graphs is the same gene. -1 in free places.
        activation: of outputs and hidden nodes, as a place in the list of activations.
        event: which event brought a hidden node forth; -1 in free places.
        layer: the longest way from an input; outputs are beyond all hidden nodes. -1 in free places.
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
        return jnp.sum(self.enabled, axis=-1)

    @property
    def genes(self) -> Int[Array, "..."]:
        """Places that are taken, enabled or not."""
        return jnp.sum(self.innovation >= 0, axis=-1)

    @property
    def hidden(self) -> Int[Array, "..."]:
        """Hidden nodes."""
        return jnp.sum(self.event >= 0, axis=-1)

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
        raise _checks.bad("genes", came, f"at least {born}", "Give it more room.")
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
    """The same graph, or population, with room for so many hidden nodes and genes."""
    more_hidden, more_genes = hidden - graph.event.shape[-1], genes - graph.source.shape[-1]
    if more_hidden < 0 or more_genes < 0:
        came, had = f"{hidden} and {genes}", f"{graph.event.shape[-1]} and {graph.source.shape[-1]}"
        raise _checks.bad("hidden, genes", came, f"at least {had}, what it has", "Room is never taken away.")

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
    """The graph with its layers, which have grown since: found from those it has, until none changes."""
    first = graph.inputs + 1
    born = graph.innovation >= 0

    def further(layer: Array) -> Array:
        return layer.at[graph.target].max(jnp.where(born, layer[graph.source] + 1, -1))

    def grows(state: tuple[Array, Array]) -> Array:
        return jnp.any(state[0] != state[1])

    _, layer = jax.lax.while_loop(
        grows, lambda state: (state[1], further(state[1])), (graph.layer, further(graph.layer))
    )
    last = jnp.max(layer[first + graph.outputs :], initial=0) + 1
    return dataclasses.replace(graph, layer=layer.at[first : first + graph.outputs].set(last))


def forward(
    graph: Graph, values: Float[Array, " values"], activations: tuple[str, ...], steps: Int[Array, ""] | None = None
) -> Forward:
    """The network of a graph, for inputs [1 or values, batch, inputs].

    Connections are taken one after the other, by the layers of where they lead, each for all samples and all values at
    once: as much work as there are connections, on however wide a network.

    Args:
        graph: a single one.
        values: what all weights are, one value after the other.
        activations: what a node's activation is a place in.
        steps: how many connections to go through, at least as many as are enabled; for many graphs mapped side by side
            the same number, lest they wait for each other.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> run = ea.evolution.graph.forward(graph, jnp.array([1.0, -2.0]), ("linear",))
        >>> run(jnp.array([[[2.0, 3.0]]]))[:, 0, 0].tolist()  # 2 + 3 + the bias, times each value
        [6.0, -12.0]
    """
    first, nodes = graph.inputs + 1, graph.layer.shape[0]
    functions = [ACTIVATIONS[name] for name in activations]
    target = jnp.where(graph.enabled, graph.target, nodes)  # those that carry nothing lead nowhere, and come last
    place = jnp.where(graph.enabled, graph.layer[graph.target] * nodes + graph.target, jnp.iinfo(jnp.int32).max)
    order = jnp.argsort(place)
    source, target = graph.source[order], target[order]
    last = jnp.append(target[1:] != target[:-1], True)
    kind = jnp.append(graph.activation, 0)[target - first]
    kind = jnp.where(last & (target < nodes), kind + 1, 0)
    silent = jnp.stack([function(jnp.zeros(())) for function in functions])[jnp.append(graph.activation, 0)]
    heard = jnp.zeros(nodes - first + 1, bool).at[target - first].set(True)
    start = jnp.where(heard, 0.0, silent)  # what a node says that nothing comes in to

    def run(x: Float[Array, "one_or_values batch inputs"]) -> Float[Array, "values batch outputs"]:
        given = jnp.moveaxis(jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1), -1, 0)
        weights = values.astype(x.dtype)[:, None]
        branches = [lambda total: total, *[lambda total, f=f: f(total * weights) for f in functions]]

        def body(step: Array, own: Array) -> Array:
            from_input = jax.lax.dynamic_index_in_dim(given, jnp.minimum(source[step], first - 1), keepdims=False)
            from_node = jax.lax.dynamic_index_in_dim(own, jnp.maximum(source[step] - first, 0), keepdims=False)
            total = jax.lax.dynamic_index_in_dim(own, target[step] - first, keepdims=False)
            total = total + jnp.where(source[step] < first, from_input, from_node)
            said = jax.lax.switch(kind[step], branches, total)
            return jax.lax.dynamic_update_index_in_dim(own, said, target[step] - first, 0)

        shape = (nodes - first + 1, values.shape[0], x.shape[1])
        own = jnp.broadcast_to(start.astype(x.dtype)[:, None, None], shape)
        own = jax.lax.fori_loop(0, graph.connections if steps is None else steps, body, own)
        return jnp.moveaxis(own[: graph.outputs], 0, -1)

    return run


def apply(
    graph: Graph,
    weights: Float[Array, " genes"],
    x: Float[Array, "batch inputs"],
    activations: tuple[str, ...],
    layers: int,
) -> Float[Array, "batch outputs"]:
    """The outputs with a weight for each gene, differentiable, and one program for all graphs of a capacity: all nodes
    are computed together, as many times as there are layers, after which each has heard what it should.

    Args:
        graph: a single one.
        weights: of its genes; those of genes that are not enabled do not count.
        x: the inputs.
        activations: what a node's activation is a place in.
        layers: at least as many as the graph has, `max(graph.layer)`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> weights, x = jnp.array([1.0, 10.0, 100.0, 0.0, 0.0]), jnp.array([[2.0, 3.0]])
        >>> ea.evolution.graph.apply(graph, weights, x, ("linear",), 1).tolist()
        [[132.0]]
    """
    first, nodes = graph.inputs + 1, graph.layer.shape[0]
    used = jnp.where(graph.enabled, weights, 0.0)
    matrix = jnp.zeros((nodes, nodes - first)).at[graph.source, graph.target - first].add(used, mode="drop")
    given = jnp.concatenate([x, jnp.ones((x.shape[0], 1), x.dtype)], axis=1)
    from_inputs = given @ matrix[:first]
    own = [graph.activation == number for number in range(len(activations))]

    def further(said: Array, _: None) -> tuple[Array, None]:
        total, new = from_inputs + said @ matrix[first:], jnp.zeros_like(said)
        for name, ours in zip(activations, own, strict=True):
            new = jnp.where(ours[None], ACTIVATIONS[name](total), new)
        return new, None

    said, _ = jax.lax.scan(further, jnp.zeros_like(from_inputs), length=layers)
    return said[:, : graph.outputs]


def split(key: PRNGKey, graph: Graph, activations: int, event: Int[Array, ""]) -> Graph:
    """A new node in the middle of a connection, which is disabled; it has any activation.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> int(graph.hidden), int(graph.genes), int(graph.connections)
        (1, 5, 4)
    """
    key = _checks.key("key", key)
    key_gene, key_kind = jax.random.split(key)
    gene, any_enabled = _drawn(key_gene, graph.enabled)
    node, place = graph.hidden, graph.genes
    room = (node < graph.event.shape[0]) & (place + 2 <= graph.source.shape[0])
    number = graph.inputs + 1 + graph.outputs + node
    both = place + jnp.arange(2)
    kind = jax.random.randint(key_kind, (), 0, activations)
    new = dataclasses.replace(
        graph,
        source=graph.source.at[both].set(jnp.stack([graph.source[gene], number]), mode="drop"),
        target=graph.target.at[both].set(jnp.stack([number, graph.target[gene]]), mode="drop"),
        enabled=graph.enabled.at[both].set(True, mode="drop").at[gene].set(False),
        innovation=graph.innovation.at[both].set(event + jnp.arange(2), mode="drop"),
        activation=graph.activation.at[graph.outputs + node].set(kind, mode="drop"),
        event=graph.event.at[node].set(event, mode="drop"),
        layer=graph.layer.at[number].set(graph.layer[graph.source[gene]] + 1, mode="drop"),
    )
    return layered(_either(room & any_enabled, new, graph))  # what has no room may be a cycle


def connect(key: PRNGKey, graph: Graph, event: Int[Array, ""]) -> Graph:
    """A new connection from any node that can have one to any node of a later layer that it does not lead to yet.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=6, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> int(ea.evolution.graph.connect(jax.random.key(2), graph, jnp.array(5)).connections - graph.connections)
        1
    """
    key = _checks.key("key", key)
    key_source, key_target = jax.random.split(key)
    born, nodes = graph.innovation >= 0, graph.layer.shape[0]
    beyond = nodes - jnp.searchsorted(jnp.sort(graph.layer), graph.layer, side="right")
    led = jnp.zeros(nodes, jnp.int32).at[graph.source].add(born)
    source, any_source = _drawn(key_source, (graph.layer >= 0) & (beyond > led))
    known = jnp.zeros(nodes, bool).at[graph.target].max(born & (graph.source == source))
    target, _ = _drawn(key_target, (graph.layer > graph.layer[source]) & ~known)
    place = graph.genes
    room = place < graph.source.shape[0]
    new = dataclasses.replace(
        graph,
        source=graph.source.at[place].set(source, mode="drop"),
        target=graph.target.at[place].set(target, mode="drop"),
        enabled=graph.enabled.at[place].set(True, mode="drop"),
        innovation=graph.innovation.at[place].set(event, mode="drop"),
    )
    return layered(_either(room & any_source, new, graph))


def enable(key: PRNGKey, graph: Graph) -> Graph:
    """A connection that was disabled carries again."""
    key = _checks.key("key", key)
    gene, any_disabled = _drawn(key, (graph.innovation >= 0) & ~graph.enabled)
    return dataclasses.replace(graph, enabled=graph.enabled.at[gene].max(any_disabled))


def change(key: PRNGKey, graph: Graph, activations: int) -> Graph:
    """A hidden node has another activation."""
    key = _checks.key("key", key)
    key_node, key_kind = jax.random.split(key)
    node, any_hidden = _drawn(key_node, graph.event >= 0)
    place = graph.outputs + node
    other = (graph.activation[place] + jax.random.randint(key_kind, (), 1, max(activations, 2))) % activations
    return dataclasses.replace(
        graph, activation=graph.activation.at[place].set(jnp.where(any_hidden, other, graph.activation[place]))
    )


def cross(key: PRNGKey, a: Graph, b: Graph) -> Graph:
    """The structure of the first; genes and nodes that the second has too are enabled, or act, as in either.

    Example:
        >>> import jax, evojax_align as ea
        >>> drawn = lambda p: ea.evolution.graph.minimal(jax.random.key(0), 9, 9, hidden=1, genes=90, enabled=p)
        >>> 20 < int(ea.evolution.graph.cross(jax.random.key(1), drawn(1.0), drawn(0.0)).connections) < 70  # of 90
        True
    """
    key = _checks.key("key", key)
    key_genes, key_nodes = jax.random.split(key)

    def mixed(key: PRNGKey, numbers: Array, others: Array, own: Array, theirs: Array) -> Array:
        free = jnp.iinfo(jnp.int32).max
        known = jnp.where(others < 0, free, others)  # in order: numbers grow
        place = jnp.minimum(jnp.searchsorted(known, numbers), known.shape[0] - 1)
        shared = (numbers >= 0) & (known[place] == numbers)
        return jnp.where(shared & jax.random.bernoulli(key, 0.5, numbers.shape), theirs[place], own)

    enabled = mixed(key_genes, a.innovation, b.innovation, a.enabled, b.enabled)
    kinds = mixed(key_nodes, a.event, b.event, a.activation[a.outputs :], b.activation[b.outputs :])
    return dataclasses.replace(a, enabled=enabled, activation=a.activation.at[a.outputs :].set(kinds))


def _drawn(key: PRNGKey, allowed: Bool[Array, " n"]) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """A place that is allowed, all alike likely; and whether there is one."""
    count = jnp.sum(allowed)
    which = jax.random.randint(key, (), 0, jnp.maximum(count, 1))
    return jnp.argmax(jnp.cumsum(allowed) > which), count > 0


def _either(new_is_right: Bool[Array, ""], new: Graph, old: Graph) -> Graph:
    return jax.tree.map(lambda n, o: jnp.where(new_is_right, n, o), new, old)
