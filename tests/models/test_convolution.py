"""Convolution and pooling: the native values and gradients, however they are computed."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from evojax_align import models, symmetry
from evojax_align._checks import BadInput

# images, kernel, strides, padding
CASES = {
    "3x3": ((4, 8, 9, 3), (3, 3, 3, 5), (1, 1), "SAME"),
    "no padding": ((4, 8, 9, 3), (3, 3, 3, 5), (1, 1), "VALID"),
    "non-square kernel": ((3, 7, 9, 2), (2, 5, 2, 4), (1, 1), "SAME"),
    "even kernel": ((2, 6, 6, 3), (4, 4, 3, 2), (1, 1), "SAME"),
    "1x1": ((2, 5, 4, 3), (1, 1, 3, 6), (1, 1), "VALID"),
    "1x1, stride 2": ((2, 7, 8, 3), (1, 1, 3, 6), (2, 2), "VALID"),
    "stride 2": ((3, 9, 9, 2), (3, 3, 2, 4), (2, 2), "SAME"),
    "strides that leave a rest": ((3, 9, 8, 2), (2, 3, 2, 4), (3, 2), "VALID"),
    "strides beyond the kernel": ((2, 9, 9, 2), (2, 2, 2, 4), (4, 3), "VALID"),
    "asymmetrical padding": ((2, 6, 7, 2), (3, 2, 2, 4), (2, 1), ((0, 3), (2, 1))),
    "one image, one channel": ((1, 6, 6, 1), (5, 5, 1, 2), (1, 1), "SAME"),
    "few features": ((2, 6, 6, 4), (3, 3, 4, 1), (1, 1), "SAME"),
    "kernel as large as the image": ((5, 4, 4, 3), (4, 4, 3, 7), (1, 1), "VALID"),
    "no image": ((0, 6, 6, 2), (3, 3, 2, 4), (1, 1), "SAME"),
}
cases = pytest.mark.parametrize(("images", "filters", "strides", "padding"), CASES.values(), ids=CASES)


def native(x, kernel, strides=(1, 1), padding="SAME", groups=1):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=layout, feature_group_count=groups, precision="highest"
    )


def draw(key, *shapes):
    return [
        jax.random.normal(key, shape) for key, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]


def value_and_gradients(function, x, kernel):
    """The value, and both gradients of half the sum of its squares."""
    value, gradients = jax.vjp(function, x, kernel)
    return value, *gradients(value)


def assert_near(found, expected, tolerance=2e-6):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(initial=0), 1e-30))


@cases
def test_the_value_and_both_gradients_are_the_native_ones(images, filters, strides, padding, key):
    x, kernel = draw(key, images, filters)
    ours = partial(models.conv, strides=strides, padding=padding)
    theirs = partial(native, strides=strides, padding=padding)
    expected = jax.jit(partial(value_and_gradients, theirs))(x, kernel)
    assert_near(models.conv(x, kernel, strides=strides, padding=padding), expected[0])
    assert_near(jax.jit(partial(value_and_gradients, ours))(x, kernel), expected)


def test_one_product_of_all_patches_gives_the_same(key, monkeypatch):
    monkeypatch.setattr("evojax_align.models.convolution.PATCHES", None)  # as on an accelerator
    x, kernels = draw(key, (4, 8, 9, 3), (5, 3, 3, 3, 4))
    for strides in ((1, 1), (2, 1)):
        ours, theirs = partial(models.conv, strides=strides), partial(native, strides=strides)
        assert_near(value_and_gradients(ours, x, kernels[0]), value_and_gradients(theirs, x, kernels[0]))
        of_members = jax.vmap(lambda kernel, ours=ours: ours(x, kernel))(kernels)
        assert_near(of_members, jnp.stack([theirs(x, kernel) for kernel in kernels]))


@pytest.mark.parametrize(
    ("method", "platform", "convolutions", "products"),
    [("patches", "cuda", 0, 3), ("patches", "tpu", 0, 3), ("native", "cpu", 3, 0), ("native", "cuda", 3, 0)],
)
def test_the_method_decides_how_a_convolution_is_computed(method, platform, convolutions, products, small):
    x, kernel = small
    run = jax.jit(jax.vmap(partial(value_and_gradients, partial(models.conv, method=method)), (None, 0)))
    text = run.trace(x, kernel[None]).lower(lowering_platforms=(platform,)).as_text()
    assert (text.count("stablehlo.convolution"), text.count("stablehlo.dot_general")) == (convolutions, products)


def test_patches_of_groups_are_refused(key):
    with pytest.raises(ValueError, match="method: got 'patches' with 2 groups; expected 'auto' or 'native'"):
        models.conv(*draw(key, (2, 5, 5, 4), (3, 3, 2, 6)), groups=2, method="patches")


def test_the_symmetry_of_a_network_does_not_depend_on_the_method(key):
    x = jax.random.normal(key, (2, 12, 12, 1))
    networks = [models.MnistNet((4, 6, 8), method=method) for method in ("auto", "native", "patches")]
    params = networks[0].init(key, x)
    found = [symmetry.infer(network.apply, params, x) for network in networks]
    assert found[0].groups and found[0] == found[1] == found[2]


@pytest.fixture
def small(key):
    return draw(key, (6, 5, 6, 2), (3, 3, 2, 4))


@pytest.fixture
def few_at_a_time(monkeypatch):
    """Chunks of two of the small images."""
    monkeypatch.setattr("evojax_align.models.convolution.PATCHES", 2 * 5 * 6 * 18 * 4)


def test_images_taken_in_chunks_give_the_same(small, few_at_a_time):
    assert "scan" in str(jax.make_jaxpr(partial(value_and_gradients, models.conv))(*small))
    assert_near(value_and_gradients(models.conv, *small), value_and_gradients(native, *small))


@pytest.mark.slow
def test_it_works_without_jit_and_under_vmap_over_either_or_both(small, key):
    x, kernel = small
    xs, kernels = draw(key, (3, *x.shape), (3, *kernel.shape))
    for axes, operands in (((0, 0), (xs, kernels)), ((0, None), (xs, kernel)), ((None, 0), (x, kernels))):
        ours, theirs = (jax.vmap(partial(value_and_gradients, f), axes)(*operands) for f in (models.conv, native))
        assert_near(ours, theirs)


@pytest.mark.parametrize("lift", [lambda f: f, jax.checkpoint], ids=["kept", "recomputed"])
def test_it_works_in_a_scan(small, lift, few_at_a_time):
    x, kernel = small

    def loss(convolution, kernel):
        def body(total, x):
            return total + jnp.sum(jnp.sin(lift(convolution)(x, kernel))), None

        return lax.scan(body, 0.0, x.reshape(3, 2, *x.shape[1:]))[0]

    ours, theirs = (jax.jit(jax.value_and_grad(partial(loss, f)))(kernel) for f in (models.conv, native))
    assert_near(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("outer", [jax.jacrev, jax.jacfwd])
def test_second_derivatives_are_the_native_ones(outer, key):
    x, kernel = draw(key, (2, 3, 3, 1), (2, 2, 1, 2))
    hessians = [
        outer(jax.grad(lambda x, kernel, f=f: jnp.sum(jnp.sin(f(x, kernel))), (0, 1)), (0, 1))(x, kernel)
        for f in (models.conv, native)
    ]
    assert_near(*hessians)


def test_in_bfloat16_the_gradients_stay_within_its_precision(small):
    low = [value.astype(jnp.bfloat16) for value in small]
    found = value_and_gradients(models.conv, *low)
    assert all(leaf.dtype == jnp.bfloat16 for leaf in found)
    assert_near(found, value_and_gradients(native, *(value.astype(jnp.float32) for value in low)), 2e-2)


def test_operands_of_two_types_are_computed_in_the_wider_one(small):
    x, kernel = small
    value, of_x, of_kernel = value_and_gradients(models.conv, x.astype(jnp.bfloat16), kernel)
    assert (value.dtype, of_x.dtype, of_kernel.dtype) == (jnp.float32, jnp.bfloat16, jnp.float32)


def test_groups_are_convolved_apart(key):
    x, kernel = draw(key, (2, 5, 5, 4), (3, 3, 2, 6))
    ours, theirs = partial(models.conv, groups=2), partial(native, groups=2)
    assert_near(value_and_gradients(ours, x, kernel), value_and_gradients(theirs, x, kernel))


def test_a_trace_shows_a_choice_by_platform_with_the_native_convolution_in_it(small):
    trace = str(jax.make_jaxpr(models.conv)(*small))
    assert "custom_vjp_call" in trace and "platform_index" in trace
    assert trace.count("conv_general_dilated") == 1


def test_a_program_for_a_gpu_has_the_native_gradients(small):
    both = jax.jit(partial(value_and_gradients, models.conv)).trace(*small)
    on_gpu = both.lower(lowering_platforms=("cuda",)).as_text()
    on_cpu = both.lower(lowering_platforms=("cpu",)).as_text()
    assert (on_gpu.count("stablehlo.convolution"), on_gpu.count("stablehlo.dot_general")) == (3, 0)
    assert (on_cpu.count("stablehlo.convolution"), on_cpu.count("stablehlo.dot_general")) == (0, 3)


@pytest.mark.parametrize("bias", [True, False])
def test_parameters_interchange_with_those_of_flax(bias, key):
    x = jax.random.normal(key, (2, 7, 8, 3))
    ours = models.Conv(5, (3, 2), (2, 1), ((1, 1), (0, 1)), use_bias=bias)
    theirs = nn.Conv(5, (3, 2), (2, 1), ((1, 1), (0, 1)), use_bias=bias)
    params = ours.init(key, x)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, theirs.init(key, x))
    assert_near(params, theirs.init(key, x), 0)
    params = jax.tree.map(lambda leaf: leaf + 0.5, params)
    assert_near(ours.apply(params, x), theirs.apply(params, x))


def test_a_grouped_layer_has_the_kernel_of_flax(key):
    x = jnp.zeros((1, 4, 4, 6))
    ours = models.Conv(4, (3, 3), groups=2).init(key, x)
    assert_near(ours, nn.Conv(4, (3, 3), feature_group_count=2).init(key, x), 0)


class Network(nn.Module):
    """Two convolutions, pooling and a dense layer."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(models.Conv(4, (3, 3), padding="VALID", name="first")(x))
        x = nn.relu(models.Conv(5, (3, 3), name="second")(x))
        x = models.max_pool(x, (2, 2))
        return nn.Dense(3, name="output")(x.reshape(x.shape[0], -1))


@pytest.mark.slow
def test_the_features_of_a_convolution_can_be_permuted(key):
    module, x = Network(), jax.random.normal(key, (2, 9, 9, 1))
    params = module.init(key, x)
    spec = symmetry.infer(module.apply, params, x)
    assert dict(spec.groups) == {"first": 4, "second": 5}
    assert float(symmetry.verify(spec, module.apply, params, x, key=key, draws=2)) < 1e-5


POOLS = {
    "2x2": ((2, 6, 8, 3), (2, 2), None),
    "2x3": ((2, 6, 9, 3), (2, 3), (2, 3)),
    "a rest is dropped": ((2, 7, 8, 3), (2, 3), None),
    "overlapping": ((2, 7, 7, 3), (3, 3), (2, 2)),
    "apart": ((2, 7, 7, 3), (2, 2), (3, 3)),
    "1x1": ((2, 3, 3, 2), (1, 1), None),
    "no image": ((0, 4, 4, 2), (2, 2), None),
}


@pytest.mark.parametrize(("images", "window", "strides"), POOLS.values(), ids=POOLS)
def test_pooling_has_the_values_and_gradients_of_flax(images, window, strides, key):
    (x,) = draw(key, images)

    def both(pool, x):
        value, gradient = jax.vjp(pool, x)
        return value, *gradient(jnp.cos(value))

    ours = jax.jit(partial(both, partial(models.max_pool, window=window, strides=strides)))(x)
    theirs = jax.jit(partial(both, lambda x: nn.max_pool(x, window, strides or window)))(x)
    assert_near(ours, theirs, 0)


def test_the_largest_values_of_a_window_share_its_gradient():
    x = jnp.array([[1.0, 3, 0, 0], [3, 2, 0, 0]])[None, :, :, None]
    gradient = jax.grad(lambda x: jnp.sum(models.max_pool(x, (2, 2))))(x)
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, 0.5, 0.25, 0.25], [0.5, 0, 0.25, 0.25]])


def test_pooling_has_forward_derivatives_too(key):
    x, tangent = draw(key, (2, 4, 6, 3), (2, 4, 6, 3))
    ours, theirs = (
        jax.jvp(pool, (x,), (tangent,))
        for pool in (partial(models.max_pool, window=(2, 2)), lambda x: nn.max_pool(x, (2, 2), (2, 2)))
    )
    assert_near(ours, theirs, 0)


def test_a_window_with_a_nan_gives_nan():
    x = jnp.zeros((1, 2, 4, 1)).at[0, 1, 0, 0].set(jnp.nan)
    np.testing.assert_array_equal(jnp.isnan(models.max_pool(x, (2, 2)))[0, 0, :, 0], [True, False])


X, KERNEL = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 4))
BAD = {
    "x: got shape": lambda: models.conv(X[0], KERNEL),
    "kernel: got shape": lambda: models.conv(X, KERNEL[0]),
    "x, kernel, groups: got 3 channels": lambda: models.conv(jnp.zeros((1, 4, 4, 3)), KERNEL),
    "and 3 groups": lambda: models.conv(jnp.zeros((1, 4, 4, 6)), KERNEL, groups=3),
    "groups: got 0": lambda: models.conv(X, KERNEL, groups=0),
    "strides: got 2;": lambda: models.conv(X, KERNEL, strides=2),
    "strides: got 0;": lambda: models.conv(X, KERNEL, strides=(0, 1)),
    "Did you mean 'SAME'": lambda: models.conv(X, KERNEL, padding="SAMES"),
    "padding: got 1;": lambda: models.conv(X, KERNEL, padding=1),
    "none of them negative": lambda: models.conv(X, KERNEL, padding=((1, 1), (-1, 1))),
    "kernel_size: got 3;": lambda: models.Conv(4, 3).init(jax.random.key(0), X),
    "kernel: got 3 x 3; expected at most 2 x 4": lambda: models.conv(X[:, :2], KERNEL, padding="VALID"),
    "window: got 5 x 2": lambda: models.max_pool(X, (5, 2)),
    "window: got (": lambda: models.max_pool(X, (2, 2, 2)),
    "four axes": lambda: models.max_pool(X[0], (2, 2)),
}


@pytest.mark.parametrize(("message", "call"), BAD.items(), ids=BAD)
def test_bad_input_is_refused_with_a_mend(message, call, unchecked):
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        call()


@pytest.mark.slow
def test_the_layers_of_a_real_network_are_as_exact_as_the_native_ones(key):
    """The second layer of MnistNet on 100 images, against float64."""
    x, kernel = draw(key, (100, 26, 26, 32), (3, 3, 32, 64))
    found = jax.jit(partial(value_and_gradients, partial(models.conv, padding="VALID")))(x, kernel)
    gradient = np.asarray(found[0], np.float64)
    images = np.asarray(x, np.float64)
    for i in range(3):
        for j in range(3):
            cut = images[:, i : i + 24, j : j + 24].reshape(-1, 32)
            expected = cut.T @ gradient.reshape(-1, 64)
            assert np.abs(found[2][i, j] - expected).max() < 2e-6 * np.abs(np.asarray(found[2])).max()
