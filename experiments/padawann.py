"""PADAWANN: a trained network of which only signs are kept, pruned by evolution to serve several tasks (Dobreva 2022).

python experiments/padawann.py                                             # handwritten digits and drawn letters
python experiments/padawann.py --preset small --data-dir DIR               # MNIST and letters of EMNIST
python experiments/padawann.py --preset paper --data-dir DIR               # as in the thesis, for a GPU
python experiments/padawann.py --preset small --data-dir DIR --set 'variants=("default", "edges count")'
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # LAPACK's own threads stall beside XLA's

import jax
import numpy as np

from evojax_align import lab
from evojax_align.data import Dataset

sys.path.insert(0, str(Path(__file__).parent))

from padawann_measures import common, examine, left, transfer  # pyright: ignore[reportImplicitRelativeImport]
from padawann_report import judge, plot  # pyright: ignore[reportImplicitRelativeImport]
from padawann_study import Study  # pyright: ignore[reportImplicitRelativeImport]
from padawann_variants import Config  # pyright: ignore[reportImplicitRelativeImport]

MODES = {
    "clean": "as the text, but each trial has a network of its own, and shared values are chosen on training images",
    "text": "as the thesis's text: one network for all trials, and of three shared values the best on the test images",
    "code": "as its program: children have one parent (but where a population is named after its crossover, which its "
    "program calls but does not do), one member begins unpruned, letters lie transposed, and output layers that are "
    "trained again go on from each other",
}
TRANSFERRED = ("network", "default", "weights kept", "first task alone")
"""Networks whose output layers are trained again."""
PRESETS = {
    "demo": (
        Config(
            variants=("default", "weights kept", "first task alone", "mapping optimised", "without selection"),
            trials=10,
            generations=10,
            samples=60,
            widths=(8, 16, 32),
            hidden=32,
            epochs=10,
            batch_size=10,
            transferred=1000,
            transfers=1,
        ),
    ),
    "small": (
        Config(
            dataset="mnist",
            second="emnist_10letters",
            others=("notmnist", "fashion_mnist"),
            variants=(
                "default",
                "signs discarded",
                "weights kept",
                "first task alone",
                "no crossover",
                "three tasks",
            ),
            generations=10,
            samples=60,
            tested=2000,
            learnt=20_000,
            transferred=3000,
            transfers=1,
        ),
    ),
    "paper": (
        Config(
            dataset="mnist",
            mode="text",
            second="emnist_10letters",
            others=("emnist_another10", "fashion_mnist"),
            trials=10,
            variants=(
                "default",
                "signs discarded",
                "weights kept",
                "first task alone",
                "three tasks",
                "from the second task",
                "without convolutions",
                "mapping optimised",
                "no crossover",
                "ten members",
                "ten, no elitism",
                "ten, no culling",
                "ten, whole clusters",
                "ten, no crossover",
                "ten, uniform crossover",
                "ten, tournaments of 2",
                "ten, tournaments of 6",
            ),
        ),
    ),
}
COSTS = {
    "demo": "a small network on digits and drawn letters, 10 generations, 10 trials of 5 populations; 98 s",
    "small": "the thesis's network, 60 images a class, 10 generations, 3 trials; some 12 min a population",
    "paper": "as in the thesis, 700 images a class, 50 generations, 10 trials; for a GPU",
}


def run(config: Config, data: list[Dataset], run: lab.Run) -> dict[str, np.ndarray]:
    """All populations and what they are compared with; returns everything that figures and claims are made of."""
    study = Study(config, data)
    key_networks, key_trials, key_controls, key_transfer = jax.random.split(jax.random.key(config.seed), 4)
    networks = {
        kind: study.trained(run, kind, jax.random.fold_in(key_networks, number))
        for number, kind in enumerate(study.kinds())
    }
    rows, courses, generations = [], [], []
    for name, variant in study.variants.items():
        own = networks[study.kind(variant)]
        found = study.evolve(run, name, own, key_trials)
        rows.append(study.champions(name, own, key_trials, found))
        courses.append(found["courses"])
        generations.append(found["found"])
    default = next(row for row in rows if row.name == "default")
    rows += study.controls(networks[study.kind(study.variants["default"])], rows, key_controls)
    examined = examine(study, run, rows)
    again = [row for row in rows if row.name in TRANSFERRED and config.transfers]
    arrays = {f"course_{name}": np.stack([of[name] for of in courses]) for name in courses[0]}
    arrays |= {f"test_{name}": of for name, of in examined.items() if name != "said"} | {"said": examined["said"]}
    if again:
        places = [rows.index(row) for row in again]
        of_again = {name: of[places] for name, of in examined.items()}
        arrays["transfer"] = transfer(study, run, again, of_again, key_transfer)
    arrays["common"] = common(rows, default)
    arrays["synapses"] = np.stack([left(row) for row in rows])
    arrays["found"] = np.stack(generations)
    for place, (_, y) in enumerate(study.test):
        arrays[f"labels_{place}"] = np.asarray(y, np.uint8)
    lists = {
        "rows": [row.name for row in rows],
        "variants": list(study.variants),
        "again": [row.name for row in again],
        "sets": study.names,
        "classes": [",".join(of.class_names) for of in data],
        "mode": config.mode,
    }
    return arrays | {name: np.array(value) for name, value in lists.items()}


def further(config: Config) -> tuple[str, ...]:
    """The data sets beside the first."""
    return (config.second, *config.others)


EXPERIMENT = lab.Experiment(
    name="padawann",
    description=__doc__ or "",
    presets=PRESETS,
    costs=COSTS,
    modes=MODES,
    run=run,
    plot=plot,
    judge=judge,
    further=further,
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    lab.use_all_cores()
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
