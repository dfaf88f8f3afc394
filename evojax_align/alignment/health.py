"""What only values can tell of two networks: found where they are related, looked at on the host in one transfer."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from evojax_align import _checks
from evojax_align._types import Array, Bool, PyTree
from evojax_align.alignment.records import Relation

FIX = "Drop this network, or train it again with a smaller learning rate."


class Health(NamedTuple):
    """Flags of one network, all true if it can be aligned.

    Attributes:
        parameters: whether all parameters are finite.
        activations: for each group, whether all activations are.
        alive: for each group, whether any neuron is.
    """

    parameters: Bool[Array, "*batch"]
    activations: Mapping[str, Bool[Array, "*batch"]]
    alive: Mapping[str, Bool[Array, "*batch"]]


def examine(a: PyTree, b: PyTree, relations: Mapping[str, Relation]) -> tuple[Health, Health]:
    """The health of both networks of a pair."""
    seen = {group: relation.moments for group, relation in relations.items()}
    return (
        Health(
            parameters=all_finite(a),
            activations={group: jnp.all(jnp.isfinite(m.square_x)) for group, m in seen.items()},
            alive={group: ~jnp.all(m.dead_x) for group, m in seen.items()},
        ),
        Health(
            parameters=all_finite(b),
            activations={group: jnp.all(jnp.isfinite(m.square_y)) for group, m in seen.items()},
            alive={group: ~jnp.all(m.dead_y) for group, m in seen.items()},
        ),
    )


def all_finite(*trees: PyTree) -> Bool[Array, ""]:
    """Whether every inexact leaf holds finite values only."""
    leaves = [leaf for leaf in jax.tree.leaves(trees) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in leaves], bool))


def refuse(healths: tuple[Health, Health], a: PyTree, b: PyTree, x: PyTree) -> None:
    """Raise an error for the first flag that is not true; flags may have a leading axis of pairs."""
    for name, network, health in zip("ab", (a, b), jax.device_get(healths), strict=True):
        if not health.parameters.all():
            _checks.all_finite(name, network)  # names the leaf
        for group, flags in health.activations.items():
            if not flags.all():
                _checks.all_finite("x", x, "Leave these samples out, or fill them in.")
                came = f"activations in group {group!r}{_of_pair(flags)} that are not finite, or beyond 1e19"
                raise _checks.bad(name, came, "activations whose squares are finite", FIX)
        for group, flags in health.alive.items():
            if not flags.all():
                dead = "only dead neurons (constant over the samples, or below 1e-19)"
                raise _checks.bad(
                    name,
                    f"{dead} in group {group!r}{_of_pair(flags)}",
                    "at least one whose activation differs between samples",
                    "Use more samples, or drop this network: a layer without live neurons has nothing to align.",
                )


def _of_pair(flags: np.ndarray) -> str:
    return f" of pair {int(np.argmin(flags))}" if flags.ndim else ""
