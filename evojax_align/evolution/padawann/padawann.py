"""Pruning of a trained network by evolution, so that its topology with one shared weight value solves several tasks.

The algorithm of Dobreva's thesis (Combining knowledge from pre-trained networks and weight agnosticism, Radboud
University, 2022), with its baselines and proposed extensions. Members of the population are topologies of given
networks: what `pruning.basis` keeps of their weights, and masks.
"""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._devices import laid_out, whole
from evojax_align._tree import masked, with_leaves
from evojax_align._types import Apply, Array, Bool, Float, Loss, PRNGKey, PyTree
from evojax_align.crossover import Genes, mix
from evojax_align.crossover.one_point import PLACES
from evojax_align.evolution.fitness import JOINT, joint
from evojax_align.evolution.padawann.records import PadawannInfo, PadawannOffspring, PadawannState, Topology
from evojax_align.evolution.selection import best, failed_last, tournaments
from evojax_align.pruning import Rollouts, Synapses, Task, at_value, full_masks, lose, rollouts, total
from evojax_align.pruning.agnostic import BIASES
from evojax_align.pruning.choosing import AMONG, check_layers
from evojax_align.training._checking import check_data, check_masks
from evojax_align.training.scoring import CHUNK

CROSSOVERS = ("one_point", "uniform", "none")
PARENTS = ("tournament", "best")
OVER = ("best", "mean", "ensemble")


@dataclasses.dataclass(frozen=True, eq=False)
class Padawann:
    """Evolutionary pruning: `state = p.init(key, ancestors, tasks)`, then `state, info = p.step(key, state, tasks)`.

    Main arguments:
        apply: the network; its outputs are logits, or what the loss takes.
        synapses: the leaves that are weights and are pruned.

    Other arguments:
        size: number of members.
        values: the values of the shared weight at which a network is evaluated.
        biases: "kept" for unchanged biases, or "shared" to multiply them like the weights (see `pruning.at_value`).
        share: fraction of the synapses that a child loses (see `pruning.lose`, also for the next three). The thesis
            states 0.00025; its code uses 0.025, which agrees with its results.
        among: "all", as in its code, or "living".
        whole_clusters: whether filters and units are pruned as a whole.
        layers: with whole clusters, "every" layer loses some, or "one" that is drawn, as in the thesis's code.
        elitism: fraction of members, the best, that survive unchanged; they are not evaluated again.
        culling: fraction of members, the worst, that have no children.
        parents: "tournament", or "best" for the best member as the parent of all.
        tournament: number of members in a tournament.
        crossover: "one_point" takes the genes before a cut from one parent and the others from another; "uniform" draws
            the parent of each gene; "none" is used by the thesis's code.
        between: where "one_point" cuts without `genes`, in the order of the leaves: between any two "weights", or
            between "layers", as in the thesis. Most weights are in one layer, so most cuts between weights fall inside
            that layer.
        rate: the probability that a child has two parents.
        genes: the units of inheritance; by default each synapse is one, for members of one ancestor. Biases then come
            from the first parent.
        fitness: how the accuracies on the tasks are combined (see `fitness.joint`).
        edges: bonus in fitness for removing all synapses; proportional to the fraction that is removed.
        over: how the results at several values are combined: the "best" accuracy for each task, their "mean", or the
            accuracy of their "ensemble".
        loss: `loss(outputs, targets)`, one number for each sample, for tasks other than classification. Minus its mean
            then replaces the accuracy; `fitness` must be "mean" or "worst", and `over` "best" or "mean".
        untouched: number of members of the first generation that are not pruned: 0 in the thesis, 1 in its code.
        chunk: samples evaluated at a time.
        mesh: distributes breeding and evaluation over its devices (see `population.map`). Between steps, the members
            stay on them.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, y = jax.random.normal(jax.random.key(0), (20, 8)), jnp.arange(20) % 4
        >>> network = ea.models.MLP(hidden=(16,), classes=4)
        >>> params = network.init(jax.random.key(1), x)
        >>> synapses = ea.pruning.find(params)
        >>> padawann = ea.evolution.Padawann(network.apply, synapses, size=6, tournament=2)
        >>> kept = ea.pruning.basis(synapses, params)
        >>> tasks = ea.pruning.Task(x, y), ea.pruning.Task(x, 3 - y)
        >>> state = padawann.init(jax.random.key(2), ea.population.stack([kept]), tasks)
        >>> state, info = padawann.step(jax.random.key(3), state, tasks)
        >>> bool(state.champion.fitness >= state.members.fitness[0])
        True
    """

    apply: Apply
    synapses: Synapses
    _: dataclasses.KW_ONLY
    size: int = 20
    values: tuple[float, ...] = (0.5, 1.0, 2.0)
    biases: str = "kept"
    share: float = 0.025
    among: str = "all"
    whole_clusters: bool = False
    layers: str = "every"
    elitism: float = 0.3
    culling: float = 0.3
    parents: str = "tournament"
    tournament: int = 8
    crossover: str = "one_point"
    between: str = "weights"
    rate: float = 0.5
    genes: Genes | None = None
    fitness: str = "ratio"
    edges: float = 0.0
    over: str = "best"
    loss: Loss | None = None
    untouched: int = 0
    chunk: int = CHUNK
    mesh: Mesh | None = None

    def __post_init__(self) -> None:
        for name in ("size", "tournament", "chunk"):
            _checks.positive(name, getattr(self, name))
        words = {"biases": BIASES, "among": AMONG, "parents": PARENTS, "crossover": CROSSOVERS, "between": PLACES}
        for name, known in (words | {"fitness": JOINT, "over": OVER}).items():
            _checks.one_of(name, getattr(self, name), known)
        check_layers(self.layers, self.whole_clusters)
        for name in ("share", "elitism", "culling", "rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise _checks.bad(name, getattr(self, name), "a number from 0 to 1", "The thesis uses 0.3 and 0.5.")
        if not self.values or not all(value > 0 for value in self.values):
            raise _checks.bad("values", self.values, "values above 0", "The thesis uses (0.5, 1, 2).")
        if not self.children or not self.pool:
            came = f"elitism {self.elitism} and culling {self.culling} of {self.size} members"
            raise _checks.bad("elitism, culling", came, "at least one parent and one child", "Lower them.")
        if not 0 <= self.untouched <= self.size:
            raise _checks.bad("untouched", self.untouched, f"at most {self.size} members", "The thesis's code has 1.")
        if not self.edges >= 0:
            raise _checks.bad("edges", self.edges, "a number of at least 0", "Pass 0 for no bonus.")
        if self.between == "layers" and (self.genes is not None or self.crossover != "one_point"):
            came = f"'layers' with crossover={self.crossover!r}{' and genes' if self.genes is not None else ''}"
            raise _checks.bad("between", came, "'weights'", "It is where one_point cuts without genes: leave it out.")
        if self.genes is not None and self.crossover == "none":
            raise _checks.bad("genes", "genes", "None without crossover", "Leave them out, or choose a crossover.")
        if self.loss is not None:
            _checks.network(self.loss, "loss")
            for name, known in (("fitness", ("mean", "worst")), ("over", ("best", "mean"))):
                if getattr(self, name) not in known:
                    came, expected = repr(getattr(self, name)), f"one of {known} where a loss is given"
                    raise _checks.bad(name, came, expected, f"It needs accuracies: pass {name}={known[0]!r}.")

    @property
    def elites(self) -> int:
        """Number of members that survive unchanged."""
        return _share(self.size, self.elitism)

    @property
    def pool(self) -> int:
        """Number of members that may have children."""
        return self.size - _share(self.size, self.culling)

    @property
    def children(self) -> int:
        """Number of children in a generation."""
        return self.size - self.elites

    def init(
        self, key: PRNGKey, ancestors: PyTree, tasks: Sequence[Task], *, masks: PyTree | None = None
    ) -> PadawannState:
        """The first generation: copies of the ancestors, in turn, each pruned once.

        Args:
            key: a random key.
            ancestors: a population of what `pruning.basis` kept of trained networks, which should be aligned.
            tasks: the tasks on which members are evaluated.
            masks: masks of the ancestors, if some of their synapses are already dead.
        """
        key = _checks.key("key", key)
        if masks is None:
            masks = full_masks(ancestors)
        check_masks("masks", masks, ancestors)
        self._check_tasks(population.take(ancestors, 0), tasks)
        kept, alive = _first(self, key, ancestors, masks)
        return _first_state(Topology(kept, alive, *_evaluated(self, kept, alive, tuple(tasks))))

    def step(self, key: PRNGKey, state: PadawannState, tasks: Sequence[Task]) -> tuple[PadawannState, PadawannInfo]:
        """One generation: the best members survive, and children that have lost some synapses replace the others.

        Args:
            key: a random key.
            state: the state of the previous generation.
            tasks: the tasks on which members are evaluated.

        Returns:
            The next state, and statistics of the generation.
        """
        return _step(self, _checks.key("key", key), _laid(self, state), tuple(tasks))

    def _check_tasks(self, kept: PyTree, tasks: Sequence[Task]) -> None:
        if not tasks:
            raise _checks.bad("tasks", "none", "at least one", "Pass [Task(x, y)].")
        params = at_value(self.synapses, kept, 1.0, biases=self.biases)
        for number, task in enumerate(tasks):

            def apply(params: PyTree, x: PyTree, task: Task = task) -> Array:
                return task.logits(self.apply(params, x))

            check_data(f"tasks[{number}]", apply, params, task.x, task.y, self.loss, chunk=self.chunk)
            self._check_outputs(number, params, task)

    def _check_outputs(self, number: int, params: PyTree, task: Task) -> None:
        if task.outputs is None or not _checks.is_concrete(task.outputs):
            return
        one = jax.tree.map(lambda leaf: leaf[:1], task.x)
        count, known = jax.eval_shape(self.apply, params, one).shape[-1], np.asarray(task.outputs)
        if not 0 <= known.min() <= known.max() < count:
            came = f"outputs from {known.min()} to {known.max()}"
            raise _checks.bad(f"tasks[{number}]", came, f"0 to {count - 1}, those of the network", "Renumber them.")


def _share(size: int, share: float) -> int:
    """A fraction of the members, rounded down, without errors of floating point: 0.3 of 10 is 3."""
    return int(size * share + 1e-9)


@partial(jax.jit, static_argnums=0)
def _first(self: Padawann, key: PRNGKey, ancestors: PyTree, masks: PyTree) -> tuple[PyTree, PyTree]:
    which = jnp.arange(self.size) % population.size(ancestors)
    kept, alive = population.take((ancestors, masks), which)
    pruned = population.map(partial(_pruned, self), jax.random.split(key, self.size), alive)
    spared = jnp.arange(self.size) < self.untouched

    def either(old: Array, new: Array) -> Array:
        return jnp.where(spared.reshape([-1] + [1] * (old.ndim - 1)), old, new)

    return kept, jax.tree.map(either, alive, pruned)


def _pruned(self: Padawann, key: PRNGKey, masks: PyTree) -> PyTree:
    rule = {"among": self.among, "whole_clusters": self.whole_clusters, "layers": self.layers}
    return lose(key, self.synapses, masks, self.share, **rule)


@partial(jax.jit, static_argnums=0)
def _evaluated(self: Padawann, kept: PyTree, masks: PyTree, tasks: tuple[Task, ...]) -> tuple[Rollouts, Array, Array]:
    """Evaluate members: rollouts, fitness and numbers of synapses."""

    def one(kept: PyTree, masks: PyTree) -> tuple[Rollouts, Array, Array]:
        sparse, settings = masked(masks, kept), {"biases": self.biases, "loss": self.loss, "chunk": self.chunk}
        found = [rollouts(self.apply, self.synapses, sparse, self.values, task, **settings) for task in tasks]
        together = jax.tree.map(lambda *of: jnp.stack(of), *found)
        left = total(self.synapses, masks)
        lost = 1 - left / sum(mask.size for mask in self.synapses.of(masks).values())
        samples = [jax.tree.leaves(task.x)[0].shape[0] for task in tasks]
        fitness = joint(self.fitness, _quality(self, together), samples)
        return together, fitness + self.edges * lost, left

    return population.map(one, kept, masks, mesh=self.mesh)


def _quality(self: Padawann, found: Rollouts) -> Float[Array, " tasks"]:
    """One accuracy, or minus the loss, for each task; NaN if it failed."""
    if self.over == "ensemble":
        return found.ensemble
    quality = found.accuracy if self.loss is None else -found.loss
    if self.over == "mean":
        return jnp.mean(quality, axis=-1)
    most = jnp.max(failed_last(quality), axis=-1)
    return jnp.where(jnp.isfinite(most), most, jnp.nan)


@partial(jax.jit, static_argnums=0)
def _step(
    self: Padawann, key: PRNGKey, state: PadawannState, tasks: tuple[Task, ...]
) -> tuple[PadawannState, PadawannInfo]:
    state = dataclasses.replace(state, members=whole(state.members, self.mesh))
    new = whole(_bred(self, key, state), self.mesh)
    found = whole(_evaluated(self, new.kept, new.masks, tasks), self.mesh)
    evaluated = Topology(new.kept, new.masks, *found)
    state, info = _next(self, state, new, evaluated)
    return _laid(self, state), laid_out(info, self.mesh)


def _laid(self: Padawann, state: PadawannState) -> PadawannState:
    """The state with the layout it has between steps: members distributed over the devices."""
    return laid_out(state, self.mesh, "members")


@partial(jax.jit, static_argnums=0)
def _bred(self: Padawann, key: PRNGKey, state: PadawannState) -> PadawannOffspring:
    key_rate, key_parents, key_mix, key_prune = jax.random.split(key, 4)
    count, rate = self.children, 0.0 if self.crossover == "none" else self.rate
    crossed = jax.random.bernoulli(key_rate, rate, (count,))
    if self.parents == "best":
        winners = jnp.zeros(2 * count, jnp.int32)
    else:
        winners = tournaments(key_parents, state.members.fitness[: self.pool], self.tournament, 2 * count)
    first, second = winners[:count], winners[count:]
    parents = jnp.stack([first, jnp.where(crossed, second, first)], axis=1)
    members = state.members.kept, state.members.masks

    def child(pair: Array, key_mix: PRNGKey, key_prune: PRNGKey) -> tuple[PyTree, PyTree]:
        a, b = (population.take(members, pair[side]) for side in (0, 1))
        kept, masks = a if self.crossover == "none" else _crossed(self, key_mix, a, b)
        return kept, _pruned(self, key_prune, masks)

    keys = [jax.random.split(k, count) for k in (key_mix, key_prune)]
    kept, masks = population.map(child, parents, *keys, mesh=self.mesh)
    return PadawannOffspring(kept, masks, parents, crossed)


def _crossed(self: Padawann, key: PRNGKey, a: tuple[PyTree, PyTree], b: tuple[PyTree, PyTree]) -> tuple:
    """The weights and masks of a child; both come from the same parent for each gene."""
    if self.genes is not None:
        from_b = _from_b(self, key, len(self.genes.names))
        return tuple(mix(self.genes, from_b, p, q) for p, q in zip(a, b, strict=True))
    shapes = {path: mask.shape for path, mask in self.synapses.of(a[1]).items()}
    if self.between == "layers":
        sides = dict(zip(shapes, _from_b(self, key, len(shapes)), strict=True))
    else:
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
        parts = jnp.split(_from_b(self, key, int(ends[-1])), ends[:-1])
        sides = {path: part.reshape(shapes[path]) for path, part in zip(shapes, parts, strict=True)}

    def mixed(p: PyTree, q: PyTree) -> PyTree:
        of_p, of_q = self.synapses.of(p), self.synapses.of(q)
        return with_leaves(p, {path: jnp.where(side, of_q[path], of_p[path]) for path, side in sides.items()})

    return tuple(mixed(p, q) for p, q in zip(a, b, strict=True))


def _from_b(self: Padawann, key: PRNGKey, genes: int) -> Bool[Array, " genes"]:
    """The genes that a child takes from its second parent."""
    if self.crossover == "uniform":
        return jax.random.bernoulli(key, 0.5, (genes,))
    return jnp.arange(genes) >= jax.random.randint(key, (), 1, max(2, genes))


@jax.jit
def _first_state(evaluated: Topology) -> PadawannState:
    members = population.take(evaluated, best(evaluated.fitness, evaluated.fitness.shape[0]))
    zero = jnp.array(0, jnp.int32)
    return PadawannState(members, population.take(members, 0), zero, zero)


def _next(
    self: Padawann, state: PadawannState, new: PadawannOffspring, evaluated: Topology
) -> tuple[PadawannState, PadawannInfo]:
    stay = population.take(state.members, slice(0, self.elites))
    both = jax.tree.map(lambda *of: jnp.concatenate(of), stay, evaluated)
    members = population.take(both, best(both.fitness, self.size))
    first, generation = population.take(members, 0), state.generation + 1
    fitter = failed_last(first.fitness) > failed_last(state.champion.fitness)

    def fittest(new: Array, old: Array) -> Array:
        return jnp.where(fitter, new, old)

    champion, found = jax.tree.map(fittest, (first, generation), (state.champion, state.found))
    info = PadawannInfo(new.parents, new.crossed, evaluated.fitness, evaluated.synapses)
    return PadawannState(members, champion, found, generation), info
