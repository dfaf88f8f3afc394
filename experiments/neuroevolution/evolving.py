"""One population from its founders to its end, several generations in one program, several seeds at once."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

import evojax_align as ea
from evojax_align import _checks, alignment
from evojax_align._types import Array, PRNGKey, PyTree
from evojax_align.evolution import Aligned, Gaussian, Islands, Neuroevolution, Niches, SafeGradient, Truncation
from experiments.neuroevolution.arms import Arm
from experiments.neuroevolution.outside import strategy
from experiments.neuroevolution.tasks import Judge

CROSSOVER = "spherical"
METHODS: Mapping[str, Any] = {
    "dead": alignment.DeadOnly(),
    "weights": alignment.Weights(restarts=1),
    "exact": "correlation",
}
PARENTS = 0.25
"""Share of the members that may be parents, where members do not compete for samples."""
MIGRATION = 10


@dataclasses.dataclass(frozen=True)
class Genetic:
    """The genetic algorithm of an arm.

    Attributes:
        ga: the algorithm.
        judge: the task.
        arm: what is changed.
        visits: whether fitness functions give the states that networks visit.
    """

    ga: Neuroevolution
    judge: Any
    arm: Arm
    visits: bool

    @property
    def fitness(self) -> Any:
        """The fitness function."""
        return self.judge.fitness if self.visits else self.judge.unseen

    def init(self, key: PRNGKey, data: PyTree) -> PyTree:
        """The founders, evaluated; copies of one another where only some are unrelated."""
        key_draw, key_judge = jax.random.split(key)
        count = self.arm.founders or self.judge.task.founders or self.ga.size
        own = ea.population.init(self.judge.draw, key_draw, count)
        members = ea.population.take(own, jnp.arange(self.ga.size) % count)
        state = self.ga.init(key_judge, members, self.fitness, data)
        if count < self.ga.size:  # copies have an ancestor in common
            assert state.ancestors is not None  # lineages are recorded
            state = dataclasses.replace(state, ancestors=jnp.where(copies(state.members), 0, state.ancestors))
        return state

    def step(self, key: PRNGKey, state: PyTree, data: PyTree) -> tuple[PyTree, dict[str, Array]]:
        """One generation; the number of its matings, and of those between unrelated parents."""
        state, info = self.ga.step(jax.random.fold_in(key, state.generation), state, self.fitness, data)
        crossed = info.births.crossed
        return state, {"crossed": jnp.sum(crossed), "unrelated": jnp.sum(crossed & (info.births.kinship < 0))}

    def fittest(self, state: PyTree) -> PyTree:
        """The network that is scored."""
        return state.fittest

    @property
    def asked(self) -> int:
        """Evaluations in a generation."""
        return self.ga._settings.asked


def algorithm(judge: Judge, arm: Arm, tuned: tuple[float, float], *, size: int = 0, matcher: str = "mutual") -> Any:
    """The algorithm of an arm; None if it needs a package that is missing.

    Args:
        judge: the task.
        arm: how it evolves.
        tuned: mutation scale and crossover rate.
        size: members, where they are not those of the task.
        matcher: how neurons are matched by correlation.
    """
    task = judge.task
    scale, rate = tuned
    members = size or task.size
    if arm.strategy:
        size = members + members % 2
        chunk = size if task.control else None
        return strategy(arm.strategy, judge.draw, judge.unseen, size=size, scale=scale, chunk=chunk)
    children = arm.children or (members if task.children == task.size else task.children)
    mutation: Any = Gaussian(scale)
    if arm.mutation == "safe":
        mutation = SafeGradient(scale)
    elif arm.mutation == "redraw":
        mutation = partial(redrawn, judge.draw)
    method = matcher if arm.alignment == "correlation" else METHODS.get(arm.alignment, arm.alignment)
    aligning: Any = "none" if method == "none" else Aligned(method, share=arm.share, of=arm.of)
    looks = method not in ("none", "random") or arm.mutation == "safe" or arm.migrants
    probe: Any = None
    if arm.probe == "random":
        probe = judge.random_inputs(jax.random.key(1))
    elif looks or method == "random" or (arm.crossover == "neurons"):
        probe = "data" if judge.data is not None else "visited"
    elites = max(arm.islands, task.elites if members == task.size else members // 16)
    ga = Neuroevolution(
        judge.apply,
        size=members,
        children=children - elites if task.noisy else children,
        elites=elites,
        reevaluate=task.noisy,
        selection=Niches() if task.children == 1 else Truncation(PARENTS),
        crossover=arm.crossover or CROSSOVER,
        crossover_rate=arm.rate or rate,
        alignment=aligning,
        mutation=mutation,
        probe=probe,
        islands=Islands(arm.islands, every=MIGRATION, align=arm.migrants),
        chunk=members if task.control else None,
    )
    return Genetic(ga, judge, arm, visits=isinstance(probe, str) and probe == "visited")


def redrawn(draw: Callable[[PRNGKey], PyTree], key: PRNGKey, params: PyTree) -> PyTree:
    """A new network, for random search."""
    return draw(key)


def copies(members: PyTree) -> Array:
    """Which pairs of members are equal, [size, size]."""
    size = ea.population.size(members)
    flat = jnp.concatenate([leaf.reshape(size, -1) for leaf in jax.tree.leaves(members)], axis=1)
    return ea.population.map(lambda one: jnp.all(one[None] == flat, axis=1), flat)


@partial(jax.jit, static_argnums=0)
def begin(found: Any, keys: PRNGKey, data: PyTree) -> PyTree:
    """The states of several seeds after their founders were evaluated."""
    return ea.population.map(lambda key: found.init(jax.random.split(key)[0], data), keys)


@partial(jax.jit, static_argnums=(0, 1))
def founding(found: Any, judge: Judge, keys: PRNGKey, states: PyTree, test: PyTree) -> Array:
    """The scores of the fittest founders of several seeds, on the data or episodes of `advance`."""

    def one(key: PRNGKey, state: PyTree) -> Array:
        return judge.score(_keys(key)[1], found.fittest(state), test)

    return ea.population.map(one, keys, states)


@partial(jax.jit, static_argnums=(0, 1, 2))
def advance(
    found: Any, judge: Judge, generations: int, keys: PRNGKey, states: PyTree, data: PyTree, test: PyTree
) -> tuple[PyTree, dict[str, Array]]:
    """The states of several seeds some generations later, and the scores of their fittest networks."""

    def one(key: PRNGKey, state: PyTree) -> tuple[PyTree, dict[str, Array]]:
        key_step, key_score = _keys(key)
        step = lambda state, _: found.step(key_step, state, data)  # noqa: E731
        state, told = jax.lax.scan(step, state, length=generations)
        unrelated = jnp.sum(told["unrelated"]) / jnp.maximum(jnp.sum(told["crossed"]), 1)
        return state, {"unrelated": unrelated, "score": judge.score(key_score, found.fittest(state), test)}

    return ea.population.map(one, keys, states)


def _keys(key: PRNGKey) -> PRNGKey:
    """Those of the generations and of the score; `begin` has the other half of the seed's key."""
    return jax.random.split(jax.random.split(key)[1])


def generations_between(found: Any, evaluations: int) -> int:
    """Generations between two scores that are so many evaluations apart."""
    count, rest = divmod(evaluations, found.asked)
    if rest or not count:
        came = f"{found.asked} evaluations in a generation"
        fix = "Choose a size that divides the evaluations between two scores."
        raise _checks.bad("size", came, f"a divisor of {evaluations}", fix)
    return count
