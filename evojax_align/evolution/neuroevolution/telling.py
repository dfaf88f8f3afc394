"""Checks of the arguments of `tell`: the networks are those from `ask`, and not all of them have failed."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks, population
from evojax_align._types import Array, PyTree
from evojax_align.evolution.evaluation import Evaluation
from evojax_align.evolution.neuroevolution.judging import evaluation


def check_asked(asked: PyTree, members: PyTree, count: int) -> None:
    """Require networks like the members, as many as `ask` returned."""
    fix = "Pass the networks that ask returned."
    if jax.tree.structure(asked) != jax.tree.structure(members):
        raise _checks.bad("population", "networks of another structure", "the networks that ask returned", fix)
    if (came := population.size(asked)) != count:
        raise _checks.bad("population", f"{came} networks", f"the {count} that ask returned", fix)
    for (path, new), old in zip(jax.tree_util.tree_leaves_with_path(asked), jax.tree.leaves(members), strict=True):
        if jnp.shape(new)[1:] != old.shape[1:]:
            came = f"shape {jnp.shape(new)[1:]} at the leaf {_checks.path_string(path)!r}"
            raise _checks.bad("population", came, f"{old.shape[1:]}", fix)


def evaluations(values: Any, count: int) -> Evaluation:
    """Evaluations with a leading axis, from the values that a user passes."""
    fix = "Pass one number, or one Evaluation, for each network."
    if isinstance(values, list | tuple):
        if len(values) != count:
            raise _checks.bad("values", f"{len(values)} values", f"{count}, one for each network", fix)
        values = population.stack([evaluation(value) for value in values])
    if not isinstance(values, Evaluation):
        if not hasattr(values, "dtype"):
            raise _checks.bad("values", repr(values)[:80], f"an array, a list or an Evaluation of {count}", fix)
        values = Evaluation(jnp.asarray(values))
    if jnp.shape(values.fitness) != (count,):
        raise _checks.bad("values", f"shape {jnp.shape(values.fitness)}", f"({count},), one for each network", fix)
    fitness = jnp.asarray(values.fitness)
    if jnp.issubdtype(fitness.dtype, jnp.complexfloating):
        raise _checks.bad("values", "complex numbers", "real ones", "Take their real parts.")
    return dataclasses.replace(values, fitness=fitness.astype(jnp.promote_types(fitness.dtype, jnp.float32)))


def refuse_failure(fitness: Array) -> None:
    """Raise an error if every evaluation of a generation failed, unless the values are traced."""
    if _checks.is_concrete(fitness) and np.isnan(np.asarray(fitness)).all():
        fix = "Look for a division by zero, or for outputs that are not finite, in one call fitness(key, params)."
        raise _checks.bad("fitness", "NaN for all networks", "a number for some", fix)
