"""Rows of what `align` and CCA cost at several sizes; the exponents are fitted, and ours alone is measured."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

import evojax_align as ea
from evojax_align import alignment, population, similarity
from experiments.benchmarks.core.measuring import Row
from experiments.benchmarks.core.scale import Scale, images, layers, mlps
from experiments.benchmarks.core.ways import Way


def costs(scale: Scale) -> list[Row]:
    """Against width, pairs, samples; layers are among the rows of weight matching."""
    width, few = scale.hidden, scale.compared
    align = {
        "width": [(f"{w} neurons", w, partial(_align, w, few, 1)) for w in scale.widths],
        "pairs": [(f"{n} pairs", n, partial(_align, width, few, n)) for n in scale.counts],
        "samples": [(f"{n} samples", n, partial(_align, width, n, 1)) for n in scale.samples],
    }
    cca = {
        "width": [(f"{w} neurons", w, partial(_cca, w, 2 * max(scale.widths))) for w in scale.widths],
        "samples": [(f"{n} samples", n, partial(_cca, min(scale.widths), n)) for n in scale.samples],
    }
    depth = [(f"{n} layers", n, partial(_deep, n, scale.chain, few)) for n in scale.layers]
    kinds = [(f"cost of align against {what}", ways) for what, ways in align.items()]
    kinds += [("cost of align against layers", depth)]
    kinds += [(f"cost of CCA against {what}", ways) for what, ways in cca.items()]
    return [
        Row(
            name,
            name,
            tuple(Way(of_size, prepare) for of_size, _, prepare in ways),
            sizes=tuple(float(size) for _, size, _ in ways),
        )
        for name, ways in kinds
    ]


def _align(hidden: int, samples: int, pairs: int) -> Callable[[], Any]:
    network, pop = mlps((hidden,), 2 * pairs)
    (a, b), x = population.pairs(pop), images(samples)
    return lambda: ea.align_pairs(network.apply, a, b, x, method=alignment.Correlation()).b


def _deep(length: int, width: int, samples: int) -> Callable[[], Any]:
    network, pop = mlps((width,) * length, 2)
    (a, b), x = population.unstack(pop), images(samples)
    return lambda: ea.align(network.apply, a, b, x).b


def _cca(hidden: int, samples: int) -> Callable[[], Any]:
    x, y = jax.block_until_ready(layers(1, samples, hidden))
    return lambda: similarity.cca(x[0], y[0]).correlations
