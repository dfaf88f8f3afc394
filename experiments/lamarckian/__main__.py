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
from experiments.common import study

STUDY = study(__package__, "Lamarckian evolution of convolutional architectures (Prellberg & Kramer 2018)", __doc__)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
