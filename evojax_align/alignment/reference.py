"""A whole population in the order of one network."""

from flax import struct
from jax.sharding import Mesh

from evojax_align import _checks, population
from evojax_align._types import Apply, Array, Int, PyTree
from evojax_align.alignment.align import align
from evojax_align.alignment.stages import METHODS
from evojax_align.symmetry import PermutationSpec, compose, infer, inverse, permute


@struct.dataclass
class Ordered:
    """Networks whose neurons stand where those of the reference stand that they correspond to.

    Attributes:
        networks: the population.
        permutations: for each group and network, the old index of the neuron at each place, as `symmetry.permute` takes
            it.
    """

    networks: PyTree
    permutations: dict[str, Int[Array, "networks ..."]]


def align_to(
    apply: Apply,
    reference: PyTree,
    networks: PyTree,
    x: PyTree,
    *,
    method: str = "correlation",
    rank: int | None = None,
    ridge: float | Array = 0.0,
    engine: str = "auto",
    spec: PermutationSpec | None = None,
    mesh: Mesh | None = None,
) -> Ordered:
    """Bring every network of a population into the order of one, which stays as it is.

    Can be jitted; `align_many` finds an order that suits all of them better, on the host.

    Args:
        apply: the network.
        reference: parameters of the network whose order all take.
        networks: a population; it may hold the reference.
        x: inputs on which neurons are compared.
        method: a bijective method of `align`. One that gives both networks a new order, as "cca" does, is followed by
            what gives the reference its own order back.
        rank: as in `align`.
        ridge: as in `align`.
        engine: as in `align`.
        spec: the symmetry, if it is known already.
        mesh: shares the networks out over its devices (see `population.map`).

    Returns:
        An `Ordered`; every network computes the function that it did before.

    Raises:
        ValueError: for a method that is no bijection, and as `align`.
    """
    _checks.one_of("method", method, [name for name, kind in METHODS.items() if kind.bijective])
    known = spec or infer(apply, reference, x)

    def one(network: PyTree) -> Ordered:
        out = align(apply, reference, network, x, method=method, rank=rank, ridge=ridge, engine=engine, spec=known)
        order = compose(known, out.permutations_b, inverse(known, out.permutations_a))
        return Ordered(permute(known, network, order), order)

    return population.map(one, networks, mesh=mesh)
