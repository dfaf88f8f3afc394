"""What failed, was wrong or said nothing in corners that users reach: each test is named after what was wrong."""

import contextlib
import os
import subprocess
import sys
import warnings
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import _checks, alignment, attacks, crossover, interpolation, population, training

pytestmark = pytest.mark.usefixtures("unchecked")
NET, WIDE = ea.models.MLP((8,), 3), jnp.float32
SGD = optax.sgd(0.1)
METHODS = ("correlation", "semi", "cca", "loadings", "greedy", "none", "weights")


def drawn(seed=0, dtype=WIDE):
    """Inputs, labels, and two networks."""
    x = jax.random.normal(jax.random.key(seed), (40, 5), dtype)
    params = [
        jax.tree.map(lambda leaf: leaf.astype(dtype), NET.init(jax.random.key(seed + i), x.astype(WIDE)))
        for i in (1, 2)
    ]
    return x, jnp.arange(40) % 3, *params


def fit(pop, x, y, apply=NET.apply, optimizer=SGD, **settings):
    settings = {"epochs": 1, "batch_size": 8, "key": jax.random.key(0)} | settings
    return training.fit(apply, pop, (x, y), optimizer, **settings)


def linear(params, x):
    """A network in which nothing can be permuted."""
    return x @ params


# --- a network that fails is never taken for a good one


@pytest.mark.slow
def test_a_network_of_nan_has_no_score_where_the_labels_are_zero():
    x, _, a, b = drawn()
    lost, y = jax.tree.map(lambda leaf: leaf * jnp.nan, a), jnp.zeros(40, int)
    spec = ea.symmetry.infer(NET.apply, a, x)
    kept = ea.pruning.basis(ea.pruning.find(a), lost, magnitudes="own")
    scores = {
        "evaluate": training.evaluate(NET.apply, lost, x, y),
        "score": training.score(NET.apply, lost, x, y),
        "ensemble": training.evaluate_ensemble(NET.apply, population.stack([a, lost]), x, y),
        "sweep": interpolation.sweep(NET.apply, lost, lost, x, y),
        "sweep_pairs": interpolation.sweep_pairs(NET.apply, *[population.stack([lost])] * 2, x, y),
        "sweep, permuted": interpolation.sweep(
            NET.apply,
            lost,
            b,
            x,
            y,
            ts=jnp.zeros(1),
            spec=spec,
            permutations_a={},
            permutations_b={"hidden_0": jnp.arange(8)[None]},
        ),
        "sweep_curve": interpolation.sweep_curve(NET.apply, lost, lost, lost, x, y),
        "rollouts": ea.pruning.rollouts(NET.apply, ea.pruning.find(a), kept, (1.0,), ea.pruning.Task(x, y)),
    }
    for name, score in scores.items():
        assert np.isnan(score.loss).all() and np.isnan(score.accuracy).all(), name
    assert np.isnan(ea.evolution.fitness.fitness_of(NET.apply, lost, x, y)[0])


def test_the_loss_of_a_network_with_one_bad_sample_is_nan_and_a_sample_of_weight_zero_is_left_out():
    logits = jnp.array([[0.0, 1.0], [jnp.inf, 0.0]])
    y = jnp.array([1, 0])
    assert np.isnan(training.score(lambda p, x: p, logits, y, y).loss)
    found = training.score(lambda p, x: p, logits, y, y, weights=jnp.array([1.0, 0.0]))
    assert float(found.accuracy) == 1 and np.isfinite(found.loss)


# --- 64-bit mode


@pytest.mark.parametrize("method", METHODS)
def test_every_method_aligns_in_64_bits(method):
    with jax.enable_x64(True):
        x, _, a, b = drawn(dtype=jnp.float64)
        assert ea.align(NET.apply, a, b, x, method=method).permutations_b["hidden_0"].dtype == jnp.int32


@pytest.mark.slow
def test_training_with_patience_and_many_parents_in_64_bits():
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error")
        x, y, a, b = drawn(dtype=jnp.float64)
        pop = population.stack([a, b])
        _, history = fit(pop, x, y, epochs=2, validation=(x, y), patience=1)
        assert np.isfinite(history.validation_loss[:, 0]).all()
        assert alignment.align_many(NET.apply, pop, x).converged


# --- shardings


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import AxisType, PartitionSpec
import evojax_align as ea
net, x = ea.models.MLP((8,), 3), jax.random.normal(jax.random.key(0), (40, 5))
pops = [ea.population.init(lambda key: net.init(key, x), jax.random.key(i), 4) for i in (0, 1)]
mesh = ea.population.devices()
spread = [ea.population.spread(pop, mesh) for pop in pops]
found, expected = (ea.alignment.align_pairs(net.apply, *both, x) for both in (spread, pops))
assert all((p == q).all() for p, q in zip(*map(jax.tree.leaves, (found, expected)), strict=True))
found, expected = (ea.interpolation.sweep_pairs(net.apply, *both, x, jnp.arange(40) % 3) for both in (spread, pops))
np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-5)
assert ea.population.size(ea.population.take(spread[0], jnp.array([0, 3]))) == 2
one = lambda a, b: ea.align(net.apply, a, b, x).permutations_b["hidden_0"]
mesh = jax.make_mesh((2,), ("members",), axis_types=(AxisType.Auto,))
lifted = jax.shard_map(partial(ea.population.map, one), mesh=mesh, in_specs=PartitionSpec("members"),
                       out_specs=PartitionSpec("members"))
assert (lifted(*pops) == ea.population.map(one, *pops)).all()
"""


@pytest.mark.slow
def test_spread_populations_are_aligned_and_swept_and_a_users_shard_map_needs_no_flag():
    env = dict(os.environ, JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_force_host_platform_device_count=2")
    done = subprocess.run([sys.executable, "-c", SHARDED], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- nothing to permute


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("narrow", [False, True], ids=["no hidden layer", "width 1"])
def test_a_network_without_groups_is_left_as_it_is(method, narrow):
    x, _, *_ = drawn()
    module = ea.models.MLP((1,) if narrow else (), 3)
    a, b = (module.init(jax.random.key(i), x) for i in (0, 1))
    told = contextlib.nullcontext() if method == "none" else pytest.warns(UserWarning, match="no axis can be permuted")
    with told:
        found = ea.align(module.apply, a, b, x, method=method)
    assert found.permutations_a == {}
    assert all((p == q).all() for p, q in zip(*map(jax.tree.leaves, ((found.a, found.b), (a, b))), strict=True))


def test_many_parents_and_sweeps_without_groups():
    x, y, *_ = drawn()
    a, b = jnp.ones((5, 3)), jnp.zeros((5, 3))
    with pytest.warns(UserWarning, match="no axis can be permuted: axis 0 of the parameters is fixed by data"):
        many = alignment.align_many(linear, jnp.stack([a, b]), x)
    assert (many.networks == jnp.stack([a, b])).all() and many.rounds == 0
    spec = ea.symmetry.infer(linear, a, x)
    found = interpolation.sweep(linear, a, b, x, y, spec=spec, permutations_a={}, permutations_b={})
    np.testing.assert_allclose(found.loss[0], interpolation.sweep(linear, a, b, x, y).loss)


def test_a_sweep_over_permutations_of_one_side_leaves_the_other_in_place():
    x, y, a, b = drawn()
    spec, order = ea.symmetry.infer(NET.apply, a, x), jnp.arange(8)[::-1][None]
    found = interpolation.sweep(NET.apply, a, b, x, y, spec=spec, permutations_a={}, permutations_b={"hidden_0": order})
    moved = ea.symmetry.permute(spec, b, {"hidden_0": order[0]})
    np.testing.assert_allclose(found.loss[0], interpolation.sweep(NET.apply, a, moved, x, y).loss, rtol=1e-5)


# --- keys


KEYED = {
    "population.init": lambda key: population.init(lambda k: NET.init(k, jnp.zeros((1, 5))), key, 2),
    "fit": lambda key: fit(population.stack(drawn()[2:]), *drawn()[:2], key=key)[0],
    "descend": lambda key: training.descend(NET.apply, drawn()[2], *drawn()[:2], SGD, epochs=1, batch_size=8, key=key),
    "bend": lambda key: interpolation.bend(NET.apply, *drawn()[2:], drawn()[:2], SGD, epochs=1, batch_size=8, key=key),
    "crossover.uniform": lambda key: crossover.uniform(key, *drawn()[2:]),
    "crossover.layers": lambda key: crossover.layers(key, *drawn()[2:]),
    "random_permutations": lambda key: ea.symmetry.random_permutations(SPEC, key),
    "verify": lambda key: ea.symmetry.verify(SPEC, NET.apply, drawn()[2], drawn()[0], key=key),
    "pgd": lambda key: attacks.pgd(
        NET.apply, drawn()[2], drawn()[0], drawn()[1], epsilon=0.1, key=key, bounds=None, steps=2
    ),
    "at_random": lambda key: ea.pruning.at_random(
        key, ea.pruning.find(drawn()[2]), ea.pruning.full_masks(drawn()[2]), 9
    ),
}
SPEC = ea.symmetry.infer(NET.apply, drawn()[2], drawn()[0])


@pytest.mark.parametrize("name", KEYED)
def test_legacy_keys_give_the_same_numbers_and_an_integer_is_refused_by_name(name):
    old, new = KEYED[name](jax.random.PRNGKey(3)), KEYED[name](jax.random.key(3))
    assert all((p == q).all() for p, q in zip(*map(jax.tree.leaves, (old, new)), strict=True))
    with pytest.raises(ValueError, match=r"^key: got int; expected one random key"):
        KEYED[name](3)


# --- jax_debug_nans


def test_the_trial_on_random_parameters_raises_nothing_under_debug_nans():
    def apply(params, x):
        return jnp.sqrt(jnp.tanh(x @ params["w"]) + params["c"][None]) @ params["v"]

    w = jax.random.normal(jax.random.key(1), (5, 4))
    a, b = ({"w": sign * w, "c": jnp.full(4, 2.0), "v": jnp.ones((4, 2))} for sign in (1, -1))
    with jax.debug_nans(True):
        assert ea.align(apply, a, b, drawn()[0]).valid


# --- errors name what is wrong


class Foreign:
    """An array of another library."""

    shape, dtype = (5, 8), "torch.float32"


class Unhashable:
    """A network that cannot be the key of a compiled program."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __call__(self, params, x):
        return NET.apply(params, x)


def wrong():
    """Calls by what is wrong with them, and how their errors begin."""
    x, y, a, b = drawn()
    pop = population.stack([a, b])
    models = [eqx.nn.MLP(5, 3, 8, 1, key=jax.random.key(i)) for i in (0, 1)]
    align = partial(ea.align, NET.apply)
    beside = lambda params, x: (NET.apply(params, x), 0)
    with_function = ({"n": one, "f": jnp.tanh} for one in (a, b))
    scaled = [jax.tree.map(lambda leaf: leaf * 1e30, one) for one in (a, b)]
    return {
        "a tuple of outputs, scored": (lambda: training.evaluate(beside, a, x, y), "apply: got outputs of structure"),
        "a tuple of outputs, trained": (lambda: fit(pop, x, y, apply=beside), "apply: got outputs of structure"),
        "Equinox, not partitioned": (
            lambda: ea.align(lambda m, x: m(x), *models, x),
            "a: got .* at the leaf 'activation'",
        ),
        "Equinox, stacked": (lambda: population.stack(models), "members\\[0\\]: got .*eqx.partition"),
        "leaves of another library": (
            lambda: align({"w": Foreign()}, {"w": Foreign()}, x),
            "a: got .*Foreign at the leaf",
        ),
        "populations": (lambda: align(pop, pop, x), "params: got a population of 2 networks"),
        "a list for a population": (lambda: alignment.align_many(NET.apply, [a, b], x), "networks: got a list"),
        "nested lists": (lambda: align(a, b, x.tolist()), "x: got shapes .*Pass one array"),
        "strings": (lambda: align(a, b, np.full((40, 5), "a")), "x: got an array of <U1"),
        "objects": (lambda: align(a, b, np.full((40, 5), None)), "x: got an array of object"),
        "no specification": (lambda: align(a, b, x, spec={}), "spec: got {}; expected a PermutationSpec"),
        "a ridge of text": (
            lambda: align(a, b, x, method=alignment.CCA(ridge="a")),
            "ridge: got 'a'; expected a finite number",
        ),
        "t as text": (lambda: crossover.arithmetic(a, b, "0.5"), "t: got '0.5'; expected one finite number"),
        "an optimiser by name": (lambda: fit(pop, x, y, optimizer="adam"), "optimizer: got 'adam'; expected an optax"),
        "a dictionary of networks": (lambda: population.stack({"a": a, "b": b}), "members: got a dict"),
        "images of integers": (lambda: attacks.fgsm(NET.apply, a, x > 0, y, epsilon=0.1), "x: got inputs of type bool"),
        "a width": (lambda: ea.models.MLP(hidden=128), "hidden: got 128; expected a tuple .*hidden=\\(128,\\)"),
        "a negative width": (lambda: ea.models.MLP((-3,)), "hidden: got -3"),
        "a width of 0": (lambda: ea.models.MLP((0,)), "hidden: got 0"),
        "a network without a hash": (
            lambda: alignment.repair(Unhashable(), a, a, b, x),
            "apply: got an object without",
        ),
        "one whose statistics are estimated again": (
            lambda: alignment.reestimate(Unhashable(), a, x),
            "apply: got an object without a hash",
        ),
        "one that is trained": (lambda: fit(pop, x, y, apply=Unhashable()), "apply: got an object without a hash"),
        "NaN in the inputs": (lambda: align(a, b, x.at[0, 0].set(jnp.nan)), "x: got 1 values that are NaN"),
        "lists of networks": (lambda: align([a], [b], x), "apply, params, x: got params of structure"),
        "no network": (lambda: ea.align(None, a, b, x), "apply: got None"),
        "a function among the leaves": (lambda: align(*with_function, x), "a: got .* at the leaf 'f'"),
        "activations beyond all squares": (lambda: align(*scaled, x), "a: got activations .* beyond 1e19"),
        "data of NaN": (lambda: fit(pop, x.at[3].set(jnp.nan), y), "data: got 5 values that are NaN"),
        "genes by numbers": (lambda: crossover.mix(crossover.layer_genes(a), [2, 0], a, b), "from_b: got int"),
        "scores of NaN": (lambda: ea.matching.one_to_one(jnp.full((3, 3), jnp.nan)), "scores: got NaN"),
        "weights of NaN": (
            lambda: ea.matching.canonical(*[jnp.full((3, 3), jnp.nan)] * 2),
            "weights_x, weights_y: got",
        ),
    }


@pytest.mark.parametrize("name", wrong())
def test_an_error_names_the_argument_that_is_wrong(name):
    call, message = wrong()[name]
    with pytest.raises(ValueError, match=rf"^{message}"):
        call()


def traced():
    """Host functions by name, each as a function of a population that is traced."""
    x, y, a, _ = drawn()
    piece, image, key = ea.models.BlockCNN(((4, 3, 1),), classes=3), jnp.zeros((4, 8, 8, 1)), jax.random.key(0)
    variables, adam = training.init_pieces(piece, key, image), optax.adam(1e-3)
    data, spec = (image, jnp.zeros(4, int)), ea.symmetry.infer(NET.apply, a, x)
    settings = {"epochs": 1, "batch_size": 2, "keys": [key]}

    def one(pop, number=0):
        return population.take(pop, number)

    def of(pop):
        """Variables of the chain of pieces that are traced."""
        return jax.tree.map(lambda leaf: leaf + jax.tree.leaves(pop)[0].ravel()[0], variables)

    def begun(pop):
        return training.InTraining(of(pop), (), 0)

    return {
        "fit": lambda pop: fit(pop, x, y)[0],
        "finish": lambda pop: training.finish(training.init(pop, adam, epochs=1, key=key)),
        "extract": lambda pop: ea.pruning.extract(NET.apply, one(pop), ea.pruning.full_masks(a), x, spec=spec),
        "init_pieces": lambda pop: training.init_pieces(piece, key, image + jax.tree.leaves(pop)[0].ravel()[0]),
        "begin_pieces": lambda pop: training.begin_pieces(piece, of(pop), adam),
        "train_pieces": lambda pop: training.train_pieces([piece], [begun(pop)], data, adam, **settings),
        "fit_pieces": lambda pop: training.fit_pieces([piece], [of(pop)], data, adam, **settings),
        "evaluate_pieces": lambda pop: training.evaluate_pieces(piece, of(pop), *data),
        "run_pieces": lambda pop: training.run_pieces(piece, of(pop), image),
        "align_many": lambda pop: alignment.align_many(NET.apply, pop, x).networks,
        "align_unequal": lambda pop: alignment.align_unequal(NET.apply, one(pop), NET.apply, one(pop, 1), x).a,
    }


HOST_NAMES = (
    *("fit", "finish", "extract", "align_many", "align_unequal"),
    *("init_pieces", "begin_pieces", "train_pieces", "fit_pieces", "evaluate_pieces", "run_pieces"),
)


@pytest.mark.parametrize("name", HOST_NAMES)
def test_functions_that_look_at_values_say_so_when_they_are_traced(name):
    _, _, a, b = drawn()
    with pytest.raises(_checks.NeedsValues, match=rf"^{name} needs concrete values and cannot be traced"):
        jax.jit(traced()[name])(population.stack([a, b]))


# --- compiled again and again


@pytest.mark.slow
def test_a_new_optimiser_at_every_call_is_told_of_once():
    x, y, a, b = drawn()
    pop = population.stack([a, b])
    with pytest.warns(UserWarning, match="training.fit was compiled 3 times .* because 'optimizer' was a new object"):
        for _ in range(3):
            fit(pop, x, y, optimizer=optax.adam(1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(pop, x, y, optimizer=optax.adam(1e-3))
        for other in (optax.sgd(0.1), optax.rmsprop(0.1), optax.adam(1e-2), optax.adam(1e-4)):
            fit(pop, x, y, optimizer=other)


@pytest.mark.slow
def test_a_new_lambda_at_every_call_is_told_of_and_one_function_for_many_shapes_is_not():
    x, _, a, b = drawn()
    with pytest.warns(UserWarning, match="align was compiled 3 times .* because 'apply' was a new object"):
        for _ in range(3):
            ea.align(lambda params, x: NET.apply(params, x), a, b, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in (10, 20, 30, 40):
            ea.align(NET.apply, a, b, x[:count])


# --- what was silent


@pytest.mark.slow
def test_many_parents_say_whether_they_came_to_rest():
    x, *_ = drawn()
    pop = population.init(lambda key: NET.init(key, x), jax.random.key(0), 4)
    assert not alignment.align_many(NET.apply, pop, x, rounds=0).converged
    assert alignment.align_many(NET.apply, pop, x).converged


@pytest.mark.slow
def test_the_barrier_of_a_semi_matching_is_measured_against_the_parents():
    x, y, a, b = drawn()
    spec = ea.symmetry.infer(NET.apply, a, x)
    orders = {"hidden_0": jnp.stack([jnp.arange(8), jnp.zeros(8, int)])}
    settings = {"spec": spec, "permutations_a": {}, "permutations_b": orders}
    line = interpolation.sweep(NET.apply, a, b, x, y, **settings)
    assert line.bijective.tolist() == [True, False]
    found = interpolation.barrier(line)
    assert np.isfinite(found[0]) and np.isnan(found[1])
    parents = tuple(training.evaluate(NET.apply, one, x, y).loss for one in (a, b))
    told = interpolation.barrier(line, parents=parents)
    assert told[0] == pytest.approx(float(found[0]), abs=1e-5)
    end = int(jnp.argmin(jnp.abs(line.ts - 1)))
    assert float(told[1]) >= float(line.loss[1, end] - parents[1]) - 1e-5
