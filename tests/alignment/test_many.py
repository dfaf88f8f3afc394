import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, population, symmetry
from evojax_align.alignment import align_many

X = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)


def apply(p, x):
    return jnp.tanh(jnp.tanh(x @ p["a"]) @ p["b"]) @ p["c"]


def draw(seed, noise=0.0):
    random, other = np.random.default_rng(1), np.random.default_rng(seed)
    w = lambda *shape: (random.normal(size=shape) + noise * other.normal(size=shape)).astype(np.float32)
    return {"a": w(4, 8), "b": w(8, 6), "c": w(6, 2)}


def shuffled(params, seed):
    spec = symmetry.infer(apply, params, X)
    return symmetry.permute(spec, params, symmetry.random_permutations(spec, jax.random.key(seed)))


def total(networks):
    """The correlation of all pairs of networks, neuron by neuron."""
    spec = symmetry.infer(apply, population.take(networks, 0), X)
    read = [symmetry.activations(spec, apply, p, X) for p in population.unstack(networks)]
    return sum(
        float(np.sum([np.corrcoef(p[g][:, i], q[g][:, i])[0, 1] for i in range(p[g].shape[1])]))
        for n, p in enumerate(read)
        for q in read[n + 1 :]
        for g in p
    )


def test_copies_of_one_network_come_into_one_order_and_average_to_it():
    networks = population.stack([draw(1), *(shuffled(draw(1), seed) for seed in range(3))])
    out = align_many(apply, networks, X)
    for i in range(4):
        for name, leaf in draw(1).items():
            np.testing.assert_array_equal(out.networks[name][i], leaf)
    for name, leaf in draw(1).items():
        np.testing.assert_allclose(crossover.average(out.networks)[name], leaf, rtol=1e-6)
    for scores in out.scores.values():
        np.testing.assert_allclose(scores, 1, atol=1e-5)


@pytest.mark.slow
def test_refinement_raises_the_correlation_of_all_pairs_and_keeps_all_functions():
    networks = population.stack([shuffled(draw(seed, noise=0.9), seed) for seed in range(4)])
    with_first, refined = align_many(apply, networks, X, rounds=0), align_many(apply, networks, X)
    assert (with_first.rounds, refined.rounds >= 1) == (0, True)
    assert total(refined.networks) > total(with_first.networks) > total(networks)
    for i in range(4):
        before, after = (apply(population.take(n, i), X) for n in (networks, refined.networks))
        np.testing.assert_allclose(before, after, atol=1e-4)
    mean = np.mean([float(jnp.sum(scores)) for scores in refined.scores.values()])
    assert mean * 2 * 4 * 3 / 2 / 4 == pytest.approx(total(refined.networks), rel=1e-3)


@pytest.mark.slow
def test_orders_are_consistent_around_every_cycle():
    networks = population.stack([shuffled(draw(seed, noise=0.5), seed) for seed in range(3)])
    out = align_many(apply, networks, X)
    spec = symmetry.infer(apply, population.take(networks, 0), X)
    for i in range(3):
        order = {group: index[i] for group, index in out.permutations.items()}
        moved = symmetry.permute(spec, population.take(networks, i), order)
        for name, leaf in moved.items():
            np.testing.assert_array_equal(out.networks[name][i], leaf)


def attention(p, x):
    q, k, v = (jnp.tensordot(x, p[name], 1) for name in "qkv")
    return jnp.einsum("hts,shd,hde->te", jax.nn.softmax(jnp.einsum("thd,shd->hts", q, k), -1), v, p["o"])


@pytest.mark.slow
def test_heads_come_into_one_order_too():
    random = np.random.default_rng(3)
    shapes = {"q": (4, 3, 4), "k": (4, 3, 4), "v": (4, 3, 6), "o": (3, 6, 5)}
    params = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    spec = symmetry.infer(attention, params, X)
    copies = [symmetry.permute(spec, params, symmetry.random_permutations(spec, jax.random.key(s))) for s in range(2)]
    out = align_many(attention, population.stack([params, *copies]), X)
    for name, leaf in params.items():
        np.testing.assert_array_equal(out.networks[name][2], leaf)


def test_one_network_and_bad_rounds_are_refused():
    one = population.stack([draw(1)])
    with pytest.raises(ValueError, match="networks: got 1 network; expected at least 2"):
        align_many(apply, one, X)
    with pytest.raises(ValueError, match="rounds: got -1"):
        align_many(apply, population.stack([draw(1), draw(1)]), X, rounds=-1)
