"""Recombination of genes in a population between epochs of gradient descent (Cooke & de Alfaro), with extensions.

In every generation, children take each gene from one of two parents of the better half, train for an epoch, and are
evaluated. The extensions are bonuses for diversity, which the authors propose, and alignment, which makes genes of
different descent compatible: the second parent's neurons can be put into the order of the first parent's.
"""

import dataclasses
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from evojax_align import _checks, population, training
from evojax_align._devices import laid_out, whole
from evojax_align._types import Apply, Array, Float, Int, Loss, PRNGKey, PyTree
from evojax_align.alignment import Method
from evojax_align.crossover.genes import NO_GENE, Genes, mix
from evojax_align.evolution.fitness import fitness_of
from evojax_align.evolution.mutation import gaussian
from evojax_align.evolution.parent_alignment import ParentAlignment
from evojax_align.evolution.recombination.diversity import (
    BONUSES,
    cosines,
    disagreement,
    mean_of_pairs,
    scored,
    within_pairs,
)
from evojax_align.evolution.recombination.islands import joined, migrated, places, survivors
from evojax_align.evolution.recombination.records import (
    Candidates,
    RecombinationInfo,
    RecombinationOffspring,
    RecombinationState,
    founded,
)
from evojax_align.evolution.selection import best, couples
from evojax_align.symmetry import PermutationSpec
from evojax_align.training._checking import check_data

SELECTIONS = ("best", "random")
Samples: TypeAlias = Iterable[Any]
"""Inputs and their targets, as passed by a user; after the checks, `Data`."""
Data: TypeAlias = tuple[PyTree, PyTree]


@dataclasses.dataclass(frozen=True, eq=False)
class Recombination:
    """Mixed evolution: `state = r.init(key, judge)`, then `state, info = r.step(key, state, train, judge)`.

    Both are pure functions, compiled once for each object and shapes of the data.

    Main arguments:
        apply: the network; its outputs are logits, or what the loss takes.
        init_fn: `init_fn(key) -> params` of one network.
        genes: the units of inheritance: `crossover.layer_genes`, `block_genes` or `neuron_genes` of one network. A
            weight without a gene is redrawn in every child.
        optimizer: optimiser of the gradient descent; its state is initialised in every generation.

    Other arguments:
        size: number of members.
        parents: fraction of the members (of an island) that may become parents.
        epochs: passes over the training data in a generation.
        batch_size: samples in a training step.
        shuffle: whether to shuffle the samples in every epoch.
        immigrants: number of new random networks that are trained and evaluated with the children in every generation.
            They compete with networks that have been trained for longer, so that few later immigrants survive.
        selection: "best" selects parents and survivors by score; "random" draws both uniformly, as a control.
        alignment: how the second parent's neurons are matched with the first parent's before recombination: "none", or
            a bijective method of `align`. All members are aligned with the best one, and then each second parent with
            the first, so that the whole population stays in one order.
        compared: number of training samples on which neurons are compared.
        spec: the symmetry of the network; inferred by default.
        mutation: standard deviation of the Gaussian noise on a child's gene, relative to the root mean square of its
            layer's weights.
        mutation_rate: the probability that a gene mutates.
        adaptive: whether to multiply the scale of a gene's mutation by the mean cosine similarity of all members in
            this gene (at least 0), so that more similar genes mutate more.
        bonus: bonus for diversity: "none", "cosine", "hybrid", "sharing" or "novelty" (see `diversity.scored`).
        bonus_weight: weight of the bonus.
        islands: number of subpopulations in which parents and survivors are selected separately.
        loss: `loss(outputs, targets)`, one number for each sample, which training minimises; softmax cross-entropy
            with integer labels by default. Fitness is the accuracy, or minus the mean loss if a loss is given; NaN
            if an output is NaN or +infinity, or the loss is not finite.
        migration: interval, in generations, at which the best of each island replaces the worst of the next island,
            before breeding.
        mesh: distributes breeding, training and evaluation over its devices (see `population.map`). Between steps, the
            members and their ancestors stay on them.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> x, y, network = jnp.eye(4), jnp.arange(4) % 2, ea.models.MLP(hidden=(3,), classes=2)
        >>> init_fn = lambda key: network.init(key, x)
        >>> genes = ea.crossover.layer_genes(init_fn(jax.random.key(0)))
        >>> r = ea.evolution.Recombination(network.apply, init_fn, genes, optax.sgd(0.1), size=4, batch_size=2)
        >>> state, info = r.step(jax.random.key(2), r.init(jax.random.key(1), (x, y)), (x, y), (x, y))
        >>> int(state.generation), bool((jnp.diff(state.fitness) <= 0).all())  # the best first
        (1, True)

    References:
        Cooke, G. and de Alfaro, L. Experiments on mixed genetic and gradient-driven evolution for machine learning.
    """

    apply: Apply
    init_fn: Callable[[PRNGKey], PyTree]
    genes: Genes
    optimizer: optax.GradientTransformation
    _: dataclasses.KW_ONLY
    size: int = 20
    parents: float = 0.5
    epochs: int = 1
    batch_size: int = 100
    shuffle: bool = True
    immigrants: int = 0
    selection: str = "best"
    alignment: str | Method = "none"
    compared: int = 1000
    spec: PermutationSpec | None = None
    mutation: float = 0.0
    mutation_rate: float = 1.0
    adaptive: bool = False
    bonus: str = "none"
    bonus_weight: float = 0.05
    islands: int = 1
    migration: int = 2
    mesh: Mesh | None = None
    loss: Loss | None = None

    def __post_init__(self) -> None:
        for name in ("size", "epochs", "batch_size", "compared", "islands", "migration"):
            _checks.positive(name, getattr(self, name))
        for name, known in (("selection", SELECTIONS), ("bonus", BONUSES)):
            _checks.one_of(name, getattr(self, name), known)
        for name in ("size", "immigrants"):
            if getattr(self, name) < 0 or getattr(self, name) % self.islands:
                came = f"{getattr(self, name)} on {self.islands} islands"
                raise _checks.bad(name, came, "the same number for every island", f"Pass a multiple of {self.islands}.")
        for name, most in (("parents", 1.0), ("mutation_rate", 1.0), ("mutation", float("inf"))):
            if not 0 <= getattr(self, name) <= most:
                raise _checks.bad(name, getattr(self, name), f"a number from 0 to {most:g}", "It is a fraction.")
        _ = self._parent_alignment  # raises an error for a method that is not bijective
        if self.adaptive and not self.mutation:
            raise _checks.bad("adaptive", True, "a mutation to adapt", "Pass mutation=0.1, or leave adaptive out.")
        if self._pool < 2:
            came = f"{self.parents} of {self.size // self.islands} members"
            raise _checks.bad("parents", came, "at least 2 parents", "Raise parents or size, or use fewer islands.")
        if not self.bonus_weight >= 0:
            raise _checks.bad("bonus_weight", self.bonus_weight, "a number of at least 0", "Leave bonus at 'none'.")
        if self.loss is not None and self.bonus in ("sharing", "novelty"):
            expected = "'none', 'cosine' or 'hybrid' with a loss"
            fix = "Sharing needs a fitness of at least 0, novelty predicted classes."
            raise _checks.bad("bonus", repr(self.bonus), expected, fix)
        ours, theirs = (jax.tree.map(jnp.shape, tree) for tree in (self.genes.index, self._shapes))
        if ours != theirs:
            raise _checks.bad(
                "genes", "genes of another network", "those of a network of init_fn", "Make them from one."
            )

    @property
    def _shapes(self) -> PyTree:
        return jax.eval_shape(self.init_fn, jax.random.key(0))

    @property
    def _parent_alignment(self) -> ParentAlignment:
        return ParentAlignment(self.alignment, self.spec)

    @property
    def _holds_all(self) -> bool:
        """Whether every weight belongs to a gene, so that no weights are redrawn in children."""
        return not any(np.any(np.asarray(leaf) == NO_GENE) for leaf in jax.tree.leaves(self.genes.index))

    @property
    def _pool(self) -> int:
        return int(self.parents * (self.size // self.islands) + 1e-9)

    def init(self, key: PRNGKey, judge: Samples) -> RecombinationState:
        """The first generation, untrained.

        Args:
            key: a random key.
            judge: inputs and targets on which fitness is measured.
        """
        key = _checks.key("key", key)
        return _init(self, _drawn(self.init_fn, key, self.size), self._checked("judge", judge))

    def step(
        self, key: PRNGKey, state: RecombinationState, train: Samples, judge: Samples
    ) -> tuple[RecombinationState, RecombinationInfo]:
        """One generation: select parents, recombine, mutate, train, evaluate, select survivors.

        Args:
            key: a random key.
            state: the state of the previous generation.
            train: inputs and targets for training.
            judge: inputs and targets on which fitness is measured.

        Returns:
            The next state, and statistics of the generation.
        """
        key = _checks.key("key", key)
        train, judge = self._checked("train", train), self._checked("judge", judge)
        return _step(self, key, _laid(self, state), train, judge)

    def breed(self, key: PRNGKey, state: RecombinationState, x: PyTree, count: int) -> RecombinationOffspring:
        """Children of a population, untrained.

        Args:
            key: a random key.
            state: the state; the better members of each island become parents.
            x: inputs on which neurons are compared, if parents are aligned.
            count: number of children, a multiple of the number of islands.
        """
        key = _checks.key("key", key)
        return _breed(self, key, state, x, _checks.positive("count", count))

    def _checked(self, argument: str, data: Samples) -> Data:
        x, y = jax.tree.map(jnp.asarray, tuple(data))
        check_data(argument, self.apply, self._shapes, x, y, self.loss)
        return x, y

    def train(self, key: PRNGKey, params: PyTree, train: Samples) -> tuple[PyTree, Float[Array, ""]]:
        """Train one network for one generation; return it and its mean loss in the last epoch.

        Args:
            key: draws the order of the samples.
            params: the network; for a population, lift this method by `population.map`.
            train: inputs and targets for training.
        """
        key = _checks.key("key", key)
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "shuffle": self.shuffle, "loss": self.loss}
        x, y = train
        return training.descend(self.apply, params, x, y, self.optimizer, key=key, **settings)


_drawn = jax.jit(population.init, static_argnums=(0, 2))  # shared by all algorithms of one network


@partial(jax.jit, static_argnums=0)
def _init(self: Recombination, members: PyTree, judge: Data) -> RecombinationState:
    fitness, _ = population.map(lambda params: fitness_of(self.apply, params, *judge, loss=self.loss), members)
    return RecombinationState(
        population=members,
        fitness=fitness,
        score=fitness,
        ancestors=founded(members, self.genes, jnp.arange(self.size, dtype=jnp.int32)),
        generation=jnp.array(0, jnp.int32),
        founders=jnp.array(self.size, jnp.int32),
    )


@partial(jax.jit, static_argnums=(0, 4))
def _breed(
    self: Recombination, key: PRNGKey, state: RecombinationState, x: PyTree, count: int
) -> RecombinationOffspring:
    each = self.size // self.islands
    key_couples, key_choose, key_genes, key_fresh = jax.random.split(key, 4)
    if count % self.islands:
        raise _checks.bad("count", count, f"a multiple of {self.islands} islands", "All islands breed alike.")

    def couples_of(key: PRNGKey, key_pool: PRNGKey, score: Array) -> Array:
        chosen = _by_chance(key_pool, score) if self.selection == "random" else score
        return couples(key, best(chosen, self._pool), count // self.islands)

    keys = jax.random.split(key_couples, self.islands), jax.random.split(key_choose, self.islands)
    parents = jax.vmap(couples_of)(*keys, state.score.reshape(self.islands, each))
    parents = (parents + each * jnp.arange(self.islands)[:, None, None]).reshape(count, 2)
    from_b = jax.random.bernoulli(key_genes, 0.5, (count, len(self.genes.names)))
    order = self._parent_alignment.aligned
    # one common order, so that genes of all members are comparable by position
    reference = population.take(state.population, best(state.score, 1)[0])
    members = order(self.apply, reference, state.population, x, state.ancestors, mesh=self.mesh)

    def child(pair: Array, choices: Array, key: PRNGKey) -> tuple[PyTree, PyTree, Array]:
        a, b = (population.take(members, pair[side]) for side in (0, 1))
        b, of_b = (jax.tree.map(lambda leaf: leaf[None], tree) for tree in b)
        b = population.take(order(self.apply, a[0], b, x, of_b), 0)
        unborn = jax.tree.map(lambda leaf: jnp.full_like(leaf, NO_GENE), a[1])
        params = mix(self.genes, choices, a[0], b[0], fresh=None if self._holds_all else self.init_fn(key))
        hybrid = 1 - jnp.mean(within_pairs(a[0], b[0], self.genes))
        return params, mix(self.genes, choices, a[1], b[1], fresh=unborn), hybrid

    given = parents, from_b, jax.random.split(key_fresh, count)
    children, ancestors, hybrid = population.map(child, *given, mesh=self.mesh)
    return RecombinationOffspring(children, ancestors, parents, from_b, hybrid)


@partial(jax.jit, static_argnums=0)
def _step(
    self: Recombination, key: PRNGKey, state: RecombinationState, train: Data, judge: Data
) -> tuple[RecombinationState, RecombinationInfo]:
    candidates = _bred(self, key, state, train)
    state, info = _kept(self, key, state, candidates, _trained(self, candidates, train, judge))
    return _laid(self, state), laid_out(info, self.mesh)


def _laid(self: Recombination, state: RecombinationState) -> RecombinationState:
    """The state with the layout it has between steps: members and their ancestors distributed over the devices."""
    return laid_out(state, self.mesh, "population", "ancestors")


def _bred(self: Recombination, key: PRNGKey, state: RecombinationState, train: Data) -> Candidates:
    key_breed, key_mutate, key_immigrants, key_train, _ = jax.random.split(key, 5)
    state = migrated(self.islands, self.migration, state)
    offspring = _breed(self, key_breed, state, jax.tree.map(lambda leaf: leaf[: self.compared], train[0]), self.size)
    children, strength = _mutated(self, key_mutate, state.population, offspring.population)
    ancestors, hybrid = offspring.ancestors, offspring.hybrid
    if self.immigrants:
        new = population.map(self.init_fn, jax.random.split(key_immigrants, self.immigrants), mesh=self.mesh)
        numbers = state.founders + jnp.arange(self.immigrants, dtype=jnp.int32)
        newcomers = new, founded(new, self.genes, numbers), jnp.ones(self.immigrants)
        children, ancestors, hybrid = joined(self.islands, (children, ancestors, hybrid), newcomers)
    keys = jax.random.split(key_train, self.size + self.immigrants)
    return Candidates(children, ancestors, hybrid, keys, offspring.parents, offspring.from_b, strength)


def _trained(self: Recombination, candidates: Candidates, train: Data, judge: Data) -> tuple:
    """Train the candidates: networks, losses, fitness and predictions; and their fitness before training."""

    def train_one(params: PyTree, key: PRNGKey) -> tuple:
        untrained, _ = fitness_of(self.apply, params, *judge, loss=self.loss)
        params, loss = self.train(key, params, train)
        return params, loss, *fitness_of(self.apply, params, *judge, loss=self.loss), untrained

    return population.map(train_one, candidates.population, candidates.keys, mesh=self.mesh)


def _kept(
    self: Recombination, key: PRNGKey, state: RecombinationState, candidates: Candidates, lived: tuple
) -> tuple[RecombinationState, RecombinationInfo]:
    """The next state, and statistics of the generation."""
    trained, *others = lived
    loss, fitness, answers, untrained, hybrid = whole((*others, candidates.hybrid), self.mesh)
    score = _scores(self, trained, fitness, answers, hybrid)
    kept = _survivors(self, jax.random.split(key, 5)[4], score)
    children = places(self.islands, fitness.shape[0])[:, : self.size // self.islands].reshape(-1)
    new_state = RecombinationState(
        *population.take((trained, fitness, score, candidates.ancestors), kept),
        generation=state.generation + 1,
        founders=state.founders + self.immigrants,
    )
    parents, from_b, mutation = candidates.parents, candidates.from_b, candidates.mutation
    return new_state, RecombinationInfo(parents, from_b, untrained[children], loss, fitness, score, kept, mutation)


def _mutated(self: Recombination, key: PRNGKey, pop: PyTree, children: PyTree) -> tuple[PyTree, Float[Array, " genes"]]:
    """The children with noise on some genes, and the scale of the noise in each gene."""
    strength = jnp.full(len(self.genes.names), self.mutation)
    if not self.mutation:
        return children, strength
    if self.adaptive:
        alike = cosines(whole(pop, self.mesh), self.genes)
        strength = strength * jnp.clip(mean_of_pairs(jnp.where(jnp.isfinite(alike), alike, 0)), 0, 1)
    keys = jax.random.split(key, self.size)

    def mutant(key: PRNGKey, params: PyTree) -> PyTree:
        return gaussian(key, params, self.genes, scale=strength, rate=self.mutation_rate)

    return population.map(mutant, keys, children, mesh=self.mesh), strength


def _scores(self: Recombination, trained: PyTree, fitness: Array, answers: Array | None, hybrid: Array) -> Array:
    """The scores for ranking; only the comparisons that the bonus needs are computed."""
    count = fitness.shape[0]
    alike = differ = jnp.zeros((count, count))
    if self.bonus in ("cosine", "sharing"):
        alike = cosines(whole(trained, self.mesh), self.genes).mean(axis=0)
    if self.bonus == "novelty" and answers is not None:
        differ = disagreement(answers)
    return scored(self.bonus, fitness, self.bonus_weight, alike=alike, hybrid=hybrid, differ=differ)


def _survivors(self: Recombination, key: PRNGKey, score: Array) -> Int[Array, " n"]:
    """The indices of the candidates that survive, best first on every island."""
    score = _by_chance(key, score) if self.selection == "random" else score
    return survivors(self.islands, score, self.size // self.islands)


def _by_chance(key: PRNGKey, score: Array) -> Array:
    """Random scores, -inf for failed members."""
    return jnp.where(jnp.isnan(score), jnp.nan, jax.random.uniform(key, score.shape))
