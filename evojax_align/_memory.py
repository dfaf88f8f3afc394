"""How many members of a population fit into the memory of a device at once."""

import math
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from evojax_align import _checks
from evojax_align._types import PyTree

SHARE = 0.8
"""The part of the free memory of a device that a chunk may take; the rest is for fragments, and what runs beside it."""
LARGEST_KEY = 16
"""Bytes of a random key of JAX's largest kind."""
chosen: list[dict[str, int]] = []
"""What was chosen in this process: of how many members how many at once, their bytes, and the bytes that were free."""


def largest_chunk(fn: Callable[[Any], PyTree], args: PyTree, device: Any) -> int:
    """The largest number of members that `jax.vmap(fn)` takes at once, by the compiler's estimate of its memory.

    The program for all members is compiled, and if it is too large, smaller ones until one fits: most often two or
    three, and at most log2(members) + 2.

    Args:
        fn: a function of one member.
        args: a population, of which only shapes and types are used.
        device: its memory is used.
    """
    members = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf)[1:], jnp.result_type(leaf)), args)
    count = jnp.shape(jax.tree.leaves(args)[0])[0]
    closed, result = jax.make_jaxpr(fn, return_shape=True)(members)  # what fn closes over may be traced: its constants
    free = int(SHARE * free_bytes(device)) - count * sum(map(_bytes, jax.tree.leaves(result)))
    needs: dict[int, int] = {}

    def fits(chunk: int) -> bool:
        needs[chunk] = needs.get(chunk) or _needed(closed, jax.tree.leaves(members), chunk)
        return needs[chunk] <= max(free, 0)

    chunk, too_many = count, count + 1
    while chunk > 1 and not fits(chunk):
        chunk, too_many = max(1, min(chunk // 2, chunk * max(free, 0) // needs[chunk])), chunk
    if 1 < chunk < count:  # by the line through both, a few more may fit
        each = (needs[too_many] - needs[chunk]) / (too_many - chunk)
        more = min(too_many - 1, chunk + int((free - needs[chunk]) / max(each, 1)))
        chunk = more if more > chunk and fits(more) else chunk
    chosen.append({"members": count, "chunk": chunk, "needed": needs.get(chunk, 0), "free": free})
    return chunk


def free_bytes(device: Any) -> int:
    """The free memory of a device; of a CPU, its part of the free memory of the machine."""
    stats = device.memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    if device.platform == "cpu":
        with suppress(ValueError, AttributeError, OSError):  # not every system tells
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()
    raise _checks.bad("chunk", "'auto'", f"a number: the free memory of {device} is unknown", "Pass chunk=64.")


def _needed(closed: core.ClosedJaxpr, members: list[jax.ShapeDtypeStruct], chunk: int) -> int:
    """The bytes of a program for a chunk: its members, their results, and all between."""
    constants = [jax.ShapeDtypeStruct(jnp.shape(value), jnp.result_type(value)) for value in closed.consts]

    def program(constants: list[Any], members: list[Any]) -> Any:
        return jax.vmap(core.jaxpr_as_fun(core.ClosedJaxpr(closed.jaxpr, constants)))(*members)

    of_all = [jax.ShapeDtypeStruct((chunk, *one.shape), one.dtype) for one in members]
    found = jax.jit(program).lower(constants, of_all).compile().memory_analysis()
    if found is None:  # a backend without an estimate
        return 0
    return found.temp_size_in_bytes + found.output_size_in_bytes + sum(map(_bytes, of_all))


def _bytes(leaf: Any) -> int:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return math.prod(leaf.shape) * (LARGEST_KEY if is_key else leaf.dtype.itemsize)
