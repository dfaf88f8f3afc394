"""Mutations of one graph, and the crossover of two."""

import dataclasses

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Bool, Int, PRNGKey
from evojax_align.evolution.wann.graph.structure import Graph, layered


def split(key: PRNGKey, graph: Graph, activations: int, event: Int[Array, ""]) -> Graph:
    """Insert a node with a random activation into a random connection, which is disabled.

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
    fits = (node < graph.event.shape[0]) & (place + 2 <= graph.source.shape[0])
    number = graph.inputs + 1 + graph.outputs + node
    both = place + jnp.arange(2)
    kind, event = jax.random.randint(key_kind, (), 0, activations, jnp.int32), jnp.asarray(event, jnp.int32)
    new = dataclasses.replace(
        graph,
        source=graph.source.at[both].set(jnp.stack([graph.source[gene], number]), mode="drop"),
        target=graph.target.at[both].set(jnp.stack([number, graph.target[gene]]), mode="drop"),
        enabled=graph.enabled.at[both].set(True, mode="drop").at[gene].set(False),
        innovation=graph.innovation.at[both].set(event + jnp.arange(2, dtype=jnp.int32), mode="drop"),
        activation=graph.activation.at[graph.outputs + node].set(kind, mode="drop"),
        event=graph.event.at[node].set(event, mode="drop"),
        layer=graph.layer.at[number].set(graph.layer[graph.source[gene]] + 1, mode="drop"),
    )
    return layered(_either(fits & any_enabled, new, graph))  # a node that does not fit could make a cycle


def connect(key: PRNGKey, graph: Graph, event: Int[Array, ""]) -> Graph:
    """Add a random connection from a node to a node of a later layer to which it has none.

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
    place, event = graph.genes, jnp.asarray(event, jnp.int32)
    fits = place < graph.source.shape[0]
    new = dataclasses.replace(
        graph,
        source=graph.source.at[place].set(source, mode="drop"),
        target=graph.target.at[place].set(target, mode="drop"),
        enabled=graph.enabled.at[place].set(True, mode="drop"),
        innovation=graph.innovation.at[place].set(event, mode="drop"),
    )
    return layered(_either(fits & any_source, new, graph))


def enable(key: PRNGKey, graph: Graph) -> Graph:
    """Enable a random disabled connection.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> int(ea.evolution.graph.enable(jax.random.key(2), graph).connections - graph.connections)
        1
    """
    key = _checks.key("key", key)
    gene, any_disabled = _drawn(key, (graph.innovation >= 0) & ~graph.enabled)
    return dataclasses.replace(graph, enabled=graph.enabled.at[gene].max(any_disabled))


def change(key: PRNGKey, graph: Graph, activations: int) -> Graph:
    """Change the activation of a random hidden node.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> graph = ea.evolution.graph.minimal(jax.random.key(0), 2, 1, hidden=1, genes=5, enabled=1.0)
        >>> graph = ea.evolution.graph.split(jax.random.key(1), graph, 1, jnp.array(3))
        >>> ea.evolution.graph.change(jax.random.key(2), graph, 2).activation.tolist()  # of the output and a new node
        [0, 1]
    """
    key = _checks.key("key", key)
    key_node, key_kind = jax.random.split(key)
    node, any_hidden = _drawn(key_node, graph.event >= 0)
    place = graph.outputs + node
    step = jax.random.randint(key_kind, (), 1, max(activations, 2), jnp.int32)
    other = (graph.activation[place] + step) % activations
    return dataclasses.replace(
        graph, activation=graph.activation.at[place].set(jnp.where(any_hidden, other, graph.activation[place]))
    )


def cross(key: PRNGKey, a: Graph, b: Graph) -> Graph:
    """Cross two graphs: the structure of the first, with states of shared genes and nodes drawn from either.

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
        known = jnp.where(others < 0, free, others)  # sorted, since numbers increase
        place = jnp.minimum(jnp.searchsorted(known, numbers), known.shape[0] - 1)
        shared = (numbers >= 0) & (known[place] == numbers)
        return jnp.where(shared & jax.random.bernoulli(key, 0.5, numbers.shape), theirs[place], own)

    enabled = mixed(key_genes, a.innovation, b.innovation, a.enabled, b.enabled)
    kinds = mixed(key_nodes, a.event, b.event, a.activation[a.outputs :], b.activation[b.outputs :])
    return dataclasses.replace(a, enabled=enabled, activation=a.activation.at[a.outputs :].set(kinds))


def _drawn(key: PRNGKey, allowed: Bool[Array, " n"]) -> tuple[Int[Array, ""], Bool[Array, ""]]:
    """Draw an allowed index uniformly; also return whether there is one."""
    count = jnp.sum(allowed)
    which = jax.random.randint(key, (), 0, jnp.maximum(count, 1))
    return jnp.argmax(jnp.cumsum(allowed) > which).astype(jnp.int32), count > 0


def _either(new_is_right: Bool[Array, ""], new: Graph, old: Graph) -> Graph:
    return jax.tree.map(lambda n, o: jnp.where(new_is_right, n, o), new, old)
