"""Sexual evolutionary synthesis of sparse networks (Chung et al. 2017), with the controls that the paper lacks.

python -m experiments.mating                                                # handwritten digits
python -m experiments.mating --preset small --data-dir DIR                  # a LeNet of half the widths on MNIST
python -m experiments.mating --preset short --data-dir DIR                  # the paper's LeNet, trained for less long
python -m experiments.mating --preset paper --data-dir DIR                  # the paper's schedule, for a GPU
python -m experiments.mating --preset paper --dataset cifar10 --data-dir DIR
python -m experiments.mating --preset choices                               # what the paper leaves open or proposes
"""

import sys

from evojax_align import lab
from experiments.mating import claims, config, figures, study
from experiments.mating.view import View

STUDY = lab.Study(
    name="mating",
    title="Sexual evolutionary synthesis of sparse networks",
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
    all_cores=True,
    seen=claims.SEEN,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
