"""Populations: pytrees whose leaves have a leading axis, and the lifting of functions of one member to them.

Every function of this library is written for one network, or for one pair. Only `map` decides how it runs over many:
vectorised on an accelerator, one after the other on a CPU (where products under `vmap` are slower:
`experiments/benchmarks/choices.py`), and distributed over the devices of a mesh.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from evojax_align import _checks, _devices
from evojax_align._memory import largest_chunk
from evojax_align._types import ArrayLike, PRNGKey, PyTree

__all__ = [
    "devices",
    "init",
    "map",
    "pairs",
    "size",
    "split",
    "spread",
    "stack",
    "take",
    "unstack",
]


def init(init_fn: Callable[[PRNGKey], PyTree], key: PRNGKey, size: int) -> PyTree:
    """Draw `size` networks, each from its own key.

    Args:
        init_fn: `init_fn(key) -> params` of one network.
        key: a random key, which is split into one key per member.
        size: number of members.

    Returns:
        A population; `take(init(f, key, n), i)` equals `f(jax.random.split(key, n)[i])`.

    Example:
        >>> import jax, evojax_align as ea
        >>> draw = lambda key: {"w": jax.random.normal(key, (2,))}
        >>> pop = ea.population.init(draw, jax.random.key(0), 3)
        >>> bool((ea.population.take(pop, 1)["w"] == draw(jax.random.split(jax.random.key(0), 3)[1])["w"]).all())
        True
    """
    key = _checks.key("key", key)
    return map(init_fn, jax.random.split(key, _checks.positive("size", size)))


def stack(members: Sequence[PyTree]) -> PyTree:
    """Put a list of networks of equal structure into one population; `unstack` is its inverse.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.population.stack([{"w": jnp.zeros(2)}, {"w": jnp.ones(2)}])["w"].tolist()
        [[0.0, 0.0], [1.0, 1.0]]
    """
    if not isinstance(members, Sequence):
        fix = "Pass a list: [params, ...]; for a dictionary list(networks.values())."
        raise _checks.bad("members", f"a {type(members).__name__}", "a list of networks", fix)
    if not members:
        raise _checks.bad("members", "an empty list", "at least one network", "Pass [params, ...].")
    for number, member in enumerate(members[1:], start=1):
        _checks.same_trees("members[0]", members[0], f"members[{number}]", member)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


def unstack(population: PyTree) -> list[PyTree]:
    """The members of a population as a list; `stack` is its inverse.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> [member["w"].tolist() for member in ea.population.unstack({"w": jnp.array([[0.0, 0.0], [1.0, 1.0]])})]
        [[0.0, 0.0], [1.0, 1.0]]
    """
    return [take(population, i) for i in range(size(population))]


def take(population: PyTree, index: int | slice | ArrayLike) -> PyTree:
    """The member at an integer index, or the smaller population at a slice or an index array.

    Raises:
        ValueError: for an integer out of range; the values of index arrays are not checked.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> pop = {"w": jnp.array([[0.0], [1.0], [2.0]])}
        >>> ea.population.take(pop, -1)["w"].tolist(), ea.population.take(pop, jnp.array([2, 0]))["w"].tolist()
        ([2.0], [[2.0], [0.0]])
    """
    if isinstance(index, int | np.integer) and not -(count := size(population)) <= index < count:
        raise _checks.bad("index", index, f"at most {count - 1}", "Number the members from 0.")
    return jax.tree.map(lambda leaf: leaf[index], population)


def size(population: PyTree) -> int:
    """The number of members: the common length of the leading axes of all leaves.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> ea.population.size({"w": jnp.zeros((5, 2, 3)), "b": jnp.zeros((5, 3))})
        5
    """
    leaves = jax.tree_util.tree_leaves_with_path(population)
    if not leaves:
        raise _checks.bad("population", "a tree without leaves", "leaves with a leading axis", "Build it with `init`.")
    _checks.arrays("population", population)
    first = jnp.shape(leaves[0][1])[:1]
    for path, leaf in leaves:
        if not jnp.shape(leaf) or jnp.shape(leaf)[:1] != first:
            if isinstance(population, list | tuple) and len({jax.tree.structure(part) for part in population}) == 1:
                came = f"a {type(population).__name__} of {len(population)} networks"
                fix = "Stack them: population.stack([a, b])."
                raise _checks.bad("population", came, "one tree whose leaves have a leading axis", fix)
            raise _checks.bad(
                "population",
                f"shape {jnp.shape(leaf)} at the leaf {_checks.path_string(path)!r}",
                f"a leading axis of length {first[0] if first else '(the number of members)'}",
                "Build the population with `init` or `stack`.",
            )
    return first[0]


def pairs(population: PyTree) -> tuple[PyTree, PyTree]:
    """Disjoint pairs of neighbours, `(0, 1), (2, 3), ...`, as two populations of half the size.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> a, b = ea.population.pairs({"w": jnp.arange(4)})
        >>> a["w"].tolist(), b["w"].tolist()
        ([0, 2], [1, 3])
    """
    count = size(population)
    if count % 2:
        raise _checks.bad("population", f"{count} members", "an even number", "Leave the last one out with `take`.")
    return take(population, slice(0, None, 2)), take(population, slice(1, None, 2))


def map(
    fn: Callable[..., PyTree],
    *populations: PyTree,
    strategy: str = "auto",
    chunk: int | Literal["auto"] | None = None,
    mesh: Mesh | None = None,
) -> PyTree:
    """Apply a function of one member to every member.

    Args:
        fn: called with one member of each population; what it closes over is shared.
        *populations: populations of equal size.
        strategy: "vmap" is the batched version, "scan" runs one member after the other; "auto" is "vmap" on an
            accelerator and "scan" on a CPU. "auto" depends on the device of the mesh, or the default device, at trace
            time; in programs that are lowered for another platform, pass the strategy.
        chunk: number of members that are vectorised in each step (with "scan", 1 by default). With "auto", it also
            applies on an accelerator, for populations that would not fit into memory at once. "auto" is the largest
            number that fits into the free memory of the device, by the compiler's estimate, which costs some
            compilations; where members run one after the other on a CPU, it is 1. Sums inside a member are rounded in
            another order in another chunk: pass a number where a run has to be repeated to the bit.
        mesh: distributes the members over the axes of this mesh; each device maps its own part as above. A
            population that does not divide evenly is padded by repeating its last member, and truncated afterwards.
            An axis named "batch" is left out: over it, `training` and `pruning.rollouts` distribute the samples of
            each batch, and `split` does so in functions of your own, such as a fitness.

    Returns:
        The results of `fn` with a leading axis; equal to `stack([fn(m) for m in unstack(population)])`.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> apply = lambda params, x: x @ params["w"]
        >>> pop, x = {"w": jnp.array([[1.0, 0.0], [0.0, 2.0]])}, jnp.array([3.0, 4.0])
        >>> ea.population.map(lambda params: apply(params, x), pop).tolist()
        [3.0, 8.0]
    """
    if not populations:
        raise _checks.bad("populations", "none", "at least one", "Call map(fn, population).")
    _checks.one_of("strategy", strategy, ("auto", "vmap", "scan"))
    if chunk is not None:
        if isinstance(chunk, str):
            _checks.one_of("chunk", chunk, ("auto",))
            if mesh is not None and len({device.process_index for device in mesh.devices.flat}) > 1:
                fix = "Pass the number that one process chose: all have to run the same program."
                raise _checks.bad("chunk", "'auto' on devices of several processes", "a number", fix)
        else:
            _checks.positive("chunk", chunk)
        if strategy == "vmap":
            raise _checks.bad("chunk", chunk, "None with strategy='vmap'", "Use strategy='scan' to run in chunks.")
    counts = [size(p) for p in populations]
    if len(set(counts)) > 1:
        raise _checks.bad("populations", f"sizes {counts}", "populations of equal size", "Shorten them with `take`.")

    def member(args: tuple[PyTree, ...]) -> PyTree:
        return fn(*args)

    def lift(args: tuple[PyTree, ...]) -> PyTree:
        side_by_side = strategy == "vmap" or (strategy == "auto" and _devices.platform(mesh) != "cpu")
        many = chunk
        if many == "auto":
            many = largest_chunk(member, args, _devices.device(mesh)) if side_by_side or strategy == "scan" else 1
        if side_by_side and (many is None or many >= size(args)):
            return jax.vmap(member)(args)
        return jax.lax.map(member, args, batch_size=None if many == 1 else many)

    return lift(populations) if mesh is None else _distributed(lift, populations, counts[0], mesh)


def devices() -> Mesh | None:
    """A mesh over all devices, for `map`; None if there is only one device.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> mesh = ea.population.devices()
        >>> ea.population.map(lambda x: x**2, jnp.arange(4.0), mesh=mesh).tolist()
        [0.0, 1.0, 4.0, 9.0]
    """
    return _devices.automatic(jax.make_mesh((len(jax.devices()),), ("members",))) if len(jax.devices()) > 1 else None


def split(samples: PyTree) -> PyTree:
    """Distribute the samples of a batch over the axis "batch" of the mesh that `map` was given; unchanged without one.

    For functions of your own; `training` and `pruning.rollouts` do this themselves.

    Args:
        samples: arrays with samples along their leading axes.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> mesh, x = jax.make_mesh((1, len(jax.devices())), ("members", "batch")), jnp.linspace(0, 1, 64)
        >>> loss = lambda slope: jnp.mean((slope * ea.population.split(x) - x) ** 2)
        >>> jax.jit(lambda slopes: ea.population.map(loss, slopes, mesh=mesh))(jnp.array([1.0, 2.0])).argmin().item()
        0
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(samples):
        if not jnp.ndim(leaf):
            came = f"a number at the leaf {_checks.path_string(path)!r}"
            raise _checks.bad("samples", came, "arrays with samples along their leading axes", "Leave it out.")
    return _devices.split(samples)


def spread(tree: PyTree, mesh: Mesh) -> PyTree:
    """Distribute the arrays of a population over devices as the results of `map` are, so that a compiled program in a
    loop gets the same shardings from the first call. A population that does not divide evenly is replicated.

    Example:
        >>> import jax, jax.numpy as jnp, evojax_align as ea
        >>> mesh = jax.make_mesh((len(jax.devices()),), ("members",))
        >>> pop = ea.population.spread({"w": jnp.zeros((mesh.size, 2))}, mesh)
        >>> pop["w"].sharding.device_set == set(jax.devices())
        True
    """
    size(tree)
    return _devices.shared_out(tree, mesh)


def _distributed(lift: Callable, populations: tuple[PyTree, ...], count: int, mesh: Mesh) -> PyTree:
    axes = _devices.member_axes(mesh)
    padding = -count % _devices.parts(mesh)
    if padding:
        index = jnp.minimum(jnp.arange(count + padding), count - 1)
        populations = take(populations, index)
    layout = {"in_specs": (PartitionSpec(axes),), "out_specs": PartitionSpec(axes), "axis_names": set(axes)}
    program = jax.shard_map(lift, mesh=_devices.automatic(mesh), check_vma=False, **layout)
    if len(axes) < len(mesh.axis_names):
        program = jax.jit(program)  # outside a program, JAX knows no arrays that lie on some axes only
    result = program(populations)
    return take(result, slice(0, count)) if padding else result
