"""Sexual evolutionary synthesis of sparse networks (Chung et al. 2017).

In every generation, the synapses of children are drawn with probabilities that depend on one or several parents. An
environmental factor makes them fewer than those of the parents. Children are then trained from new random weights.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from evojax_align import _checks, population, training
from evojax_align._devices import laid_out
from evojax_align._tree import masked
from evojax_align._types import Apply, Array, Float, Int, Loss, PRNGKey, PyTree
from evojax_align.alignment import Method
from evojax_align.evolution._sharding import varying
from evojax_align.evolution.fitness import fitness_of
from evojax_align.evolution.parent_alignment import ParentAlignment
from evojax_align.evolution.selection import best, failed_last
from evojax_align.evolution.synthesis.encoding import Conception, Encoding, conceive
from evojax_align.evolution.synthesis.records import SynthesisInfo, SynthesisOffspring, SynthesisState, synthesis_info
from evojax_align.pruning import Synapses, full_masks, scaled, total
from evojax_align.symmetry import PermutationSpec
from evojax_align.training._checking import check_data

MATES = ("neighbours", "best", "tournament", "random")
SHARES = ("equal", "fitness")
STARTS = ("scaled", "fresh", "origin", "inherited")
ANCESTORS = ("one", "several")
LEAST_ERROR = 1e-3
"""Smallest error or loss of a parent in shares by fitness; smaller ones count as this."""

Factor = float | Callable[[Array], Array]
"""An environmental factor, or a function of the generation that returns it, such as an optax schedule."""


@dataclasses.dataclass(frozen=True, eq=False)
class Synthesis:
    """Synthesis by evolution: `state = s.init(key, train, judge)`, `state, info = s.step(key, state, train, judge)`.

    Both are pure functions, whose parts are compiled once for each object and shapes of the data; masks are data.
    `founders` and `breed` return untrained networks, for your own training loop; `admit` takes the trained ones.

    Main arguments:
        apply: the network; its outputs are logits, or what the loss takes.
        init_fn: `init_fn(key) -> params` of one network.
        synapses: the leaves that are drawn (see `pruning.find`).
        optimizer: optimiser of the gradient descent; its state is initialised for every child.

    Other arguments:
        size: number of networks in a generation.
        parents: number of parents of a child: 1 is asexual, 2 sexual, more polyploid.
        mates: the choice of parents. "neighbours": the members i, i + 1 and so on for child i. With as many members as
            parents, as in the paper, these are all members; with one parent, child i continues the lineage of member i.
            "best": the fittest members; "tournament": winners of tournaments, drawn one after the other; "random".
        tournament: number of members in a tournament.
        shares: alpha and beta of synapses: "equal", as the paper states none; "fitness", inversely proportional to the
            errors of the parents, which the authors propose, or to their losses if a loss is given; or numbers, for the
            first parent, the second and so on.
        cluster_shares: alpha and beta of clusters, likewise; None for those of synapses.
        synapse_factor: R^s, the expected fraction of the synapses that parents allow (see `encoding.conceive`), or a
            function of the generation of the child, for a changing environment.
        cluster_factor: R^c likewise; None if clusters are not drawn as a whole.
        encoding: choices that the equations do not specify.
        start: the initial weights of a child. "scaled": new random weights, scaled up for units with few synapses;
            without scaling, signals decay from layer to layer, and the sparsest networks cannot be trained. "fresh":
            new random weights; "origin": the initial weights of its lineage; "inherited": the mean of its parents'
            weights.
        alike: whether all children of a generation start with the same random weights, so that neurons at the same
            position can take the same role and strengths can be added.
        ancestors: "one" ancestor for all members, or "several", trained separately.
        alignment: how the neurons of all members are matched with those of the first before mating: "none", or a
            bijective method of `align`.
        realigned: whether to align in every generation, not only the ancestors. Networks with new random weights share
            only the order of their masks, which alignment then destroys.
        compared: number of training samples on which neurons are compared and gradients are computed.
        spec: the symmetry of the network; inferred by default.
        epochs: epochs of training in a generation.
        batch_size: samples in a training step.
        shuffle: whether to shuffle the samples in every epoch.
        loss: `loss(outputs, targets)`, one number for each sample, which training minimises; softmax cross-entropy
            with integer labels by default. Fitness is the accuracy, or minus the mean loss if a loss is given; NaN
            if an output is NaN or +infinity, or the loss is not finite.
        mesh: distributes breeding, training and evaluation over its devices (see `population.map`). Between steps, the
            networks stay on them.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> x, y, network = jnp.eye(4), jnp.arange(4) % 2, ea.models.MLP(hidden=(10,), classes=2)
        >>> init_fn = lambda key: network.init(key, x)
        >>> synapses = ea.pruning.find(init_fn(jax.random.key(0)))
        >>> s = ea.evolution.Synthesis(network.apply, init_fn, synapses, optax.sgd(0.1), batch_size=2)
        >>> state = s.init(jax.random.key(1), (x, y), (x, y))
        >>> state, info = s.step(jax.random.key(2), state, (x, y), (x, y))
        >>> int(state.generation), bool((info.synapses < 60).all())  # some of 60 synapses were lost
        (2, True)

    References:
        Chung, A., Shafiee, M., Fieguth, P. and Wong, A. The mating rituals of deep neural networks: Learning compact
        feature representations through sexual evolutionary synthesis. 2017.
    """

    apply: Apply
    init_fn: Callable[[PRNGKey], PyTree]
    synapses: Synapses
    optimizer: optax.GradientTransformation
    _: dataclasses.KW_ONLY
    size: int = 2
    parents: int = 2
    mates: str = "neighbours"
    tournament: int = 2
    shares: str | tuple[float, ...] = "equal"
    cluster_shares: str | tuple[float, ...] | None = None
    synapse_factor: Factor = 0.7
    cluster_factor: Factor | None = None
    encoding: Encoding = dataclasses.field(default_factory=Encoding)
    start: str = "scaled"
    alike: bool = True
    ancestors: str = "one"
    alignment: str | Method = "none"
    realigned: bool = False
    compared: int = 1000
    spec: PermutationSpec | None = None
    epochs: int = 1
    batch_size: int = 100
    shuffle: bool = True
    mesh: Mesh | None = None
    loss: Loss | None = None

    def __post_init__(self) -> None:
        for name in ("size", "parents", "tournament", "compared", "epochs", "batch_size"):
            _checks.positive(name, getattr(self, name))
        known = (("mates", MATES), ("start", STARTS), ("ancestors", ANCESTORS))
        for name, names in known:
            _checks.one_of(name, getattr(self, name), names)
        if self.parents > self.size:
            raise _checks.bad("parents", self.parents, f"at most {self.size}, the size", "Raise size.")
        if self.mates == "tournament" and self.tournament > self.size - self.parents + 1:
            most = self.size - self.parents + 1
            raise _checks.bad("tournament", self.tournament, f"at most {most} for the last parent", "Raise size.")
        for name in ("shares", "cluster_shares"):
            self._check_shares(name, getattr(self, name))
        for name in ("synapse_factor", "cluster_factor"):
            factor = getattr(self, name)
            if isinstance(factor, int | float) and not 0 <= factor <= 1:
                raise _checks.bad(name, factor, "a number from 0 to 1", "The authors use 0.7.")
        if self._parent_alignment and self.parents == 1:
            raise _checks.bad("alignment", self.alignment, "'none' for one parent", "Raise parents.")
        if self.realigned and not self._parent_alignment:
            raise _checks.bad("realigned", True, "an alignment", "Pass alignment='correlation', or leave it out.")
        self.synapses.of(jax.eval_shape(self.init_fn, jax.random.key(0)))

    def _check_shares(self, name: str, shares: str | tuple[float, ...] | None) -> None:
        if shares is None:
            return
        if isinstance(shares, str):
            _checks.one_of(name, shares, SHARES)
            if shares == "fitness" and self.parents == 1:
                raise _checks.bad(name, "'fitness'", "'equal' for one parent", "Raise parents.")
        elif len(shares) != self.parents or min(shares) < 0 or abs(sum(shares) - 1) > LEAST_ERROR:
            expected = f"{self.parents} numbers of at least 0 that sum to 1"
            raise _checks.bad(name, shares, expected, "Pass one for each parent.")

    @property
    def _parent_alignment(self) -> ParentAlignment:
        return ParentAlignment(self.alignment, self.spec)

    def init(self, key: PRNGKey, train: Iterable[Any], judge: Iterable[Any]) -> SynthesisState:
        """The first generation: dense networks, trained.

        Args:
            key: a random key.
            train: inputs and targets for training.
            judge: inputs and targets on which fitness is measured.
        """
        key = _checks.key("key", key)
        train, judge = self._checked("train", train), self._checked("judge", judge)
        offspring = self.founders(key)
        trained, _, fitness = _train(self, offspring, train, judge)
        return self.admit(offspring, trained, fitness, generation=jnp.array(1, jnp.int32))

    def step(
        self, key: PRNGKey, state: SynthesisState, train: Iterable[Any], judge: Iterable[Any]
    ) -> tuple[SynthesisState, SynthesisInfo]:
        """One generation: select parents, align them, draw children, train and evaluate them.

        Args:
            key: a random key.
            state: the state of the previous generation.
            train: inputs and targets for training.
            judge: inputs and targets on which fitness is measured.

        Returns:
            The next state, in which the children replace all members, and statistics of the generation.
        """
        key = _checks.key("key", key)
        train, judge = self._checked("train", train), self._checked("judge", judge)
        return _step(self, key, _laid(self, state), train, judge)

    def founders(self, key: PRNGKey) -> SynthesisOffspring:
        """The dense ancestors before training."""
        key = _checks.key("key", key)
        return _founders(self, key)

    def breed(self, key: PRNGKey, state: SynthesisState, train: Iterable[Any]) -> SynthesisOffspring:
        """The children of a population before training."""
        key = _checks.key("key", key)
        return _breed(self, key, state, self._checked("train", train))

    def train(
        self, key: PRNGKey, params: PyTree, masks: PyTree, train: Iterable[Any]
    ) -> tuple[PyTree, Float[Array, ""]]:
        """Train one network; return it and its mean loss in the last epoch. Lift it by `population.map`."""
        key = _checks.key("key", key)
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "shuffle": self.shuffle, "masks": masks}
        settings |= {"loss": self.loss}
        x, y = train
        return training.descend(self.apply, params, x, y, self.optimizer, key=key, **settings)

    def admit(
        self, offspring: SynthesisOffspring, trained: PyTree, fitness: Float[Array, " n"], *, generation: Int[Array, ""]
    ) -> SynthesisState:
        """The state whose members are the trained offspring."""
        return SynthesisState(trained, offspring.masks, offspring.origin, fitness, generation)

    def _checked(self, argument: str, data: Iterable[Any]) -> tuple:
        x, y = jax.tree.map(jnp.asarray, tuple(data))
        check_data(argument, self.apply, jax.eval_shape(self.init_fn, jax.random.key(0)), x, y, self.loss)
        return x, y


@partial(jax.jit, static_argnums=0)
def _founders(self: Synthesis, key: PRNGKey) -> SynthesisOffspring:
    key_init, key_train = jax.random.split(key)
    keys_init, keys_train = (jax.random.split(k, self.size) for k in (key_init, key_train))
    if self.ancestors == "one":
        keys_init, keys_train = (keys[jnp.zeros(self.size, jnp.int32)] for keys in (keys_init, keys_train))
    pop = population.map(self.init_fn, keys_init)
    masks = full_masks(pop)
    counts = jax.vmap(partial(total, self.synapses))(masks).astype(jnp.float32)
    parents = jnp.full((self.size, self.parents), -1, jnp.int32)
    return SynthesisOffspring(pop, masks, pop, keys_train, parents, counts, counts, counts)


@partial(jax.jit, static_argnums=0)
def _step(
    self: Synthesis, key: PRNGKey, state: SynthesisState, train: tuple, judge: tuple
) -> tuple[SynthesisState, SynthesisInfo]:
    offspring = _breed(self, key, state, train)
    trained, loss, fitness = _train(self, offspring, train, judge)
    state = self.admit(offspring, trained, fitness, generation=state.generation + 1)
    info = synthesis_info(self.synapses, offspring, loss, fitness)
    return _laid(self, state), laid_out(info, self.mesh)


def _laid(self: Synthesis, state: SynthesisState) -> SynthesisState:
    """The state with the layout it has between steps: networks, masks and origins distributed over the devices."""
    return laid_out(state, self.mesh, "population", "masks", "origin")


@partial(jax.jit, static_argnums=0)
def _breed(self: Synthesis, key: PRNGKey, state: SynthesisState, train: tuple) -> SynthesisOffspring:
    key_mates, key_draw, key_fresh, key_train = jax.random.split(key, 4)
    some = jax.tree.map(lambda leaf: leaf[: self.compared], train)
    parents = _mates(self, key_mates, state.fitness)
    counts = jax.vmap(partial(total, self.synapses))(state.masks).astype(jnp.float32)
    members = _in_order(self, state, some[0])
    generation = state.generation + 1
    factors = [f(generation) if callable(f) else f for f in (self.synapse_factor, self.cluster_factor)]
    settings = {"synapse_factor": factors[0], "cluster_factor": factors[1], "encoding": self.encoding}

    def child(of: Array, fitness: Array, key_draw: PRNGKey, key_fresh: PRNGKey) -> tuple[PyTree, Conception, PyTree]:
        # one by one: inside a `shard_map`, JAX refuses index arrays on what the function closes over
        params, masks, origin = population.stack([population.take(members, parent) for parent in of])
        shares = _shares(self, self.shares, fitness)
        of_clusters = None if self.cluster_shares is None else _shares(self, self.cluster_shares, fitness)
        gradients = None
        if self.encoding.strength == "saliency":
            gradients = population.map(
                jax.grad(lambda p: training.score(self.apply, p, *some, loss=self.loss).loss), params
            )
        given = {"shares": shares, "cluster_shares": of_clusters, "gradients": gradients, **settings}
        new = conceive(key_draw, self.synapses, params, masks, **given)
        origin = population.take(origin, 0)
        return _initial_weights(self, key_fresh, new.masks, params, masks, origin, shares), new, origin

    keys_fresh = jax.random.split(key_fresh, self.size)
    if self.alike:
        keys_fresh = keys_fresh[jnp.zeros(self.size, jnp.int32)]
    given = parents, state.fitness[parents], jax.random.split(key_draw, self.size), keys_fresh
    pop, new, origin = population.map(child, *given, mesh=self.mesh)
    keys_train = jax.random.split(key_train, self.size)
    before = counts[parents].mean(axis=1)
    return SynthesisOffspring(pop, new.masks, origin, keys_train, parents, before, new.allowed, new.expected)


def _in_order(self: Synthesis, state: SynthesisState, x: PyTree) -> tuple[PyTree, PyTree, PyTree]:
    """Networks, masks and origins in the order of the first member, if they are to be aligned."""
    members = state.population, state.masks, state.origin
    if not self._parent_alignment:
        return members

    def ordered(members: tuple[PyTree, PyTree, PyTree]) -> tuple[PyTree, PyTree, PyTree]:
        networks, *others = members
        reference = population.take(networks, 0)
        return self._parent_alignment.aligned(self.apply, reference, networks, x, *others, mesh=self.mesh)

    if self.realigned:
        return ordered(members)
    branches = [lambda members, of=of: varying(of(members), (members, x)) for of in (ordered, lambda members: members)]
    return jax.lax.cond(state.generation == 1, *branches, members)


def _initial_weights(
    self: Synthesis, key: PRNGKey, mask: PyTree, params: PyTree, masks: PyTree, origin: PyTree, shares: Array
) -> PyTree:
    """The initial weights of a child."""
    if self.start == "origin":
        return masked(mask, origin)
    if self.start == "inherited":

        def mean(leaf: Array, alive: Array) -> Array:
            weights = shares.reshape([-1] + [1] * (leaf.ndim - 1)) * alive
            known = jnp.sum(weights, axis=0)
            return jnp.sum(jnp.where(alive, leaf, 0) * weights, axis=0) / jnp.where(known > 0, known, 1)

        return masked(mask, jax.tree.map(mean, params, masks))
    fresh = self.init_fn(key)
    return masked(mask, scaled(self.synapses, mask, fresh) if self.start == "scaled" else fresh)


def _shares(self: Synthesis, shares: str | tuple[float, ...], fitness: Array) -> Array:
    """Alpha and beta, which sum to 1."""
    if not isinstance(shares, str):
        return jnp.asarray(shares, jnp.float32)
    if shares == "equal":
        return jnp.full(self.parents, 1 / self.parents)
    known = failed_last(fitness)
    errors = 1 - jnp.maximum(known, 0) if self.loss is None else -known
    merit = 1 / jnp.maximum(errors, LEAST_ERROR)
    total = jnp.sum(merit)  # 0 if a loss is given and all parents have failed
    return jnp.where(total > 0, merit / jnp.where(total > 0, total, 1), 1 / self.parents)


def _mates(self: Synthesis, key: PRNGKey, fitness: Array) -> Int[Array, "n parents"]:
    """The parents of every child, all different."""
    if self.mates == "neighbours":
        return (jnp.arange(self.size)[:, None] + jnp.arange(self.parents)[None]) % self.size
    if self.mates == "best":
        return jnp.tile(best(fitness, self.parents)[None], (self.size, 1))
    few = self.tournament if self.mates == "tournament" else 1

    def of_child(key: PRNGKey) -> Array:
        free, chosen = jnp.ones(self.size, bool), []
        for place in range(self.parents):
            lots = jax.random.uniform(jax.random.fold_in(key, place), (self.size,))
            _, drawn = jax.lax.top_k(jnp.where(free, lots, -1), few)
            chosen.append(drawn[jnp.argmax(failed_last(fitness)[drawn])])
            free = free.at[chosen[-1]].set(False)
        return jnp.stack(chosen)

    return jax.vmap(of_child)(jax.random.split(key, self.size))


@partial(jax.jit, static_argnums=0)
def _train(self: Synthesis, offspring: SynthesisOffspring, train: tuple, judge: tuple) -> tuple[PyTree, Array, Array]:
    """Train offspring: networks, losses and fitness."""

    def train_one(params: PyTree, masks: PyTree, key: PRNGKey) -> tuple:
        params, loss = self.train(key, params, masks, train)
        return params, loss, fitness_of(self.apply, params, *judge, loss=self.loss)[0]

    return population.map(train_one, offspring.population, offspring.masks, offspring.keys, mesh=self.mesh)
