import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import training

ADAM = optax.adam(1e-2)


def test_fit_learns_the_task(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 3)
    trained, history = training.fit(apply, pop, task, ADAM, epochs=20, batch_size=16, key=key)
    assert history.loss.shape == (3, 20) and bool((history.loss[:, -1] < 0.3 * history.loss[:, 0]).all())
    for member in ea.population.unstack(trained):
        assert float(training.evaluate(apply, member, *task).accuracy) > 0.95


@pytest.mark.slow
def test_a_member_does_not_depend_on_the_population_around_it(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 3)
    settings = {"epochs": 2, "batch_size": 32, "key": key}
    together, _ = training.fit(apply, pop, task, ADAM, **settings)
    keys = jax.random.split(key, 3)
    alone, opt_state = ea.population.take(pop, 1), ADAM.init(ea.population.take(pop, 1))
    for number in range(2):
        of_epoch = jax.random.fold_in(keys[1], number)
        alone, opt_state, _ = training.epoch(apply, alone, opt_state, *task, ADAM, batch_size=32, key=of_epoch)
    chex.assert_trees_all_close(ea.population.take(together, 1), alone, atol=1e-6)


@pytest.mark.slow
def test_members_see_the_data_in_orders_of_their_own(network, task, key):
    apply, init = network
    pop = ea.population.stack([init(key)] * 2)
    trained, _ = training.fit(apply, pop, task, ADAM, epochs=1, batch_size=16, key=key)
    first, second = ea.population.unstack(trained)
    assert any(bool((p != q).any()) for p, q in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


@pytest.mark.slow
def test_every_sample_is_seen_once_an_epoch(task, key):
    """With a learning rate of zero, the epoch's loss is the loss over all samples, whatever the batch size."""
    apply, params = (lambda p, x: x @ p), jax.random.normal(key, (6, 3))
    expected = training.evaluate(apply, params, *task)
    for batch_size in (1, 7, 120, 500):
        *_, metrics = training.epoch(
            apply, params, optax.sgd(0.0).init(params), *task, optax.sgd(0.0), batch_size=batch_size, key=key
        )
        chex.assert_trees_all_close(metrics, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_last_small_batch_takes_a_step_of_its_own_mean(key):
    """Five samples in batches of four: two steps, the second on one sample, as a loop over slices would do."""
    apply, optimizer = (lambda p, x: x @ p), optax.sgd(0.1)
    x, y = jax.random.normal(key, (5, 4)), jnp.array([0, 1, 2, 1, 0])
    params = jax.random.normal(jax.random.key(1), (4, 3))
    trained, _, _ = training.epoch(apply, params, optimizer.init(params), x, y, optimizer, batch_size=4, key=key)
    order = jax.random.permutation(key, 5)
    for batch in (order[:4], order[4:]):
        gradient = jax.grad(lambda p, i: training.score(apply, p, x[i], y[i]).loss)(params, batch)
        params = params - 0.1 * gradient
    np.testing.assert_allclose(trained, params, atol=1e-6)


def test_evaluation_in_chunks_equals_evaluation_at_once(network, task, key):
    apply, init = network
    params = init(key)
    whole = training.score(apply, params, *task)
    for chunk in (1, 50, 120, 1000):
        chex.assert_trees_all_close(training.evaluate(apply, params, *task, chunk=chunk), whole, rtol=1e-5)


@pytest.mark.slow
def test_the_best_epoch_is_kept_and_a_member_stops_after_its_patience(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 3)
    wrong = task[0], (task[1] + 1) % 3  # validation that gets worse the better the network fits
    seen = []
    best, history = training.fit(
        apply,
        pop,
        task,
        ADAM,
        epochs=9,
        batch_size=16,
        key=key,
        validation=wrong,
        patience=2,
        keep_best=True,
        on_epoch=lambda number, metrics: seen.append((number, metrics["validation_loss"].shape)),
    )
    ran = np.isfinite(np.asarray(history.validation_loss)).sum(axis=1)
    np.testing.assert_array_equal(ran, np.asarray(history.best_epoch) + 3)
    assert seen == [(number, (3,)) for number in range(1, ran.max() + 1)]
    lowest = np.nanmin(np.asarray(history.validation_loss), axis=1)
    for number, member in enumerate(ea.population.unstack(best)):
        np.testing.assert_allclose(training.evaluate(apply, member, *wrong).loss, lowest[number], rtol=1e-5)


@pytest.mark.slow
def test_without_keeping_the_best_the_last_is_returned(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    settings = {"epochs": 3, "batch_size": 16, "key": key}
    plain, _ = training.fit(apply, pop, task, ADAM, **settings)
    watched, history = training.fit(apply, pop, task, ADAM, validation=task, **settings)
    chex.assert_trees_all_equal(plain, watched)
    assert history.validation_loss.shape == history.validation_accuracy.shape == (2, 3)


@pytest.mark.slow
def test_a_diverged_member_is_never_the_best(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    best, history = training.fit(
        apply, pop, task, optax.sgd(jnp.inf), epochs=2, batch_size=16, key=key, validation=task, keep_best=True
    )
    assert not np.isfinite(np.asarray(history.validation_loss)).any()
    chex.assert_trees_all_equal(best, pop)


@pytest.mark.slow
def test_members_shared_out_over_a_mesh_train_alike(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 3)
    settings = {"epochs": 2, "batch_size": 16, "key": key, "validation": task, "patience": 1, "keep_best": True}
    plain, history = training.fit(apply, pop, task, ADAM, **settings)
    shared, same = training.fit(apply, pop, task, ADAM, mesh=jax.make_mesh((1,), ("members",)), **settings)
    chex.assert_trees_all_close(plain, shared, atol=1e-6)
    chex.assert_trees_all_close(history, same, atol=1e-6)


BATCHES = """
import jax, jax.numpy as jnp, numpy as np, optax, chex
import evojax_align as ea
from evojax_align import training
network, adam = ea.models.MLP((8,), 3), optax.adam(1e-2)
x, y = jax.random.normal(jax.random.key(0), (50, 4)), jnp.arange(50) % 3
pop = ea.population.init(lambda key: network.init(key, x), jax.random.key(1), 3)
settings = {"epochs": 3, "batch_size": 16, "key": jax.random.key(2), "validation": (x, y), "patience": 2}
plain = training.fit(network.apply, pop, (x, y), adam, **settings)
mesh = jax.make_mesh((2, 2), ("members", "batch"))
split = training.fit(network.apply, pop, (x, y), adam, mesh=mesh, **settings)
chex.assert_trees_all_close(plain, split, atol=1e-5)
shapes = jax.eval_shape(lambda: training.init(pop, adam, epochs=3, key=jax.random.key(2)))
step = lambda members: training.step_epoch(network.apply, members, (x, y), adam, batch_size=16, mesh=mesh)
text = jax.jit(step).lower(shapes).compile().as_text()
assert "f32[8,4]" in text and "f32[16,4]" not in text  # a device has half of each batch of 16 samples
assert "all-reduce" in text
"""


@pytest.mark.slow
@pytest.mark.skipif(jax.__version_info__ < (0, 8), reason="such meshes need JAX 0.8")
def test_the_samples_of_a_batch_are_shared_out_over_the_axis_of_that_name():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    env, command = dict(os.environ, XLA_FLAGS=flags, JAX_PLATFORMS="cpu"), [sys.executable, "-c", BATCHES]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_on_an_accelerator_members_that_have_stopped_are_not_trained(network, task, key, monkeypatch):
    apply, init = network
    pop = ea.population.init(init, key, 6)
    steps, sizes = training.members._step_epoch, []
    monkeypatch.setattr(
        training.members, "_step_epoch", lambda *args: sizes.append(len(args[2].active)) or steps(*args)
    )

    def trained(count):
        members = training.init(pop, ADAM, epochs=2, key=key).replace(active=jnp.arange(6) >= 6 - count)
        for _ in range(2):
            members = training.step_epoch(apply, members, task, ADAM, batch_size=20, some_idle=True)
        return members

    expected = {count: trained(count) for count in (6, 4, 3, 2, 1)}
    assert sizes == [6] * 10
    sizes.clear()
    jax.clear_caches()
    monkeypatch.setattr(ea.population._devices, "platform", lambda mesh: "gpu")
    for count, members in expected.items():
        found = trained(count)
        assert bool((found.key == members.key).all())
        plain = [dict(vars(of), key=None) for of in (found, members)]  # keys cannot be subtracted
        chex.assert_trees_all_close(*plain, atol=1e-5)
    assert sizes == [6, 6, 6, 6, 3, 3, 2, 2, 1, 1]
    before = trained(0)
    assert len(sizes) == 10 and before.epoch.tolist() == [0] * 6
    jax.clear_caches()


@pytest.mark.slow
def test_one_epoch_compiles_once(network, task, key):
    apply, init = network
    counted = chex.assert_max_traces(n=8)(lambda params, x: apply(params, x))
    pop = ea.population.init(init, key, 4)
    training.fit(counted, pop, task, ADAM, epochs=5, batch_size=16, key=key)


def test_fit_leaves_the_population_that_it_was_given(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    before = jax.tree.map(np.array, pop)
    training.fit(apply, pop, task, ADAM, epochs=1, batch_size=16, key=key)
    chex.assert_trees_all_equal(pop, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patience": 2}, "patience: got 2; expected validation data"),
        ({"keep_best": True}, "keep_best: "),
        ({"epochs": 0}, "epochs: "),
        ({"batch_size": 0}, "batch_size: "),
        ({"data": (jnp.zeros((0, 6)), jnp.zeros(0, int))}, "at least one sample"),
        ({"data": (jnp.zeros((4, 6)), jnp.array([0, 1, 2, 3]))}, "labels from 0 to 3; expected 0 to 2"),
        ({"data": (jnp.zeros((4, 5)), jnp.zeros(4, int))}, r"x of shapes \[\(4, 5\)\]"),
    ],
)
def test_bad_input_to_fit_is_named(network, task, key, change, message):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    given = {"data": task, "epochs": 1, "batch_size": 16} | change
    with pytest.raises(ValueError, match=message):
        training.fit(apply, pop, given.pop("data"), ADAM, key=key, **given)


@pytest.mark.slow
def test_a_member_with_a_key_of_its_own_trains_alike_anywhere(network, task, key):
    apply, init = network
    pop, keys = ea.population.init(init, key, 3), jax.random.split(key, 3)

    def epoch_of(chosen):
        members = training.init(ea.population.take(pop, chosen), ADAM, epochs=1, key=keys[chosen])
        return training.finish(training.step_epoch(apply, members, task, ADAM, batch_size=32))[0]

    together, pair = epoch_of(slice(None)), epoch_of(slice(1, 3))
    chex.assert_trees_all_close(ea.population.take(together, slice(1, 3)), pair, atol=1e-6)


@pytest.mark.slow
def test_without_shuffling_samples_are_taken_as_they_lie(network, task, key):
    """All members that start alike then end alike, whatever their keys; and an epoch is a loop over slices."""
    apply, init = network
    pop, sgd = ea.population.stack([init(key)] * 2), optax.sgd(0.1)
    trained, _ = training.fit(apply, pop, task, sgd, epochs=2, batch_size=50, key=key, shuffle=False)
    chex.assert_trees_all_equal(*ea.population.unstack(trained))
    params, moments = init(key), sgd.init(init(key))
    for start in (0, 50, 100) * 2:
        params, moments, _ = training.step(apply, params, moments, *(of[start : start + 50] for of in task), sgd)
    chex.assert_trees_all_close(ea.population.take(trained, 0), params, atol=1e-5)


@pytest.mark.slow
def test_an_ensemble_answers_by_its_mean_probabilities(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 3)
    x, y = task
    chances = np.mean([jax.nn.softmax(apply(member, x)) for member in ea.population.unstack(pop)], axis=0)
    for chunk in (7, 1000):
        found = training.evaluate_ensemble(apply, pop, x, y, chunk=chunk)
        assert float(found.loss) == pytest.approx(float(-np.log(chances[np.arange(120), y]).mean()), rel=1e-5)
        assert float(found.accuracy) == pytest.approx(float((chances.argmax(axis=1) == np.asarray(y)).mean()))


@pytest.mark.parametrize("count", [0, 1, 5, 6])
def test_chunks_are_put_together_again(count):
    x = jnp.arange(count * 2.0).reshape(count, 2)
    found = training.in_chunks(lambda part: {"sum": part["x"].sum(axis=1)}, {"x": x}, chunk=3)
    np.testing.assert_array_equal(found["sum"], x.sum(axis=1))


def constant(p, x):
    """A network that answers the same to every sample."""
    return jnp.broadcast_to(p, (*x.shape, 2))


@pytest.mark.slow
def test_an_ensemble_that_is_sure_and_wrong_has_a_finite_loss():
    pop = jnp.array([[200.0, 0.0], [200.0, 0.0]])
    found = training.evaluate_ensemble(constant, pop, jnp.zeros(3), jnp.ones(3, int))
    assert float(found.loss) == pytest.approx(200) and float(found.accuracy) == 0


def test_an_ensemble_with_a_member_that_failed_has_no_accuracy():
    pop = jnp.array([[1.0, 0.0], [jnp.nan, 0.0]])
    found = training.evaluate_ensemble(constant, pop, jnp.zeros(3), jnp.zeros(3, int))
    assert np.isnan(found.loss) and np.isnan(found.accuracy)


OPTIMISERS = {
    "sgd": optax.sgd(0.1, momentum=0.9),
    "adamw": optax.adamw(0.02, weight_decay=0.1),
    "rmsprop": optax.rmsprop(0.01, momentum=0.9),
    "noisy": optax.noisy_sgd(0.05, key=jax.random.key(1)),
}


def half_masks(pop):
    return jax.tree.map(lambda leaf: (jnp.arange(leaf.size).reshape(leaf.shape) * 7) % 3 > 0, pop)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMISERS)
def test_masked_weights_and_their_moments_stay_at_zero(name, network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    masks = half_masks(pop)
    members = training.init(pop, OPTIMISERS[name], epochs=3, key=key, masks=masks)
    for _ in range(3):
        members = training.step_epoch(apply, members, task, OPTIMISERS[name], batch_size=20)
    like_params = [
        tree
        for tree in jax.tree.leaves(
            members.opt_state, is_leaf=lambda t: jax.tree.structure(t) == jax.tree.structure(pop)
        )
        if jax.tree.structure(tree) == jax.tree.structure(pop)
    ]
    assert like_params or name == "noisy"
    for tree in (members.params, *like_params):
        dead = jax.tree.map(lambda leaf, mask: jnp.where(mask, 0, leaf), tree, masks)
        alive = jax.tree.map(lambda leaf, mask: jnp.where(mask, leaf, 0), tree, masks)
        assert not any(leaf.any() for leaf in jax.tree.leaves(dead))
        assert all(leaf.any() for leaf in jax.tree.leaves(alive))
    assert name == "noisy" or (members.history["loss"][:, -1] < members.history["loss"][:, 0]).all()


@pytest.mark.slow
def test_what_stood_at_a_masked_place_never_changes_anything(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    masks = half_masks(pop)
    settings = {"epochs": 2, "batch_size": 20, "key": key, "masks": masks}
    reference, history = training.fit(apply, pop, task, ADAM, **settings)
    for value in (jnp.nan, 1e9, -1.0):
        spoilt = jax.tree.map(lambda leaf, mask, v=value: jnp.where(mask, leaf, v), pop, masks)
        again, of_again = training.fit(apply, spoilt, task, ADAM, **settings)
        for p, q in zip(jax.tree.leaves((reference, history)), jax.tree.leaves((again, of_again)), strict=True):
            assert np.asarray(p).tobytes() == np.asarray(q).tobytes()


@pytest.mark.slow
def test_masks_of_other_shapes_or_of_numbers_are_refused(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 2)
    settings = {"epochs": 1, "batch_size": 20, "key": key}
    for masks, complaint in (
        (pop, "masks: got float32 of shape"),
        (half_masks(init(key)), "expected booleans of shape"),
        ({"params": {}}, "masks: got nothing at the leaf 'params/hidden_0/bias'"),
    ):
        with pytest.raises(ValueError, match=complaint):
            training.fit(apply, pop, task, ADAM, masks=masks, **settings)


@pytest.mark.slow
def test_idle_members_are_left_as_they_are(network, task, key):
    apply, init = network
    pop = ea.population.init(init, key, 3)
    members = training.init(pop, ADAM, epochs=2, key=key)
    alone, _ = training.finish(training.step_epoch(apply, members, task, ADAM, batch_size=20))
    members = training.init(pop, ADAM, epochs=2, key=key).replace(active=jnp.array([True, False, True]))
    members = training.step_epoch(apply, members, task, ADAM, batch_size=20, some_idle=True)
    for p, q, r in zip(jax.tree.leaves(members.params), jax.tree.leaves(alone), jax.tree.leaves(pop), strict=True):
        np.testing.assert_array_equal(p[1], r[1])
        np.testing.assert_allclose(p[jnp.array([0, 2])], q[jnp.array([0, 2])], rtol=1e-5, atol=1e-7)
    assert members.epoch.tolist() == [1, 0, 1]


def test_a_noisy_network_is_given_another_key_at_every_step(network, task, key):
    apply, init = network
    params = init(key)
    seen = []

    def noisy(params, x, key=None):
        jax.debug.callback(lambda k: seen.append(tuple(k.tolist())), jax.random.key_data(key))
        return apply(params, x)

    settings = {"batch_size": 40, "key": key, "shuffle": False}
    ours = training.epoch(noisy, params, ADAM.init(params), *task, ADAM, noisy=True, **settings)
    plain = training.epoch(apply, params, ADAM.init(params), *task, ADAM, **settings)
    jax.effects_barrier()
    chex.assert_trees_all_close(ours[0], plain[0], atol=1e-6)
    assert len(set(seen)) == 3


@pytest.mark.slow
def test_a_noisy_population_learns_the_same_in_every_way_of_training(network, task, key):
    apply, init = network

    def noisy(params, x, key=None):
        return apply(params, x) if key is None else apply(params, x + 0.3 * jax.random.normal(key, x.shape))

    params = init(key)
    settings = {"batch_size": 40, "noisy": True}
    alone, _ = training.descend(noisy, params, *task, ADAM, epochs=2, key=key, **settings)
    moments, again = ADAM.init(params), params
    for of_epoch in jax.random.split(key, 2):
        again, moments, _ = training.epoch(noisy, again, moments, *task, ADAM, key=of_epoch, **settings)
    chex.assert_trees_all_close(alone, again, atol=1e-6)
    pop = ea.population.stack([params])
    fitted, history = training.fit(noisy, pop, task, ADAM, epochs=2, key=key, validation=task, **settings)
    still, _ = training.fit(apply, pop, task, ADAM, epochs=2, key=key, batch_size=40)
    assert any(bool((p != q).any()) for p, q in zip(jax.tree.leaves(fitted), jax.tree.leaves(still), strict=True))
    expected = training.evaluate(apply, ea.population.take(fitted, 0), *task).loss
    np.testing.assert_allclose(history.validation_loss[0, -1], expected, rtol=1e-5)


@pytest.mark.slow
def test_what_has_not_come_is_nan_in_the_history_and_no_program_holds_it(network, task, key):
    apply, init = network
    with jax.debug_nans(True):
        members = training.init(ea.population.init(init, key, 2), ADAM, epochs=3, key=key)
        members = training.step_epoch(apply, members, task, ADAM, batch_size=20)
        members = members.replace(active=jnp.array([True, False]))
        members = training.step_epoch(apply, members, task, ADAM, batch_size=20, some_idle=True)
    _, history = training.finish(members)
    np.testing.assert_array_equal(jnp.isnan(history.loss), [[False, False], [False, True]])
    np.testing.assert_array_equal(jnp.isnan(history.accuracy), [[False, False], [False, True]])
