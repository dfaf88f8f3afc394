import jax
import jax.numpy as jnp
import optax
import pytest

import evojax_align as ea
from evojax_align import training


def test_products_are_in_the_type_and_outputs_and_gradients_in_float32(task, network, key):
    (apply, init), (x, y) = network, task
    low, params = training.in_precision(apply), init(key)
    text = str(jax.make_jaxpr(low)(params, x))
    assert "bf16[120,8] = dot_general" in text and "f32[120,8] = dot_general" not in text.replace("bf16", "low")
    loss = lambda params: training.cross_entropy(low(params, x), y).mean()
    gradient = jax.grad(loss)(params)
    assert {leaf.dtype for leaf in jax.tree.leaves((low(params, x), gradient))} == {jnp.dtype("float32")}
    assert jnp.abs(low(params, x) - apply(params, x)).max() < 0.05
    assert (low(params, x) != apply(params, x)).any()


def test_it_trains_and_has_the_symmetry_of_the_network(task, network, key):
    (apply, init), (x, y) = network, task
    low, adam = training.in_precision(apply), optax.adam(1e-2)
    pop = ea.population.init(init, key, 2)
    trained, _ = training.fit(low, pop, task, adam, epochs=20, batch_size=20, key=key)
    assert {leaf.dtype for leaf in jax.tree.leaves(trained)} == {jnp.dtype("float32")}
    scores = ea.population.map(lambda params: training.evaluate(apply, params, x, y).accuracy, trained)
    assert (scores > 0.9).all()
    assert ea.symmetry.infer(low, init(key), x).groups == ea.symmetry.infer(apply, init(key), x).groups


def test_integers_and_further_arguments_are_passed_on_and_the_object_is_one(key):
    def apply(params, x, key, *, scale):
        assert params["steps"].dtype == jnp.int32 and x["tokens"].dtype == jnp.int32 and x["real"].dtype == jnp.float16
        return {"y": scale * params["w"] + x["real"], "n": x["tokens"] + 0 * jax.random.bits(key).astype(jnp.int32)}

    params = {"w": jnp.ones(2), "steps": jnp.array(3)}
    low = training.in_precision(apply, jnp.float16)
    found = low(params, {"tokens": jnp.arange(2), "real": jnp.ones(2)}, key, scale=2)
    assert found["y"].tolist() == [3.0, 3.0] and found["y"].dtype == jnp.float32
    assert found["n"].tolist() == [0, 1] and found["n"].dtype == jnp.int32
    assert low is training.in_precision(apply, "float16")


@pytest.mark.parametrize("dtype", [jnp.int8, "half of it"])
def test_a_type_without_fractions_is_refused(dtype):
    with pytest.raises(ValueError, match=r"dtype: got .*floating-point type"):
        training.in_precision(lambda params, x: x, dtype)
