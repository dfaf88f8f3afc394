"""Networks of PyTorch have the same outputs in Flax, and come back as they were."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from tests.interop.networks import CASES

TIED = ("head.weight",)


def drawn(case, seed=0):
    state = case.state(seed)
    return state | ({"head.weight": state["embed.weight"]} if case.tokens else {})


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_pytorch_s_conventions_and_the_way_back_gives_the_tensors(name):
    case = CASES[name]
    state = drawn(case)
    conversion = ea.interop.converter(state, case.like(), **case.settings)
    params = conversion.to_params(state)
    np.testing.assert_allclose(case.apply(params, case.x()), case.numpy(state, case.x()), atol=1e-5, rtol=1e-5)
    back = conversion.to_state_dict(params)
    assert list(back) == list(state)
    for tensor, value in back.items():
        assert value.dtype == state[tensor].dtype and value.flags.writeable and value.flags.c_contiguous
        if ".bias_" not in tensor:
            np.testing.assert_array_equal(value, state[tensor])
    np.testing.assert_allclose(case.numpy(back, case.x()), case.numpy(state, case.x()), atol=1e-5, rtol=1e-5)
    again = conversion.to_params(back)
    assert all(map(np.array_equal, jax.tree.leaves(params), jax.tree.leaves(again)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    case = CASES[name]
    network, call = case.torch(torch)
    network.eval()
    state = drawn(case)
    missing = network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()}, strict=False)
    assert not missing.unexpected_keys and all("num_batches" in key for key in missing.missing_keys)
    x = torch.from_numpy(case.x())
    outputs = call(network, x).detach().numpy()
    np.testing.assert_allclose(case.numpy(state, case.x()), outputs, atol=1e-5, rtol=1e-5)
    conversion = ea.interop.converter(network.state_dict(), case.like(), **case.settings)
    params = conversion.to_params(network.state_dict())
    np.testing.assert_allclose(case.apply(params, case.x()), outputs, atol=1e-5, rtol=1e-5)
    other, _ = case.torch(torch)
    other.eval().load_state_dict(conversion.to_state_dict(params))
    np.testing.assert_allclose(call(other, x).detach().numpy(), outputs, atol=1e-5, rtol=1e-5)
