"""Mixed genetic and gradient evolution (Cooke and de Alfaro), the cures that its authors ask for, and aligned parents.

python -m experiments.mixed_evolution                                      # handwritten digits, 35 s
python -m experiments.mixed_evolution --preset paper --data-dir DIR        # 20 networks on MNIST, 10 seeds
python -m experiments.mixed_evolution --preset cross --data-dir DIR        # aligned or not, three kinds of genes
python -m experiments.mixed_evolution --preset cures --data-dir DIR        # what keeps a population diverse
"""

import sys

from evojax_align import lab
from experiments.mixed_evolution import claims, config, figures, study
from experiments.mixed_evolution.view import View

STUDY = lab.Study(
    name="mixed_evolution",
    title="Mixed genetic and gradient evolution",
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
