"""Alignment of networks, and of trees such as masks that belong to them, with one of them before recombination."""

import dataclasses
from functools import partial

from jax.sharding import Mesh

from evojax_align import population
from evojax_align._types import Apply, PyTree
from evojax_align.alignment import Identity, Method, align_to
from evojax_align.alignment.methods import bijective
from evojax_align.symmetry import PermutationSpec, infer, permute


@dataclasses.dataclass(frozen=True)
class ParentAlignment:
    """How neurons are matched before recombination.

    Attributes:
        method: "none", or a bijective method of `align`, by name or as an instance.
        spec: the symmetry of the network; inferred by default.

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

    method: str | Method = "none"
    spec: PermutationSpec | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", bijective("alignment", self.method))

    def __bool__(self) -> bool:
        return not isinstance(self.method, Identity)

    def aligned(
        self,
        apply: Apply,
        reference: PyTree,
        networks: PyTree,
        x: PyTree,
        *companions: PyTree,
        mesh: Mesh | None = None,
    ) -> tuple:
        """Put the networks, and populations of similar trees such as masks, into the order of the reference."""
        if not self:
            return networks, *companions
        spec = self.spec or infer(apply, reference, x)
        found = align_to(apply, reference, networks, x, spec=spec, method=self.method, mesh=mesh)
        if not found.permutations:
            return networks, *companions
        moved = [population.map(partial(permute, spec), tree, found.permutations, mesh=mesh) for tree in companions]
        return found.networks, *moved
