"""The choices that the library makes for a machine, each against the other ways.

    python -m experiments.benchmarks.choices --out FILE

How a population is lifted (`population.map`: one after the other on a CPU), who solves assignments (the host, but for
the smallest inside a program), and what the fast matching by mutual best pairs loses of the largest total. What is
called ours is the choice on a CPU.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evojax_align import models, population
from experiments.benchmarks.core import assigning, measuring
from experiments.benchmarks.core.ways import Way
from experiments.benchmarks.device.rows import CLASSES, networks

SIDES, FEW_SIDES = (8, 16, 64, 256), (8,)
MEMBERS, IMAGES = 8, 50


def main(argv: list[str] | None = None) -> int:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="time limit (default: 10)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the rows to this JSON file")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that all rows work")
    arguments = parser.parse_args(argv)
    settings = {"minutes": arguments.minutes, "small": arguments.small}
    rest = 0.0 if arguments.small else measuring.REST
    session = measuring.Session(arguments.out, arguments.minutes, settings, rest=rest)
    failed = session.run(rows(arguments.small))
    print(session.summary())
    return 1 if failed else 0


def rows(small: bool) -> list[measuring.Row]:
    """Gradients of populations, and assignments of both kinds of scores."""
    side, hidden, channels = (8, 8, 2) if small else (28, 512, 16)
    kinds = {
        f"{side**2}-{hidden}-{CLASSES}": models.MLP((hidden,)),
        "small CNNs": models.VGG(((channels,), (2 * channels,))),
    }
    lifted = [
        measuring.Row(
            f"gradient of {MEMBERS} x {name}, {IMAGES} images",
            f"gradient, {name}",
            (
                Way("ours, scan", partial(_gradients, network, side, "scan")),
                Way("vmap", partial(_gradients, network, side, "vmap")),
            ),
            MEMBERS,
            "networks",
        )
        for name, network in kinds.items()
    ]
    solvers = ("ours", "ours, compiled", "mutual")
    sides = FEW_SIDES if small else SIDES
    return lifted + [assigning.row_of(n, kind, solvers) for n in sides for kind in assigning.KINDS]


def _gradients(network: Any, side: int, strategy: str) -> Callable[[], Any]:
    pop = networks(network, MEMBERS, (side, side))
    image = jax.random.normal(jax.random.key(0), (IMAGES, side, side))
    labels = jnp.arange(IMAGES) % CLASSES

    def loss(params: Any) -> jax.Array:
        logits = jnp.asarray(network.apply(params, image))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return partial(jax.jit(partial(population.map, jax.grad(loss), strategy=strategy)), pop)


if __name__ == "__main__":
    sys.exit(main())
