"""The choices that the library makes for a machine, each against the other way.

    python -m experiments.benchmarks.choices

How a population is lifted (`population.map`: one after the other on a CPU), and who solves assignments (the host, but
for the smallest inside a program).
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import optax

import evojax_align as ea
from evojax_align.lab.report import text_table
from evojax_align.matching import one_to_one
from experiments.benchmarks.timing import compare, store

REPEATS = 7


def main(argv: list[str] | None = None) -> int:
    """Print the table, and store it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", metavar="FILE", help="store the rows as JSON")
    arguments = parser.parse_args(argv)
    image = jax.random.normal(jax.random.key(0), (50, 28, 28))
    rows = [
        row("gradient of 8 x 784-512-10, 50 images", "scan", "vmap", *lifted(ea.models.MLP(), image)),
        row("gradient of 8 small CNNs, 50 images", "scan", "vmap", *lifted(ea.models.VGG(((16,), (32,))), image)),
        *(row(f"assignment {n} x {n}", "host", "compiled", *assigned(n)) for n in (8, 16, 64, 256)),
    ]
    print(text_table(rows))
    store(arguments.out, rows, {"repeats": REPEATS})
    return 0


def row(what: str, one: str, other: str, first: Callable, second: Callable) -> Mapping[str, object]:
    """How many times longer the second way takes."""
    found = compare(first, second, repeats=REPEATS)
    spread = f"[{found.spread[0]:.3g}, {found.spread[1]:.3g}]"
    times = {"ms": float(f"{1e3 * found.ours:.3g}"), "other, ms": float(f"{1e3 * found.peer:.3g}")}
    return {"what": what, "way": one, "other": other} | times | {"times": float(f"{found.ratio:.3g}"), "spread": spread}


def lifted(network: ea.models.MLP | ea.models.VGG, image: jax.Array) -> tuple[Callable, Callable]:
    """The gradient of a population's loss, one member after the other and side by side."""
    population = ea.population.init(lambda key: network.init(key, image[:1]), jax.random.key(1), 8)
    labels = jnp.arange(len(image)) % 10

    def loss(params: dict) -> jax.Array:
        logits = network.apply(params, image)
        return optax.softmax_cross_entropy_with_integer_labels(jnp.asarray(logits), labels).mean()

    def both(strategy: str) -> Callable:
        return jax.jit(partial(ea.population.map, jax.grad(loss), strategy=strategy))

    return partial(both("scan"), population), partial(both("vmap"), population)


def assigned(size: int) -> tuple[Callable, Callable]:
    """An exact assignment by the host, and inside a compiled program."""
    scores = jax.random.normal(jax.random.key(size), (size, size))
    return partial(one_to_one, scores, engine="host"), partial(one_to_one, scores, engine="compiled")


if __name__ == "__main__":
    sys.exit(main())
