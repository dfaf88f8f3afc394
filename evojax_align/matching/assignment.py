"""The one-to-one matching of largest total score: exact, on the host or inside a compiled program.

On a CPU, the host's solver (scipy) is several times faster than one inside a compiled program, except for the smallest
matchings, where a callback costs more than it saves (`experiments/benchmarks/choices.py`). So CPU programs solve those
themselves and call back to the host for all others, which it solves in a pool of threads over a batch. Programs for
other platforms solve every matching themselves. Before a large matching, an auction finds prices that reduce the work
of the solver.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from evojax_align import _checks, population
from evojax_align._types import Array, Bool, Float, Int
from evojax_align.matching.records import (
    Injection,
    Matching,
    are_numbers,
    below,
    check_dead,
    check_scores,
    checked,
    cleaned,
    numbers_chosen,
    refuse_unknown,
)

ENGINES = ("auto", "host", "compiled")
SMALL = 16
"""Up to this many neurons, a compiled program solves the matching itself."""
LARGE = 512
"""From this many neurons on, an auction precedes the host's solver."""
BIDS = 12
"""Largest number of bids of an auction for each row."""


def one_to_one(
    scores: Float[Array, "*batch p p"],
    dead_x: Bool[Array, "*batch p"] | None = None,
    dead_y: Bool[Array, "*batch p"] | None = None,
    *,
    engine: str = "auto",
) -> Matching:
    """The bijection of largest total score (Uriot & Izzo 2020, section 4.2).

    Args:
        scores: scores of all pairs; larger is more similar. Leading axes are a batch, which the host solves in a pool
            of threads. Infinities count as the extreme finite scores. NaN counts as a score so low that such a pair is
            chosen only if no exchange of two partners avoids it. Among matchings of equal total, an engine always
            returns the same.
        dead_x: mask of dead neurons. Dead neurons of both sides are paired with each other in index order, as many as
            both sides have, so that none of them takes a live neuron's partner.
        dead_y: likewise.
        engine: "host" is scipy's solver, through a callback under a trace (JAX does not keep programs with callbacks in
            its compilation cache); "compiled" is the same algorithm on the device (shortest augmenting paths, Crouse
            2016); "auto" is the host outside a trace. Under a trace, "auto" is "compiled", except in programs for a CPU
            with more than 16 neurons and a single device: callbacks of programs that run on several devices of one
            machine can deadlock.

    Returns:
        A `Matching` with `m.x = arange(p)`; for a batch, with its leading axes.

    Raises:
        ValueError: for scores that are empty or not square, masks of another length, an unknown engine, and chosen
            pairs with the score NaN. Under a trace, the last raises no error, and `valid` is False.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> m = ea.matching.one_to_one(jnp.array([[0.9, 0.8], [0.8, 0.1]]))
        >>> m.x.tolist(), m.y.tolist()
        ([0, 1], [1, 0])
    """
    *batch, p, q = jnp.shape(scores) if jnp.ndim(scores) >= 2 else (0, 0)
    check_scores((p, q) if jnp.ndim(scores) >= 2 else jnp.shape(scores), square=True)
    _checks.one_of("engine", engine, ENGINES)
    check_dead("dead_x", dead_x, *batch, p)
    check_dead("dead_y", dead_y, *batch, p)
    if engine != "compiled" and _checks.is_concrete(scores, dead_x, dead_y):
        masks = (None if dead is None else np.asarray(dead, bool) for dead in (dead_x, dead_y))
        return _exact(np.asarray(scores), *masks)
    prepared = prepare(scores, dead_x, dead_y, leading=len(batch))
    if engine == "auto":
        y = _automatic(prepared)
    else:
        y = _compiled(prepared) if engine == "compiled" else _on_host(prepared)
    x = jnp.broadcast_to(jnp.arange(p, dtype=jnp.int32), y.shape)
    return checked(x, y, numbers_chosen(scores, x, y, dead_x, dead_y))


def _exact(scores: np.ndarray, dead_x: np.ndarray | None, dead_y: np.ndarray | None) -> Matching:
    """The host's solution, entirely in NumPy, without compilation."""
    *batch, p, _ = scores.shape
    prepared = scores.astype(jnp.promote_types(scores.dtype, np.float32))
    is_plain = (dead_x is None or dead_y is None) and np.isfinite(prepared).all()
    if not is_plain:
        for one in np.ndindex(*batch):
            of_x, of_y = (None if dead is None else dead[one] for dead in (dead_x, dead_y))
            prepared[one] = settled(scores[one], of_x, of_y, np)
    y = solve(prepared)
    x = np.array(np.broadcast_to(np.arange(p, dtype=np.int32), y.shape))
    known = np.ones(batch, bool) if is_plain else np.asarray(are_numbers(scores, x, y, dead_x, dead_y, np))
    refuse_unknown(known, "scores")
    return Matching(*jax.device_put((x, y, known)))


def injective(
    scores: Float[Array, "p q"],
    *,
    dead_x: Bool[Array, " p"] | None = None,
    dead_y: Bool[Array, " q"] | None = None,
) -> Injection:
    """The one-to-one matching of largest total score that gives every neuron of the narrower side a partner.

    Solved by the host outside a trace, and under a trace as in `one_to_one` with `engine="auto"`.

    Args:
        scores: scores of all pairs; larger is more similar. Infinities and NaN as in `one_to_one`.
        dead_x: mask of dead neurons, as in `one_to_one`.
        dead_y: likewise.

    Returns:
        An `Injection` in the order of the narrower side: `m.x = arange(p)` if p <= q, and `m.y = arange(q)` otherwise.
        For p = q it is the bijection of `one_to_one`.

    Raises:
        ValueError: for empty scores, and masks of another length.

    Example:
        >>> import jax.numpy as jnp, evojax_align as ea
        >>> m = ea.matching.injective(jnp.array([[0.9, 0.8, 0.1], [0.8, 0.1, 0.3]]))
        >>> m.x.tolist(), m.y.tolist()
        ([0, 1], [1, 0])
    """
    check_scores(jnp.shape(scores), square=False)
    p, q = jnp.shape(scores)
    check_dead("dead_x", dead_x, p)
    check_dead("dead_y", dead_y, q)
    prepared = prepare(scores, dead_x, dead_y)
    narrow = jnp.arange(min(p, q), dtype=jnp.int32)
    x, y = (narrow, _automatic(prepared)) if p <= q else (_automatic(prepared.T), narrow)
    refuse_unknown(numbers_chosen(scores, x, y, dead_x, dead_y), "scores")
    return Injection(x=x, y=y)


@partial(jax.jit, static_argnames="leading")
def prepare(scores: Array, dead_x: Array | None, dead_y: Array | None, *, leading: int = 0) -> Array:
    """Finite scores with which dead neurons of both sides are paired with each other, in index order."""
    if leading:
        return jax.vmap(partial(prepare, leading=leading - 1))(scores, dead_x, dead_y)
    return settled(jax.lax.stop_gradient(scores), dead_x, dead_y, jnp)  # indices have no gradient


def settled(scores: Any, dead_x: Any, dead_y: Any, numbers: Any) -> Any:
    """Like `prepare`, for one pair, with the module of the arrays."""
    scores = cleaned(scores, numbers)
    if dead_x is None or dead_y is None:
        return scores
    both = numbers.minimum(numbers.sum(dead_x), numbers.sum(dead_y))
    order_x, order_y = (numbers.where(dead, numbers.cumsum(dead), 0) for dead in (dead_x, dead_y))
    order_x, order_y = (numbers.where(order <= both, order, 0) for order in (order_x, order_y))
    paired = (order_x > 0)[:, None] | (order_y > 0)[None, :]
    partners = order_x[:, None] == order_y[None, :]
    lowest, highest = numbers.min(scores), numbers.max(scores)
    return numbers.where(paired, numbers.where(partners, highest, below(lowest, highest)), scores)


def _automatic(scores: Float[Array, "*batch p q"]) -> Int[Array, "*batch p"]:
    """The column of every row: by the host for concrete values, and under a trace depending on the platform."""
    if _checks.is_concrete(scores):
        return _on_host(scores)
    if scores.shape[-1] <= SMALL or jax.local_device_count() > 1:
        return _compiled(scores)
    return jax.lax.platform_dependent(scores, cpu=_on_host, default=_compiled)


@jax.jit
def _compiled(scores: Float[Array, "*batch p q"]) -> Int[Array, "*batch p"]:
    """Like `solve`, for no more rows than columns."""
    if scores.ndim > 2:
        return population.map(_compiled, scores)
    costs = -scores
    nobody = jnp.asarray(-1, jnp.int32)
    # carries of loops are computed from the scores, so that under `shard_map` they vary over devices as these do
    no_row, no_column = ((axis * 0).astype(jnp.int32) - 1 for axis in (costs[0], costs[:, 0]))

    def assign(row: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """Assign a column to one more row, along the path of least reduced cost to a free column."""
        of_rows, of_columns, row_of, column_of = state

        def look(path: tuple[Array, ...]) -> tuple[Array, ...]:
            at, least, shortest, back, seen, _ = path
            reached = least + costs[at] - of_rows[at] - of_columns
            better = ~seen & (reached < shortest)
            shortest, back = jnp.where(better, reached, shortest), jnp.where(better, at, back)
            column = jnp.argmin(jnp.where(seen, jnp.inf, shortest)).astype(jnp.int32)
            at, seen = row_of[column], seen.at[column].set(True)
            return at, shortest[column], shortest, back, seen, column

        start = row + 0 * no_row[0], costs[0, 0] * 0, costs[0] * 0 + jnp.inf, no_row, no_row > 0, no_row[0]

        def goes_on(path: tuple[Array, ...]) -> Array:
            """In a batch, a member without rows left still runs, and would never find a free column."""
            return (path[0] != nobody) & ~path[4].all()

        _, least, shortest, back, seen, last = jax.lax.while_loop(goes_on, look, start)
        gained = jnp.where(seen, least - shortest, 0)
        of_columns = of_columns - gained
        of_rows = of_rows.at[jnp.where(seen & (row_of >= 0), row_of, costs.shape[0])].add(gained, mode="drop")
        of_rows = of_rows.at[row].add(least)

        def turn(found: tuple[Array, ...]) -> tuple[Array, ...]:
            column, row_of, column_of, _ = found
            at = back[column]
            return column_of[at], row_of.at[column].set(at), column_of.at[at].set(column), at

        start = last, row_of, column_of, no_row[0]
        _, row_of, column_of, _ = jax.lax.while_loop(lambda found: found[3] != row, turn, start)
        return of_rows, of_columns, row_of, column_of

    # each row starts with the column of its least cost unless another row has it; the others follow one by one
    rows, least = jnp.arange(costs.shape[0], dtype=jnp.int32), jnp.argmin(costs, axis=1)
    row_of = no_row.at[least].max(rows)
    column_of = jnp.where(row_of[least] == rows, least.astype(jnp.int32), no_column)
    free = jnp.argsort(column_of >= 0).astype(jnp.int32)
    state = jnp.min(costs, axis=1), costs[0] * 0, row_of, column_of
    return jax.lax.fori_loop(0, jnp.sum(column_of < 0), lambda number, state: assign(free[number], state), state)[3]


def _on_host(scores: Float[Array, "*batch p q"]) -> Int[Array, "*batch p"]:
    if _checks.is_concrete(scores):
        return jnp.asarray(solve(np.asarray(scores)))
    result = jax.ShapeDtypeStruct(scores.shape[:-1], jnp.int32)
    return jax.pure_callback(lambda s: solve(np.asarray(s)), result, scores, vmap_method="expand_dims")


def solve(scores: np.ndarray) -> np.ndarray:
    """The column of every row, for no more rows than columns, and any number of leading batch axes."""
    flat = scores.reshape(-1, *scores.shape[-2:])
    if len(flat) == 1:
        columns = [_columns(flat[0])]
    else:
        with ThreadPoolExecutor(min(len(flat), os.cpu_count() or 1)) as pool:  # scipy releases the interpreter lock
            columns = list(pool.map(_columns, flat))
    return np.stack(columns).astype(np.int32).reshape(scores.shape[:-1])


def _columns(scores: np.ndarray) -> np.ndarray:
    """The column of every row. Subtracting a price from every column does not change the best bijection, and good
    prices reduce the work of the solver: most rows then have their largest scores in different columns."""
    if scores.shape[0] == scores.shape[1] >= LARGE:
        scores = scores.astype(np.float64) - _prices(scores)
    return scipy.optimize.linear_sum_assignment(scores, maximize=True)[1]


def _prices(scores: np.ndarray) -> np.ndarray:
    """Prices of the columns by an auction (Bertsekas 1988), which ends when 99 in 100 rows have a column.

    All rows without a column bid at once, each for its most valuable column, so much that this column's value falls
    slightly below the value of its second best. All prices are 0 if the auction takes too long, as for many equal
    scores.
    """
    count = scores.shape[0]
    prices, step, bids = np.zeros(count, scores.dtype), None, 0
    owner, free = np.full(count, -1), np.arange(count)
    while free.size > count // 100:
        bids += free.size
        if bids > BIDS * count:
            return np.zeros_like(prices)
        worth, each = scores[free] - prices, np.arange(free.size)
        column = worth.argmax(axis=1)
        most = worth[each, column]
        worth[each, column] = -np.inf
        margin = most - worth.max(axis=1)
        step = 0.2 * np.median(margin) if step is None else step
        offer = prices[column] + margin + step
        rising, highest = np.argsort(offer), np.full(count, -1)
        highest[column[rising]] = rising  # among several bids for one column, the last one written is the highest
        sold = np.flatnonzero(highest >= 0)
        winner = highest[sold]
        outbid = owner[sold]
        owner[sold], prices[sold] = free[winner], offer[winner]
        free = np.concatenate([np.delete(free, winner), outbid[outbid >= 0]])
    return prices
