"""The outputs of a graph: at several shared weights, or with a weight for each connection."""

from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align._types import Array, Bool, Float, Int
from evojax_align.evolution.wann.graph.structure import Graph

Forward: TypeAlias = Callable[[Float[Array, "one_or_values batch inputs"]], Float[Array, "values batch outputs"]]
"""A network of a graph at several shared weights; its inputs are common to all of them, or one set for each."""


Activation: TypeAlias = Callable[[Array], Array]


def _sine(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """sin(pi x) with an error of 2e-7; the general function is six times slower on a CPU, more so for large x."""
    turn = x - 2 * jnp.round(x / 2)
    folded = jnp.where(jnp.abs(turn) > 0.5, jnp.sign(turn) - turn, turn)
    total = jnp.full_like(x, SINE[0])
    for factor in SINE[1:]:
        total = total * folded**2 + factor
    return folded * total


SINE = (-0.0073704309, 0.0821458866, -0.5992645293, 2.5501640399, -5.16771278, 3.1415926536)
"""Coefficients of the odd powers of x, from the 11th to the first, in the Taylor series of sin(pi x)."""

ACTIVATIONS: dict[str, Activation] = {
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
"""Activations of nodes. Outputs are linear. The last one is not used for classification."""


ADDED = 4
"""Most connections to one node that are added in one step on a CPU."""
BLOCK = 32
"""Most nodes that are computed together on an accelerator."""
BOUND = 0.75
"""The input of an activation is at most the largest number of its type to this power (8e28 in float32), so that sums of
the values of nodes are finite: in a product with a matrix, 0 times infinity would be NaN for every node."""


@struct.dataclass
class Steps:
    """How many steps the evaluation of a graph takes.

    Attributes:
        inputs: on a CPU: connections from inputs and the bias.
        sums: on a CPU: sums of a few connections from other nodes to one node; at least one for each node.
        blocks: on an accelerator: blocks of nodes of one layer.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> steps = ea.evolution.graph.steps_of(graph)  # of three connections one was split by a node
        >>> int(steps.inputs), int(steps.sums), int(steps.blocks)
        (3, 2, 2)
    """

    inputs: Int[Array, "..."]
    sums: Int[Array, "..."]
    blocks: Int[Array, "..."]


class _Plan(NamedTuple):
    """The order in which a graph is evaluated. Nodes are numbered without the inputs, from 0 to n - 1. Row n of their
    values, `trash`, takes what has no place, and row n + 1 stays 0."""

    steps: Steps
    from_input: Array  # [genes] inputs, and the nodes that they lead to
    to_node: Array
    sources: Array  # [genes + nodes, ADDED] the nodes whose values are added in a step
    target: Array  # [genes + nodes] to which node, and 1 + the activation if nothing more is added to it
    kind: Array
    blocks: Array  # [nodes + BLOCK] the blocks of nodes in the order of layers; `nodes` for what does not exist
    block_start: Array  # [nodes] the place where each block begins
    order: Array  # [nodes + BLOCK] these nodes
    matrix: Array  # [inputs + nodes, nodes] connections


def steps_of(graph: Graph) -> Steps:
    """The steps that the evaluation of a single graph takes (see `forward`).

    Example:
        >>> import jax, evojax_align as ea
        >>> drawn = lambda key: ea.evolution.graph.minimal(key, 2, 1, hidden=1, genes=5, enabled=0.5)
        >>> graphs = ea.population.init(drawn, jax.random.key(0), 3)
        >>> steps = ea.population.map(ea.evolution.graph.steps_of, graphs)
        >>> bool((steps.inputs == graphs.connections).all()), steps.blocks.tolist()
        (True, [1, 1, 1])
    """
    first, nodes = graph.inputs + 1, graph.activation.shape[0]
    outer, inner, layer = graph.enabled & (graph.source < first), _inner(graph), graph.layer[first:]
    degree = jnp.zeros(nodes, jnp.int32).at[graph.target - first].add(inner)
    sizes = jnp.zeros(nodes + 2, jnp.int32).at[layer].add(layer > 0)
    return Steps(
        inputs=jnp.sum(outer, dtype=jnp.int32),
        sums=jnp.sum(jnp.where(layer > 0, degree // ADDED + 1, 0), dtype=jnp.int32),
        blocks=jnp.sum(-(-sizes // BLOCK), dtype=jnp.int32),
    )


def _inner(graph: Graph) -> Bool[Array, " genes"]:
    """The connections that do not come from inputs."""
    return graph.enabled & (graph.source > graph.inputs)


def forward(
    graph: Graph, values: Float[Array, " values"], activations: tuple[str, ...], steps: Steps | None = None
) -> Forward:
    """The network of a graph, for inputs [1 or values, batch, inputs].

    Sums over inputs come first, once for all values if these have the same inputs. On a CPU the connections between
    nodes follow one after the other, by the layer of their targets, each for all samples and all values; the work is
    proportional to the number of connections. On an accelerator, nodes of one layer are computed in blocks, each by one
    product with a matrix, in which an input that is not finite makes all nodes NaN. The inputs of activations are
    limited to 8e28 in float32.

    Args:
        graph: a single graph.
        values: values of the shared weight.
        activations: the list of activations that a node's index refers to.
        steps: at least the steps of the graph; by default these. Under `vmap` pass the largest of all graphs (see
            `steps_of`): loops of different lengths are slower there.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> run = ea.evolution.graph.forward(graph, jnp.array([1.0, -2.0]), ("linear",))
        >>> run(jnp.array([[[2.0, 3.0]]]))[:, 0, 0].tolist()  # 2 + 3 + the bias, times each value
        [6.0, -12.0]
    """
    plan = _planned(graph)  # the compiler removes what the platform does not use
    plan = plan._replace(steps=plan.steps if steps is None else steps)
    functions = [ACTIVATIONS[name] for name in activations]

    def run(x: Float[Array, "one_or_values batch inputs"]) -> Float[Array, "values batch outputs"]:
        given = jnp.moveaxis(jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1), -1, 0)
        weights = values.astype(x.dtype)[:, None]
        one_by_one, together = (partial(way, functions, graph.outputs) for way in (_by_sums, _by_blocks))
        found = jax.lax.platform_dependent(plan, graph.activation, weights, given, cpu=one_by_one, default=together)
        return jnp.moveaxis(found, 0, -1)

    return run


def _planned(graph: Graph) -> _Plan:
    """The plans for a CPU and for an accelerator."""
    first, nodes = graph.inputs + 1, graph.activation.shape[0]
    genes, trash, target, inner = graph.source.shape[0], nodes, graph.target - first, _inner(graph)
    outer = graph.enabled & ~inner
    turn = jnp.where(outer, jnp.cumsum(outer) - 1, genes)
    from_input = jnp.zeros_like(target).at[turn].set(graph.source, mode="drop")
    to_node = jnp.full_like(target, trash).at[turn].set(target, mode="drop")

    # one entry for each connection between nodes, and one for each node, which adds the row of zeros
    layer, zeros = graph.layer[first:], jnp.full(nodes, trash + 1, jnp.int32)
    depth, by_layer = _sorted(jnp.where(layer > 0, layer, nodes + 1))
    rank = jnp.zeros(nodes, jnp.int32).at[by_layer].set(jnp.arange(nodes, dtype=jnp.int32))
    entries = jnp.append(jnp.where(inner, rank[target], nodes), jnp.where(layer > 0, rank, nodes))
    entries, order = _sorted(entries)
    sources = jnp.append(jnp.append(graph.source - first, zeros)[order], jnp.full(ADDED, trash + 1))
    begins, places = _within(entries) % ADDED == 0, jnp.arange(genes + nodes)
    step = jnp.where(entries < nodes, jnp.cumsum(begins) - 1, -1)
    first_place = jnp.where(begins & (step >= 0), step, genes + nodes)
    start = jnp.zeros_like(places).at[first_place].set(places, mode="drop")[:, None] + jnp.arange(ADDED)[None]
    together = jnp.append(step, jnp.full(ADDED, -1))[start] == places[:, None]
    entry = jnp.full_like(entries, nodes).at[first_place].set(entries, mode="drop")
    to = jnp.append(by_layer, trash)[entry]
    last = jnp.append(entry[1:] != entry[:-1], True) & (entry < nodes)

    begins = _within(depth) % BLOCK == 0
    blocks = jnp.where(depth <= nodes, jnp.cumsum(begins) - 1, nodes)
    block_start = jnp.zeros_like(blocks).at[jnp.where(begins, blocks, nodes)].set(jnp.arange(nodes), mode="drop")
    into = jnp.where(graph.enabled, target, nodes)
    return _Plan(
        steps=steps_of(graph),
        from_input=from_input,
        to_node=to_node,
        sources=jnp.where(together, sources[start], trash + 1),
        target=to,
        kind=jnp.where(last, jnp.append(graph.activation, 0)[to] + 1, 0),
        blocks=jnp.append(blocks, jnp.full(BLOCK, nodes)),
        block_start=block_start,
        order=jnp.append(by_layer, jnp.full(BLOCK, trash, jnp.int32)),
        matrix=jnp.zeros((first + nodes, nodes)).at[graph.source, into].add(1.0, mode="drop"),
    )


def _sorted(numbers: Int[Array, " n"]) -> tuple[Int[Array, " n"], Int[Array, " n"]]:
    """Small numbers sorted, and their indices, by sorting one array: on a CPU four times as fast as `argsort`."""
    size = numbers.shape[0]
    both = jnp.sort(numbers.astype(jnp.uint32) * size + jnp.arange(size, dtype=jnp.uint32), stable=False)
    return (both // size).astype(jnp.int32), (both % size).astype(jnp.int32)


def _within(numbers: Int[Array, " n"]) -> Int[Array, " n"]:
    """The place of each of some sorted numbers among those that are equal to it."""
    places = jnp.arange(numbers.shape[0])
    return places - jax.lax.cummax(jnp.where(jnp.append(True, numbers[1:] != numbers[:-1]), places, 0))


def _by_sums(
    functions: list[Activation], outputs: int, plan: _Plan, activation: Array, weights: Array, given: Array
) -> Array:
    """The outputs [outputs, values, batch], by connections one after the other."""
    _, alike, batch = given.shape
    rows = plan.matrix.shape[1] + 2

    def at(of: Array, place: Array) -> Array:
        return jax.lax.dynamic_index_in_dim(of, place, keepdims=False)

    def of_input(step: Array, sums: Array) -> Array:
        to = plan.to_node[step]
        return jax.lax.dynamic_update_index_in_dim(sums, at(sums, to) + at(given, plan.from_input[step]), to, 0)

    sums = jax.lax.fori_loop(
        0, jnp.minimum(plan.steps.inputs, plan.to_node.size), of_input, jnp.zeros((rows, alike, batch), given.dtype)
    )
    ends = [lambda total, to, f=f: f(_bounded((total + at(sums, to)) * weights, given.dtype)) for f in functions]

    def of_nodes(step: Array, own: Array) -> Array:
        to, sources = plan.target[step], plan.sources[step]
        total = reduce(add, [at(own, sources[place]) for place in range(ADDED)], at(own, to))
        new = jax.lax.switch(plan.kind[step], [lambda total, to: total, *ends], total, to)
        return jax.lax.dynamic_update_index_in_dim(own, new, to, 0)

    own = jnp.zeros((rows, weights.shape[0], batch), given.dtype)
    return jax.lax.fori_loop(0, plan.steps.sums, of_nodes, own)[:outputs]


def _bounded(total: Array, dtype: Any) -> Array:
    limit = float(jnp.finfo(dtype).max) ** BOUND
    return jnp.clip(total, -limit, limit).astype(dtype)


def _by_blocks(
    functions: list[Activation], outputs: int, plan: _Plan, activation: Array, weights: Array, given: Array
) -> Array:
    """The same, by nodes of one layer together."""
    nodes, wide = plan.matrix.shape[1], jnp.promote_types(given.dtype, jnp.float32)
    product = partial(jnp.einsum, precision="highest", preferred_element_type=wide)
    from_inputs, between = jnp.split(plan.matrix.astype(given.dtype), [given.shape[0]])
    sums = product("in,i...->n...", from_inputs, given)

    def block(number: Array, own: Array) -> Array:
        start = plan.block_start[number]
        of_block, here = (jax.lax.dynamic_slice_in_dim(of, start, BLOCK) for of in (plan.blocks, plan.order))
        here = jnp.where(of_block == number, here, nodes)
        total = (product("nb,n...->b...", between[:, here], own[:nodes]) + sums[here]) * weights[None]
        total, kinds = _bounded(total, given.dtype), activation[here][:, None, None]
        return own.at[here].set(
            jnp.select([kinds == place for place in range(len(functions))], [f(total) for f in functions])
        )

    own = jnp.zeros((nodes + 1, weights.shape[0], given.shape[2]), given.dtype)
    return jax.lax.fori_loop(0, plan.steps.blocks, block, own)[:outputs]


def apply(
    graph: Graph,
    weights: Float[Array, " genes"],
    x: Float[Array, "batch inputs"],
    activations: tuple[str, ...],
    layers: int,
) -> Float[Array, "batch outputs"]:
    """The outputs with a weight for each gene; differentiable, and one compiled program for all graphs of a capacity.

    All nodes are computed together, once for each layer, after which all values are correct.

    Args:
        graph: a single graph.
        weights: weights of its genes; those of disabled genes are ignored.
        x: the inputs.
        activations: the list of activations that a node's index refers to.
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

    def further(values_of_nodes: Array, _: None) -> tuple[Array, None]:
        total, new = from_inputs + values_of_nodes @ matrix[first:], jnp.zeros_like(values_of_nodes)
        for name, ours in zip(activations, own, strict=True):
            new = jnp.where(ours[None], ACTIVATIONS[name](total), new)
        return new, None

    values_of_nodes, _ = jax.lax.scan(further, jnp.zeros_like(from_inputs), length=layers)
    return values_of_nodes[:, : graph.outputs]
