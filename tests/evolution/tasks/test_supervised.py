from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.evolution import fitness as fitnesses
from evojax_align.evolution.tasks import Supervised


def apply(params, x):
    return x @ params


def squares(outputs, targets):
    return jnp.sum((outputs - targets) ** 2, axis=1)


@pytest.fixture(scope="module")
def data():
    x = jax.random.normal(jax.random.key(3), (50, 4))
    return x, jnp.argmax(x, axis=1)


def test_all_samples_are_taken_if_the_batch_is_no_smaller(key, data):
    params = jax.random.normal(key, (4, 4))
    for batch in (50, 1000):
        found = Supervised(batch=batch).fitness(apply)(key, params, data)
        expected, answers = fitnesses.fitness_of(apply, params, *data)
        np.testing.assert_allclose(found.fitness, expected, rtol=1e-6)
        np.testing.assert_array_equal(found.scores, answers == data[1])
        assert found.states is None


def test_with_a_loss_the_fitness_is_minus_its_mean(key, data):
    targets = data[0] * 2
    found = Supervised(loss=squares).fitness(apply)(key, jnp.eye(4), (data[0], targets))
    np.testing.assert_allclose(found.scores, -jnp.sum(data[0] ** 2, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.fitness, found.scores.mean(), rtol=1e-5)


@pytest.mark.slow
def test_members_with_one_key_are_judged_on_the_same_samples(key, data):
    members = jax.random.normal(jax.random.key(1), (3, 4, 4))
    fitness = Supervised(batch=8).fitness(apply, visited=8)
    found = ea.population.map(lambda params: fitness(key, params, data), members, strategy="vmap")
    assert found.scores.shape == (3, 8) and found.states.shape == (3, 8, 4)
    np.testing.assert_array_equal(found.states, jnp.broadcast_to(found.states[0], found.states.shape))
    other = fitness(jax.random.key(9), members[0], data)
    assert np.any(np.asarray(other.states) != found.states[0])
    again = ea.population.map(lambda params: fitness(key, params, data), members, strategy="scan")
    np.testing.assert_allclose(again.fitness, found.fitness, rtol=1e-6)
    jitted = jax.jit(fitness)(key, members[1], data)
    np.testing.assert_allclose(jitted.fitness, found.fitness[1], rtol=1e-6)


@pytest.mark.parametrize(("batch", "count"), [(1, 7), (4, 10), (7, 8)])
def test_a_mini_batch_holds_no_sample_twice_and_all_samples_are_equally_likely(batch, count):
    draw = jax.jit(jax.vmap(partial(Supervised(batch=batch).draw, count=count)))
    drawn = draw(jax.random.split(jax.random.key(0), 4000))
    assert drawn.shape == (4000, batch) and int(drawn.min()) == 0 and int(drawn.max()) == count - 1
    assert all(len(set(one)) == batch for one in drawn[:100].tolist())
    shares = np.bincount(drawn.ravel(), minlength=count) / 4000
    np.testing.assert_allclose(shares, batch / count, atol=5 * np.sqrt(batch / count / 4000))


def test_a_network_with_an_output_that_is_not_finite_has_no_fitness(key, data):
    params = jnp.eye(4).at[0, 0].set(jnp.nan)
    found = Supervised().fitness(apply)(key, params, data)
    assert np.isnan(found.fitness) and np.isnan(found.scores).all()
    assert np.isnan(Supervised(loss=lambda o, y: o[:, 0] - jnp.inf).fitness(apply)(key, jnp.eye(4), data).fitness)


def test_inputs_and_targets_may_be_trees_and_states_are_their_first_ones(key, data):
    def pair(params, x):
        return {"sum": x["a"] + x["b"] * params}

    found = Supervised(batch=6, loss=lambda o, y: (o["sum"] - y["c"]) ** 2).fitness(pair, visited=2)(
        key, 1.0, ({"a": jnp.arange(20.0), "b": jnp.ones(20)}, {"c": np.arange(20.0)})
    )
    assert float(found.fitness) == -1 and found.scores.shape == (6,)
    assert {name: leaf.shape for name, leaf in found.states.items()} == {"a": (2,), "b": (2,)}


def test_many_samples_are_judged_in_chunks(key):
    x = jnp.arange(2500.0)[:, None]
    sizes = []

    def line(params, x):
        sizes.append(len(x))
        return params * x

    found = Supervised(batch=2300, loss=squares).fitness(line)(key, 1.0, (x, x + 2))
    assert float(found.fitness) == -4 and found.scores.shape == (2300,) and max(sizes) <= 1000


def test_a_function_that_takes_the_fitness_as_static_is_compiled_once(key, data):
    traces = []

    def counted(params, x):
        traces.append(x.shape)
        return x @ params

    measured = jax.jit(lambda fitness, params: fitness(key, params, data).fitness, static_argnums=0)
    for _ in range(3):
        measured(Supervised(batch=9).fitness(counted), jnp.eye(4))
    assert len(traces) == 1
    assert hash(Supervised(9).fitness(apply)) == hash(Supervised(9).fitness(apply))


def test_few_bits_are_enough(key, data):
    x = data[0].astype(jnp.bfloat16)
    found = Supervised(batch=20).fitness(apply)(key, jnp.eye(4, dtype=jnp.bfloat16), (x, data[1]))
    assert found.fitness.dtype == jnp.float32 and float(found.fitness) > 0.9


BAD = {
    "batch": (lambda data: Supervised(batch=0), "batch: got 0"),
    "loss": (lambda data: Supervised(loss="mse"), "loss: got 'mse'; expected a function"),
    "apply": (lambda data: Supervised().fitness(3), "apply: got 3; expected a function"),
    "visited": (lambda data: Supervised().fitness(apply, visited=True), "visited: got True"),
    "one array": (lambda data: fit(data[0]), r"data: got \w+; expected inputs and targets. Pass data=\(x, y\)"),
    "three": (lambda data: fit((*data, data[0])), "data: got 3 values; expected inputs and targets"),
    "counts": (lambda data: fit((data[0], data[1][:5])), "data: got shapes .* expected as many targets as inputs"),
    "none": (lambda data: fit((data[0][:0], data[1][:0])), "data: got shapes .* expected samples"),
    "key": (lambda data: Supervised(3).fitness(apply)(0, jnp.eye(4), data), "key: got int"),
}


def fit(data):
    return Supervised().fitness(apply)(jax.random.key(0), jnp.eye(4), data)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name, data, unchecked):
    act, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        act(data)
