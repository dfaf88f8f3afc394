import jax
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
