"""Joint statistics of two networks' activations, from which every method matches neurons."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, Bool, Float, PyTree
from evojax_align.similarity import Moments, correlation_of, merge, moments, pool
from evojax_align.symmetry import PermutationSpec
from evojax_align.symmetry.reading import reader

STREAM_ABOVE = 1 << 26
"""Activations with more numbers than this (256 MiB in float32) are streamed in chunks of a quarter of it."""


@struct.dataclass
class Relation:
    """Joint statistics of two networks' activations in one group; for many pairs, every array has leading axes.

    Attributes:
        moments: moments of the activations, `x` of the first network, `y` of the second; standardised and pooled if
            the group is observed at several values of the trace.
        samples: number of rows of activations.
        parent: the outer group of a nested group; its inner neurons are concatenated over all outer neurons.
        outer: number of neurons of the outer group.

    Example:
        >>> import jax, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a, b = (network.init(jax.random.key(seed), x) for seed in (1, 2))
        >>> found = ea.alignment.relate(ea.symmetry.infer(network.apply, a, x), network.apply, a, b, x)["hidden_0"]
        >>> found.correlations.shape, found.samples, found.dead_x.tolist()
        ((4, 4), 20, [False, False, False, False])
    """

    moments: Moments
    samples: int = struct.field(pytree_node=False)
    parent: str | None = struct.field(pytree_node=False, default=None)
    outer: int | None = struct.field(pytree_node=False, default=None)

    @property
    def correlations(self) -> Float[Array, "p q"]:
        """The correlation of every neuron of the first network with every neuron of the second; 0 for dead ones."""
        return correlation_of(self.moments)

    @property
    def dead_x(self) -> Bool[Array, "*batch p"]:
        """Neurons of the first network that are constant over the samples."""
        return self.moments.dead_x

    @property
    def dead_y(self) -> Bool[Array, "*batch q"]:
        """Neurons of the second network that are constant over the samples."""
        return self.moments.dead_y

    @property
    def leading(self) -> int:
        """Number of leading axes: 0 for one pair."""
        return jnp.ndim(self.moments.samples)


class Health(NamedTuple):
    """Flags of one network, all True if it can be aligned.

    Attributes:
        finite: whether all parameters and activations are finite.
        activations: for each group, whether all activations are finite.
        alive: for each group, whether any neuron is not dead.
    """

    finite: Bool[Array, "*batch"]
    activations: Mapping[str, Bool[Array, "*batch"]]
    alive: Mapping[str, Bool[Array, "*batch"]]


def lifted(leading: int, fn: Callable[..., PyTree], *trees: PyTree) -> PyTree:
    """Apply a function of one pair to trees with `leading` leading axes; a tree may have no leaves."""
    if leading == 0:
        return fn(*trees)
    return population.map(lambda args: lifted(leading - 1, fn, *args), trees)


def relate(
    spec: PermutationSpec,
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    covariances: bool = True,
    chunk: int | None = None,
    positions: int | None = None,
) -> dict[str, Relation]:
    """Compute the joint statistics of two networks' activations on the same inputs, in one compiled program.

    They are the expensive part of an alignment and can be used by any number of methods.

    Args:
        spec: the symmetry of the network.
        apply: the network.
        a: parameters of the first, or a population of first networks.
        b: parameters of the second, or a population of as many.
        x: inputs, samples along the leading axis of every leaf.
        covariances: also compute covariances within each network, which `CCA` and `Loadings` need.
        chunk: samples at a time; all by default, unless their activations would take more than 256 MiB.
        positions: use at most this many positions of a feature map for each sample, evenly spaced; all by default.

    Returns:
        A `Relation` for every group with observed activations. It depends on `chunk` only by rounding.

    Raises:
        ValueError: for networks that the specification does not describe and, outside a trace, for parameters
            or activations that are not finite, and for groups in which all neurons are dead.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> a = {"in": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "out": jnp.array([[1.0], [2.0]])}
        >>> x = jax.random.normal(jax.random.key(0), (8, 2))
        >>> relations = ea.alignment.relate(ea.symmetry.infer(apply, a, x), apply, a, a, x)
        >>> relations["in"].correlations.diagonal().round(3).tolist()
        [1.0, 1.0]
    """
    _checks.network(apply)
    _checks.same_trees("a", a, "b", b)
    return related(spec, apply, a, b, x, covariances=covariances, chunk=chunk, positions=positions)[0]


def related(
    spec: PermutationSpec,
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    covariances: bool,
    chunk: int | None,
    positions: int | None,
) -> tuple[dict[str, Relation], Bool[Array, "*batch"]]:
    """Like `relate`, and also return whether all parameters and activations are finite."""
    if chunk is not None:
        _checks.positive("chunk", chunk)
    relations, healths = _relate(spec, apply, a, b, jax.tree.map(jnp.asarray, x), covariances, chunk, positions)
    if _checks.is_concrete(healths):
        refuse(healths, a, b, x)
    return relations, healths[0].finite & healths[1].finite


@partial(jax.jit, static_argnames=("spec", "apply", "covariances", "chunk", "positions"))
def _relate(
    spec: PermutationSpec,
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    covariances: bool,
    chunk: int | None,
    positions: int | None,
) -> tuple[dict[str, Relation], tuple[Health, Health]]:
    def one(a: PyTree, b: PyTree) -> tuple[dict[str, Relation], tuple[Health, Health]]:
        sides = (spec, apply, a), (spec, apply, b)
        relations = relate_networks(*sides, x, covariances=covariances, chunk=chunk, positions=positions)
        return relations, examine(a, b, relations)

    return lifted(spec.leading(a, "a"), one, a, b)


Network: TypeAlias = tuple[PermutationSpec, Apply, PyTree]
"""A symmetry, a function, and its parameters."""


def relate_networks(
    a: Network, b: Network, x: PyTree, *, covariances: bool, chunk: int | None, positions: int | None
) -> dict[str, Relation]:
    """Like `relate`, for two networks that may differ but have groups of the same names."""
    _checks.inputs("x", x)
    count = jax.tree.leaves(x)[0].shape[0]

    (spec, apply, params_a), (other_spec, other, params_b) = a, b
    read_a = reader(spec, apply, positions=positions)
    read_b = read_a if (spec, apply) == (other_spec, other) else reader(other_spec, other, positions=positions)

    def of_chunk(part: PyTree) -> dict[str, list[Moments]]:
        of_a, of_b = read_a(params_a, part), read_b(params_b, part)
        found = {}
        for group, places in of_a.items():
            both = zip(places, of_b[group], strict=True)
            found[group] = [moments(_flat(p), _flat(q), within=covariances) for p, q in both]
        return found

    shapes, shapes_b = jax.eval_shape(read_a, params_a, x), jax.eval_shape(read_b, params_b, x)
    numbers = sum(place.size for found in (shapes, shapes_b) for places in found.values() for place in places)
    totals = _stream(of_chunk, x, count, min(chunk or _chunk_size(count, numbers), count))
    found = {}
    for group, places in totals.items():
        samples, parent = sum(place.shape[0] for place in shapes[group]), spec.parents.get(group)
        found[group] = Relation(pool(places), samples, parent, None if parent is None else spec.groups[parent])
    return found


def _flat(places: Array) -> Array:
    """[samples, neurons], the inner neurons of all outer neurons concatenated."""
    return places.reshape(places.shape[0], -1)


def _chunk_size(count: int, numbers: int) -> int:
    return count if numbers <= STREAM_ABOVE else max(1, count * (STREAM_ABOVE // 4) // numbers)


def _stream(
    of_chunk: Callable[[PyTree], dict[str, list[Moments]]], x: PyTree, count: int, chunk: int
) -> dict[str, list[Moments]]:
    """The moments of all samples, with the activations of one chunk in memory at a time."""
    whole, rest = divmod(count, chunk)

    def part(start: int, stop: int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[start:stop], x)

    def add(totals: PyTree, part: PyTree) -> tuple[PyTree, None]:
        return jax.tree.map(merge, totals, of_chunk(part), is_leaf=lambda leaf: isinstance(leaf, Moments)), None

    totals = of_chunk(part(0, chunk))
    if whole > 1:
        chunks = jax.tree.map(lambda leaf: leaf.reshape(-1, chunk, *leaf.shape[1:]), part(chunk, whole * chunk))
        totals, _ = jax.lax.scan(add, totals, chunks)
    return add(totals, part(whole * chunk, count))[0] if rest else totals


def examine(a: PyTree, b: PyTree, relations: Mapping[str, Relation]) -> tuple[Health, Health]:
    """The flags of both networks of a pair."""

    def health(network: PyTree, side: str) -> Health:
        seen = {group: relation.moments for group, relation in relations.items()}
        finite = {group: jnp.all(jnp.isfinite(getattr(m, f"square_{side}"))) for group, m in seen.items()}
        alive = {group: ~jnp.all(getattr(m, f"dead_{side}")) for group, m in seen.items()}
        parameters = [jnp.all(jnp.isfinite(leaf)) for leaf in _inexact(network)]
        return Health(jnp.all(jnp.array([*parameters, *finite.values()], bool)), finite, alive)

    return health(a, "x"), health(b, "y")


def refuse(healths: tuple[Health, Health], a: PyTree, b: PyTree, x: PyTree) -> None:
    """Raise an error for the first flag that is False; flags may have a leading axis of pairs."""
    for name, network, health in zip("ab", (a, b), jax.device_get(healths), strict=True):
        if not health.finite.all():
            _checks.all_finite(name, network)  # names the leaf
        for group, flags in health.activations.items():
            if not flags.all():
                _checks.all_finite("x", x, "Leave these samples out, or fill them in.")
                came = f"activations in group {group!r}{_of_pair(flags)} that are not finite, or beyond 1e19"
                fix = "Drop this network, or train it again with a smaller learning rate."
                raise _unfit(name, x, came, "activations whose squares are finite", fix)
        for group, flags in health.alive.items():
            if not flags.all():
                dead = "only dead neurons (constant over the samples, or below 1e-19)"
                came = f"{dead} in group {group!r}{_of_pair(flags)}"
                fix = "Use more samples, or drop this network: a layer without live neurons cannot be aligned."
                raise _unfit(name, x, came, "at least one whose activation differs between samples", fix)


def _unfit(name: str, x: PyTree, came: str, expected: str, fix: str) -> _checks.BadInput:
    """The error for a network, or for inputs that are too large."""
    sizes = [float(jnp.max(jnp.abs(leaf))) for leaf in _inexact(x)]
    if not all(1e-9 < size < 1e9 for size in sizes):
        name, fix = "x", "Scale the inputs."
    return _checks.bad(name, came, expected, fix)


def _inexact(tree: PyTree) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]


def _of_pair(flags: Any) -> str:
    return f" of pair {int(np.argmin(flags))}" if flags.ndim else ""
