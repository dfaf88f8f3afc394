"""Correction for multiple tests."""

import numpy as np

from evojax_align import _checks
from evojax_align._types import Float
from evojax_align.statistics._values import Values, vector


def holm(p_values: Values) -> Float[np.ndarray, "n"]:
    """Holm's correction of the p values of several claims that are tested together.

    With p_(1) <= ... <= p_(m), the i-th smallest becomes max over j <= i of min(1, (m - j + 1) p_(j)). If those below a
    level are called significant, the probability of rejecting any true hypothesis is at most this level, under any
    dependence of the tests.

    Args:
        p_values: one for each claim, in any order; may be empty.

    Returns:
        The corrected p values in the same order, not smaller than the given ones.

    Raises:
        ValueError: one is NaN or outside [0, 1].

    Example:
        >>> import evojax_align as ea
        >>> ea.statistics.holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]

    References:
        Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scand. J. Statistics 6, 65-70.
    """
    p = vector("p_values", p_values, least=0)
    if np.any((p < 0) | (p > 1)):
        raise _checks.bad("p_values", f"values from {p.min():g} to {p.max():g}", "values in [0, 1]", "Pass p values.")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(np.minimum(1, np.arange(len(p), 0, -1) * p[order]))
    return corrected
