"""Crossover of aligned parents in evolution without gradients: does it transfer, and does it speed evolution up?

python -m experiments.neuroevolution                                        # swing-up and handwritten digits
python -m experiments.neuroevolution --preset small                         # five tasks, ten seeds
python -m experiments.neuroevolution --preset paper --minutes 60            # all tasks, arms and factors, in pieces
python -m experiments.neuroevolution --preset paper --dataset mnist --data-dir DIR
python -m experiments.neuroevolution --preset scale                         # M2N2's own scale, 50 000 evaluations
python -m experiments.neuroevolution.tuned                                  # the table of tuned settings
python -m experiments.neuroevolution.seconds                                # the table of seconds per evaluation
"""

import sys

from evojax_align import lab
from experiments.common import study

STUDY = study(__package__, "Neuroevolution with aligned crossover", __doc__)

if __name__ == "__main__":
    sys.exit(lab.main(STUDY))
