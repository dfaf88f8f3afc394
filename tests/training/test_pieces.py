"""Networks trained by programs of their pieces learn what they would as a whole."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evojax_align import training
from evojax_align.lab import checkpoint
from evojax_align.models import BlockCNN

ADAM = optax.adam(1e-2)
NETWORKS = BlockCNN(((4, 3, 1), (6, 3, 2)), classes=3), BlockCNN(((6, 1, 1),), classes=3)


@pytest.fixture(scope="module")
def images():
    key_x, key_y = jax.random.split(jax.random.key(3))
    y = jax.random.randint(key_y, (50,), 0, 3)
    return jax.random.normal(key_x, (50, 6, 6)) + y[:, None, None], y


@pytest.fixture(scope="module")
def starts(images):
    return [training.init_pieces(network, jax.random.key(5), images[0]) for network in NETWORKS]


def fit(images, starts, networks=NETWORKS, **settings):
    settings = {"epochs": 2, "batch_size": 20, "keys": [jax.random.key(1), jax.random.key(2)]} | settings
    return training.fit_pieces(networks, starts, images, ADAM, **settings)


def whole(network, variables, images, key, epochs, size):
    """The same training, by one program of the whole network."""
    x, y = images
    params, stats = variables["params"], variables["batch_stats"]
    moments = ADAM.init(params)

    @jax.jit
    def step(params, stats, moments, x, y):
        def lost(params):
            kept = {"params": params, "batch_stats": stats}
            logits, new = network.apply(kept, x, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new["batch_stats"]

        (loss, stats_), gradient = jax.value_and_grad(lost, has_aux=True)(params)
        updates, moments_ = ADAM.update(gradient, moments, params)
        return optax.apply_updates(params, updates), stats_, moments_, loss

    losses = np.zeros(epochs)
    for epoch in range(epochs):
        order = jax.random.permutation(jax.random.fold_in(key, epoch), len(y))
        for number in range(len(y) // size):
            index = order[number * size : (number + 1) * size]
            params, stats, moments, loss = step(params, stats, moments, x[index], y[index])
            losses[epoch] += float(loss) / (len(y) // size)
    return {"params": params, "batch_stats": stats}, losses


def close(ours, theirs, **tolerance):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, **tolerance), ours, theirs)


@pytest.mark.slow
def test_the_variables_are_those_of_the_network(images, starts):
    for network, start in zip(NETWORKS, starts, strict=True):
        own = network.init(jax.random.key(0), images[0])
        assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, own)


def test_training_by_pieces_is_training_as_a_whole(images, starts):
    found, losses = fit(images, starts)
    for number, (network, key) in enumerate(zip(NETWORKS, (1, 2), strict=True)):
        expected, of_whole = whole(network, starts[number], images, jax.random.key(key), 2, 20)
        close(found[number], expected, atol=2e-4)
        np.testing.assert_allclose(losses[number], of_whole, atol=1e-4)
    assert (losses[:, 1] < losses[:, 0]).all()


def test_a_network_does_not_depend_on_the_others(images, starts):
    together, losses = fit(images, starts)
    alone, loss = fit(images, starts[1:], NETWORKS[1:], keys=[jax.random.key(2)])
    jax.tree.map(np.testing.assert_array_equal, alone[0], together[1])
    np.testing.assert_array_equal(loss[0], losses[1])


def test_training_that_is_stopped_after_each_epoch_and_stored_gives_the_same_bits(images, starts, tmp_path):
    expected, losses = fit(images, starts, epochs=3)
    falling = optax.adam(optax.piecewise_constant_schedule(1e-2, {3: 0.1}))
    (scheduled,), _ = training.fit_pieces(
        NETWORKS[:1], starts[:1], images, falling, epochs=3, batch_size=20, keys=[jax.random.key(1)]
    )
    found = {}
    for name, optimizer in (("adam", ADAM), ("falling", falling)):
        states = [training.begin_pieces(*pair, optimizer) for pair in zip(NETWORKS, starts, strict=True)]
        settings = {"epochs": 1, "batch_size": 20, "keys": [jax.random.key(1), jax.random.key(2)]}
        for epoch in range(3):
            states, loss = training.train_pieces(NETWORKS, states, images, optimizer, **settings)
            if name == "adam":
                np.testing.assert_array_equal(loss[:, 0], losses[:, epoch])
            for number, state in enumerate(states):
                checkpoint.save(tmp_path / "state.npz", state, {})
                states[number], _ = checkpoint.load(tmp_path / "state.npz", build=training.InTraining.of)
        found[name] = [state.variables for state in states]
    jax.tree.map(np.testing.assert_array_equal, found["adam"], expected)
    jax.tree.map(np.testing.assert_array_equal, found["falling"][0], scheduled)
    kernels = [of["params"]["block_0"]["conv"]["kernel"] for of in (scheduled, expected[0])]
    assert not np.allclose(*kernels)  # the schedule went on from call to call


@pytest.mark.slow
def test_on_devices_named_it_is_the_same(images, starts):
    named, _ = fit(images, starts, devices=jax.devices()[:1])
    jax.tree.map(np.testing.assert_array_equal, named, fit(images, starts)[0])


def test_a_second_network_of_known_pieces_compiles_nothing(images, starts):
    def programs():
        pieces = training.chains
        return [of._cache_size() for of in (pieces._forward, pieces._backward, pieces._end, pieces._descended)]

    fit(images, starts)
    before = programs()
    network = BlockCNN(((4, 3, 1), (6, 3, 2)), classes=3)
    fit(images, starts[:1], [network], keys=[jax.random.key(9)])
    assert programs() == before
    training.fit_pieces(
        [network], starts[:1], images, optax.sgd(0.1), epochs=1, batch_size=20, keys=[jax.random.key(9)]
    )
    assert programs()[:3] == before[:3]  # another optimiser has programs of its own for its step alone


@pytest.mark.slow
def test_networks_that_compute_in_bfloat16_learn_and_keep_wide_parameters(images):
    network = BlockCNN(((4, 3, 1), (6, 3, 2)), classes=3, dtype=jnp.bfloat16)
    start = training.init_pieces(network, jax.random.key(5), images[0])
    (found,), losses = fit(images, [start], [network], epochs=6, keys=[jax.random.key(1)])
    assert losses[0, -1] < 0.9 * losses[0, 0]
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_judging_is_that_of_the_whole_network(images, starts):
    found, _ = fit(images, starts)
    x, y = images
    ours = training.evaluate_pieces(NETWORKS[0], found[0], x, y, chunk=20)
    theirs = training.evaluate(NETWORKS[0].apply, found[0], x, y, chunk=20)
    chex.assert_trees_all_close(ours, theirs, rtol=1e-5)


def test_what_pieces_give_ends_in_the_logits(images, starts):
    given = training.run_pieces(NETWORKS[0], starts[0], images[0])
    assert list(given) == ["block_0", "block_1", "head"]
    np.testing.assert_allclose(given["head"], NETWORKS[0].apply(starts[0], images[0]), atol=1e-5)


@pytest.mark.slow
def test_fewer_samples_than_a_batch_are_one_step(images, starts):
    few = images[0][:7], images[1][:7]
    _, losses = fit(few, starts)
    assert np.isfinite(losses).all()


def test_labels_that_do_not_fit_are_refused(images, starts):
    x, y = images
    for wrong in (y - 1, y + 1, y[:-1]):
        with pytest.raises(ValueError, match=r"^data: got"):
            fit((x, wrong), starts)
        with pytest.raises(ValueError, match=r"^y: got"):
            training.evaluate_pieces(NETWORKS[0], starts[0], x, wrong)


@pytest.mark.parametrize(
    ("argument", "settings"),
    [("epochs", {"epochs": 0}), ("batch_size", {"batch_size": 0}), ("keys", {"keys": [jax.random.key(0)]})],
)
def test_bad_input_is_refused(images, starts, argument, settings):
    with pytest.raises(ValueError, match=f"^{argument}: got"):
        fit(images, starts, **settings)


def brightness(outputs, y):
    return (outputs[:, 0] - y) ** 2


@pytest.mark.slow
def test_pieces_learn_a_regression_and_are_scored_by_its_loss(images, starts):
    x, y = images[0], images[0].mean(axis=(1, 2))
    found, losses = fit((x, y), starts, epochs=4, loss=brightness)
    assert (losses[:, -1] < losses[:, 0]).all()
    for network, variables in zip(NETWORKS, found, strict=True):
        ours = training.evaluate_pieces(network, variables, x, y, loss=brightness, chunk=7)
        expected = np.mean((np.asarray(network.apply(variables, x))[:, 0] - np.asarray(y)) ** 2)
        np.testing.assert_allclose(ours.loss, expected, rtol=1e-4)
        assert ours.accuracy is None
    with pytest.raises(ValueError, match="loss"):
        fit((x, y), starts, loss=lambda outputs, y: jnp.mean(outputs))


def test_the_loss_of_pieces_is_cross_entropy_unless_another_is_given(images, starts):
    named, _ = fit(images, starts, loss=training.cross_entropy)
    jax.tree.map(np.testing.assert_array_equal, named, fit(images, starts)[0])
