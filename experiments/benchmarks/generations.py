"""A generation of `Neuroevolution` against one of evosax's SimpleGA, on the same network and fitness, and the share of
alignment in it.

python -m experiments.benchmarks.generations --out experiments/benchmarks/results/generations.json

Needs the extra `evosax`. Both algorithms mutate every weight and take half of them from each of two parents of the
better half. evosax's evaluation runs over members in the way that is faster here, of `jax.vmap` and `jax.lax.map`.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evojax_align import _checks, models, population
from evojax_align.evolution import Neuroevolution
from experiments.benchmarks.timing import store, time_of

SIZES = (64, 256, 1024, 4096)
INPUTS, HIDDEN, CLASSES, SAMPLES, ALIGNED_HIDDEN = 64, 64, 10, 256, 256
DEVIATION = 0.02


def main(argv: list[str] | None = None) -> int:
    """Time all sizes, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--align-up-to", type=int, default=1024, help="members with which alignment is timed too")
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    head = "members  neurons  ours, s  SimpleGA, s  ours / SimpleGA  aligned, s  aligned / SimpleGA  share of alignment"
    print(head)
    rows = []
    for size in arguments.sizes:
        for hidden in (HIDDEN, ALIGNED_HIDDEN):
            row = timed(size, hidden, arguments)
            rows.append(row)
            numbers = (row[name] for name in ("ours", "peer", "ratio", "aligned", "aligned_ratio", "share"))
            cells = ["–" if number is None else f"{number:.3g}" for number in numbers]
            widths = [len(name) for name in head.split("  ")]
            texts = [str(size), str(hidden), *cells]
            print("  ".join(text.rjust(width) for text, width in zip(texts, widths, strict=True)), flush=True)
    store(arguments.out, rows, {"repeats": arguments.repeats, "samples": arguments.samples})
    return 0


def timed(size: int, hidden: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Medians of the seconds of one generation, in turns."""
    network = models.MLP(hidden=(hidden,), classes=CLASSES)
    x = jax.random.normal(jax.random.key(0), (arguments.samples, INPUTS))
    y = jax.random.randint(jax.random.key(1), (arguments.samples,), 0, CLASSES)

    def fitness(key: jax.Array, params: Any) -> jax.Array:
        return -jnp.mean(optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(network.apply(params, x)), y))

    def draw(key: jax.Array) -> Any:
        return network.init(key, x)

    ways = {"ours": ours(size, fitness, draw, Neuroevolution(size=size, mutation=DEVIATION))}
    for strategy in ("vmap", "scan"):
        ways[f"peer, {strategy}"] = peer(size, fitness, draw, strategy)
    if hidden == ALIGNED_HIDDEN and size <= arguments.align_up_to:
        ga = Neuroevolution(network.apply, size=size, mutation=DEVIATION, alignment="mutual", probe=x)
        ways["aligned"] = ours(size, fitness, draw, ga)
    for way in ways.values():
        time_of(way)  # compiles
    rounds = [{name: time_of(way) for name, way in ways.items()} for _ in range(arguments.repeats)]
    found = {name: statistics.median(turn[name] for turn in rounds) for name in ways}
    best = min((name for name in ways if name.startswith("peer")), key=lambda name: found[name])

    def ratio(name: str, other: str) -> float | None:
        return statistics.median(turn[name] / turn[other] for turn in rounds) if name in ways else None

    plain = ratio("ours", "aligned") if "aligned" in ways else None
    return {
        "members": size,
        "hidden": hidden,
        "ours": found["ours"],
        "peer": found[best],
        "peer_runs_by": best.removeprefix("peer, "),
        "ratio": ratio("ours", best),
        "ratio_spread": sorted(turn["ours"] / turn[best] for turn in rounds)[:: max(1, arguments.repeats - 1)],
        "aligned": found.get("aligned"),
        "aligned_ratio": ratio("aligned", best),
        "share": None if plain is None else 1 - plain,
    }


def ours(size: int, fitness: Callable, draw: Callable, ga: Neuroevolution) -> Callable[[], Any]:
    """One generation of ours."""
    state = ga.init(jax.random.key(2), draw)
    state, _ = ga.step(jax.random.key(3), state, fitness)
    return lambda: ga.step(jax.random.key(4), state, fitness)


def peer(size: int, fitness: Callable, draw: Callable, strategy: str) -> Callable[[], Any]:
    """One generation of SimpleGA, as one program."""
    algorithms = _checks.extra("evosax.algorithms", "evosax")
    ga = algorithms.SimpleGA(size, draw(jax.random.key(0)), std_schedule=optax.constant_schedule(DEVIATION))
    params = ga.default_params.replace(crossover_rate=0.5)

    def losses(key: jax.Array, members: Any) -> jax.Array:
        return population.map(lambda of: -fitness(key, of), members, strategy=strategy)

    @jax.jit
    def generation(key: jax.Array, state: Any) -> Any:
        key_ask, key_judge, key_tell = jax.random.split(key, 3)
        members, state = ga.ask(key_ask, state, params)
        return ga.tell(key_tell, members, losses(key_judge, members), state, params)

    founders = population.init(draw, jax.random.key(2), size)
    state = ga.init(jax.random.key(3), founders, jax.jit(losses)(jax.random.key(3), founders), params)
    return lambda: generation(jax.random.key(4), state)


if __name__ == "__main__":
    sys.exit(main())
