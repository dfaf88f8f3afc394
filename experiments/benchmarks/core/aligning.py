"""Rows of `align`: the first call of a process, with and without its check, a large network, and many pairs."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import population, symmetry
from evojax_align.symmetry.checking import ensure_symmetry
from experiments.benchmarks.core.measuring import Goal, Row, first
from experiments.benchmarks.core.scale import Scale, images, mlps, name_of, resnets
from experiments.benchmarks.core.ways import Way
from experiments.benchmarks.networks import plain

NETWORKS = 3
"""As many networks as may be held beside the two that are aligned."""

Problem = tuple[Any, Any, Any, Any]
"""`apply`, two sets of parameters, and inputs."""


def first_calls(scale: Scale) -> list[Row]:
    """Each part in a fresh process; the network alone is what the check has to compile at least."""
    resnet = f"ResNet{6 * scale.resnet[1] + 2}, width {scale.resnet[0]}"
    name = name_of((scale.hidden,))
    kinds = (
        (name, partial(_connected, scale.hidden, scale.compared), (first(1.0),)),
        (resnet, partial(_residual, scale), (first(1.5, "verification alone"),)),
    )
    return [
        Row(
            f"aligning {name} by correlation, first call",
            f"first call, {name}",
            _parts(problem),
            goals=goals,
            fresh=scale.apart,
            starts=scale.starts,
        )
        for name, problem, goals in kinds
    ]


def large(scale: Scale) -> list[Row]:
    """A network of the shape of GPT-2, one part at a time, so that each has the memory for itself."""
    sizes = [
        math.prod(shape) for shape in jax.tree.leaves(_gpt_shapes(scale), is_leaf=lambda leaf: isinstance(leaf, tuple))
    ]
    memory = Goal("peak beside the inputs, bytes", ("ways", "ours", "first_peak_bytes"), NETWORKS * 4 * sum(sizes))
    ours, *others = _parts(partial(_gpt, scale))
    name = f"aligning GPT-2's shape, {sum(sizes) / 1e6:.1f}M parameters, by correlation"
    rows = [Row(f"{name}, with verification", "gpt", (ours,), goals=(first(10.0), memory), fresh=scale.apart)]
    return rows + [Row(f"{name}: {way.name}", f"gpt, {way.name}", (way,), fresh=scale.apart) for way in others]


def many(scale: Scale) -> list[Row]:
    """Pairs in one call, beside a loop, which must not trace the network again."""
    ways = (
        Way("ours", partial(_pairs, scale.hidden, scale.compared, scale.many)),
        Way("loop of align", partial(_loop, scale.hidden, scale.compared, scale.many), _traces),
    )
    name = f"aligning {scale.many} pairs of {name_of((scale.hidden,))}, {scale.compared} samples"
    goal = Goal("traces after the first pair", ("ways", "loop of align", "traces"), 0)
    return [Row(name, "many pairs", ways, scale.many, "pairs", goals=(goal,))]


def inference(scale: Scale) -> list[Row]:
    """The symmetry of both networks, read from their traces."""
    resnet = f"ResNet{6 * scale.resnet[1] + 2}"
    kinds = {
        name_of((scale.hidden,)): partial(_connected, scale.hidden, scale.compared),
        resnet: partial(_residual, scale),
    }
    return [
        Row(f"symmetry.infer, {name}", f"infer, {name}", (Way("ours", partial(_inferred, problem)),), fresh=scale.apart)
        for name, problem in kinds.items()
    ]


def _parts(problem: Callable[[], Problem]) -> tuple[Way, ...]:
    """`align` with and without verification, verification alone, and one pass through the network."""
    return (
        Way("ours", partial(_align, problem, True)),
        Way("without verification", partial(_align, problem, False)),
        Way("verification alone", partial(_verification, problem)),
        Way("forward pass alone", partial(_forward, problem)),
    )


def _align(problem: Callable[[], Problem], verify: bool) -> Callable[[], Any]:
    apply, a, b, x = problem()
    return lambda: ea.align(apply, a, b, x, verify=verify)


def _verification(problem: Callable[[], Problem]) -> Callable[[], Any]:
    apply, a, _, x = problem()
    spec = symmetry.infer(apply, a, x)
    return lambda: ensure_symmetry(spec, apply, a, x)


def _forward(problem: Callable[[], Problem]) -> Callable[[], Any]:
    apply, a, _, x = problem()
    run = jax.jit(apply)
    return lambda: run(a, x)


def _inferred(problem: Callable[[], Problem]) -> Callable[[], Any]:
    apply, a, _, x = problem()
    return lambda: symmetry.infer(apply, a, x).groups


def _connected(hidden: int, samples: int) -> Problem:
    network, pop = mlps((hidden,), 2)
    return network.apply, *population.unstack(pop), images(samples)


def _residual(scale: Scale) -> Problem:
    network, (a, b), x = resnets(scale)
    return network.apply, a, b, x


def _gpt_shapes(scale: Scale) -> Any:
    vocabulary, length, width, hidden, blocks, _ = scale.gpt
    return plain.gpt_shapes(vocabulary, length, width, hidden, blocks)


def _gpt(scale: Scale) -> Problem:
    """Two networks with weights of their own, and sequences of random tokens."""
    random = np.random.default_rng(0)

    def drawn(shape: tuple[int, ...]) -> jax.Array:
        entries = random.standard_normal(shape, np.float32)
        entries *= 0.02 if len(shape) > 1 else 0.1
        return jnp.asarray(entries if len(shape) > 1 else entries + 1)

    shapes = _gpt_shapes(scale)
    a, b = (jax.tree.map(drawn, shapes, is_leaf=lambda leaf: isinstance(leaf, tuple)) for _ in range(2))
    vocabulary, *_, heads = scale.gpt
    x = jnp.asarray(random.integers(0, vocabulary, scale.tokens))
    return plain.batched(partial(plain.gpt, heads=heads)), a, b, x


def _pairs(hidden: int, samples: int, count: int) -> Callable[[], Any]:
    network, pop = mlps((hidden,), 2 * count)
    (a, b), x = population.pairs(pop), images(samples)
    return lambda: ea.align_pairs(network.apply, a, b, x).b


def _loop(hidden: int, samples: int, count: int) -> Callable[[], Any]:
    """Returns, after the aligned networks, how often the network was traced since the first pair."""
    network, pop = mlps((hidden,), 2 * count)
    singles, x = [population.unstack(side) for side in population.pairs(pop)], images(samples)
    traces: list[int] = []

    def apply(params: Any, inputs: Any) -> Any:
        traces.append(1)
        return network.apply(params, inputs)

    def run() -> tuple[list[Any], int]:
        found, seen = [], None
        for a, b in zip(*singles, strict=True):
            found.append(ea.align(apply, a, b, x).b)
            seen = len(traces) if seen is None else seen
        return found, len(traces) - (seen or 0)

    return run


def _traces(value: tuple[list[Any], int]) -> dict[str, Any]:
    return {"traces": value[1]}
