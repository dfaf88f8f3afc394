"""Lamarckian evolution of convolutional architectures with inherited weights (Prellberg & Kramer 2018).

python -m experiments.lamarckian                                                    # handwritten digits
python -m experiments.lamarckian --preset small --data-dir DIR                      # Fashion-MNIST
python -m experiments.lamarckian --preset small --data-dir DIR --set repeats=10     # enough seeds for the tests
python -m experiments.lamarckian --preset small --data-dir DIR --dataset cifar10
python -m experiments.lamarckian --preset paper --data-dir DIR                      # the paper's settings, for a GPU
python -m experiments.lamarckian --set 'arms=("inheritance", "function kept")'
"""

import sys

from evojax_align import lab
from experiments.lamarckian import claims, config, figures, study
from experiments.lamarckian.view import View

STUDY = lab.Study(
    name="lamarckian",
    title="Lamarckian evolution of convolutional architectures",
    description=__doc__ or "",
    presets=config.PRESETS,
    costs=config.COSTS,
    modes=config.MODES,
    cells=study.cells,
    prepare=study.Problem,
    run=study.run,
    merge=study.merge,
    view=View,
    claims=claims.PRIMARY,
    explore=claims.explore,
    tables=claims.tables,
    figures=figures.draw,
    seen=claims.SEEN,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
