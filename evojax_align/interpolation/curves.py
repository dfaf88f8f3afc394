"""Curved paths between two parents: a quadratic Bezier curve whose middle point is trained (Garipov et al. 2018)."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evojax_align import _checks, population, training
from evojax_align._compiling import watch
from evojax_align._types import Apply, Array, ArrayLike, Float, Loss, Metrics, PRNGKey, PyTree
from evojax_align.crossover import lerp
from evojax_align.interpolation.lines import TS, Sweep, check_points
from evojax_align.training._checking import check_data
from evojax_align.training.scoring import CHUNK


def bezier(a: PyTree, control: PyTree, b: PyTree, t: ArrayLike) -> PyTree:
    """The child (1 - t)^2 a + 2 t (1 - t) control + t^2 b.

    Args:
        a: parameters of the parent at t = 0.
        control: parameters of the control point, towards which the path bends without passing through it. With the mean
            of the parents, the path is the straight line.
        b: parameters of the parent at t = 1.
        t: a number.

    Returns:
        A tree like the parents; at t = 0 and t = 1 it equals a and b, bit for bit.

    Raises:
        ValueError: for trees of different structure, or t that is not finite.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> a, control, b = {"w": jnp.zeros(1)}, {"w": jnp.ones(1)}, {"w": jnp.zeros(1)}
        >>> [ea.interpolation.bezier(a, control, b, t)["w"].item() for t in (0.0, 0.5, 1.0)]
        [0.0, 0.5, 0.0]
    """
    _checks.same_trees("a", a, "control", control)
    _checks.same_trees("a", a, "b", b)
    _checks.number("t", t, fix="Use `sweep_curve` for many.")

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
    loss: Loss | None = None,
) -> PyTree:
    """Train the control point of a curve between two parents, so that the loss along it is small.

    The parents do not change. The control point starts at their mean, and is trained on the loss of the child at a
    random t for every batch, uniform in [0, 1].

    Args:
        apply: the network; its outputs are logits [samples, classes], or what `loss` takes.
        a: parameters of the parent at t = 0.
        b: parameters of the parent at t = 1.
        data: inputs and targets.
        optimizer: any optax optimiser.
        epochs: passes over the data.
        batch_size: samples in a training step.
        key: a random key, for the order of the samples and for t.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.

    Returns:
        The control point, for `bezier` and `sweep_curve`.

    Raises:
        ValueError: for parents of different structure, no data, or targets that do not fit.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> apply, squares = lambda p, x: p[0] * p[1] * x, lambda outputs, y: (outputs - y) ** 2
        >>> a, b, x = jnp.array([2.0, 0.5]), jnp.array([0.5, 2.0]), jnp.ones(8)  # both have the product 1
        >>> settings = {"epochs": 50, "batch_size": 4, "key": jax.random.key(0), "loss": squares}
        >>> control = ea.interpolation.bend(apply, a, b, (x, x), optax.sgd(0.1), **settings)
        >>> straight = ea.interpolation.sweep(apply, a, b, x, x, loss=squares, ts=(0.0, 0.5, 1.0)).loss
        >>> curved = ea.interpolation.sweep_curve(apply, a, control, b, x, x, loss=squares, ts=(0.0, 0.5, 1.0)).loss
        >>> bool(curved[1] < straight[1] / 2)
        True

    References:
        Garipov, T. et al. (2018). Loss surfaces, mode connectivity, and fast ensembling of DNNs. NeurIPS.
    """
    _checks.same_trees("a", a, "b", b)
    key, (x, y) = _checks.key("key", key), jax.tree.map(jnp.asarray, tuple(data))
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        _checks.positive(name, value)
    check_data("data", apply, a, x, y, loss, batch_size=batch_size)
    watch("interpolation.bend", (a, x), apply=apply, optimizer=_checks.descent("optimizer", optimizer), loss=loss)
    control = _bend(apply, optimizer, a, b, x, y, epochs, batch_size, key, loss)
    if _checks.is_concrete(control):
        fix = "Lower the learning rate, or look for values in the data that are not finite."
        _checks.all_finite("data, optimizer", control, fix)
    return control


@partial(jax.jit, static_argnames=("apply", "optimizer", "epochs", "batch_size", "loss"))
def _bend(
    apply: Apply,
    optimizer: optax.GradientTransformation,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree,
    epochs: int,
    batch_size: int,
    key: PRNGKey,
    loss: Loss | None,
) -> PyTree:
    def child(control: PyTree, inputs: tuple[PyTree, Array]) -> Array:
        samples, ts = inputs
        return apply(bezier(a, control, b, ts[0]), samples)

    def epoch(state: tuple[PyTree, PyTree], key: PRNGKey) -> tuple[tuple[PyTree, PyTree], None]:
        key_order, key_t = jax.random.split(key)
        ts = jax.random.uniform(key_t, jax.tree.leaves(x)[0].shape[:1])  # one for each sample; a batch uses its first
        inputs, settings = (x, ts), {"batch_size": batch_size, "key": key_order, "loss": loss}
        control, opt_state, _ = training.epoch(child, *state, inputs, y, optimizer, **settings)
        return (control, opt_state), None

    middle = jax.tree.map(lambda p, q: lerp(p, q, 0.5), a, b)
    (control, _), _ = jax.lax.scan(epoch, (middle, optimizer.init(middle)), jax.random.split(key, epochs))
    return control


def sweep_curve(
    apply: Apply,
    a: PyTree,
    control: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree = None,
    *,
    ts: Float[ArrayLike, " t"] | Sequence[float] = TS,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    chunk: int = CHUNK,
) -> Sweep:
    """Evaluate children along a curve, as `sweep` does along the line.

    Args:
        apply: the network.
        a: parameters of the parent at t = 0.
        control: the control point from `bend`.
        b: parameters of the parent at t = 1.
        x: inputs.
        y: targets; integer labels unless a loss is given.
        ts: any finite numbers.
        loss: as in `sweep`.
        metrics: as in `sweep`.
        chunk: samples at a time.

    Returns:
        A `Sweep` with arrays [t].

    Raises:
        ValueError: for parents of different structure, no data, targets that do not fit.

    Example:
        >>> import jax, jax.numpy as jnp, optax, evojax_align as ea
        >>> apply, squares = lambda p, x: p[0] * p[1] * x, lambda outputs, y: (outputs - y) ** 2
        >>> a, b, x = jnp.array([2.0, 0.5]), jnp.array([0.5, 2.0]), jnp.ones(8)  # both have the product 1
        >>> control = jnp.array([0.75, 0.75])
        >>> ea.interpolation.sweep_curve(apply, a, control, b, x, x, ts=(0.0, 0.5, 1.0), loss=squares).loss.tolist()
        [0.0, 0.0, 0.0]
    """
    _checks.same_trees("a", a, "control", control)
    _checks.same_trees("a", a, "b", b)
    check_points(ts, chunk)
    x, y = jax.tree.map(jnp.asarray, (x, y))
    check_data("x, y", apply, a, x, y, loss, metrics, chunk=chunk)
    ts = jnp.asarray(ts, jnp.float32)
    watch("interpolation.sweep_curve", (a, x, ts), apply=apply, loss=loss, metrics=tuple((metrics or {}).values()))
    found = _sweep_curve(apply, a, control, b, x, y, ts, loss, tuple((metrics or {}).items()), chunk)
    return Sweep(ts, found.loss, found.accuracy, found.metrics)


@partial(jax.jit, static_argnames=("apply", "loss", "metrics", "chunk"))
def _sweep_curve(
    apply: Apply,
    a: PyTree,
    control: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree,
    ts: Array,
    loss: Loss | None,
    metrics: tuple[tuple[str, Loss], ...],
    chunk: int,
) -> training.Score:
    def at(t: Array) -> training.Score:
        settings = {"loss": loss, "metrics": dict(metrics), "chunk": chunk}
        return training.evaluate(apply, bezier(a, control, b, t), x, y, **settings)

    return population.map(at, ts)
