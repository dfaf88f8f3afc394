"""Mixed genetic and gradient evolution (Cooke and de Alfaro), the cures that its authors ask for, and aligned parents.

python -m experiments.mixed_evolution                                      # handwritten digits
python -m experiments.mixed_evolution --preset paper --data-dir DIR        # 20 networks on MNIST, 10 seeds
python -m experiments.mixed_evolution --preset cross --data-dir DIR        # aligned or not, three kinds of genes
python -m experiments.mixed_evolution --preset cures --data-dir DIR        # what keeps a population diverse
"""

import sys

from evojax_align import lab
from experiments.common import study

STUDY = study(__package__, "Mixed genetic and gradient evolution (Cooke & de Alfaro)", __doc__, all_cores=True)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
