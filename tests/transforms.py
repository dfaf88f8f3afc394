"""Every public function under every transformation and setting of JAX: what passes, and why the rest cannot.

    python -m tests.transforms [package ...]

prints a table of functions by columns, and ends with status 1 if a cell fails. It wants two CPU devices:
`XLA_FLAGS=--xla_force_host_platform_device_count=2`.
"""

import hashlib
import sys
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.public import HOST_FUNCTIONS, calls

HOST = "host function"
DISCRETE = "draws no gradient (discrete)"
GROUPS = "needs at least one group"
NO_KEY = "no randomness"
REASONS = (HOST, DISCRETE, GROUPS, NO_KEY)
"""Why a cell need not pass; no other reason counts."""
GROUPED = ("alignment.repair", "evolution.Neuroevolution")
"""Functions that rescale a layer, or recombine aligned neurons, and refuse a network without any."""
NOT_SMOOTH = """
    crossover.block_genes crossover.layer_genes crossover.neuron_genes evolution.Padawann evolution.Recombination
    evolution.Neuroevolution
    evolution.Synthesis evolution.Wann evolution.encoding.conceive evolution.graph evolution.selection evolution.tasks
    evolution.diversity.clusters evolution.diversity.disagreement evolution.diversity.effective_alleles
    evolution.diversity.principal_components evolution.fitness matching pruning.at_random pruning.census
    pruning.connected pruning.full_masks pruning.keep_largest pruning.largest pruning.lose pruning.magnitude
    pruning.settled pruning.total pruning.answers attacks symmetry.compose symmetry.identity symmetry.inverse
    symmetry.random_permutations similarity.deflated training.step_epoch training.init population.init
""".split()
"""Functions whose results are choices, counts or ranks, draw from keys alone, or stop gradients by design."""


def concrete(args: Any, *, dtype: Any = jnp.float32) -> Any:
    """Arrays for shapes: normal numbers, orders of neurons, masks of True."""
    count = iter(range(10_000))

    def one(leaf: Any) -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            if leaf.dtype == bool:
                leaf = jnp.ones(leaf.shape, bool)
            elif jnp.issubdtype(leaf.dtype, jnp.integer):
                order = jnp.arange(leaf.shape[-1], dtype=jnp.int32) if leaf.shape else jnp.zeros((), jnp.int32)
                leaf = jnp.broadcast_to(order, leaf.shape)
            else:
                leaf = jax.random.normal(jax.random.key(next(count)), leaf.shape)
        leaf = jnp.asarray(leaf)
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(one, args)


def is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def numbers(tree: Any) -> list[np.ndarray]:
    """The results, as NumPy arrays."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in leaves]


def alike(found: Any, expected: Any, tolerance: float = 2e-3) -> None:
    """Require equal results: floats to a tolerance, and all else in nearly all entries (ties may fall otherwise)."""
    for p, q in zip(numbers(found), numbers(expected), strict=True):
        assert p.shape == q.shape, f"shapes {p.shape} and {q.shape}"
        if p.dtype.kind == "f":
            np.testing.assert_allclose(p.astype(float), q.astype(float), rtol=tolerance, atol=tolerance)
        else:
            assert p.size == 0 or np.mean(p == q) > 0.9, "other choices"


def stacked(args: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), args)


def first(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[0], tree)


def leaves_of(fn: Callable) -> Callable:
    """The function, with the leaves of its result alone: records may hold what is no array."""
    return lambda *args: jax.tree.leaves(fn(*args))


def by_jit(fn: Callable, args: Any, expected: Any) -> None:
    alike(jax.jit(fn)(*args), expected)


def by_vmap(fn: Callable, args: Any, expected: Any) -> None:
    if args:
        alike(first(jax.vmap(fn)(*stacked(args))), expected)


def by_scan(fn: Callable, args: Any, expected: Any) -> None:
    if args:
        alike(first(jax.lax.scan(lambda carry, one: (carry, fn(*one)), 0, stacked(args))[1]), expected)


def by_shard_map(fn: Callable, args: Any, expected: Any) -> None:
    if not args:
        return
    mesh, spec = jax.make_mesh((2,), ("two",), axis_types=(AxisType.Auto,)), PartitionSpec("two")
    rows = jax.shard_map(
        lambda args: jax.lax.map(lambda one: fn(*one), args), mesh=mesh, in_specs=(spec,), out_specs=spec
    )
    alike(first(rows(stacked(args))), expected)


def on_mesh(kind: AxisType, fn: Callable, args: Any, expected: Any) -> None:
    """Arguments that lie on both devices, on a mesh that types mention or not."""
    mesh = jax.make_mesh((2,), ("two",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        placed = jax.tree.map(lambda leaf: jax.device_put(leaf, NamedSharding(mesh, PartitionSpec())), args)
        alike(jax.jit(fn)(*placed), expected)


def by_grad(fn: Callable, args: Any, expected: Any) -> None:
    leaves, tree = jax.tree.flatten(args)
    real = [n for n, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def total(values: list) -> Any:
        given = dict(zip(real, values, strict=True))
        out = fn(*tree.unflatten([given.get(n, leaf) for n, leaf in enumerate(leaves)]))
        return sum(jnp.sum(leaf) for leaf in out if jnp.issubdtype(jnp.result_type(leaf), jnp.floating))

    found = jax.grad(total)([leaves[n] for n in real])
    assert all(np.isfinite(of).all() for of in numbers(found)), "a gradient that is not finite"


def in_64_bits(fn: Callable, args: Any, expected: Any) -> None:
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fn(*concrete(args, dtype=jnp.float64))
        if any(map(is_key, jax.tree.leaves(args))):  # random numbers of 64 bits are others
            assert [of.shape for of in numbers(found)] == [of.shape for of in numbers(expected)]
        else:
            alike(found, expected)


def in_16_bits(fn: Callable, args: Any, expected: Any) -> None:
    found = fn(*concrete(args, dtype=jnp.bfloat16))
    for p, q in zip(numbers(found), numbers(expected), strict=True):
        assert p.shape == q.shape, f"shapes {p.shape} and {q.shape}"


def watched_for_nan(fn: Callable, args: Any, expected: Any) -> None:
    with jax.debug_nans(True):
        alike(jax.jit(fn)(*args), expected)


def with_a_legacy_key(fn: Callable, args: Any, expected: Any) -> None:
    alike(fn(*jax.tree.map(lambda leaf: jax.random.key_data(leaf) if is_key(leaf) else leaf, args)), expected, 1e-6)


def with_layers(hidden: tuple[int, ...], name: str) -> None:
    fn, args = calls(hidden)[name]
    numbers(fn(*concrete(args)))


COLUMNS = {
    "jit": by_jit,
    "vmap": by_vmap,
    "scan": by_scan,
    "shard_map": by_shard_map,
    "explicit mesh": partial(on_mesh, AxisType.Explicit),
    "auto mesh": partial(on_mesh, AxisType.Auto),
    "grad": by_grad,
    "x64": in_64_bits,
    "bfloat16": in_16_bits,
    "debug_nans": watched_for_nan,
    "legacy key": with_a_legacy_key,
    "width 1": (1,),
    "no groups": (),
}


def why_not(name: str, column: str, args: Any) -> str | None:
    """Why a cell need not pass."""
    plain = name.partition(",")[0]
    leaves = jax.tree.leaves(args)
    if column == "grad" and plain.startswith(tuple(NOT_SMOOTH)):
        return DISCRETE
    if column == "grad":
        both = leaves, jax.eval_shape(leaves_of(calls()[name][0]), *args)
        if not all(any(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in side) for side in both):
            return DISCRETE
    if column in ("width 1", "no groups") and plain in GROUPED:
        return GROUPS
    if column == "legacy key" and not any(map(is_key, leaves)):
        return NO_KEY
    return None


def cell(name: str, column: str) -> str:
    """ "passes", a reason, or what failed."""
    fn, args = calls()[name]
    args = concrete(args)
    reason = why_not(name, column, args)
    if reason is not None:
        return reason
    try:
        check = COLUMNS[column]
        if isinstance(check, tuple):
            with_layers(check, name)
        else:
            fn = leaves_of(fn)
            check(fn, args, fn(*args))
    except Exception as error:  # every cell is reported, not the first that fails alone
        return f"FAILS: {type(error).__name__}: {str(error).strip()[:300]}"
    return "passes"


def digests() -> dict[str, str]:
    """A digest of every function's results, to compare processes."""
    found = {}
    for name, (fn, args) in calls().items():
        content = b"".join(array.tobytes() for array in numbers(fn(*concrete(args))))
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def table(packages: list[str]) -> dict[str, dict[str, str]]:
    """Cells by function and column."""
    names = [name for name in calls() if not packages or name.partition(".")[0] in packages]
    found = {}
    for number, name in enumerate(names, start=1):
        print(f"{number}/{len(names)} {name}", file=sys.stderr, flush=True)
        found[name] = {column: cell(name, column) for column in COLUMNS}
        jax.clear_caches()
    return found


def main() -> int:
    """Print the table, and every failure."""
    if sys.argv[1:] == ["--digests"]:
        for name, digest in digests().items():
            print(name, digest)
        return 0
    cells = table(sys.argv[1:])
    counts: dict[str, int] = {}
    for name, of_function in cells.items():
        marks = [
            "." if value == "passes" else "F" if value.startswith("FAILS") else str(REASONS.index(value))
            for value in of_function.values()
        ]
        print(f"{name:<50} {'  '.join(marks)}")
        for value in of_function.values():
            key = "fails" if value.startswith("FAILS") else value
            counts[key] = counts.get(key, 0) + 1
    if not sys.argv[1:]:
        for name, why in HOST_FUNCTIONS.items():
            print(f"{name:<50} {HOST}: {why}")
    print("columns:", ", ".join(COLUMNS))
    print("marks: . passes, F fails,", ", ".join(f"{n} {reason}" for n, reason in enumerate(REASONS)))
    print("cells:", ", ".join(f"{count} {key}" for key, count in sorted(counts.items())))
    for name, of_function in cells.items():
        for column, value in of_function.items():
            if value.startswith("FAILS"):
                print(f"{name} / {column}: {value}")
    return 1 if counts.get("fails") else 0


if __name__ == "__main__":
    sys.exit(main())
