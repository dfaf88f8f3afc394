"""Rows of weight matching, against the algorithm of Git Re-Basin."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from evojax_align import alignment, population, symmetry
from evojax_align._tree import leaves_by_path
from experiments.benchmarks.core import rebasin
from experiments.benchmarks.core.measuring import Goal, Row, first, repeat, times
from experiments.benchmarks.core.scale import Scale, images, mlps, name_of, resnets
from experiments.benchmarks.core.ways import Way

PEERS = {"Git Re-Basin, NumPy": np, "Git Re-Basin, JAX": jnp}
FLAT = 1.0
"""The exponent of a time in the number of layers, if each takes as long as the others."""

Pair = tuple[symmetry.PermutationSpec, Any, Any]


def networks(scale: Scale) -> list[Row]:
    """Of a residual and of fully connected networks; ours and both peers climb from the same first order."""
    narrow, wide = ((width,) * 3 for width in scale.deep)
    resnet = f"ResNet{6 * scale.resnet[1] + 2}, width {scale.resnet[0]}"
    residual = partial(_residual, scale)
    kinds = (
        (resnet, residual, 1, 3.0, 0.09),
        (resnet, residual, scale.restarts, 4.8, 0.5),
        (name_of(narrow), partial(_connected, narrow), scale.restarts, 1.5, 0.3),
        (name_of(wide), partial(_connected, wide), 1, 4.0, 3.0),
    )
    return [
        Row(
            f"weight matching of {name}, {starts} start{'s' * (starts > 1)}",
            f"weights, {name}",
            (
                Way("ours", partial(_ours, pair, starts), partial(_total, pair)),
                *(Way(peer, partial(_peer, pair, starts, peer), partial(_total, pair)) for peer in PEERS),
            ),
            starts,
            "starts",
            goals=(
                first(at_first),
                repeat(later),
                *(times(p, 1.0, kind) for p in PEERS for kind in ("first", "repeat")),
            ),
            fresh=scale.apart,
            starts=scale.starts,
        )
        for name, pair, starts, at_first, later in kinds
    ]


def chains(scale: Scale) -> list[Row]:
    """Of chains of dense layers, whose length should not change what a layer costs."""
    ways = tuple(
        Way(
            f"{length} layers",
            partial(_ours, partial(_connected, (scale.chain,) * length), 1),
            partial(_by_layer, length),
        )
        for length in scale.layers
    )
    goals = (Goal("exponent of the first call in layers", ("exponents", "first"), FLAT),)
    name = f"weight matching of chains of layers of {scale.chain}"
    settings: dict[str, Any] = {
        "fresh": scale.apart,
        "starts": min(scale.starts, 2),
        "sizes": tuple(map(float, scale.layers)),
    }
    return [Row(name, "chains", ways, goals=goals, **settings)]


def _residual(scale: Scale) -> Pair:
    network, (a, b), x = resnets(scale)
    return symmetry.infer(network.apply, a, x[:1]), a, b


def _connected(hidden: Sequence[int]) -> Pair:
    network, pop = mlps(hidden, 2)
    a, b = population.unstack(pop)
    return symmetry.infer(network.apply, a, images(1)), a, b


def _ours(pair: Callable[[], Pair], starts: int) -> Callable[[], Any]:
    spec, a, b = pair()
    return lambda: alignment.match_weights(spec, a, b, {}, restarts=starts)


def _peer(pair: Callable[[], Pair], starts: int, peer: str) -> Callable[[], Any]:
    axes, *sides = _leaves(pair())
    numbers = PEERS[peer]
    a, b = ({path: numbers.asarray(leaf) for path, leaf in side.items()} for side in sides)
    return lambda: rebasin.match(axes, a, b, starts=starts, numbers=numbers)


def _total(pair: Callable[[], Pair], orders: Any) -> dict[str, Any]:
    """The total inner product that the orders reach, in float64."""
    axes, *sides = _leaves(pair())
    a, b = ({path: leaf.astype(np.float64) for path, leaf in side.items()} for side in sides)
    orders = {group: np.asarray(order) for group, order in orders.items()}
    return {"total": rebasin.total(axes, a, b, orders, np)}


def _leaves(pair: Pair) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The group of every axis, and the leaves of both networks."""
    spec, *sides = pair
    a, b = ({path: np.asarray(leaf) for path, leaf in leaves_by_path(side).items()} for side in sides)
    return {path: spec.axes[path] for path in a}, a, b


def _by_layer(layers: int, orders: Any) -> dict[str, Any]:
    return {"layers": layers}
