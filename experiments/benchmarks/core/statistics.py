"""Rows of what is computed from activations: CCA, SVCCA, correlations."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import alignment, population, similarity
from experiments.benchmarks.core.measuring import Row, times
from experiments.benchmarks.core.peers import numpy_cca
from experiments.benchmarks.core.scale import Scale, images, layers, mlps, name_of
from experiments.benchmarks.core.ways import Way

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
WITH = "OPENBLAS_NUM_THREADS=1"
UNSET = times(f"ours, {WITH}", 1 / 1.2)
"""Nobody should need the variable: without it, no more than 1.2 times of the seconds that it gives."""
RATES = 198.0, 160.0
"""GFLOP/s of a core for matrix products, and of correlations beside it: what is asked for is their share."""


def single(scale: Scale) -> list[Row]:
    """CCA and SVCCA of two layers."""
    size = scale.images, scale.hidden
    what = f"of two {size[0]} x {size[1]}"
    settings = (("CCA", None, 1.5), (f"SVCCA, {scale.rank} directions,", scale.rank, 2.0))
    return [
        Row(
            f"{name} {what}",
            name,
            (
                Way("ours", partial(_cca, 1, *size, rank), _correlations),
                Way("NumPy, eigh", partial(_numpy_cca, 1, *size, rank, 0), _correlations),
            ),
            goals=(times("NumPy, eigh", at_least),),
        )
        for name, rank, at_least in settings
    ]


def pairs(scale: Scale) -> list[Row]:
    """CCA of several pairs, with and without the variable, and a process beside it."""
    size = scale.pairs, scale.compared, scale.hidden
    cores = os.cpu_count() or 1
    of_layers = (
        Way("ours", partial(_cca, *size, None), _correlations),
        Way(f"ours, {WITH}", partial(_cca, *size, None), _correlations, ONE_THREAD),
        Way("NumPy, eigh", partial(_numpy_cca, *size, None, 0), _correlations),
        Way(f"NumPy, eigh, {WITH}", partial(_numpy_cca, *size, None, 0), _correlations, ONE_THREAD),
        Way(f"NumPy, eigh, threads, {WITH}", partial(_numpy_cca, *size, None, cores), _correlations, ONE_THREAD),
    )
    aligned = tuple(Way(way.name, partial(_aligned, *size), environment=way.environment) for way in of_layers[:2])
    name = f"{scale.pairs} pairs of {name_of((scale.hidden,))}, {scale.compared} samples"
    kinds = ((f"CCA of the layers of {name}", of_layers), (f"aligning {name}, by CCA", aligned))
    return [
        Row(
            what + (", beside a busy process" if busy else ""),
            what + (", busy" if busy else ""),
            ways,
            scale.pairs,
            "pairs",
            goals=(UNSET,),
            fresh=scale.apart,
            busy=busy,
        )
        for what, ways in kinds
        for busy in (False, True)
    ]


def rates(scale: Scale) -> list[Row]:
    """Correlations beside the products of matrices that bound them."""
    size = scale.images, scale.hidden
    once = 2 * size[0] * size[1] ** 2 / 1e9
    product = Way("matrix product", partial(_product, *size))
    three = Way("three matrix products", partial(_products, *size))
    share = RATES[1] / RATES[0]
    return [
        Row(
            f"correlations of two {size[0]} x {size[1]}",
            "correlations",
            (Way("ours", partial(_correlation, *size)), product),
            once,
            "GFLOP",
            goals=(times("matrix product", share),),
        ),
        Row(
            f"correlations of two {size[0]} x {size[1]}, and those inside both",
            "moments",
            (Way("ours", partial(_moments, *size)), three),
            3 * once,
            "GFLOP",
            goals=(times("three matrix products", share),),
        ),
    ]


def _cca(count: int, samples: int, hidden: int, rank: int | None) -> Callable[[], Any]:
    both = list(zip(*jax.block_until_ready(layers(count, samples, hidden)), strict=True))

    def run() -> list[tuple[jax.Array, jax.Array, jax.Array]]:
        found = [similarity.cca(x, y, rank=rank) for x, y in both]
        return [(one.correlations, one.weights_x, one.weights_y) for one in found]

    return run


def _numpy_cca(count: int, samples: int, hidden: int, rank: int | None, threads: int) -> Callable[[], Any]:
    both = [(np.asarray(x), np.asarray(y)) for x, y in zip(*layers(count, samples, hidden), strict=True)]
    if not threads:
        return lambda: [numpy_cca(x, y, rank) for x, y in both]
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(lambda pair: numpy_cca(pair[0], pair[1], rank), both))


def _correlations(found: list[tuple[Any, Any, Any]]) -> dict[str, Any]:
    """The sum of the correlations of the first pair, so that ways can be compared by what they find."""
    return {"sum of correlations": float(np.sum(np.asarray(found[0][0])))}


def _aligned(count: int, samples: int, hidden: int) -> Callable[[], Any]:
    network, pop = mlps((hidden,), 2 * count)
    (a, b), x = population.pairs(pop), images(samples)
    method = alignment.CCA(ridge=0.0)
    return lambda: ea.align_pairs(network.apply, a, b, x, method=method).b


def _pair(samples: int, hidden: int) -> tuple[jax.Array, jax.Array]:
    x, y = layers(1, samples, hidden)
    return jax.block_until_ready((x[0], y[0]))


def _correlation(samples: int, hidden: int) -> Callable[[], Any]:
    return partial(similarity.correlation, *_pair(samples, hidden))


def _moments(samples: int, hidden: int) -> Callable[[], Any]:
    return partial(jax.jit(similarity.moments), *_pair(samples, hidden))


def _product(samples: int, hidden: int) -> Callable[[], Any]:
    return partial(_multiply, *_pair(samples, hidden))


def _products(samples: int, hidden: int) -> Callable[[], Any]:
    x, y = _pair(samples, hidden)
    return partial(jax.jit(lambda x, y: (_multiply(x, y), _multiply(x, x), _multiply(y, y))), x, y)


@jax.jit
def _multiply(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.matmul(x.T, y, precision=jax.lax.Precision.HIGHEST)
