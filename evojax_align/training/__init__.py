"""Gradient descent for one network and, lifted, for a population.

`step`, `epoch` and `descend` are of one network; `init`, `step_epoch` and `finish` of a population, and `fit` is all of
them.
"""

from evojax_align.training.descent import descend, epoch, step
from evojax_align.training.evaluation import (
    CHUNK,
    check_labels,
    evaluate,
    evaluate_ensemble,
    in_chunks,
    loss_and_accuracy,
)
from evojax_align.training.members import History, Member, check_masks, finish, fit, init, step_epoch

__all__ = [
    "CHUNK",
    "History",
    "Member",
    "check_labels",
    "check_masks",
    "descend",
    "epoch",
    "evaluate",
    "evaluate_ensemble",
    "finish",
    "fit",
    "in_chunks",
    "init",
    "loss_and_accuracy",
    "step",
    "step_epoch",
]
