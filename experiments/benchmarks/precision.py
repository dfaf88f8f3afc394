"""What training in bfloat16 changes: accuracy on handwritten digits, over seeds.

python -m experiments.benchmarks.precision --out experiments/benchmarks/results/precision.json

Networks of one seed begin alike and see the samples in the same order; one is trained in float32, one with
`training.in_precision`. Both are evaluated in float32. Times mean nothing on a CPU, which has no units for bfloat16. By
default XLA leaves conversions to bfloat16 and back out there, so that nothing would change; a flag forbids it.
"""

import argparse
import os
import sys
from typing import Any

os.environ["XLA_FLAGS"] = f"--xla_allow_excess_precision=false {os.environ.get('XLA_FLAGS', '')}"

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evojax_align import data, models, population, statistics, training
from experiments.benchmarks.timing import store
from experiments.pages import table

NETWORKS = {"MLP 64-128-10": models.MLP(hidden=(128,)), "LeNet5": models.LeNet5()}
EPOCHS, BATCH = 10, 50


def main(argv: list[str] | None = None) -> int:
    """Train all seeds of both networks, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    digits, rows = data.load("digits"), []
    for name, network in NETWORKS.items():
        flat = isinstance(network, models.MLP)
        train, test = (
            (jnp.asarray(part.x.reshape(len(part.x), -1) if flat else part.x), jnp.asarray(part.y))
            for part in (digits.train, digits.test)
        )
        answers = [
            trained_answers(network.init, apply, network.apply, train, test[0], arguments)
            for apply in (network.apply, training.in_precision(network.apply))
        ]
        full, low = ((of == np.asarray(test[1])).mean(axis=1) for of in answers)
        gap = statistics.mean_interval(low - full)
        p = statistics.wilcoxon(low, full, alternative="two-sided").p
        row = {"network": name, "seeds": arguments.seeds, "float32": float(full.mean()), "bfloat16": float(low.mean())}
        row |= {"difference, 95 % interval": f"{gap.estimate:.4f} ({gap.low:.4f} to {gap.high:.4f})", "p": f"{p:.2g}"}
        count = int((answers[0] != answers[1]).sum())
        rows.append(row | {"answers that differ": f"{count} of {answers[0].size}"})
    print(table(rows))
    store(arguments.out, rows, {"epochs": arguments.epochs, "batch": BATCH})
    return 0


def trained_answers(
    init: Any, apply: Any, judge: Any, train: tuple[jax.Array, jax.Array], x: jax.Array, arguments: argparse.Namespace
) -> np.ndarray:
    """The answers [seeds, images] of networks that are trained with one function and evaluated with another."""
    mesh, adam = population.devices(), optax.adam(1e-3)
    pop = population.init(lambda key: init(key, train[0][:1]), jax.random.key(0), arguments.seeds)
    settings: dict[str, Any] = {"epochs": arguments.epochs, "batch_size": BATCH, "key": jax.random.key(1), "mesh": mesh}
    pop, _ = training.fit(apply, pop, train, adam, **settings)
    return np.asarray(population.map(lambda params: judge(params, x).argmax(axis=-1), pop))


if __name__ == "__main__":
    sys.exit(main())
