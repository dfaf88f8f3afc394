"""Part 1: champions of separate runs are crossed, and their children scored."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import evojax_align as ea
from evojax_align import alignment, crossover, symmetry
from evojax_align._types import Array, PRNGKey, PyTree
from experiments.neuroevolution.tasks import Judge


@partial(jax.jit, static_argnums=(0, 1))
def crossed(judge: Judge, children: int, key: PRNGKey, pair: PyTree, test: PyTree) -> dict[str, Array]:
    """Scores of two champions, and of their children for each of `config.METHODS`.

    Args:
        judge: the task.
        children: by the exchange of neurons, whose scores are averaged.
        key: a random key.
        pair: both champions, as a population.
        test: the data of the score.

    Returns:
        `parents` [2], `halfway` [methods] and `exchanged` [methods]; and `dead`, the share of neurons of both that
        are constant on what they see.
    """
    key_seen, key_random, key_order, key_children, key_score = jax.random.split(key, 5)
    a, b = (ea.population.take(pair, side) for side in (0, 1))
    seen = judge.seen(key_seen, a, b)
    spec = symmetry.infer(judge.apply, a, seen)
    score = partial(judge.score, key_score, test=test)

    def aligned(method: Any, x: PyTree) -> PyTree:
        found = alignment.align_to(judge.apply, a, ea.population.stack([b]), x, method=method, spec=spec)
        return ea.population.take(found.networks, 0)

    seconds = [
        b,
        aligned("correlation", seen),
        aligned("correlation", judge.random_inputs(key_random)),
        aligned(alignment.Weights(restarts=1), seen),
        symmetry.permute(spec, b, symmetry.random_permutations(spec, key_order)),
        aligned(alignment.DeadOnly(), seen),
    ]

    def of_neurons(second: PyTree) -> Array:
        def child(key: PRNGKey) -> Array:
            return score(crossover.neurons(key, a, second, spec=spec))

        return jnp.mean(ea.population.map(child, jax.random.split(key_children, children)))

    stacked = ea.population.stack(seconds)
    halfway = ea.population.map(lambda second: score(crossover.arithmetic(a, second, 0.5)), stacked)
    moments = alignment.relate(spec, judge.apply, a, b, seen)
    dead = [jnp.mean(getattr(relation, side)) for relation in moments.values() for side in ("dead_x", "dead_y")]
    return {
        "parents": ea.population.map(score, pair),
        "halfway": halfway,
        "exchanged": ea.population.map(of_neurons, stacked),
        "dead": jnp.mean(jnp.stack(dead)),
    }


def plain(found: dict[str, Array]) -> dict[str, np.ndarray]:
    """Arrays of the host."""
    return {name: np.asarray(value, np.float32) for name, value in found.items()}
