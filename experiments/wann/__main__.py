"""Weight agnostic networks (Gaier & Ha 2019) of one task, of two tasks (Dobreva 2022), and of a pole on a cart.

python -m experiments.wann                                    # handwritten digits and drawn letters
python -m experiments.wann --preset swing_up                  # a pole on a cart
python -m experiments.wann --preset small --data-dir DIR      # MNIST and letters of EMNIST, 16 pixels a side
python -m experiments.wann --preset paper --data-dir DIR      # settings of the authors and of the thesis, for a GPU
"""

import sys

from evojax_align import lab
from experiments.common import study

STUDY = study(
    __package__,
    "Weight agnostic networks of one task and of two (Gaier & Ha 2019)",
    __doc__,
    further=lambda config: (config.second,),
    all_cores=True,
)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
