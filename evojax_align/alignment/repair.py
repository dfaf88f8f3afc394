"""Repair of offspring: correction of the statistics of activations after recombination.

The activations of the average of two aligned networks have too little variance: in every layer, the variance of an
average of two neurons is below the average of their variances. Averaged statistics of batch normalisation describe
neither parent. Both can be corrected on a batch of inputs, without training.

REPAIR: Jordan et al. 2023, "REPAIR: REnormalizing Permuted Activations for Interpolation Repair".
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Apply, Array, ArrayLike, PyTree
from evojax_align.symmetry.affine import Chain, chains, normalisations
from evojax_align.symmetry.following import Labels, label
from evojax_align.symmetry.trace import Evaluation, trace_network

STILL = 1e-6
"""A neuron whose standard deviation is at most this fraction of its parents' is not rescaled."""


def reestimate(apply: Apply, params: PyTree, x: PyTree) -> PyTree:
    """Set the running statistics of batch normalisation to those of the network on the inputs.

    Layers are processed in order, each on the outputs of the corrected layers before it.

    Args:
        apply: the network in inference mode, with the statistics among its parameters.
        params: parameters of one network, such as a child.
        x: a batch of inputs, from which the statistics are estimated.

    Returns:
        A tree like `params`; only running means and variances (of the samples, biased) differ.

    Raises:
        ValueError: for a network whose trace uses no running statistics.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> def apply(params, x):
        ...     h = (x @ params["w"] - params["mean"][None]) / jnp.sqrt(params["variance"][None] + 1e-5)
        ...     return jnp.tanh(h) @ params["out"]
        >>> x, ones = jax.random.normal(jax.random.key(0), (50, 2)), jnp.ones(3)
        >>> child = {"w": jnp.full((2, 3), 4.0), "mean": ones, "variance": ones, "out": jnp.ones((3, 1))}
        >>> new = ea.alignment.reestimate(apply, child, x)
        >>> bool(jnp.allclose(new["variance"], (x @ child["w"]).var(axis=0), rtol=1e-4))
        True
    """
    return _reestimate(_checks.network(apply), params, x)


@partial(jax.jit, static_argnames="apply")
def _reestimate(apply: Apply, params: PyTree, x: PyTree) -> PyTree:
    labels = label(trace_network(apply, params, x))
    used = normalisations(labels)
    if not used:
        raise _checks.bad(
            "apply",
            "a network without running statistics",
            "one that subtracts a mean and divides by the root of a variance, both of them leaves of its parameters",
            "Apply it in inference mode; for networks without batch normalisation use `repair`.",
        )
    run = _Repair(labels, params, x)
    for norm in used:
        value = run.value(norm.value)
        rest = tuple(axis for axis in range(value.ndim) if axis not in norm.axes)
        for leaf, found in ((norm.mean, jnp.mean(value, rest)), (norm.variance, jnp.var(value, rest))):
            run.leaves[leaf] = found.reshape(run.leaves[leaf].shape).astype(run.leaves[leaf].dtype)
    return run.params()


def repair(apply: Apply, child: PyTree, a: PyTree, b: PyTree, x: PyTree, t: ArrayLike = 0.5) -> PyTree:
    """Give every neuron of a child the interpolated mean and standard deviation of its parents.

    The preactivations of every layer are rescaled and shifted, layer by layer, by changing the kernel and the bias, or
    the scale and offset of a normalisation. Layers without these, layers inside loops, and the outputs are not changed.

    Args:
        apply: the network.
        child: its parameters, such as `crossover.arithmetic(a, b, t)`.
        a: the first parent, aligned with b.
        b: the second.
        x: a batch of inputs.
        t: the weight of b: means are (1 - t) mean_a + t mean_b, standard deviations likewise.

    Returns:
        A tree like `child`.

    Raises:
        ValueError: for parents of different structure, and for networks without a layer that can be rescaled.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(64,), classes=2), jax.random.normal(jax.random.key(0), (200, 3))
        >>> a, b = (network.init(jax.random.key(seed), x) for seed in (1, 2))
        >>> deviation = lambda net: (x @ net["params"]["hidden_0"]["kernel"]).std(axis=0)
        >>> child = ea.crossover.arithmetic(a, b, 0.5)
        >>> repaired = ea.alignment.repair(network.apply, child, a, b, x)
        >>> goal = (deviation(a) + deviation(b)) / 2
        >>> bool((deviation(child) < goal).all()), bool(jnp.allclose(deviation(repaired), goal, rtol=1e-3))
        (True, True)
    """
    _checks.same_trees("a", a, "b", b)
    _checks.same_trees("a", a, "child", child)
    return _repair(_checks.network(apply), child, a, b, x, _checks.number("t", t))


@partial(jax.jit, static_argnames="apply")
def _repair(apply: Apply, child: PyTree, a: PyTree, b: PyTree, x: PyTree, t: ArrayLike) -> PyTree:
    labels = label(trace_network(apply, child, x))
    layers = [(chain, changes) for chain in chains(labels) if (changes := _changes(labels, chain))]
    if not layers:
        came = "a network without a layer that a bias, or a scale and an offset, could rescale"
        raise _checks.bad("apply", came, "products of data with kernels, outside loops", "Give its layers biases.")
    run, *parents = (_Repair(labels, network, x) for network in (child, a, b))
    for chain, changes in layers:
        goals = (_moments(parent.value(chain.value), chain) for parent in parents)
        mean, deviation = ((1 - t) * p + t * q for p, q in zip(*goals, strict=True))
        value = run.value(chain.value)
        now_mean, now = _moments(value, chain)
        moves = now > STILL * deviation
        scale = jnp.where(moves, deviation / jnp.where(moves, now, 1.0), 1.0)
        shift = mean - scale * now_mean
        for leaf, sign in changes:
            run.change(leaf, units_of(labels, chain), scale, sign * shift if sign else None)
        run.set(chain.value, _spread(scale, value, chain) * value + _spread(shift, value, chain))
    return run.params()


class _Repair:
    """Step-by-step evaluation of a network whose parameters change during the evaluation."""

    def __init__(self, labels: Labels, params: PyTree, x: PyTree) -> None:
        self.labels = labels
        self.leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
        self._structure = jax.tree.structure(params)
        data = dict(zip(labels.network.data, map(jnp.asarray, jax.tree.leaves(x)), strict=True))
        self._run = Evaluation(labels.network.trace, data)

    def value(self, number: int) -> Array:
        """A value of the trace, computed from the present parameters."""
        return self._run.value(number, dict(zip(self.labels.network.params, self.leaves, strict=True)))

    def set(self, number: int, value: Array) -> None:
        """Replace a value of the trace."""
        self._run.known[number] = value

    def params(self) -> PyTree:
        """The present parameters."""
        return jax.tree.unflatten(self._structure, self.leaves)

    def change(self, leaf: int, units: Mapping[int, int], scale: Array, shift: Array | None) -> None:
        """Multiply a leaf by one number for each unit [in the order of their axes], and add `shift`."""
        places = places_of_units(self.labels, leaf, units)
        order = [place for place in places if place is not None]
        shape = [1 if place is None else scale.shape[place] for place in places]
        old = self.leaves[leaf]
        new = old * jnp.transpose(scale, order).reshape(shape)
        if shift is not None:
            new = new + jnp.transpose(shift, order).reshape(shape)
        self.leaves[leaf] = new.astype(old.dtype)


def units_of(labels: Labels, chain: Chain) -> dict[int, int]:
    """The axis classes of the units of a chain, numbered."""
    here = labels.axes[chain.value]
    return {labels.classes.find(node): i for i, axis in enumerate(chain.axes) if (node := here[axis]) is not None}


def places_of_units(labels: Labels, leaf: int, units: Mapping[int, int]) -> list[int | None]:
    """For each axis of a leaf, the number of the class of units that the leaf feeds along it."""
    nodes = labels.leaf_axes[leaf]
    return [None if node is None or node in labels.fed else units.get(labels.classes.find(node)) for node in nodes]


def _changes(labels: Labels, chain: Chain) -> list[tuple[int, int]]:
    """The leaves to change so that the end of the chain is scaled and shifted per unit; empty if that is impossible.

    All are scaled. The number with each leaf is the sign of its shift, 0 for all but one leaf.
    """
    units = units_of(labels, chain)
    for leaf in (chain.kernel, *(step.leaf for step in chain.steps if step.leaf is not None)):
        places = [place for place in places_of_units(labels, leaf, units) if place is not None]
        if sorted(places) != sorted(units.values()):
            return []
    found: list[tuple[int, int]] = []
    for step in reversed(chain.steps):
        adds = step.kind in ("add", "subtract")
        if adds and step.leaf is not None:
            sign = 1 if step.kind == "add" else -1
            found.append((step.leaf, 0 if found else sign))  # the last addition makes the whole shift
        elif adds or not found:
            return []
        elif step.kind == "multiply" and step.leaf is not None:
            return [*found, (step.leaf, 0)]
    return [*found, (chain.kernel, 0)] if found else []


def _moments(value: Array, chain: Chain) -> tuple[Array, Array]:
    value = value.astype(jnp.promote_types(value.dtype, jnp.float32))
    rest = tuple(axis for axis in range(value.ndim) if axis not in chain.axes)
    return jnp.mean(value, rest), jnp.std(value, rest)


def _spread(of_units: Array, value: Array, chain: Chain) -> Array:
    """One number for each unit, reshaped to broadcast against the value."""
    shape = [value.shape[axis] if axis in chain.axes else 1 for axis in range(value.ndim)]
    return of_units.reshape(shape).astype(value.dtype)
