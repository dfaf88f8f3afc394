"""How good a network is."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from evojax_align import population, training
from evojax_align._types import Apply, Array, Float, Int, PyTree


def fitness_of(apply: Apply, params: PyTree, x: PyTree, y: Array) -> tuple[Float[Array, ""], Int[Array, " n"]]:
    """Share of the samples that one network gets right, NaN where its outputs are not finite, and its answers."""

    def answer(part: PyTree) -> tuple[Array, Array]:
        logits = apply(params, part)
        return jnp.argmax(logits, axis=-1), jnp.all(jnp.isfinite(logits), axis=-1)

    answers, finite = training.in_chunks(answer, x)
    return jnp.where(jnp.all(finite), jnp.mean(answers == y), jnp.nan), answers


@partial(jax.jit, static_argnames=("apply", "mesh"))
def accuracies(apply: Apply, pop: PyTree, x: PyTree, y: Array, *, mesh: Mesh | None = None) -> Float[Array, " n"]:
    """The fitness of every network of a population."""
    return population.map(lambda params: fitness_of(apply, params, x, y)[0], pop, mesh=mesh)
