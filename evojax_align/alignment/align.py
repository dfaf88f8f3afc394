"""Alignment of two networks: the same two networks with corresponding neurons at the same positions.

The stages are `relate` (statistics of activations), `match` (partners) and `rearrange` (parameters). Each takes one
pair, or a population of pairs with one more leading axis.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import partial, reduce

import jax
import jax.numpy as jnp
from flax import struct

from evojax_align import _checks
from evojax_align._compiling import watch
from evojax_align._types import Apply, Array, Bool, Float, Int, PyTree
from evojax_align.alignment._checking import check_call, member_shapes
from evojax_align.alignment.groups import chosen, unmatched, warn
from evojax_align.alignment.method import Method, by_assignment, sides
from evojax_align.alignment.methods import Identity, Weights, named
from evojax_align.alignment.nested import GroupMatch, Partners, blocks, by_orders, resolve
from evojax_align.alignment.statistics import Relation, lifted, related
from evojax_align.alignment.weights import match_weights
from evojax_align.matching import one_to_one
from evojax_align.similarity.blas import one_blas_thread
from evojax_align.symmetry import Frozen, PermutationSpec, compose, inverse, permute, select
from evojax_align.symmetry.checking import ensure_symmetry
from evojax_align.symmetry.inference import remembered


@struct.dataclass
class Alignment:
    """Two networks in a common order of neurons; for a population of pairs, every array has a leading axis.

    Attributes:
        a: parameters of the first network, rearranged.
        b: parameters of the second network, rearranged.
        permutations_a: for each group, the old index of the neuron that is now at each position. For a group inside
            another, [outer, inner]: for each old outer neuron, the old indices of its inner neurons in their new order,
            as `symmetry.permute` takes them.
        permutations_b: likewise; with the method "semi", indices may repeat and others may be missing.
        scores: correlation of the two neurons at each position.
        dead_a: number of neurons that were constant over the samples.
        dead_b: likewise.
        valid: whether every matching that should be a bijection is one; outside a trace, False raises an error.
        all_finite: whether all parameters and activations were finite; outside a trace, False raises an error.
        bijective: whether the method preserves both functions; "semi" does not.
        reasons: groups that were not matched, with the reason (see `unmatched`).
        frozen: axes that belong to no group, because an operation depends on their order; they are not permuted.

    `print` shows a table of the groups, and the parts that were not aligned.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a, b = (network.init(jax.random.key(seed), x) for seed in (1, 2))
        >>> out = ea.align(network.apply, a, b, x)
        >>> child = ea.crossover.arithmetic(out.a, out.b, 0.5)
        >>> out.scores["hidden_0"].shape, out.unmatched, bool(out.valid)
        ((4,), {}, True)
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
    frozen: tuple[Frozen, ...] = struct.field(pytree_node=False, default=())

    @property
    def unmatched(self) -> dict[str, str]:
        """Groups that the method could not match, with the reason; empty if all were matched."""
        return dict(self.reasons)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("group", "neurons", "mean score", "dead in a", "dead in b")]
        for group, score in self.scores.items():
            numbers = (jnp.mean(of) for of in (score, self.dead_a[group], self.dead_b[group]))
            shown = [f"{of:.3g}" if _checks.is_concrete(of) else "traced" for of in numbers]
            rows.append((group, str(score.shape[-1]), *shown))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(f"{of:<{width}}" for of, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"unmatched: {group}: {reason}" for group, reason in self.reasons]
        return "\n".join([*lines, *(f"frozen by {freeze.primitive}: {freeze}" for freeze in self.frozen)])


def align(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    method: str | Method = "correlation",
    groups: Collection[str] | None = None,
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> Alignment:
    """Bring the neurons of two networks into a common order, so that they can be recombined position by position.

    The permutable groups are inferred from the network's trace. The activations of both networks on the same inputs are
    compared, the neurons are matched, and the parameters are permuted. The function is written for one pair;
    `align_pairs` aligns many in one call. Under `jit`, or lifted by `population.map`, it is a pure program that is
    compiled once. Gradients flow through the permuted parameters, not through the choice of partners.

    Main arguments:
        apply: `apply(params, x)`, traceable by JAX. Pass the same function each time, such as a module's method, so
            that nothing is compiled again; a new lambda in a loop is compiled each time.
        a: parameters of the first network.
        b: parameters of the second, of the same structure.
        x: inputs on which the neurons are compared, not those on which offspring are scored.
        method: a name, a value with settings such as `alignment.CCA(rank=64, ridge=0.1)`, or your own `Method`:

            | name | value | how neurons are matched |
            |---|---|---|
            | "correlation" | `Correlation()` | one to one, by largest total correlation (SC-PwC) |
            | "semi" | `Semi()` | each neuron of one side with its best partner (SC-PwC, semi-matching) |
            | "cca" | `CCA()` | Algorithm 1 on canonical weights (SC-CCA) |
            | "loadings" | `Loadings()` | one to one, by similarity in canonical space |
            | "greedy" | `Greedy()` | neurons of the second network choose in index order |
            | "mutual" | `Mutual()` | one to one, the pair of largest correlation first; fast for many pairs |
            | "weights" | `Weights()` | by the inner product of the parameters (Git Re-Basin) |
            | "none" | `Identity()` | not at all: the control of naive crossover |

    Other arguments:
        groups: names of the groups to align, from `symmetry.infer(apply, a, x).groups`; all by default. A group and
            the groups nested in it must be named together.
        spec: the symmetry of the network; inferred by default.
        chunk: samples at a time (see `alignment.relate`).
        positions: use at most this many positions of a feature map for each sample, evenly spaced.
        verify: check the symmetry on random parameters first, once for each network and shapes.

    Returns:
        An `Alignment`. With a bijective method, `apply(out.a, x)` equals `apply(a, x)`, and likewise for b, up to
        the rounding of sums in another order. Groups without observed activations, such as the inner axis of a LoRA,
        are matched by the weights after all others. Groups that could not be matched are listed in `out.unmatched`.
        Axes that cannot be permuted are listed in `out.frozen`. `print(out)` shows both.

    Warns:
        UserWarning: if no axis can be permuted, or a group is left unmatched, with the reason.

    Raises:
        ValueError: for parents of different structure, shape or dtype (the leaf is named), an unknown method, too few
            samples for CCA, values that are not finite, and a group in which all neurons are dead.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"]
        >>> a = {"in": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "out": jnp.array([[1.0], [2.0]])}
        >>> b = {"in": a["in"][:, ::-1], "out": a["out"][::-1]}
        >>> out = ea.align(apply, a, b, jax.random.normal(jax.random.key(0), (8, 2)))
        >>> bool((out.a["in"] == out.b["in"]).all())
        True
    """
    method = named(method)
    check_call(apply, a, b, x, spec)
    watch("align", (a, x), apply=apply)
    spec = spec or remembered(apply, a, x)
    wanted = chosen(spec, groups)
    if verify:
        ensure_symmetry(spec, apply, a if spec.leading(a, "a") == 0 else member_shapes(a), x)
    first = method.start if isinstance(method, Weights) else method
    relations, finite = related(spec, apply, a, b, x, covariances=first.within, chunk=chunk, positions=positions)
    relations = {group: relation for group, relation in relations.items() if group in wanted}
    matches = match(relations, first)
    reasons: dict[str, str] = {}
    if not isinstance(method, Identity):
        rest = wanted if isinstance(method, Weights) else {group for group in wanted if group not in matches}
        reasons = unmatched(spec, a, rest, method)
        matches |= _by_weights(spec, a, b, relations, matches, method, rest - reasons.keys())
        warn(spec, reasons)
    new_a, new_b = rearrange(spec, a, b, matches, bijective=method.bijective)
    return Alignment(
        a=new_a,
        b=new_b,
        permutations_a={group: m.x for group, m in matches.items()},
        permutations_b={group: m.y for group, m in matches.items()},
        scores={group: m.score for group, m in matches.items()},
        dead_a={group: m.dead_x for group, m in matches.items()},
        dead_b={group: m.dead_y for group, m in matches.items()},
        valid=reduce(jnp.logical_and, (m.valid for m in matches.values()), jnp.ones_like(finite)),
        all_finite=finite,
        bijective=method.bijective,
        reasons=tuple(reasons.items()),
        frozen=spec.frozen,
    )


def align_pairs(
    apply: Apply,
    a: PyTree,
    b: PyTree,
    x: PyTree,
    *,
    method: str | Method = "correlation",
    groups: Collection[str] | None = None,
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> Alignment:
    """Align many pairs in one call. Exact assignments of all pairs are solved in parallel on the host's cores.

    Args:
        apply: the network.
        a: the population of first networks.
        b: the population of second networks, of the same size.
        x: inputs, shared by all.
        method: as in `align`, like all further arguments.

    Returns:
        An `Alignment` with a leading axis of pairs; member `i` is `align(apply, a_i, b_i, x, ...)`.

    Raises:
        ValueError: as `align`.

    Example:
        >>> import jax, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(4,), classes=2)
        >>> x = jax.random.normal(jax.random.key(0), (20, 3))
        >>> pop = ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 6)
        >>> out = ea.align_pairs(network.apply, *ea.population.pairs(pop), x)
        >>> out.scores["hidden_0"].shape
        (3, 4)
    """
    check_call(apply, a, b, x, spec)
    spec = spec or remembered(apply, member_shapes(a), x)
    if spec.leading(a, "a") == 0:
        raise _checks.bad("a", "one network", "a population", "Use `align`, or stack networks: population.stack([a]).")
    more = {"method": method, "groups": groups, "chunk": chunk, "positions": positions, "verify": verify}
    return align(apply, a, b, x, spec=spec, **more)


def match(relations: Mapping[str, Relation], method: str | Method = "correlation") -> dict[str, GroupMatch]:
    """Match all groups by one method, from the statistics computed by `relate`.

    Args:
        relations: the statistics of one pair, or of many pairs with leading axes.
        method: as in `align`, but not "weights", which needs the parameters.

    Returns:
        For each group a `GroupMatch`, with the leading axes of the relations.

    Raises:
        ValueError: for the method "weights", and as `align`.

    Example:
        >>> import jax, evojax_align as ea
        >>> network = ea.models.MLP(hidden=(4,), classes=2)
        >>> x = jax.random.normal(jax.random.key(0), (20, 3))
        >>> a, b = (network.init(jax.random.key(seed), x) for seed in (1, 2))
        >>> relations = ea.alignment.relate(ea.symmetry.infer(network.apply, a, x), network.apply, a, b, x)
        >>> matches = {name: ea.alignment.match(relations, name) for name in ("correlation", "cca")}
        >>> matches["cca"]["hidden_0"].x.shape
        (4,)
    """
    method, relations = named(method), dict(relations)
    if not relations:
        return {}
    is_concrete = _checks.is_concrete(relations, method)
    by_host = is_concrete and by_assignment(method) and method.engine != "compiled"
    found: dict[str, Partners] = {}
    with one_blas_thread() if is_concrete and method.within else contextlib.nullcontext():
        for group, relation in relations.items():  # one after the other, so that few scores are in memory
            alike = dataclasses.replace(relation, parent=None)  # groups of equal shapes have one program
            if by_host:
                scores, dead_x, dead_y = _of_group(_scores, method, alike)
                found[group] = sides(one_to_one(scores, dead_x=dead_x, dead_y=dead_y, engine=method.engine))
            else:
                found[group] = _of_group(_partners, method, alike)
        if is_concrete and method.within:
            jax.block_until_ready(found)  # before LAPACK may use several threads again
    return _resolved(method, relations, found)


def _scores(method: Method, relation: Relation) -> tuple[Array, Array, Array]:
    return method.scores(relation), relation.dead_x, relation.dead_y


def _partners(method: Method, relation: Relation) -> Partners:
    return sides(method.match(relation))


@partial(jax.jit, static_argnums=0)
def _of_group(fn: Callable[[Method, Relation], PyTree], method: Method, relation: Relation) -> PyTree:
    """Apply a function to a relation; for a nested group, to the relation of every pair of outer neurons."""

    def one(relation: Relation) -> PyTree:
        inside = blocks(relation)
        return lifted(inside.leading, partial(fn, method), inside)

    return lifted(relation.leading, one, relation)


@jax.jit
def _resolved(method: Method, relations: dict[str, Relation], partners: dict[str, Partners]) -> dict[str, GroupMatch]:
    leading = next(iter(relations.values())).leading
    return lifted(leading, partial(resolve, method), relations, partners)


def rearrange(
    spec: PermutationSpec, a: PyTree, b: PyTree, matches: Mapping[str, GroupMatch], *, bijective: bool = True
) -> tuple[PyTree, PyTree]:
    """Put both networks' neurons into the order of the matches (Algorithm 2 of Uriot & Izzo 2020).

    Args:
        spec: the symmetry of the network.
        a: parameters of the first network, or a population of first networks.
        b: parameters of the second, likewise.
        matches: from `match`.
        bijective: whether the matches are bijections; those of "semi" are not.

    Returns:
        Parameters of both; position `i` of each group holds neuron `x[i]` of the first and `y[i]` of the second.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a, b = (network.init(jax.random.key(seed), x) for seed in (1, 2))
        >>> spec = ea.symmetry.infer(network.apply, a, x)
        >>> matches = ea.alignment.match(ea.alignment.relate(spec, network.apply, a, b, x))
        >>> new_a, new_b = ea.alignment.rearrange(spec, a, b, matches)
        >>> bool(jnp.allclose(network.apply(new_b, x), network.apply(b, x), atol=1e-5))
        True
    """
    orders = {group: m.x for group, m in matches.items()}, {group: m.y for group, m in matches.items()}
    if spec.leading(a, "a") == 0 and _checks.on_host((a, b, orders)):  # NumPy permutes them without compilation
        a, b = jax.tree.map(jnp.asarray, (a, b))
        return _moved(spec, bijective, a, b, *orders)
    return _moved_by_program(spec, bijective, a, b, *orders)


def _moved(
    spec: PermutationSpec, bijective: bool, a: PyTree, b: PyTree, x: dict[str, Array], y: dict[str, Array]
) -> tuple[PyTree, PyTree]:
    move = permute if bijective else select
    return lifted(spec.leading(a, "a"), lambda a, b, x, y: (move(spec, a, x), move(spec, b, y)), a, b, x, y)


_moved_by_program = jax.jit(_moved, static_argnums=(0, 1))


def _by_weights(
    spec: PermutationSpec,
    a: PyTree,
    b: PyTree,
    relations: dict[str, Relation],
    matches: dict[str, GroupMatch],
    method: Method,
    groups: Collection[str],
) -> dict[str, GroupMatch]:
    """Matches by weights for some groups; all other groups keep their matches."""
    if not groups:
        return {}
    method = method if isinstance(method, Weights) else Weights(engine=method.engine)
    start = _order_of_b(spec, matches) if matches else {}
    orders = match_weights(
        spec, a, b, start, restarts=method.restarts, engine=method.engine, groups=tuple(sorted(groups))
    )
    found = _by_orders(spec.leading(a, "a"), relations, orders)
    return {group: found[group] for group in groups}


@partial(jax.jit, static_argnames="spec")
def _order_of_b(spec: PermutationSpec, matches: dict[str, GroupMatch]) -> dict[str, Array]:
    """The permutations that bring b into the present order of a."""

    def one(matches: dict[str, GroupMatch]) -> dict[str, Array]:
        order_a, order_b = ({group: getattr(m, side) for group, m in matches.items()} for side in ("x", "y"))
        return compose(spec, order_b, inverse(spec, order_a))

    return lifted(next(iter(matches.values())).valid.ndim, one, matches)


@partial(jax.jit, static_argnums=0)
def _by_orders(leading: int, relations: dict[str, Relation], orders: dict[str, Array]) -> dict[str, GroupMatch]:
    return lifted(leading, by_orders, relations, orders)
