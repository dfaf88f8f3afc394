import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import symmetry


@pytest.fixture
def change():
    """The largest change of any output under random permutations, relative to its size; runs without compiling."""

    def measure(spec, apply, params, x, draws=2):
        expected = jax.tree.leaves(apply(params, x))
        worst = 0.0
        for seed in range(draws):
            random = np.random.default_rng(seed)
            shapes = {group: spec.shape_of(group) for group in spec.groups}
            shifted = {g: np.broadcast_to(np.roll(np.arange(s[-1]), 1), s) for g, s in shapes.items()}
            orders = {g: random.permuted(order, axis=-1) for g, order in shifted.items()} if seed else shifted
            moved = jax.tree.leaves(apply(symmetry.permute(spec, params, orders), x))
            for p, q in zip(expected, moved, strict=True):
                p, q = np.asarray(p, np.float32), np.asarray(q, np.float32)
                worst = max(worst, np.max(np.abs(p - q)) / (0.1 + np.max(np.abs(p))))
        return worst

    return measure


@pytest.fixture
def groups_that_follow():
    """Asserts that the activations of every group go where a permutation sends its neurons; gives the groups read."""

    def check(spec, apply, params, x, orders):
        before = symmetry.activations(spec, apply, params, x)
        after = symmetry.activations(spec, apply, symmetry.permute(spec, params, orders), x)
        assert after.keys() == before.keys()
        for group, columns in before.items():
            if group in spec.parents:
                heads = orders[spec.parents[group]]
                expected = jnp.take_along_axis(columns[:, heads], orders[group][heads][None], axis=2)
            else:
                expected = columns[:, orders[group]]
            np.testing.assert_allclose(after[group], expected, atol=1e-4 * float(jnp.max(jnp.abs(columns))) + 1e-6)
        return set(before)

    return check
