"""Straight lines between two parents: sweeps over t with shared work, and barriers."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks, population
from evojax_align._compiling import watch
from evojax_align._types import Apply, Array, ArrayLike, Bool, Float, Loss, Metrics, PyTree
from evojax_align.crossover import lerp
from evojax_align.symmetry import PermutationSpec, identity, select
from evojax_align.symmetry.checking import check_spec
from evojax_align.symmetry.following import Labels, label
from evojax_align.symmetry.permuting import reorder
from evojax_align.symmetry.reading import groups_of_classes, layouts_of
from evojax_align.symmetry.sharing import shared_values
from evojax_align.symmetry.trace import evaluate, trace_network
from evojax_align.training._checking import check_data
from evojax_align.training.scoring import CHUNK, in_chunks, measures, of_means, weighted

KINDS = ("chord", "ends", "accuracy")
STRATEGIES = ("auto", "scan", "vmap")
TS = tuple(n / 20 for n in range(-5, 26))
"""The default points of a sweep: from -0.25 to 1.25 in steps of 0.05."""
NEAR = 1e-5
"""Largest distance of a t from 0 or 1 at which it counts as a parent."""


Functions: TypeAlias = tuple[Loss | None, tuple[tuple[str, Loss], ...]]
"""A loss, and other metrics by name."""


@struct.dataclass
class Sweep:
    """Scores of the children (1 - t) a + t b on given data; for many alignments, with a leading axis.

    Attributes:
        ts: the values of t of the children; 0 is the first parent and 1 the second.
        loss: mean loss; the softmax cross-entropy unless another one was given.
        accuracy: an array like the loss; None if a loss was given.
        metrics: means of other metrics, by name.
        bijective: whether t = 0 and t = 1 are the parents' own functions; False for permutations that repeat neurons.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, squares = lambda p, x: p * x, lambda outputs, y: (outputs - y) ** 2
        >>> found = ea.interpolation.sweep(apply, 0.0, 2.0, jnp.ones(3), jnp.ones(3), ts=(0.0, 0.5, 1.0), loss=squares)
        >>> found.ts.tolist(), found.loss.tolist(), found.accuracy
        ([0.0, 0.5, 1.0], [1.0, 0.0, 1.0], None)
    """

    ts: Float[Array, "... t"]
    loss: Float[Array, "... t"]
    accuracy: Any
    metrics: Mapping[str, Float[Array, "... t"]] = struct.field(default_factory=dict)
    bijective: Bool[ArrayLike, "..."] = True


def sweep(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree = None,
    *,
    ts: Float[ArrayLike, " t"] | Sequence[float] = TS,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    chunk: int = CHUNK,
    strategy: str = "auto",
    spec: PermutationSpec | None = None,
    permutations_a: Mapping[str, Array] | None = None,
    permutations_b: Mapping[str, Array] | None = None,
) -> Sweep:
    """Evaluate children along the line through two parents.

    Values that are linear in the parameters, such as the products of the data with the first layer's weights, are
    identified in the trace, computed once for each parent, and interpolated for every t.

    Main arguments:
        apply: the network; its outputs are logits [samples, classes], or what `loss` takes.
        a: parameters of the parent at t = 0.
        b: parameters of the parent at t = 1.
        x: inputs, samples along the leading axis.
        y: targets, likewise: integer labels, or what `loss` takes.
        ts: any finite numbers, also outside [0, 1]; by default 31 from -0.25 to 1.25.
        loss: `loss(outputs, targets)`, one number for each sample; softmax cross-entropy by default.

    Other arguments:
        metrics: further functions like the loss, by name.
        chunk: samples at a time.
        strategy: "scan" evaluates one t after the other, so that memory does not grow with their number; "vmap"
            evaluates all at once, for an accelerator that a single child does not saturate; "auto" is "vmap" on an
            accelerator and "scan" on a CPU.
        spec: the symmetry, needed with permutations.
        permutations_a: several alignments of the same parents at once: for each group, index arrays [alignments,
            neurons]. They reorder the shared values, which are not computed again. Many-to-one indices are allowed.
        permutations_b: likewise, for b.

    Returns:
        A `Sweep`, with arrays [t], or [alignments, t] if permutations are given. At t = 0 and t = 1 it has the
        parents' own loss and accuracy.

    Raises:
        ValueError: for parents of different structure, no data, targets that do not fit, ts that are not finite.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, squares = lambda p, x: p * x, lambda outputs, y: (outputs - y) ** 2
        >>> found = ea.interpolation.sweep(apply, 0.0, 2.0, jnp.ones(3), jnp.ones(3), loss=squares)
        >>> found.ts[5].item(), found.loss[5].item(), found.loss.min().item()
        (0.0, 1.0, 0.0)
    """
    _checks.same_trees("a", a, "b", b)
    _checks.one_of("strategy", strategy, STRATEGIES)
    check_points(ts, chunk)
    check_spec(spec)
    x, y = jax.tree.map(jnp.asarray, (x, y))
    check_data("x, y", apply, a, x, y, loss, metrics, chunk=chunk)
    given = [value is not None for value in (spec, permutations_a, permutations_b)]
    if any(given[1:]) and not all(given):
        came = "only some of spec, permutations_a, permutations_b"
        raise _checks.bad("permutations_a", came, "all three or none", "Pass the spec and both sides of the matchings.")
    ts = jnp.asarray(ts, jnp.float32)
    of_a, of_b = ({} if p is None else dict(p) for p in (permutations_a, permutations_b))
    if spec is None or not (of_a or of_b):
        spec = None
    else:
        of_a, of_b = _of_every_group(spec, of_a, of_b)
    functions = loss, tuple((metrics or {}).items())
    watch("interpolation.sweep", (a, x, ts), apply=apply, loss=loss, metrics=tuple((metrics or {}).values()))
    means = _sweep(apply, a, b, x, y, ts, spec, of_a, of_b, functions, chunk, strategy)
    found = of_means(means if all(given) else {name: values[0] for name, values in means.items()})
    return Sweep(ts, found.loss, found.accuracy, found.metrics, True if spec is None else _bijective(of_a, of_b))


def check_points(ts: Any, chunk: int) -> None:
    """Require a vector of finite ts and a valid chunk."""
    _checks.positive("chunk", chunk)
    if _checks.is_concrete(ts) and (np.ndim(ts) != 1 or not np.size(ts) or not np.isfinite(np.asarray(ts)).all()):
        raise _checks.bad("ts", f"{ts}", "a vector of finite numbers", "Pass jnp.linspace(-0.25, 1.25, 31).")


def sweep_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree = None,
    *,
    ts: Float[ArrayLike, " t"] | Sequence[float] = TS,
    loss: Loss | None = None,
    metrics: Metrics | None = None,
    chunk: int = CHUNK,
    strategy: str = "auto",
    spec: PermutationSpec | None = None,
    permutations_a: Mapping[str, Array] | None = None,
    permutations_b: Mapping[str, Array] | None = None,
) -> Sweep:
    """Sweep over the lines of many pairs in one compiled program.

    Args:
        apply: the network.
        a: the population of parents at t = 0.
        b: the population of parents at t = 1, of the same size.
        x: inputs, shared by all.
        y: as in `sweep`, like all further arguments; permutations have a leading axis of pairs before that of
            alignments.

    Returns:
        A `Sweep` with a leading axis of pairs.

    Raises:
        ValueError: as `sweep`.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, squares = lambda p, x: p * x, lambda outputs, y: (outputs - y) ** 2
        >>> a, b, x = jnp.zeros(2), jnp.array([1.0, 2.0]), jnp.ones(3)
        >>> ea.interpolation.sweep_pairs(apply, a, b, x, x, ts=(0.0, 1.0), loss=squares).loss.tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    _checks.same_trees("a", a, "b", b)
    _checks.one_of("strategy", strategy, STRATEGIES)
    check_points(ts, chunk)
    check_spec(spec)
    x, y = jax.tree.map(jnp.asarray, (x, y))
    check_data("x, y", apply, population.take(a, 0), x, y, loss, metrics, chunk=chunk)
    functions = loss, tuple((metrics or {}).items())
    ts = jnp.asarray(ts, jnp.float32)
    watch("interpolation.sweep_pairs", (a, x, ts), apply=apply, loss=loss, metrics=tuple((metrics or {}).values()))
    return _sweep_pairs(apply, a, b, x, y, ts, functions, chunk, strategy, spec, permutations_a, permutations_b)


def _bijective(of_a: dict[str, Array], of_b: dict[str, Array]) -> Bool[Array, " alignments"]:
    """For each alignment, whether no permutation repeats a neuron."""
    orders = [jnp.asarray(order) for order in (*of_a.values(), *of_b.values())]
    whole = [
        (jnp.sort(order) == jnp.broadcast_to(jnp.arange(order.shape[-1]), order.shape))
        .reshape(len(order), -1)
        .all(axis=1)
        for order in orders
    ]
    return jnp.stack(whole).all(axis=0)


def _of_every_group(
    spec: PermutationSpec, of_a: dict[str, Array], of_b: dict[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Permutations of both parents for every group; the identity for groups that are not given."""
    count = jnp.shape(next(iter((of_a | of_b).values())))[0]
    stay = {group: jnp.broadcast_to(order, (count, *order.shape)) for group, order in identity(spec).items()}
    return stay | of_a, stay | of_b


@partial(jax.jit, static_argnames=("apply", "functions", "chunk", "strategy", "spec"))
def _sweep_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree,
    ts: Array,
    functions: Functions,
    chunk: int,
    strategy: str,
    spec: PermutationSpec | None,
    of_a: Mapping[str, Array] | None,
    of_b: Mapping[str, Array] | None,
) -> Sweep:
    settings = {"ts": ts, "chunk": chunk, "strategy": strategy, "spec": spec}
    settings |= {"loss": functions[0], "metrics": dict(functions[1])}

    def one(args: tuple[PyTree, ...]) -> Sweep:
        a, b, of_a, of_b = args
        return sweep(apply, a, b, x, y, permutations_a=of_a, permutations_b=of_b, **settings)

    return population.map(one, (a, b, of_a, of_b))


def barrier(
    s: Sweep, kind: str = "chord", *, parents: tuple[ArrayLike, ArrayLike] | None = None
) -> Float[Array, "..."]:
    """The barrier between two parents: how much worse the worst child between them is.

    Args:
        s: a sweep whose ts contain 0 and 1.
        kind: "chord" is the largest excess of the loss over the linear interpolation of the parents' losses; "ends" is
            the largest loss minus the mean of the parents' losses; "accuracy" is the largest deficit of the accuracy
            below the linear interpolation of the parents' accuracies.
        parents: the losses of both parents (with "accuracy", their accuracies), if the ends of the sweep are not the
            parents. Many-to-one matches ("semi") change the function of a parent, and relative to an end that is as bad
            as the middle, the barrier would be 0.

    Returns:
        One number for each line. "chord" and "accuracy" are not negative unless `parents` are given. NaN for lines
        with many-to-one permutations without `parents`.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply, squares = lambda p, x: p * x, lambda outputs, y: (outputs - y) ** 2
        >>> found = ea.interpolation.sweep(apply, 0.0, 2.0, jnp.ones(3), jnp.ones(3), ts=(0.0, 0.5, 1.0), loss=squares)
        >>> ea.interpolation.barrier(found).item()  # no child is worse than the parents
        0.0
    """
    _checks.one_of("kind", kind, KINDS)
    ts = s.ts.reshape(-1, s.ts.shape[-1])[0]
    start, end = jnp.argmin(jnp.abs(ts)), jnp.argmin(jnp.abs(ts - 1))
    near = jnp.stack([ts[start], ts[end] - 1])
    if _checks.is_concrete(near) and np.abs(np.asarray(near)).max() > NEAR:
        came = f"ts from {float(ts.min())} to {float(ts.max())}"
        raise _checks.bad("s", came, "ts with both 0 and 1", "Sweep over the ends too.")
    values = s.accuracy if kind == "accuracy" else s.loss
    if values is None:
        raise _checks.bad("kind", repr(kind), "'chord' or 'ends', as this sweep has no accuracy", "Pass another kind.")
    t = (jnp.full_like(ts, 0.5) if kind == "ends" else ts).reshape((1,) * (values.ndim - 1) + (-1,))
    ends = (values[..., start], values[..., end]) if parents is None else tuple(map(jnp.asarray, parents))
    low, high = (jnp.broadcast_to(end, values.shape[:-1])[..., None] for end in ends)
    excess = values - ((1 - t) * low + t * high)
    if parents is None:
        excess = jnp.where(jnp.broadcast_to(s.bijective, values.shape[:-1])[..., None], excess, jnp.nan)
    inside = jnp.broadcast_to((ts > -NEAR) & (ts < 1 + NEAR), values.shape)
    return jnp.max(-excess if kind == "accuracy" else excess, axis=-1, where=inside, initial=-jnp.inf)


@partial(jax.jit, static_argnames=("apply", "spec", "functions", "chunk", "strategy"))
def _sweep(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    y: PyTree,
    ts: Array,
    spec: PermutationSpec | None,
    permutations_a: dict[str, Array],
    permutations_b: dict[str, Array],
    functions: Functions,
    chunk: int,
    strategy: str,
) -> dict[str, Array]:
    """Means by name, [alignments, t]."""
    indices = permutations_a, permutations_b
    ends = a, b
    if spec is not None:
        gather = partial(select, spec)
        ends = tuple(jax.vmap(partial(gather, p))(index) for p, index in zip((a, b), indices, strict=True))

    loss, metrics = functions

    def totals(part: tuple[PyTree, PyTree], weights: Array) -> dict[str, Array]:
        """Sums over one chunk, [alignments, t]."""
        inputs, targets = part
        children = _Children(apply, spec, a, b, inputs)

        def line(params_a: PyTree, params_b: PyTree, *index: dict[str, Array]) -> dict[str, Array]:
            known = children.ends(params_a, params_b, *index)

            def at(t: Array) -> dict[str, Array]:
                found = measures(children.outputs(known, t), targets, loss=loss, metrics=dict(metrics))
                return {name: jnp.sum(weighted(values, weights)) for name, values in found.items()}

            return population.map(at, ts, strategy=strategy)

        if spec is None:
            return jax.tree.map(lambda sums: sums[None], line(*ends))
        return population.map(line, *ends, *indices)

    count = jax.tree.leaves(x)[0].shape[0]
    sums = in_chunks(totals, (x, y), chunk=chunk, total=True)
    return {name: values / count for name, values in sums.items()}


class _Children:
    """The children on one line for one chunk of inputs, with shared values computed once."""

    def __init__(self, apply: Apply, spec: PermutationSpec | None, a: PyTree, b: PyTree, inputs: PyTree) -> None:
        network = trace_network(apply, a, inputs)
        self._labels: Labels = label(network)
        self._shared = shared_values(self._labels)
        self._groups = groups_of_classes(spec, self._labels) if spec else {}
        self._parents = spec.parents if spec else {}
        data = dict(zip(network.data, map(jnp.asarray, jax.tree.leaves(inputs)), strict=True))
        self._constant = dict(
            zip(self._shared.constant, evaluate(network.trace, data, self._shared.constant), strict=True)
        )
        self._linear = [
            evaluate(
                network.trace, data | dict(zip(network.params, jax.tree.leaves(p), strict=True)), self._shared.linear
            )
            for p in (a, b)
        ]

    def ends(self, params_a: PyTree, params_b: PyTree, *indices: dict[str, Array]) -> list[tuple[int, Array, Array]]:
        """The values that vary along the line, at both ends: (value, at a, at b)."""
        leaves = self._labels.network.params
        found = []
        for value, at_a, at_b in zip(leaves, jax.tree.leaves(params_a), jax.tree.leaves(params_b), strict=True):
            if value in self._shared.parameters:
                found.append((value, at_a, at_b))
        for value, *both in zip(self._shared.linear, *self._linear, strict=True):
            if indices:
                layouts = layouts_of(self._labels, self._groups, value)
                both = [reorder(v, layouts, index, self._parents) for v, index in zip(both, indices, strict=True)]
            found.append((value, *both))
        return found

    def outputs(self, ends: list[tuple[int, Array, Array]], t: Array) -> PyTree:
        """The outputs of the child at t."""
        known: dict[int, Any] = {value: lerp(at_a, at_b, t) for value, at_a, at_b in ends}
        network = self._labels.network
        found = evaluate(network.trace, self._constant | known, network.trace.outputs)
        return jax.tree.unflatten(network.structure, found)
