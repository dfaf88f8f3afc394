import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution import Wann, tasks
from evojax_align.evolution.tasks import Pole

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
    monkeypatch.setattr(tasks, "FRICTION", 0.0)
    task = tasks.SwingUp(interval=1e-4)
    state = Pole(jnp.array(0.0), jnp.array(0.2), jnp.array(2.0), jnp.array(1.0))

    def energy(state):
        half, mass = tasks.LENGTH / 2, tasks.MASS_POLE
        along = state.speed - half * state.turning * jnp.cos(state.angle)
        across = half * state.turning * jnp.sin(state.angle)
        spin = mass * tasks.LENGTH**2 / 12 * state.turning**2
        moving = tasks.MASS_CART * state.speed**2 + mass * (along**2 + across**2) + spin
        return moving / 2 + mass * tasks.GRAVITY * half * jnp.cos(state.angle)

    _, courses = jax.lax.scan(lambda s, _: (task.moved(s, jnp.array(0.0)),) * 2, state, length=5000)
    energies = jax.vmap(energy)(courses)
    assert float(jnp.ptp(courses.angle)) > 0.5
    np.testing.assert_allclose(energies, energy(state), atol=0.03)


def test_rewards_are_added_up_until_the_cart_leaves_the_track():
    task = tasks.SwingUp(starts=4, limit=300)
    states, rewards = task.trace(jax.random.key(0), pushed(1.0))
    assert rewards.shape == (300, 2, 4) == states.angle.shape
    gone = np.abs(np.asarray(states.place)) > tasks.TRACK
    assert gone.any() and float(jnp.max(rewards)) <= 1
    after = np.concatenate([np.zeros((1, 2, 4), bool), np.logical_or.accumulate(gone)[:-1]])
    assert np.all(np.asarray(rewards)[after] == 0) and np.all(np.asarray(rewards)[~after][:10] != 0)
    summed = task(jax.random.key(0), pushed(1.0))
    np.testing.assert_allclose(summed, rewards.sum(axis=0).mean(axis=1), rtol=1e-5)
    assert summed.shape == (2,)


def test_a_search_takes_a_task_that_is_not_made_of_data():
    wann = Wann(5, 1, tasks.SwingUp(starts=2, limit=50), size=12, hidden=6, enabled=0.5, tournament=4, chunk=12)
    state = wann.init(jax.random.key(0), None)
    state, _ = wann.step(jax.random.key(1), state, None)
    assert state.rewards.shape == (12, 6) and bool(jnp.all((state.rewards >= 0) & (state.rewards <= 50)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tasks.SwingUp(limit=0), "limit: got 0"),
        (lambda: tasks.SwingUp(interval=0.0), "interval: got 0"),
        (lambda: tasks.Classification(batch=0), "batch: got 0"),
        (lambda: tasks.Classification(scale="mean"), "one of 'sum', 'relative'"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def squares(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=1)


def test_with_a_loss_the_reward_is_minus_its_mean_at_each_shared_weight(key):
    x = jnp.arange(8.0).reshape(8, 1)
    values = jnp.array([1.0, 3.0, jnp.nan])[:, None, None]
    rewards = tasks.Classification(loss=squares)(key, lambda x: x * values, (x, 2 * x))
    mean = float(jnp.mean(x**2))
    np.testing.assert_allclose(rewards, [-mean, -mean, jnp.nan], rtol=1e-6)
    both = tasks.Classification(loss=squares, scale="relative")(key, lambda x: x * values, [(x, 2 * x), (x, x / 2)])
    expected = -np.log(mean) * 2 - 2 * np.log([0.5, 2.5])
    np.testing.assert_allclose(both[:2], expected, rtol=1e-5)


def test_graphs_are_searched_for_by_a_regression(key):
    x = jax.random.normal(jax.random.key(1), (30, 2))
    data = x, x[:, :1] - x[:, 1:]
    wann = Wann(2, 1, tasks.Classification(loss=squares), size=6, hidden=3, enabled=1.0, tournament=2)
    state, _ = wann.step(jax.random.key(2), wann.init(key, data), data)
    graph = state.fittest
    outputs = wann.forward(graph)(x[None])
    expected = -jnp.mean(jnp.sum((outputs - data[1][None]) ** 2, axis=2), axis=1)
    np.testing.assert_allclose(state.rewards[int(jnp.argmax(state.mean))], expected, rtol=1e-4)


def test_a_loss_that_is_no_function_is_refused(unchecked):
    with pytest.raises(ValueError, match=r"^loss: got 'mse'; expected a function"):
        tasks.Classification(loss="mse")
