"""Evolution of convolutional architectures in which children inherit the trained weights of their parents.

Prellberg & Kramer 2018 (Lamarckian evolution of convolutional neural networks): a (1+1) search with niches, in which a
child is trained for a few epochs from the weights that it inherits. Populations and crossover, which the authors
propose as future work, are also implemented. Host functions, since each architecture needs its own compiled program;
`training.fit_pieces` shares compiled pieces between architectures.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import _checks, training
from evojax_align._types import Loss, PRNGKey, PyTree
from evojax_align.evolution.lamarckian.genome import Architecture, Genome, Space, draw
from evojax_align.evolution.lamarckian.inheritance import INHERIT, inherit
from evojax_align.evolution.lamarckian.records import (
    ORIGINS,
    Individual,
    LamarckianOffspring,
    LamarckianState,
    SearchHistory,
    fitter,
)
from evojax_align.evolution.lamarckian.splicing import MATCHINGS, splice
from evojax_align.evolution.selection import failed_last
from evojax_align.models import BlockCNN
from evojax_align.training.scoring import CHUNK

SCHEMES = ("niching", "plus", "ageing")


@dataclasses.dataclass(frozen=True, eq=False)
class Lamarckian:
    """Architecture search: `state = s.init(key, train, judge)`, then `state, news = s.step(key, state, train, judge)`
    until `s.done(state)`.

    A step is `breed`, then `evaluate`, then `choose`. If evaluations are long, train the offspring epoch by epoch
    (`training.train_pieces`), then call `judge` and `choose`.

    Main arguments:
        network: maps an architecture to a network, such as `lambda blocks: models.BlockCNN(blocks, classes=10)`.
        space: the architectures that may be visited.
        optimizer: optimiser of the training; its state is initialised for every child. Searches with the same object
            share compiled programs.

    Other arguments:
        epochs: epochs of training in each evaluation.
        batch_size: samples in a training step.
        budget: total number of epochs, including those of niches and of the first networks.
        marks: numbers of epochs after which the champion is kept (`LamarckianState.marked`).
        inherit: rule of inheritance: "none", "shape" or "function" (see `evolution.inherit`).
        noise: variation of the fractions of weights that copies of filters get, for "function".
        scheme: "niching" is the (1+1) search of the paper. "plus" keeps the fittest `size` of members and children.
            "ageing" replaces the oldest members by children of tournament winners (Real et al. 2019).
        niche_rate: probability of opening a niche for a child that is not fitter than its parent.
        niche_length: number of networks that are tried in a niche.
        size: number of members.
        children: number of networks that a step evaluates together.
        tournament: number of members in a tournament, for "ageing".
        crossover: probability that a child has two parents (see `evolution.splice`), for populations.
        matching: how blocks and filters of two parents are matched: "correlation", or "order" as a control.
        compared: number of training samples on which they are compared.
        loss: `loss(outputs, targets)`, one number for each sample, for tasks other than classification. Fitness is
            then minus the mean loss; without it, the accuracy.
        chunk: samples evaluated at a time.
        devices: devices over which the children of a step are distributed (see `training.fit_pieces`).

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> x, y = jax.random.normal(jax.random.key(0), (20, 8, 8)), jnp.arange(20) % 4
        >>> make = lambda blocks: ea.models.BlockCNN(blocks, classes=4)
        >>> space = ea.evolution.Space(filters=(4, 8))
        >>> search = ea.evolution.Lamarckian(make, space, optax.adam(1e-2), epochs=1, batch_size=10, budget=3)
        >>> state = search.init(jax.random.key(1), (x, y), (x, y))
        >>> while not search.done(state):
        ...     key = jax.random.key(state.epochs)
        ...     state, news = search.step(key, state, (x, y), (x, y))
        >>> state.epochs, len(state.history.fitness)
        (3, 3)

    References:
        Prellberg, J. and Kramer, O. (2018). Lamarckian evolution of convolutional neural networks. PPSN XV.
        Real, E. et al. (2019). Regularized evolution for image classifier architecture search. AAAI.
    """

    network: Callable[[Architecture], BlockCNN]
    space: Space
    optimizer: optax.GradientTransformation
    _: dataclasses.KW_ONLY
    epochs: int = 4
    batch_size: int = 512
    budget: int = 512
    marks: Sequence[int] = ()
    inherit: str = "shape"
    noise: float = 0.1
    scheme: str = "niching"
    niche_rate: float = 0.1
    niche_length: int = 5
    size: int = 1
    children: int = 1
    tournament: int = 2
    crossover: float = 0.0
    matching: str = "correlation"
    compared: int = 100
    loss: Loss | None = None
    chunk: int = CHUNK
    devices: Sequence[Any] = ()

    def __post_init__(self) -> None:
        members, rest = ("size", "children", "tournament"), ("niche_length", "compared", "chunk")
        for name in ("epochs", "batch_size", "budget", *members, *rest):
            _checks.positive(name, getattr(self, name))
        for name, known in (("inherit", INHERIT), ("scheme", SCHEMES), ("matching", MATCHINGS)):
            _checks.one_of(name, getattr(self, name), known)
        for name in ("niche_rate", "crossover"):
            if not 0 <= getattr(self, name) <= 1:
                raise _checks.bad(name, getattr(self, name), "a number from 0 to 1", f"Pass {name}=0.1.")
        if self.loss is not None:
            _checks.network(self.loss, "loss")
        if not self.noise >= 0:
            raise _checks.bad("noise", self.noise, "a number of at least 0", "Pass noise=0.1.")
        if self.scheme == "niching" and (self.size, self.children, self.crossover) != (1, 1, 0):
            came = f"size {self.size}, children {self.children} and crossover {self.crossover}"
            expected = 'one member, one child and no crossover with scheme="niching"'
            raise _checks.bad("size, children, crossover", came, expected, 'Pass scheme="plus" or "ageing".')
        if self.crossover and self.size < 2:
            raise _checks.bad("size", self.size, "at least 2 members to cross", "Pass size=2 or more.")
        if self.scheme == "ageing" and self.children >= self.size:
            came = f"{self.children} children of {self.size} members"
            raise _checks.bad("children", came, "fewer than members", "Each replaces one of the oldest.")
        if self.size * self.epochs > self.budget:
            came = f"{self.budget} epochs for {self.size} first networks of {self.epochs}"
            raise _checks.bad("budget", came, f"at least {self.size * self.epochs}", "Raise it, or lower epochs.")

    def init(self, key: PRNGKey, train: Iterable[Any], judge: Iterable[Any]) -> LamarckianState:
        """Create the first members, each a single block of stride 1, train them and evaluate their fitness.

        Args:
            key: a random key.
            train: training data: inputs and labels, or the targets that the loss takes.
            judge: data of the same form on which fitness is measured.
        """
        _refuse_trace("init", key, train, judge)
        key = _checks.key("key", key)
        offspring = self.first(key, train)
        return self.choose(key, self.empty(), offspring, self.evaluate(offspring, train, judge))[0]

    def empty(self) -> LamarckianState:
        """The state before anything was evaluated."""
        none = {name: np.zeros(0) for name in ("fitness", "loss", "best")}
        none |= {name: np.zeros(0, np.int64) for name in ("blocks", "origin", "niche", "epochs")}
        history = SearchHistory(genes=np.zeros((0, 4), np.int32), parents=np.zeros((0, 2), np.int64), **none)
        nobody = Individual(np.zeros((0, 4), np.int32), {}, np.array(np.nan), np.array(-1))
        rest = {"identities": np.array(0), "niche": np.array(0)}
        return LamarckianState.made((), nobody, (nobody,) * len(self.marks), history, **rest)

    def first(self, key: PRNGKey, train: Iterable[Any]) -> list[LamarckianOffspring]:
        """The initial networks of a search."""
        _refuse_trace("first", key, train)
        key = _checks.key("key", key)
        x, _ = train
        found: list[LamarckianOffspring] = []
        for number in range(self.size):
            key_genome, key_fresh, key_train = jax.random.split(jax.random.fold_in(key, number), 3)
            genome = self.space.first(key_genome, {child.genome.architecture for child in found}, number)
            fresh = training.init_pieces(self.network(genome.architecture), key_fresh, x)
            found.append(LamarckianOffspring(genome, fresh, (-1, -1), "first", key_train))
        return found

    def step(
        self, key: PRNGKey, state: LamarckianState, train: Iterable[Any], judge: Iterable[Any]
    ) -> tuple[LamarckianState, SearchHistory]:
        """One generation: breed, evaluate, choose.

        Args:
            key: a random key.
            state: the state of the previous generation.
            train: training data: inputs and labels, or the targets that the loss takes.
            judge: data of the same form on which fitness is measured.

        Returns:
            The next state, and the history of the networks that were evaluated for it.
        """
        _refuse_trace("step", key, state, train, judge)
        key = _checks.key("key", key)
        offspring = self.breed(key, state, train)
        return self.choose(key, state, offspring, self.evaluate(offspring, train, judge))

    def done(self, state: LamarckianState) -> bool:
        """Whether the budget is too small for another evaluation."""
        _refuse_trace("done", state)
        return state.epochs + self.epochs > self.budget

    def breed(self, key: PRNGKey, state: LamarckianState, train: Iterable[Any]) -> list[LamarckianOffspring]:
        """The next networks, as many as the budget allows, with architectures that were not evaluated before.

        Raises:
            ValueError: if the budget is spent; `Exhausted`, a subclass, if all possible children have been evaluated.
        """
        _refuse_trace("breed", key, state, train)
        key = _checks.key("key", key)
        count = min(self.children, (self.budget - state.epochs) // self.epochs)
        if count < 1:
            came = f"{state.epochs} epochs spent of {self.budget}"
            raise _checks.bad("state", came, f"{self.epochs} left", "Stop when `done(state)`, or raise the budget.")
        x, _ = train
        seen, found, identity = set(state.history.architectures), [], int(state.identities)
        for number in range(count):
            child = self._child(jax.random.fold_in(key, number), state, x, seen, identity)
            identity = max(identity, *(block.identity + 1 for block in child.genome.blocks))
            seen.add(child.genome.architecture)
            found.append(child)
        return found

    def evaluate(
        self, offspring: Sequence[LamarckianOffspring], train: Iterable[Any], judge: Iterable[Any]
    ) -> list[tuple[PyTree, float, float]]:
        """Train networks together and evaluate them; return the variables, fitness and last loss of each."""
        _refuse_trace("evaluate", [child.variables for child in offspring], train, judge)
        networks = [self.network(child.genome.architecture) for child in offspring]
        starts, keys = [child.variables for child in offspring], [child.key for child in offspring]
        settings = {"epochs": self.epochs, "batch_size": self.batch_size, "devices": self.devices}
        settings |= {"loss": self.loss}
        found, losses = training.fit_pieces(networks, starts, train, self.optimizer, keys=keys, **settings)
        return self.judge(offspring, found, losses[:, -1].tolist(), judge)

    def judge(
        self,
        offspring: Sequence[LamarckianOffspring],
        trained: Sequence[PyTree],
        losses: Sequence[float],
        judge: Iterable[Any],
    ) -> list[tuple[PyTree, float, float]]:
        """The last part of `evaluate`: return the variables, fitness and loss of each trained network."""
        _refuse_trace("judge", trained, losses, judge)
        evaluated, data = [], tuple(judge)
        for child, variables, loss in zip(offspring, trained, losses, strict=True):
            network = self.network(child.genome.architecture)
            found = training.evaluate_pieces(network, variables, *data, loss=self.loss, chunk=self.chunk)
            fitness = float(found.accuracy if self.loss is None else -found.loss)
            fitness = fitness if np.isfinite(loss + float(found.loss)) else np.nan
            evaluated.append((jax.device_get(variables), fitness, float(loss)))
        return evaluated

    def choose(
        self,
        key: PRNGKey,
        state: LamarckianState,
        offspring: Sequence[LamarckianOffspring],
        evaluated: Sequence[tuple[PyTree, float, float]],
    ) -> tuple[LamarckianState, SearchHistory]:
        """Select the next members from the offspring and the result of `evaluate`. The key is that of `breed`.

        Returns:
            The next state, and the history of the offspring.
        """
        _refuse_trace("choose", key, state, evaluated)
        key = _checks.key("key", key)
        count = len(state.history.fitness)
        children = tuple(
            Individual(child.genome.genes, variables, np.array(fitness), np.array(count + number))
            for number, (child, (variables, fitness, _)) in enumerate(zip(offspring, evaluated, strict=True))
        )
        champion, marked, best = state.champion, state.marked, []
        epochs = state.epochs + self.epochs * np.arange(1, len(children) + 1)
        for child, spent in zip(children, epochs, strict=True):
            champion = child if fitter(child, champion) or not champion.genes.size else champion
            pairs = zip(self.marks, marked, strict=True)
            marked = tuple(champion if spent <= mark else earlier for mark, earlier in pairs)
            best.append(float(champion.fitness))
        news = SearchHistory(
            genes=np.concatenate([child.genes for child in children]),
            blocks=np.array([len(child.genes) for child in children]),
            fitness=np.array([float(child.fitness) for child in children]),
            loss=np.array([loss for *_, loss in evaluated]),
            parents=np.array([child.parents for child in offspring]),
            origin=np.array([ORIGINS.index(child.origin) for child in offspring]),
            niche=np.full(len(children), int(state.niche > 0)),
            epochs=epochs,
            best=np.array(best),
        )
        used = [block.identity + 1 for child in offspring for block in child.genome.blocks]
        members, niche = self._kept(key, state, children)
        history = jax.tree.map(lambda old, new: np.concatenate([old, new]), state.history, news)
        rest = {"identities": np.array(max([int(state.identities), *used])), "niche": np.array(niche)}
        return LamarckianState.made(members, champion, marked, history, **rest), news

    def _child(
        self, key: PRNGKey, state: LamarckianState, x: PyTree, seen: set[Architecture], identity: int
    ) -> LamarckianOffspring:
        key_parent, key_cross, key_mutate, key_fresh, key_inherit, key_train = jax.random.split(key, 6)
        first = self._parent(key_parent, state)
        genome, variables, parents, origin = Genome.of(first.genes), first.variables, (int(first.number), -1), ""
        if self.crossover and len(state.members) > 1 and float(jax.random.uniform(key_cross)) < self.crossover:
            others = [member for member in state.members if member.number != first.number]
            second = others[draw(jax.random.fold_in(key_cross, 1), np.ones(len(others)))]
            crossed = self._crossed(jax.random.fold_in(key_cross, 2), first, second, x, identity)
            if crossed is not None:
                (genome, variables), parents, origin = crossed, (int(first.number), int(second.number)), "crossover"
                identity = max(identity, *(block.identity + 1 for block in genome.blocks))
        child = genome
        if not origin or genome.architecture in seen:
            kind, child = self.space.mutate(key_mutate, genome, seen=seen, identity=identity)
            origin = "crossover and mutation" if origin else kind
        network = self.network(child.architecture)
        fresh = training.init_pieces(network, key_fresh, x)
        settings = {"key": key_inherit, "noise": self.noise, "epsilon": network.epsilon}
        start = inherit(self.inherit, genome, child, variables, fresh, **settings)
        return LamarckianOffspring(child, start, parents, origin, key_train)

    def _crossed(
        self, key: PRNGKey, first: Individual, second: Individual, x: PyTree, identity: int
    ) -> tuple[Genome, PyTree] | None:
        genomes = [Genome.of(parent.genes) for parent in (first, second)]
        networks = [self.network(genome.architecture) for genome in genomes]
        part = jax.tree.map(lambda leaf: leaf[: self.compared], x)
        variables = [parent.variables for parent in (first, second)]
        settings = {"matching": self.matching, "identity": identity}
        return splice(key, self.space, genomes, networks, variables, part, **settings)

    def _parent(self, key: PRNGKey, state: LamarckianState) -> Individual:
        members = state.members
        if self.scheme == "niching":
            return members[-1]
        if self.scheme == "plus":
            return members[draw(key, np.ones(len(members)))]
        drawn = [draw(k, np.ones(len(members))) for k in jax.random.split(key, self.tournament)]
        fittest = members[drawn[0]]
        for number in drawn[1:]:
            fittest = members[number] if fitter(members[number], fittest) else fittest
        return fittest

    def _kept(
        self, key: PRNGKey, state: LamarckianState, children: tuple[Individual, ...]
    ) -> tuple[tuple[Individual, ...], int]:
        """The next members, and the number of networks that a niche may still try."""
        if not state.members:
            return children, 0
        everyone = (*state.members, *children)
        if self.scheme == "ageing":
            return everyone[len(children) :], 0
        if self.scheme == "plus":
            fitness = failed_last(jnp.array([float(member.fitness) for member in everyone]))
            order = np.argsort(-np.asarray(fitness), kind="stable")[: self.size]
            return tuple(everyone[number] for number in order), 0
        (child,), (parent, *rest) = children, state.members
        if not rest:
            if fitter(child, parent):
                return (child,), 0
            follow = float(jax.random.uniform(jax.random.fold_in(key, 1))) < self.niche_rate
            return ((parent, child), self.niche_length) if follow else ((parent,), 0)
        follower = child if fitter(child, rest[0]) else rest[0]
        if state.niche > 1:
            return (parent, follower), int(state.niche) - 1
        return (follower if fitter(follower, parent) else parent,), 0


def _refuse_trace(method: str, *trees: PyTree) -> None:
    instead = "each architecture needs its own program, which the methods compile."
    _checks.refuse_trace(f"Lamarckian.{method}", instead, trees)
