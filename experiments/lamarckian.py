"""Lamarckian evolution of convolutional architectures with inherited weights (Prellberg & Kramer 2018).

python experiments/lamarckian.py                                                    # handwritten digits
python experiments/lamarckian.py --preset small --data-dir DIR                      # images of Fashion-MNIST
python experiments/lamarckian.py --preset small --data-dir DIR --set repeats=10     # so many seeds that tests can tell
python experiments/lamarckian.py --preset small --data-dir DIR --dataset cifar10
python experiments/lamarckian.py --preset paper --data-dir DIR                      # as in the paper, for a GPU
python experiments/lamarckian.py --set 'arms=("inheritance", "function kept")'
"""

import dataclasses
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # LAPACK's own threads stall beside XLA's

import jax
import numpy as np

from evojax_align import lab
from evojax_align.data import Dataset

sys.path.insert(0, str(Path(__file__).parent))

from lamarckian_report import judge, plot  # pyright: ignore[reportImplicitRelativeImport]
from lamarckian_study import MEASURES, STARTS, Config, Study  # pyright: ignore[reportImplicitRelativeImport]

MODES = {"text": "as the paper; its program was not published"}
BASELINES = ("inheritance", "baseline I", "baseline II")
SMALL = Config(
    dataset="fashion_mnist",
    repeats=3,
    filters=(8, 16, 32),
    samples=1500,
    judged=1000,
    tested=2000,
    epochs=2,
    long=8,
    budget=64,
    marks=(16, 64),
    final=2,
    batch_size=32,
    momentum=0.9,
)
PAPER = Config(dataset="cifar10", arms=BASELINES)
EASY = Config(arms=BASELINES, repeats=10, long=8)
PRESETS = {
    "demo": (
        Config(
            repeats=6,
            filters=(8, 16),
            windows=(1, 3),
            halvings=1,
            judged=300,
            epochs=1,
            long=2,
            budget=16,
            marks=(4, 16),
            final=1,
            batch_size=30,
            learning_rate=0.005,
            momentum=0.9,
        ),
    ),
    "small": (SMALL, dataclasses.replace(SMALL, dataset="cifar10", samples=3000)),
    "paper": (
        PAPER,
        dataclasses.replace(PAPER, dataset="cifar100"),
        dataclasses.replace(EASY, dataset="mnist"),
        dataclasses.replace(EASY, dataset="fashion_mnist"),
    ),
}
COSTS = {
    "demo": "few and small networks on handwritten digits, 16 epochs, 6 seeds; 107 s on 2 slow cores",
    "small": "blocks of up to 32 filters on 1500 images of Fashion-MNIST or 3000 of CIFAR-10, 64 epochs, 3 seeds; "
    "on 2 slow and busy cores 10 seeds of Fashion-MNIST took 147 min, and for one seed of CIFAR-10 32 epochs of both "
    "searches 12 min",
    "paper": "as in the paper, 512 epochs; 20 seeds on CIFAR, 10 on MNIST and Fashion-MNIST; for a GPU",
}


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """All searches, and the training to the end of what they found; returns all that figures and claims are made of."""
    study = Study(config, data)
    key_search, key_finish = jax.random.split(jax.random.key(config.seed))
    found = {name: study.evolve(run, name, key_search) for name in config.arms}
    tests = [study.finish(run, name, found[name]["marked"], key_finish) for name in config.arms]
    known = [[study.measures(pedigree) for pedigree in found[name]["pedigrees"]] for name in config.arms]
    arrays = {name: lab.stacked([lab.stacked([of[name] for of in seeds]) for seeds in known]) for name in MEASURES}
    lists = {
        "arms": list(config.arms),
        "marks": config.marks,
        "starts": STARTS,
        "each": [study.searches[name].epochs for name in config.arms],
        "budget": config.budget,
        "images": study.train[1].size - study.train[1].size % min(config.batch_size, study.train[1].size),
        "dataset": data.name,
    }
    return arrays | {"test": np.stack(tests)} | {name: np.array(value) for name, value in lists.items()}


EXPERIMENT = lab.Experiment("lamarckian", __doc__ or "", PRESETS, COSTS, MODES, run, plot, judge)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
