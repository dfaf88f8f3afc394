"""Weight agnostic networks (Gaier & Ha 2019) of one task, of two at once, and of a pole on a cart.

python experiments/wann.py                                    # handwritten digits and drawn letters
python experiments/wann.py --preset swing_up                  # a pole on a cart
python experiments/wann.py --preset small --data-dir DIR      # MNIST and letters of EMNIST, 16 pixels a side
python experiments/wann.py --preset paper --data-dir DIR      # as the authors' program and the thesis, for a GPU
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

from wann_report import judge, plot  # pyright: ignore[reportImplicitRelativeImport]
from wann_search import Config, drawing  # pyright: ignore[reportImplicitRelativeImport]
from wann_study import Study  # pyright: ignore[reportImplicitRelativeImport]
from wann_swing import swing  # pyright: ignore[reportImplicitRelativeImport]

MODES = {
    "clean": "what is chosen, a generation's network or the best shared weight, is chosen on images of its own",
    "text": "as in the thesis: networks are chosen on training images, and the best shared weight on test images",
}
LETTERS = Config(dataset="mnist", second="emnist_10letters", side=16, enabled=0.05)
PRESETS = {
    "demo": (
        Config(
            arms=("WANN", "WANN, letters", "JointWANN"),
            generations=200,
            size=48,
            hidden=48,
            tournament=8,
            batch=100,
            samples=900,
            judged=300,
            learnt=10,
        ),
    ),
    "swing_up": (
        Config(
            arms=("swing-up",),
            repeats=6,
            generations=200,
            size=192,
            hidden=32,
            tournament=8,
            enabled=0.5,
            values=(0.5, 1.0, 2.0),
        ),
    ),
    "small": (LETTERS,),
    "paper": (
        Config(
            dataset="mnist",
            second="emnist_10letters",
            side=16,
            enabled=0.05,
            generations=4096,
            size=960,
            chunk=120,
            hidden=512,
            tournament=32,
            batch=1000,
            samples=0,
            judged=1000,
            tested=0,
            pruned=50,
        ),
    ),
}
COSTS = {
    "demo": "digits and drawn letters, 48 members, 200 generations, 10 seeds; 72 s",
    "swing_up": "a pole on a cart, 192 members, 200 generations, 6 seeds, three positive weights; 24 min",
    "small": "MNIST and ten letters of EMNIST, 128 members, 300 generations, 10 seeds; 23 min",
    "paper": "960 members, 4096 generations, 10 seeds; for a GPU",
}


def run(config: Config, data: list[Dataset], run: lab.Run) -> dict[str, np.ndarray]:
    """All searches and what they found; returns everything that figures and claims are made of."""
    if config.arms == ("swing-up",):
        return swing(config, run, jax.random.key(config.seed))
    study = Study(config, data)
    key_search, key_pruned, key_weights = jax.random.split(jax.random.key(config.seed), 3)
    searched = [name for name in config.arms if name != "PADAWANN"]
    found = {name: study.evolve(run, name, key_search) for name in searched}
    arrays = {
        f"course_{name}": np.stack([found[arm]["courses"][name] for arm in searched])
        for name in found[searched[0]]["courses"]
    }
    measured = [study.examined(run, arm, found[arm]["champions"], key_weights) for arm in searched]
    arrays |= {name: np.stack([of[name] for of in measured]) for name in measured[0]}
    for arm in searched:
        best = found[arm]["champions"][int(np.argmax(found[arm]["records"]))]
        shown = drawing(best, study.search(arm, config.hidden).activations)
        arrays |= {f"graph_{arm}_{name}": value for name, value in shown.items()}
    if "PADAWANN" in config.arms:
        arrays |= {f"padawann_{name}": value for name, value in study.pruned(run, key_pruned).items()}
    lists = {
        "arms": searched,
        "sets": study.names,
        "classes": study.classes,
        "values": config.values,
        "mode": config.mode,
        "size": config.size,
    }
    return arrays | {name: np.array(value) for name, value in lists.items()}


EXPERIMENT = lab.Experiment(
    name="wann",
    description=__doc__ or "",
    presets=PRESETS,
    costs=COSTS,
    modes=MODES,
    run=run,
    plot=plot,
    judge=judge,
    further=lambda config: (config.second,),
)


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    lab.use_all_cores()
    return lab.main(EXPERIMENT, argv)


if __name__ == "__main__":
    sys.exit(main())
