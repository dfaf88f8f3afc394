"""Curved paths between two parents: a quadratic Bezier curve whose middle point is trained (Garipov et al. 2018)."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import _checks, population, training
from evojax_align._types import Apply, Array, ArrayLike, Float, Int, PRNGKey, PyTree
from evojax_align.crossover import lerp
from evojax_align.interpolation.lines import Sweep


def bezier(a: PyTree, control: PyTree, b: PyTree, t: ArrayLike) -> PyTree:
    """The child (1 - t)^2 a + 2 t (1 - t) control + t^2 b.

    Args:
        a: parameters of the parent at t = 0.
        control: those towards which the path bends; it does not pass through them. The mean of the parents makes it
            the straight line.
        b: parameters of the parent at t = 1.
        t: a number.

    Returns:
        A tree like the parents; at t = 0 and t = 1 it is theirs, bit for bit.

    Raises:
        ValueError: for trees of different structure, or t that is not finite.
    """
    _checks.same_trees("a", a, "control", control)
    _checks.same_trees("a", a, "b", b)
    if jnp.ndim(t) != 0 or (_checks.is_concrete(t) and not np.isfinite(t)):
        raise _checks.bad("t", t, "one finite number", "Use `sweep_curve` for many.")

    def point(p: ArrayLike, c: ArrayLike, q: ArrayLike) -> Array:
        return lerp(lerp(p, c, t), lerp(c, q, t), t)

    return jax.tree.map(point, a, control, b)


def bend(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    data: Iterable[Any],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
) -> PyTree:
    """Bend the path between two parents until the loss along it is small.

    The parents stay as they are; the middle point starts halfway between them, and is trained on the loss of
    children at a new t for every batch, uniform in [0, 1].

    Args:
        apply: the network, giving logits [samples, classes].
        a: parameters of the parent at t = 0.
        b: parameters of the parent at t = 1.
        data: inputs and integer labels.
        optimizer: any optax optimiser.
        epochs: passes over the data.
        batch_size: samples a step.
        key: of the order of the samples, and of t.

    Returns:
        The middle point, for `bezier` and `sweep_curve`.

    Raises:
        ValueError: for parents of different structure, no data, or labels out of range.

    References:
        Garipov, T. et al. (2018). Loss surfaces, mode connectivity, and fast ensembling of DNNs. NeurIPS.
    """
    _checks.same_trees("a", a, "b", b)
    x, y = jax.tree.map(jnp.asarray, tuple(data))
    training.check_labels("data", apply, a, x, y)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        _checks.positive(name, value)
    return _bend(apply, optimizer, a, b, x, y, epochs, batch_size, key)


@partial(jax.jit, static_argnames=("apply", "optimizer", "epochs", "batch_size"))
def _bend(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    y: Array,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
) -> PyTree:
    def child(control: PyTree, inputs: tuple[PyTree, Array]) -> Array:
        samples, ts = inputs
        return apply(bezier(a, control, b, ts[0]), samples)

    def epoch(state: tuple[PyTree, PyTree], key: PRNGKey) -> tuple[tuple[PyTree, PyTree], None]:
        key_order, key_t = jax.random.split(key)
        ts = jax.random.uniform(key_t, y.shape)  # one for each sample; a batch goes by its first
        inputs, settings = (x, ts), {"batch_size": batch_size, "key": key_order}
        control, moments, _ = training.epoch(child, optimizer, *state, inputs, y, **settings)
        return (control, moments), None

    middle = jax.tree.map(lambda p, q: lerp(p, q, 0.5), a, b)
    (control, _), _ = jax.lax.scan(epoch, (middle, optimizer.init(middle)), jax.random.split(key, epochs))
    return control


def sweep_curve(
    apply: Apply,
    a: PyTree,
    control: PyTree,
    b: PyTree,
    x: PyTree,
    y: Int[ArrayLike, " n"],
    *,
    ts: Float[ArrayLike, " t"],
    chunk: int = training.CHUNK,
) -> Sweep:
    """Evaluate children along a curve, as `sweep` does along the line.

    Args:
        apply: the network, giving logits [samples, classes].
        a: parameters of the parent at t = 0.
        control: from `bend`.
        b: parameters of the parent at t = 1.
        x: inputs.
        y: integer labels.
        ts: any finite numbers.
        chunk: samples at a time.

    Returns:
        A `Sweep` with arrays [t].

    Raises:
        ValueError: for parents of different structure, no data, labels out of range.
    """
    _checks.same_trees("a", a, "control", control)
    _checks.same_trees("a", a, "b", b)
    training.check_labels("x, y", apply, a, x, jnp.asarray(y))
    ts = jnp.asarray(ts, jnp.float32)
    return Sweep(ts, *_sweep_curve(apply, a, control, b, x, jnp.asarray(y), ts, chunk))


@partial(jax.jit, static_argnames=("apply", "chunk"))
def _sweep_curve(
    apply: Apply, a: PyTree, control: PyTree, b: PyTree, x: PyTree, y: Array, ts: Array, chunk: int
) -> tuple[Array, Array]:
    def at(t: Array) -> tuple[Array, Array]:
        return training.evaluate(apply, bezier(a, control, b, t), x, y, chunk=chunk)

    return population.map(at, ts, strategy="scan")
