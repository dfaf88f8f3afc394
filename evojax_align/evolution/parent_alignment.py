"""Bringing networks, and what belongs to their weights, into the order of one of them before they mate."""

import dataclasses
from functools import partial

from evojax_align import population
from evojax_align._types import Apply, PyTree
from evojax_align.alignment import Settings, align_to
from evojax_align.symmetry import PermutationSpec, infer, permute


@dataclasses.dataclass(frozen=True)
class ParentAlignment:
    """How neurons are matched: "none", or a bijective method of `align` and what it takes.

    Attributes:
        method: "none", or the name of a bijective method of `align`.
        rank: of the method, where it takes one.
        ridge: of the method, where it takes one.
        spec: the symmetry of the network, if it is known already.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> x, network = jax.random.normal(jax.random.key(0), (20, 3)), ea.models.MLP(hidden=(4,), classes=2)
        >>> params = network.init(jax.random.key(1), x)
        >>> spec = ea.symmetry.infer(network.apply, params, x)
        >>> shuffled = ea.symmetry.permute(spec, params, {"hidden_0": jnp.array([2, 0, 3, 1])})
        >>> align = ea.evolution.ParentAlignment("correlation", spec=spec).aligned
        >>> (found,) = align(network.apply, params, ea.population.stack([shuffled]), x)
        >>> bool((found["params"]["hidden_0"]["kernel"][0] == params["params"]["hidden_0"]["kernel"]).all())
        True
    """

    method: str = "none"
    rank: int | None = None
    ridge: float = 0.0
    spec: PermutationSpec | None = None

    def __post_init__(self) -> None:
        Settings(self.method, self.rank, self.ridge)  # refuses what the method does not take

    def __bool__(self) -> bool:
        return self.method != "none"

    def aligned(self, apply: Apply, reference: PyTree, networks: PyTree, x: PyTree, *companions: PyTree) -> tuple:
        """The networks, and populations of trees like them such as masks, in the order of the reference."""
        if not self:
            return networks, *companions
        spec = self.spec or infer(apply, reference, x)
        settings = {"method": self.method, "rank": self.rank, "ridge": self.ridge}
        found = align_to(apply, reference, networks, x, spec=spec, **settings)
        if not found.permutations:
            return networks, *companions
        moved = [population.map(partial(permute, spec), tree, found.permutations) for tree in companions]
        return found.networks, *moved
