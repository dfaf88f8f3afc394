"""An evolved graph as an ordinary network: individual weights, gradients, matrices."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Array, Float, Int, PyTree
from evojax_align.evolution.wann.graph import ACTIVATIONS, Graph


@dataclasses.dataclass(frozen=True, eq=False)
class Expressed:
    """A network of fixed topology in layers, made by `express`.

    Its parameters are `{"weights": [connections]}` for `apply`, or for `apply_dense` a matrix for each layer, from all
    earlier nodes to those of the layer. Nodes are renumbered: the inputs, the bias, then layer by layer.

    Attributes:
        inputs: number of inputs.
        outputs: number of outputs.
        layers: for each layer, the activations of its nodes, equal ones adjacent; the outputs are the last layer.
        source: for each connection, the node that it comes from.
        target: for each connection, the node that it leads to.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> network = ea.evolution.express(graph, ("linear", "tanh"))
        >>> params = {"weights": jnp.array([1.0, 10.0, 100.0])}  # of both inputs and the bias
        >>> network.apply(params, jnp.array([[2.0, 3.0]])).tolist()
        [[132.0]]
    """

    inputs: int
    outputs: int
    layers: tuple[tuple[str, ...], ...]
    source: Int[np.ndarray, " connections"]
    target: Int[np.ndarray, " connections"]

    @property
    def connections(self) -> int:
        """Number of connections, which is the number of weights."""
        return len(self.source)

    @property
    def nodes(self) -> int:
        """Number of nodes: inputs, bias, hidden nodes and outputs."""
        return self.inputs + 1 + sum(map(len, self.layers))

    @property
    def layer(self) -> Int[np.ndarray, " nodes"]:
        """The layer of each node; 0 for inputs and the bias."""
        sizes = [self.inputs + 1, *map(len, self.layers)]
        return np.repeat(np.arange(len(sizes)), sizes)

    def shared(self, value: float) -> PyTree:
        """Parameters with one value for all weights."""
        return {"weights": jnp.full(self.connections, value)}

    def dense(self, params: PyTree) -> PyTree:
        """The matrices with these weights, and zeros where there is no connection."""
        weights, matrices, first = _weights(self, params), {}, self.inputs + 1
        for number, layer in enumerate(self.layers, start=1):
            ours = np.flatnonzero((self.target >= first) & (self.target < first + len(layer)))
            places = self.source[ours], self.target[ours] - first
            matrices[f"layer_{number}"] = jnp.zeros((first, len(layer))).at[places].set(weights[ours])
            first += len(layer)
        return matrices

    def apply(self, params: PyTree, x: Float[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """The outputs, with a weight for each connection; images are flattened."""
        return self.apply_dense(self.dense(params), x)

    def apply_dense(self, matrices: Mapping[str, Array], x: Float[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """The outputs, with a matrix for each layer."""
        x = x.reshape(x.shape[0], -1)
        if x.shape[1] != self.inputs:
            raise _checks.bad("x", f"{x.shape[1]} numbers per sample", f"{self.inputs}", "Pass inputs of this size.")
        nodes = jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1)
        new = nodes
        for number, layer in enumerate(self.layers, start=1):
            total, new, start = nodes @ matrices[f"layer_{number}"], [], 0
            while start < len(layer):
                end = start + layer[start:].count(layer[start])
                new.append(ACTIVATIONS[layer[start]](total[:, start:end]))
                start = end
            new = jnp.concatenate(new, axis=1)
            nodes = jnp.concatenate([nodes, new], axis=1)
        return new


def express(graph: Graph, activations: tuple[str, ...]) -> Expressed:
    """The network of a single graph; a host function. Hidden nodes without a path to an output are removed.

    Args:
        graph: a graph from a search.
        activations: the activations of that search.

    Raises:
        NeedsValues: (a `TypeError`) if it is traced.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> network = ea.evolution.express(graph, ("linear",))
        >>> network.connections, network.layers
        (4, (('linear',), ('linear',)))
    """
    _checks.refuse_trace("express", "inside, use graph.forward or graph.apply.", graph)
    enabled, layer = np.asarray(graph.enabled), np.asarray(graph.layer)
    source, target = np.asarray(graph.source)[enabled], np.asarray(graph.target)[enabled]
    first, outputs = graph.inputs + 1, range(graph.inputs + 1, graph.inputs + 1 + graph.outputs)
    useful, old = set(outputs), set()
    while useful != old:
        old = set(useful)
        useful |= {s for s, t in zip(source.tolist(), target.tolist(), strict=True) if t in useful and s >= first}
    kinds = [activations[kind] for kind in graph.activation.tolist()]
    order = list(range(first))
    layers = []
    for depth in sorted({int(layer[node]) for node in useful}):
        # hidden nodes sorted by activation, so that one call computes all of a kind; outputs keep their order
        ours = sorted((node for node in useful if layer[node] == depth), key=lambda n: (kinds[n - first], n))
        layers.append(tuple(kinds[node - first] for node in ours))
        order += ours
    place = {node: number for number, node in enumerate(order)}
    kept = [(place[s], place[t]) for s, t in zip(source.tolist(), target.tolist(), strict=True) if t in place]
    pairs = np.array(kept, np.int32).reshape(-1, 2)
    return Expressed(graph.inputs, graph.outputs, tuple(layers), pairs[:, 0], pairs[:, 1])


def _weights(self: Expressed, params: PyTree) -> Float[Array, " connections"]:
    weights = jnp.asarray(params["weights"])
    if weights.shape != (self.connections,):
        came = f"weights of shape {weights.shape}"
        raise _checks.bad("params", came, f"({self.connections},)", "Start from `shared(value)`.")
    return weights
