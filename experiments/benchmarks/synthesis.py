"""What a generation of sparse networks costs: offspring and controls trained for an epoch in one compiled call.

The arithmetic that dense networks would need (zeros are multiplied too) is set beside what the machine does in matrix
products alone.

python -m experiments.benchmarks.synthesis --data-dir DIR --out experiments/benchmarks/results/synthesis.json
"""

import argparse
import dataclasses
import statistics
import sys
import time

import jax
import jax.numpy as jnp

import evojax_align as ea
from evojax_align import lab, pruning
from evojax_align.data import load
from evojax_align.training import members as training
from experiments.benchmarks.timing import store, time_of, times_compiled
from experiments.mating.config import PRESETS, Config
from experiments.mating.study import Problem

SIDE = 2000
"""Of the matrices that are multiplied."""
POOLED = 3
"""Convolutions whose maps a pooling halves."""


def main(argv: list[str] | None = None) -> int:
    """Time a generation, and matrix products in turns with it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="mnist", choices=("mnist", "cifar10"))
    parser.add_argument("--data-dir")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    lab.use_all_cores()
    data = load(arguments.dataset, data_dir=arguments.data_dir, seed=0)
    config = next(of for of in PRESETS["short"] if of.dataset == arguments.dataset)
    config = dataclasses.replace(config, samples=arguments.samples, epochs=arguments.repeats + 1)
    problem = Problem(config, data)
    pop = ea.population.init(problem.init_fn, jax.random.key(0), problem.slots)
    keys = jax.random.split(jax.random.key(1), problem.slots)
    current = problem.about_to_train((pop, pruning.full_masks(pop), keys))

    def generation() -> jax.Array:
        nonlocal current
        current = problem.trained(current, 0, 1)
        return current.epoch

    start = time.perf_counter()
    jax.block_until_ready(generation())
    first = time.perf_counter() - start
    a = jax.random.normal(jax.random.key(0), (len(jax.devices()), SIDE, SIDE))
    product = jax.jit(lambda x: ea.population.map(lambda y: y @ y, x, mesh=problem.mesh))
    time_of(lambda: product(a))
    rounds = [(time_of(generation), time_of(lambda: product(a))) for _ in range(arguments.repeats)]
    epoch, multiplied = (statistics.median(column) for column in zip(*rounds, strict=True))
    images = problem.train[1].size
    work = operations(config, data.train.x.shape[3:]) * images * problem.slots / 1e9
    row = {
        "networks": problem.slots,
        "images": images,
        "seconds an epoch": round(epoch, 2),
        "fastest": round(min(rounds)[0], 2),
        "slowest": round(max(rounds)[0], 2),
        "seconds compiling": round(first - epoch, 1),
        "GFLOP/s": round(work / epoch, 1),
        "GFLOP/s, matrix product": round(2 * SIDE**3 * len(jax.devices()) / multiplied / 1e9, 1),
    }
    program = training._step_epoch
    row["compiled, times"] = times_compiled(program)
    print("  ".join(f"{name} {value}" for name, value in row.items()))
    store(arguments.out, [row], {"repeats": arguments.repeats})
    return 0


def operations(config: Config, channels: tuple[int, ...]) -> int:
    """Multiplications and additions of one image in the training of a dense network: forwards, and for the gradients of
    weights and of inputs, which the first layer does not need."""
    network = ea.models.LeNet(config.widths)
    x = jnp.zeros((1, config.side, config.side, *channels))
    found, side = 0, config.side
    for number in range(len(config.widths)):
        shape = jax.eval_shape(network.init, jax.random.key(0), x)["params"][f"conv_{number}"]["kernel"].shape
        places = side**2 if number < POOLED else 1
        found += (6 if number else 4) * places * shape[0] * shape[1] * shape[2] * shape[3]
        side //= 2
    return found


if __name__ == "__main__":
    sys.exit(main())
