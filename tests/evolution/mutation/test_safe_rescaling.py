"""Safe mutation by rescaling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, population
from evojax_align.evolution import mutation

X = jnp.array([[1.0, 2.0], [-3.0, 2.0], [0.0, 5.0]])
W = {"w": jnp.array([[1.0, -1.0], [0.5, 2.0]])}


safe_rescaling = jax.jit(mutation.safe_rescaling, static_argnames=("apply", "measure", "rounds"))


def linear(params, x):
    return x @ params["w"]


def noise_of(key, params):
    """The direction that is drawn."""
    return mutation.isotropic(key, jax.tree.map(jnp.zeros_like, params), scale=1.0)


@pytest.mark.parametrize("divergence", [1e-6, 1e-3, 0.1, 1.0])
def test_outputs_differ_by_the_divergence(divergence, case):
    apply, params, x = case

    def found(key):
        mutant = mutation.safe_rescaling(key, apply, params, x, divergence=divergence)
        return jnp.mean((apply(mutant, x) - apply(params, x)) ** 2)

    np.testing.assert_allclose(jax.jit(jax.vmap(found))(jax.random.split(jax.random.key(0), 8)), divergence, rtol=0.05)


def test_of_a_linear_network_the_step_has_a_closed_form(key):
    mutant = safe_rescaling(key, linear, W, X, divergence=0.01, tolerance=1e-4)
    noise = noise_of(key, W)["w"]
    t = np.sqrt(0.01 / np.mean(np.square(X @ noise)))
    np.testing.assert_allclose(mutant["w"], W["w"] + t * noise, rtol=1e-3)


@pytest.mark.slow
def test_a_deep_network_with_kinks_meets_the_divergence_too(key):
    x = jax.random.normal(jax.random.key(1), (40, 6))
    network = models.MLP(hidden=(12,) * 4, classes=4)
    params = jax.jit(network.init)(key, x)
    mutant = safe_rescaling(key, network.apply, params, x, divergence=10.0)
    found = mutation.mean_square(network.apply(params, x), network.apply(mutant, x))
    assert float(found) == pytest.approx(10.0, rel=0.05)


def test_any_measure_can_be_met(key):
    def kullback_leibler(before, after):
        return jnp.mean(jnp.sum(jax.nn.softmax(before) * (jax.nn.log_softmax(before) - jax.nn.log_softmax(after)), 1))

    mutant = safe_rescaling(key, linear, W, X, divergence=0.02, measure=kullback_leibler)
    assert float(kullback_leibler(linear(W, X), linear(mutant, X))) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("scale", [1e-4, 0.1, 30.0])
def test_where_the_search_begins_matters_little(scale, key):
    mutant = safe_rescaling(key, lambda p, x: jnp.tanh(x @ p["w"]), W, X, divergence=1e-4, scale=scale)
    found = mutation.mean_square(jnp.tanh(linear(W, X)), jnp.tanh(linear(mutant, X)))
    assert float(found) == pytest.approx(1e-4, rel=0.05)


def test_a_divergence_out_of_reach_gives_large_noise_that_is_finite(key):
    mutant = safe_rescaling(key, lambda p, x: jnp.tanh(x @ p["w"]), W, X, divergence=50.0, limit=3.0)
    step = (mutant["w"] - W["w"]) / noise_of(key, W)["w"]
    assert np.ptp(step) < 1e-3 and 0.3 < float(step[0, 0]) < 3.01


def test_a_network_that_does_not_change_gets_noise_of_the_scale(key):
    mutant = safe_rescaling(key, lambda p, x: 0 * (x @ p["w"]), W, X, divergence=0.1, scale=0.3)
    np.testing.assert_allclose(mutant["w"], W["w"] + 0.3 * noise_of(key, W)["w"], rtol=1e-5)


def test_where_large_noise_breaks_the_network_smaller_noise_is_found(key):
    apply = lambda params, x: jnp.where(jnp.abs(params["w"]).max() > 2.3, jnp.nan, x @ params["w"])
    mutant = safe_rescaling(key, apply, W, X, divergence=1e-3, scale=10.0)
    assert float(mutation.mean_square(linear(W, X), apply(mutant, X))) == pytest.approx(1e-3, rel=0.05)


def test_leaves_of_other_types_stay_and_low_precision_is_kept(key):
    params = {"w": W["w"].astype(jnp.bfloat16), "steps": jnp.array(3)}
    mutant = safe_rescaling(key, linear, params, X, divergence=0.5)
    assert mutant["w"].dtype == jnp.bfloat16 and mutant["steps"] == 3
    assert float(mutation.mean_square(linear(params, X), linear(mutant, X))) == pytest.approx(0.5, rel=0.1)


def test_a_trial_more_is_never_worse(key):
    apply = lambda params, x: jnp.tanh(x @ params["w"]) ** 3
    off = []
    for rounds in range(1, 9):
        mutant = safe_rescaling(key, apply, W, X, divergence=0.05, rounds=rounds, tolerance=1e-6, scale=1e-3)
        off.append(abs(np.log(float(mutation.mean_square(apply(W, X), apply(mutant, X))) / 0.05)))
    assert (np.diff(off) <= 1e-3).all() and off[0] > 1 and off[-1] < 0.05


def test_the_noise_is_a_constant_for_derivatives(key):
    def total(params, x):
        return mutation.safe_rescaling(key, linear, params, x, divergence=0.1)["w"].sum()

    by_params, by_x = jax.jit(jax.grad(total, argnums=(0, 1)))(W, X)
    assert (by_params["w"] == 1).all() and (by_x == 0).all()


def test_each_member_of_a_population_has_its_own_step(key):
    pop, keys = {"w": jnp.stack([W["w"], 2 * W["w"], -W["w"]])}, jax.random.split(key, 3)
    mutate = lambda key, params: mutation.safe_rescaling(key, linear, params, X, divergence=0.1)
    lifted = jax.jit(lambda keys, pop: population.map(mutate, keys, pop, strategy="vmap"))(keys, pop)
    each = [jax.jit(mutate)(*pair)["w"] for pair in zip(keys, population.unstack(pop), strict=True)]
    np.testing.assert_allclose(lifted["w"], each, rtol=1e-4, atol=1e-5)


def test_the_mean_square_is_over_all_numbers_of_all_outputs():
    before = {"a": jnp.zeros((2, 3), jnp.bfloat16), "n": jnp.array([1, 2]), "z": jnp.zeros(2, jnp.complex64)}
    after = {"a": jnp.ones((2, 3), jnp.bfloat16), "n": jnp.array([7, 8]), "z": jnp.array([1j, 1 + 1j])}
    assert float(mutation.mean_square(before, after)) == pytest.approx((6 + 1 + 2) / 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"divergence": 0.0}, r"divergence: got 0\.0; expected a finite number above 0"),
        ({"scale": -1.0}, r"scale: got -1\.0; expected a finite number above 0"),
        ({"tolerance": 0.0}, r"tolerance: got 0\.0; expected a finite number above 0"),
        ({"rounds": 0}, r"rounds: got 0; expected an integer of at least 1"),
        ({"measure": 3}, r"measure: got 3; expected a function measure\(before, after\)"),
        ({"measure": lambda p, q: (p - q).mean(1)}, r"measure: got shape \(3,\); expected one number"),
        ({"x": jnp.ones((3, 5))}, r"apply, params, x: got params of structure"),
        ({"apply": lambda params, x: jnp.argmax(x @ params["w"], 1)}, r"before: got no floating-point numbers"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused(settings, message, key):
    settings = {"apply": linear, "x": X, "divergence": 0.1} | settings
    with pytest.raises(ValueError, match=message):
        mutation.safe_rescaling(key, settings.pop("apply"), W, settings.pop("x"), **settings)
