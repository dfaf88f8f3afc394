import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import attacks


@pytest.fixture(scope="module")
def victim(task, network):
    """A trained network, and inputs in [0, 1] with their labels."""
    x, y = task
    x = jax.nn.sigmoid(x)
    apply, init = network
    pop = ea.population.init(init, jax.random.key(0), 1)
    settings = {"epochs": 40, "batch_size": 16, "key": jax.random.key(1)}
    trained, _ = ea.training.fit(apply, pop, (x, y), optax.adam(1e-2), **settings)
    return apply, ea.population.take(trained, 0), x, y


def accuracy(victim, x):
    apply, params, _, y = victim
    return float(ea.training.evaluate(apply, params, x, y).accuracy)


ATTACKS = {
    "fgsm": lambda *args, **settings: attacks.fgsm(*args, **settings),
    "pgd": lambda *args, **settings: attacks.pgd(*args, key=jax.random.key(2), **settings),
}
every_attack = pytest.mark.parametrize("name", ATTACKS)


@pytest.mark.slow
@every_attack
def test_an_attack_stays_within_epsilon_and_the_bounds_and_does_harm(name, victim):
    x = victim[2]
    crafted = ATTACKS[name](*victim, epsilon=0.2)
    assert crafted.shape == x.shape and crafted.dtype == x.dtype
    assert float(jnp.abs(crafted - x).max()) <= 0.2 + 1e-6
    assert float(crafted.min()) >= 0 and float(crafted.max()) <= 1
    assert accuracy(victim, x) > 0.8 and accuracy(victim, crafted) < accuracy(victim, x) - 0.3


@every_attack
def test_without_epsilon_nothing_changes(name, victim):
    np.testing.assert_array_equal(ATTACKS[name](*victim, epsilon=0.0), victim[2])


@every_attack
def test_chunks_make_no_difference(name, victim):
    found = [ATTACKS[name](*victim, epsilon=0.1, chunk=chunk) for chunk in (7, 1000)]
    np.testing.assert_allclose(*found, atol=1e-6)


@every_attack
def test_samples_that_are_wrong_already_are_spared_on_demand(name, victim):
    apply, params, x, y = victim
    y = y.at[0].set((y[0] + 1) % 3)
    wrong = np.asarray(jnp.argmax(apply(params, x), axis=-1) != y)
    crafted = ATTACKS[name](apply, params, x, y, epsilon=0.1, spare_errors=True)
    changed = np.asarray((crafted != x).any(axis=-1))
    assert wrong[0] and not changed[wrong].any() and changed[~wrong].mean() > 0.8


def test_one_step_goes_along_the_sign_of_the_gradient():
    """Worked by hand: with logits x @ W the gradient of a sample's loss is W (p - one hot)."""
    weights = jnp.array([[1.0, -1.0], [0.5, 2.0]])
    x, y = jnp.array([[0.4, 0.6]]), jnp.array([0])
    gradient = weights @ (jax.nn.softmax(x @ weights)[0] - jnp.array([1.0, 0.0]))
    found = attacks.fgsm(lambda p, x: x @ p, weights, x, y, epsilon=0.1, bounds=None)
    np.testing.assert_allclose(found[0], x[0] + 0.1 * np.sign(gradient), rtol=1e-6)


def test_where_the_slope_is_the_same_everywhere_many_steps_end_where_one_does(key):
    """Of a linear network with two classes; the steps add up to more than the way from any start."""
    weights, x = jax.random.normal(key, (6, 2)), jax.random.uniform(jax.random.key(1), (9, 6))
    y = jnp.arange(9) % 2
    args = (lambda p, x: x @ p, weights, x, y)
    one, many = (attack(*args, epsilon=0.1) for attack in ATTACKS.values())
    np.testing.assert_allclose(many, one, atol=1e-6)


def test_without_bounds_inputs_may_leave_them(victim):
    assert float(attacks.fgsm(*victim, epsilon=2.0, bounds=None).max()) > 1


def test_an_attack_can_be_lifted_over_a_population(victim, network):
    apply, init = network
    pop = ea.population.init(init, jax.random.key(3), 3)
    x, y = victim[2:]
    many = jax.jit(lambda pop: ea.population.map(lambda p: attacks.fgsm(apply, p, x, y, epsilon=0.1), pop))(pop)
    for number, member in enumerate(ea.population.unstack(pop)):
        np.testing.assert_allclose(many[number], attacks.fgsm(apply, member, x, y, epsilon=0.1), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"epsilon": -0.1}, "epsilon: "),
        ({"epsilon": 0.1, "bounds": (1.0, 0.0)}, "bounds: "),
        ({"epsilon": 0.1, "bounds": (0.0, 0.6)}, "x: "),  # some inputs are too large
        ({"epsilon": 0.1, "bounds": (0.4, 1.0)}, "x: "),  # some are too small
        ({"epsilon": 0.1, "chunk": 0}, "chunk: "),
        ({"epsilon": np.array([0.1, 0.2])}, "epsilon: "),
    ],
)
def test_what_cannot_be_is_refused(victim, settings, named):
    with pytest.raises(ValueError, match=named):
        attacks.fgsm(*victim, **settings)


def test_at_least_one_step_is_asked_for(victim):
    with pytest.raises(ValueError, match="steps: "):
        attacks.pgd(*victim, epsilon=0.1, key=jax.random.key(0), steps=0)


@pytest.mark.usefixtures("unchecked")
def test_labels_that_do_not_fit_are_refused(victim):
    apply, params, x, y = victim
    for wrong in (y + 5, y[:3]):
        with pytest.raises(ValueError, match="x, y: "):
            attacks.fgsm(apply, params, x, wrong, epsilon=0.1)


def test_steps_go_uphill(victim):
    with pytest.raises(ValueError, match="step_size: "):
        attacks.pgd(*victim, epsilon=0.1, key=jax.random.key(0), step_size=-1.0)


def test_samples_with_outputs_of_nan_are_errors_already_and_are_spared():
    def apply(params, x):
        return jnp.where(x[:, :1] > 0.5, jnp.nan, x @ params)

    x = jnp.array([[0.9, 0.2], [0.1, 0.3], [0.3, 0.1]])
    moved = ea.attacks.fgsm(apply, jnp.eye(2), x, jnp.array([0, 1, 1]), epsilon=0.05, spare_errors=True)
    np.testing.assert_allclose(moved, [[0.9, 0.2], [0.15, 0.25], [0.3, 0.1]], rtol=1e-6)
