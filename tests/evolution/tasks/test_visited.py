import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution.tasks import visited


def kept(lengths, count, *, sequences=False, after=40):
    """Which steps are chosen of episodes of these lengths; an episode goes on to be written to for a while."""
    lengths = jnp.array(lengths)
    rows = jnp.zeros((visited.rows_for(count, sequences=sequences), len(lengths), 1))

    def step(carry, number):
        rows, stride = carry
        seen = jnp.full((len(lengths), 1), number, jnp.float32)
        return visited.written(rows, seen, number, stride, number < lengths, sequences=sequences), None

    steps = jnp.arange(int(lengths.max()) + after, dtype=jnp.int32)
    rows = jax.lax.scan(step, (rows, jnp.array(1, jnp.int32)), steps)[0][0]
    return np.asarray(visited.chosen(rows, lengths, count, sequences=sequences))[:, :, 0]


@pytest.mark.parametrize("count", [1, 7, 64])
def test_observations_are_spread_over_the_whole_of_each_episode(count):
    lengths = [1, 2, 3, 5, 14, 15, 16, 29, 30, 31, 64, 128, 129, 130, 257, 258, 259, 1000, 3000]
    for length, steps in zip(lengths, kept(lengths, count), strict=True):
        gaps = np.diff(steps)
        assert steps[0] == 0 and steps.max() < length, length
        if length >= count > 1:
            assert len(set(steps)) == count, length
            assert gaps.max() <= 2 * max(gaps.min(), 1), length  # as even as two neighbouring strides
            assert steps[-1] + 2 * gaps.max() >= length - 1, length
        elif count > 1:
            assert np.all(np.isin(gaps, [0, 1])) and steps[-1] == length - 1, length


def test_a_sequence_is_the_first_steps_and_then_repeats_the_last_one():
    found = kept([1, 3, 4, 9], 4, sequences=True)
    np.testing.assert_array_equal(found, [[0, 0, 0, 0], [0, 1, 2, 2], [0, 1, 2, 3], [0, 1, 2, 3]])
