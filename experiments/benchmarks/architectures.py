"""The cost of a new architecture: programs of whole networks against programs of pieces, on a walk of mutations.

A network is trained for one epoch and evaluated, as in a search. `whole` compiles a training step and an evaluation for
each network; `pieces` is `training.fit_pieces`, whose programs are kept from network to network. A third way, one
program of the widest filters and windows in which smaller networks are masked, would never compile again; its cost is
given as a multiple of the operations. With --run, also the share of compiling in the wall time of a search: first
without compiled programs on disk, then with those of the first run.

python -m experiments.benchmarks.architectures --data-dir DIR --out experiments/benchmarks/results/architectures.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import optax

from evojax_align import training
from evojax_align._types import Array, PyTree
from evojax_align.data import load
from experiments.benchmarks.timing import store
from experiments.lamarckian.config import PRESETS
from experiments.lamarckian.study import Problem

OPTIMIZER = optax.adam(1e-3)


def main(argv: list[str] | None = None) -> int:
    """Walk from network to network, each trained both ways; then run a search twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default="fashion_mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--run", action="store_true", help="also the preset `small`, cold and warm")
    parser.add_argument("--set", action="append", default=[], help="settings of that run")
    parser.add_argument("--out")
    arguments = parser.parse_args(argv)
    rows = walk(arguments.dataset, arguments.data_dir, arguments.networks)
    if arguments.run:
        rows += searched(arguments.dataset, arguments.data_dir, arguments.set)
    store(arguments.out, rows, {"networks": arguments.networks})
    return 0


def walk(dataset: str, data_dir: str | None, count: int) -> list[dict[str, Any]]:
    """Seconds for each network, compiling and training, both ways in turns."""
    config = next(of for of in PRESETS["small"] if of.dataset == dataset)
    study = Problem(config, load(dataset, data_dir=data_dir, seed=0))
    space, genome = study.space, study.space.first(jax.random.key(0))
    seen, spent, times = set(), {"whole": [], "pieces": []}, []
    for number in range(count):
        seen.add(genome.architecture)
        network = study.network(genome.architecture)
        start = training.init_pieces(network, jax.random.key(number), study.train[0])
        widest = tuple((space.filters[-1], space.windows[-1], stride) for *_, stride in genome.architecture)
        own, most = (of.products(study.train[0].shape[1:])[0] for of in (network, study.network(widest)))
        times.append(most / own)
        for name, way in (("whole", by_whole), ("pieces", by_pieces)):
            spent[name].append(way(study, network, start, config.batch_size))
        _, genome = space.mutate(jax.random.key(number), genome, seen=seen, identity=number + 1)
    rows = []
    for name, found in spent.items():
        first, second = zip(*found, strict=True)
        row = {"way": name, "networks": count, "seconds in all": round(sum(first), 1)}
        row |= {"seconds, first epoch, median": round(statistics.median(first), 2)}
        row |= {"of the last ten networks": round(statistics.median(first[-10:]), 2)}
        rows.append(row | {"seconds, another epoch, median": round(statistics.median(second), 2)})
        print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    rows.append(
        {"way": "masked", "networks": count, "times the operations, median": round(statistics.median(times), 1)}
    )
    print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


def by_whole(study: Problem, network: Any, start: PyTree, size: int) -> tuple[float, float]:
    """Seconds of an epoch and a judgement with programs of the whole network: with compiling, and without."""

    @jax.jit
    def step(variables: PyTree, moments: PyTree, x: Array, y: Array) -> tuple[PyTree, PyTree]:
        def lost(params: PyTree) -> tuple[Array, PyTree]:
            state = {"params": params, "batch_stats": variables["batch_stats"]}
            logits, new = network.apply(state, x, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new

        gradient, new = jax.grad(lost, has_aux=True)(variables["params"])
        updates, moments = OPTIMIZER.update(gradient, moments, variables["params"])
        return {"params": optax.apply_updates(variables["params"], updates), **new}, moments

    judge = jax.jit(lambda variables, x, y: training.evaluate(network.apply, variables, x, y))

    def epoch() -> float:
        begin, variables, moments = time.perf_counter(), start, OPTIMIZER.init(start["params"])
        x, y = study.train
        order = jax.random.permutation(jax.random.key(1), y.size)
        for number in range(y.size // size):
            index = order[number * size : (number + 1) * size]
            variables, moments = step(variables, moments, x[index], y[index])
        jax.block_until_ready(judge(variables, *study.judge))
        return time.perf_counter() - begin

    return epoch(), epoch()


def by_pieces(study: Problem, network: Any, start: PyTree, size: int) -> tuple[float, float]:
    """The same with programs of the pieces, those of earlier networks kept."""

    def epoch() -> float:
        begin, settings = time.perf_counter(), {"epochs": 1, "batch_size": size, "keys": [jax.random.key(1)]}
        (variables,), _ = training.fit_pieces([network], [start], study.train, OPTIMIZER, **settings)
        training.evaluate_pieces(network, variables, *study.judge)
        return time.perf_counter() - begin

    return epoch(), epoch()


def searched(dataset: str, data_dir: str | None, settings: list[str]) -> list[dict[str, Any]]:
    """Wall time of a search, and what of it was compiling, in two processes that share a folder of programs."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            out = Path(folder) / name
            flags = ["--preset", "small", "--dataset", dataset, "--quiet", "--out", str(out)]
            flags += ["--data-dir", data_dir] if data_dir else []
            flags += ["--compile-cache", str(Path(folder) / "programs")]
            flags += [part for setting in settings for part in ("--set", setting)]
            subprocess.run(
                [sys.executable, "-m", "experiments.lamarckian", *flags], check=True, stdout=subprocess.DEVNULL
            )
            spent = json.loads((out / "timings.json").read_text()).values()
            total, compiling = (sum(of[kind] for of in spent) for kind in ("total", "compile"))
            row = {"programs on disk": name, "seconds": round(total, 1), "compiling": round(compiling, 1)}
            rows.append(row | {"share": round(compiling / total, 3)})
            print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
