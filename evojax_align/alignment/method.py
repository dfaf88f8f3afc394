"""The base class of methods that match neurons, and the common form of their results."""

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Bool, Float
from evojax_align.alignment.statistics import Relation
from evojax_align.matching import Matching, SemiMatching, one_to_one


class Method:
    """A method that matches the neurons of two networks. A subclass defines `scores` or `match`, both for one pair.

    Instances are static under JAX's transformations, except for the setting named by `traced`. They must be hashable,
    as frozen dataclasses are.

    Attributes:
        within: whether the method needs the covariances inside each network (`relation.moments.within_x`).
        bijective: whether every neuron has exactly one partner, so that both functions are preserved.
        traced: name of the setting whose value may be traced, or None; a new value of it compiles nothing again.
        engine: solver of the assignments (see `matching.one_to_one`).

    Example:
        >>> import dataclasses, jax, jax.numpy as jnp, evojax_align as ea
        >>> @dataclasses.dataclass(frozen=True)
        ... class Absolute(ea.alignment.Method):
        ...     def scores(self, relation):
        ...         return abs(relation.correlations)
        >>> apply = lambda p, x: (x @ p["in"]) ** 2 @ p["out"]
        >>> a = {"in": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "out": jnp.array([[1.0], [2.0]])}
        >>> b = {"in": -a["in"][:, ::-1], "out": a["out"][::-1]}
        >>> out = ea.align(apply, a, b, jax.random.normal(jax.random.key(0), (8, 2)), method=Absolute())
        >>> bool((out.a["out"] == out.b["out"]).all())
        True
    """

    within: ClassVar[bool] = False
    bijective: ClassVar[bool] = True
    traced: ClassVar[str | None] = None
    engine: Any = "auto"

    def __init_subclass__(cls) -> None:
        if cls.traced is None:
            jax.tree_util.register_static(cls)
        else:
            jax.tree_util.register_pytree_node(cls, _taken_apart, partial(_put_together, cls))

    def scores(self, relation: Relation) -> Float[Array, "p q"]:
        """Similarity of every neuron of the first network to every neuron of the second; larger is more similar."""
        raise NotImplementedError(f"{type(self).__name__} defines neither `scores` nor `match`")

    def match(self, relation: Relation) -> Matching | SemiMatching:
        """Match the neurons of one group; by default the one-to-one matching of largest total score."""
        return one_to_one(self.scores(relation), dead_x=relation.dead_x, dead_y=relation.dead_y, engine=self.engine)

    def match_outer(self, totals: Float[Array, "n n"]) -> Matching:
        """Match the neurons of an outer group, such as heads, by the total scores of the groups inside."""
        return one_to_one(totals, engine=self.engine)


def _taken_apart(method: Method) -> tuple[tuple[Any, ...], tuple[tuple[str, Any], ...]]:
    """The traced setting is a leaf unless it is the number 0: tracing may then depend on its being 0."""
    settings, traced = dict(vars(method)), str(method.traced)
    is_zero = _checks.is_concrete(settings[traced]) and settings[traced] == 0
    leaves = () if is_zero else (settings.pop(traced),)
    return leaves, tuple(settings.items())


def _put_together(cls: type[Method], settings: tuple[tuple[str, Any], ...], leaves: tuple[Any, ...]) -> Method:
    method = object.__new__(cls)  # leaves may be of any type here and are not checked again
    vars(method).update(settings, **{str(cls.traced): leaf for leaf in leaves})
    return method


def by_assignment(method: Method) -> bool:
    """Whether the match is an exact assignment of scores, which the host can solve for a whole batch at once."""
    return type(method).match is Method.match


def sides(m: Matching | SemiMatching) -> tuple[Array, Array, Bool[Array, "*batch"]]:
    """Both sides of a match, and whether it is valid."""
    return m.x, m.y, m.valid if isinstance(m, Matching) else jnp.array(True)
