import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

import evojax_align as ea
from evojax_align.evolution import tasks
from evojax_align.evolution.tasks import Control, Fitness


@dataclasses.dataclass(frozen=True)
class Climb(Control):
    """Episodes that begin at 0, 1, 2, ..., climb by their action, and end above 10; each step is worth its height."""

    starts: int = 3
    limit: int = 1_000_000_000

    INPUTS, OUTPUTS = ("height", "one"), 1

    def begin(self, key):
        return {"height": jnp.arange(self.starts, dtype=float)}

    def observe(self, state):
        return jnp.stack([state["height"], jnp.ones_like(state["height"])], axis=-1)

    def advance(self, state, action):
        height = state["height"] + action[:, 0]
        return {"height": height}, height, height <= 10


def by(params, seen):
    """A policy that climbs by its parameter."""
    return jnp.full((len(seen), 1), params, seen.dtype)


def expected(speed, starts=3, limit=10**9):
    """Mean sum of heights, and the steps that each episode takes."""
    sums, steps = [], []
    for height in range(starts):
        total, number = 0.0, 0
        while height <= 10 and number < limit:
            height += speed
            total, number = total + height, number + 1
        sums.append(total)
        steps.append(number)
    return np.mean(sums), steps


def test_an_episode_ends_when_the_task_says_so_and_all_of_them_long_before_the_limit(key):
    fitness = Climb().fitness(by, visited=4)
    for speed in (1.0, 2.0, 20.0):
        found = fitness(key, speed)
        assert float(found.fitness) == pytest.approx(expected(speed)[0]) and found.scores is None
    assert float(Climb(limit=3).fitness(by)(key, 1.0).fitness) == pytest.approx(expected(1.0, limit=3)[0])


LIFTS = {
    "vmap": jax.vmap,
    "map": lambda fn: partial(jax.lax.map, fn),
    "jit of vmap": lambda fn: jax.jit(jax.vmap(fn)),
    "scan": lambda fn: lambda p: jax.lax.scan(lambda carry, one: (carry, fn(one)), 0, p)[1],
}


@pytest.mark.parametrize("lift", LIFTS.values(), ids=LIFTS)
def test_members_that_end_early_earn_nothing_while_others_go_on(key, lift):
    speeds = jnp.array([0.5, 1.0, 7.0, 20.0])
    found = lift(partial(Climb().fitness(by, visited=4), key))(speeds)
    np.testing.assert_allclose(found.fitness, [expected(float(speed))[0] for speed in speeds])
    alone = [Climb().fitness(by, visited=4)(key, speed).states for speed in speeds]
    np.testing.assert_array_equal(found.states, jnp.stack(alone))


def test_a_generation_is_one_program_that_is_traced_once(key):
    traces = []

    def counted(params, seen):
        traces.append(seen.shape)
        return by(params, seen)

    @partial(jax.jit, static_argnums=0)
    def generation(fitness, speeds):
        return ea.population.map(lambda speed: fitness(key, speed).fitness, speeds)

    speeds = jnp.array([1.0, 2.0])
    for task in (Climb(), Climb(), Climb(3)):
        found = generation(task.fitness(counted), speeds)
    assert len(traces) == 2  # once for the shapes, once in the loop
    np.testing.assert_allclose(found, [expected(1.0)[0], expected(2.0)[0]])
    generation(Climb(4).fitness(counted), speeds)
    assert len(traces) == 4


def test_fitness_functions_are_equal_if_tasks_and_policies_are():
    module = ea.models.MLP(hidden=(4,), classes=1)
    pairs = [
        (tasks.DoublePole().fitness(by), tasks.DoublePole(limit=100_000).fitness(by)),
        (tasks.Acrobot().fitness(module.apply), tasks.Acrobot().fitness(module.apply)),
        (tasks.SwingUp().fitness(ea.models.Recurrent(4)), tasks.SwingUp().fitness(ea.models.Recurrent(4))),
        (tasks.SwingUp().fitness(module), tasks.SwingUp().fitness(ea.models.MLP(hidden=(4,), classes=1))),
    ]
    for one, other in pairs:
        assert one == other and hash(one) == hash(other)
    different = [tasks.SwingUp(), tasks.SwingUp(limit=5)]
    assert len({task.fitness(policy, visited=n) for task in different for policy in (by, module) for n in (0, 4)}) == 8


@pytest.mark.parametrize("action", [jnp.nan, jnp.inf])
def test_an_action_that_is_no_number_ends_its_episode_and_the_network_has_no_fitness(key, action):
    def stumbling(params, seen):
        return jnp.where((seen[:, :1] > 4) & (seen[:, :1] < 6), action, 2.0)  # the second episode, at 5

    found = Climb().fitness(stumbling, visited=8)(key, None)
    assert np.isnan(found.fitness) and np.isfinite(found.states).all()
    _, rewards = Climb(limit=20).fitness(stumbling).trace(key, None)
    np.testing.assert_array_equal(np.isnan(rewards).sum(axis=0), [0, 1, 0])
    np.testing.assert_array_equal(rewards[:4, 1], [3.0, 5.0, np.nan, 0.0])
    members = ea.population.map(lambda p: Climb().fitness(by)(key, p).fitness, jnp.array([jnp.nan, 1.0]))
    assert ea.evolution.selection.best(members, 1).tolist() == [1]


@pytest.mark.slow
def test_a_network_of_nan_sees_the_start_alone(key):
    module = ea.models.MLP(hidden=(4,), classes=1)
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan), module.init(key, jnp.zeros((1, 6))))
    for task in (tasks.DoublePole(), tasks.Acrobot()):
        found = task.fitness(module.apply, visited=5)(key, params)
        assert np.isnan(found.fitness) and np.isfinite(found.states).all()
        starts = found.states.reshape(-1, 5, 6)
        np.testing.assert_array_equal(starts, starts[:, :1] + 0 * starts)


def test_an_action_of_minus_infinity_is_the_smallest_one(key):
    found = tasks.SwingUp(limit=5).fitness(lambda params, seen: params * jnp.ones((len(seen), 1)))
    assert float(found(key, -jnp.inf).fitness) == float(found(key, -1.0).fitness)


def test_states_are_what_the_network_saw_spread_over_each_episode(key):
    found = Climb().fitness(by, visited=5)(key, 1.0).states.reshape(3, 5, 2)
    np.testing.assert_array_equal(found[0, :, 0], [0, 2, 4, 6, 8])  # of 11 steps
    np.testing.assert_array_equal(found[2, :, 0], [2, 3, 5, 7, 9])  # of 9 steps, which begin at 2
    assert (found[:, :, 1] == 1).all()
    after_one = Climb().fitness(by, visited=3)(key, 20.0).states
    np.testing.assert_array_equal(after_one[:, 0], [0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert Climb().fitness(by, visited=0)(key, 1.0).states is None


@dataclasses.dataclass(frozen=True)
class Counting:
    """A policy that climbs by the number of the step."""

    def start(self, n):
        return jnp.zeros((n, 1))

    def advance(self, params, memory, seen):
        return memory + 1, params * (memory + 1)


def test_a_recurrent_policy_is_given_its_memory_and_its_states_are_sequences(key):
    fitness = Climb(starts=2).fitness(Counting(), visited=6)
    found = fitness(key, 1.0)
    assert float(found.fitness) == np.mean([1 + 3 + 6 + 10 + 15, 2 + 4 + 7 + 11])
    np.testing.assert_array_equal(found.states[:, :, 0], [[0, 1, 3, 6, 10, 10], [1, 2, 4, 7, 7, 7]])
    states, rewards = dataclasses.replace(fitness, task=Climb(starts=2, limit=6)).trace(key, 1.0)
    np.testing.assert_array_equal(states["height"][:, 1], [2, 4, 7, 11, 11, 11])
    np.testing.assert_array_equal(rewards[:, 1], [2, 4, 7, 11, 0, 0])


@pytest.mark.slow
def test_a_recurrent_network_acts_as_it_does_on_the_sequence_that_it_saw(key):
    network, task = ea.models.Recurrent(hidden=4), tasks.DoublePole(velocities=False)
    params = network.init(jax.random.key(1), jnp.zeros((1, 1, 3)))
    states = task.fitness(network, visited=5)(key, params).states
    assert states.shape == (1, 5, 3)
    outputs = network.apply(params, states)[0, :, 0]
    again, advance = task.begin(key), jax.jit(task.advance)
    for output in outputs[:4]:
        again = advance(again, output[None, None])[0]
    np.testing.assert_allclose(task.observe(again), states[:, 4], rtol=1e-5)
    spec = ea.symmetry.infer(network.apply, params, states)
    assert spec.groups == {"hidden": 4}


@pytest.mark.slow
def test_a_trace_shows_what_the_fitness_adds_up(key):
    task = Climb(limit=15)
    states, rewards = task.trace(key, partial(by, 1.0))
    assert rewards.shape == (15, 3) == states["height"].shape
    assert float(rewards.sum(axis=0).mean()) == float(task.fitness(by)(key, 1.0).fitness)
    np.testing.assert_array_equal(states["height"][-1], [11, 11, 11])
    np.testing.assert_array_equal((rewards != 0).sum(axis=0), expected(1.0)[1])
    again, same = task.fitness(by).trace(key, 1.0)
    np.testing.assert_array_equal(again["height"], states["height"])
    np.testing.assert_array_equal(same, rewards)


@dataclasses.dataclass(frozen=True)
class Corridor(Control):
    """Steps to the right until the end; what is seen is the place, an integer."""

    limit: int = 9

    INPUTS, OUTPUTS = ("place",), 1

    def begin(self, key):
        return jnp.zeros(1, jnp.int32)

    def observe(self, state):
        return state[:, None]

    def advance(self, state, action):
        state = state + (action[:, 0] > 0.3)
        return state, -jnp.ones(1, jnp.int32), state < 4


def test_states_observations_and_rewards_may_be_integers(key):
    found = Corridor().fitness(lambda params, seen: params + 0.0 * seen, visited=3)(key, 0.5)
    assert float(found.fitness) == -4 and found.states[:, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_parameters_may_have_few_bits(key, dtype):
    found = tasks.DoublePole().fitness(lambda params, seen: seen.astype(dtype) @ params)(key, jnp.ones((6, 1), dtype))
    assert found.fitness.dtype == jnp.float32 == found.states.dtype and found.fitness > 0


def test_the_fitness_of_64_bits_has_64_bits(key):
    with jax.enable_x64(True):
        found = Climb().fitness(by, visited=2)(key, jnp.array(1.0))
        assert found.fitness.dtype == jnp.float64 == found.states.dtype
        assert float(found.fitness) == pytest.approx(expected(1.0)[0])


@pytest.mark.slow
@pytest.mark.parametrize("recurrent", [False, True])
def test_episodes_run_where_the_key_or_the_network_varies_over_devices(key, recurrent):
    mesh, spec = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,)), PartitionSpec("devices")
    policy = Counting() if recurrent else lambda params, seen: params * seen[:, :1]
    task = tasks.SwingUp(limit=4) if recurrent else tasks.DoublePole(velocities=False, limit=4)
    fitness = task.fitness(policy, visited=3)

    def lifted(fn):
        return jax.jit(jax.shard_map(fn, mesh=mesh, in_specs=spec, out_specs=spec))

    expected = fitness(key, jnp.array(0.5))
    by_key = lifted(lambda keys: fitness(keys[0], jnp.array(0.5)).fitness[None])(key[None])
    by_params = lifted(lambda params: fitness(key, params[0]).fitness[None])(jnp.array([0.5]))
    np.testing.assert_allclose([by_key[0], by_params[0]], [expected.fitness] * 2, rtol=1e-5)


BAD = {
    "no function": (lambda: Climb().fitness("climb"), "policy: got 'climb'; expected a function apply"),
    "no hash": (lambda: Climb().fitness(Unhashable()), "policy: got an object without a hash"),
    "task": (lambda: Thawed().fitness(by), r"task: got an object without a hash.*Write @dataclasses.dataclass\("),
    "visited": (lambda: Climb().fitness(by, visited=-1), "visited: got -1; expected an integer of at least 0"),
    "shape": (
        lambda: Climb().fitness(lambda params, seen: seen)(jax.random.key(0), None),
        r"policy: got actions of shape \(3, 2\).*expected \[3, 1\]. Give the network 1 output",
    ),
    "act": (
        lambda: Climb().trace(jax.random.key(0), lambda seen: seen[:, 0]),
        r"policy: got actions of shape \(3,\)",
    ),
    "key": (lambda: Climb().fitness(by)(3, 1.0), "key: got int; expected one random key"),
}


@dataclasses.dataclass
class Thawed(Control):
    """A task whose class is no frozen dataclass."""

    limit: int = 3


@dataclasses.dataclass
class Unhashable:
    """A callable whose class is no frozen dataclass."""

    params: int = 0

    def __call__(self, params, seen):
        return seen[:, :1]


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name, unchecked):
    act, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        act()


def test_a_fitness_has_a_task_a_policy_and_a_number():
    assert Climb().fitness(by, visited=7) == Fitness(Climb(), by, 7)
