"""Evolution of networks that work with any value of one shared weight.

Weight agnostic neural networks (Gaier & Ha, 2019), with the variants of Dobreva's thesis (Radboud University, 2022).
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._devices import laid_out
from evojax_align._types import Array, Bool, Float, Int, PRNGKey, PyTree
from evojax_align.evolution.selection import by_dominance, failed_last
from evojax_align.evolution.wann import graph as graphs
from evojax_align.evolution.wann.graph import ACTIVATIONS, Forward, Graph, Steps

Rewarding: TypeAlias = Callable[[PRNGKey, Forward, PyTree], Float[Array, " values"]]
"""A task: maps a key, a network and data to a reward at each shared weight."""

MUTATIONS = ("connect", "split", "enable", "change")


@struct.dataclass
class WannState:
    """The state: graphs and their rewards.

    Attributes:
        members: the graphs; after the first generation, elites in the order of their ranking, then children.
        rewards: rewards of each member at each shared weight, on the samples of the last generation.
        generation: number of generations so far; 0 for the first.

    Example:
        >>> import evojax_align as ea
        >>> wann = ea.evolution.Wann(2, 1, ea.evolution.tasks.Classification(), size=3, hidden=2, enabled=1.0)
        >>> state = wann.empty()
        >>> state.rewards.shape, state.mean.shape, int(state.fittest.connections)
        ((3, 6), (3,), 3)
    """

    members: Graph
    rewards: Float[Array, "n values"]
    generation: Int[Array, ""]

    @property
    def mean(self) -> Float[Array, " n"]:
        """The mean reward of each member over the shared weights."""
        return jnp.mean(self.rewards, axis=1)

    @property
    def fittest(self) -> Graph:
        """The member of the highest mean reward."""
        return population.take(self.members, jnp.argmax(failed_last(self.mean)))


@struct.dataclass
class WannInfo:
    """Statistics of one generation.

    Attributes:
        parents: indices in the previous population.
        mutation: index of the mutation in `MUTATIONS`.
        unchanged: number of children whose mutation could not change anything.
        full: number of children whose mutation did not fit into the capacity; raise it by `Wann.enlarged`.
        by_size: whether members were ranked by mean reward and number of connections, not by mean and maximum.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> parents, mutation, none = jnp.array([0, 2]), jnp.array([1, 3]), jnp.array(0)
        >>> info = ea.evolution.WannInfo(parents, mutation, unchanged=none, full=none, by_size=jnp.array(True))
        >>> [MUTATIONS[kind] for kind in info.mutation.tolist()]
        ['split', 'change']
    """

    parents: Int[Array, " children"]
    mutation: Int[Array, " children"]
    unchanged: Int[Array, ""]
    full: Int[Array, ""]
    by_size: Bool[Array, ""]


@dataclasses.dataclass(frozen=True, eq=False)
class Wann:
    """Weight agnostic search: `state = w.init(key, data)`, then `state, info = w.step(key, state, data)`.

    Main arguments:
        inputs: number of inputs of a network.
        outputs: number of its outputs.
        reward: the task (see `evolution.tasks`).

    Other arguments:
        size: number of members.
        hidden: capacity for hidden nodes.
        genes: capacity for connections; by default those of the first generation plus four for each hidden node.
        values: values of the shared weight.
        activations: activations of hidden nodes; outputs have the first.
        enabled: the probability of each connection in the first generation.
        mutations: relative frequencies of the mutations `connect`, `split`, `enable` and `change`. Each child is
            mutated once.
        elitism: fraction of the members that may have children which survive unchanged. All are evaluated again.
        culling: fraction of members, the worst, that have no children.
        tournament: number of members in a tournament. The better of two winners is the (first) parent.
        crossover: the probability that a child has two parents.
        by_size: the probability that members are ranked by mean reward and number of connections in a generation,
            instead of by mean and largest reward.
        chunk: members evaluated at once; by default all on an accelerator, and one after the other on a CPU.
        mesh: distributes breeding and evaluation over its devices (see `population.map`). Between steps, the members
            stay on them.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x = jax.random.normal(jax.random.key(0), (50, 3))
        >>> task = ea.evolution.tasks.Classification(batch=20)
        >>> wann = ea.evolution.Wann(3, 2, task, size=20, hidden=8, enabled=0.5, tournament=4)
        >>> state = wann.init(jax.random.key(1), (x, (x[:, 0] > x[:, 1]).astype(int)))
        >>> state, info = wann.step(jax.random.key(2), state, (x, (x[:, 0] > x[:, 1]).astype(int)))
        >>> state.rewards.shape
        (20, 6)
    """

    inputs: int
    outputs: int
    reward: Rewarding
    _: dataclasses.KW_ONLY
    size: int = 960
    hidden: int = 256
    genes: int | None = None
    values: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    activations: tuple[str, ...] = tuple(ACTIVATIONS)[:-1]
    enabled: float = 0.05
    mutations: tuple[float, float, float, float] = (0.2, 0.25, 0.05, 0.5)
    elitism: float = 0.2
    culling: float = 0.2
    tournament: int = 32
    crossover: float = 0.0
    by_size: float = 0.8
    chunk: int | Literal["auto"] | None = None
    mesh: Mesh | None = None

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs", "size", "hidden", "tournament"):
            _checks.positive(name, getattr(self, name))
        for name in self.activations:
            _checks.one_of("activations", name, ACTIVATIONS)
        for name in ("enabled", "elitism", "culling", "crossover", "by_size"):
            if not 0 <= getattr(self, name) <= 1:
                raise _checks.bad(name, getattr(self, name), "a number from 0 to 1", "The paper uses 0.2 for most.")
        if not self.values or not self.activations:
            raise _checks.bad("values, activations", "none", "at least one of each", "Leave them as they are.")
        if min(self.mutations) < 0 or not sum(self.mutations) > 0:
            raise _checks.bad("mutations", self.mutations, "numbers of at least 0, not all 0", "Pass one above 0.")
        if self.pool < 1 or self.elites >= self.size:
            came = f"elitism {self.elitism} and culling {self.culling} of {self.size} members"
            raise _checks.bad("elitism, culling", came, "at least one parent and one child", "Lower them.")

    @property
    def pool(self) -> int:
        """Number of members that may have children."""
        return self.size - int(self.size * self.culling + 1e-9)

    @property
    def elites(self) -> int:
        """Number of members that survive unchanged."""
        return int(self.pool * self.elitism + 1e-9)

    @property
    def capacity(self) -> int:
        """Largest number of connections of a graph, enabled or not."""
        return self.genes or (self.inputs + 1) * self.outputs + 4 * self.hidden

    def init(self, key: PRNGKey, data: PyTree) -> WannState:
        """Create and evaluate the first generation, without hidden nodes.

        Args:
            key: a random key.
            data: the data of the task.
        """
        key = _checks.key("key", key)
        key_draw, key_judge = jax.random.split(key)
        members = _first(self, key_draw)
        return WannState(members, _evaluated(self, key_judge, members, data), jnp.array(0, jnp.int32))

    def empty(self) -> WannState:
        """A state of the right shapes, as the initial carry of a loop before the first generation."""
        return WannState(
            _first(self, jax.random.key(0)), jnp.zeros((self.size, len(self.values))), jnp.array(0, jnp.int32)
        )

    def step(self, key: PRNGKey, state: WannState, data: PyTree) -> tuple[WannState, WannInfo]:
        """One generation: rank, breed, and evaluate all members, including elites, on the same new samples.

        Args:
            key: a random key.
            state: the state of the previous generation.
            data: the data of the task.

        Returns:
            The next state, and statistics of the generation.
        """
        return _step(self, _checks.key("key", key), _laid(self, state), data)

    def enlarged(self, state: WannState, *, hidden: int, genes: int | None = None) -> tuple["Wann", WannState]:
        """The algorithm and the state with a larger capacity, to continue the search.

        Args:
            state: a state whose population has reached the capacity.
            hidden: the new capacity for hidden nodes.
            genes: the new capacity for connections; by default four more for each new hidden node.
        """
        genes = self.capacity + 4 * (hidden - self.hidden) if genes is None else genes
        larger = dataclasses.replace(self, hidden=hidden, genes=genes)
        members = graphs.enlarge(state.members, hidden=hidden, genes=larger.capacity)
        return larger, dataclasses.replace(state, members=members)

    def forward(self, graph: Graph, steps: Steps | None = None) -> Forward:
        """The network of one graph, at all shared weights (see `graph.forward`)."""
        return graphs.forward(graph, jnp.array(self.values), self.activations, steps)


@partial(jax.jit, static_argnums=0)
def _first(self: Wann, key: PRNGKey) -> Graph:
    drawn = partial(graphs.minimal, inputs=self.inputs, outputs=self.outputs, hidden=self.hidden, genes=self.capacity)
    return population.map(partial(drawn, enabled=self.enabled), jax.random.split(key, self.size))


@partial(jax.jit, static_argnums=0)
def _evaluated(self: Wann, key: PRNGKey, members: Graph, data: PyTree) -> Float[Array, "n values"]:
    steps = jax.tree.map(jnp.max, jax.vmap(graphs.steps_of)(members))

    def one(graph: Graph) -> Float[Array, " values"]:
        return self.reward(key, self.forward(graph, steps), data)

    return population.map(one, members, chunk=self.chunk, mesh=self.mesh)


@partial(jax.jit, static_argnums=0)
def _step(self: Wann, key: PRNGKey, state: WannState, data: PyTree) -> tuple[WannState, WannInfo]:
    key_breed, key_judge = jax.random.split(key)
    members, info = _bred(self, key_breed, state)
    new = WannState(members, _evaluated(self, key_judge, members, data), state.generation + 1)
    return _laid(self, new), laid_out(info, self.mesh)


def _laid(self: Wann, state: WannState) -> WannState:
    """The state with the layout it has between steps: members distributed over the devices."""
    return laid_out(state, self.mesh, "members")


@partial(jax.jit, static_argnums=0)
def _bred(self: Wann, key: PRNGKey, state: WannState) -> tuple[Graph, WannInfo]:
    key_rank, key_parents, key_kind, key_cross, key_change = jax.random.split(key, 5)
    count = self.size - self.elites
    by_size = jax.random.bernoulli(key_rank, self.by_size)
    frugality = 1.0 / jnp.maximum(state.members.connections, 1)  # 0 connections rank like 1
    frugality = jnp.where(jnp.isnan(state.mean), jnp.nan, frugality)  # failed members are last in both
    second = jnp.where(by_size, frugality, jnp.max(state.rewards, axis=1))
    ranked = by_dominance(jnp.stack([state.mean, second], axis=1))[: self.pool]
    alive = jnp.clip(jnp.sum(~jnp.isnan(state.mean)), 1, self.pool)
    drawn = jax.random.randint(key_parents, (2, count, self.tournament), 0, self.pool) % alive
    winners = jnp.min(drawn, axis=2)
    parents, mates = ranked[jnp.min(winners, axis=0)], ranked[jnp.max(winners, axis=0)]
    crossed = jax.random.bernoulli(key_cross, self.crossover, (count,))
    kinds = jax.random.choice(key_kind, len(MUTATIONS), (count,), p=jnp.array(self.mutations) / sum(self.mutations))
    events = _events(self, state) + 2 * jnp.arange(count, dtype=jnp.int32)

    def child(key: PRNGKey, parent: Array, mate: Array, crossed: Array, kind: Array, event: Array) -> tuple:
        key_mix, key_change = jax.random.split(key)
        graph = population.take(state.members, parent)
        if self.crossover > 0:
            mixed = graphs.cross(key_mix, graph, population.take(state.members, mate))
            graph = jax.tree.map(lambda new, old: jnp.where(crossed, new, old), mixed, graph)
        among = len(self.activations)
        ways = [
            lambda: graphs.connect(key_change, graph, event),
            lambda: graphs.split(key_change, graph, among, event),
            lambda: graphs.enable(key_change, graph),
            lambda: graphs.change(key_change, graph, among),
        ]
        new = jax.lax.switch(kind, ways)
        pairs = zip(jax.tree.leaves(new), jax.tree.leaves(graph), strict=True)
        unchanged = jnp.all(jnp.stack([jnp.all(now == before) for now, before in pairs]))
        genes, hidden = graph.genes, graph.hidden
        full = jnp.where(kind == 0, genes + 1 > self.capacity, (genes + 2 > self.capacity) | (hidden + 1 > self.hidden))
        return new, unchanged, full & (kind < 2)

    keys = jax.random.split(key_change, count)
    given = keys, parents, mates, crossed, kinds, events
    children, unchanged, full = population.map(child, *given, mesh=self.mesh)
    elites = population.take(state.members, ranked[: self.elites])
    members = jax.tree.map(lambda *of: jnp.concatenate(of), elites, children)
    return members, WannInfo(parents, kinds, jnp.sum(unchanged & ~full), jnp.sum(full), by_size)


def _events(self: Wann, state: WannState) -> Int[Array, ""]:
    """The number of the first event of the next generation."""
    born, children = (self.inputs + 1) * self.outputs, self.size - self.elites
    return born + 2 * children * state.generation
