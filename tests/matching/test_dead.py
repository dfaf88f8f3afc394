"""Dead neurons, which every matching treats alike."""

import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import matching

DEAD_X, DEAD_Y = np.array([0, 1, 0, 0, 1, 0], bool), np.array([1, 0, 0, 1, 0, 0], bool)


def batched(scores, **dead):
    return matching.one_to_one(scores[None], **{name: mask[None] for name, mask in dead.items()})


MATCHINGS = {
    "canonical": lambda scores, **dead: matching.canonical(scores, scores[::-1], **dead),
    "greedy_index": matching.greedy_index,
    "injective": matching.injective,
    "one_to_one": matching.one_to_one,
    "one_to_one, of a batch": batched,
    "mutual": matching.mutual,
    "semi": matching.semi,
    "semi, of y": lambda scores, **dead: matching.semi(scores, direction="y", **dead),
}


@pytest.mark.parametrize("name", MATCHINGS)
@pytest.mark.parametrize("seed", range(3))
def test_dead_neurons_are_partners_of_dead_ones(name, seed):
    scores = jnp.asarray(np.random.default_rng(seed).normal(size=(6, 6)), jnp.float32)
    scores = scores.at[DEAD_X.argmax()].add(5)  # what is dead may have large scores by chance
    m = MATCHINGS[name](scores, dead_x=jnp.asarray(DEAD_X), dead_y=jnp.asarray(DEAD_Y))
    x, y = np.ravel(m.x), np.ravel(m.y)
    partners = zip(DEAD_X[x], DEAD_Y[y], strict=True)
    one_sided = {"semi": 0, "semi, of y": 1}  # a live neuron may choose a dead one of high score
    if name in one_sided:
        side = one_sided[name]
        assert all(pair[1 - side] for pair in partners if pair[side])
    else:
        assert all(of_x == of_y for of_x, of_y in partners)
