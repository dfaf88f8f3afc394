"""Any loss, outputs and targets, in everything that scores: labels and logits are a default, not a condition."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import attacks, interpolation, population, training

ADAM = optax.adam(1e-2)


def squares(outputs, targets):
    return jnp.mean((outputs - targets) ** 2, axis=1)


def distances(outputs, targets):
    return jnp.abs(outputs - targets).max(axis=1)


def regressor(params, x):
    return jnp.tanh(x @ params["in"]) @ params["out"]


def drawn(seed=0, outputs=2):
    keys = jax.random.split(jax.random.key(seed), 3)
    x = jax.random.normal(keys[0], (50, 4))
    start = lambda key: {"in": jax.random.normal(key, (4, 8)), "out": jax.random.normal(key, (8, outputs))}
    return x, jnp.sin(x[:, :outputs]), population.init(start, keys[1], 2)


@pytest.mark.slow
def test_a_regression_is_trained_evaluated_and_swept():
    x, y, pop = drawn()
    trained, history = training.fit(
        regressor, pop, (x, y), ADAM, epochs=20, batch_size=10, key=jax.random.key(1), loss=squares,
        validation=(x, y), keep_best=True,
    )  # fmt: skip
    assert history.accuracy is None and history.validation_accuracy is None
    assert (history.loss[:, -1] < 0.5 * history.loss[:, 0]).all()
    a, b = population.unstack(trained)
    score = training.evaluate(regressor, a, x, y, loss=squares, metrics={"worst": distances}, chunk=7)
    expected = np.mean((regressor(a, x) - y) ** 2, axis=1)
    np.testing.assert_allclose(score.loss, expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(score.metrics["worst"], np.abs(regressor(a, x) - y).max(axis=1).mean(), rtol=1e-5)
    assert score.accuracy is None
    line = interpolation.sweep(regressor, a, b, x, y, loss=squares, metrics={"worst": distances})
    assert line.accuracy is None and line.loss.shape == line.metrics["worst"].shape == (31,)
    for t, parent in ((0, a), (1, b)):
        at = int(np.argmin(np.abs(np.asarray(line.ts) - t)))
        chex.assert_trees_all_close(line.loss[at], training.evaluate(regressor, parent, x, y, loss=squares).loss)
    assert float(interpolation.barrier(line)) >= 0
    with pytest.raises(ValueError, match="kind: got 'accuracy'; expected 'chord' or 'ends'"):
        interpolation.barrier(line, "accuracy")


@pytest.mark.slow
def test_curves_pairs_and_attacks_take_the_loss_too():
    x, y, pop = drawn()
    a, b = population.unstack(pop)
    settings = {"epochs": 5, "batch_size": 10, "key": jax.random.key(2), "loss": squares}
    control = interpolation.bend(regressor, a, b, (x, y), ADAM, **settings)
    straight, curve = (
        interpolation.sweep_curve(regressor, a, middle, b, x, y, ts=jnp.linspace(0, 1, 5), loss=squares)
        for middle in (ea.crossover.arithmetic(a, b, 0.5), control)
    )
    assert float(curve.loss[2]) < float(straight.loss[2])
    pairs = interpolation.sweep_pairs(regressor, pop, pop, x, y, loss=squares)
    np.testing.assert_allclose(pairs.loss[0], interpolation.sweep(regressor, a, a, x, y, loss=squares).loss, rtol=1e-5)
    harmed = attacks.fgsm(regressor, a, x, y, epsilon=0.1, bounds=None, loss=squares)
    before, after = (training.evaluate(regressor, a, inputs, y, loss=squares).loss for inputs in (x, harmed))
    assert float(after) > float(before)
    with pytest.raises(ValueError, match="spare_errors: got True"):
        attacks.fgsm(regressor, a, x, y, epsilon=0.1, bounds=None, loss=squares, spare_errors=True)


@pytest.mark.slow
def test_an_autoencoder_needs_no_targets():
    x, _, pop = drawn(outputs=4)

    def apply(params, x):
        return {"code": x @ params["in"], "gap": regressor(params, x) - x}

    def loss(outputs, targets):
        assert targets is None
        return (outputs["gap"] ** 2).sum(axis=1)

    trained, history = training.fit(
        apply, pop, (x, None), ADAM, epochs=5, batch_size=10, key=jax.random.key(0), loss=loss
    )
    assert (history.loss[:, -1] < history.loss[:, 0]).all()
    one = population.take(trained, 0)
    expected = (apply(one, x)["gap"] ** 2).sum(axis=1).mean()
    for chunk in (9, 50):
        np.testing.assert_allclose(training.evaluate(apply, one, x, loss=loss, chunk=chunk).loss, expected, rtol=1e-5)
    line = interpolation.sweep(apply, one, one, x, loss=loss)
    np.testing.assert_allclose(line.loss, np.full(31, expected), rtol=1e-4)


@pytest.mark.slow
def test_labels_may_run_over_time():
    tokens = jax.random.randint(jax.random.key(0), (12, 6), 0, 5)

    def apply(params, x):
        return jnp.cumsum(params["embedding"][x], axis=1) @ params["out"]

    params = {
        "embedding": jax.random.normal(jax.random.key(1), (5, 8)),
        "out": jax.random.normal(jax.random.key(2), (8, 5)),
    }
    x, y = tokens[:, :-1], tokens[:, 1:]
    score = training.evaluate(apply, params, x, y, chunk=5)
    flat = optax.softmax_cross_entropy_with_integer_labels(apply(params, x), y)
    np.testing.assert_allclose(score.loss, flat.mean(), rtol=1e-5)
    np.testing.assert_allclose(score.accuracy, (apply(params, x).argmax(axis=-1) == y).mean(), rtol=1e-5)
    assert interpolation.sweep(apply, params, params, x, y).accuracy.shape == (31,)


def test_an_ensemble_of_regressors_answers_by_the_mean_of_its_outputs_or_as_it_is_told():
    x, y, pop = drawn()
    outputs = np.stack([regressor(one, x) for one in population.unstack(pop)])
    for combine, together in (
        (None, outputs.mean(axis=0)),
        (lambda of: jnp.median(of, axis=0), np.median(outputs, axis=0)),
    ):
        score = training.evaluate_ensemble(regressor, pop, x, y, loss=squares, combine=combine, chunk=20)
        np.testing.assert_allclose(score.loss, ((together - y) ** 2).mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": lambda outputs, y: (outputs - y) ** 2}, r"loss: got float32 of shape \(50, 2\) for 50 samples"),
        ({"loss": lambda outputs, y: jnp.mean((outputs - y) ** 2)}, r"loss: got float32 of shape \(\)"),
        ({"loss": lambda outputs, y: (outputs > y).all(axis=1)}, "loss: got bool of shape"),
        ({"loss": lambda outputs, y: (outputs["a"], y)}, "loss: got outputs of shape .*tracing it raised"),
        ({"metrics": {"odd": lambda outputs, y: 3}, "loss": squares}, r"odd: got int32 of shape \(\)"),
        ({"y": jnp.zeros((49, 2)), "loss": squares}, "x, y: got inputs .*as many targets as inputs"),
        ({"y": jnp.zeros((50, 2))}, "x, y: got logits .*float32 targets"),
        ({"y": None}, "x, y: got logits .*None targets"),
    ],
)
def test_a_loss_or_targets_that_do_not_fit_are_named(change, message):
    x, y, pop = drawn()
    settings = {"y": y} | change
    with pytest.raises(ValueError, match=message):
        training.evaluate(regressor, population.take(pop, 0), x, **settings)


def test_a_loss_of_nan_keeps_its_gradient_and_masked_samples_have_none():
    def loss(params, weights):
        outputs = jnp.array([[1.0], [jnp.inf]]) * params
        return training.score(
            lambda p, x: outputs, params, outputs, outputs, weights=weights, loss=lambda o, y: o[:, 0]
        ).loss

    assert np.isnan(loss(1.0, None)) and not np.isfinite(jax.grad(loss)(1.0, None))
    assert float(loss(1.0, jnp.array([1.0, 0.0]))) == 1


def test_sums_are_taken_in_float32_and_names_of_the_record_are_refused():
    apply, x = (lambda params, x: x), jnp.full((2000, 1), 8, jnp.float16)
    score = training.evaluate(apply, 0, x, jnp.zeros((2000, 1), jnp.float16), loss=squares, chunk=500)
    assert float(score.loss) == 64 and score.loss.dtype == jnp.float32
    for name in ("loss", "accuracy"):
        with pytest.raises(ValueError, match=f"metrics: got the name '{name}'"):
            training.evaluate(apply, 0, x, x, loss=squares, metrics={name: squares})


def test_a_logit_of_minus_infinity_rules_out_a_class():
    logits, labels = jnp.array([[0.0, -jnp.inf], [1.0, 0.0]]), jnp.array([0, 0])
    score = training.evaluate(lambda params, x: params[x], logits, jnp.arange(2), labels)
    assert np.isfinite(score.loss) and float(score.accuracy) == 1
    assert np.isnan(training.evaluate(lambda params, x: params[x], logits, jnp.arange(2), 1 - labels).loss)


def furthest(outputs, targets):
    return jnp.abs(outputs - targets).max(axis=1)


def lengths(outputs, targets):
    return jnp.sum(outputs**2, axis=1)


def regression(count=24):
    x = jax.random.normal(jax.random.key(5), (count, 3))
    return x, x @ jnp.arange(6.0).reshape(3, 2)


def linear(params, x):
    return x @ params


def mean_squares(outputs, targets):
    return jnp.mean((outputs - targets) ** 2, axis=1)


METRICS = {"furthest": furthest, "lengths": lengths}
SGD = optax.sgd(0.05)


@pytest.mark.slow
def test_fit_records_metrics_of_every_epoch_in_training_and_validation():
    data, unseen, pop = regression(), regression(10), jax.random.normal(jax.random.key(6), (2, 3, 2))
    told = []
    settings = {"epochs": 3, "batch_size": 24, "key": jax.random.key(7), "loss": mean_squares, "metrics": METRICS}
    trained, history = ea.training.fit(
        linear, pop, data, SGD, validation=unseen, on_epoch=lambda n, found: told.append(set(found)), **settings
    )
    assert history.accuracy is None and history.validation_accuracy is None
    assert set(history.metrics) == set(history.validation_metrics) == set(METRICS)
    for number, member in enumerate(ea.population.unstack(pop)):
        before = ea.training.evaluate(linear, member, *data, loss=mean_squares, metrics=METRICS)
        after = ea.training.evaluate(linear, trained[number], *unseen, loss=mean_squares, metrics=METRICS)
        for name in METRICS:  # one step an epoch, each judged before it
            np.testing.assert_allclose(history.metrics[name][number, 0], before.metrics[name], rtol=1e-5)
            np.testing.assert_allclose(history.validation_metrics[name][number, -1], after.metrics[name], rtol=1e-5)
    assert told[0] == {"loss", "furthest", "lengths"} | {
        "validation_loss",
        "validation_furthest",
        "validation_lengths",
    }
    plain = ea.training.fit(linear, pop, data, SGD, **settings | {"metrics": None})[1]
    assert plain.metrics == plain.validation_metrics == {}


@pytest.mark.slow
def test_metrics_beside_the_default_loss_do_not_change_what_is_learnt():
    x, y = regression()[0], jnp.arange(24) % 2
    settings = {"epochs": 2, "batch_size": 5, "key": jax.random.key(7)}
    pop = jax.random.normal(jax.random.key(6), (2, 3, 2))
    plain, without = ea.training.fit(linear, pop, (x, y), SGD, **settings)
    found, history = ea.training.fit(linear, pop, (x, y), SGD, metrics={"lengths": lengths}, **settings)
    np.testing.assert_allclose(found, plain, rtol=1e-6)
    np.testing.assert_allclose(history.accuracy, without.accuracy)
    assert history.metrics["lengths"].shape == (2, 2)


@pytest.mark.parametrize(
    ("of_init", "of_step"),
    [
        ({}, {"loss": mean_squares}),
        ({"loss": mean_squares}, {}),
        ({"loss": mean_squares}, {"loss": mean_squares, "metrics": METRICS}),
        ({"loss": mean_squares, "validated": True}, {"loss": mean_squares}),
        ({"loss": mean_squares}, {"loss": mean_squares, "validation": regression(4)}),
    ],
)
def test_members_begun_for_other_records_are_refused(of_init, of_step):
    members = ea.training.init(jnp.zeros((2, 3, 2)), SGD, epochs=1, key=jax.random.key(0), **of_init)
    with pytest.raises(ValueError, match=r"members: got a history of .*; expected .*the same loss and metrics"):
        ea.training.step_epoch(linear, members, regression(), SGD, batch_size=8, **of_step)


@pytest.mark.parametrize("name", ["loss", "validation_furthest"])
def test_a_metric_with_the_name_of_a_record_is_refused(name):
    with pytest.raises(ValueError, match=f"metrics: got the name '{name}'"):
        ea.training.init(
            jnp.zeros((2, 3, 2)), SGD, epochs=1, key=jax.random.key(0), loss=mean_squares, metrics={name: furthest}
        )


@pytest.mark.slow
def test_an_ensemble_that_votes_by_integers_tells_of_a_member_that_failed():
    def votes(outputs):
        return jax.nn.one_hot(outputs.argmax(-1), 2).sum(0).argmax(-1)

    def wrong(outputs, y):
        return (outputs != y).astype(jnp.float32)

    x, y = regression()[0], jnp.arange(24) % 2
    pop = jax.random.normal(jax.random.key(6), (3, 3, 2))
    settings = {"loss": wrong, "metrics": {"again": wrong}, "combine": votes, "chunk": 7}
    fine = ea.training.evaluate_ensemble(linear, pop, x, y, **settings)
    np.testing.assert_allclose(fine.loss, np.mean(votes(jax.vmap(linear, (0, None))(pop, x)) != y), rtol=1e-6)
    failed = ea.training.evaluate_ensemble(linear, pop.at[1].set(jnp.nan), x, y, **settings)
    assert jnp.isnan(failed.loss) and jnp.isnan(failed.metrics["again"])


PARALLEL = """
import optax, evojax_align as ea
from jax.sharding import PartitionSpec as P

def linear(params, x):
    return x @ params

def squares(outputs, y):
    return jnp.mean((outputs - y) ** 2, axis=1)

def evolved(mesh):
    apply = linear
    if mesh is not None:
        mesh = jax.sharding.Mesh(mesh.devices, mesh.axis_names)
        apply = jax.shard_map(linear, mesh=mesh, in_specs=(P(), P("members")), out_specs=P("members"))
    x, pop = jax.random.normal(jax.random.key(0), (24, 3)), jax.random.normal(jax.random.key(1), (2, 3, 2))
    settings, y, sgd = {"loss": squares}, x[:, :2], optax.sgd(0.1)
    bent = ea.interpolation.bend(
        apply, pop[0], pop[1], (x, y), sgd, epochs=1, batch_size=6, key=jax.random.key(2), **settings
    )
    return (
        ea.training.evaluate(apply, pop[0], x, y, chunk=12, **settings),
        ea.training.fit(apply, pop, (x, y), sgd, epochs=1, batch_size=6, key=jax.random.key(2), **settings),
        ea.attacks.fgsm(apply, pop[0], x, jnp.arange(24) % 2, epsilon=0.1, bounds=None),
        ea.interpolation.sweep(apply, pop[0], pop[1], x, y, **settings).loss,
        ea.interpolation.sweep_curve(apply, pop[0], bent, pop[1], x, y, **settings).loss,
    )
"""


EXPLICIT = """
import evojax_align as ea
from jax.sharding import NamedSharding, PartitionSpec as P

def evolved(mesh):
    apply, x, pop = lambda params, x: x @ params, jnp.arange(24.0).reshape(12, 2), jnp.ones((2, 3))
    if mesh is not None:
        apply = jax.shard_map(apply, mesh=mesh, in_specs=(P(None, None), P("members", None)), out_specs=P("members"))
        x = jax.device_put(x, NamedSharding(mesh, P("members", None)))
        pop = jax.device_put(pop, NamedSharding(mesh, P()))
    loss = lambda outputs, y: jnp.mean(outputs**2, axis=1)
    return ea.training.evaluate(apply, pop, x, loss=loss).loss
"""


@pytest.mark.slow
def test_inputs_that_lie_on_an_explicit_mesh_reach_the_network_as_they_are(error_on_two_devices):
    assert error_on_two_devices(EXPLICIT) == ""


@pytest.mark.slow
def test_a_network_that_shares_samples_out_over_devices_is_scored_and_trained(error_on_two_devices):
    assert error_on_two_devices(PARALLEL) == ""
