import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align.evolution.tasks import visited


def kept(lengths, count, *, sequences=False, after=40, together=1):
    """Which steps are chosen of episodes of these lengths; an episode goes on to be written to for a while."""
    lengths = jnp.array(lengths)
    rows = jnp.zeros((visited.rows_for(count, sequences=sequences), len(lengths), 1))

    def step(rows, numbers):
        seen = jnp.broadcast_to(numbers.astype(jnp.float32)[:, None, None], (together, len(lengths), 1))
        alive = numbers[:, None] < lengths[None]
        return visited.written(rows, seen, numbers, alive, sequences=sequences), None

    steps = jnp.arange((int(lengths.max()) + after) // together * together, dtype=jnp.int32)
    rows = jax.lax.scan(step, rows, steps.reshape(-1, together))[0]
    return np.asarray(visited.chosen(rows, lengths, count, sequences=sequences))[:, :, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("count", "together"), [(1, 3), (7, 8), (64, 8)])
def test_steps_may_be_written_together(count, together):
    lengths = [1, 2, 14, 15, 16, 31, 128, 130, 258, 1000]
    np.testing.assert_array_equal(kept(lengths, count), kept(lengths, count, together=together))
    first = [1, 5, count, 3 * count]
    sequences = [kept(first, count, sequences=True, together=n) for n in (1, min(together, count))]
    np.testing.assert_array_equal(*sequences)


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
