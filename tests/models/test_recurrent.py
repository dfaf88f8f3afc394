import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.models import Recurrent


@pytest.fixture(scope="module")
def network():
    module = Recurrent(hidden=6, outputs=2)
    x = jax.random.normal(jax.random.key(0), (30, 9, 3))
    return module, module.init(jax.random.key(1), x), x


def test_the_network_computes_what_one_computes_by_hand(network):
    module, params, x = network
    p = jax.tree.map(np.asarray, params["params"])
    memory, outputs = np.zeros((30, 6)), []
    for came in np.moveaxis(np.asarray(x), 1, 0):
        memory = np.tanh(came @ p["hidden"]["kernel"] + p["hidden"]["bias"] + memory @ p["memory"])
        outputs.append(memory @ p["output"]["kernel"] + p["output"]["bias"])
    np.testing.assert_allclose(module.apply(params, x), np.stack(outputs, axis=1), rtol=1e-5, atol=1e-6)


def test_one_step_after_the_other_gives_the_outputs_of_the_sequence(network):
    module, params, x = network
    memory, outputs = module.start(30), []
    advance = jax.jit(module.advance)
    for step in range(9):
        memory, output = advance(params, memory, x[:, step])
        outputs.append(output)
    np.testing.assert_allclose(jnp.stack(outputs, axis=1), module.apply(params, x), rtol=1e-5, atol=1e-6)
    assert memory.shape == (30, 6)


def test_the_hidden_neurons_are_one_group_and_a_permuted_copy_is_matched_back(network):
    module, params, x = network
    spec = ea.symmetry.infer(module.apply, params, x)
    assert spec.groups == {"hidden": 6}
    shuffled = ea.symmetry.permute(spec, params, {"hidden": jnp.array([3, 0, 5, 1, 4, 2])})
    np.testing.assert_allclose(module.apply(shuffled, x), module.apply(params, x), atol=1e-5)
    out = ea.align(module.apply, params, shuffled, x, spec=spec)
    for a, b in zip(jax.tree.leaves(out.a), jax.tree.leaves(out.b), strict=True):
        np.testing.assert_array_equal(a, b)


def test_modules_of_equal_settings_are_equal():
    assert Recurrent(4, 2) == Recurrent(hidden=4, outputs=2) and hash(Recurrent(4)) == hash(Recurrent(4))
    assert Recurrent(4) != Recurrent(5)


@pytest.mark.parametrize(("n", "time"), [(0, 3), (2, 0), (1, 1)])
def test_there_may_be_no_sequence_or_no_step(network, n, time):
    module, params, _ = network
    assert module.apply(params, jnp.zeros((n, time, 3))).shape == (n, time, 2)


def test_parameters_may_have_few_bits(network):
    module, params, x = network
    small = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    np.testing.assert_allclose(module.apply(small, x), module.apply(params, x), atol=0.1)
    assert module.apply(small, x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("name", ["hidden", "outputs"])
def test_bad_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: got 0"):
        Recurrent(**{name: 0})
