"""More than two parents: a common order for all, in which they can be averaged.

Every network has one order into the common one, so that going from the first to the second to the third is the same as
going from the first to the third (cycle consistency; Crisostomi et al. 2024).
"""

import itertools
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, Float, Int, PyTree
from evojax_align.alignment._checking import check_call, member_shapes
from evojax_align.alignment.align import align, match
from evojax_align.alignment.groups import tell, unmatched
from evojax_align.alignment.method import Method
from evojax_align.alignment.methods import NAMES, named
from evojax_align.alignment.statistics import Relation, relate
from evojax_align.alignment.weights import match_weights
from evojax_align.similarity import Moments, correlation_of
from evojax_align.symmetry import PermutationSpec, compose, identity, inverse, permute
from evojax_align.symmetry.checking import ensure_symmetry
from evojax_align.symmetry.inference import remembered

GAIN = 1e-4
"""A turn counts if the correlations of a network's neurons rise by more than this in all."""


@struct.dataclass
class ManyAlignment:
    """Networks in a common order of neurons.

    Attributes:
        networks: the population; its mean is `crossover.average(networks)`.
        permutations: for each group and network, the old index of the neuron at each place.
        scores: mean correlation of the neuron at each place with those of all other networks there.
        rounds: how often all networks were looked at.
        reasons: groups that were left as they are, and why (see `unmatched`).
        converged: whether none moved in the last round; otherwise more rounds would change the result.

    Example:
        >>> import jax, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> pop = ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 3)
        >>> found = ea.alignment.align_many(network.apply, pop, x)
        >>> found.scores["hidden_0"].shape, found.converged
        ((3, 4), True)
    """

    networks: PyTree
    permutations: dict[str, Int[Array, "networks *neurons"]]
    scores: dict[str, Float[Array, "networks neurons"]]
    rounds: int = struct.field(pytree_node=False)
    converged: bool = struct.field(pytree_node=False, default=True)
    reasons: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())

    @property
    def unmatched(self) -> dict[str, str]:
        """Groups that there was nothing to match by, with the reason; empty if all were matched."""
        return dict(self.reasons)


def align_many(
    apply: Apply,
    networks: PyTree,
    x: PyTree,
    *,
    rounds: int = 20,
    spec: PermutationSpec | None = None,
    chunk: int | None = None,
    positions: int | None = None,
    verify: bool = True,
) -> ManyAlignment:
    """Bring the neurons of many networks into one order.

    All are matched one to one with the first, by correlation; then, in turns, each with all the others as they stand,
    which raises the total correlation of all pairs, until nothing moves. Groups that no activations tell of are matched
    at last, by the weights, with those of the first network. A host function: it looks at values to know when to stop.

    Args:
        apply: the network.
        networks: a population of at least two.
        x: inputs on which neurons are compared.
        rounds: at most this many turns; 0 leaves all as matched with the first.
        spec: the symmetry, if it is known already.
        chunk: samples at a time (see `alignment.relate`).
        positions: of each sample, use at most this many places of a map.
        verify: try the symmetry on random parameters first.

    Returns:
        A `ManyAlignment`; every network computes the function that it did before.

    Raises:
        ValueError: for fewer than two networks, and as `align`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> spec, orders = ea.symmetry.infer(network.apply, a, x), jnp.array([[0, 1, 2, 3], [3, 1, 0, 2], [1, 2, 3, 0]])
        >>> copies = [ea.symmetry.permute(spec, a, {"hidden_0": order}) for order in orders]
        >>> found = ea.alignment.align_many(network.apply, ea.population.stack(copies), x)
        >>> mean = ea.crossover.average(found.networks)
        >>> bool(jnp.allclose(network.apply(mean, x), network.apply(a, x), atol=1e-5))
        True
    """
    _checks.refuse_trace("align_many", "inside, match with one network: alignment.align_to.", networks, x)
    if isinstance(networks, list | tuple):
        fix = "Stack them: align_many(apply, population.stack(networks), x)."
        raise _checks.bad("networks", f"a {type(networks).__name__}", "a population", fix)
    count = population.size(networks)
    if count < 2:
        raise _checks.bad("networks", f"{count} network", "at least 2", "Stack them with `population.stack`.")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
        raise _checks.bad("rounds", rounds, "an integer of at least 0", "Pass 0 to match with the first alone.")
    check_call(apply, networks, networks, x, spec)
    spec = spec or remembered(apply, member_shapes(networks), x)
    if not spec.groups:
        tell(spec, {})
        return ManyAlignment(networks, {}, {}, rounds=0)
    left, right = map(np.array, zip(*itertools.combinations(range(count), 2), strict=True))
    sides = population.take(networks, left), population.take(networks, right)
    if verify:
        ensure_symmetry(spec, apply, member_shapes(networks), x)
    relations = relate(spec, apply, *sides, x, covariances=False, chunk=chunk, positions=positions)
    rest = set(spec.groups) - {*relations, *spec.parents.values()}
    reasons = unmatched(spec, networks, rest, NAMES["correlation"])
    tell(spec, reasons)
    with_first = population.take(relations, slice(0, count - 1))  # the pairs (0, 1), (0, 2), ...
    found = {group: m.y for group, m in match(with_first).items()}
    orders = [dict(identity(spec)) for _ in range(count)]
    for number in range(1, count) if found else ():
        orders[number] |= population.take(found, number - 1)
    between = _Correlations(relations, left, right, count)
    turns, moved = 0, bool(relations)
    while moved and turns < rounds:
        turns, moved = turns + 1, False
        for number in range(count):
            matches = match(between.with_others(number, orders))
            new = orders[number] | {group: m.y for group, m in matches.items()}
            if between.total(number, new, orders) > between.total(number, orders[number], orders) + GAIN:
                orders[number], moved = new, True
    if by_weights := tuple(sorted(rest - reasons.keys())):
        first = permute(spec, population.take(networks, 0), orders[0])
        for number in range(1, count):
            network = population.take(networks, number)
            orders[number] |= match_weights(spec, first, network, orders[number], restarts=8, groups=by_weights)
    stacked = population.stack(orders)
    return ManyAlignment(
        networks=population.map(lambda params, order: permute(spec, params, order), networks, stacked),
        permutations=stacked,
        scores=between.scores(orders),
        rounds=turns,
        converged=not moved,
        reasons=tuple(reasons.items()),
    )


@struct.dataclass
class Reordered:
    """Networks whose neurons stand where those of the reference stand that they correspond to.

    Attributes:
        networks: the population.
        permutations: for each group and network, the old index of the neuron at each place, as `symmetry.permute` takes
            it.

    Example:
        >>> import jax, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> pop = ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 3)
        >>> found = ea.alignment.align_to(network.apply, ea.population.take(pop, 0), pop, x)
        >>> found.permutations["hidden_0"][0].tolist()  # the reference itself
        [0, 1, 2, 3]
    """

    networks: PyTree
    permutations: dict[str, Int[Array, "networks ..."]]


def align_to(
    apply: Apply,
    reference: PyTree,
    networks: PyTree,
    x: PyTree,
    *,
    method: str | Method = "correlation",
    spec: PermutationSpec | None = None,
    mesh: Mesh | None = None,
) -> Reordered:
    """Bring every network of a population into the order of one, which stays as it is.

    Can be jitted; `align_many` finds an order that suits all of them better, on the host.

    Args:
        apply: the network.
        reference: parameters of the network whose order all take.
        networks: a population; it may hold the reference.
        x: inputs on which neurons are compared.
        method: a bijective method of `align`. One that gives both networks a new order, as "cca" does, is followed by
            what gives the reference its own order back.
        spec: the symmetry, if it is known already.
        mesh: shares the networks out over its devices (see `population.map`).

    Returns:
        A `Reordered`; every network computes the function that it did before.

    Raises:
        ValueError: for a method that is no bijection, and as `align`.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> shuffled = ea.symmetry.permute(
        ...     ea.symmetry.infer(network.apply, a, x), a, {"hidden_0": jnp.array([2, 0, 3, 1])}
        ... )
        >>> found = ea.alignment.align_to(network.apply, a, ea.population.stack([shuffled]), x)
        >>> found.permutations["hidden_0"].tolist()
        [[1, 3, 0, 2]]
    """
    method = bijective("method", method)
    _checks.network(apply)
    known = spec or remembered(apply, reference, x)

    def one(network: PyTree) -> Reordered:
        out = align(apply, reference, network, x, method=method, spec=known)
        order = compose(known, out.permutations_b, inverse(known, out.permutations_a))
        return Reordered(permute(known, network, order), order)

    return population.map(one, networks, mesh=mesh)


def bijective(argument: str, method: str | Method) -> Method:
    """The method of a name; one that is no bijection is refused."""
    method = named(method)
    if not method.bijective:
        known = ", ".join(repr(name) for name, known in NAMES.items() if known.bijective)
        raise _checks.bad(argument, repr(method), "a bijective method", f"Use one of {known}.")
    return method


class _Correlations:
    """The correlations of all neurons of every two networks, group by group."""

    def __init__(self, relations: Mapping[str, Relation], left: np.ndarray, right: np.ndarray, count: int) -> None:
        self.relations, self.count = relations, count
        self._pair = {(int(i), int(j)): number for number, (i, j) in enumerate(zip(left, right, strict=True))}
        many = {group: relation.moments for group, relation in relations.items()}
        self._matrices = {group: np.asarray(population.map(correlation_of, m)) for group, m in many.items()}
        dead = {group: population.map(lambda m: (m.dead_x, m.dead_y), m) for group, m in many.items()}
        self._dead = {group: np.concatenate([x[:1], y[: count - 1]]) for group, (x, y) in dead.items()}

    def mean(self, group: str, number: int, orders: Sequence[Mapping[str, Array]]) -> np.ndarray:
        """How place i of all other networks correlates with neuron j of this one, [places, neurons]."""
        total = 0.0
        for other in range(self.count):
            if other != number:
                matrix = self._matrices[group][self._pair[min(other, number), max(other, number)]]
                total = total + (matrix if other < number else matrix.T)[self._flat(group, orders[other])]
        return np.asarray(total / (self.count - 1))

    def with_others(self, number: int, orders: Sequence[Mapping[str, Array]]) -> dict[str, Relation]:
        """The same as relations, as if all others were one network."""
        found = {}
        for group, relation in self.relations.items():
            mean = self.mean(group, number, orders)
            alive = 1.0 - np.stack([self._dead[group][i][self._flat(group, orders[i])] for i in self._others(number)])
            zero, one = jnp.zeros(mean.shape[0]), jnp.ones(())
            square_x = jnp.asarray(alive.max(axis=0), jnp.float32)
            square_y = jnp.asarray(1.0 - self._dead[group][number], jnp.float32)
            moments = Moments(one, zero, zero, square_x, square_y, jnp.asarray(mean))
            found[group] = Relation(moments, relation.samples, relation.parent, relation.outer)
        return found

    def total(self, number: int, order: Mapping[str, Array], orders: Sequence[Mapping[str, Array]]) -> float:
        """The sum of the correlations of this network's neurons, in an order, with those at their places."""
        return float(sum(of.sum() for of in self._along(number, order, orders).values()))

    def scores(self, orders: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """For each group, mean correlations [networks, neurons]."""
        rows = [self._along(number, order, orders) for number, order in enumerate(orders)]
        return {group: jnp.asarray(np.stack([row[group] for row in rows])) for group in self.relations}

    def _along(
        self, number: int, order: Mapping[str, Array], orders: Sequence[Mapping[str, Array]]
    ) -> dict[str, np.ndarray]:
        places = {group: np.arange(m.shape[-1]) for group, m in self._matrices.items()}
        return {g: self.mean(g, number, orders)[places[g], self._flat(g, order)] for g in self.relations}

    def _others(self, number: int) -> list[int]:
        return [other for other in range(self.count) if other != number]

    def _flat(self, group: str, order: Mapping[str, Array]) -> np.ndarray:
        """The old index of the neuron at each place; of an inner group, of the inner neurons end to end."""
        index, parent = np.asarray(order[group]), self.relations[group].parent
        if parent is None:
            return index
        outer = np.asarray(order[parent])
        return (outer[:, None] * index.shape[1] + index[outer]).reshape(-1)
