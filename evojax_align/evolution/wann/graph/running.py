"""The outputs of a graph: at several shared weights, or with a weight for each connection."""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from evojax_align._types import Array, Float, Int
from evojax_align.evolution.wann.graph.structure import Graph

Forward: TypeAlias = Callable[[Float[Array, "one_or_values batch inputs"]], Float[Array, "values batch outputs"]]
"""A network of a graph at several shared weights; its inputs are common to all of them, or one set for each."""


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
"""Activations of nodes. Outputs are linear. The last one is not used for classification."""


def forward(
    graph: Graph, values: Float[Array, " values"], activations: tuple[str, ...], steps: Int[Array, ""] | None = None
) -> Forward:
    """The network of a graph, for inputs [1 or values, batch, inputs].

    Connections are processed one after the other, in the order of the layers of their targets, each for all samples and
    all values at once. The work is proportional to the number of connections.

    Args:
        graph: a single graph.
        values: values of the shared weight.
        activations: the list of activations that a node's index refers to.
        steps: number of connections to process, at least the number of enabled ones; use the same number for graphs
            under `vmap`, which all take the longest loop.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> run = ea.evolution.graph.forward(graph, jnp.array([1.0, -2.0]), ("linear",))
        >>> run(jnp.array([[[2.0, 3.0]]]))[:, 0, 0].tolist()  # 2 + 3 + the bias, times each value
        [6.0, -12.0]
    """
    first, nodes = graph.inputs + 1, graph.layer.shape[0]
    functions = [ACTIVATIONS[name] for name in activations]
    target = jnp.where(graph.enabled, graph.target, nodes)  # disabled connections have no target and are last
    place = jnp.where(graph.enabled, graph.layer[graph.target] * nodes + graph.target, jnp.iinfo(jnp.int32).max)
    order = jnp.argsort(place)
    source, target = graph.source[order], target[order]
    last = jnp.append(target[1:] != target[:-1], True)
    kind = jnp.append(graph.activation, 0)[target - first]
    kind = jnp.where(last & (target < nodes), kind + 1, 0)
    silent = jnp.stack([function(jnp.zeros(())) for function in functions])[jnp.append(graph.activation, 0)]
    has_inputs = jnp.zeros(nodes - first + 1, bool).at[target - first].set(True)
    start = jnp.where(has_inputs, 0.0, silent)  # the activation of a node without inputs

    def run(x: Float[Array, "one_or_values batch inputs"]) -> Float[Array, "values batch outputs"]:
        given = jnp.moveaxis(jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1), -1, 0)
        weights = values.astype(x.dtype)[:, None]
        branches = [lambda total: total, *[lambda total, f=f: f(total * weights) for f in functions]]

        def body(step: Array, own: Array) -> Array:
            from_input = jax.lax.dynamic_index_in_dim(given, jnp.minimum(source[step], first - 1), keepdims=False)
            from_node = jax.lax.dynamic_index_in_dim(own, jnp.maximum(source[step] - first, 0), keepdims=False)
            total = jax.lax.dynamic_index_in_dim(own, target[step] - first, keepdims=False)
            total = total + jnp.where(source[step] < first, from_input, from_node)
            values_of_nodes = jax.lax.switch(kind[step], branches, total)
            return jax.lax.dynamic_update_index_in_dim(own, values_of_nodes, target[step] - first, 0)

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
