"""Fitness: the accuracy, or minus the mean loss."""

import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.evolution import fitness

X = jnp.arange(6.0).reshape(6, 1)
Y = {"twice": 2 * X}


def apply(params, x):
    return {"first": x * params, "second": -x}


def squares(outputs, targets):
    return jnp.sum((outputs["first"] - targets["twice"]) ** 2, axis=1)


def test_with_a_loss_fitness_is_minus_its_mean_over_any_outputs_and_targets():
    found, answers = fitness.fitness_of(apply, jnp.array(3.0), X, Y, loss=squares)
    assert float(found) == pytest.approx(-float(np.mean(np.arange(6.0) ** 2))) and answers is None


def test_with_a_loss_a_network_with_one_output_that_is_not_finite_has_no_fitness():
    def broken(params, x):
        return {"first": x * params, "second": jnp.where(x == 3, jnp.nan, x)}

    assert np.isnan(fitness.fitness_of(broken, jnp.array(2.0), X, Y, loss=squares)[0])
    assert np.isnan(fitness.fitness_of(apply, jnp.array(2.0), X, Y, loss=lambda o, y: squares(o, y) - jnp.inf)[0])


def test_the_fitness_of_a_population_is_that_of_each_member():
    pop = jnp.array([2.0, 3.0, jnp.nan])
    found = fitness.accuracies(apply, pop, X, Y, loss=squares)
    each = [fitness.fitness_of(apply, member, X, Y, loss=squares)[0] for member in pop]
    np.testing.assert_allclose(found, jnp.stack(each))
    assert found[0] == 0 and found[1] < 0 and jnp.isnan(found[2])
    assert ea.evolution.selection.best(found, 3).tolist() == [0, 1, 2]
