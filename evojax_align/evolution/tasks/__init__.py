"""Tasks on which networks are evaluated.

Control tasks are subclasses of `Control`: `SwingUp`, `DoublePole` and `Acrobot`. `Supervised` is classification or
regression on mini-batches. For all of them, `task.fitness(network)` is the fitness function, from a key and parameters
(and data) to an `Evaluation`.

`Classification` and `SwingUp` can also be called with a network that is evaluated at several shared weights at once, as
`Wann` does; they then return a reward at each.
"""

from evojax_align.evolution.tasks.acrobot import Acrobot, Links
from evojax_align.evolution.tasks.classification import Classification
from evojax_align.evolution.tasks.control import Control, Fitness
from evojax_align.evolution.tasks.double_pole import DoublePole, Poles
from evojax_align.evolution.tasks.supervised import Supervised, SupervisedFitness
from evojax_align.evolution.tasks.swing_up import Pole, SwingUp

__all__ = [
    "Acrobot",
    "Classification",
    "Control",
    "DoublePole",
    "Fitness",
    "Links",
    "Pole",
    "Poles",
    "Supervised",
    "SupervisedFitness",
    "SwingUp",
]
