"""Validation of data, losses, metrics and masks for functions that score or train networks."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._tree import leaves_by_path
from evojax_align._types import Apply, Loss, Metrics, PyTree
from evojax_align.training.scoring import CHUNK, chunk_size, refuse_names


def check_data(
    argument: str,
    apply: Apply,
    params: PyTree,
    x: PyTree,
    y: PyTree,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    *,
    chunk: int = CHUNK,
    batch_size: int | None = None,
) -> None:
    """Raise an error for data that do not fit the network, the loss or a metric.

    Errors are: no samples, targets that do not fit the inputs, labels without a logit of the network, and a loss or
    metric that does not return one number for each sample.

    Args:
        argument: name of the data, for the error.
        apply: the network, which is traced on shapes only.
        params: its parameters.
        x: inputs.
        y: targets.
        loss: replaces the softmax cross-entropy.
        metrics: further functions like the loss, by name.
        chunk: samples at a time, as in `in_chunks`. The network is traced with the number of samples of its calls,
            because a network that distributes samples over devices may accept only that number.
        batch_size: samples in a training step, if the network is trained.
    """
    refuse_names(metrics)
    for name, fn in {"loss": loss, **(metrics or {})}.items():
        if fn is not None:
            _checks.network(fn, name)
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves((x, y))}
    if len(counts) != 1 or not counts.isdisjoint({(0,), ()}):
        came = f"inputs of shape {_shapes(x)} and targets of shape {_shapes(y)}"
        raise _checks.bad(argument, came, "at least one sample, and as many targets as inputs", "Check the data set.")
    count = counts.pop()[0]
    size = chunk_size(count, chunk) if batch_size is None else min(batch_size, count)
    outputs = _checks.traced(lambda f: partial(jax.eval_shape, f), apply, params, _some(x, size))
    if loss is None:
        _check_labels(argument, outputs, y)
    for name, fn in {"loss": loss, **(metrics or {})}.items():
        if fn is None:
            continue
        values = _traced(name, fn, outputs, _some(y, size))
        if getattr(values, "shape", None) != (size,) or not jnp.issubdtype(values.dtype, jnp.floating):
            came = "a tree" if not hasattr(values, "shape") else f"{values.dtype} of shape {values.shape}"
            fix = "Take the mean over all axes but the first."
            expected = "one floating-point number for each sample"
            raise _checks.bad(name, f"{came} for {size} sample{'s' if size > 1 else ''}", expected, fix)


def check_masks(argument: str, masks: PyTree, params: PyTree) -> None:
    """Require masks that are booleans in the shapes of the parameters; an error names the leaf."""
    ours, theirs = leaves_by_path(masks), leaves_by_path(params)
    for path in [*theirs, *ours]:
        mask, leaf = ours.get(path), theirs.get(path)
        if (
            mask is None
            or leaf is None
            or jnp.shape(mask) != jnp.shape(leaf)
            or not jnp.issubdtype(jnp.result_type(mask), jnp.bool_)
        ):
            came = "nothing" if mask is None else f"{jnp.result_type(mask)} of shape {jnp.shape(mask)}"
            expected = "no such leaf" if leaf is None else f"booleans of shape {jnp.shape(leaf)}, as in the parameters"
            fix = "Start from `pruning.full_masks(params)`."
            raise _checks.bad(argument, f"{came} at the leaf {path!r}", expected, fix)


def _traced(name: str, fn: Loss, outputs: PyTree, targets: PyTree) -> Any:
    try:
        return jax.eval_shape(fn, outputs, targets)
    except (TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        came = f"outputs of shape {_shapes(outputs)} and targets of shape {_shapes(targets)}"
        fix = f"Check that it fits the network's outputs; tracing it raised: {error}"
        raise _checks.bad(name, came, f"arguments that {name}(outputs, targets) accepts", fix) from error


def _check_labels(argument: str, outputs: PyTree, y: PyTree) -> None:
    """Require one integer label for each vector of logits, and a logit for each label."""
    if not hasattr(outputs, "shape"):
        came, expected = f"outputs of structure {jax.tree.structure(outputs)}", "one array of logits, or a loss"
        raise _checks.bad("apply", came, expected, "Pass loss=..., or let apply return only the logits.")
    dtype = getattr(y, "dtype", None)
    fits = dtype is not None and jnp.issubdtype(dtype, jnp.integer) and y.shape[1:] == outputs.shape[1:-1]
    if outputs.ndim < 2 or not fits:
        came = f"logits of shape {('n', *outputs.shape[1:])} and {dtype} targets of shape {_shapes(y)}"
        fix = "Pass integer labels; or for other targets a loss, such as loss=lambda outputs, y: (outputs - y) ** 2."
        raise _checks.bad(argument, came, "an integer label for each vector of logits", fix)
    classes = outputs.shape[-1]
    if _checks.is_concrete(y) and not (0 <= np.asarray(y).min() and np.asarray(y).max() < classes):
        came = f"labels from {np.asarray(y).min()} to {np.asarray(y).max()}"
        raise _checks.bad(argument, came, f"0 to {classes - 1}, for {classes} logits", "Renumber the classes.")


def _some(tree: PyTree, size: int) -> PyTree:
    """The shapes of `size` samples; for all samples, the arrays themselves, which have their shardings."""
    if all(jnp.shape(leaf)[0] == size for leaf in jax.tree.leaves(tree)):
        return tree
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *jnp.shape(leaf)[1:]), jnp.result_type(leaf)), tree)


def _shapes(tree: PyTree) -> Any:
    """The shapes of all leaves, or the shape of a single leaf."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]
    return shapes[0] if len(shapes) == 1 else shapes
