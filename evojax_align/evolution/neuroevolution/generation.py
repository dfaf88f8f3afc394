"""One generation as compiled functions: breeding, evaluation and selection of survivors."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align import _checks, population
from evojax_align._devices import laid_out, whole
from evojax_align._types import Array, PRNGKey, PyTree
from evojax_align.alignment.many import align_to
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.neuroevolution import lineage
from evojax_align.evolution.neuroevolution.judging import Program, evaluate_all
from evojax_align.evolution.neuroevolution.mating import RANDOM, Aligned, named
from evojax_align.evolution.neuroevolution.records import Births, NeuroevolutionInfo
from evojax_align.evolution.neuroevolution.records import NeuroevolutionState as State
from evojax_align.evolution.neuroevolution.settings import DATA, VISITED, Settings
from evojax_align.evolution.selection import best, failed_last
from evojax_align.symmetry import PermutationSpec, permute, random_permutations
from evojax_align.symmetry.inference import remembered


@partial(jax.jit, static_argnums=(0, 1))
def first_step(
    s: Settings, program: Program, key: PRNGKey, state: State, probe: PyTree, data: PyTree, constants: list[Any]
) -> tuple[State, NeuroevolutionInfo]:
    """Evaluate the founders and sort them."""
    _, key_judge, key_tell = jax.random.split(key, 3)
    values = evaluated(s, program, key_judge, state.members, data, constants)
    return tell(s, key_tell, state.members, values, state, probe, data)


@partial(jax.jit, static_argnums=(0, 1))
def step(
    s: Settings, program: Program, key: PRNGKey, state: State, probe: PyTree, data: PyTree, constants: list[Any]
) -> tuple[State, NeuroevolutionInfo]:
    """Breed children, evaluate them and select the survivors."""
    key_ask, key_judge, key_tell = jax.random.split(key, 3)
    asked, state = ask(s, key_ask, state, probe, data)
    values = evaluated(s, program, key_judge, asked, data, constants)
    return tell(s, key_tell, asked, values, state, probe, data)


def laid(s: Settings, state: State) -> State:
    """The state with the layout it has between steps: networks and visited states distributed over the devices."""
    return laid_out(state, s.mesh, "members", "states")


def evaluated(
    s: Settings, program: Program, key: PRNGKey, members: PyTree, data: PyTree, constants: list[Any]
) -> Evaluation:
    """The evaluation of every network, all with the same key."""
    return evaluate_all(program, constants, key, members, data, samples=s.samples, chunk=s.chunk, mesh=s.mesh)


@partial(jax.jit, static_argnums=0)
def ask(s: Settings, key: PRNGKey, state: State, probe: PyTree, data: PyTree) -> tuple[PyTree, State]:
    """The networks to evaluate, and the state with their births."""
    if state.evaluated or s.asked != s.size:
        return _bred(s, key, state, probe, data)

    def of_founders(state: State) -> tuple[PyTree, State]:
        return state.members, dataclasses.replace(state, births=founders(s, s.size))

    return jax.lax.cond(state.generation == 0, of_founders, lambda state: _bred(s, key, state, probe, data), state)


def founders(s: Settings, count: int) -> Births:
    """The births of networks without parents."""
    own, none = jnp.arange(count, dtype=jnp.int32) % s.size, jnp.zeros(count, bool)
    return Births(jnp.stack([own, own], axis=1), none, none, jnp.full(count, 0 if s.lineages else -1, jnp.int32))


def _bred(s: Settings, key: PRNGKey, state: State, probe: PyTree, data: PyTree) -> tuple[PyTree, State]:
    key_order, key_parents, key_crossed, key_mates, key_child, key_probe = jax.random.split(key, 6)
    x = _inputs(s, key_probe, probe, data)
    spec = _spec(s, state, x)
    state = _in_one_order(s, key_order, state, spec, x)
    known = s.islands.cut((state.fitness, state.scores))

    def chosen(key: PRNGKey, fitness: Array, scores: PyTree) -> Array:
        values = s.selection.values(fitness, scores)
        return s.selection.parents(key, values, scores, s.children // s.islands.count)

    keys = jax.random.split(key_parents, s.islands.count)
    parents = s.islands.places(chosen, s.size // s.islands.count, keys, *known).astype(jnp.int32)
    crossed = jax.random.bernoulli(key_crossed, s.crossover_rate, (s.children,)) & (s.crossover != "none")
    mates, aligned = _mates(s, key_mates, state, parents, crossed, spec, x)
    cross = named(s.crossover, spec)

    def child(key: PRNGKey, pair: Array, crossed: Array, slot: Array, own: Array) -> PyTree:
        key_cross, key_mutate = jax.random.split(key)
        a, b = (population.take(state.members, pair[side]) for side in (0, 1))
        if s.aligned:
            b = jax.tree.map(lambda new, old: jnp.where(own, new[slot], old), mates, b)
        mixed = cross(key_cross, a, b)
        mixed = jax.tree.map(lambda new, old: jnp.where(crossed, new, old), mixed, a)
        apply = s.apply or _no_network
        return s.mutation.mutated(key_mutate, mixed, apply, _seen(s, state, x, pair[:1]))

    slots, own = aligned
    keys = jax.random.split(key_child, s.children)
    given = keys, parents, crossed, slots, own
    asked = population.map(child, *given, strategy=s.breeding, chunk=s.chunk, mesh=s.mesh)
    related = jnp.full(s.children, -1, jnp.int32)
    if state.ancestors is not None:
        related = jnp.where(crossed, lineage.kinship(state.ancestors, state.generation, parents), 0)
    births = Births(parents, crossed, own & crossed, related)
    if s.reevaluate and s.elites:
        old = _elites(s)
        kept = founders(s, s.elites)
        kept = dataclasses.replace(kept, parents=jnp.stack([old, old], axis=1))
        births = s.islands.joined(kept, births)
        asked = s.islands.joined(population.take(state.members, old), asked)
    return asked, dataclasses.replace(state, births=births)


def _no_network(params: PyTree, x: PyTree) -> PyTree:
    raise _checks.bad("apply", None, "the network", "Pass it to Neuroevolution: the mutation calls it.")


def _elites(s: Settings) -> Array:
    """The indices of the elites, which are the first members of each island."""
    places = jnp.arange(s.size, dtype=jnp.int32).reshape(s.islands.count, -1)
    return places[:, : s.elites // s.islands.count].reshape(-1)


def _inputs(s: Settings, key: PRNGKey, probe: PyTree, data: PyTree) -> PyTree:
    """The inputs on which neurons are compared in this generation; None if each network has its own."""
    if s.probe != DATA or not (s.compares or s.permutes):
        return probe
    if not isinstance(data, tuple | list) or not data:
        came = "None" if data is None else type(data).__name__
        raise _checks.bad("data", came, "a pair of inputs and targets, as probe='data' needs", "Pass data=(x, y).")
    count = jnp.shape(jax.tree.leaves(data[0])[0])[0]
    chosen = jax.random.choice(key, count, (min(s.probe_size, count),), replace=False)
    return population.take(data[0], chosen)


def _seen(s: Settings, state: State, x: PyTree, members: Array) -> PyTree:
    """The inputs on which some members are compared."""
    if s.probe != VISITED or not s.uses_states:
        return x
    # one by one: inside a `shard_map`, JAX refuses index arrays on what a function closes over
    return jax.tree.map(lambda leaf: jnp.concatenate([leaf[place] for place in members]), state.states)


def _spec(s: Settings, state: State, x: PyTree) -> PermutationSpec | None:
    if not s.permutes:
        return None
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), state.members)
    seen = jax.eval_shape(lambda: _seen(s, state, x, jnp.arange(2)))
    spec = s.spec or remembered(_known(s), one, seen)
    require_groups(s, spec)
    return spec


def require_groups(s: Settings, spec: PermutationSpec) -> None:
    """Raise an error for a network without neurons to align or to exchange."""
    if not spec.groups:
        name = "alignment" if s.alignment else "crossover"
        fix = f"Pass {name}='none'; print(symmetry.infer(apply, params, x)) shows what fixes each axis."
        raise _checks.bad(name, "a network in which no axis can be permuted", "groups of neurons", fix)


def _known(s: Settings) -> Any:
    assert s.apply is not None  # checked in `settings`
    return s.apply


def _in_one_order(s: Settings, key: PRNGKey, state: State, spec: PermutationSpec | None, x: PyTree) -> State:
    """The state with all members in the order of the fittest, in generations in which they are aligned."""
    if not s.alignment or s.alignment.of == "pairs" or spec is None:
        return state
    due = state.generation == 1 if s.alignment.of == "founders" else state.generation % s.alignment.every == 0
    fittest = jnp.argmax(failed_last(state.fitness))
    reference = population.take(state.members, fittest)

    def ordered(members: PyTree) -> PyTree:
        def one(key: PRNGKey, network: PyTree, place: Array) -> PyTree:
            return _ordered(s, spec, key, reference, network, _seen(s, state, x, jnp.stack([fittest, place])))

        keys = jax.random.split(key, s.size)
        return population.map(one, keys, members, jnp.arange(s.size), chunk=s.chunk, mesh=s.mesh)

    members = jax.lax.cond(due, ordered, lambda members: members, state.members)
    return dataclasses.replace(state, members=members)


def _ordered(s: Settings, spec: PermutationSpec, key: PRNGKey, reference: PyTree, network: PyTree, x: PyTree) -> PyTree:
    """A network with its neurons in the order of the reference, or in random order."""
    if s.alignment.method == RANDOM:
        return permute(spec, network, random_permutations(spec, key))
    method = s.alignment.method if s.alignment else Aligned().method
    found = align_to(_known(s), reference, population.stack([network]), x, method=method, spec=spec)
    return population.take(found.networks, 0)


def _mates(
    s: Settings, key: PRNGKey, state: State, parents: Array, crossed: Array, spec: PermutationSpec | None, x: PyTree
) -> tuple[PyTree, tuple[Array, Array]]:
    """Second parents aligned with the first; for each mating the index of its aligned parent, and whether it has one.

    Parents that are not crossed are not aligned. A scan skips that work; `vmap` computes it anyway.
    """
    slots, own = jnp.zeros(s.children, jnp.int32), jnp.zeros(s.children, bool)
    if not s.aligned or spec is None:
        return None, (slots, own)
    key_draw, key_order = jax.random.split(key)
    places, counts = s.alignment.drawn(key_draw, s.children, state.generation)
    counts &= crossed[places]

    def one(key: PRNGKey, pair: Array, counts: Array) -> PyTree:
        a, b = (population.take(state.members, pair[side]) for side in (0, 1))
        return jax.lax.cond(counts, lambda: _ordered(s, spec, key, a, b, _seen(s, state, x, pair)), lambda: b)

    def ordered(pairs: Array) -> PyTree:
        keys = jax.random.split(key_order, s.aligned)
        return population.map(one, keys, pairs, counts, chunk=s.chunk, mesh=s.mesh)

    def unchanged(pairs: Array) -> PyTree:
        return population.take(state.members, pairs[:, 1])

    mates = jax.lax.cond(jnp.any(counts), ordered, unchanged, parents[places])
    slots = slots.at[places].set(jnp.arange(s.aligned, dtype=jnp.int32))
    return mates, (slots, own.at[places].set(counts))


@partial(jax.jit, static_argnums=0)
def tell(
    s: Settings, key: PRNGKey, asked: PyTree, values: Evaluation, state: State, probe: PyTree, data: PyTree
) -> tuple[State, NeuroevolutionInfo]:
    """Select the survivors."""
    known = whole((values.fitness, values.scores), s.mesh)
    values = dataclasses.replace(values, fitness=known[0], scores=known[1])
    asked, state = whole(asked, s.mesh), dataclasses.replace(state, members=whole(state.members, s.mesh))
    count = values.fitness.shape[0]
    births = state.births if count == s.asked else founders(s, count)
    parents = jnp.where(births.crossed[:, None], births.parents, births.parents[:, :1])  # the parents that contributed
    new = asked, values.fitness, kept(s, values), parents
    if s.elites and not s.reevaluate:
        places = _elites(s)
        known = state.fitness, (state.scores, state.states), jnp.stack([places, places], axis=1)
        old = (population.take((state.members, *known[:2]), places), known[2])
        new = s.islands.joined(new, (*old[0], old[1]))
    members, fitness, (scores, states), parents = new
    each, total = s.size // s.islands.count, fitness.shape[0] // s.islands.count

    def survivors(fitness: Array, scores: PyTree) -> Array:
        return best(s.selection.values(fitness, scores), each)

    order = s.islands.places(survivors, total, *s.islands.cut((fitness, scores)))
    ancestors = state.ancestors
    if ancestors is not None:
        ancestors = lineage.inherited(ancestors, state.generation, parents[order])
    highest = jnp.argmax(failed_last(values.fitness))
    is_better = failed_last(values.fitness)[highest] > state.champion_fitness
    state = State(
        members=population.take(members, order),
        fitness=fitness[order],
        scores=population.take(scores, order),
        states=population.take(states, order),
        champion=jax.tree.map(lambda now, old: jnp.where(is_better, now[highest], old), asked, state.champion),
        champion_fitness=jnp.where(is_better, values.fitness[highest], state.champion_fitness),
        generation=state.generation + 1,
        evaluations=state.evaluations + count * s.samples,
        ancestors=ancestors,
        births=state.births,
        evaluated=state.evaluated,
    )
    failed = jnp.isnan(values.fitness)
    info = NeuroevolutionInfo(
        fitness=values.fitness,
        births=births,
        best=jnp.max(failed_last(values.fitness)),
        mean=jnp.mean(values.fitness, where=~failed),
        failed=jnp.sum(failed),
    )
    return laid(s, _migrated(s, key, state, probe, data)), laid_out(info, s.mesh)


def kept(s: Settings, values: Evaluation) -> tuple[PyTree, PyTree]:
    """Scores and states, if any part uses them."""
    for name, used, part in (("scores", s.selection.uses_scores, "selection"), ("states", s.uses_states, "probe")):
        given = getattr(values, name)
        if used and given is None:
            fix = f"Return evolution.Evaluation(fitness=..., {name}=...); {part} uses them."
            raise _checks.bad("fitness", f"evaluations without {name}", f"evaluations with {name}", fix)
        if used and name == "scores" and jnp.ndim(given) - jnp.ndim(values.fitness) != 1:
            came = f"scores of shape {jnp.shape(given)[jnp.ndim(values.fitness) :]}"
            fix = "Return evolution.Evaluation(fitness=..., scores=...) with a number for each sample or objective."
            raise _checks.bad("fitness", came, "a vector of scores for each network", fix)
    return (values.scores if s.selection.uses_scores else None), (values.states if s.uses_states else None)


def _migrated(s: Settings, key: PRNGKey, state: State, probe: PyTree, data: PyTree) -> State:
    """The state after migration, in generations with one."""
    if not s.islands.exchange:
        return state
    order = s.islands.destination(s.size, state.generation)
    own = jnp.arange(s.size)
    moved = population.take((state.members, state.fitness, state.scores, state.states), order)
    members, fitness, scores, states = moved
    ancestors = state.ancestors
    if ancestors is not None:
        ancestors = lineage.now(ancestors, state.generation)[order][:, order]
    state = dataclasses.replace(
        state, members=members, fitness=fitness, scores=scores, states=states, ancestors=ancestors
    )
    due = jnp.any(order != own)
    if s.islands.align:
        state = dataclasses.replace(state, members=_aligned_migrants(s, key, state, due, probe, data))
    return _sorted(s, state, due)


def _aligned_migrants(s: Settings, key: PRNGKey, state: State, due: Array, probe: PyTree, data: PyTree) -> PyTree:
    """All members, with migrants aligned with the fittest member of their new island."""
    x = _inputs(s, key, probe, data)
    spec = _spec(s, state, x)
    assert spec is not None  # ensured by `permutes`
    arrivals = s.islands.arrivals(s.size)

    def aligned(members: PyTree) -> PyTree:
        def one(place: Array) -> PyTree:
            host = place // (s.size // s.islands.count) * (s.size // s.islands.count)
            a, b = (population.take(members, at) for at in (host, place))
            return _ordered(s, spec, key, a, b, _seen(s, state, x, jnp.stack([host, place])))

        new = population.map(one, arrivals, chunk=s.chunk, mesh=s.mesh)
        return jax.tree.map(lambda leaf, of: leaf.at[arrivals].set(of), members, new)

    return jax.lax.cond(due, aligned, lambda members: members, state.members)


def _sorted(s: Settings, state: State, due: Array) -> State:
    """The state with the members of each island sorted again after a migration."""
    each = s.size // s.islands.count

    def ranked(fitness: Array, scores: PyTree) -> Array:
        return best(s.selection.values(fitness, scores), each)

    places = s.islands.places(ranked, each, *s.islands.cut((state.fitness, state.scores)))
    places = jnp.where(due, places, jnp.arange(s.size))
    moved = population.take((state.members, state.fitness, state.scores, state.states), places)
    ancestors = None if state.ancestors is None else state.ancestors[places][:, places]
    members, fitness, scores, states = moved
    return dataclasses.replace(
        state, members=members, fitness=fitness, scores=scores, states=states, ancestors=ancestors
    )
