"""A genetic algorithm of network weights, for any fitness, with optional alignment of parents before recombination.

Uriot & Izzo (2020, section 6) propose safe crossover in genetic algorithms as future work. Each operator of the
algorithm can be replaced: selection, crossover, alignment, mutation, islands.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, PRNGKey, PyTree
from evojax_align.alignment import Method
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.neuroevolution import generation, lineage
from evojax_align.evolution.neuroevolution.choosing import Selection, Truncation
from evojax_align.evolution.neuroevolution.islands import Islands
from evojax_align.evolution.neuroevolution.judging import Program, traced
from evojax_align.evolution.neuroevolution.mating import Aligned, Crossover
from evojax_align.evolution.neuroevolution.mutating import Mutation
from evojax_align.evolution.neuroevolution.records import NeuroevolutionInfo, NeuroevolutionState
from evojax_align.evolution.neuroevolution.settings import INPUTS, Settings, settings
from evojax_align.evolution.neuroevolution.telling import check_asked, evaluations, refuse_failure
from evojax_align.symmetry import PermutationSpec
from evojax_align.symmetry.checking import ensure_symmetry
from evojax_align.symmetry.inference import remembered

Fitness: TypeAlias = Callable[..., Any]
"""`fitness(key, params)` or `fitness(key, params, data)`: one number, larger is better, or an `Evaluation`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Neuroevolution:
    """A genetic algorithm: `state = ga.init(key, init_fn)`, then `state, info = ga.step(key, state, fitness)`.

    The methods are pure functions. A generation is one compiled program, and several can be one `jax.lax.scan`.
    A network whose fitness is NaN has failed, and is never selected.

    Main arguments:
        apply: the network, for operators that need it: alignment, crossover of neurons, safe mutation.
        size: number of members.
        selection: the selection of survivors and parents (`Truncation`, `Tournament`, `Fronts`, `Niches`).
        crossover: "none", "arithmetic", "spherical", "uniform", "neurons", "layers", "blocks", "one_point", "line", or
            a function `crossover(key, a, b)` of one pair.
        alignment: how the second parent is aligned with the first before recombination: "none", a bijective method of
            `align` by name or as an instance, "random" (a control), or `Aligned(...)`, which also gives the frequency.
        mutation: mutation of every child: the standard deviation of Gaussian noise, a function `mutation(key, params)`,
            or an instance of `Mutation` (`Gaussian`, `SafeGradient`, `SafeRescaling`).
        probe: inputs on which neurons are compared: an array, "visited" for the states that both parents visited
            (`Evaluation.states`), or "data" for samples of `data`, a pair of inputs and targets.

    Other arguments:
        children: number of children in a generation; by default `size`, minus the elites if these are evaluated again.
        elites: number of members that compete with the children; all others are dropped. With elites=size, all parents
            compete with the children.
        reevaluate: whether elites are evaluated again in every generation, for noisy fitness functions.
        crossover_rate: the probability that a child has two parents.
        samples: number of evaluations of each network; its fitness is their mean.
        probe_size: number of samples of `data` on which neurons are compared, drawn in each generation.
        spec: the symmetry of the network; inferred by default.
        islands: subpopulations that breed separately: their number, or `Islands(...)`.
        lineages: whether to record the last common ancestors of all pairs, which takes `size` squared integers.
        chunk: networks at once (see `population.map`).
        mesh: distributes evaluation and breeding over its devices (see `population.map`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(8,), classes=1), jnp.linspace(-1, 1, 20)[:, None]
        >>> fitness = lambda key, params: -jnp.mean((network.apply(params, x) - jnp.sin(3 * x)) ** 2)
        >>> ga = ea.evolution.Neuroevolution(network.apply, size=32, crossover="neurons", alignment="mutual", probe=x)
        >>> state = ga.init(jax.random.key(0), lambda key: network.init(key, x))
        >>> keys = jax.random.split(jax.random.key(1), 20)
        >>> state, infos = jax.lax.scan(lambda state, key: ga.step(key, state, fitness), state, keys)
        >>> bool(infos.best[-1] > infos.best[0]), int(state.evaluations)
        (True, 640)

    References:
        Uriot, T. and Izzo, D. Safe crossover of neural networks through neuron alignment. GECCO 2020.
    """

    apply: Apply | None = None
    _: dataclasses.KW_ONLY
    size: int = 64
    selection: Selection = dataclasses.field(default_factory=Truncation)
    crossover: str | Crossover = "uniform"
    alignment: str | Method | Aligned = "none"
    mutation: float | Callable | Mutation = 0.05
    probe: PyTree = None
    children: int | None = None
    elites: int = 1
    reevaluate: bool = False
    crossover_rate: float = 1.0
    samples: int = 1
    probe_size: int = 256
    spec: PermutationSpec | None = None
    islands: int | Islands = 1
    lineages: bool = True
    chunk: int | Literal["auto"] | None = None
    mesh: Mesh | None = None
    _settings: Settings = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_settings", settings(self))

    def init(
        self,
        key: PRNGKey,
        init_fn: Callable[[PRNGKey], PyTree] | PyTree,
        fitness: Fitness | None = None,
        data: PyTree = None,
    ) -> NeuroevolutionState:
        """Create the founders.

        Args:
            key: a random key.
            init_fn: `init_fn(key) -> params` of one network, or a population of founders.
            fitness: if given, the founders are evaluated now; otherwise in the first step. Inside a `scan` it is
                needed if operators use scores or visited states, or if `children` is not `size`.
            data: as in `step`.

        Returns:
            The state.
        """
        s = self._settings
        key_draw, key_judge = jax.random.split(_checks.key("key", key))
        members = population.init(init_fn, key_draw, s.size) if callable(init_fn) else init_fn
        _checks.arrays("init_fn", members)
        if (count := population.size(members)) != s.size:
            fix = f"Pass size={count}, or a function that draws one network."
            raise _checks.bad("init_fn", f"a population of {count}", f"{s.size} founders", fix)
        members = jax.tree.map(jnp.asarray, members)
        self._check_network(members)
        state = NeuroevolutionState(
            members=members,
            fitness=jnp.full(s.size, jnp.nan, jnp.float32),
            scores=None,
            states=None,
            champion=population.take(members, 0),
            champion_fitness=jnp.array(-jnp.inf, jnp.float32),
            generation=jnp.array(0, jnp.int32),
            evaluations=jnp.array(0, jnp.int32),
            ancestors=lineage.unrelated(s.size) if s.lineages else None,
            births=generation.founders(s, s.asked),
        )
        if fitness is None:
            return state
        program, constants = traced(fitness, key_judge, population.take(members, 0), data)
        state = generation.laid(s, _with_places(s, dataclasses.replace(state, evaluated=True), program))
        state, _ = generation.first_step(s, program, key_judge, state, self._given, data, constants)
        refuse_failure(state.fitness)
        return state

    def step(
        self, key: PRNGKey, state: NeuroevolutionState, fitness: Fitness, data: PyTree = None
    ) -> tuple[NeuroevolutionState, NeuroevolutionInfo]:
        """One generation: breed, evaluate, and select survivors; in the first generation, the founders are evaluated.

        Equals `ask`, the evaluation, and `tell`, with the keys of `jax.random.split(key, 3)`. It is compiled once
        for each algorithm, shapes, and operations of the fitness function, which may be a new object at every call. A
        new object is traced again, however: pass the same one if tracing takes long.

        Args:
            key: a random key.
            state: the state of the previous generation.
            fitness: `fitness(key, params)`, or `fitness(key, params, data)`: one number, larger is better, or an
                `Evaluation`. All networks of a generation get the same key, and so the same samples or starts.
            data: the third argument of the fitness function, so that it is not a constant of the compiled program.

        Returns:
            The next state, and statistics of the generation.
        """
        s, key = self._settings, _checks.key("key", key)
        program, constants = traced(fitness, key, state.champion, data)  # only shapes matter
        if state.fitness.dtype != program.dtype:  # float64, if it is enabled
            numbers = {name: getattr(state, name).astype(program.dtype) for name in ("fitness", "champion_fitness")}
            state = dataclasses.replace(state, **numbers)
        concrete = _checks.is_concrete(state)
        first = concrete and int(state.generation) == 0
        if not state.evaluated:
            if not concrete:
                self._check_evaluated(state)
            state = _with_places(s, state, program)
        run = generation.first_step if first else generation.step
        found = run(s, program, key, generation.laid(s, state), self._given, data, constants)
        if first:
            refuse_failure(found[0].fitness)
        return found

    def ask(self, key: PRNGKey, state: NeuroevolutionState, data: PyTree = None) -> tuple[PyTree, NeuroevolutionState]:
        """The networks to evaluate: first the founders, later on each island re-evaluated elites and children.

        Args:
            key: a random key.
            state: the state of the previous generation.
            data: a pair of inputs and targets, if `probe` is "data".

        Returns:
            A population, and the state to pass to `tell`.
        """
        s, key = self._settings, _checks.key("key", key)
        if _checks.is_concrete(state):
            if int(state.generation) == 0:
                return state.members, state
        elif not state.evaluated:
            self._check_evaluated(state)
        return generation.ask(s, key, generation.laid(s, state), self._given, data)

    def tell(
        self,
        key: PRNGKey,
        population: PyTree,
        values: Array | Evaluation | Sequence[Any],
        state: NeuroevolutionState,
        data: PyTree = None,
    ) -> tuple[NeuroevolutionState, NeuroevolutionInfo]:
        """Update the state with the fitness of the networks from `ask`, and select the survivors.

        Args:
            key: a random key.
            population: the networks from `ask`; their weights may have been changed, for example by training.
            values: a number or an `Evaluation` for each network: an array with a leading axis, or a list.
            state: the state from `ask`.
            data: as in `ask`.

        Returns:
            The next state, and statistics of the generation.
        """
        s, key = self._settings, _checks.key("key", key)
        first = _checks.is_concrete(state) and int(state.generation) == 0
        count = s.size if first else s.asked
        check_asked(population, state.members, count)
        values = evaluations(values, count)
        if first:
            state = _like(s, state, values)
        found = generation.tell(s, key, population, values, generation.laid(s, state), self._given, data)
        refuse_failure(found[0].fitness)
        return found

    @property
    def _given(self) -> PyTree:
        return self.probe if self._settings.probe == INPUTS else None

    def _check_evaluated(self, state: NeuroevolutionState) -> None:
        """Raise an error in a trace if shapes are known only after the founders were evaluated."""
        s = self._settings
        if s.asked != s.size:
            came = f"{s.asked} networks to evaluate in a generation, for {s.size} founders"
            raise _checks.bad("fitness", came, "founders that were evaluated", "In a trace, pass fitness to init too.")
        if (s.selection.uses_scores and state.scores is None) or (s.uses_states and state.states is None):
            came = "none of the scores or visited states of the founders, which selection or probe use"
            raise _checks.bad("fitness", came, "founders that were evaluated", "In a trace, pass fitness to init too.")

    def _check_network(self, members: PyTree) -> None:
        """Infer the symmetry and check it, if the inputs are known."""
        s = self._settings
        if not s.permutes or s.probe != INPUTS or s.apply is None:
            return
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), members)
        generation.require_groups(s, s.spec or remembered(s.apply, one, self.probe))
        ensure_symmetry(s.spec, s.apply, one, self.probe)


def _with_places(s: Settings, state: NeuroevolutionState, program: Program) -> NeuroevolutionState:
    """The state with arrays for scores and states, if any part uses them."""
    shapes = generation.kept(s, program.shapes)
    if jax.tree.structure(shapes) == jax.tree.structure((state.scores, state.states)):
        return state
    scores, states = jax.tree.map(lambda of: jnp.zeros((s.size, *of.shape), of.dtype), shapes)
    return dataclasses.replace(state, scores=scores, states=states)


def _like(s: Settings, state: NeuroevolutionState, values: Evaluation) -> NeuroevolutionState:
    """The same for evaluations that are passed to `tell`."""
    scores, states = jax.tree.map(jnp.zeros_like, generation.kept(s, values))
    dtype = values.fitness.dtype
    fitness, champion = state.fitness.astype(dtype), state.champion_fitness.astype(dtype)
    return dataclasses.replace(state, scores=scores, states=states, fitness=fitness, champion_fitness=champion)
