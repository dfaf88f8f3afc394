"""Matching by weights: planted copies are found again, and nothing is made worse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import models, symmetry
from evojax_align.alignment import Correlation, Semi, Weights, match_weights

WIDTH = 12


def residual(p, x):
    x = x @ p["in"]
    for block in p["blocks"]:
        x = x + jax.nn.relu(x @ block["up"]) @ block["down"]
    return x @ p["out"]


def draw(seed, depth=2):
    random = np.random.default_rng(seed)
    w = lambda *shape: (random.normal(size=shape) / np.sqrt(shape[0])).astype(np.float32)
    blocks = [{"up": w(WIDTH, WIDTH), "down": w(WIDTH, WIDTH)} for _ in range(depth)]
    return {"in": w(5, WIDTH), "blocks": blocks, "out": w(WIDTH, 3)}


X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)


def shuffled(apply, params, x, seed):
    spec = symmetry.infer(apply, params, x)
    orders = symmetry.random_permutations(spec, jax.random.key(seed))
    return spec, symmetry.permute(spec, params, orders)


def closeness(a, b):
    return sum(float(jnp.vdot(p, q)) for p, q in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def recovered(a, b):
    return all(np.array_equal(p, q) for p, q in zip(*map(jax.tree.leaves, (a, b)), strict=True))


def found_by_weights_alone(seed, restarts):
    params = draw(seed, depth=4)
    spec, copy = shuffled(residual, params, X, seed)
    orders = match_weights(spec, params, copy, symmetry.identity(spec), restarts=restarts)
    return recovered(params, symmetry.permute(spec, copy, orders))


@pytest.mark.slow
def test_at_least_29_of_30_residual_copies_are_recovered_from_weights_alone():
    assert sum(found_by_weights_alone(seed, restarts=8) for seed in range(30)) >= 29


@pytest.mark.slow
def test_more_restarts_end_higher_or_at_the_same_height():
    heights = []
    for seed in range(3):
        a, b = draw(seed, depth=4), draw(seed + 10, depth=4)
        spec = symmetry.infer(residual, a, X)
        ends = [match_weights(spec, a, b, symmetry.identity(spec), restarts=count) for count in (1, 2, 8)]
        heights.append([closeness(a, symmetry.permute(spec, b, end)) for end in ends])
    assert all(one <= two <= eight for one, two, eight in heights)
    assert any(one < eight for one, _, eight in heights)


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_a_copy_is_recovered_by_align(engine):
    params = draw(0)
    _, copy = shuffled(residual, params, X, 3)
    out = ea.align(residual, params, copy, X, method=Weights(restarts=2, engine=engine))
    assert recovered(out.a, params) and recovered(out.b, params)
    for group, scores in out.scores.items():  # those of dead neurons are 0
        np.testing.assert_allclose(sorted(scores)[int(out.dead_a[group]) :], 1, atol=1e-5)


def test_the_parameters_end_nearer_than_activations_bring_them_and_functions_stay():
    a, b = draw(1), draw(2)
    by_activations = ea.align(residual, a, b, X)
    out = ea.align(residual, a, b, X, method="weights")
    assert closeness(out.a, out.b) >= closeness(by_activations.a, by_activations.b) > closeness(a, b)
    assert recovered(out.a, a)
    np.testing.assert_allclose(residual(out.b, X), residual(b, X), atol=1e-4)


@pytest.mark.slow
def test_under_jit_and_for_many_pairs_it_is_as_good():
    pairs = [(draw(seed), shuffled(residual, draw(seed), X, seed)[1]) for seed in (4, 5)]
    traced = jax.jit(lambda a, b: ea.align(residual, a, b, X, method=Weights(restarts=2)).b)
    for a, b in pairs:
        assert recovered(traced(a, b), a)
    a, b = (ea.population.stack(list(side)) for side in zip(*pairs, strict=True))
    assert recovered(ea.align_pairs(residual, a, b, X, method=Weights(restarts=2)).b, a)


def attention(p, x):
    q, k, v = (jnp.tensordot(x, p[name], 1) for name in "qkv")
    weights = jax.nn.softmax(jnp.einsum("thd,shd->hts", q, k), axis=-1)
    return jnp.einsum("hts,shd,hde->te", weights, v, p["o"])


@pytest.mark.slow
def test_heads_and_their_channels_are_recovered_together():
    random = np.random.default_rng(3)
    shapes = {"q": (5, 3, 4), "k": (5, 3, 4), "v": (5, 3, 6), "o": (3, 6, 5)}
    params = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    spec, copy = shuffled(attention, params, X, 1)
    assert len(spec.parents) == 2
    for method in ("weights", "correlation"):
        out = ea.align(attention, params, copy, X, method=method)
        assert recovered(out.b, params)
        for scores in out.scores.values():  # of heads the means of their channels
            np.testing.assert_allclose(scores, 1, atol=1e-4)
    orders = match_weights(spec, params, copy, symmetry.identity(spec), restarts=4)
    assert recovered(symmetry.permute(spec, copy, orders), params)


def test_restarts_must_be_positive_and_the_start_a_bijective_method():
    with pytest.raises(ValueError, match="restarts: got 0"):
        Weights(restarts=0)
    for start in (Weights(), Semi(), "correlation", Correlation):
        with pytest.raises(ValueError, match=r"start: got .*expected a bijective method that compares activations"):
            Weights(start=start)


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mlp", "vgg")),
        pytest.param("resnet20", marks=pytest.mark.nightly),
    ],
)
def test_every_neuron_of_a_permuted_copy_is_found_by_correlation(kind):
    network = {
        "mlp": models.MLP(hidden=(32, 24)),
        "vgg": models.VGG(stages=((8,), (12, 12))),
        "resnet20": models.ResNet(width=8),
    }[kind]
    x = jax.random.normal(jax.random.key(0), (128, 12, 12, 1))
    params = network.init(jax.random.key(1), x)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    noisy = [leaf * jnp.exp(0.1 * jax.random.normal(key, leaf.shape)) for key, leaf in zip(keys, leaves, strict=True)]
    params = jax.tree.unflatten(tree, noisy)
    spec = symmetry.infer(network.apply, params, x)
    orders = symmetry.random_permutations(spec, jax.random.key(3))
    copy = symmetry.permute(spec, params, orders)
    out = ea.align(network.apply, params, copy, x)
    assert set(out.scores) == set(spec.groups)
    alive = {group: np.asarray(out.scores[group]) > 0.999 for group in out.scores}
    for group, found in alive.items():
        right = np.asarray(orders[group])[np.asarray(out.permutations_b[group])] == np.asarray(
            out.permutations_a[group]
        )
        assert right[found].all() and found.sum() + int(out.dead_a[group]) == found.size


def recurrent(p, x):
    step = lambda h, row: (jnp.tanh(h @ p["w"] + row @ p["in"] + p["b"]), None)
    return jax.vmap(lambda rows: jax.lax.scan(step, jnp.zeros(16), rows)[0])(x) @ p["out"]


def test_a_recurrent_network_is_matched_from_a_start_that_is_nearly_right():
    random = np.random.default_rng(0)
    w = lambda *shape: random.normal(size=shape).astype(np.float32) / 4
    a = {"in": w(5, 16), "w": w(16, 16), "b": w(16), "out": w(16, 3)}
    x = random.normal(size=(20, 6, 5)).astype(np.float32)
    spec = symmetry.infer(recurrent, a, x)
    for seed in range(5):
        noise = np.random.default_rng(seed)
        b = {name: leaf + 0.1 * noise.normal(size=leaf.shape).astype(np.float32) for name, leaf in a.items()}
        start = np.arange(16)
        start[:6] = noise.permutation(start[:6])
        (group,) = spec.groups
        for engine in ("auto", "compiled"):
            found = match_weights(spec, a, b, {group: start}, restarts=1, engine=engine)[group]
            assert found.tolist() == list(range(16))


@pytest.mark.parametrize("engine", ["auto", "compiled"])
def test_groups_that_are_not_asked_for_stay_as_they_are(engine):
    network = models.MLP(hidden=(8, 7))
    a, b = (network.init(jax.random.key(seed), X) for seed in (0, 1))
    spec = symmetry.infer(network.apply, a, X)
    found = match_weights(spec, a, b, {}, restarts=5, groups=["hidden_0"], engine=engine)
    assert found["hidden_1"].tolist() == list(range(7)) and sorted(found["hidden_0"].tolist()) == list(range(8))
    with jax.enable_x64(True):
        start = {"hidden_1": jnp.arange(7)[::-1]}
        found = match_weights(spec, a, b, start, restarts=5, groups=["hidden_0"], engine=engine)
    assert found["hidden_1"].tolist() == list(range(7))[::-1] and found["hidden_1"].dtype == jnp.int32


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"hidden": np.arange(8)}, "start: got 'hidden'"),
        ({"hidden_0": np.arange(7)}, r"start\['hidden_0'\]: got"),
        ({"hidden_0": np.zeros(8, int)}, r"start\['hidden_0'\]: got .* repeats neurons"),
    ],
)
def test_a_start_that_is_no_permutation_is_refused(start, message):
    network = models.MLP(hidden=(8, 7))
    a = network.init(jax.random.key(0), X)
    with pytest.raises(ValueError, match=message):
        match_weights(symmetry.infer(network.apply, a, X), a, a, start, restarts=1)


def test_parameters_that_are_not_finite_are_refused_where_they_count():
    network = models.MLP(hidden=(8, 7, 6))
    a = network.init(jax.random.key(0), X)
    spec = symmetry.infer(network.apply, a, X)
    failed = jax.tree.map(jnp.asarray, a)
    failed["params"]["hidden_2"]["bias"] = failed["params"]["hidden_2"]["bias"].at[0].set(jnp.nan)
    assert match_weights(spec, a, failed, {}, restarts=1, groups=["hidden_0"])["hidden_0"].tolist() == list(range(8))
    with pytest.raises(ValueError, match=r"b: .*hidden_2/bias"):
        match_weights(spec, a, failed, {}, restarts=1)
    huge = jax.tree.map(lambda leaf: leaf * 1e30, a)
    assert sorted(match_weights(spec, huge, huge, {}, restarts=1)["hidden_0"].tolist()) == list(range(8))
