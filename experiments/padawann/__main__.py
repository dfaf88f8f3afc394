"""PADAWANN: a trained network of which only signs are kept, pruned by evolution to serve several tasks (Dobreva 2022).

python -m experiments.padawann                                   # handwritten digits and drawn letters
python -m experiments.padawann --preset short --data-dir DIR     # MNIST and letters of EMNIST, a small network
python -m experiments.padawann --preset small --data-dir DIR     # the thesis's network, few trials
python -m experiments.padawann --preset paper --data-dir DIR     # as in the thesis, for a GPU
python -m experiments.padawann --preset small --data-dir DIR --set 'variants=("default", "edges count")'
"""

import sys

from evojax_align import lab
from experiments.common import study

STUDY = study(
    __package__,
    "PADAWANN: sign-agnostic pruning by a genetic algorithm (Dobreva 2022)",
    __doc__,
    further=lambda settings: settings.sets[1:],
    all_cores=True,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
