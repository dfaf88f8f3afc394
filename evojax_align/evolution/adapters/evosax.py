"""Strategies of evosax, with the interface of `Neuroevolution`: larger fitness is better.

Lange, R. T. evosax: JAX-based evolution strategies. GECCO Companion (2023).
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._types import Array, Float, Int, PRNGKey, PyTree
from evojax_align.evolution.adapters._calling import called
from evojax_align.evolution.adapters.evosax_problems import EXTRA
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.neuroevolution.judging import Program, evaluate_all, traced
from evojax_align.evolution.neuroevolution.telling import check_asked, evaluations, refuse_failure
from evojax_align.evolution.selection import failed_last

BASES = "evosax.algorithms.distribution_based.base", "evosax.algorithms.population_based.base"


@struct.dataclass
class StrategyState:
    """The state of a strategy, which is all that a checkpoint needs.

    Attributes:
        inner: the state of evosax's algorithm.
        members: the networks evaluated last; initially the founders, or copies of the initial mean of a distribution.
        fitness: their fitness, larger is better; NaN for a failed evaluation, or before the first.
        champion: the network of the highest fitness of all that were evaluated.
        champion_fitness: its fitness; -inf before the first evaluation.
        generation: number of populations that were evaluated.
        evaluations: number of networks that were evaluated.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> strategy = ea.evolution.adapters.Strategy("Open_ES", 4)
        >>> state = strategy.init(jax.random.key(0), lambda key: {"w": jnp.zeros(2)})
        >>> state.members["w"].shape, int(state.generation)
        ((4, 2), 0)
    """

    inner: Any
    members: PyTree
    fitness: Float[Array, "*runs size"]
    champion: PyTree
    champion_fitness: Float[Array, "*runs"]
    generation: Int[Array, "*runs"]
    evaluations: Int[Array, "*runs"]

    @property
    def fittest(self) -> PyTree:
        """The network of the highest fitness among those evaluated last."""
        return population.take(self.members, jnp.argmax(failed_last(self.fitness)))


@struct.dataclass
class StrategyInfo:
    """Statistics of one generation.

    Attributes:
        fitness: fitness of the networks that were evaluated.
        best: the highest fitness among them.
        mean: the mean fitness of those that did not fail.
        failed: number of them whose fitness is NaN.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> strategy = ea.evolution.adapters.Strategy("Open_ES", 4)
        >>> state = strategy.init(jax.random.key(0), lambda key: {"w": jnp.zeros(2)})
        >>> state, info = strategy.step(jax.random.key(1), state, lambda key, params: -jnp.sum(params["w"] ** 2))
        >>> bool(info.best == state.champion_fitness), int(info.failed)
        (True, 0)
    """

    fitness: Float[Array, "*runs size"]
    best: Float[Array, "*runs"]
    mean: Float[Array, "*runs"]
    failed: Int[Array, "*runs"]


@dataclasses.dataclass(frozen=True, eq=False)
class Strategy:
    """A strategy of evosax (0.3 or later) on any floating-point pytree, with the interface of `Neuroevolution`.

    A strategy that samples from a distribution (`Open_ES`, `Sep_CMA_ES`) starts from one network. A strategy that keeps
    a population (`SimpleGA`) starts from founders, which its first generation evaluates. A network whose fitness is NaN
    or -inf gets the worst fitness of the others; in a population, it is replaced by a copy of that worst network.

    A generation is compiled once for each object: make one and reuse it.

    Args:
        algorithm: a name known to evosax, or a class.
        size: networks in a generation.
        deviation: initial standard deviation of the noise; by default that of evosax, which is 1 for most strategies.
        options: arguments of the class, such as `{"optimizer": optax.adam(0.01)}`.
        params: parameters of the algorithm, such as `{"crossover_rate": 0.5}`.
        samples: number of evaluations of each network; its fitness is their mean.
        chunk: networks at once (see `population.map`).
        mesh: distributes evaluation over its devices (see `population.map`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(8,), classes=1), jnp.linspace(-1, 1, 20)[:, None]
        >>> fitness = lambda key, params: -jnp.mean((network.apply(params, x) - jnp.sin(3 * x)) ** 2)
        >>> strategy = ea.evolution.adapters.Strategy("Sep_CMA_ES", 16, deviation=0.1)
        >>> state = strategy.init(jax.random.key(0), lambda key: network.init(key, x))
        >>> keys = jax.random.split(jax.random.key(1), 20)
        >>> state, infos = jax.lax.scan(lambda state, key: strategy.step(key, state, fitness), state, keys)
        >>> bool(infos.best[-1] > infos.best[0]), int(state.evaluations)
        (True, 320)
    """

    algorithm: str | type
    size: int
    _: dataclasses.KW_ONLY
    deviation: float | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    samples: int = 1
    chunk: int | Literal["auto"] | None = None
    mesh: Mesh | None = None

    def __post_init__(self) -> None:
        for name in ("size", "samples"):
            _checks.positive(name, getattr(self, name))
        if self.deviation is not None:
            _checks.above_zero("deviation", self.deviation)
        names, bases = _checks.extra("evosax.algorithms", EXTRA).algorithms, _bases()
        found = self.algorithm
        if isinstance(found, str):
            found = names[_checks.one_of("algorithm", found, names)]
        elif not (isinstance(found, type) and issubclass(found, bases)):
            fix = "Pass 'Open_ES', 'Sep_CMA_ES' or 'SimpleGA'."
            raise _checks.bad("algorithm", repr(found)[:80], "a name, or a class of evosax", fix)
        object.__setattr__(self, "algorithm", found)
        object.__setattr__(self, "options", dict(self.options))
        object.__setattr__(self, "params", dict(self.params))
        accepted = set(inspect.signature(found.__init__).parameters) - {"self", "population_size", "solution"}
        for name in self.options:
            _checks.one_of("options", name, sorted(accepted))

    @property
    def samples_distribution(self) -> bool:
        """Whether the strategy samples from a distribution and keeps no population."""
        return issubclass(self._class, _bases()[0])

    def init(self, key: PRNGKey, init_fn: Callable[[PRNGKey], PyTree] | PyTree) -> StrategyState:
        """The state before the first generation.

        Args:
            key: a random key.
            init_fn: `init_fn(key) -> params` of one network, or a population of founders. A distribution starts from
                the first of them.

        Returns:
            The state.
        """
        key_draw, key_init = jax.random.split(_checks.key("key", key))
        members = population.init(init_fn, key_draw, self.size) if callable(init_fn) else init_fn
        _checks.arrays("init_fn", members)
        if (count := population.size(members)) != self.size:
            fix = f"Pass a strategy of {count}, or a function that draws one network."
            raise _checks.bad("init_fn", f"a population of {count}", f"{self.size} founders", fix)
        members = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), members)
        first, failed = population.take(members, 0), jnp.full(self.size, jnp.nan, jnp.float32)
        algorithm, params = self._made(first)
        if self.samples_distribution:
            members = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[0], leaf.shape), members)
            inner = called(algorithm.init, key_init, first, params)
        else:
            inner = called(algorithm.init, key_init, members, failed, params)
        return StrategyState(
            inner=jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), inner),
            members=members,
            fitness=failed,
            champion=first,
            champion_fitness=jnp.array(-jnp.inf, jnp.float32),
            generation=jnp.array(0, jnp.int32),
            evaluations=jnp.array(0, jnp.int32),
        )

    def step(
        self, key: PRNGKey, state: StrategyState, fitness: Callable[..., Any], data: PyTree = None
    ) -> tuple[StrategyState, StrategyInfo]:
        """One generation: the same as `ask`, the evaluation and `tell`, with the keys of `jax.random.split(key, 3)`.

        Args:
            key: a random key.
            state: the state of the previous generation.
            fitness: as in `Neuroevolution.step`: larger is better.
            data: the further argument of the fitness function.

        Returns:
            The next state, and statistics of the generation.
        """
        key = _checks.key("key", key)
        program, constants = traced(fitness, key, state.champion, data)
        first = _checks.is_concrete(state) and int(state.generation) == 0
        found = _step(self, program, key, state, data, constants)
        if first:
            refuse_failure(found[0].fitness)
        return found

    def ask(self, key: PRNGKey, state: StrategyState, data: PyTree = None) -> tuple[PyTree, StrategyState]:
        """The networks to evaluate, and the state to pass to `tell`; `data` is not used."""
        return _ask(self, _checks.key("key", key), state)

    def tell(
        self,
        key: PRNGKey,
        population: PyTree,
        values: Array | Evaluation | Sequence[Any],
        state: StrategyState,
        data: PyTree = None,
    ) -> tuple[StrategyState, StrategyInfo]:
        """Update the state with the fitness of the networks from `ask`; larger is better, as in `Neuroevolution`."""
        check_asked(population, state.members, self.size)
        values = evaluations(values, self.size)
        found = _tell(self, _checks.key("key", key), population, values.fitness, state)
        refuse_failure(values.fitness)
        return found

    def mean(self, state: StrategyState) -> PyTree:
        """The network at the mean of the distribution.

        Raises:
            ValueError: for a strategy that keeps a population.
        """
        if not self.samples_distribution:
            fix = "Take state.champion, or state.fittest."
            raise _checks.bad("algorithm", self._class.__name__, "one that samples from a distribution", fix)
        return called(self._made(state.champion)[0].get_mean, state.inner)

    @property
    def _class(self) -> type:
        assert isinstance(self.algorithm, type)  # replaced by the class in __post_init__
        return self.algorithm

    def _made(self, network: PyTree) -> tuple[Any, Any]:
        """The algorithm for networks like this one, and its parameters."""
        leaves, structure = jax.tree.flatten(network)
        for path, leaf in jax.tree_util.tree_leaves_with_path(network):
            if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
                came = f"{jnp.result_type(leaf)} at the leaf {_checks.path_string(path)!r}"
                raise _checks.bad("init_fn", came, "floating point", "Keep it outside the tree.")
        shapes = tuple((jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)
        with jax.ensure_compile_time_eval():  # cached values must not belong to a trace
            return _algorithm(self, structure, shapes)


def _bases() -> tuple[type, type]:
    """The classes of strategies that sample from a distribution, and of those that keep a population."""
    distribution, members = (_checks.extra(name, EXTRA) for name in BASES)
    return distribution.DistributionBasedAlgorithm, members.PopulationBasedAlgorithm


@functools.lru_cache(maxsize=32)
def _algorithm(strategy: Strategy, structure: Any, shapes: tuple[tuple[tuple[int, ...], Any], ...]) -> tuple[Any, Any]:
    """The algorithm, and its parameters."""
    made, options = strategy._class, dict(strategy.options)
    changed, deviation = dict(strategy.params), strategy.deviation
    takes_schedule = "std_schedule" in inspect.signature(made.__init__).parameters
    if deviation is not None and takes_schedule:
        options.setdefault("std_schedule", optax.constant_schedule(deviation))
    network = structure.unflatten([jnp.zeros(*of) for of in shapes])
    try:
        algorithm = made(strategy.size, network, **options)
    except (AssertionError, TypeError) as error:  # the errors that evosax raises
        came = f"{strategy.size}, {options}"
        raise _checks.bad("size, options", came, f"arguments that {made.__name__} takes", f"{error}") from error
    params = algorithm.default_params
    if deviation is not None and not takes_schedule:
        if not hasattr(params, "std_init"):
            came, fix = f"{deviation} for {made.__name__}", "Leave it out, and see its params and options."
            raise _checks.bad("deviation", came, "an algorithm that takes it", fix)
        changed.setdefault("std_init", deviation)
    for name in changed:
        _checks.one_of("params", name, [field.name for field in dataclasses.fields(params)])
    return algorithm, jax.tree.map(jnp.asarray, params.replace(**changed))


@partial(jax.jit, static_argnums=(0, 1))
def _step(
    strategy: Strategy, program: Program, key: PRNGKey, state: StrategyState, data: PyTree, constants: list[Any]
) -> tuple[StrategyState, StrategyInfo]:
    key_ask, key_judge, key_tell = jax.random.split(key, 3)
    asked, state = _ask(strategy, key_ask, state)
    settings = {name: getattr(strategy, name) for name in ("samples", "chunk", "mesh")}
    values = evaluate_all(program, constants, key_judge, asked, data, **settings)
    return _tell(strategy, key_tell, asked, values.fitness, state)


@partial(jax.jit, static_argnums=0)
def _ask(strategy: Strategy, key: PRNGKey, state: StrategyState) -> tuple[PyTree, StrategyState]:
    algorithm, params = strategy._made(state.champion)

    def drawn(state: StrategyState) -> tuple[PyTree, StrategyState]:
        asked, inner = called(algorithm.ask, key, state.inner, params)
        return _like(asked, state.members), dataclasses.replace(state, inner=_like(inner, state.inner))

    if strategy.samples_distribution:
        return drawn(state)
    return jax.lax.cond(state.generation == 0, lambda state: (state.members, state), drawn, state)


@partial(jax.jit, static_argnums=0)
def _tell(
    strategy: Strategy, key: PRNGKey, asked: PyTree, fitness: Float[Array, " size"], state: StrategyState
) -> tuple[StrategyState, StrategyInfo]:
    algorithm, params = strategy._made(state.champion)
    fitness = fitness.astype(state.fitness.dtype)
    known, failed = failed_last(fitness), jnp.isnan(fitness)
    counted = known > -jnp.inf
    worst = jnp.argmin(jnp.where(counted, fitness, jnp.inf))
    best_known = state.inner.best_fitness
    lowest = jnp.where(jnp.any(counted), -fitness[worst], jnp.where(jnp.isfinite(best_known), best_known, 0.0))
    lowered = jnp.where(counted, -fitness, lowest)  # evosax minimises

    def updated(inner: Any) -> Any:
        return _like(called(algorithm.tell, key, asked, lowered, inner, params)[0], inner)

    def updated_population(inner: Any) -> Any:
        places = jnp.where(counted | ~jnp.any(counted), jnp.arange(strategy.size), worst)
        members, values = population.take(asked, places), lowered[places]

        def first(inner: Any) -> Any:
            return _like(called(algorithm.init, key, members, values, params), inner)

        def later(inner: Any) -> Any:
            return _like(called(algorithm.tell, key, members, values, inner, params)[0], inner)

        return jax.lax.cond(state.generation == 0, first, later, inner)

    highest = jnp.argmax(known)
    is_better = known[highest] > state.champion_fitness
    state = StrategyState(
        inner=updated(state.inner) if strategy.samples_distribution else updated_population(state.inner),
        members=asked,
        fitness=fitness,
        champion=jax.tree.map(lambda now, old: jnp.where(is_better, now[highest], old), asked, state.champion),
        champion_fitness=jnp.where(is_better, fitness[highest], state.champion_fitness),
        generation=state.generation + 1,
        evaluations=state.evaluations + strategy.size * strategy.samples,
    )
    return state, StrategyInfo(fitness, known[highest], jnp.mean(fitness, where=~failed), jnp.sum(failed))


def _like(new: Any, old: Any) -> Any:
    """The new state in the types of the old one, as the carry of a loop needs."""
    return jax.tree.map(lambda leaf, of: jnp.asarray(leaf, of.dtype), new, old)
