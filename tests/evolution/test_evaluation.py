import jax
import jax.numpy as jnp

from evojax_align.evolution import Evaluation


def test_evaluations_of_many_members_are_one_with_leading_axes():
    def evaluated(x):
        return Evaluation(jnp.sum(x), states={"seen": x})

    found = jax.vmap(evaluated)(jnp.ones((4, 3)))
    assert found.fitness.shape == (4,) and found.scores is None and found.states["seen"].shape == (4, 3)
