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
from experiments.common import study

STUDY = study(
    __package__, "Sexual evolutionary synthesis of sparse networks (Chung et al. 2017)", __doc__, all_cores=True
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
