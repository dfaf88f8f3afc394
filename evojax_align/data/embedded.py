"""The digits that scikit-learn carries: 1797 images of 8x8, no download."""

import numpy as np

from evojax_align import _checks
from evojax_align.data.dataset import Source


def digits() -> Source:
    """All 1797 digits, in the order of scikit-learn; their grey levels run from 0 to 16."""
    images, labels = _checks.extra("sklearn.datasets", "experiments").load_digits(return_X_y=True)
    return Source((np.float32(images).reshape(-1, 8, 8) / 16, labels), None, "digits")
