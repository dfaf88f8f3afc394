"""A network whose products are computed in a type of lower precision."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Apply, PyTree


def in_precision(apply: Apply, dtype: Any = jnp.bfloat16) -> Apply:
    """The same network, computed in another type; parameters, gradients and losses stay in float32.

    Floating-point parameters and inputs are converted to `dtype`, and outputs back to float32. So the result can be
    passed wherever `apply` can: to `training.fit`, to the algorithms of `evolution`, to `align`. It is meant for
    accelerators with units for such a type. Running statistics of batch normalisation are converted too, if they are
    part of the parameters. On a CPU, XLA may leave out conversions to bfloat16 and back.

    Args:
        apply: the network, as `apply(params, x)` or with further arguments, such as a key for dropout.
        dtype: a floating-point type. float32 and float64 parameters are converted, and no others.

    Returns:
        A function like `apply`; for equal arguments the same object, so that no program is compiled twice.

    Raises:
        ValueError: for a type that is not a floating-point one.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jnp.ones((3, 5))
        >>> params = network.init(jax.random.key(0), x)
        >>> low = ea.training.in_precision(network.apply)
        >>> outputs = low(params, x)
        >>> str(outputs.dtype), bool(jnp.allclose(outputs, network.apply(params, x), atol=0.05))
        ('float32', True)
    """
    try:
        is_floating = jnp.issubdtype(jnp.dtype(dtype), jnp.floating)
    except TypeError:
        is_floating = False
    if not is_floating:
        raise _checks.bad("dtype", repr(dtype), "a floating-point type", "Pass jnp.bfloat16 or jnp.float16.")
    return _in_precision(apply, jnp.dtype(dtype))


@lru_cache(maxsize=256)
def _in_precision(apply: Apply, dtype: Any) -> Apply:
    def lowered(params: PyTree, x: PyTree, *others: Any, **settings: Any) -> PyTree:
        outputs = apply(_converted(params, dtype), _converted(x, dtype), *others, **settings)
        return _converted(outputs, jnp.dtype(jnp.float32), of=dtype)

    return lowered


def _converted(tree: PyTree, dtype: Any, of: Any = None) -> PyTree:
    """The tree with leaves of float32 and float64, or of one other type, in `dtype`."""
    kinds = (jnp.float32, jnp.float64) if of is None else (of,)

    def converted(leaf: Any) -> Any:
        return jnp.asarray(leaf, dtype) if jnp.result_type(leaf) in kinds else leaf

    return jax.tree.map(converted, tree)
