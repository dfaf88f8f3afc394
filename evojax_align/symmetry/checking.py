"""A randomised check: once for every network, random parameters are permuted, and the outputs must not change."""

import contextlib
import functools
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, reshard

from evojax_align import _checks
from evojax_align._types import Apply, Array, PyTree
from evojax_align.symmetry.inference import infer
from evojax_align.symmetry.permuting import drawn_orders, permute
from evojax_align.symmetry.spec import PermutationSpec

SAMPLES = 4
"""Number of samples of the check."""
Shape: TypeAlias = tuple[tuple[int, ...], Any, NamedSharding | None]
"""Shape, dtype, and sharding over an explicit mesh, of a random array."""
FAST = {"xla_backend_optimization_level": 0}
"""Compiler options for a program that runs only a few times on a CPU, where optimisation dominates the time."""
LIMIT = 1e-3
"""Allowed change of outputs relative to the largest (in float32, for sums in another order; more for smaller types)."""


def check_spec(spec: Any) -> None:
    """Raise an error for anything but a specification or None, for which it is inferred."""
    if spec is not None and not isinstance(spec, PermutationSpec):
        fix = "Pass symmetry.infer(apply, params, x), or leave it out."
        raise _checks.bad("spec", repr(spec)[:80], "a PermutationSpec", fix)


def ensure_symmetry(spec: PermutationSpec | None, apply: Apply, params: PyTree, x: PyTree) -> None:
    """Check a specification on random parameters, once for each network and shapes.

    Only shapes and shardings over an explicit mesh are used, so that parameters and inputs may be tracers. The check
    runs outside any trace.

    Args:
        spec: the specification to check; None for the inferred one.
        apply: the network; one that closes over tracers is not checked.
        params: parameters of one network, or their shapes.
        x: a batch of inputs, or its shape.

    Raises:
        ValueError: if an output changes; the message names the first group that changes it by itself.
    """
    leaves, structure = jax.tree.flatten((params, x))
    shapes = tuple((tuple(jnp.shape(leaf)), jnp.result_type(leaf), _sharding(leaf)) for leaf in leaves)
    staged = not _checks.is_concrete(jnp.zeros(()))  # inside a trace: run the check outside it
    beside = jax.ensure_compile_time_eval() if staged else contextlib.nullcontext()
    with beside, jax.debug_nans(False):  # NaN for random parameters is no error of the network
        _try(spec, apply, structure, shapes)


@functools.lru_cache(maxsize=256)
def _try(spec: PermutationSpec | None, apply: Apply, structure: Any, shapes: tuple[Shape, ...]) -> None:
    random = np.random.default_rng(0)
    cut = _takes_few(apply, structure, shapes)
    whole = jax.tree.unflatten(structure, [_struct(*shape) for shape in shapes])
    structs = (whole[0], _few(whole[1])) if cut else whole

    @partial(jax.jit, compiler_options=FAST if jax.default_backend() == "cpu" else None)
    def run(params: PyTree, x: PyTree) -> PyTree:
        return apply(*jax.tree.map(_placed, (params, x), structs))

    for positive in (False, True):
        leaves = [_drawn(random, shape, dtype, positive) for shape, dtype, _ in shapes]
        params, x = jax.tree.unflatten(structure, leaves)
        x = jax.tree.map(lambda leaf: leaf[:SAMPLES], x) if cut else x
        spec = spec or infer(apply, *structs)
        try:
            expected = run(params, x)
        except ValueError as error:  # a network that closes over tracers is part of another program
            if "compiler_options" not in str(error):
                raise
            return
        if all(np.isfinite(out).all() for out in _numbers(expected)):
            break
    else:
        return  # the network has no finite outputs for random parameters
    orders = drawn_orders(spec, random)
    if _moved(expected, run(permute(spec, params, orders), x)) <= 1:
        return
    for group, order in orders.items():
        change = _moved(expected, run(permute(spec, params, {group: order}), x))
        if change > 1 or len(orders) == 1:
            raise _checks.bad(
                "spec",
                f"the group {group!r}, a permutation of which changes the outputs",
                "a symmetry of the network",
                "Leave the group out of the specification; if it was inferred, please report the network.",
            )
    came = "groups that change the outputs when they are permuted together"
    raise _checks.bad("spec", came, "a symmetry of the network", "Correct its `parents`.")


def _takes_few(apply: Apply, structure: Any, shapes: tuple[Shape, ...]) -> bool:
    """Whether the network also accepts a smaller batch."""
    params, x = jax.tree.unflatten(structure, [_struct(*shape) for shape in shapes])
    try:
        jax.eval_shape(apply, params, _few(x))
    except Exception:  # a network may raise anything for a wrong batch size
        return False
    return True


def _few(x: PyTree) -> PyTree:
    """The shapes of a few samples."""
    return jax.tree.map(
        lambda leaf: _struct((min(SAMPLES, leaf.shape[0]), *leaf.shape[1:]), leaf.dtype, leaf.sharding), x
    )


def _struct(shape: tuple[int, ...], dtype: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def _sharding(leaf: Any) -> NamedSharding | None:
    """The sharding of a leaf over an explicit mesh, on which networks may depend; None without one."""
    typed = jax.typeof(leaf) if isinstance(leaf, jax.Array) else leaf
    found = getattr(typed, "sharding", None)
    explicit = isinstance(found, NamedSharding) and AxisType.Explicit in found.mesh.axis_types
    return found if explicit else None


def _placed(array: Array, struct: jax.ShapeDtypeStruct) -> Array:
    """The array with the sharding of the array that it replaces."""
    return array if struct.sharding is None else reshard(array, struct.sharding)


def _drawn(random: np.random.Generator, shape: tuple[int, ...], dtype: Any, positive: bool) -> Any:
    """Distinct entries, scaled so that activations neither vanish nor explode over layers; vectors are positive."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), shape)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return random.integers(0, 2, shape).astype(dtype)
    if len(shape) < 2:
        return random.uniform(0.5, 1.5, shape).astype(dtype)
    fan = np.prod(shape) / max(shape[0], shape[-1], 1)
    entries = random.random(shape, np.float32)
    entries -= 0.5
    entries *= np.sqrt(12 / max(fan, 1))  # with variance 1 / fan
    return (np.abs(entries) + 1e-3 if positive else entries).astype(dtype)


def _numbers(outputs: PyTree) -> Iterator[np.ndarray]:
    for leaf in jax.tree.leaves(outputs):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        yield np.asarray(leaf, np.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else np.asarray(leaf)


def _moved(expected: PyTree, found: PyTree) -> float:
    """The largest change of an output, relative to the allowed change."""
    worst = 0.0
    narrow = max([float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(expected) if _is_real(leaf)], default=0)
    for p, q in zip(_numbers(expected), _numbers(found), strict=True):
        size = float(np.max(np.abs(p), initial=0.0)) if p.dtype.kind in "fc" else 1.0
        scale = max(LIMIT, 30 * narrow) * (size + 1e-6)
        gap = np.abs(p - q) if p.dtype.kind in "fc" else (p != q).astype(float)
        worst = max(worst, float(np.max(gap, initial=0.0)) / scale)
    return worst


def _is_real(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)
