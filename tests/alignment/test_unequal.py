import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover
from evojax_align.alignment import align_unequal

X = jax.random.normal(jax.random.key(0), (32, 6, 6, 2))


class Net(nn.Module):
    widths: tuple

    @nn.compact
    def __call__(self, x):
        for width in self.widths[:-1]:
            x = nn.relu(nn.Conv(width, (3, 3))(x))
        x = x.reshape(x.shape[0], -1)
        return nn.Dense(3)(nn.relu(nn.Dense(self.widths[-1])(x)))


A, B = Net((4, 9)), Net((6, 5))
a, b = jax.jit(A.init)(jax.random.key(1), X), jax.jit(B.init)(jax.random.key(2), X)


@pytest.mark.slow
@pytest.mark.parametrize("between", [(), pytest.param((7,), marks=pytest.mark.slow)])
def test_kept_neurons_leave_both_functions_as_they_were(between):
    narrow, other, wide = Net((4, *between, 9)), Net((6, *between, 5)), Net((6, *between, 9))
    a, b = narrow.init(jax.random.key(1), X), other.init(jax.random.key(2), X)
    out = align_unequal(narrow.apply, a, other.apply, b, X)
    np.testing.assert_allclose(wide.apply(out.a, X), narrow.apply(a, X), atol=1e-5)
    np.testing.assert_allclose(wide.apply(out.b, X), other.apply(b, X), atol=1e-5)
    child = crossover.arithmetic(out.a, out.b, 0.5)
    assert np.isfinite(wide.apply(child, X)).all()
    assert sorted(out.places_a["Conv_0"].tolist()) == [-1, -1, 0, 1, 2, 3]
    assert sorted(out.places_b["Conv_0"].tolist()) == [0, 1, 2, 3, 4, 5]
    assert np.asarray(out.scores["Conv_0"])[-2:].tolist() == [0, 0]


def test_dropped_neurons_leave_networks_of_the_smaller_widths():
    out = align_unequal(A.apply, a, B.apply, b, X, unmatched="dropped")
    narrow = Net((4, 5))
    shapes = jax.tree.map(jnp.shape, narrow.init(jax.random.key(0), X))
    assert jax.tree.map(jnp.shape, out.a) == jax.tree.map(jnp.shape, out.b) == shapes
    order = np.asarray(out.places_b["Conv_0"])
    np.testing.assert_array_equal(
        out.b["params"]["Conv_0"]["kernel"], np.asarray(b["params"]["Conv_0"]["kernel"])[..., order]
    )


@pytest.mark.slow
def test_a_network_is_found_inside_a_wider_one():
    deep, larger = Net((4, 7, 9)), Net((6, 9, 12))
    a = deep.init(jax.random.key(1), X)
    padded = align_unequal(deep.apply, a, larger.apply, larger.init(jax.random.key(5), X), X).a
    wide = jax.tree.map(lambda leaf: leaf[...], padded)
    order = np.random.default_rng(0).permutation(6)
    first, second = wide["params"]["Conv_0"], wide["params"]["Conv_1"]
    first["kernel"], first["bias"] = first["kernel"][..., order], first["bias"][order]
    second["kernel"] = second["kernel"][:, :, order]
    first["bias"] = jnp.where(np.isin(order, [4, 5]), 1.0, first["bias"])  # neurons that no one listens to
    first["kernel"] = jnp.where(np.isin(order, [4, 5]), 0.3, first["kernel"])
    out = align_unequal(deep.apply, a, larger.apply, wide, X)
    places = np.asarray(out.places_b["Conv_0"])
    np.testing.assert_array_equal(order[places[:4]], np.asarray(out.places_a["Conv_0"])[:4])
    np.testing.assert_allclose(out.scores["Conv_0"][:4], 1, atol=1e-5)


def test_equal_widths_are_matched_as_by_align():
    import evojax_align as ea

    other = A.init(jax.random.key(7), X)
    out = align_unequal(A.apply, a, A.apply, other, X)
    same = ea.align(A.apply, a, other, X)
    for p, q in zip(*map(jax.tree.leaves, ((out.a, out.b), (same.a, same.b))), strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.slow
def test_dead_neurons_are_paired_with_dead_and_leave_the_others_to_the_living():
    apply = lambda p, x: jax.nn.relu(x @ p["in"] + p["bias"][None]) @ p["out"]
    column, other = np.random.default_rng(0).normal(size=(2, 4, 1)).astype(np.float32)
    narrow = {"in": np.hstack([other, column]), "bias": np.float32([-100, 0]), "out": np.ones((2, 2), np.float32)}
    opposite = np.hstack([-column, 0.3 * other - column, column])  # a live neuron would rather have the dead one
    wide = {"in": opposite, "bias": np.float32([0, 0, -100]), "out": np.ones((3, 2), np.float32)}
    x = jax.random.normal(jax.random.key(0), (40, 4))
    out, mirrored = align_unequal(apply, narrow, apply, wide, x), align_unequal(apply, wide, apply, narrow, x)
    for ours, theirs in ((out.places_a, out.places_b), (mirrored.places_b, mirrored.places_a)):
        assert ours["in"].tolist() == [0, 1, -1]
        assert theirs["in"].tolist() == [2, 1, 0]


def test_other_differences_are_refused():
    class Other(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.relu(nn.Dense(4)(x.reshape(x.shape[0], -1))))

    other = Other().init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="the leaf 'params/Conv_0"):
        align_unequal(A.apply, a, Other().apply, other, X)
    with pytest.raises(ValueError, match=r"unmatched: got 'keep'.*Did you mean 'kept'"):
        align_unequal(A.apply, a, B.apply, b, X, unmatched="keep")

    class Wider(Net):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(4)(nn.relu(nn.Dense(5)(x.reshape(x.shape[0], -1))))

    class Narrow(Net):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(3)(nn.relu(nn.Dense(5)(x.reshape(x.shape[0], -1))))

    p, q = (net((1,)).init(jax.random.key(0), X) for net in (Wider, Narrow))
    with pytest.raises(ValueError, match="lengths 4 and 3 at axis 0 of the leaf 'params/Dense_0/bias'"):
        align_unequal(Wider((1,)).apply, p, Narrow((1,)).apply, q, X)
