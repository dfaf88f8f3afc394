import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from evojax_align.evolution import tasks
from evojax_align.evolution.tasks import Acrobot, Links, acrobot

GRAVITY = 9.8


def accelerations(angle, turning, torque):
    """By the terms d1, d2, phi1 and phi2 of Sutton & Barto's book, for links of 1 m, 1 kg and 1 kg m²."""
    a, b = angle
    at, bt = turning
    d1 = 0.25 + (1 + 0.25 + np.cos(b)) + 2
    d2 = 0.25 + 0.5 * np.cos(b) + 1
    phi2 = 0.5 * GRAVITY * np.cos(a + b - np.pi / 2)
    phi1 = -0.5 * bt**2 * np.sin(b) - bt * at * np.sin(b) + 1.5 * GRAVITY * np.cos(a - np.pi / 2) + phi2
    second = (torque + d2 / d1 * phi1 - 0.5 * at**2 * np.sin(b) - phi2) / (1.25 - d2**2 / d1)
    return np.array([-(d2 * second + phi1) / d1, second])


def energy(angle, turning):
    """Of two links, from the speeds of their centres of mass."""
    directions, rates = jnp.cumsum(angle), jnp.cumsum(turning)
    inner = rates[0] * jnp.array([jnp.cos(directions[0]), jnp.sin(directions[0])])
    outer = inner + 0.5 * rates[1] * jnp.array([jnp.cos(directions[1]), jnp.sin(directions[1])])
    moving = jnp.sum((inner / 2) ** 2) + jnp.sum(outer**2) + jnp.sum(rates**2)
    return moving / 2 - GRAVITY * (1.5 * jnp.cos(directions[0]) + 0.5 * jnp.cos(directions[1]))


def test_the_equations_of_motion_are_those_of_the_book():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        derivative = jax.jit(acrobot.derivative)
        for _ in range(5):
            angle, turning = 3 * rng.normal(size=(2, 2))
            torque = rng.normal()
            rates, faster = derivative(jnp.array(angle), jnp.array(turning), jnp.array(torque))
            np.testing.assert_array_equal(rates, turning)
            np.testing.assert_allclose(faster, accelerations(angle, turning, torque), rtol=1e-9)


def test_a_torque_on_hanging_links_gives_the_accelerations_that_one_computes_by_hand():
    _, faster = acrobot.derivative(jnp.zeros(2), jnp.zeros(2), jnp.array(1.0))
    np.testing.assert_allclose(faster, np.array([-1.75, 4.5]) / (4.5 * 1.25 - 1.75**2), rtol=1e-6)
    assert not np.any(acrobot.derivative(jnp.zeros(2), jnp.zeros(2), jnp.array(0.0))[1])


def test_the_motor_alone_changes_the_energy():
    @jax.jit
    def power_of(torque):
        return jax.jvp(energy, (angle, turning), acrobot.derivative(angle, turning, torque))[1]

    with jax.enable_x64(True):
        angle, turning = jnp.array([0.5, -1.2]), jnp.array([2.0, 3.0])
        for torque in (0.0, 0.7):
            np.testing.assert_allclose(power_of(jnp.array(torque)), torque * turning[1], atol=1e-12)


def test_a_second_of_movement_is_that_of_an_independent_integration():
    torques = np.array([1.0, -0.5, 0.2, 1.0, -1.0])
    values = np.array([0.1, -0.2, 0.5, 0.3])
    with jax.enable_x64(True):
        state, advance = Links(jnp.array([values[:2]]), jnp.array([values[2:]])), jax.jit(Acrobot().advance)
        for torque in torques:
            state, reward, below = advance(state, jnp.array([[torque]]))
            assert reward == -1 and below
    for torque in torques:
        slope = lambda _, v, torque=torque: [*v[2:], *accelerations(v[:2], v[2:], torque)]
        values = solve_ivp(slope, (0, 0.2), values, rtol=1e-9, atol=1e-10).y[:, -1]
    np.testing.assert_allclose(np.concatenate([state.angle[0], state.turning[0]]), values, atol=5e-3)


def pumping(params, seen):
    """Torque in the direction in which the joint turns: all its work goes into the links."""
    return params * jnp.sign(seen[:, 5:])


@pytest.mark.slow
def test_a_controller_that_adds_energy_swings_the_tip_above_the_line(key):
    task = Acrobot(starts=20)
    fitness = jax.jit(task.fitness(pumping, visited=8))
    found = fitness(key, 1.0)
    assert -150 < float(found.fitness) < -50 and found.states.shape == (160, 6)
    assert float(fitness(key, 0.0).fitness) == -500
    states, rewards = task.fitness(pumping).trace(key, 1.0)
    tip = np.asarray(task.links(states))[:, :, 1, 1, 1]
    steps = np.asarray((rewards != 0).sum(axis=0))
    for episode, step in enumerate(steps):  # the last step has no reward, and its tip is above
        assert (tip[:step, episode] <= 1).all() and (tip[step:, episode] > 1).all()
    np.testing.assert_allclose(found.fitness, -steps.mean(), rtol=0.05)  # long episodes are chaotic


@pytest.mark.slow
def test_the_largest_of_three_actions_is_the_torque(key):
    task, plain = Acrobot(torque="discrete"), Acrobot()
    state = plain.begin(key)
    advance = jax.jit(plain.advance)
    for number, torque in enumerate((-1.0, 0.0, 1.0)):
        found, reward, alive = jax.jit(task.advance)(state, jax.nn.one_hot(jnp.full(3, number), 3))
        expected, *others = advance(state, jnp.full((3, 1), torque))
        np.testing.assert_array_equal(found.angle, expected.angle)
        np.testing.assert_array_equal([reward, alive], others)
    choosing = task.fitness(lambda params, seen: jnp.concatenate([-seen[:, 5:], 0 * seen[:, 5:], seen[:, 5:]], axis=1))
    assert float(choosing(key, None).fitness) > -150
    clipped, full = (advance(state, jnp.full((3, 1), torque))[0].turning for torque in (9.0, 1.0))
    np.testing.assert_array_equal(clipped, full)


def test_speeds_are_bounded_and_angles_are_kept_within_one_turn():
    state, *_ = jax.jit(Acrobot().advance)(
        Links(jnp.array([[3.1, -3.1]]), jnp.array([[100.0, -100.0]])), jnp.zeros((1, 1))
    )
    assert np.abs(state.angle).max() <= np.pi + 1e-5
    assert (np.abs(state.turning) <= np.array([4, 9]) * np.pi + 1e-4).all()


def test_links_hang_down_where_angles_are_0():
    links = Acrobot().links(Links(jnp.array([0.0, np.pi / 2]), jnp.zeros(2)))
    np.testing.assert_allclose(links, [[[0, 0], [0, -1]], [[0, -1], [1, -1]]], atol=1e-6)


def test_episodes_begin_near_rest_at_different_places(key):
    state = Acrobot(starts=50).begin(key)
    for leaf in jax.tree.leaves(state):
        assert leaf.shape == (50, 2) and np.abs(leaf).max() <= 0.1 and len(np.unique(leaf)) == 100
    assert Acrobot().observe(state).shape == (50, 6) and len(Acrobot().INPUTS) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.Acrobot(starts=0), "starts: got 0"),
        (lambda: tasks.Acrobot(limit=0), "limit: got 0"),
        (lambda: tasks.Acrobot(torque="discret"), r"torque: got 'discret'.*Did you mean 'discrete'\?"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
