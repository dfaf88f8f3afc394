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
"""Samples that the network is tried on."""
Shape: TypeAlias = tuple[tuple[int, ...], Any, NamedSharding | None]
"""Shape, type, and layout over an explicit mesh, of an array that is drawn."""
FAST = {"xla_backend_optimization_level": 0}
"""How a program is compiled that runs a few times on a CPU, where optimising takes most of the time."""
LIMIT = 1e-3
"""Outputs may move by this part of the largest (in float32, for sums in another order; more in narrower types)."""


def check_spec(spec: Any) -> None:
    """Refuse what is no specification; None stands for one that is inferred."""
    if spec is not None and not isinstance(spec, PermutationSpec):
        fix = "Pass symmetry.infer(apply, params, x), or leave it out."
        raise _checks.bad("spec", repr(spec)[:80], "a PermutationSpec", fix)


def ensure_symmetry(spec: PermutationSpec | None, apply: Apply, params: PyTree, x: PyTree) -> None:
    """Try a specification on random parameters, once for each network and shapes.

    Nothing is looked at but shapes, and how arrays lie on an explicit mesh, so that parameters and inputs may be
    tracers: the trial runs outside any trace.

    Args:
        spec: what is tried; None for what is inferred.
        apply: the network; one that closes over tracers cannot be tried, and is taken at its word.
        params: parameters of one network, or their shapes.
        x: a batch of inputs, or its shape.

    Raises:
        ValueError: if an output moves; the first group that moves it alone is named.
    """
    leaves, structure = jax.tree.flatten((params, x))
    shapes = tuple((tuple(jnp.shape(leaf)), jnp.result_type(leaf), _sharding(leaf)) for leaf in leaves)
    staged = not _checks.is_concrete(jnp.zeros(()))  # in a program that is being traced: run the trial beside it
    beside = jax.ensure_compile_time_eval() if staged else contextlib.nullcontext()
    with beside, jax.debug_nans(False):  # NaN of such parameters says nothing of the network
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
        return  # such parameters mean nothing to this network
    orders = drawn_orders(spec, random)
    if _moved(expected, run(permute(spec, params, orders), x)) <= 1:
        return
    for group, order in orders.items():
        change = _moved(expected, run(permute(spec, params, {group: order}), x))
        if change > 1 or len(orders) == 1:
            raise _checks.bad(
                "spec",
                f"the group {group!r}, a permutation of which moves the outputs",
                "a symmetry of the network",
                "Leave the group out of the specification; if it was inferred, please report the network.",
            )
    came = "groups that move the outputs when they are permuted together"
    raise _checks.bad("spec", came, "a symmetry of the network", "Look at its `parents`.")


def _takes_few(apply: Apply, structure: Any, shapes: tuple[Shape, ...]) -> bool:
    """Whether the network takes a smaller batch too."""
    params, x = jax.tree.unflatten(structure, [_struct(*shape) for shape in shapes])
    try:
        jax.eval_shape(apply, params, _few(x))
    except Exception:  # whatever a network says to a batch that it does not take
        return False
    return True


def _few(x: PyTree) -> PyTree:
    """The shapes of some samples."""
    return jax.tree.map(
        lambda leaf: _struct((min(SAMPLES, leaf.shape[0]), *leaf.shape[1:]), leaf.dtype, leaf.sharding), x
    )


def _struct(shape: tuple[int, ...], dtype: Any, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)


def _sharding(leaf: Any) -> NamedSharding | None:
    """How a leaf lies on an explicit mesh, which networks may ask of its type; None elsewhere."""
    typed = jax.typeof(leaf) if isinstance(leaf, jax.Array) else leaf
    found = getattr(typed, "sharding", None)
    explicit = isinstance(found, NamedSharding) and AxisType.Explicit in found.mesh.axis_types
    return found if explicit else None


def _placed(array: Array, struct: jax.ShapeDtypeStruct) -> Array:
    """The array, laid out over devices as the one that it stands for."""
    return array if struct.sharding is None else reshard(array, struct.sharding)


def _drawn(random: np.random.Generator, shape: tuple[int, ...], dtype: Any, positive: bool) -> Any:
    """Entries that differ, of a size that neither fades nor grows from layer to layer; vectors are positive."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), shape)
    if not jnp.issubdtype(dtype, jnp.inexact):
        return random.integers(0, 2, shape).astype(dtype)
    if len(shape) < 2:
        return random.uniform(0.5, 1.5, shape).astype(dtype)
    fan = np.prod(shape) / max(shape[0], shape[-1], 1)
    entries = random.random(shape, np.float32)
    entries -= 0.5
    entries *= np.sqrt(12 / max(fan, 1))  # of variance 1 / fan
    return (np.abs(entries) + 1e-3 if positive else entries).astype(dtype)


def _numbers(outputs: PyTree) -> Iterator[np.ndarray]:
    for leaf in jax.tree.leaves(outputs):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        yield np.asarray(leaf, np.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else np.asarray(leaf)


def _moved(expected: PyTree, found: PyTree) -> float:
    """The largest change of an output, in parts of what is allowed."""
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
