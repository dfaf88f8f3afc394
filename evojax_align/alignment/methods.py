"""The methods that match neurons. Each has its own settings and is a function of two networks' statistics.

`align`, the studies and the evolutionary algorithms take a method by name or as an instance. Your own method is
a frozen dataclass that inherits from `Method`:

    @dataclasses.dataclass(frozen=True)
    class Absolute(Method):
        def scores(self, relation):
            return abs(relation.correlations)
"""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Float
from evojax_align.alignment.method import Method
from evojax_align.alignment.statistics import Relation
from evojax_align.matching import Matching, SemiMatching, canonical, greedy_index, mutual, semi
from evojax_align.matching.assignment import ENGINES
from evojax_align.matching.best import DIRECTIONS
from evojax_align.matching.canonical import MODES
from evojax_align.similarity import CanonicalDirections, cca_of, deflated, structure_scores
from evojax_align.similarity.canonical import check_rank, check_ridge, check_samples


@dataclasses.dataclass(frozen=True)
class Correlation(Method):
    """One-to-one matching of largest total correlation (SC-PwC; Uriot & Izzo 2020, section 4.2).

    Attributes:
        engine: solver of the assignment (see `matching.one_to_one`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Correlation(engine="compiled"))
        >>> bool((out.a["params"]["hidden_0"]["kernel"] == out.b["params"]["hidden_0"]["kernel"]).all())
        True
    """

    engine: str = "auto"

    def __post_init__(self) -> None:
        _checks.one_of("engine", self.engine, ENGINES)

    def scores(self, relation: Relation) -> Float[Array, "p q"]:
        """The correlations."""
        return relation.correlations


@dataclasses.dataclass(frozen=True)
class Semi(Method):
    """The best partner for each neuron of one side; partners may repeat (SC-PwC, semi-matching, section 4.2).

    Attributes:
        direction: the side whose neurons are all kept: "x" for the first network, "y" for the second.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Semi(direction="y"))
        >>> out.permutations_a["hidden_0"].tolist(), out.permutations_b["hidden_0"].tolist()
        ([2, 0, 3, 1], [0, 1, 2, 3])
    """

    bijective: ClassVar[bool] = False
    direction: str = "x"

    def __post_init__(self) -> None:
        _checks.one_of("direction", self.direction, DIRECTIONS)

    def match(self, relation: Relation) -> SemiMatching:
        """The neuron of largest correlation."""
        dead = {"dead_x": relation.dead_x, "dead_y": relation.dead_y}
        return semi(relation.correlations, **dead, direction=self.direction)


@dataclasses.dataclass(frozen=True)
class Greedy(Method):
    """The neurons of the second network choose partners in index order, as in the authors' code for SC-PwC.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Greedy())
        >>> bool((out.a["params"]["hidden_0"]["kernel"] == out.b["params"]["hidden_0"]["kernel"]).all())
        True
    """

    def match(self, relation: Relation) -> Matching:
        """The best neuron that is still free."""
        return greedy_index(relation.correlations, dead_x=relation.dead_x, dead_y=relation.dead_y)


@dataclasses.dataclass(frozen=True)
class Mutual(Method):
    """One to one, the pair of largest correlation first: near `Correlation`, and fast for many pairs in a program.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Mutual())
        >>> bool((out.a["params"]["hidden_0"]["kernel"] == out.b["params"]["hidden_0"]["kernel"]).all())
        True
    """

    def match(self, relation: Relation) -> Matching:
        """See `matching.mutual`."""
        return mutual(relation.correlations, dead_x=relation.dead_x, dead_y=relation.dead_y)

    def match_outer(self, totals: Float[Array, "n n"]) -> Matching:
        """See `matching.mutual`."""
        return mutual(totals)


@dataclasses.dataclass(frozen=True)
class Identity(Method):
    """Every neuron keeps its position: the control of naive crossover.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Identity())
        >>> out.permutations_b["hidden_0"].tolist()
        [0, 1, 2, 3]
    """

    def match(self, relation: Relation) -> Matching:
        """Each neuron with the one at the same place."""
        return _in_place(relation.correlations)

    def match_outer(self, totals: Float[Array, "n n"]) -> Matching:
        """Each neuron with the one at the same place."""
        return _in_place(totals)


@dataclasses.dataclass(frozen=True)
class DeadOnly(Method):
    """Dead neurons are matched with dead neurons, and as many others as possible keep their positions: a control.

    It measures how much of the gain of an alignment comes from dead neurons only.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.DeadOnly())
        >>> out.permutations_b["hidden_0"].tolist()  # none is dead
        [0, 1, 2, 3]
    """

    def scores(self, relation: Relation) -> Float[Array, "p q"]:
        """1 for neurons at the same position, 0 for others."""
        return jnp.eye(*relation.correlations.shape, dtype=relation.correlations.dtype)


def _in_place(scores: Array) -> Matching:
    order = jnp.arange(scores.shape[0], dtype=jnp.int32)
    return Matching(x=order, y=order, valid=jnp.array(True))


@dataclasses.dataclass(frozen=True)
class _Canonical(Method):
    """Settings common to the methods that match in canonical space."""

    within: ClassVar[bool] = True
    traced: ClassVar[str | None] = "ridge"
    rank: int | None = None
    ridge: float | Array = 0.0

    def __post_init__(self) -> None:
        if self.rank is not None:
            _checks.positive("rank", self.rank)
        if _checks.is_concrete(self.ridge):
            object.__setattr__(self, "ridge", check_ridge(self.ridge))

    def _cca(self, relation: Relation) -> CanonicalDirections:
        m = relation.moments
        width, other = m.mean_x.shape[-1], m.mean_y.shape[-1]
        check_rank(self.rank, width, other)
        check_samples(relation.samples, max(width, other), self.rank, self.ridge)
        return cca_of(m, self.rank, self.ridge)


@dataclasses.dataclass(frozen=True)
class CCA(_Canonical):
    """Algorithm 1: match neurons with large canonical weights in the same direction (SC-CCA, section 4.1).

    Attributes:
        rank: number of main directions kept first (SVCCA); all by default.
        ridge: what is added to the diagonal of the correlation matrices.
        mode: "text" or "code" (see `matching.canonical`). Like the authors' code, "code" does not set dead neurons
            apart, and uses the weights of `similarity.deflated` if `ridge` is 0.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.CCA(rank=3, ridge=0.1))
        >>> bool((out.a["params"]["hidden_0"]["kernel"] == out.b["params"]["hidden_0"]["kernel"]).all())
        True
    """

    mode: str = "text"

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.one_of("mode", self.mode, MODES)

    def match(self, relation: Relation) -> Matching:
        """One pair of neurons for each canonical direction, the direction of largest correlation first."""
        result = self._cca(relation)
        weights = result.weights_x, result.weights_y
        dead_x, dead_y = relation.dead_x, relation.dead_y
        if self.mode == "code":
            dead_x, dead_y = jnp.zeros_like(dead_x), jnp.zeros_like(dead_y)
            if _checks.is_concrete(self.ridge) and self.ridge == 0:  # the authors' code does not deflate with a ridge
                weights = deflated(weights[0]), deflated(weights[1])
        return canonical(*weights, dead_x=dead_x, dead_y=dead_y, mode=self.mode)


@dataclasses.dataclass(frozen=True)
class Loadings(_Canonical):
    """One-to-one matching by similarity in canonical space, which is stable where canonical weights are not.

    Attributes:
        rank: number of main directions kept first (SVCCA); all by default.
        ridge: what is added to the diagonal of the correlation matrices.
        engine: solver of the assignment (see `matching.one_to_one`).

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Loadings(ridge=0.1))
        >>> bool((out.a["params"]["hidden_0"]["kernel"] == out.b["params"]["hidden_0"]["kernel"]).all())
        True
    """

    engine: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        _checks.one_of("engine", self.engine, ENGINES)

    def scores(self, relation: Relation) -> Float[Array, "p q"]:
        """See `similarity.structure_scores`."""
        return structure_scores(self._cca(relation))


@dataclasses.dataclass(frozen=True)
class Weights(Method):
    """The largest inner product of both networks' parameters, over all groups (Ainsworth et al. 2023, Git Re-Basin).

    Attributes:
        restarts: number of local searches, of which the best result is kept: one from the order that `start` finds,
            one from the original order, and all others from random orders.
        start: a bijective method, which compares activations.
        engine: solver of the assignments (see `matching.one_to_one`). "auto" is the host for arrays on a CPU outside
            a trace, and one compiled program otherwise.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> network, x = ea.models.MLP(hidden=(4,), classes=2), jax.random.normal(jax.random.key(0), (20, 3))
        >>> a = network.init(jax.random.key(1), x)
        >>> order = {"hidden_0": jnp.array([2, 0, 3, 1])}
        >>> b = ea.symmetry.permute(ea.symmetry.infer(network.apply, a, x), a, order)
        >>> out = ea.align(network.apply, a, b, x, method=ea.alignment.Weights(restarts=2, start=ea.alignment.Mutual()))
        >>> bool((out.a["params"]["hidden_0"]["kernel"] == out.b["params"]["hidden_0"]["kernel"]).all())
        True
    """

    traced: ClassVar[str | None] = "start"
    restarts: int = 8
    start: Any = Correlation()  # a Method; anything else raises an error
    engine: str = "auto"

    def __post_init__(self) -> None:
        _checks.positive("restarts", self.restarts)
        _checks.one_of("engine", self.engine, ENGINES)
        if not isinstance(self.start, Method) or isinstance(self.start, Weights) or not self.start.bijective:
            fix = "Pass, for example, start=Correlation()."
            raise _checks.bad("start", repr(self.start), "a bijective method that compares activations", fix)

    def match(self, relation: Relation) -> Matching:
        """Raise an error: statistics of activations do not suffice."""
        fix = "It needs the parameters: use `align` or `match_weights`."
        raise _checks.bad("method", "'weights'", "a method that compares activations", fix)


NAMES: dict[str, Method] = {
    "correlation": Correlation(),
    "semi": Semi(),
    "cca": CCA(),
    "loadings": Loadings(),
    "greedy": Greedy(),
    "mutual": Mutual(),
    "weights": Weights(),
    "none": Identity(),
}
"""The methods of `align` by name, with their default settings."""


def named(method: Any) -> Method:
    """Return the method with the given name; a `Method` is returned unchanged.

    Raises:
        ValueError: for an unknown name, a class instead of its instance, and a value that is not a method.
    """
    if isinstance(method, str):
        return NAMES[_checks.one_of("method", method, NAMES)]
    if not isinstance(method, Method):
        came = f"the class {method.__name__}" if isinstance(method, type) else repr(method)[:80]
        fix = "Call the class: method=CCA(rank=64)." if isinstance(method, type) else "Inherit from alignment.Method."
        raise _checks.bad("method", came, f"a Method, or one of {', '.join(map(repr, NAMES))}", fix)
    if not type(method).__hash__:
        fix = "Make it a frozen dataclass: @dataclasses.dataclass(frozen=True)."
        raise _checks.bad("method", f"a {type(method).__name__} without a hash", "a hashable method", fix)
    return method


def bijective(argument: str, method: str | Method) -> Method:
    """Like `named`, but raise an error if the method is not bijective."""
    method = named(method)
    if not method.bijective:
        known = ", ".join(repr(name) for name, known in NAMES.items() if known.bijective)
        raise _checks.bad(argument, repr(method), "a bijective method", f"Use one of {known}.")
    return method
