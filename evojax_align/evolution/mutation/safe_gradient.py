"""Safe mutation by output gradients (SM-G): weights that the outputs depend on strongly change less.

Lehman, Chen, Clune & Stanley (2018), and their code.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import floats, normals, nothing
from evojax_align._types import Apply, Array, ArrayLike, PRNGKey, PyTree
from evojax_align.evolution.mutation.gaussian import added
from evojax_align.training.scoring import chunk_size

KINDS = ("summed", "absolute", "second")
CHUNK = 8
"""Number of gradients that are computed at a time."""


def safe_gradient(
    key: PRNGKey,
    apply: Apply,
    params: PyTree,
    x: PyTree,
    *,
    scale: ArrayLike,
    kind: str = "summed",
    floor: ArrayLike = 0.01,
    limit: ArrayLike | None = None,
    chunk: int = CHUNK,
) -> PyTree:
    """Add Gaussian noise to one network, for each weight in inverse proportion to its `sensitivity` (SM-G).

        child = params + scale N(0, I) / max(s, floor)

    A weight that the outputs do not depend on, s = 0, gets noise of standard deviation `scale`, as in the code of
    Lehman et al. A weight whose sensitivity is not finite is not changed.

    Args:
        key: a random key.
        apply: the network.
        params: its parameters.
        x: typical inputs of the network, such as a sample of those on which its fitness is evaluated.
        scale: standard deviation of the noise at a sensitivity of 1.
        kind: the sensitivity: "summed" (SM-G-SUM), "absolute" (SM-G-ABS) or "second" (SM-G-SO).
        floor: the smallest sensitivity, so that no weight changes too much.
        limit: the largest change of a weight (0.2 and 10 in the tasks of Lehman et al.); none by default.
        chunk: number of gradients computed at a time; each takes the memory of a copy of the parameters.

    Returns:
        A tree like the parameters. Leaves that are not floating-point are not changed. Derivatives with respect to
        the parameters treat the noise as a constant.

    Raises:
        ValueError: for an invalid scale or floor, an unknown kind, or outputs without one row for each sample.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply, x = lambda params, x: x * params["w"][None], jnp.array([[10.0, 0.1]])
        >>> params = {"w": jnp.ones(2)}
        >>> keys = jax.random.split(jax.random.key(0), 500)
        >>> mutants = jax.vmap(lambda key: ea.evolution.mutation.safe_gradient(key, apply, params, x, scale=0.1))(keys)
        >>> bool(jnp.allclose(mutants["w"].std(0), jnp.array([0.1 / 10, 0.1 / 0.1]), rtol=0.1))
        True

    References:
        Lehman, J., Chen, J., Clune, J. and Stanley, K. O. (2018). Safe mutations for deep and recurrent neural networks
        through output gradients. GECCO.
    """
    key = _checks.key("key", key)
    _checks.deviation("scale", scale)
    _checks.one_of("kind", kind, KINDS)
    for name, value in (("floor", floor), ("limit", limit)):
        if value is not None:
            _checks.above_zero(name, _checks.number(name, value))
    leaves, put = floats(params)
    noise = normals(key, leaves)
    sensitive = _sensitivity(apply, params, x, kind, noise, chunk)

    def mutant(leaf: Array, noise: Array, s: Array) -> Array:
        safe = jnp.where(s == 0, 1.0, jnp.maximum(s, floor))
        step = jnp.where(jnp.isfinite(s), scale * noise / safe, 0)
        if limit is not None:
            size = jnp.abs(step)
            step = jnp.where(size > limit, step * (limit / jnp.where(size > limit, size, 1.0)), step)
        return added(leaf, step)

    return put([mutant(*of_leaf) for of_leaf in zip(leaves, noise, sensitive, strict=True)])


def sensitivity(
    apply: Apply,
    params: PyTree,
    x: PyTree,
    *,
    kind: str = "summed",
    direction: PyTree | None = None,
    chunk: int = CHUNK,
) -> PyTree:
    """How much the outputs of one network depend on each of its weights, over some inputs.

    With y_ik the output k for the input i of n, the sensitivity s of a weight w is

        summed      sqrt( Σ_k ( Σ_i dy_ik/dw )² )
        absolute    sqrt( Σ_k ( 1/n Σ_i |dy_ik/dw| )² )
        second      sqrt( |(H v)_w| )

    where H is the Hessian of the divergence 1/n Σ_i Σ_k (y_ik(w) - y_ik)² at the present parameters, and v the unit
    vector in the direction of the change. Then H = 2/n Jᵀ J, with J the Jacobian of all outputs, so that H v needs only
    first derivatives. In "summed", gradients of opposite sign cancel; it takes one backward pass for each output.
    "absolute" takes one for each output and input, and calls the network with one input at a time. "second" takes one
    forward-mode and one backward pass.

    Args:
        apply: the network. Its outputs are any tree of arrays with one row for each input; all entries of a row are
            outputs, including every step of a recurrent network. Integers are ignored.
        params: its parameters.
        x: inputs, along the leading axis of every leaf.
        kind: "summed", "absolute" or "second".
        direction: for "second" only, a tree like the parameters.
        chunk: number of gradients computed at a time; each takes the memory of a copy of the parameters.

    Returns:
        A tree like the parameters, of float32 or better; 0 for leaves that are not floating-point. No gradients flow
        through it.

    Raises:
        ValueError: for an unknown kind, a direction that is missing or not used, or outputs without one row for each
            sample.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, params = lambda params, x: x * params["w"][None], {"w": jnp.ones(2)}
        >>> x = jnp.array([[3.0, 1.0], [-3.0, 1.0]])
        >>> ea.evolution.mutation.sensitivity(apply, params, x)["w"].tolist()
        [0.0, 2.0]
        >>> ea.evolution.mutation.sensitivity(apply, params, x, kind="absolute")["w"].tolist()
        [3.0, 1.0]

    References:
        Lehman, J., Chen, J., Clune, J. and Stanley, K. O. (2018). Safe mutations for deep and recurrent neural networks
        through output gradients. GECCO.
    """
    _checks.one_of("kind", kind, KINDS)
    if (direction is None) == (kind == "second"):
        came = f"{'none' if direction is None else 'one'} for kind={kind!r}"
        fix = "Pass the noise." if direction is None else "Leave it out."
        raise _checks.bad("direction", came, 'one for kind="second" only', fix)
    if direction is not None:
        _checks.same_trees("params", params, "direction", direction)
    found = _sensitivity(apply, params, x, kind, floats(direction)[0], chunk)
    rest = iter(found)
    return jax.tree.map(lambda leaf: next(rest) if _is_float(leaf) else jnp.zeros(jnp.shape(leaf)), params)


def _sensitivity(
    apply: Apply, params: PyTree, x: PyTree, kind: str, direction: Sequence[Array], chunk: int
) -> list[Array]:
    """The sensitivity of each floating-point leaf."""
    _checks.inputs("x", x)
    _checks.positive("chunk", chunk)
    params, x, direction = jax.lax.stop_gradient((params, x, direction))
    samples = jnp.shape(jax.tree.leaves(x)[0])[0]
    shapes = _checks.traced(lambda apply: lambda params, x: jax.eval_shape(apply, params, x), apply, params, x)
    outputs = _outputs_of_a_sample(shapes, samples)
    leaves, put = floats(params)

    def network(leaves: Sequence[Array], x: PyTree) -> Array:
        return _rows(apply(put(leaves), x))

    if kind == "second":
        return _second(lambda leaves: network(leaves, x), leaves, direction, samples)
    zero = nothing((params, x))
    zeros = [jnp.zeros(leaf.shape, _real(leaf)) + zero.astype(_real(leaf)) for leaf in leaves]
    if kind == "summed":
        _, pull = jax.vjp(lambda leaves: network(leaves, x).sum(axis=0), leaves)
        dtype = jnp.result_type(*jax.tree.leaves(jax.eval_shape(network, leaves, x)))

        def squares(output: Array) -> list[Array]:
            return [size**2 for size in _sizes(pull(jax.nn.one_hot(output + zero, outputs, dtype=dtype))[0])]

        return [jnp.sqrt(total) for total in _total(squares, outputs, chunk, zeros)]

    def mean_squares(output: Array) -> list[Array]:
        def of_sample(sample: Array) -> list[Array]:
            one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[sample][None], x)
            return _sizes(jax.grad(lambda leaves: network(leaves, one)[0, output])(leaves))

        return [(total / samples) ** 2 for total in _total(of_sample, samples, chunk, zeros)]

    return [jnp.sqrt(total) for total in _total(mean_squares, outputs, 1, zeros)]


def _second(
    network: Callable[[Sequence[Array]], Array], leaves: Sequence[Array], direction: Sequence[Array], samples: int
) -> list[Array]:
    length = jnp.sqrt(sum(jnp.sum(size**2) for size in _sizes(direction)))
    unit = [
        (of / jnp.where(length > 0, length, 1.0)).astype(leaf.dtype) for of, leaf in zip(direction, leaves, strict=True)
    ]
    _, change = jax.jvp(network, (leaves,), (unit,))
    _, pull = jax.vjp(network, leaves)
    return [jnp.sqrt(size) for size in _sizes(pull(2 / samples * change)[0])]


def _total(fn: Callable[[Array], list[Array]], count: int, chunk: int, zeros: Sequence[Array]) -> list[Array]:
    """The sum of a function over 0, 1, ..., count - 1, computed in chunks to limit memory."""
    size = chunk_size(count, chunk)

    def add(totals: list[Array], first: Array) -> tuple[list[Array], None]:
        numbers = first + jnp.arange(size)
        found = jax.vmap(fn)(jnp.minimum(numbers, count - 1))  # the last index may occur twice and counts once

        def added(total: Array, part: Array) -> Array:
            counted = (numbers < count).reshape(size, *[1] * (part.ndim - 1))
            return total + jnp.sum(jnp.where(counted, part, 0), axis=0)

        return [added(*pair) for pair in zip(totals, found, strict=True)], None

    return jax.lax.scan(add, list(zeros), size * jnp.arange(-(-count // size)))[0]


def _rows(outputs: PyTree) -> Array:
    """All outputs that are not integers, one row for each sample, in float32 or better."""
    rows = []
    for leaf in jax.tree.leaves(outputs):
        if _is_float(leaf):
            wide = jnp.asarray(leaf).astype(jnp.promote_types(jnp.result_type(leaf), jnp.float32))
            rows += [
                part.reshape(part.shape[0], -1)
                for part in ([wide.real, wide.imag] if jnp.iscomplexobj(wide) else [wide])
            ]
    return jnp.concatenate(rows, axis=1)


def _outputs_of_a_sample(shapes: PyTree, samples: int) -> int:
    """The number of outputs for each sample."""
    leaves = [leaf for leaf in jax.tree.leaves(shapes) if _is_float(leaf)]
    if not leaves or any(leaf.shape[:1] != (samples,) for leaf in leaves):
        came = f"outputs of shapes {[leaf.shape for leaf in leaves[:6]]} for {samples} inputs"
        fix = "Give the network inputs along a leading axis, or lift it: jax.vmap(apply, (None, 0))."
        raise _checks.bad("apply", came, "floating-point numbers, one row for each input", fix)
    return sum(
        int(np.prod(leaf.shape[1:])) * (2 if jnp.issubdtype(leaf.dtype, jnp.complexfloating) else 1) for leaf in leaves
    )


def _is_float(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _real(leaf: Array) -> jnp.dtype:
    return jnp.finfo(jnp.promote_types(leaf.dtype, jnp.float32)).dtype


def _sizes(leaves: Sequence[Array]) -> list[Array]:
    """Absolute values in float32 or better."""
    return [jnp.abs(leaf).astype(_real(leaf)) for leaf in leaves]
