"""Alignment of two networks: the same two networks with corresponding neurons at the same places."""

import warnings
from collections.abc import Collection, Mapping
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks, population
from evojax_align._tree import leaves_by_path
from evojax_align._types import Apply, Array, Bool, Float, Int, PyTree
from evojax_align.alignment.families import by_orders
from evojax_align.alignment.health import all_finite
from evojax_align.alignment.pairs import check_call, lift, match_all, member_shapes, related
from evojax_align.alignment.records import GroupMatch, Relation
from evojax_align.alignment.stages import METHODS, Settings, rearrange
from evojax_align.alignment.weights import match_weights
from evojax_align.symmetry import PermutationSpec, compose, inverse
from evojax_align.symmetry.inference import remembered
from evojax_align.symmetry.layout import groups_in


@struct.dataclass
class Alignment:
    """Two networks in a common order of neurons; of a population of pairs, with a leading axis everywhere.

    Attributes:
        permutations_a: for each group, the old index of the neuron that is now at each place. Of a group inside
            another, [outer, inner]: for each old outer neuron the old indices of its inner ones in their new order, as
            `symmetry.permute` takes it.
        permutations_b: likewise; with method "semi" it may repeat and leave neurons out.
        scores: correlation of the two neurons that share a place.
        dead_a: number of neurons that were constant over the samples.
        valid: whether every matching that should be a bijection is one; outside a trace anything else is an error.
        all_finite: whether all parameters and activations were finite; outside a trace anything else is an error.
        bijective: whether the method keeps both functions; "semi" does not.
        reasons: groups that were left as they are, and why (see `unmatched`).
    """

    a: PyTree
    b: PyTree
    permutations_a: Mapping[str, Int[Array, "..."]]
    permutations_b: Mapping[str, Int[Array, "..."]]
    scores: Mapping[str, Float[Array, "..."]]
    dead_a: Mapping[str, Int[Array, "..."]]
    dead_b: Mapping[str, Int[Array, "..."]]
    valid: Bool[Array, "..."]
    all_finite: Bool[Array, "..."]
    bijective: bool = struct.field(pytree_node=False, default=True)
    reasons: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())

    @property
    def unmatched(self) -> dict[str, str]:
        """Groups that the method had nothing to match by, with the reason; empty if all were matched."""
        return dict(self.reasons)


def align(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    mode: str = "text",
    direction: str = "x",
    engine: str = "auto",
    restarts: int = 8,
    groups: Collection[str] | None = None,
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> Alignment:
    """Bring the neurons of two networks into a common order, so that they can be recombined place by place.

    The permutable groups are read from the network's trace. Activations of both networks on the same inputs are
    compared, the neurons matched, and the parameters permuted. Written for one pair: `align_pairs` does many in one
    call, and under `jit`, or lifted by `population.map`, it is one pure program that compiles once. Gradients flow
    through the parameters to their new places, not through the choice of partners.

    Main arguments:
        apply: `apply(params, x)`, traceable by JAX. Give the same function each time, so that nothing is compiled
            again: a module's method will do, a new lambda in a loop will not.
        a: parameters of the first network.
        b: parameters of the second, of the same structure.
        x: inputs on which the neurons are compared, not those on which offspring are scored.
        method: "correlation" matches one to one by largest total correlation (SC-PwC); "semi" gives each neuron of
            one side its best partner (SC-PwC, semi-matching); "cca" is Algorithm 1 on canonical weights (SC-CCA);
            "loadings" matches one to one by what neurons share in canonical space; "greedy" lets the second
            network's neurons choose in index order, as the paper's authors did; "none" leaves every neuron at its
            place, the control of naive crossover; "weights" starts from "correlation" and from other orders, and raises
            the inner product of both networks' parameters, all groups together (Git Re-Basin).

    Other arguments:
        rank: with "cca" and "loadings", number of main directions kept first (SVCCA).
        ridge: with "cca" and "loadings", what is added to the diagonal of the correlation matrices.
        mode: with "cca", "text" or "code" (see `matching.canonical`). As the paper's authors did, "code" does not set
            dead neurons apart, and takes the weights of `similarity.deflated` unless there is a ridge.
        direction: with "semi", the side of which every neuron is kept: "x" the first network, "y" the second.
        engine: with "correlation", "loadings" and "weights", what solves the assignment (see `matching.one_to_one`).
        restarts: with "weights", number of starts, of which the best end is kept.
        groups: align these only, by the names in `symmetry.infer(apply, a, x).groups`; all by default. Groups inside
            one another are named together.
        spec: the symmetry, if it is known already.
        chunk: samples at a time (see `alignment.relate`).
        positions: of each sample, use at most this many places of a map, evenly spread.
        verify: try the symmetry on random parameters first, once for each network and shapes.

    Returns:
        An `Alignment`. With a bijective method `apply(out.a, x)` equals `apply(a, x)`, and likewise for b, up to
        the rounding of sums in another order. Groups that no activations tell of, such as the inner axis of a LoRA,
        are matched by the weights, with all others in the order already found. What is left stands in
        `out.unmatched`.

    Warns:
        UserWarning: where no axis can be permuted, or a group is left unmatched; both with the reason.

    Raises:
        ValueError: for parents of different structure, shape or dtype (the leaf is named), an unknown method, a
            setting that the method does not take, too few samples for CCA, values that are not finite, and a group
            in which all neurons are dead.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> a = {"in": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "out": jnp.array([[1.0], [2.0]])}
        >>> b = {"in": a["in"][:, ::-1], "out": a["out"][::-1]}
        >>> out = align(apply, a, b, jax.random.normal(jax.random.key(0), (8, 2)))
        >>> bool((out.a["in"] == out.b["in"]).all())
        True
    """
    settings = Settings(method, rank, ridge, mode, direction, engine, restarts)
    _checks.same_trees("a", a, "b", b)
    return _align(apply, a, b, x, spec, settings, groups, chunk, positions, verify, many=False)


def align_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    mode: str = "text",
    direction: str = "x",
    engine: str = "auto",
    restarts: int = 8,
    groups: Collection[str] | None = None,
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> Alignment:
    """Align many pairs in one call.

    Each stage is one compiled program. Where the method is an exact assignment, the host's cores solve it between two
    programs (with `engine="compiled"`, or under a trace, that too is inside one).

    Args:
        apply: the network.
        a: the population of first networks.
        b: the population of second networks, of the same size.
        x: inputs, shared by all.
        method: and all further arguments as in `align`.

    Returns:
        An `Alignment` with a leading axis of pairs; its member `i` is `align(apply, a_i, b_i, x, ...)`.

    Raises:
        ValueError: as `align`.
    """
    settings = Settings(method, rank, ridge, mode, direction, engine, restarts)
    _checks.same_trees("a", a, "b", b)
    return _align(apply, a, b, x, spec, settings, groups, chunk, positions, verify, many=True)


def _align(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    spec: PermutationSpec | None,
    settings: Settings,
    groups: Collection[str] | None,
    chunk: int | None,
    positions: int | None,
    verify: bool,
    *,
    many: bool,
) -> Alignment:
    kind = METHODS[settings.method]
    check_call(apply, a, b, x, spec)
    known = spec or remembered(apply, member_shapes(a) if many else a, x)
    wanted = _wanted(known, groups)
    relations = related(apply, a, b, x, known, kind.needs_covariances, chunk, positions, verify, many=many)
    relations = {group: relation for group, relation in relations.items() if group in wanted}
    by_weights = settings.method == "weights"
    start = Settings("correlation", engine=settings.engine) if by_weights else settings
    matches = match_all(relations, start, many=many)
    rest = wanted if by_weights else {group for group in wanted if group not in matches}
    reasons = _reasons(known, a, rest, settings.method, many)
    rest -= reasons.keys()
    if rest and settings.method != "none":
        matches |= _by_weights(known, a, b, relations, matches, settings, rest, many=many)
    if settings.method != "none":
        tell(known, reasons)
    return _rearranged(known, a, b, matches, kind.bijective, tuple(reasons.items()), many)


def _wanted(spec: PermutationSpec, groups: Collection[str] | None) -> set[str]:
    """The groups to align; one that lives in another is named together with it."""
    if groups is None:
        return set(spec.groups)
    if isinstance(groups, str):
        raise _checks.bad("groups", repr(groups), "a list of names", f"Pass groups=[{groups!r}].")
    groups = set(groups)
    for group in groups:
        _checks.one_of("groups", group, spec.groups)
    for inner, outer in spec.parents.items():
        if (inner in groups) != (outer in groups):
            came = f"{inner!r} without {outer!r}" if inner in groups else f"{outer!r} without {inner!r}"
            raise _checks.bad("groups", came, "a group together with the one that it lives in", "Name both or none.")
    return set(groups)


def _reasons(spec: PermutationSpec, a: PyTree, rest: Collection[str], method: str, many: bool) -> dict[str, str]:
    """Why groups without activations cannot be matched by the weights either."""
    if method == "none":
        return {}
    leaves = leaves_by_path(member_shapes(a) if many else a)
    real = {path for path, leaf in leaves.items() if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)}
    seen = {group for path in real for layout in spec.axes[path] for group in groups_in(layout)}
    found = {}
    for group in spec.groups:
        family = {group, spec.parents.get(group, group), *(g for g, p in spec.parents.items() if p == group)}
        if group in rest and not family <= set(rest):
            found[group] = "no activations of it are read, but those of a group that it lives in, or that lives in it"
        elif group in rest and not METHODS[method].bijective:
            found[group] = "no activations of it are read, and a many-to-one match leaves no order to match weights by"
        elif group in rest and group not in seen:
            found[group] = "no activations of it are read, and no floating-point parameter runs over it"
    return found


def tell(spec: PermutationSpec, reasons: Mapping[str, str]) -> None:
    """Warn of what is left as it is."""
    if not spec.groups:
        held = next(iter((*spec.frozen, *spec.fixed)), None)
        why = "it has no parameters that its outputs depend on"
        if held is not None:
            path, axis = held.axes[0]
            where = repr(path) if path else "the parameters"
            source = f" ({held.source})" if held.source else ""
            why = f"axis {axis} of {where} is held by {held.primitive}{source}"
            if held.primitive == "output":
                why += "; if apply returns more than its outputs, choose them: lambda params, x: apply(params, x)[0]"
        warnings.warn(f"both networks are left as they are, since no axis can be permuted: {why}", stacklevel=4)
    for group, reason in reasons.items():
        warnings.warn(f"the group {group!r} is left as it is: {reason}", stacklevel=4)


def _by_weights(
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    relations: Mapping[str, Relation],
    matches: Mapping[str, GroupMatch],
    settings: Settings,
    groups: set[str],
    *,
    many: bool,
) -> dict[str, GroupMatch]:
    """The matches by weights of some groups; all others stand as they were matched."""

    def one(args: tuple[PyTree, PyTree, Mapping[str, Relation], Mapping[str, GroupMatch]]) -> dict[str, GroupMatch]:
        a, b, relations, matches = args
        sides = ({group: getattr(m, side) for group, m in matches.items()} for side in ("y", "x"))
        order_b, order_a = sides
        start = compose(spec, order_b, inverse(spec, order_a))  # of b, in the order that a is in now
        orders = match_weights(
            spec, a, b, start, restarts=settings.restarts, engine=settings.engine, groups=sorted(groups)
        )
        return {group: match for group, match in by_orders(spec, relations, orders).items() if group in groups}

    pairs = a, b, dict(relations), dict(matches)
    if not many:
        return one(pairs)
    if not _checks.is_concrete(pairs):
        return population.map(one, pairs)
    return population.stack([one(population.take(pairs, i)) for i in range(population.size(a))])


@partial(jax.jit, static_argnames=("spec", "bijective", "reasons", "many"))
def _rearranged(
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    matches: dict[str, GroupMatch],
    bijective: bool,
    reasons: tuple[tuple[str, str], ...],
    many: bool,
) -> Alignment:
    def one(a: PyTree, b: PyTree, matches: dict[str, GroupMatch]) -> Alignment:
        return _assemble(spec, a, b, matches, bijective, reasons)

    return lift(many, one, a, b, matches)


def _assemble(
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    matches: Mapping[str, GroupMatch],
    bijective: bool,
    reasons: tuple[tuple[str, str], ...],
) -> Alignment:
    new_a, new_b = rearrange(spec, a, b, matches, bijective=bijective)
    return Alignment(
        a=new_a,
        b=new_b,
        permutations_a={group: m.x for group, m in matches.items()},
        permutations_b={group: m.y for group, m in matches.items()},
        scores={group: m.score for group, m in matches.items()},
        dead_a={group: m.dead_x for group, m in matches.items()},
        dead_b={group: m.dead_y for group, m in matches.items()},
        valid=jnp.all(jnp.array([m.valid for m in matches.values()], bool)),
        all_finite=jnp.all(jnp.array([all_finite(a, b), *(m.all_finite for m in matches.values())])),
        bijective=bijective,
        reasons=reasons,
    )
