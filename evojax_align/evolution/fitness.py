"""How good a network is."""

import jax.numpy as jnp

from evojax_align import training
from evojax_align._types import Apply, Array, Float, Int, PyTree


def fitness_of(apply: Apply, params: PyTree, x: PyTree, y: Array) -> tuple[Float[Array, ""], Int[Array, " n"]]:
    """Share of the samples that one network gets right, NaN where its outputs are not finite, and its answers."""

    def answer(part: PyTree) -> tuple[Array, Array]:
        logits = apply(params, part)
        return jnp.argmax(logits, axis=-1), jnp.all(jnp.isfinite(logits), axis=-1)

    answers, finite = training.in_chunks(answer, x)
    return jnp.where(jnp.all(finite), jnp.mean(answers == y), jnp.nan), answers
