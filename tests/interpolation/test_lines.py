import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align.interpolation import Sweep, barrier, sweep, sweep_pairs
from evojax_align.symmetry.following import label
from evojax_align.symmetry.sharing import shared_values
from evojax_align.symmetry.trace import trace_network

TS = jnp.linspace(-0.25, 1.25, 7)


class Residual(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = x.reshape((x.shape[0], -1))
        h = nn.relu(nn.Dense(8)(x))
        h = h + nn.tanh(nn.Dense(8)(h))
        return nn.Dense(3)(h) + nn.Dense(3)(x)


def tied(params, x):
    """The same weights twice: linear in neither use alone."""
    return nn.relu(x @ params["w"]) @ params["w"].T @ params["out"]


def bilinear(params, x):
    """A product of two parameters is not linear in both."""
    return (x @ params["u"]) @ params["v"]


def gated(params, x):
    """Two linear values multiplied are not linear."""
    return ((x @ params["u"]) * (x @ params["u"] + params["b"])) @ params["v"]


def summed(params, x):
    """A sum over neurons does not follow a many-to-one match."""
    return jnp.stack([jnp.sum(x @ params["u"], -1), jnp.sum(nn.relu(x @ params["u"]), -1), x[:, 0]], -1)


def dictionary(**shapes):
    return lambda key: {
        name: jax.random.normal(of, shape) / 2
        for of, (name, shape) in zip(jax.random.split(key, len(shapes)), shapes.items(), strict=True)
    }


NETWORKS = {
    "one hidden layer": (lambda m: (m.apply, lambda k: m.init(k, jnp.zeros((1, 6)))))(
        ea.models.MLP(hidden=(8,), classes=3)
    ),
    "three hidden layers, output bias": (lambda m: (m.apply, lambda k: m.init(k, jnp.zeros((1, 6)))))(
        ea.models.MLP(hidden=(8, 7, 5), classes=3, output_bias=True)
    ),
    "residual": (lambda m: (m.apply, lambda k: m.init(k, jnp.zeros((1, 6)))))(Residual()),
    "tied": (tied, dictionary(w=(6, 8), out=(6, 3))),
    "bilinear": (bilinear, dictionary(u=(6, 8), v=(8, 3))),
    "gated": (gated, dictionary(u=(6, 8), b=(1, 8), v=(8, 3))),
    "summed": (summed, dictionary(u=(6, 8))),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def parents(request, key):
    apply, init = request.param
    return apply, *(init(of) for of in jax.random.split(key))


def one_by_one(apply, a, b, x, y, ts=TS):
    """The oracle: build each child, evaluate it on all data."""
    losses, accuracies = [], []
    for t in np.asarray(ts):
        child = jax.tree.map(lambda p, q, t=t: (1 - t) * p + t * q, a, b)
        logits = apply(child, x)
        losses.append(optax.softmax_cross_entropy_with_integer_labels(logits, y).mean())
        accuracies.append((logits.argmax(-1) == y).mean())
    return np.array(losses), np.array(accuracies)


@pytest.mark.slow
@pytest.mark.parametrize(("chunk", "strategy"), [(1000, "scan"), (50, "vmap"), (120, "scan")])
def test_a_sweep_equals_evaluating_every_child(parents, task, chunk, strategy):
    apply, a, b = parents
    s = sweep(apply, a, b, *task, ts=TS, chunk=chunk, strategy=strategy)
    loss, accuracy = one_by_one(apply, a, b, *task)
    np.testing.assert_allclose(s.loss, loss, atol=2e-5, rtol=1e-5)
    np.testing.assert_allclose(s.accuracy, accuracy, atol=1e-6)


@pytest.mark.slow
def test_several_alignments_at_once_equal_sweeps_of_the_aligned_parents(parents, task, key):
    apply, a, b = parents
    spec = ea.symmetry.infer(apply, a, task[0])
    drawn = [ea.symmetry.random_permutations(spec, of) for of in jax.random.split(key, 4)]
    semi = {group: jnp.zeros(size, int) for group, size in spec.groups.items()}
    sides = [drawn[0], drawn[1], semi], [drawn[2], drawn[3], drawn[0]]
    of_a, of_b = ({g: jnp.stack([index[g] for index in side]) for g in spec.groups} for side in sides)
    together = sweep(apply, a, b, *task, ts=TS, spec=spec, permutations_a=of_a, permutations_b=of_b)
    for number, (index_a, index_b) in enumerate(zip(*sides, strict=True)):
        p, q = ea.symmetry.select(spec, a, index_a), ea.symmetry.select(spec, b, index_b)
        alone = sweep(apply, p, q, *task, ts=TS)
        np.testing.assert_allclose(together.loss[number], alone.loss, atol=2e-5, rtol=1e-5)
        np.testing.assert_allclose(together.accuracy[number], alone.accuracy, atol=1e-6)


def test_the_ends_of_a_sweep_are_the_parents(parents, task):
    apply, a, b = parents
    s = sweep(apply, a, b, *task, ts=jnp.array([0.0, 1.0]))
    for at, parent in enumerate((a, b)):
        expected = ea.training.evaluate(apply, parent, *task)
        np.testing.assert_allclose(s.loss[at], expected.loss, rtol=1e-6)
        np.testing.assert_allclose(s.accuracy[at], expected.accuracy, rtol=1e-6)


def test_the_first_layers_products_are_shared_and_nothing_else_is(task):
    apply, init = NETWORKS["three hidden layers, output bias"]
    params = init(jax.random.key(0))
    network = trace_network(apply, params, task[0])
    shared = shared_values(label(network))
    assert [network.trace.shapes[value] for value in shared.linear] == [(120, 8)]
    beyond = {network.paths[network.params.index(value)] for value in shared.parameters}
    assert not any("hidden_0" in path for path in beyond) and len(beyond) == len(network.paths) - 2


@pytest.mark.parametrize("name", ["gated", "bilinear", "tied"])
def test_no_product_of_parameters_is_shared(name, task):
    apply, init = NETWORKS[name]
    network = trace_network(apply, init(jax.random.key(0)), task[0])
    shapes = [network.trace.shapes[value] for value in shared_values(label(network)).linear]
    assert shapes and all(shape == (120, 8) for shape in shapes)


def test_a_sweep_compiles_once_for_many_pairs(network, task, key):
    apply, init = network
    traced = chex.assert_max_traces(n=4)(lambda params, x: apply(params, x))
    pop = ea.population.init(init, key, 6)
    lift = jax.jit(lambda p, q: ea.population.map(lambda a, b: sweep(traced, a, b, *task, ts=TS), p, q))
    many = lift(*ea.population.pairs(pop))
    again = lift(*ea.population.pairs(pop))
    assert many.loss.shape == (3, len(TS)) and bool((many.loss == again.loss).all())
    for number in range(3):
        a, b = ea.population.take(pop, 2 * number), ea.population.take(pop, 2 * number + 1)
        np.testing.assert_allclose(many.loss[number], one_by_one(apply, a, b, *task)[0], atol=2e-5)


def test_a_sweep_has_gradients(network, task, key):
    apply, init = network
    a, b = init(key), init(jax.random.key(1))
    gradient = jax.grad(lambda p: sweep(apply, p, b, *task, ts=jnp.array([0.0, 1.0])).loss.sum())(a)
    expected = jax.grad(lambda p: ea.training.evaluate(apply, p, *task).loss)(a)
    chex.assert_trees_all_close(gradient, expected, atol=1e-5)


def test_the_three_barriers_on_a_hand_written_line():
    ts = jnp.array([-0.5, 0.0, 0.5, 1.0, 1.5])
    s = Sweep(ts=ts, loss=jnp.array([9.0, 1.0, 4.0, 3.0, 9.0]), accuracy=jnp.array([0.0, 0.9, 0.5, 0.7, 0.0]))
    assert barrier(s, "chord") == pytest.approx(2.0)
    assert barrier(s, "ends") == pytest.approx(2.0)
    assert barrier(s, "accuracy") == pytest.approx(0.3)
    tilted = s.replace(loss=jnp.array([0.0, 0.0, 1.0, 4.0, 9.0]))
    assert barrier(tilted, "chord") == pytest.approx(0.0)
    assert barrier(tilted, "ends") == pytest.approx(2.0)
    several = s.replace(loss=jnp.stack([s.loss, tilted.loss]))
    np.testing.assert_allclose(barrier(several, "chord"), [2.0, 0.0], atol=1e-6)


def test_a_barrier_needs_both_parents():
    s = Sweep(ts=jnp.array([0.0, 0.5]), loss=jnp.zeros(2), accuracy=jnp.zeros(2))
    with pytest.raises(ValueError, match="ts with both 0 and 1"):
        barrier(s)
    with pytest.raises(ValueError, match="Did you mean 'chord'"):
        barrier(s, "cord")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ts": jnp.array([0.0, jnp.nan])}, "ts: "),
        ({"ts": jnp.zeros(0)}, "ts: "),
        ({"y": jnp.full(120, 3)}, "labels from 3 to 3; expected 0 to 2"),
        ({"y": jnp.full(120, -1)}, "labels from -1"),
        ({"y": jnp.zeros(119, int)}, "as many targets as inputs"),
        ({"x": jnp.zeros((0, 6)), "y": jnp.zeros(0, int)}, "at least one sample"),
        ({"chunk": 0}, "chunk: "),
        ({"strategy": "loop"}, "strategy: got 'loop'; expected one of 'auto', 'scan', 'vmap'"),
        ({"permutations_a": {}}, "all three or none"),
    ],
)
def test_bad_input_to_a_sweep_is_named(network, task, key, change, message):
    apply, init = network
    a = init(key)
    given = {"x": task[0], "y": task[1], "ts": TS} | change
    x, y = given.pop("x"), given.pop("y")
    with pytest.raises(ValueError, match=message):
        sweep(apply, a, a, x, y, **given)
    pair = jax.tree.map(lambda leaf: leaf[None], a)
    with pytest.raises(ValueError, match=message):
        sweep_pairs(apply, pair, pair, x, y, **given)


def test_parents_of_different_structure_are_refused_by_leaf(network, task, key):
    apply, init = network
    other = ea.models.MLP(hidden=(8, 4), classes=3).init(key, task[0])
    with pytest.raises(ValueError, match=r"hidden_1/(kernel|bias)"):
        sweep(apply, init(key), other, *task, ts=TS)


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_many_lines_in_one_call_are_the_single_ones(several):
    make, init = NETWORKS["one hidden layer"]
    a, b = (ea.population.init(init, jax.random.key(seed), 3) for seed in (0, 1))
    x, y = jax.random.normal(jax.random.key(2), (9, 6)), jnp.arange(9) % 3
    settings = [{}] * 3
    lifted = {}
    if several:
        spec = ea.symmetry.infer(make, ea.population.take(a, 0), x)
        orders = jax.random.randint(jax.random.key(3), (2, 3, 4, 8), 0, 8)  # sides, pairs, alignments, neurons
        (group,) = spec.groups
        names = ("permutations_a", "permutations_b")
        lifted = {"spec": spec} | {name: {group: side} for name, side in zip(names, orders, strict=True)}
        settings = [
            {"spec": spec} | {name: {group: side[i]} for name, side in zip(names, orders, strict=True)}
            for i in range(3)
        ]
    found = sweep_pairs(make, a, b, x, y, ts=TS, **lifted)
    for i, setting in enumerate(settings):
        one = sweep(make, ea.population.take(a, i), ea.population.take(b, i), x, y, ts=TS, **setting)
        chex.assert_trees_all_close(ea.population.take(found, i), one, atol=1e-6)
