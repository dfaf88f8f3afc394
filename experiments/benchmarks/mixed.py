"""Wall time of the mixed evolution as its authors ran it: 20 networks, 6 generations of an epoch on MNIST.

Blocks of weights as genes, two immigrants in every generation, fitness on the test images; compiling is part of the
first seed. Theirs took about 35 minutes on the CPU of a free notebook.

python -m experiments.benchmarks.mixed --data-dir DIR --seeds 10 --out experiments/benchmarks/results/mixed.json
"""

import argparse
import sys
import time

import jax

from evojax_align import lab
from evojax_align.data import load
from evojax_align.evolution.recombination import recombination
from experiments.benchmarks.timing import store, times_compiled
from experiments.mixed_evolution.config import PRESETS
from experiments.mixed_evolution.study import Problem


def main(argv: list[str] | None = None) -> int:
    """Run the seeds one after the other and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    lab.use_all_cores()
    (config,) = PRESETS["paper"]
    problem = Problem(config, load(arguments.dataset, data_dir=arguments.data_dir, seed=0))
    algorithm = problem.algorithms["horizontal"]
    seconds, rows = 0.0, []
    for seed in range(arguments.seeds):
        start = time.perf_counter()
        key_init, key_step = jax.random.split(jax.random.key(seed))
        state = algorithm.init(key_init, problem.judge)
        for number in range(arguments.generations):
            state, _ = algorithm.step(jax.random.fold_in(key_step, number), state, problem.train, problem.judge)
        best, worst = float(state.fitness.max()), float(state.fitness.min())
        seconds += time.perf_counter() - start
        rows.append({"seed": seed, "seconds, in all": round(seconds, 1), "best": best, "worst": worst})
        print(f"seed {seed}: {seconds:6.1f} s in all, accuracy {worst:.4f} to {best:.4f}", flush=True)
    print(f"compiled: {times_compiled(recombination._step)} time")
    store(arguments.out, rows, {"seeds": arguments.seeds, "generations": arguments.generations})
    return 0


if __name__ == "__main__":
    sys.exit(main())
