"""Mixed genetic and gradient evolution (Cooke & de Alfaro), what its authors ask for, and aligned parents.

python experiments/mixed_evolution.py                                      # handwritten digits, 35 s
python experiments/mixed_evolution.py --preset paper --data-dir DIR        # 20 networks on MNIST, 10 seeds
python experiments/mixed_evolution.py --preset cross --data-dir DIR        # naive or aligned, three kinds of genes
python experiments/mixed_evolution.py --preset cures --data-dir DIR        # what keeps a population diverse
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

from mixed_evolution_populations import PUBLISHED, Config, arms_of  # pyright: ignore[reportImplicitRelativeImport]
from mixed_evolution_report import judge, plot  # pyright: ignore[reportImplicitRelativeImport]
from mixed_evolution_study import Study  # pyright: ignore[reportImplicitRelativeImport]

MODES = {
    "clean": "whole layers as genes; fitness on a validation split, samples shuffled, attacks stay within the images",
    "text": "as the paper's text: whole layers as genes, fitness on the test images",
    "code": "as the authors' code: that, but blocks of 64 x 64 weights as genes, and two immigrants a generation",
}
MNIST = Config(dataset="mnist")
PRESETS = {
    "demo": (
        Config(
            repeats=10,
            size=12,
            generations=4,
            later=8,
            hidden=(64, 32),
            block=16,
            batch_size=20,
            learning_rate=0.05,
            compared=500,
            rivals=3,
            attacked=200,
            children=5,
        ),
    ),
    "small": (dataclasses.replace(MNIST, repeats=2, later=6, attacked=1000),),
    "paper": (dataclasses.replace(MNIST, mode="code"),),
    "text": (dataclasses.replace(MNIST, mode="text"),),
    "cross": (dataclasses.replace(MNIST, study="cross", repeats=8, later=6),),
    "cures": (dataclasses.replace(MNIST, study="cures", repeats=10, later=6),),
}
COSTS = {
    "demo": "12 networks, 8 generations and 10 seeds on handwritten digits; 35 s on 2 cores",
    "small": "20 networks and 6 generations on MNIST, 2 seeds",
    "paper": "as the authors' code: 20 networks on MNIST, 10 generations, 10 seeds; 49 min on 2 busy cores",
    "text": "the same with whole layers as genes, as the text has it",
    "cross": "naive or aligned, layers, blocks or neurons, with and without a bonus, 8 seeds; 68 min on 2 busy cores",
    "cures": "what might keep a population diverse, on MNIST; 10 seeds",
}


def run(config: Config, data: Dataset, run: lab.Run) -> dict[str, np.ndarray]:
    """All populations and those that train alone; returns everything that figures and claims are made of."""
    study, arms = Study(config, data), arms_of(config)
    key = jax.random.key(config.seed)
    algorithms = {name: study.algorithm(arm) for name, arm in arms.items()}  # what cannot be is refused at once
    found = [study.evolve(run, name, algorithm, key) for name, algorithm in algorithms.items()]
    networks = list(dict.fromkeys(arm.network for arm in arms.values()))
    rivals = [study.alone(run, name, jax.random.fold_in(key, config.repeats)) for name in networks]
    arrays = {name: lab.stacked([of[name] for of in found]) for name in found[0]}
    arrays |= {f"alone_{name}": np.stack([of[name] for of in rivals]) for name in rivals[0]}
    lists = {
        "arms": list(arms),
        "genes": [arm.genes for arm in arms.values()],
        "settings": [", ".join(f"{name}={value}" for name, value in arm.settings) for arm in arms.values()],
        "networks": networks,
        "network": [networks.index(arm.network) for arm in arms.values()],
        "layers": [",".join(study.layers(name)) for name in networks],
        "marks": study.marks,
        "epsilons": config.epsilons,
        "published": PUBLISHED,
        "study": config.study,
        "mode": config.mode,
        "dataset": data.name,
    }
    return arrays | {name: np.array(value) for name, value in lists.items()}


EXPERIMENT = lab.Experiment(
    name="mixed_evolution",
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
