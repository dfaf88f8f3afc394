import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align.interpolation import barrier, bend, bezier, sweep, sweep_curve

TS = jnp.linspace(0, 1, 9)
ADAM = optax.adam(1e-2)


@pytest.fixture(scope="module")
def parents(network, task):
    """Two networks trained apart."""
    apply, init = network
    pop = ea.population.init(init, jax.random.key(3), 2)
    pop, _ = ea.training.fit(apply, pop, task, ADAM, epochs=20, batch_size=16, key=jax.random.key(4))
    return ea.population.unstack(pop)


@pytest.mark.slow
def test_the_formula_and_the_ends(parents):
    a, b = parents
    control = jax.tree.map(jnp.sin, a)
    expected = jax.tree.map(lambda p, c, q: 0.49 * p + 0.42 * c + 0.09 * q, a, control, b)
    chex.assert_trees_all_close(bezier(a, control, b, 0.3), expected, atol=1e-6)
    chex.assert_trees_all_equal(bezier(a, control, b, 0.0), a)
    chex.assert_trees_all_equal(bezier(a, control, b, 1.0), b)


def test_through_the_mean_of_the_parents_it_is_the_line(network, task, parents):
    apply, _ = network
    a, b = parents
    middle = ea.crossover.arithmetic(a, b, 0.5)
    curve, line = sweep_curve(apply, a, middle, b, *task, ts=TS), sweep(apply, a, b, *task, ts=TS)
    np.testing.assert_allclose(curve.loss, line.loss, rtol=1e-4)
    np.testing.assert_array_equal(curve.ts, TS)


def test_bending_lowers_the_loss_on_the_way_and_leaves_the_parents(network, task, parents):
    apply, _ = network
    a, b = parents
    control = bend(apply, a, b, task, ADAM, epochs=40, batch_size=16, key=jax.random.key(5))
    curve, line = sweep_curve(apply, a, control, b, *task, ts=TS), sweep(apply, a, b, *task, ts=TS)
    assert float(barrier(curve)) < 0.5 * float(barrier(line))
    np.testing.assert_allclose(curve.loss[jnp.array([0, -1])], line.loss[jnp.array([0, -1])], rtol=1e-5)


def test_what_both_parents_share_is_bent_too(network, task, parents):
    apply, _ = network
    a, b = (jax.tree.map(lambda leaf: leaf if leaf.ndim > 1 else jnp.zeros_like(leaf), parent) for parent in parents)
    control = bend(apply, a, b, task, ADAM, epochs=2, batch_size=16, key=jax.random.key(5))
    biases = [leaf for leaf in jax.tree.leaves(control) if leaf.ndim == 1]
    assert biases and all((leaf != 0).all() for leaf in biases)


@pytest.mark.slow
def test_many_curves_at_once_are_each_alone(network, task, parents):
    apply, _ = network
    a, b = (ea.population.stack([parents[i], parents[1 - i]]) for i in (0, 1))
    keys = jax.random.split(jax.random.key(0), 2)

    def one(a, b, key):
        return bend(apply, a, b, task, ADAM, epochs=2, batch_size=32, key=key)

    together = ea.population.map(one, a, b, keys)
    alone = one(*ea.population.take((a, b), 1), keys[1])
    chex.assert_trees_all_close(ea.population.take(together, 1), alone, atol=1e-5)


@pytest.mark.parametrize(
    "changed", [{"epochs": 0}, {"batch_size": 0}, {"data": (jnp.zeros((0, 2)), jnp.zeros(0, int))}]
)
def test_what_cannot_be_trained_is_refused(network, task, parents, changed):
    apply, _ = network
    settings = {"data": task, "epochs": 1, "batch_size": 8} | changed
    with pytest.raises(ValueError, match=next(iter(changed))):
        bend(apply, *parents, settings.pop("data"), ADAM, **settings, key=jax.random.key(0))
    with pytest.raises(ValueError, match="t: "):
        bezier(*parents, parents[0], jnp.nan)
