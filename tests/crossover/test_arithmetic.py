"""Arithmetic crossover: points on the line through two parents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, population


@pytest.mark.parametrize("t", [-0.25, 0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 3])
def test_a_child_is_the_weighted_mean_of_its_parents(t):
    a, b = jnp.array([1.0, -2.0, 0.0, 5.0]), jnp.array([3.0, 2.0, 0.0, 5.5])
    expected = (1 - t) * np.asarray(a, np.float64) + t * np.asarray(b, np.float64)
    np.testing.assert_allclose(crossover.arithmetic(a, b, t), expected, rtol=1e-6)


def test_the_mean_does_not_depend_on_which_parent_comes_first():
    a, b = jax.random.normal(jax.random.key(0), (2, 100))
    np.testing.assert_allclose(crossover.lerp(a, b, 0.3), crossover.lerp(b, a, 0.7), rtol=1e-5, atol=1e-6)


def test_near_the_ends_nothing_is_lost_to_rounding():
    a, b = jnp.full(3, 1e-8), jnp.full(3, 1e8)
    assert crossover.lerp(a, b, 0.0).tolist() == a.tolist()
    assert crossover.lerp(b, a, 1.0).tolist() == a.tolist()


def test_low_precision_is_computed_in_float32_and_rounded_once():
    a, b = (jax.random.normal(jax.random.key(i), (200,)).astype(jnp.bfloat16) for i in range(2))
    child = crossover.lerp(a, b, 0.3)
    assert child.dtype == jnp.bfloat16
    wide = crossover.lerp(a.astype(jnp.float32), b.astype(jnp.float32), 0.3)
    assert jnp.array_equal(child, wide.astype(jnp.bfloat16))


def test_complex_numbers_are_mixed_too():
    np.testing.assert_allclose(crossover.lerp(jnp.array([1 + 2j]), jnp.array([3 - 2j]), 0.25), [1.5 + 1j], rtol=1e-6)


def test_what_is_no_floating_point_number_comes_from_the_nearer_parent():
    a = {"n": jnp.array([1, 2]), "on": jnp.array(True), "key": jax.random.key(1)}
    b = {"n": jnp.array([5, 6]), "on": jnp.array(False), "key": jax.random.key(2)}
    for t, nearer in ((0.0, a), (0.49, a), (0.5, b), (1.0, b), (-1.0, a), (2.0, b)):
        child = crossover.arithmetic(a, b, t)
        assert child["n"].tolist() == nearer["n"].tolist()
        assert bool(child["on"]) == bool(nearer["on"])
        assert jax.random.key_data(child["key"]).tolist() == jax.random.key_data(nearer["key"]).tolist()


def test_t_may_be_an_integer_or_any_scalar_and_may_be_traced():
    a, b = jnp.zeros(2), jnp.ones(2)
    for t in (1, 1.0, np.float32(1), np.float64(1), jnp.array(1), jnp.array(1.0), jnp.bfloat16(1)):
        assert crossover.arithmetic(a, b, t).tolist() == [1.0, 1.0]
    line = jax.jit(jax.vmap(lambda t: crossover.arithmetic(a, b, t)))(jnp.array([0.0, 0.5, 1.0]))
    assert line.tolist() == [[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]


def test_the_child_is_differentiable_in_t_and_in_both_parents():
    a, b = jnp.array([1.0, 2.0]), jnp.array([4.0, 2.0])
    assert jax.grad(lambda t: crossover.lerp(a, b, t)[0])(0.3) == 3.0
    by_a, by_b = jax.jacobian(lambda p, q: crossover.lerp(p, q, 0.25), argnums=(0, 1))(a, b)
    assert by_a[0, 0] == 0.75 and by_b[0, 0] == 0.25


@pytest.mark.parametrize("t", [float("nan"), float("inf"), np.ones(3)])
def test_a_t_that_is_not_one_finite_number_is_refused(t):
    with pytest.raises(ValueError, match=r"t: got .*one finite number.*sweep"):
        crossover.arithmetic(jnp.zeros(2), jnp.ones(2), t)


@pytest.mark.parametrize("t", [0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_derivatives_are_those_of_the_formula_at_the_ends_and_between_equal_entries_too(t, dtype):
    a, b = jnp.array([1.0, 0.0, -2.0], dtype), jnp.array([1.0, 2.0, 3.0], dtype)
    of_a, of_b = jax.grad(lambda a, b: crossover.arithmetic(a, b, t).sum().astype(jnp.float32), argnums=(0, 1))(a, b)
    np.testing.assert_allclose(of_a.astype(jnp.float32), [1 - t] * 3, rtol=1e-6)
    np.testing.assert_allclose(of_b.astype(jnp.float32), [t] * 3, rtol=1e-6)
    by_t = jax.jacfwd(lambda t: crossover.arithmetic(a, b, t).astype(jnp.float32))(t)
    np.testing.assert_allclose(by_t, (b - a).astype(jnp.float32), rtol=1e-6)


def test_leaves_of_integers_let_gradients_of_the_others_pass():
    a, b = ({"w": jnp.array([1.0]), "steps": jnp.array(n)} for n in (3, 4))
    gradient = jax.grad(lambda t: crossover.arithmetic(a, b, t)["w"].sum())(0.3)
    assert float(gradient) == 0 and int(crossover.arithmetic(a, b, 0.7)["steps"]) == 4


def test_parents_of_two_types_have_derivatives_too():
    gradient = jax.grad(lambda q: crossover.lerp(jnp.bfloat16(1), q, 0.25).astype(jnp.float32))(jnp.float32(3))
    assert float(gradient) == 0.25


def test_t_may_be_drawn_for_each_pair():
    def cross(key, a, b):
        return crossover.arithmetic(a, b, jax.random.uniform(key, minval=-0.25, maxval=1.25))

    keys, pop = jax.random.split(jax.random.key(0), 500), jnp.zeros((500, 2))
    children = jax.jit(lambda keys: population.map(cross, keys, pop, pop + 1))(keys)
    assert (children[:, 0] == children[:, 1]).all()
    assert np.abs(np.histogram(children[:, 0], bins=5, range=(-0.25, 1.25))[0] - 100).max() < 40
