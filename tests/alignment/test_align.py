import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import crossover, population, symmetry
from evojax_align.alignment import CCA, Correlation, Loadings, Semi, relate
from evojax_align.alignment.methods import NAMES as METHODS
from evojax_align.alignment.statistics import STREAM_ABOVE

MATCHING = [method for method in METHODS if method != "none"]
VARIANTS = {
    **{name: METHODS[name] for name in MATCHING},
    "semi, other side": Semi(direction="y"),
    "cca, code": CCA(mode="code"),
    "cca of 3 directions": CCA(rank=3),
    "cca with a ridge": CCA(ridge=0.1),
    "loadings with both": Loadings(rank=4, ridge=0.1),
    "correlation, compiled": Correlation(engine="compiled"),
}
BIJECTIVE = [name for name, method in VARIANTS.items() if method.bijective]
EXACT = [name for name in BIJECTIVE if "directions" not in name and "both" not in name]
"""What finds every neuron of a permuted copy; a few directions pair a few neurons only."""


def shuffled(network, apply, x, seed=3):
    """A copy whose neurons stand in another order, and that order."""
    rng, spec = np.random.default_rng(seed), symmetry.infer(apply, network, x)
    orders = {group: rng.permutation(size) for group, size in spec.groups.items()}
    return symmetry.permute(spec, network, orders), orders


def at_both_depths(names):
    """One hidden layer and three; the less used of them in the long lane."""
    quick = {"shallow": METHODS, "deep": ("correlation", "cca")}
    return [
        pytest.param(name, depth, marks=() if name in quick[depth] else pytest.mark.slow)
        for depth in ("shallow", "deep")
        for name in names
    ]


@pytest.mark.parametrize(("name", "depth"), at_both_depths(BIJECTIVE))
def test_a_bijective_method_changes_neither_function(name, depth, apply, x, request):
    a, b = request.getfixturevalue(depth)
    out = ea.align(apply, a, b, x, method=VARIANTS[name])
    assert out.bijective and out.valid and out.all_finite
    np.testing.assert_allclose(apply(out.a, x), apply(a, x), atol=1e-5)
    np.testing.assert_allclose(apply(out.b, x), apply(b, x), atol=1e-5)
    orders = [*out.permutations_a.values(), *out.permutations_b.values()]
    assert any(np.any(order != np.arange(order.size)) for order in orders) and len(orders) == 2 * (len(a) - 1)


@pytest.mark.parametrize(("name", "depth"), at_both_depths(EXACT))
def test_a_network_and_its_permuted_copy_are_matched_back_exactly(name, depth, apply, x, request):
    a, _ = request.getfixturevalue(depth)
    b, orders = shuffled(a, apply, x)
    out = ea.align(apply, a, b, x, method=VARIANTS[name])
    chex.assert_trees_all_equal(out.a, out.b)
    for group, order in orders.items():
        np.testing.assert_array_equal(order[out.permutations_b[group]], out.permutations_a[group])
        np.testing.assert_allclose(out.scores[group], 1, atol=1e-5)


def test_a_few_directions_pair_as_many_neurons_of_a_permuted_copy_rightly(apply, x, shallow):
    b, orders = shuffled(shallow[0], apply, x)
    out = ea.align(apply, shallow[0], b, x, method=CCA(rank=3))
    for group, order in orders.items():
        np.testing.assert_array_equal(order[out.permutations_b[group][:3]], out.permutations_a[group][:3])
        rest = out.permutations_a[group][3:]
        assert rest.tolist() == sorted(rest.tolist())


def test_the_method_none_is_the_control_that_moves_nothing(apply, x, deep):
    out = ea.align(apply, *deep, x, method="none")
    chex.assert_trees_all_equal((out.a, out.b), deep)
    assert out.bijective and out.valid
    moved = ea.align(apply, *deep, x)
    assert all(jnp.mean(moved.scores[g]) > jnp.mean(out.scores[g]) for g in out.scores)


def test_semi_matching_keeps_one_network_and_copies_from_the_other(apply, x, shallow):
    a, b = shallow
    out = ea.align(apply, a, b, x, method="semi")
    chex.assert_trees_all_equal(out.a, a)
    assert not out.bijective and out.valid
    order = out.permutations_b["0"]
    assert out.permutations_a["0"].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_array_equal(out.b[0]["kernel"], np.asarray(b[0]["kernel"])[:, order])
    np.testing.assert_array_equal(out.b[0]["bias"], np.asarray(b[0]["bias"])[order])
    np.testing.assert_array_equal(out.b[1]["kernel"], np.asarray(b[1]["kernel"])[order])
    numpy = jax.tree.map(np.asarray, shallow)
    hidden = [np.maximum(np.asarray(x) @ layers[0]["kernel"] + layers[0]["bias"], 0) for layers in numpy]
    np.testing.assert_array_equal(order, np.corrcoef(*hidden, rowvar=False)[:6, 6:].argmax(axis=1))
    assert len(set(order.tolist())) < 6


def test_semi_matching_of_the_other_side_is_its_mirror_image(apply, x, shallow):
    a, b = shallow
    other = ea.align(apply, a, b, x, method=Semi(direction="y"))
    chex.assert_trees_all_equal(other.b, b)
    mirrored = ea.align(apply, b, a, x, method="semi")
    chex.assert_trees_all_equal((other.a, other.permutations_a), (mirrored.b, mirrored.permutations_b))


def test_algorithm_2_is_chained_from_layer_to_layer(apply, x, deep):
    """As printed it gathers the rows of W^(d+1) and forgets, one layer later, that they were moved."""
    out = ea.align(apply, *deep, x)
    for network, found, orders in zip(deep, (out.a, out.b), (out.permutations_a, out.permutations_b), strict=True):
        network = jax.tree.map(np.asarray, network)
        for d in range(3):
            network[d]["kernel"] = network[d]["kernel"][:, orders[str(d)]]
            network[d]["bias"] = network[d]["bias"][orders[str(d)]]
            network[d + 1]["kernel"] = network[d + 1]["kernel"][orders[str(d)], :]
        chex.assert_trees_all_equal(found, network)


@pytest.mark.parametrize("method", ["cca", "correlation"])
def test_figure_1_both_aligned_networks_are_equal(method, apply, x):
    """Two networks that learned the features A, B and C, at the places A B C and C A B."""
    rng = np.random.default_rng(0)
    features, after, order = rng.normal(size=(4, 3)), rng.normal(size=(3, 3)), [2, 0, 1]
    a = [{"kernel": features, "bias": np.zeros(3)}, {"kernel": after}]
    b = [{"kernel": features[:, order], "bias": np.zeros(3)}, {"kernel": after[order]}]
    a, b = jax.tree.map(lambda leaf: jnp.asarray(leaf.astype(np.float32)), (a, b))
    out = ea.align(apply, a, b, x, method=method)
    pairs = zip(out.permutations_a["0"].tolist(), out.permutations_b["0"].tolist(), strict=True)
    assert {(i + 1, j + 1) for i, j in pairs} == {(1, 2), (3, 1), (2, 3)}
    chex.assert_trees_all_equal(out.a, out.b)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("correlation", "semi") else pytest.mark.slow) for name in VARIANTS]
)
def test_eager_jitted_mapped_and_paired_calls_agree_member_by_member(name, apply, x, many):
    settings = {"method": VARIANTS[name]}
    first, second = many
    pairs = ea.align_pairs(apply, first, second, x, **settings)
    mapped = jax.jit(lambda a, b: population.map(lambda p, q: ea.align(apply, p, q, x, **settings), a, b))
    assert_same(mapped(first, second), pairs)
    jitted = jax.jit(lambda a, b: ea.align(apply, a, b, x, **settings))
    for i in range(3):
        a, b = population.take(first, i), population.take(second, i)
        eager = ea.align(apply, a, b, x, **settings)
        assert_same(eager, jitted(a, b))
        assert_same(eager, population.take(pairs, i))


@pytest.mark.slow
def test_many_pairs_may_be_aligned_inside_a_program(apply, x, many):
    first, second = many
    inside = jax.jit(lambda a, b: ea.align_pairs(apply, a, b, x, method="semi"))
    assert_same(inside(first, second), ea.align_pairs(apply, first, second, x, method="semi"))


def assert_same(one, other):
    chex.assert_trees_all_equal((one.a, one.b), (other.a, other.b))
    chex.assert_trees_all_equal((one.permutations_a, one.permutations_b), (other.permutations_a, other.permutations_b))
    chex.assert_trees_all_close(one.scores, other.scores, atol=1e-5)
    chex.assert_trees_all_equal((one.valid, one.dead_a, one.dead_b), (other.valid, other.dead_a, other.dead_b))


@pytest.mark.parametrize("method", ["correlation", "semi"])  # by way of the host, and in one program
def test_further_pairs_trace_and_compile_nothing(method, apply, x, many, caplog):
    traces = []

    def counted(params, x):
        traces.append(0)
        return apply(params, x)

    first, second = many
    a, b = population.take(first, 0), population.take(second, 0)
    ea.align(counted, a, b, x, method=method)
    ea.align_pairs(counted, first, second, x, method=method)
    assert traces
    traces.clear()
    more = jax.tree.map(lambda leaf: 2 * leaf, (a, b, first, second))
    with jax.log_compiles():
        ea.align(counted, *more[:2], x, method=method)
        ea.align_pairs(counted, *more[2:], x, method=method)
    assert not traces and "ompiling" not in caplog.text


SCRIPT = """
import hashlib, jax, jax.numpy as jnp
import evojax_align as ea
a, b = ({"in": jax.random.normal(jax.random.key(s), (4, 6)), "out": jnp.ones((6, 2))} for s in (0, 1))
apply = lambda p, x: jax.nn.relu(x @ p["in"]) @ p["out"]
found = ea.align(apply, a, b, jax.random.normal(jax.random.key(2), (60, 4)), method="loadings")
print(hashlib.sha256(b"".join(leaf.tobytes() for leaf in jax.device_get(jax.tree.leaves(found)))).hexdigest())
"""


@pytest.mark.slow
def test_another_process_finds_the_same_bits(capsys):
    exec(SCRIPT, {})
    run = subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, check=True)
    assert capsys.readouterr().out == run.stdout and len(run.stdout) == 65


def test_streaming_changes_nothing(apply, x, shallow, monkeypatch):
    spec = symmetry.infer(apply, shallow[0], x)
    whole = jax.jit(lambda a, b: relate(spec, apply, a, b, x))(*shallow)
    for chunk in (20, 17, 1000):
        streamed = jax.jit(lambda a, b, chunk=chunk: relate(spec, apply, a, b, x, chunk=chunk))(*shallow)
        chex.assert_trees_all_close(streamed, whole, rtol=1e-5, atol=1e-4)
    monkeypatch.setattr("evojax_align.alignment.statistics.STREAM_ABOVE", 64)  # one sample at a time
    streamed = jax.jit(lambda a, b: relate(spec, apply, a, b, x))(*shallow)
    chex.assert_trees_all_close(streamed, whole, rtol=1e-5, atol=1e-4)


def test_samples_of_a_wide_layer_are_streamed(apply):
    """50 000 samples of 4096 neurons are 1.6 GB for two networks; no more than a part of it exists at a time."""
    shapes = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    network = [{"kernel": shapes(8, 4096), "bias": shapes(4096)}, {"kernel": shapes(4096, 2)}]
    x = shapes(50_000, 8)
    spec = symmetry.infer(apply, network, x)
    program = jax.jit(lambda a, b, x: relate(spec, apply, a, b, x)).lower(network, network, x).compile()
    moments = 3 * 4096**2
    assert program.memory_analysis().temp_size_in_bytes < 4 * (3 * STREAM_ABOVE // 4 + 3 * moments)


def test_scores_are_the_correlations_of_partners(apply, x, deep):
    out = ea.align(apply, *deep, x, method="cca")
    spec = symmetry.infer(apply, out.a, x)
    of_a, of_b = (symmetry.activations(spec, apply, network, x) for network in (out.a, out.b))
    for group in spec.groups:
        both = np.corrcoef(of_a[group], of_b[group], rowvar=False)
        size = spec.groups[group]
        np.testing.assert_allclose(out.scores[group], np.diag(both[:size, size:]), atol=1e-5)


def residual(params, x):
    x = jax.nn.relu(x @ params["in"])
    x = x + jax.nn.relu(x @ params["up"]) @ params["down"]
    return x @ params["out"]


def test_a_group_that_is_seen_at_several_places_is_matched_by_all_of_them(x):
    rng = np.random.default_rng(0)
    shapes = {"in": (4, 6), "up": (6, 5), "down": (5, 6), "out": (6, 3)}
    a = {name: jnp.asarray(rng.normal(size=shape).astype(np.float32)) for name, shape in shapes.items()}
    b, orders = shuffled(a, residual, x)
    spec = symmetry.infer(residual, a, x)
    relation = jax.jit(lambda a, b: relate(spec, residual, a, b, x))(a, b)
    stream = next(group for group, size in spec.groups.items() if size == 6)
    assert relation[stream].samples == 2 * len(x)
    out = ea.align(residual, a, b, x, method="greedy")
    chex.assert_trees_all_equal(out.a, out.b)
    np.testing.assert_allclose(residual(out.b, x), residual(b, x), atol=1e-4)
    assert set(out.permutations_a) == set(orders)


def test_a_network_without_any_group_comes_back_as_it_is(x):
    linear = lambda params, x: x @ params["kernel"]
    a, b = {"kernel": jnp.ones((4, 3))}, {"kernel": jnp.zeros((4, 3))}
    for method in ("correlation", "semi"):
        with pytest.warns(UserWarning, match="since no axis can be permuted: axis 0 of 'kernel' is fixed by data"):
            out = ea.align(linear, a, b, x, method=method)
        chex.assert_trees_all_equal((out.a, out.b), (a, b))
        assert out.permutations_a == {} == out.scores and out.valid and out.all_finite
    with pytest.warns(UserWarning, match="no axis can be permuted"):
        pairs = ea.align_pairs(linear, *(population.stack([p, p]) for p in (a, b)), x)
    chex.assert_trees_all_equal(population.take(pairs.a, 1), a)
    assert pairs.valid.shape == (2,)


def test_dead_neurons_are_paired_with_dead_and_counted(apply, x, shallow):
    a, b = jax.tree.map(np.array, shallow)
    a[0]["kernel"][:, 2], a[0]["bias"][2] = 0.0, 1.0
    b[0]["bias"][4] = -100.0
    for method in MATCHING:
        out = ea.align(apply, a, b, x, method=method)
        assert (out.dead_a, out.dead_b) == ({"0": 1}, {"0": 1})
        if method == "weights":  # which looks at no activations but to begin with
            continue
        partners = dict(zip(out.permutations_a["0"].tolist(), out.permutations_b["0"].tolist(), strict=True))
        assert partners[2] == 4


@pytest.mark.parametrize("method", ["correlation", pytest.param("cca", marks=pytest.mark.slow)])
def test_gradients_flow_through_the_child_of_aligned_parents(method, apply, x, shallow):
    def loss(a, b):
        out = ea.align(apply, a, b, x, method=method)
        return jnp.mean(apply(crossover.arithmetic(out.a, out.b, 0.5), x) ** 2)

    fixed = ea.align(apply, *shallow, x, method=method)
    spec = symmetry.infer(apply, fixed.a, x)

    def loss_of_fixed_order(a, b):
        moved = symmetry.select(spec, a, fixed.permutations_a), symmetry.select(spec, b, fixed.permutations_b)
        return jnp.mean(apply(crossover.arithmetic(*moved, 0.5), x) ** 2)

    found, expected = (jax.jit(jax.grad(of, argnums=(0, 1)))(*shallow) for of in (loss, loss_of_fixed_order))
    chex.assert_trees_all_close(found, expected, rtol=1e-5)
    assert all(leaf.any() for leaf in jax.tree.leaves(found))


def test_another_ridge_compiles_nothing(apply, x, shallow, caplog):
    ea.align(apply, *shallow, x, method=CCA(ridge=0.05))
    with jax.log_compiles():
        assert ea.align(apply, *shallow, x, method=CCA(ridge=0.5)).valid
    assert "ompiling" not in caplog.text


@pytest.mark.slow
def test_a_ridge_may_be_traced(apply, x, shallow):
    ridges = [0.05, 0.5, 5.0]
    align = lambda ridge: ea.align(apply, *shallow, x, method=CCA(ridge=ridge)).permutations_b["0"]
    lifted = jax.jit(jax.vmap(align))(jnp.array(ridges))
    assert [align(ridge).tolist() for ridge in ridges] == lifted.tolist()


def test_networks_and_inputs_may_be_any_trees_of_any_arrays(x, shallow):
    a, b = shallow

    def two_inputs(params, inputs):
        hidden = jnp.tanh(inputs["left"] @ params["left"] + inputs["right"] @ params["right"])
        return hidden @ params["out"]

    first, second = (
        {"left": layers[0]["kernel"], "right": -layers[0]["kernel"][::-1], "out": layers[1]["kernel"]}
        for layers in jax.tree.map(np.asarray, (a, b))
    )
    inputs = {"left": np.asarray(x), "right": np.asarray(x)[::-1]}
    out = ea.align(two_inputs, first, second, inputs, method="greedy", chunk=25)
    np.testing.assert_allclose(two_inputs(out.b, inputs), two_inputs(second, inputs), atol=1e-5)


@pytest.mark.slow
def test_bfloat16_networks_keep_their_type(apply, x, shallow):
    a, b = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), shallow)
    out = ea.align(apply, a, b, x.astype(jnp.bfloat16), method="greedy")
    chex.assert_trees_all_equal_dtypes((out.a, out.b), (a, b))
    assert out.scores["0"].dtype == jnp.float32


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_mode_of_the_authors_deflates_weights_and_does_not_set_dead_neurons_apart(apply, x, shallow, ridge):
    a, (hidden, output) = shallow
    b = [{"kernel": hidden["kernel"].at[:, 2].set(0), "bias": hidden["bias"].at[2].set(0)}, output]
    spec = symmetry.infer(apply, a, x)
    (group,) = spec.groups
    m = relate(spec, apply, a, b, x)[group].moments
    assert m.dead_y.sum() == 1 and not m.dead_x.any()
    result = ea.similarity.cca_of(m, ridge=ridge)
    weights = result.weights_x, result.weights_y
    if not ridge:
        weights = [ea.similarity.deflated(w) for w in weights]
    nobody = jnp.zeros(6, bool)
    expected = ea.matching.canonical(*weights, dead_x=nobody, dead_y=nobody, mode="code")
    out = ea.align(apply, a, b, x, method=CCA(mode="code", ridge=ridge))
    np.testing.assert_array_equal(out.permutations_a[group], expected.x)
    np.testing.assert_array_equal(out.permutations_b[group], expected.y)


def test_networks_of_numpy_become_arrays_that_share_nothing_with_them():
    random = np.random.default_rng(0)
    a = {"in": random.normal(size=(3, 4)), "out": random.normal(size=(4, 2)), "bias": random.normal(size=2)}
    x = random.normal(size=(20, 3)).astype(np.float32)
    out = ea.align(lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"] + p["bias"][None], a, a, x)
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((out.a, out.b)))


@pytest.mark.slow
def test_a_layer_that_cannot_be_permuted_is_told_of(key):
    keys = jax.random.split(key, 7)
    shapes = {"in": (5, 8), "mid": (8, 6), "out": (6, 2)}
    a, b = (
        {name: jax.random.normal(k, shape) for k, (name, shape) in zip(part, shapes.items(), strict=True)}
        for part in (keys[:3], keys[3:6])
    )

    def apply(p, x):
        return jnp.cumsum(jnp.tanh(jnp.tanh(x @ p["in"]) @ p["mid"]), axis=1) @ p["out"]

    x = jax.random.normal(keys[6], (50, 5))
    out = ea.align(apply, a, b, x)
    assert [(of.primitive, of.axes) for of in out.frozen] == [("cumsum", (("mid", 1), ("out", 0)))]
    first, row, frozen = str(out).splitlines()
    assert first.split() == ["group", "neurons", "mean", "score", "dead", "in", "a", "dead", "in", "b"]
    assert row.split() == ["in", "8", f"{out.scores['in'].mean():.3g}", "0", "0"]
    assert frozen.startswith("frozen by cumsum: mid[1], out[0] (")
    with pytest.raises(ValueError, match=r"groups: got 'mid', frozen by cumsum: mid\[1\].*expected one of 'in'"):
        ea.align(apply, a, b, x, groups=["mid"])

    @jax.jit
    def traced(a):
        out = ea.align(apply, a, b, x, verify=False)
        assert "traced" in str(out)
        return out.scores

    traced(a)


def test_dropout_that_is_active_is_named_with_what_to_do(key):
    def apply(params, x):
        kept = jax.random.bernoulli(jax.random.key(0), 0.5, (5,))
        return jnp.where(kept, jnp.tanh(x @ params["w"]), 0.0) @ params["out"]

    params = {"w": jax.random.normal(key, (3, 5)), "out": jax.random.normal(key, (5, 2))}
    with pytest.warns(UserWarning, match="fixed by random_bits.*switch dropout off"):
        out = ea.align(apply, params, params, jax.random.normal(key, (7, 3)))
    assert out.permutations_a == {}
