"""Networks of PyTorch have the same outputs in Flax, and come back as they were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from tests.interop.networks import CASES

QUICK = ("MLP", "CNN", "batch normalisation", "LSTM", "GRU", "transposed convolution", "embedding, tied")
SLOW = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


def drawn(case, seed=0):
    state = case.state(seed)
    return state | ({"head.weight": state["embed.weight"]} if case.tokens else {})


@pytest.mark.parametrize("name", SLOW)
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


def permuted(state, seed):
    """The same function, its channels and features in another order, as PyTorch lays them out."""
    rng, state = np.random.default_rng(seed), dict(state)
    filters = np.concatenate([3 * group + rng.permutation(3) for group in range(2)])  # within the groups of conv2
    first, second = (rng.permutation(5) for _ in range(2))
    for layer, order in {"conv2": filters, "fc1": first, "fc2": second}.items():
        state[f"{layer}.weight"], state[f"{layer}.bias"] = (
            state[f"{layer}.weight"][order],
            state[f"{layer}.bias"][order],
        )
    maps = state["fc1.weight"].reshape(5, 6, 2, 3)[:, filters]
    state["fc1.weight"] = maps.reshape(5, 36)
    state["fc2.weight"], state["fc3.weight"] = state["fc2.weight"][:, first], state["fc3.weight"][:, second]
    return state


def aligned_and_merged(case, conversion, states):
    """Two state dicts aligned, and half of each."""
    a, b = map(conversion.to_params, states)
    out = ea.align(case.flax.apply, a, b, case.ours(case.x(n=48)))
    merged = ea.crossover.arithmetic(out.a, out.b, 0.5)
    return [conversion.to_state_dict(params) for params in (out.a, out.b, merged)]


@pytest.mark.slow
def test_two_networks_of_pytorch_are_aligned_and_come_back():
    case = CASES["CNN"]
    a, x = case.state(), case.x()
    b = permuted(a, seed=1)
    np.testing.assert_allclose(case.numpy(b, x), case.numpy(a, x), atol=1e-5)
    conversion = ea.interop.converter(a, case.like(), **case.settings)
    for state in aligned_and_merged(case, conversion, (a, b)):
        assert {name: value.shape for name, value in state.items()} == case.shapes
        np.testing.assert_allclose(case.numpy(state, x), case.numpy(a, x), atol=1e-5)


@pytest.mark.slow
def test_two_networks_in_pytorch_are_aligned_and_come_back():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    case = CASES["CNN"]
    networks = [case.torch(torch)[0] for _ in range(3)]
    state = networks[0].state_dict()
    moved = permuted({name: value.numpy() for name, value in state.items()}, seed=2)
    networks[1].load_state_dict({name: torch.from_numpy(value.copy()) for name, value in moved.items()})
    conversion = ea.interop.converter(state, case.like(), **case.settings)
    x = torch.from_numpy(case.x())
    for found in aligned_and_merged(case, conversion, [network.state_dict() for network in networks[:2]]):
        networks[2].load_state_dict(found)
        torch.testing.assert_close(networks[2](x), networks[0](x), atol=1e-5, rtol=0)
    with torch.no_grad():
        before = conversion.to_params(state)
        networks[0].conv1.weight.zero_()  # the tensors that the parameters came from
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(before))


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_types_of_tensors_of_pytorch_come_back():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    params = {"fc": {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}}
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        layer = torch.nn.ModuleDict({"fc": torch.nn.Linear(3, 2, dtype=dtype)})
        state = layer.state_dict() | {"extra._extra_state": "a text"}
        conversion = ea.interop.converter(state, params, skip=["extra"])
        found = conversion.to_params(layer.state_dict())
        assert found["fc"]["kernel"].dtype == jnp.float32
        np.testing.assert_array_equal(found["fc"]["kernel"], layer["fc"].weight.detach().float().numpy().T)
        back = conversion.to_state_dict(found)
        assert back.pop("extra._extra_state") == "a text"
        for name, value in layer.state_dict().items():
            assert back[name].dtype == dtype
            assert torch.equal(back[name], value.float().to(dtype))  # float64 was rounded to what JAX holds
    with pytest.raises(ValueError, match=r"state: got a Linear; .*state_dict\(\)"):
        ea.interop.converter(layer["fc"], params)
