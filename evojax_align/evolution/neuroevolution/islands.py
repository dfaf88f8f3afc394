"""Islands: subpopulations that breed separately and exchange members at intervals."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, Int, PyTree


@dataclasses.dataclass(frozen=True)
class Islands:
    """Subpopulations. At intervals, the best members of each island replace the worst of the next island.

    Attributes:
        count: number of islands.
        every: generations between two migrations; 0 for none.
        migrants: number of members that move from each island.
        align: whether migrants are aligned with the fittest member of their new island.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> ga = ea.evolution.Neuroevolution(size=4, elites=2, islands=ea.evolution.Islands(2, every=1), mutation=0.0)
        >>> state = ga.init(jax.random.key(0), {"w": jnp.array([1.0, 2.0, 8.0, 9.0])})
        >>> state, _ = ga.step(jax.random.key(1), state, lambda key, params: params["w"])
        >>> state.members["w"].tolist()  # on each island the best member and a migrant
        [9.0, 2.0, 9.0, 2.0]
    """

    count: int = 1
    every: int = 10
    migrants: int = 1
    align: bool = False

    def __post_init__(self) -> None:
        _checks.positive("count", self.count)
        _checks.positive("migrants", self.migrants)
        if self.every != 0:
            _checks.positive("every", self.every)

    @property
    def exchange(self) -> bool:
        """Whether there is any migration."""
        return self.count > 1 and self.every > 0

    def cut(self, tree: PyTree) -> PyTree:
        """Arrays of all members, with an axis of islands before that of members."""
        return jax.tree.map(lambda leaf: leaf.reshape(self.count, -1, *leaf.shape[1:]), tree)

    def joined(self, first: PyTree, second: PyTree) -> PyTree:
        """Two populations as one, island after island."""

        def join(p: Array, q: Array) -> Array:
            return jnp.concatenate([self.cut(p), self.cut(q)], axis=1).reshape(-1, *p.shape[1:])

        return jax.tree.map(join, first, second)

    def places(self, choose: Callable[..., Array], each: int, *parts: PyTree) -> Int[Array, "..."]:
        """Apply a selection on each island; return indices in the whole population.

        Args:
            choose: returns indices on one island.
            each: number of members of an island.
            parts: arguments of the function, with a leading axis of islands.
        """
        chosen = jax.vmap(choose)(*parts)
        first = jnp.arange(self.count, dtype=chosen.dtype) * each
        return (chosen + first.reshape(-1, *[1] * (chosen.ndim - 1))).reshape(-1, *chosen.shape[2:])

    def destination(self, size: int, generation: Int[Array, ""]) -> Int[Array, " size"]:
        """The old index of the member at each index after a possible migration. Members are sorted."""
        own = jnp.arange(size).reshape(self.count, -1)
        moved = own.at[:, -self.migrants :].set(jnp.roll(own[:, : self.migrants], 1, axis=0))
        due = (generation % self.every == 0) & (generation > 0)
        return jnp.where(due, moved, own).reshape(-1)

    def arrivals(self, size: int) -> Int[Array, " migrants"]:
        """The indices of migrants on their new islands."""
        return jnp.arange(size).reshape(self.count, -1)[:, -self.migrants :].reshape(-1)
