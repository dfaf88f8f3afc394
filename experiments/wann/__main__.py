"""Weight agnostic networks (Gaier & Ha 2019) of one task, of two tasks (Dobreva 2022), and of a pole on a cart.

python -m experiments.wann                                    # handwritten digits and drawn letters
python -m experiments.wann --preset swing_up                  # a pole on a cart
python -m experiments.wann --preset small --data-dir DIR      # MNIST and letters of EMNIST, 16 pixels a side
python -m experiments.wann --preset paper --data-dir DIR      # settings of the authors and of the thesis, for a GPU
"""

import sys

from evojax_align import lab
from experiments.wann import claims, config, figures, study
from experiments.wann.view import View

STUDY = lab.Study(
    name="wann",
    title="Weight agnostic networks of one task and of two",
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
    further=lambda config: (config.second,),
    all_cores=True,
    seen=claims.SEEN,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
