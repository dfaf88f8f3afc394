"""Alignment of more than two networks: a common order for all, in which they can be averaged.

Each network has one permutation into the common order, so that going from the first to the second to the third equals
going from the first to the third (cycle consistency; Crisostomi et al. 2024).
"""

import dataclasses
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
from evojax_align.alignment.groups import unmatched, warn
from evojax_align.alignment.method import Method
from evojax_align.alignment.methods import NAMES, bijective
from evojax_align.alignment.nested import end_to_end
from evojax_align.alignment.statistics import Relation, relate
from evojax_align.alignment.weights import match_weights
from evojax_align.similarity import Moments, correlation_of
from evojax_align.symmetry import PermutationSpec, compose, identity, inverse, permute
from evojax_align.symmetry.checking import ensure_symmetry
from evojax_align.symmetry.inference import remembered

GAIN = 1e-4
"""A new order is accepted if it raises the total correlation of a network's neurons by more than this."""


@struct.dataclass
class ManyAlignment:
    """Networks in a common order of neurons.

    Attributes:
        networks: the population; its mean is `crossover.average(networks)`.
        permutations: for each group and network, the old index of the neuron at each position.
        scores: mean correlation of the neuron at each position with the neurons of all other networks there.
        rounds: number of passes over all networks.
        reasons: groups that were not matched, with the reason (see `unmatched`).
        converged: whether no network changed in the last round; if False, more rounds would change the result.

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
        """Groups that could not be matched, with the reason; empty if all were matched."""
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

    First, every network is matched one to one with the first, by correlation. Then each in turn is matched with the
    present order of all the others, which raises the total correlation of all pairs, until no order changes. Groups
    without observed activations are matched last, by the weights, with those of the first network. A host function: it
    reads values to decide when to stop.

    Args:
        apply: the network.
        networks: a population of at least two.
        x: inputs on which neurons are compared.
        rounds: at most this many passes; with 0, all stay as matched with the first.
        spec: the symmetry of the network; inferred by default.
        chunk: samples at a time (see `alignment.relate`).
        positions: use at most this many positions of a feature map for each sample.
        verify: check the symmetry on random parameters first.

    Returns:
        A `ManyAlignment`; every network computes the same function as before.

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
        raise _checks.bad("rounds", rounds, "an integer of at least 0", "Pass 0 to match with the first network only.")
    check_call(apply, networks, networks, x, spec)
    spec = spec or remembered(apply, member_shapes(networks), x)
    if not spec.groups:
        warn(spec, {})
        return ManyAlignment(networks, {}, {}, rounds=0)
    pairs = list(itertools.combinations(range(count), 2))
    left, right = (population.take(networks, np.array(side)) for side in zip(*pairs, strict=True))
    if verify:
        ensure_symmetry(spec, apply, member_shapes(networks), x)
    relations = relate(spec, apply, left, right, x, covariances=False, chunk=chunk, positions=positions)
    rest = set(spec.groups) - {*relations, *spec.parents.values()}
    reasons = unmatched(spec, networks, rest, NAMES["correlation"])
    warn(spec, reasons)
    with_first = population.take(relations, slice(0, count - 1))  # the pairs (0, 1), (0, 2), ...
    found = {group: m.y for group, m in match(with_first).items()}
    orders = [dict(identity(spec)) for _ in range(count)]
    for number in range(1, count) if found else ():
        orders[number] |= population.take(found, number - 1)
    common = _CommonOrder(relations, pairs, orders)
    turns, moved = 0, bool(relations)
    while moved and turns < rounds:
        turns, moved = turns + 1, any([common.turn(number) for number in range(count)])
    if by_weights := tuple(sorted(rest - reasons.keys())):
        first = permute(spec, population.take(networks, 0), orders[0])
        for number in range(1, count):
            network = population.take(networks, number)
            orders[number] |= match_weights(spec, first, network, orders[number], restarts=8, groups=by_weights)
    stacked = population.stack(orders)
    return ManyAlignment(
        networks=population.map(lambda params, order: permute(spec, params, order), networks, stacked),
        permutations=stacked,
        scores=common.scores(),
        rounds=turns,
        converged=not moved,
        reasons=tuple(reasons.items()),
    )


@struct.dataclass
class Reordered:
    """Networks whose neurons are at the positions of the corresponding neurons of a reference.

    Attributes:
        networks: the population.
        permutations: for each group and network, the old index of the neuron at each position, as `symmetry.permute`
            takes it.

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
    """Bring every network of a population into the order of a reference, which does not change.

    Can be jitted. `align_many` finds an order of larger total correlation, on the host.

    Args:
        apply: the network.
        reference: parameters of the network whose order is used for all.
        networks: a population; it may contain the reference.
        x: inputs on which neurons are compared.
        method: a bijective method of `align`. If it gives both networks a new order, as "cca" does, the inverse that
            restores the reference is applied to both.
        spec: the symmetry of the network; inferred by default.
        mesh: distributes the networks over its devices (see `population.map`).

    Returns:
        A `Reordered`; every network computes the same function as before.

    Raises:
        ValueError: for a method that is not bijective, and as `align`.

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


class _CommonOrder:
    """An order of every network, and for each group the correlations of the neurons of every two networks."""

    def __init__(
        self, relations: Mapping[str, Relation], pairs: Sequence[tuple[int, int]], orders: list[dict[str, Array]]
    ) -> None:
        self.relations, self.orders = relations, orders
        self._pairs = {pair: number for number, pair in enumerate(pairs)}
        moments = {group: relation.moments for group, relation in relations.items()}
        self._matrices = {group: np.asarray(population.map(correlation_of, m)) for group, m in moments.items()}
        self._alive: dict[str, np.ndarray] = {}
        for group, m in moments.items():
            dead_x, dead_y = population.map(lambda m: (m.dead_x, m.dead_y), m)
            dead = np.concatenate([dead_x[:1], dead_y[: len(orders) - 1]])  # of the pairs (0, 1), (0, 2), ...
            self._alive[group] = (~dead).astype(np.float32)

    def turn(self, number: int) -> bool:
        """Match one network with the present order of all others; return whether that raises its correlations."""
        means = {group: self._mean(group, number) for group in self.relations}
        matches = match({group: self._with_others(group, number, mean) for group, mean in means.items()})
        old = self.orders[number]
        new = old | {group: m.y for group, m in matches.items()}
        before, after = (float(sum(of.sum() for of in self._along(means, order).values())) for order in (old, new))
        rises = after > before + GAIN
        self.orders[number] = new if rises else old
        return rises

    def scores(self) -> dict[str, Array]:
        """For each group, mean correlations [networks, neurons]."""
        rows = []
        for number, order in enumerate(self.orders):
            rows.append(self._along({group: self._mean(group, number) for group in self.relations}, order))
        return {group: jnp.asarray(np.stack([row[group] for row in rows])) for group in self.relations}

    def _mean(self, group: str, number: int) -> np.ndarray:
        """Mean correlation of position i of all other networks with neuron j of this one, [positions, neurons]."""
        others = self._others(number)
        rows = [self._between(group, other, number)[self._places(group, self.orders[other])] for other in others]
        return np.asarray(sum(rows) / len(rows))

    def _between(self, group: str, one: int, other: int) -> np.ndarray:
        matrix = self._matrices[group][self._pairs[min(one, other), max(one, other)]]
        return matrix if one < other else matrix.T

    def _with_others(self, group: str, number: int, mean: np.ndarray) -> Relation:
        """`mean` as a relation with one network for all others; a position of it is alive if it is in any of them."""
        alive = [self._alive[group][other][self._places(group, self.orders[other])] for other in self._others(number)]
        zero, one = jnp.zeros(mean.shape[0]), jnp.ones(())
        squares = jnp.asarray(np.max(alive, axis=0)), jnp.asarray(self._alive[group][number])
        moments = Moments(one, zero, zero, *squares, jnp.asarray(mean))
        return dataclasses.replace(self.relations[group], moments=moments)

    def _along(self, means: Mapping[str, np.ndarray], order: Mapping[str, Array]) -> dict[str, np.ndarray]:
        """The correlations of this network's neurons, in the given order, with the neurons at the same positions."""
        return {group: mean[np.arange(len(mean)), self._places(group, order)] for group, mean in means.items()}

    def _others(self, number: int) -> list[int]:
        return [other for other in range(len(self.orders)) if other != number]

    def _places(self, group: str, order: Mapping[str, Array]) -> np.ndarray:
        parent = self.relations[group].parent
        return end_to_end(np.asarray(order[group]), None if parent is None else np.asarray(order[parent]))
