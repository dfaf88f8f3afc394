"""Handwritten digits included in the package: 1797 images of 8x8.

They are the test part of the set "Optical Recognition of Handwritten Digits" of E. Alpaydin and C. Kaynak (1998), UCI
Machine Learning Repository, doi:10.24432/C50P49, licence CC BY 4.0, in the order of scikit-learn.
"""

from pathlib import Path

import numpy as np

from evojax_align.data.dataset import Source

FILE = Path(__file__).with_name("digits.npz")


def digits() -> Source:
    """All 1797 digits; their grey levels run from 0 to 16."""
    with np.load(FILE, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    return Source((images.astype(np.float32) / 16, labels.astype(np.int64)), None, "digits")
