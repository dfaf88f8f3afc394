import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution import Wann, tasks
from evojax_align.evolution.tasks import Pole, swing_up

STILL = {"place": jnp.array(0.3), "speed": jnp.array(0.0), "turning": jnp.array(0.0)}


def pushed(force):
    """A network that always gives one force, at two weights the opposite one."""
    return lambda x: jnp.broadcast_to(jnp.array([force, -force])[:, None, None], (2, x.shape[1], 1))


def test_a_pole_at_rest_stays_and_one_that_leans_falls():
    task = tasks.SwingUp()
    for angle, sign in ((0.0, 0), (jnp.pi, 0), (0.1, 1), (-0.1, -1), (jnp.pi - 0.1, 1)):
        after = task.moved(Pole(angle=jnp.array(angle), **STILL), jnp.array(0.0))
        turning = float(after.turning)
        assert np.sign(turning) == sign if sign else abs(turning) < 1e-5, angle


def test_energy_is_kept_without_force_and_friction(monkeypatch):
    """The equations are those of a rod on a cart: its energy changes by nothing but the steps' own error."""
    monkeypatch.setattr(swing_up, "FRICTION", 0.0)
    task = tasks.SwingUp(interval=1e-4)
    state = Pole(jnp.array(0.0), jnp.array(0.2), jnp.array(2.0), jnp.array(1.0))

    def energy(state):
        half, mass = swing_up.LENGTH / 2, swing_up.MASS_POLE
        along = state.speed - half * state.turning * jnp.cos(state.angle)
        across = half * state.turning * jnp.sin(state.angle)
        spin = mass * swing_up.LENGTH**2 / 12 * state.turning**2
        moving = swing_up.MASS_CART * state.speed**2 + mass * (along**2 + across**2) + spin
        return moving / 2 + mass * swing_up.GRAVITY * half * jnp.cos(state.angle)

    _, courses = jax.lax.scan(lambda s, _: (task.moved(s, jnp.array(0.0)),) * 2, state, length=5000)
    energies = jax.vmap(energy)(courses)
    assert float(jnp.ptp(courses.angle)) > 0.5
    np.testing.assert_allclose(energies, energy(state), atol=0.03)


@pytest.mark.slow
def test_rewards_are_added_up_until_the_cart_leaves_the_track():
    task = tasks.SwingUp(starts=4, limit=300)
    states, rewards = task.trace(jax.random.key(0), pushed(1.0))
    assert rewards.shape == (300, 2, 4) == states.angle.shape
    gone = np.abs(np.asarray(states.place)) > swing_up.TRACK
    assert gone.any() and float(jnp.max(rewards)) <= 1
    after = np.concatenate([np.zeros((1, 2, 4), bool), np.logical_or.accumulate(gone)[:-1]])
    assert np.all(np.asarray(rewards)[after] == 0) and np.all(np.asarray(rewards)[~after][:10] != 0)
    summed = task(jax.random.key(0), pushed(1.0))
    np.testing.assert_allclose(summed, rewards.sum(axis=0).mean(axis=1), rtol=1e-5)
    assert summed.shape == (2,)


@pytest.mark.slow
def test_a_search_takes_a_task_that_is_not_made_of_data():
    wann = Wann(5, 1, tasks.SwingUp(starts=2, limit=50), size=12, hidden=6, enabled=0.5, tournament=4, chunk=12)
    state = wann.init(jax.random.key(0), None)
    state, _ = wann.step(jax.random.key(1), state, None)
    assert state.rewards.shape == (12, 6) and bool(jnp.all((state.rewards >= 0) & (state.rewards <= 50)))


@pytest.mark.slow
def test_a_policy_earns_what_a_network_of_shared_weights_earns_at_one_of_them():
    task, weights = tasks.SwingUp(starts=4, limit=200), jax.random.normal(jax.random.key(1), (5, 1))
    found = jax.jit(task.fitness(lambda params, seen: seen @ params))(jax.random.key(0), weights)
    rewards = task(jax.random.key(0), lambda seen: seen @ weights[None])
    np.testing.assert_allclose(found.fitness, rewards[0], rtol=1e-5)
    states, steps = task.fitness(lambda params, seen: seen @ params).trace(jax.random.key(0), weights)
    assert steps.shape == (200, 4) == states.place.shape
    np.testing.assert_allclose(steps.sum(axis=0).mean(), found.fitness, rtol=1e-5)


def test_a_pole_is_drawn_from_the_cart_to_its_tip():
    links = tasks.SwingUp().links(Pole(angle=jnp.array(jnp.pi / 2), **STILL))
    np.testing.assert_allclose(links, [[[0.3, 0.0], [0.3 - swing_up.LENGTH, 0.0]]], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.SwingUp(limit=0), "limit: got 0"),
        (lambda: tasks.SwingUp(interval=0.0), "interval: got 0"),
        (lambda: tasks.SwingUp(starts=0), "starts: got 0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
