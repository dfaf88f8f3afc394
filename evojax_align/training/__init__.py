"""Gradient descent for one network and, lifted, for a population.

`step`, `epoch` and `descend` train one network; `init`, `step_epoch` and `finish` a population; `fit` calls all three.
`fit_pieces` trains networks of many architectures by compiled programs of their pieces.
"""

from evojax_align.training.chains import InTraining, Pieced
from evojax_align.training.descent import descend, epoch, step
from evojax_align.training.evaluation import evaluate, evaluate_ensemble
from evojax_align.training.fitting import fit
from evojax_align.training.members import History, Member, finish, init, step_epoch
from evojax_align.training.pieces import (
    begin_pieces,
    evaluate_pieces,
    fit_pieces,
    init_pieces,
    run_pieces,
    train_pieces,
)
from evojax_align.training.precision import in_precision
from evojax_align.training.scoring import (
    Score,
    cross_entropy,
    in_chunks,
    measures,
    score,
)

__all__ = [
    "History",
    "InTraining",
    "Member",
    "Pieced",
    "Score",
    "begin_pieces",
    "cross_entropy",
    "descend",
    "epoch",
    "evaluate",
    "evaluate_ensemble",
    "evaluate_pieces",
    "finish",
    "fit",
    "fit_pieces",
    "in_chunks",
    "in_precision",
    "init",
    "init_pieces",
    "measures",
    "run_pieces",
    "score",
    "step",
    "step_epoch",
    "train_pieces",
]
