"""Problems of evosax as fitness functions.

Lange, R. T. evosax: JAX-based evolution strategies. GECCO Companion (2023).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from evojax_align import _checks
from evojax_align._types import Array, PRNGKey, PyTree
from evojax_align.evolution.adapters._calling import called

EXTRA = "evosax"
MAXIMISED = {"GymnaxProblem": True, "BraxProblem": True, "BBOBProblem": False, "TorchVisionProblem": False}
"""Problems of evosax, and whether their values are to be maximised."""


def problem(
    task: Any, *, maximise: bool | None = None, key: PRNGKey | None = None, state: Any = None
) -> "ProblemFitness":
    """The fitness function of an evosax problem, for `Neuroevolution`, `Strategy` and others.

    Args:
        task: an object with `init(key)` and `eval(key, solutions, state) -> (fitness, state, metrics)`.
        maximise: whether its values are to be maximised: True for rewards, False for losses; known for evosax's own.
        key: the random key of `init`.
        state: the state of the problem, instead of `init`. It is not updated: the statistics of observations, which
            evosax's reinforcement learning updates, are those given here.

    Returns:
        A function `fitness(key, params)`, larger is better.

    Example:
        >>> import jax, evojax_align as ea
        >>> from evosax.problems import BBOBProblem
        >>> sphere = BBOBProblem("sphere", num_dims=3, f_opt=0.0)
        >>> fitness = ea.evolution.adapters.problem(sphere)
        >>> float(fitness(jax.random.key(0), sphere.x_opt.reshape(-1)[:3])) == 0
        True
    """
    for name in ("init", "eval"):
        if not callable(getattr(task, name, None)):
            fix = "Pass, for example, evosax.problems.BBOBProblem('sphere', num_dims=10)."
            raise _checks.bad("task", repr(task)[:80], "a problem of evosax", fix)
    if maximise is None:
        names = [of.__name__ for of in type(task).__mro__ if of.__name__ in MAXIMISED]
        if not names:
            fix = "Pass maximise=True for rewards, maximise=False for losses."
            raise _checks.bad("maximise", f"None for a {type(task).__name__}", "whether it is to be maximised", fix)
        maximise = MAXIMISED[names[0]]
    if state is None:
        state = called(task.init, jax.random.key(0) if key is None else _checks.key("key", key))
    return ProblemFitness(task, maximise, state)


@dataclasses.dataclass(frozen=True, eq=False)
class ProblemFitness:
    """See `problem`.

    Attributes:
        task: the problem.
        maximise: whether its values are to be maximised.
        state: the state of the problem.

    Example:
        >>> import evojax_align as ea
        >>> from evosax.problems import BBOBProblem
        >>> ea.evolution.adapters.problem(BBOBProblem("sphere")).maximise
        False
    """

    task: Any
    maximise: bool
    state: Any

    def __call__(self, key: PRNGKey, params: PyTree) -> Array:
        """The fitness of one network."""
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], params)
        found = called(self.task.eval, _checks.key("key", key), one, self.state)[0][0]
        return found if self.maximise else -found
