"""PADAWANN: a trained network of which only signs are kept, pruned by evolution to serve several tasks (Dobreva 2022).

python -m experiments.padawann                                   # handwritten digits and drawn letters
python -m experiments.padawann --preset short --data-dir DIR     # MNIST and letters of EMNIST, a small network
python -m experiments.padawann --preset small --data-dir DIR     # the thesis's network, few trials
python -m experiments.padawann --preset paper --data-dir DIR     # as in the thesis, for a GPU
python -m experiments.padawann --preset small --data-dir DIR --set 'variants=("default", "edges count")'
"""

import sys

from evojax_align import lab
from experiments.padawann import claims, config, figures, study

STUDY = lab.Study(
    name="padawann",
    title="PADAWANN: sign-agnostic pruning by a genetic algorithm (Dobreva 2022)",
    description=__doc__ or "",
    presets=config.PRESETS,
    costs=config.COSTS,
    modes=config.MODES,
    cells=study.cells,
    prepare=study.Problem,
    run=study.run,
    merge=study.merge,
    view=claims.View,
    claims=claims.PRIMARY,
    explore=claims.explore,
    tables=claims.tables,
    figures=figures.draw,
    further=lambda settings: settings.sets[1:],
    all_cores=True,
    seen=claims.SEEN,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
