"""Networks whose weights share a value, beside plain ones with the same numbers in them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import pruning
from evojax_align.pruning import Task

NET = ea.models.MLP(hidden=(7, 5), classes=4, output_bias=True, start="fan_in")
X = jax.random.normal(jax.random.key(1), (23, 6))
Y = jnp.arange(23) % 4
PARAMS = NET.init(jax.random.key(0), X)
SYNAPSES = pruning.find(PARAMS)
MASKS = pruning.at_random(jax.random.key(2), SYNAPSES, pruning.full_masks(PARAMS), 40)
VALUES = (0.5, 1.0, 2.0)


def plain(layers, x):
    """The network in NumPy."""
    h = np.asarray(x, np.float64)
    for number, (kernel, bias) in enumerate(layers):
        h = h @ kernel + bias
        if number < len(layers) - 1:
            h = np.maximum(h, 0)
    return h


def cross_entropy(logits, y):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]))


@pytest.mark.parametrize("biases", ["kept", "shared"])
@pytest.mark.parametrize("chunk", [5, 1000])
def test_a_shared_value_is_what_stands_in_the_place_of_every_weight(biases, chunk):
    kept = pruning.masked(MASKS, pruning.basis(SYNAPSES, PARAMS, biases=biases))
    found = pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, Y), biases=biases, chunk=chunk)
    probabilities = []
    for number, value in enumerate(VALUES):
        layers = []
        for name in ("hidden_0", "hidden_1", "output"):
            kernel, bias = (np.asarray(PARAMS["params"][name][part], np.float64) for part in ("kernel", "bias"))
            alive, fed = (np.asarray(MASKS["params"][name][part]) for part in ("kernel", "bias"))
            bias = np.where(fed, bias if biases == "kept" else np.sign(bias) * value, 0)
            layers.append((np.where(alive, np.sign(kernel) * value, 0), bias))
        logits = plain(layers, X)
        assert float(found.accuracy[number]) == pytest.approx(np.mean(logits.argmax(axis=1) == np.asarray(Y)))
        assert float(found.loss[number]) == pytest.approx(cross_entropy(logits, np.asarray(Y)), rel=1e-5)
        probabilities.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    together = np.mean(probabilities, axis=0).argmax(axis=1)
    assert float(found.ensemble) == pytest.approx(np.mean(together == np.asarray(Y)))


@pytest.mark.slow
def test_a_rollout_is_the_evaluation_of_the_substituted_network():
    kept = pruning.masked(MASKS, pruning.basis(SYNAPSES, PARAMS))
    found = pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, Y))
    for number, value in enumerate(VALUES):
        expected = ea.training.evaluate(NET.apply, pruning.at_value(SYNAPSES, kept, value), X, Y)
        np.testing.assert_allclose(found.loss[number], expected.loss, rtol=1e-6)
        np.testing.assert_allclose(found.accuracy[number], expected.accuracy)


def test_own_magnitudes_at_the_value_1_are_the_network_itself():
    kept = pruning.basis(SYNAPSES, PARAMS, magnitudes="own")
    for p, q in zip(jax.tree.leaves(pruning.at_value(SYNAPSES, kept, 1.0)), jax.tree.leaves(PARAMS), strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.slow
def test_only_signs_are_kept_in_eight_bits_and_a_weight_of_0_stays_0():
    some = jax.tree.map(lambda leaf: leaf.at[0].set(0.0), PARAMS)
    for signs in ("kept", "discarded", "random"):
        kept = pruning.basis(SYNAPSES, some, signs=signs, key=jax.random.key(3))
        for path, leaf in SYNAPSES.of(kept).items():
            assert leaf.dtype == jnp.int8, path
            assert not leaf[0].any() and (jnp.abs(leaf[1:]) == 1).all()
            agree = (leaf[1:] == jnp.sign(SYNAPSES.of(some)[path][1:])).mean()
            assert {"kept": agree == 1, "discarded": (leaf[1:] == 1).all(), "random": 0 < agree < 1}[signs]
    others = pruning.basis(SYNAPSES, some, signs="discarded")["params"]["output"]["bias"]
    np.testing.assert_array_equal(others, some["params"]["output"]["bias"])


def test_random_magnitudes_are_those_of_normal_draws_with_the_signs_that_were():
    wide = {"kernel": jax.random.normal(jax.random.key(4), (200, 300))}
    synapses = pruning.find(wide)
    kept = pruning.basis(synapses, wide, magnitudes="random", key=jax.random.key(5))["kernel"]
    np.testing.assert_array_equal(jnp.sign(kept), jnp.sign(wide["kernel"]))
    assert float(jnp.abs(kept).mean()) == pytest.approx((2 / np.pi) ** 0.5, rel=0.01)
    assert float((kept**2).mean()) == pytest.approx(1, rel=0.01)


def test_random_signs_say_nothing_of_random_magnitudes():
    wide = {"kernel": jax.random.normal(jax.random.key(4), (200, 300))}
    both = {"signs": "random", "magnitudes": "random", "key": jax.random.key(5)}
    kept = np.asarray(pruning.basis(pruning.find(wide), wide, **both)["kernel"])
    assert np.abs(kept[kept > 0]).mean() == pytest.approx(np.abs(kept[kept < 0]).mean(), rel=0.02)


@pytest.mark.slow
def test_outputs_of_a_task_can_be_fewer_others_or_in_another_order():
    kept = pruning.basis(SYNAPSES, PARAMS)
    order = jnp.array([2, 0, 3, 1])
    here = pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, order[Y]))
    there = pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, Y, order))
    np.testing.assert_array_equal(here.accuracy, there.accuracy)
    np.testing.assert_allclose(here.loss, there.loss, rtol=1e-6)
    two = pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, Y % 2, jnp.array([1, 3])))
    logits = NET.apply(pruning.at_value(SYNAPSES, kept, 1.0), X)[:, jnp.array([1, 3])]
    assert float(two.accuracy[1]) == pytest.approx(float((logits.argmax(axis=1) == Y % 2).mean()))


def test_outputs_that_are_not_finite_are_no_accuracy():
    kept = pruning.basis(SYNAPSES, PARAMS, magnitudes="own")
    found = pruning.rollouts(NET.apply, SYNAPSES, kept, (1.0, jnp.inf), Task(X, Y))
    assert jnp.isfinite(found.accuracy[0]) and jnp.isnan(found.accuracy[1])


@pytest.mark.slow
def test_rollouts_lift_over_a_population_and_compile():
    pop = ea.population.stack([PARAMS, jax.tree.map(jnp.negative, PARAMS)])
    kept = jax.vmap(lambda p: pruning.basis(SYNAPSES, p))(pop)

    def accuracy(of):
        return pruning.rollouts(NET.apply, SYNAPSES, of, VALUES, Task(X, Y)).accuracy

    lifted = jax.jit(lambda k: ea.population.map(accuracy, k))(kept)
    for number in range(2):
        np.testing.assert_array_equal(lifted[number], accuracy(ea.population.take(kept, number)))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="signs: got 'keep'"):
        pruning.basis(SYNAPSES, PARAMS, signs="keep")
    with pytest.raises(ValueError, match="magnitudes: got 'all'"):
        pruning.basis(SYNAPSES, PARAMS, magnitudes="all")
    with pytest.raises(ValueError, match="biases: got 'none'"):
        pruning.at_value(SYNAPSES, PARAMS, 1.0, biases="none")
    with pytest.raises(ValueError, match="key: got None"):
        pruning.basis(SYNAPSES, PARAMS, magnitudes="random")


def test_answers_are_the_classes_of_every_value_and_of_all_together():
    kept = pruning.masked(MASKS, pruning.basis(SYNAPSES, PARAMS))
    found = pruning.answers(NET.apply, SYNAPSES, kept, VALUES, Task(X, Y), chunk=6)
    chances = []
    for number, value in enumerate(VALUES):
        logits = NET.apply(pruning.at_value(SYNAPSES, kept, value), X)
        np.testing.assert_array_equal(found.classes[number], logits.argmax(axis=1))
        chances.append(jax.nn.softmax(logits))
    np.testing.assert_array_equal(found.ensemble, jnp.mean(jnp.stack(chances), axis=0).argmax(axis=1))
    assert found.finite.all() and found.losses.shape == (3, 23)


def squares(outputs, targets):
    return jnp.mean((outputs - targets) ** 2, axis=tuple(range(1, outputs.ndim)))


def test_a_regression_is_scored_by_its_loss_and_has_no_accuracy():
    kept = pruning.masked(MASKS, pruning.basis(SYNAPSES, PARAMS))
    targets = jax.random.normal(jax.random.key(6), (23, 4))
    found = pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, targets), loss=squares, chunk=6)
    assert found.accuracy is None and found.ensemble is None
    for number, value in enumerate(VALUES):
        outputs = NET.apply(pruning.at_value(SYNAPSES, kept, value), X)
        np.testing.assert_allclose(found.loss[number], np.mean((outputs - targets) ** 2), rtol=1e-5)
    said = pruning.answers(NET.apply, SYNAPSES, kept, VALUES, Task(X, targets), loss=squares)
    assert said.classes is None and said.losses.shape == (3, 23) and said.finite.all()
    np.testing.assert_allclose(said.losses.mean(axis=1), found.loss, rtol=1e-5)


def test_an_autoencoder_with_a_tree_of_outputs_is_scored_at_every_value():
    params = {"in": {"kernel": PARAMS["params"]["hidden_0"]["kernel"]}, "out": {"kernel": jnp.ones((7, 6))}}
    synapses = pruning.find(params)

    def apply(params, x):
        code = jnp.tanh(x["image"] @ params["in"]["kernel"])
        return {"code": code, "image": code @ params["out"]["kernel"]}

    def loss(outputs, x):
        return squares(outputs["image"], x["image"]) + 0.1 * jnp.abs(outputs["code"]).sum(axis=1)

    kept, task = pruning.basis(synapses, params), Task({"image": X}, {"image": X})
    found = pruning.rollouts(apply, synapses, kept, (0.1, jnp.nan), task, loss=loss)
    plain = ea.training.evaluate(apply, pruning.at_value(synapses, kept, 0.1), task.x, task.y, loss=loss)
    np.testing.assert_allclose(found.loss[0], plain.loss, rtol=1e-6)
    assert jnp.isnan(found.loss[1])
    without = pruning.rollouts(
        apply, synapses, kept, (0.1,), Task({"image": X}), loss=lambda outputs, _: squares(outputs["image"], 0.0)
    )
    assert jnp.isfinite(without.loss).all()


@pytest.mark.slow
def test_labels_of_sequences_are_scored_as_training_scores_them():
    params = {"kernel": PARAMS["params"]["hidden_0"]["kernel"]}
    synapses, x, y = pruning.find(params), X[:20].reshape(4, 5, 6), Y[:20].reshape(4, 5)

    def apply(params, x):
        return x @ params["kernel"]

    kept = pruning.basis(synapses, params)
    found = pruning.rollouts(apply, synapses, kept, (0.5, 0.5), Task(x, y))
    expected = ea.training.evaluate(apply, pruning.at_value(synapses, kept, 0.5), x, y)
    np.testing.assert_allclose(found.loss, [expected.loss] * 2, rtol=1e-6)
    np.testing.assert_allclose(found.accuracy, [expected.accuracy] * 2)
    np.testing.assert_allclose(found.ensemble, expected.accuracy)


def test_a_task_that_does_not_fit_the_network_is_named():
    kept = pruning.basis(SYNAPSES, PARAMS)
    with pytest.raises(ValueError, match="task: got labels from 0 to 4"):
        pruning.rollouts(NET.apply, SYNAPSES, kept, VALUES, Task(X, jnp.arange(23) % 5))
    with pytest.raises(ValueError, match="loss: got float32 of shape"):
        pruning.answers(NET.apply, SYNAPSES, kept, VALUES, Task(X, X), loss=lambda outputs, y: outputs)
