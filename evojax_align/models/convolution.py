"""Convolution and pooling that train fast on a CPU, also inside loops; on accelerators they are the native operations.

XLA compiles the gradients of a convolution well for GPUs and TPUs. On a CPU, especially inside `lax.scan`, they are
many times slower than the same sums as matrix products: the filter gradient is 26 times slower for the second layer of
PADAWANN's MnistNet, and a forward pass four times. So all passes on a CPU are matrix products of patches of the images
and filters, on as many images at a time as fit into the cache. The choice is made when a program is compiled for its
platform.

A convolution in which each member of a population has its own kernel becomes a grouped convolution under `vmap`. On an
accelerator, one batched product of patches may be faster: the method "patches" (`experiments/benchmarks/accelerator.py`
measures both).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax import lax

from evojax_align import _checks
from evojax_align._types import Array, ArrayLike, Float

PATCHES = 6 * 2**20
"""Bytes of patches at a time, which fit into the caches of two cores with the other data."""

METHODS = ("auto", "native", "patches")
ACCELERATORS = ("cuda", "rocm", "tpu")

Pads: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""Zeros before and after, for height and width."""


def conv(
    x: Float[ArrayLike, "n height width channels"],
    kernel: Float[ArrayLike, "kernel_height kernel_width kernel_channels features"],
    *,
    strides: Sequence[int] = (1, 1),
    padding: str | Sequence[Sequence[int]] = "SAME",
    groups: int = 1,
    method: str = "auto",
) -> Float[Array, "n out_height out_width features"]:
    """A 2-D convolution (correlation, as everywhere in deep learning) whose gradients are fast on a CPU.

        y[n, a, b, f] = Σ_ijc x[n, s a + i - p, s b + j - q, c] kernel[i, j, c, f]

    It has the gradients of `lax.conv_general_dilated` up to rounding, and supports `vmap`, loops, `jax.checkpoint` and
    higher derivatives in either mode, but its first derivative must be in reverse mode (`jax.grad`, `jax.vjp`).
    Grouped convolutions are always the native ones.

    Args:
        x: images.
        kernel: filters, with `channels / groups` channels.
        strides: steps down and across.
        padding: "SAME", "VALID", or the zeros to add: ((above, below), (left, right)).
        groups: number of groups of channels and features, which are convolved separately.
        method: "auto", products of patches on a CPU and the native operation on accelerators; "patches", products on
            all platforms, on accelerators of all images at once; "native", the operation of XLA on all platforms.
            Where the number of images is not known, as in `jax.export`, it is always the native one.

    Returns:
        Feature maps, equal to `lax.conv_general_dilated(x, kernel, strides, padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups)`.

    Raises:
        ValueError: for axes or channels that do not fit, invalid strides or padding, or a kernel larger than the padded
            image.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.models.conv(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)), padding="VALID")[0, :, :, 0]
        Array([[9., 9.],
               [9., 9.]], dtype=float32)
    """
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    for name, value, axes in (("x", x, "[n, height, width, channels]"), ("kernel", kernel, "[height, width, in, out]")):
        if value.ndim != 4:
            raise _checks.bad(name, f"shape {value.shape}", f"four axes, {axes}", "A single image is x[None].")
    _checks.positive("groups", groups)
    _checks.one_of("method", method, METHODS)
    if groups > 1 and method == "patches":
        fix = "Leave the method out: grouped convolutions are always the native ones."
        raise _checks.bad("method", f"'patches' with {groups} groups", "'auto' or 'native'", fix)
    if x.shape[3] != kernel.shape[2] * groups or kernel.shape[3] % groups:
        raise _checks.bad(
            "x, kernel, groups",
            f"{x.shape[3]} channels, a kernel {kernel.shape} and {groups} groups",
            "channels / groups of x in the kernel's third axis, and features that the groups divide",
            "Axes are [n, height, width, channels] and [height, width, in, out].",
        )
    strides = pair("strides", strides)
    pads = _pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    _fits("kernel", kernel.shape[:2], [size + sum(zeros) for size, zeros in zip(x.shape[1:3], pads, strict=True)])
    dtype = jnp.promote_types(x.dtype, kernel.dtype)
    # `jax.export` may leave the number of images unknown, from which `_conv` computes the size of its chunks.
    known = all(isinstance(size, int) for size in x.shape)
    x, kernel = x.astype(dtype), kernel.astype(dtype)
    if groups > 1 or not known or method == "native":
        return _native(x, kernel, strides, pads, groups)
    return _conv(x, kernel, strides, pads, method == "patches")


def max_pool(
    x: Float[ArrayLike, "n height width channels"], window: Sequence[int], strides: Sequence[int] | None = None
) -> Float[Array, "n out_height out_width channels"]:
    """The largest value in each window, without padding; fast to differentiate where windows do not overlap.

    If several values of a window are the largest, non-overlapping windows divide the gradient equally among them;
    overlapping windows (`flax.linen.max_pool`) give it to the first.

    Args:
        x: feature maps.
        window: height and width.
        strides: steps down and across; the window's size if None.

    Returns:
        The values of `flax.linen.max_pool(x, window, strides)`; rows and columns after the last window are dropped.

    Raises:
        ValueError: for a window or strides that are not two positive integers, axes that do not fit, or a window larger
            than the map.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.models.max_pool(jnp.arange(16.0).reshape(1, 4, 4, 1), (2, 2))[0, :, :, 0]
        Array([[ 5.,  7.],
               [13., 15.]], dtype=float32)
    """
    x = jnp.asarray(x)
    if x.ndim != 4:
        raise _checks.bad("x", f"shape {x.shape}", "four axes, [n, height, width, channels]", "One image is x[None].")
    window = pair("window", window)
    strides = window if strides is None else pair("strides", strides)
    _fits("window", window, x.shape[1:3])
    if strides != window:
        return nn.max_pool(x, window, strides)
    height, width = (size - size % side for size, side in zip(x.shape[1:3], window, strict=True))
    return _pool(x[:, :height, :width], window)


class Conv(nn.Module):
    """A convolution layer: `conv`, and a bias; parameters have the names and shapes of `flax.linen.Conv`.

    Attributes:
        features: number of filters.
        kernel_size: height and width of a filter.
        strides: steps down and across.
        padding: "SAME", "VALID", or the zeros to add, as in `conv`.
        groups: as in `conv`.
        method: as in `conv`.
        use_bias: whether to add a bias to each feature.
        kernel_init: initializer of the filters.
        bias_init: initializer of the biases.
        dtype: dtype of the computation, such as bfloat16; by default that of the images and the parameters.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> layer = ea.models.Conv(32, (3, 3), padding="VALID")
        >>> params = layer.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
        >>> jax.tree.map(jnp.shape, params)
        {'params': {'bias': (32,), 'kernel': (3, 3, 1, 32)}}
    """

    features: int
    kernel_size: Sequence[int]
    strides: Sequence[int] = (1, 1)
    padding: str | Sequence[Sequence[int]] = "SAME"
    groups: int = 1
    method: str = "auto"
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[ArrayLike, "n height width channels"]
    ) -> Float[Array, "n out_height out_width features"]:
        """Feature maps."""
        window = pair("kernel_size", self.kernel_size)
        channels = jnp.shape(x)[-1] // self.groups
        kernel = self.param("kernel", self.kernel_init, (*window, channels, self.features))
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        y = conv(x, kernel, strides=self.strides, padding=self.padding, groups=self.groups, method=self.method)
        if not self.use_bias:
            return y
        bias = self.param("bias", self.bias_init, (self.features,))
        return y + bias.astype(y.dtype)[None, None, None]


def pair(argument: str, value: Sequence[int]) -> tuple[int, int]:
    """Require two positive integers."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise _checks.bad(argument, repr(value), "two integers, for height and width", f"Pass {argument}=(2, 2).")
    return _checks.positive(argument, value[0]), _checks.positive(argument, value[1])


def _fits(argument: str, window: Sequence[int], size: Sequence[int]) -> None:
    """Require a window no larger than the padded map."""
    if window[0] > size[0] or window[1] > size[1]:
        came, expected = f"{window[0]} x {window[1]}", f"at most {size[0]} x {size[1]}, the map with its padding"
        raise _checks.bad(argument, came, expected, "Use larger images, or remove a layer that shrinks them.")


def _pads(size: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: str | Sequence) -> Pads:
    """The padding in numbers."""
    if isinstance(padding, str):
        _checks.one_of("padding", padding, ("SAME", "VALID"))
        padding = lax.padtype_to_pads(size, window, strides, padding)
    try:
        (above, below), (left, right) = ((int(first), int(last)) for first, last in padding)
    except (TypeError, ValueError):
        above = below = left = right = -1
    if min(above, below, left, right) < 0:
        expected = '"SAME", "VALID" or ((above, below), (left, right)), none of them negative'
        raise _checks.bad("padding", repr(padding), expected, "Pass padding=((1, 1), (1, 1)).")
    return (above, below), (left, right)


def _native(x: Array, kernel: Array, strides: tuple[int, int], pads: Pads, groups: int = 1) -> Array:
    """The convolution of XLA."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=layout, feature_group_count=groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x: Array, kernel: Array, strides: tuple[int, int], pads: Pads, products: bool) -> Array:
    return _forward(x, kernel, strides, pads, products)[0]


def _forward(
    x: Array, kernel: Array, strides: tuple[int, int], pads: Pads, products: bool
) -> tuple[Array, tuple[Array, Array]]:
    native = partial(_native, strides=strides, pads=pads)
    return _by_platform(_product, native, strides, pads, products, x, kernel), (x, kernel)


def _backward(
    strides: tuple[int, int], pads: Pads, products: bool, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    def native_of_x(x: Array, kernel: Array, gradient: Array) -> Array:
        return jax.linear_transpose(lambda x: _native(x, kernel, strides, pads), x)(gradient)[0]

    def native_of_kernel(x: Array, kernel: Array, gradient: Array) -> Array:
        return jax.linear_transpose(lambda kernel: _native(x, kernel, strides, pads), kernel)(gradient)[0]

    # Two separate choices, so that the compiler can remove an unused one: a first layer needs no input gradient.
    ways = (_gradient_of_x, native_of_x), (_gradient_of_kernel, native_of_kernel)
    of_x, of_kernel = (_by_platform(*way, strides, pads, products, *saved, gradient) for way in ways)
    return of_x, of_kernel


def _by_platform(
    way: Callable[..., Array],
    native: Callable[..., Array],
    strides: tuple[int, int],
    pads: Pads,
    products: bool,
    *arrays: Array,
) -> Array:
    """Products of patches on a CPU, in chunks that fit into its cache; on accelerators the native operation, or with
    `products` one product of all patches."""
    cpu, whole = (partial(way, strides=strides, pads=pads, most=most) for most in (PATCHES, None))
    others = dict.fromkeys(ACCELERATORS, whole) if products else {}
    return lax.platform_dependent(*arrays, cpu=cpu, **others, default=native)  # the default is what symmetry reads


_conv.defvjp(_forward, _backward)


def _product(x: Array, kernel: Array, strides: tuple[int, int], pads: Pads, most: int | None) -> Array:
    """The convolution as a product of patches and filters."""
    matrix = kernel.reshape(-1, kernel.shape[3])

    def of_images(x: Array) -> Array:
        patches = _patches(x, kernel.shape[:2], strides, pads)
        return lax.dot_general(patches, matrix, (((3,), (0,)), ((), ())))

    if most is None:
        return of_images(x)
    parts = lax.map(of_images, _split(x, x, kernel, strides, pads, most))
    return parts.reshape(x.shape[0], *parts.shape[2:])


def _gradient_of_x(
    x: Array, kernel: Array, gradient: Array, strides: tuple[int, int], pads: Pads, most: int | None
) -> Array:
    """Products of gradients and filters, with each patch added at its position."""
    matrix = kernel.reshape(-1, kernel.shape[3])
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def of_images(gradient: Array) -> Array:
        patches = lax.dot_general(gradient, matrix, (((3,), (1,)), ((), ())), preferred_element_type=wide)
        images = jax.ShapeDtypeStruct((gradient.shape[0], *x.shape[1:]), wide)
        cut = partial(_patches, window=kernel.shape[:2], strides=strides, pads=pads)
        return jax.linear_transpose(cut, images)(patches)[0].astype(x.dtype)

    if most is None:
        return of_images(gradient)
    return lax.map(of_images, _split(gradient, x, kernel, strides, pads, most)).reshape(x.shape)


def _gradient_of_kernel(
    x: Array, kernel: Array, gradient: Array, strides: tuple[int, int], pads: Pads, most: int | None
) -> Array:
    """Products of patches and gradients, summed over images."""
    inputs, features = math.prod(kernel.shape[:3]), kernel.shape[3]
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        x, gradient = part
        patches = _patches(x, kernel.shape[:2], strides, pads).reshape(-1, inputs)
        operands = sorted((patches, gradient.reshape(-1, features)), key=lambda operand: operand.shape[1])
        # After the barrier, the narrower operand is transposed once, and not repeatedly inside the product.
        turned = lax.optimization_barrier(operands[0].T)
        return total + lax.dot(turned, operands[1], preferred_element_type=wide), None

    zero = jnp.zeros(sorted((inputs, features)), wide)
    if most is None:
        total, _ = add(zero, (x, gradient))
    else:
        first, second = (_split(images, x, kernel, strides, pads, most) for images in (x, gradient))
        total, _ = lax.scan(add, zero, (first, second))
    total = total if inputs <= features else total.T
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _patches(x: Array, window: Sequence[int], strides: tuple[int, int], pads: Pads) -> Array:
    """The values in each window, in the order of a kernel's first three axes: [n, height, width, window x channels]."""
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (*pads[0], 0), (*pads[1], 0), (0, 0, 0)))
    n, height, width, channels = x.shape
    down, across = height - window[0], width - window[1]
    cuts = [
        lax.slice(x, (0, i, j, 0), (n, i + down + 1, j + across + 1, channels), (1, *strides, 1))
        for i in range(window[0])
        for j in range(window[1])
    ]
    return lax.concatenate(cuts, dimension=3)


def _split(images: Array, x: Array, kernel: Array, strides: tuple[int, int], pads: Pads, most: int) -> Array:
    """Images in equal chunks whose patches take at most so many bytes: [chunks, images in a chunk, ...]."""
    patches = jax.eval_shape(partial(_patches, window=kernel.shape[:2], strides=strides, pads=pads), x)
    count = images.shape[0]
    largest = min(count, most * count // max(1, patches.size * x.dtype.itemsize))
    size = next((size for size in range(largest, 0, -1) if count % size == 0), 1)
    return images.reshape(count // size, size, *images.shape[1:])


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _pool(x: Array, window: tuple[int, int]) -> Array:
    """The largest values in windows that tile the map."""
    return reduce(jnp.maximum, _corners(x, window))


@_pool.defjvp
def _pool_tangent(window: tuple[int, int], primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    largest = _pool(x, window)
    ties = sum((corner == largest).astype(x.dtype) for corner in _corners(x, window))
    n, down, across, channels = largest.shape
    tiles = (n, down, window[0], across, window[1], channels)
    taken = x.reshape(tiles) == largest[:, :, None, :, None]
    return largest, jnp.sum(jnp.where(taken, tangent.reshape(tiles), 0), axis=(2, 4)) / ties


def _corners(x: Array, window: tuple[int, int]) -> list[Array]:
    """The first value of each window, the second one, and so on: maps of the size of the pooled one."""
    return [lax.slice(x, (0, i, j, 0), x.shape, (1, *window, 1)) for i in range(window[0]) for j in range(window[1])]
