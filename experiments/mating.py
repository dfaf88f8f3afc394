"""Sexual evolutionary synthesis of sparse networks (Chung et al. 2017), with the controls that the paper lacks.

python experiments/mating.py                                                # handwritten digits
python experiments/mating.py --preset small --data-dir DIR                  # a LeNet of half the widths on MNIST
python experiments/mating.py --preset short --data-dir DIR                  # the paper's LeNet, trained for less long
python experiments/mating.py --preset paper --data-dir DIR                  # the paper's schedule, for a GPU
python experiments/mating.py --preset paper --dataset cifar10 --data-dir DIR
python experiments/mating.py --preset choices                               # what the paper leaves open or proposes
"""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # LAPACK's own threads stall beside XLA's

import jax
import numpy as np

from evojax_align import lab
from evojax_align.data import Dataset

sys.path.insert(0, str(Path(__file__).parent))

from mating_populations import Config  # pyright: ignore[reportImplicitRelativeImport]
from mating_report import judge, plot  # pyright: ignore[reportImplicitRelativeImport]
from mating_study import MEASURES, SHARES, Study  # pyright: ignore[reportImplicitRelativeImport]

MODES = {
    "clean": "a part of the training images is kept to measure fitness on",
    "text": "as the paper's text, which mentions none: all are learnt from, and fitness is measured on the test images",
}
DIGITS = Config(
    repeats=10,
    asexual=8,
    sexual=6,
    enlarged=2,
    side=16,
    widths=(8, 8, 16, 16),
    epochs=8,
    batch_size=5,
    optimizer="adam",
    learning_rate=0.003,
    drops=(0.8,),
    losses=(0.05,),
)
MNIST = Config(dataset="mnist", repeats=10)
CIFAR10 = Config(
    dataset="cifar10",
    repeats=10,
    asexual=10,
    sexual=5,
    epochs=45,
    drops=(0.667, 0.889),
    mirrored=True,
    losses=(0.037, 0.092),
)


def quicker(config: Config, **settings: Any) -> Config:
    """Settings with a training that a CPU can do."""
    adam: dict[str, Any] = {"batch_size": 20, "optimizer": "adam", "learning_rate": 0.002, "drops": (0.8,)}
    return dataclasses.replace(config, **adam, **settings)


HALF = (16, 16, 32, 32)
FEW = ("magnitude", "random")
PRESETS = {
    "demo": (dataclasses.replace(DIGITS, asexual=6, sexual=4, epochs=4, controls=FEW),),
    "small": (
        quicker(MNIST, repeats=10, widths=HALF, samples=2000, tested=2000, epochs=3, controls=FEW),
        quicker(CIFAR10, repeats=10, widths=HALF, samples=3000, tested=2000, epochs=4, controls=FEW),
    ),
    "short": (
        quicker(MNIST, repeats=1, samples=10_000, epochs=2),
        quicker(CIFAR10, repeats=1, samples=10_000, epochs=4),
    ),
    "paper": (MNIST, CIFAR10),
    "choices": (dataclasses.replace(DIGITS, study="choices"),),
}
COSTS = {
    "demo": "a small LeNet on handwritten digits, 6 generations asexual and 4 sexual, 10 seeds; 111 s on 2 cores",
    "small": "a LeNet of half the widths on 2000 images of MNIST or 3000 of CIFAR-10, 10 seeds; MNIST took 113 min on "
    "2 slow and busy cores",
    "short": "the paper's LeNet on 10 000 images, one seed; MNIST took 94 min on 2 slow and busy cores",
    "paper": "the paper's LeNet and schedule, 10 seeds; for a GPU",
    "choices": "what the paper leaves open or proposes, on handwritten digits, 10 seeds",
}


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """All populations of a study; returns everything that figures and claims are made of."""
    study = Study(config, data)
    key_ancestors, key_arms = jax.random.split(jax.random.key(config.seed))
    ancestors = study.ancestors(run, key_ancestors)
    found = [study.evolve(run, name, arm, key_arms, ancestors) for name, arm in study.arms.items()]
    arrays = {name: lab.stacked([of[name] for of in found]) for name in (*MEASURES, *SHARES)}
    arms = study.arms.values()
    lists = {
        "arms": list(study.arms),
        "generations": [arm.generations for arm in arms],
        "sizes": [arm.size for arm in arms],
        "controlled": [arm.controlled for arm in arms],
        "controls": config.controls,
        "losses": config.losses,
        "study": config.study,
        "mode": config.mode,
        "dataset": data.name,
    }
    return arrays | {name: np.array(value) for name, value in lists.items()}


EXPERIMENT = lab.Experiment(
    name="mating",
    description=__doc__ or "",
    presets=PRESETS,
    costs=COSTS,
    modes=MODES,
    run=run,
    plot=plot,
    judge=judge,
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    lab.use_all_cores()
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
