"""Safe mutation by output gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import models, population
from evojax_align.evolution import mutation

X = np.array([[1.0, 2.0], [-3.0, 2.0], [0.0, 5.0]], np.float32)
W = {"w": jnp.array([[1.0, -1.0], [0.5, 2.0]])}


STATIC = ("apply", "kind", "chunk")
sensitivity = jax.jit(mutation.sensitivity, static_argnames=STATIC)  # compiling is faster than operation by operation
safe_gradient = jax.jit(mutation.safe_gradient, static_argnames=STATIC)


def linear(params, x):
    return x @ params["w"]


def jacobian(apply, params, x):
    """All derivatives, by leaf: [samples, outputs, *shape of the leaf]."""
    full = jax.jit(jax.jacrev(lambda params: apply(params, x).reshape(x.shape[0], -1)))(params)
    return jax.tree.map(np.asarray, full)


def expected(kind, apply, params, x, direction=None):
    """The formulas, from all derivatives."""
    found, n = jacobian(apply, params, x), x.shape[0]
    if kind == "summed":
        return {name: np.sqrt((of.sum(0) ** 2).sum(0)) for name, of in found.items()}
    if kind == "absolute":
        return {name: np.sqrt((np.abs(of).mean(0) ** 2).sum(0)) for name, of in found.items()}
    length = np.sqrt(sum((of**2).sum() for of in direction.values()))
    change = sum(np.tensordot(found[name], of, of.ndim) for name, of in direction.items()) / length
    return {name: np.sqrt(np.abs(2 / n * np.tensordot(change, of, 2))) for name, of in found.items()}


def test_of_a_linear_network_the_sensitivities_are_moments_of_the_inputs():
    find = sensitivity
    np.testing.assert_allclose(find(linear, W, X)["w"], [[2, 2], [9, 9]])  # |sum of x|
    np.testing.assert_allclose(find(linear, W, X, kind="absolute")["w"], [[4 / 3, 4 / 3], [3, 3]])  # mean of |x|
    direction = {"w": jnp.array([[3.0, 0.0], [0.0, 4.0]])}
    second = 2 / 3 * X.T @ X @ np.array([[0.6, 0.0], [0.0, 0.8]])
    found = find(linear, W, X, kind="second", direction=direction)
    np.testing.assert_allclose(found["w"], np.sqrt(np.abs(second)), rtol=1e-6)


@pytest.mark.parametrize("kind", ["summed", "absolute", "second"])
def test_sensitivities_are_those_of_the_whole_jacobian(kind, case):
    apply, params, x = case
    direction = jax.tree.map(jnp.cos, params) if kind == "second" else None
    found = sensitivity(apply, params, x, kind=kind, direction=direction)
    for name, of in expected(kind, apply, params, x, direction).items():
        np.testing.assert_allclose(found[name], of, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["summed", "absolute"])
def test_sensitivities_are_those_of_finite_differences(kind, case):
    apply, params, x = case
    with jax.enable_x64(True):
        params, x = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), (params, x))
        outputs = jax.jit(lambda params: apply(params, x).reshape(x.shape[0], -1))
        found, step = sensitivity(apply, params, x, kind=kind), 1e-6
        for name, place in (("in", (1, 2)), ("bias", (3,)), ("out", (0, 1))):
            up, down = (dict(params, **{name: params[name].at[place].add(sign * step)}) for sign in (1, -1))
            change = np.asarray(outputs(up) - outputs(down)) / (2 * step)
            over = np.abs(change).mean(0) if kind == "absolute" else change.sum(0)
            np.testing.assert_allclose(found[name][place], np.sqrt((over**2).sum()), rtol=1e-6)


def test_the_second_kind_is_the_hessian_of_the_divergence(case):
    apply, params, x = case
    direction = jax.tree.map(jnp.sin, params)
    length = jnp.sqrt(sum(jnp.sum(of**2) for of in jax.tree.leaves(direction)))
    unit = jax.tree.map(lambda of: of / length, direction)

    def divergence(moved):
        return jnp.sum((apply(moved, x) - apply(params, x)) ** 2) / x.shape[0]

    hessian_vector = jax.jit(lambda: jax.jvp(jax.grad(divergence), (params,), (unit,))[1])()
    found = sensitivity(apply, params, x, kind="second", direction=direction)
    for name, of in hessian_vector.items():
        np.testing.assert_allclose(found[name] ** 2, jnp.abs(of), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["summed", "absolute"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_the_chunk_changes_nothing(kind, chunk):
    params = {"w": jax.random.normal(jax.random.key(0), (3, 7))}
    apply, x = lambda params, x: jnp.tanh(x @ params["w"]), jax.random.normal(jax.random.key(1), (5, 3))
    found = sensitivity(apply, params, x, kind=kind, chunk=chunk)["w"]
    np.testing.assert_allclose(found, expected(kind, apply, params, x)["w"], rtol=1e-5)


@pytest.mark.parametrize("kind", ["summed", "absolute"])
def test_outputs_and_inputs_are_any_trees_and_integers_are_left_out(kind):
    def apply(params, x):
        y = x["seen"] @ params["net"][0]
        return {"logits": y, "action": jnp.argmax(y, axis=1), "value": (x["seen"] * params["net"][1][None]).sum(1)}

    w, v, x = W["w"], jnp.array([3.0, 4.0]), {"seen": jnp.asarray(X), "step": jnp.arange(3)}
    params = {"net": (w, v), "steps": jnp.array([5, 6])}
    found = sensitivity(apply, params, x, kind=kind)
    both = lambda p, x: jnp.concatenate([x @ p["w"], (x * p["v"][None]).sum(1, keepdims=True)], axis=1)
    of = expected(kind, both, {"w": w, "v": v}, jnp.asarray(X))
    np.testing.assert_allclose(found["net"][0], of["w"], rtol=1e-6)
    np.testing.assert_allclose(found["net"][1], of["v"], rtol=1e-6)
    assert found["steps"].tolist() == [0, 0]


def test_complex_outputs_count_twice_and_complex_weights_by_their_size():
    params, x = {"w": jnp.array([1 + 1j, 2 - 1j])}, jnp.array([[3.0, 0.5]])
    found = sensitivity(lambda params, x: x * params["w"][None], params, x)["w"]
    np.testing.assert_allclose(found, [3 * np.sqrt(2), 0.5 * np.sqrt(2)], rtol=1e-6)


def test_low_precision_is_summed_in_float32():
    params, x = {"w": jnp.ones((2, 2), jnp.bfloat16)}, jnp.ones((3000, 2), jnp.bfloat16)
    found = sensitivity(linear, params, x, kind="absolute")["w"]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 1, rtol=1e-2)


KINDS = ("summed", "absolute", "second")


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutant_is_the_parent_plus_noise_divided_by_the_sensitivity(kind, case, key):
    apply, params, x = case
    noise = mutation.isotropic(key, jax.tree.map(jnp.zeros_like, params), scale=1.0)
    direction = noise if kind == "second" else None
    sensitivities = sensitivity(apply, params, x, kind=kind, direction=direction)
    mutant = safe_gradient(key, apply, params, x, scale=0.1, kind=kind, floor=0.3)
    for name, s in sensitivities.items():
        step = 0.1 * noise[name] / np.maximum(s, 0.3)
        np.testing.assert_allclose(mutant[name], params[name] + step, rtol=1e-4, atol=1e-5)
    assert min(float(s.min()) for s in sensitivities.values()) < 0.3 or kind == "summed"


def test_outputs_change_less_than_by_plain_noise_of_the_same_size(case, key):
    apply, params, x = case
    x = x.at[..., 0].multiply(10).at[..., 1:].multiply(0.01)  # and so weights have other sensitivities

    def change(mutate):
        """The change of the outputs by that of the weights."""
        mutants = jax.vmap(mutate)(jax.random.split(key, 50))
        steps = jax.tree.leaves(jax.tree.map(lambda many, one: many - one[None], mutants, params))
        outputs = jax.vmap(apply, (0, None))(mutants, x) - apply(params, x)[None]
        return jnp.sqrt(jnp.sum(outputs**2) / sum(jnp.sum(of**2) for of in steps))

    safe = lambda key: mutation.safe_gradient(key, apply, params, x, scale=0.01, kind="absolute")
    plain = lambda key: mutation.isotropic(key, params, scale=1.0)
    ratio = jax.jit(lambda: change(safe) / change(plain))()
    assert ratio < 0.5


def test_weights_without_effect_get_plain_noise_and_the_floor_and_limit_hold():
    params = {"w": jnp.zeros(4)}
    apply, x = lambda params, x: x * params["w"][None], jnp.array([[0.0, 1e-4, 0.1, 10.0]])

    def deviations(**settings):
        keys = jax.random.split(jax.random.key(0), 2000)
        return jax.jit(jax.vmap(lambda k: mutation.safe_gradient(k, apply, params, x, scale=0.1, **settings)))(keys)[
            "w"
        ]

    np.testing.assert_allclose(deviations().std(0), [0.1, 10.0, 1.0, 0.01], rtol=0.1)
    np.testing.assert_allclose(deviations(floor=1.0).std(0), [0.1, 0.1, 0.1, 0.01], rtol=0.1)
    limited = deviations(limit=0.2)
    np.testing.assert_allclose(jnp.abs(limited).max(0)[1:3], 0.2, rtol=1e-6)
    np.testing.assert_allclose(limited[:, 3], deviations()[:, 3], rtol=1e-6)


def test_weights_whose_sensitivity_is_not_finite_stay_as_they_are(key):
    params = {"v": jnp.ones(2), "w": jnp.ones(2)}
    apply = lambda params, x: jnp.concatenate([x * params["v"][None], (x - 1) * jnp.log(params["w"] - 1)[None]], 1)
    mutant = safe_gradient(key, apply, params, jnp.ones((1, 2)), scale=0.1)
    assert mutant["w"].tolist() == [1.0, 1.0] and (mutant["v"] != 1).all() and np.isfinite(mutant["v"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_without_scale_nothing_changes_and_other_leaves_never_do(kind, key):
    params = {"w": W["w"].at[0, 0].set(-0.0), "steps": jnp.array(3), "key": jax.random.key(7)}
    still = safe_gradient(key, linear, params, X, scale=0.0, kind=kind)
    assert np.asarray(still["w"]).tobytes() == np.asarray(params["w"]).tobytes()
    moved = safe_gradient(key, linear, params, X, scale=0.1, kind=kind)
    assert (moved["w"] != params["w"]).all() and moved["steps"] == 3 and (moved["key"] == params["key"]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_noise_is_a_constant_for_derivatives(kind, key):
    def total(params, x, scale):
        return mutation.safe_gradient(key, linear, params, x, scale=scale, kind=kind)["w"].sum()

    by_params, by_x, by_scale = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(W, jnp.asarray(X), 0.1)
    assert (by_params["w"] == 1).all() and (by_x == 0).all()
    step = safe_gradient(key, linear, W, X, scale=1.0, kind=kind)["w"] - W["w"]
    np.testing.assert_allclose(by_scale, step.sum(), rtol=1e-5)


def test_each_member_of_a_population_has_its_own_mutant_and_one_key_one_mutant(key):
    network, x = models.MLP(hidden=(5,), classes=3), jax.random.normal(jax.random.key(1), (8, 4))
    pop = population.init(lambda key: network.init(key, x), key, 3)
    keys = jax.random.split(key, 3)
    mutate = lambda key, params: mutation.safe_gradient(key, network.apply, params, x, scale=0.1)
    lifted = jax.jit(lambda keys, pop: population.map(mutate, keys, pop, strategy="vmap"))(keys, pop)
    for key, params, mutant in zip(keys, population.unstack(pop), population.unstack(lifted), strict=True):
        for p, q in zip(jax.tree.leaves(jax.jit(mutate)(key, params)), jax.tree.leaves(mutant), strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": -1.0}, r"scale: got -1\.0; expected one finite number of at least 0"),
        ({"kind": "sum"}, r"kind: got 'sum'; expected one of .*Did you mean 'summed'"),
        ({"floor": 0.0}, r"floor: got 0\.0; expected a finite number above 0"),
        ({"limit": -1.0}, r"limit: got -1\.0; expected a finite number above 0"),
        ({"chunk": 0}, r"chunk: got 0; expected an integer of at least 1"),
        ({"x": jnp.ones((0, 2))}, r"x: got shapes .*expected samples along the leading axis, at least one"),
        ({"x": jnp.ones((3, 5))}, r"apply, params, x: got params of structure"),
        ({"apply": lambda params, x: (x @ params["w"]).mean(0)}, r"apply: got outputs of shapes \[\(2,\)\] for 3"),
        ({"apply": lambda params, x: jnp.argmax(x @ params["w"], 1)}, r"apply: got outputs of shapes \[\] for 3"),
    ],
)
def test_what_cannot_be_is_refused(settings, message, key):
    settings = {"apply": linear, "x": jnp.asarray(X), "scale": 0.1} | settings
    with pytest.raises(ValueError, match=message):
        mutation.safe_gradient(key, settings.pop("apply"), W, settings.pop("x"), **settings)


@pytest.mark.slow
def test_a_direction_is_for_the_second_kind_alone():
    with pytest.raises(ValueError, match=r"direction: got none for kind='second'.*Pass the noise"):
        mutation.sensitivity(linear, W, X, kind="second")
    with pytest.raises(ValueError, match=r"direction: got one for kind='summed'.*Leave it out"):
        mutation.sensitivity(linear, W, X, direction=W)
    with pytest.raises(ValueError, match=r"params, direction: got shape"):
        mutation.sensitivity(linear, W, X, kind="second", direction={"w": jnp.ones(2)})
