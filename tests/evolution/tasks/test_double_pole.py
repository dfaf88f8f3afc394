import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import solve_discrete_are

from evojax_align.evolution import tasks
from evojax_align.evolution.tasks import Poles, double_pole
from evojax_align.evolution.tasks.double_pole import DoublePole

CART, MASSES, HALVES, GRAVITY = 1.0, np.array([0.1, 0.01]), np.array([0.5, 0.05]), 9.8
MU_CART, MU_POLE = 0.0005, 0.000002
SCALES = np.array([4.8, 2, 0.52, 2, 0.52, 2])


def accelerations(speed, angle, turning, force):
    """Of the cart and of both angles: Lagrange's equations of two rods on a cart, solved as one linear system."""
    arms = MASSES * HALVES
    matrix = np.array(
        [
            [CART + MASSES.sum(), *(arms * np.cos(angle))],
            [arms[0] * np.cos(angle[0]), 4 / 3 * arms[0] * HALVES[0], 0],
            [arms[1] * np.cos(angle[1]), 0, 4 / 3 * arms[1] * HALVES[1]],
        ]
    )
    on_cart = force - MU_CART * np.sign(speed) + np.sum(arms * turning**2 * np.sin(angle))
    return np.linalg.solve(matrix, [on_cart, *(arms * GRAVITY * np.sin(angle) - MU_POLE * turning)])


def state_of(values, window=0):
    """One episode, from place, speed, angle, turning, angle, turning."""
    place, speed, a, at, b, bt = (jnp.asarray(value)[None] for value in values)
    turning = jnp.stack([at, bt], axis=-1)
    return Poles(place, speed, jnp.stack([a, b], axis=-1), turning, jnp.zeros((1, window), place.dtype))


def values_of(state):
    pairs = np.stack([state.angle, state.turning], axis=-1).reshape(*np.shape(state.place), 4)
    return np.concatenate([np.stack([state.place, state.speed], axis=-1), pairs], axis=-1)


def test_the_equations_of_motion_are_those_of_two_rods_on_a_cart():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        derivative = jax.jit(double_pole.derivative)
        for _ in range(5):
            place, speed, force = rng.normal(size=3)
            angle, turning = rng.normal(size=(2, 2))
            found = derivative(*map(jnp.array, (place, speed, angle, turning, 10 * force)))
            expected = accelerations(speed, angle, turning, 10 * force)
            np.testing.assert_allclose(found[1], expected[0], rtol=1e-10)
            np.testing.assert_allclose(found[3], expected[1:], rtol=1e-10)
            assert found[0] == speed and (found[2] == turning).all()


def test_a_force_on_a_cart_at_rest_gives_the_accelerations_that_one_computes_by_hand():
    zero, still = jnp.zeros(()), jnp.zeros(2)
    _, speed, _, turning = double_pole.derivative(zero, zero, still, still, jnp.array(10.0))
    assert float(speed) == pytest.approx(10 / (1 + 0.11 / 4))  # a rod adds a quarter of its mass
    np.testing.assert_allclose(turning, -0.75 * float(speed) / HALVES, rtol=1e-6)


def test_the_energy_changes_by_nothing_but_friction_and_force(monkeypatch):
    for name in ("FRICTION_CART", "FRICTION_HINGE"):
        monkeypatch.setattr(double_pole, name, 0.0)
    values = np.array([0.3, -0.4, 0.5, 1.0, -0.7, 2.0])

    def energy(values):
        _, speed, a, at, b, bt = values
        total = CART * speed**2 / 2
        for mass, half, angle, turning in zip(MASSES, HALVES, (a, b), (at, bt), strict=True):
            along, up = speed + half * turning * np.cos(angle), -half * turning * np.sin(angle)
            total += (
                mass * (along**2 + up**2) / 2 + mass * half**2 / 6 * turning**2 + mass * GRAVITY * half * np.cos(angle)
            )
        return total

    with jax.enable_x64(True):
        step = jax.jit(lambda state: DoublePole().advance(state, jnp.zeros((1, 1)))[0])
        state, found = state_of(values), []
        for _ in range(100):
            state = step(state)
            found.append(energy(values_of(state)[0]))
        assert abs(values_of(state)[0, 2]) > 1
    np.testing.assert_allclose(found, energy(values), rtol=2e-5)


def test_two_seconds_of_movement_are_those_of_an_independent_integration():
    forces = np.sin(np.arange(100) / 7)

    def slope(_, values, force):
        _, speed, a, at, b, bt = values
        faster = accelerations(speed, np.array([a, b]), np.array([at, bt]), force)
        return [speed, faster[0], at, faster[1], bt, faster[2]]

    values = [0.1, 0.5, 0.05, -0.2, -0.1, 0.3]
    with jax.enable_x64(True):
        state = jax.lax.scan(
            lambda state, force: (DoublePole().advance(state, force[None, None])[0], None), state_of(values), forces
        )[0]
    for force in forces:
        values = solve_ivp(slope, (0, 0.02), values, args=(10 * force,), rtol=1e-9, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(values_of(state)[0], values, atol=1e-3)  # the short pole turned over twice


@pytest.fixture(scope="module")
def gains():
    """Weights of a linear controller, from the linear-quadratic regulator of the task itself near rest."""
    with jax.enable_x64(True):

        def after(values):
            state, *_ = DoublePole().advance(state_of(values[:6]), values[6:, None])
            return jnp.concatenate([state.place, state.speed, jnp.stack([state.angle, state.turning], axis=-1).ravel()])

        slopes = np.asarray(jax.jit(jax.jacobian(after))(jnp.zeros(7)))
    system, control = slopes[:, :6], slopes[:, 6:]
    cost = solve_discrete_are(system, control, np.diag([1, 0.1, 1, 0.1, 1, 0.1]), np.eye(1))
    return -np.linalg.solve(1 + control.T @ cost @ control, control.T @ cost @ system)


def linear(params, seen):
    return seen @ params


@pytest.mark.slow
def test_a_linear_controller_balances_both_poles_for_100_000_steps(gains):
    weights = jnp.asarray((gains * SCALES).T, jnp.float32)
    task = DoublePole()
    assert int(task.balanced(linear, weights)) == 100_000
    found = task.fitness(linear, visited=32)(jax.random.key(0), weights)
    assert float(found.fitness) == 100_000 and found.states.shape == (32, 6)
    np.testing.assert_allclose(found.states[0], [0, 0, 0.07 / 0.52, 0, 0, 0], rtol=1e-6)
    solved = task.generalisation(linear, weights)
    assert solved.shape == (625,) and 400 < int(solved.sum()) < 625


@pytest.mark.slow
def test_random_networks_fail_within_a_few_tens_of_steps():
    members = 3 * jax.random.normal(jax.random.key(0), (60, 6, 1))
    fitness = DoublePole().fitness(linear)
    steps = jax.vmap(lambda w: fitness(jax.random.key(0), w).fitness)(members)
    assert 1 < float(jnp.median(steps)) < 40 and float(steps.max()) < 300


@dataclasses.dataclass(frozen=True)
class Differences:
    """The linear controller, which takes velocities from the difference of two observations."""

    def start(self, n):
        return jnp.full((n, 3), jnp.inf)

    def advance(self, params, memory, seen):
        speeds = jnp.where(jnp.isinf(memory), 0.0, (seen - memory) / 0.02)
        scales = jnp.array([[4.8, 0.52, 0.52]])
        both = jnp.stack([seen * scales, speeds * scales], axis=-1).reshape(-1, 6)
        return seen, both @ params


@pytest.mark.slow
def test_without_velocities_a_policy_with_memory_balances_and_damping_is_rewarded(gains):
    task, weights = DoublePole(velocities=False), jnp.asarray(gains.T, jnp.float32)
    fitness = task.fitness(Differences(), visited=20)
    assert int(task.balanced(Differences(), weights)) == 100_000
    assert int(task.generalisation(Differences(), weights).sum()) >= 200
    found = fitness(jax.random.key(0), weights)
    assert found.states.shape == (1, 20, 3)
    states, rewards = fitness.trace(jax.random.key(0), weights)
    last = values_of(states)[-100:, 0, :4]
    moved = max(np.abs(last).sum(), 1e-3)
    np.testing.assert_allclose(found.fitness, 0.1 + 0.9 * 0.75 / moved, rtol=1e-4)
    assert float(rewards.sum()) == 1000


@pytest.mark.slow
def test_the_fitness_of_gruau_asks_for_100_steps_before_it_rewards_damping(gains):
    key, weights = jax.random.key(0), jnp.asarray(gains.T, jnp.float32)
    found = DoublePole(velocities=False, limit=99).fitness(Differences(), visited=0)(key, weights)
    np.testing.assert_allclose(found.fitness, 0.1 * 99 / 1000, rtol=1e-5)
    fitness = DoublePole(velocities=False, limit=100).fitness(Differences(), visited=0)
    states, rewards = fitness.trace(key, weights)
    assert float(rewards.sum()) == 100
    moved = np.abs(values_of(states)[:, 0, :4]).sum()
    np.testing.assert_allclose(fitness(key, weights).fitness, 0.01 + 0.9 * 0.75 / moved, rtol=1e-4)


def test_poles_that_never_move_have_a_finite_fitness():
    fitness = DoublePole(velocities=False, angle=0.0).fitness(lambda params, seen: 0 * seen[:, :1])
    assert float(fitness(jax.random.key(0), None).fitness) == pytest.approx(0.1 + 0.9 * 750)


def test_an_episode_ends_where_a_pole_leans_by_36_degrees_or_the_cart_leaves_the_track():
    advance, idle = jax.jit(DoublePole().advance), jnp.zeros((1, 1))
    lean = math.radians(36)
    ends = {
        (2.39, 0, 0, 0, 0, 0): True,
        (2.39, 2, 0, 0, 0, 0): False,
        (-2.39, -2, 0, 0, 0, 0): False,
        (0, 0, lean - 0.01, 0, 0, 0): True,
        (0, 0, lean - 0.01, 1, 0, 0): False,
        (0, 0, 0, 0, -lean + 0.1, 0): True,
        (0, 0, 0, 0, -lean + 0.01, -1): False,
    }
    for values, up in ends.items():
        _, reward, alive = advance(state_of(np.array(values, np.float32)), idle)
        assert bool(alive[0]) == up == bool(reward[0]), values


def test_the_force_is_clipped_to_ten_newtons():
    advance, state = jax.jit(DoublePole().advance), state_of(np.zeros(6, np.float32))
    moved = [advance(state, jnp.array([[force]]))[0].speed[0] for force in (0.5, 1.0, 7.0)]
    assert moved[0] < moved[1] == moved[2]
    assert float(moved[1]) == pytest.approx(0.02 * 10 / (1 + 0.11 / 4), rel=0.05)


def test_a_network_sees_scaled_values_with_or_without_velocities():
    values = np.array([1.2, 0.5, 0.13, -0.4, 0.26, 1.0], np.float32)
    np.testing.assert_allclose(DoublePole().observe(state_of(values))[0], values / SCALES, rtol=1e-6)
    seen = DoublePole(velocities=False).observe(state_of(values))[0]
    np.testing.assert_allclose(seen, (values / SCALES)[::2], rtol=1e-6)
    assert DoublePole().INPUTS[::2] == DoublePole(velocities=False).INPUTS == ("place", "long angle", "short angle")


def test_generalisation_begins_at_625_different_states():
    seen = []

    def recorded(params, x):
        jax.debug.callback(lambda x: seen.append(np.array(x)), x)
        return jnp.zeros((len(x), 1))

    DoublePole().generalisation(recorded, None, limit=1)
    jax.effects_barrier()
    starts = seen[0] * SCALES
    assert len(np.unique(starts.round(5), axis=0)) == 625
    ends = np.array([2.16, 1.35, math.radians(3.6), math.radians(8.6)]) * 0.9
    np.testing.assert_allclose(starts[:, :4].max(axis=0), ends, rtol=1e-5)
    np.testing.assert_allclose(starts[:, :4].min(axis=0), -ends, rtol=1e-5)
    assert not starts[:, 4:].any()


def test_a_policy_that_fails_balances_for_no_step():
    def failing(params, seen):
        return jnp.nan * seen[:, :1]

    assert int(DoublePole().balanced(failing, None)) == 0


def test_poles_are_drawn_from_the_cart_to_their_tips():
    links = DoublePole().links(state_of(np.array([0.4, 0, np.pi / 2, 0, 0, 0], np.float32)))
    np.testing.assert_allclose(links[0], [[[0.4, 0], [1.4, 0]], [[0.4, 0], [0.4, 0.1]]], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.DoublePole(limit=0), "limit: got 0"),
        (lambda: tasks.DoublePole(angle=0.7), r"angle: got 0.7; expected less than 36 degrees, 0.628. Pass angle=0.07"),
        (lambda: tasks.DoublePole(angle=float("nan")), "angle: got nan"),
        (lambda: tasks.DoublePole().balanced("policy", None), "policy: got 'policy'"),
        (lambda: tasks.DoublePole().generalisation(linear, None, limit=0), "limit: got 0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
