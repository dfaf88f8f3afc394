"""How arrays are laid out over the devices of a mesh, in a trace and outside."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from evojax_align import _checks
from evojax_align._types import Array, PyTree

BATCH = "batch"
"""The axis of a mesh over which the samples of a batch are distributed; members are distributed over all others."""


def automatic(mesh: Mesh) -> Mesh:
    """The same devices, with shardings that the compiler chooses and types do not mention."""
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * len(mesh.axis_names))


def device(mesh: Mesh | None) -> Any:
    """A device of this process in a mesh, or the default device."""
    if mesh is not None:
        return mesh.local_devices[0]
    default = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    return default if isinstance(default, jax.Device) else jax.local_devices(backend=default)[0]


def platform(mesh: Mesh | None) -> str:
    """The platform of a mesh, or of the default device."""
    return device(mesh).platform


def member_axes(mesh: Mesh) -> tuple[str, ...]:
    """The axes of a mesh over which members are distributed."""
    axes = tuple(name for name in mesh.axis_names if name != BATCH)
    if not axes:
        fix = f'Pass jax.make_mesh((1, {mesh.size}), ("members", "{BATCH}")).'
        raise _checks.bad("mesh", f"the axis {BATCH!r} only", "another axis, for the members", fix)
    if BATCH in mesh.axis_names and jax.__version_info__ < (0, 8):
        fix = "Upgrade JAX, or give the axis another name: members are then distributed over it."
        raise _checks.bad("mesh", f"an axis {BATCH!r} with JAX {jax.__version__}", "JAX 0.8 or newer", fix)
    return axes


def parts(mesh: Mesh) -> int:
    """The number of parts into which a mesh divides a population."""
    return math.prod(mesh.shape[name] for name in member_axes(mesh))


def split(samples: PyTree) -> PyTree:
    """Distribute the samples of a batch over the axis "batch" of the mesh that the program runs on, if it has one."""
    mesh = jax.sharding.get_abstract_mesh()
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True)) if mesh.axis_names else {}
    if kinds.get(BATCH) != AxisType.Auto:
        return samples
    return jax.lax.with_sharding_constraint(samples, NamedSharding(mesh, PartitionSpec(BATCH)))


def shared_out(tree: PyTree, mesh: Mesh) -> PyTree:
    """Distribute the leading axis of arrays over the members' axes of a mesh if it divides evenly; replicate others."""
    return _laid(tree, mesh, lambda path, leaf: jnp.shape(leaf)[0] % parts(mesh) == 0)


def laid_out(record: PyTree, mesh: Mesh | None, *shared: str) -> PyTree:
    """Distribute the named fields of a record as `shared_out` does, and replicate all others; unchanged without a mesh.

    So the layout of a state is the same before and after a step.
    """
    if mesh is None:
        return record
    return _laid(record, mesh, lambda path, leaf: path[0].name in shared and jnp.shape(leaf)[0] % parts(mesh) == 0)


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
    over = [NamedSharding(automatic(mesh), of) for of in (PartitionSpec(), PartitionSpec(member_axes(mesh)))]
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
