"""How arrays are laid out over the devices of a mesh, in a trace and outside."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from evojax_align import _checks
from evojax_align._types import Array, PyTree


def automatic(mesh: Mesh) -> Mesh:
    """The same devices, with shardings that the compiler chooses and types do not mention."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))


def shared_out(tree: PyTree, mesh: Mesh) -> PyTree:
    """Distribute the leading axis of arrays over all axes of a mesh if it divides evenly; replicate other arrays."""
    return _laid(tree, mesh, lambda path, leaf: jnp.shape(leaf)[0] % mesh.size == 0)


def laid_out(record: PyTree, mesh: Mesh | None, *shared: str) -> PyTree:
    """Distribute the named fields of a record as `shared_out` does, and replicate all others; unchanged without a mesh.

    So the layout of a state is the same before and after a step.
    """
    if mesh is None:
        return record
    return _laid(record, mesh, lambda path, leaf: path[0].name in shared and jnp.shape(leaf)[0] % mesh.size == 0)


def whole(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """Replicate arrays; unchanged without a mesh.

    So sums do not depend on the number of devices, and all selections of a step gather a population only once.
    """
    return tree if mesh is None else _laid(tree, mesh, lambda path, leaf: False)


@lru_cache(maxsize=64)
def _placed(layout: NamedSharding) -> Callable[[Array], Array]:
    """A program that gives an array this layout."""
    return jax.jit(lambda leaf: leaf, out_shardings=layout)


def _laid(tree: PyTree, mesh: Mesh, is_shared: Callable[[tuple, Array], bool]) -> PyTree:
    """Arrays with the layout that `is_shared` says.

    Outside a trace, wait for arrays of CPU devices: programs in flight with collective operations block threads of the
    client's pool, and deadlock when none are left (`experiments/benchmarks/devices.py`).
    """
    over = [NamedSharding(automatic(mesh), of) for of in (PartitionSpec(), PartitionSpec(mesh.axis_names))]
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    leaves, layout = [leaf for _, leaf in paths], [over[is_shared(path, leaf)] for path, leaf in paths]
    if not _checks.is_concrete(leaves):
        return jax.tree.unflatten(structure, jax.lax.with_sharding_constraint(leaves, layout))
    if mesh.devices.flat[0].platform == "cpu":
        jax.block_until_ready(leaves)
    if jax.process_count() > 1:  # `device_put` compares the processes' arrays, and calls two with NaN different
        leaves = [
            leaf if getattr(leaf, "sharding", None) == of else _placed(of)(leaf)
            for leaf, of in zip(leaves, layout, strict=True)
        ]
        return jax.tree.unflatten(structure, leaves)
    return jax.tree.unflatten(structure, jax.device_put(leaves, layout))
