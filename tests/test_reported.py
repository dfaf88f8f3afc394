"""What users of other networks than the tests' ran into."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
import pytest

import evojax_align as ea
from evojax_align import _compiling

X = jax.random.normal(jax.random.key(0), (30, 4))
NETWORK = ea.models.MLP(hidden=(5,), classes=3)


def drawn(seed, **shapes):
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}


def lora(params, x):
    return jnp.tanh(x @ (params["w"] + params["A"] @ params["B"])) @ params["o"]


def copies():
    """A network, and a copy with the neurons that no activations tell of in another order."""
    first = drawn(1, w=(4, 6), A=(4, 2), B=(2, 6), o=(6, 2))
    return first, {**first, "A": first["A"][:, ::-1], "B": first["B"][::-1]}


@pytest.mark.slow
def test_many_networks_are_aligned_in_groups_that_no_activations_tell_of():
    a, b = copies()
    out = ea.align_many(lora, ea.population.stack([a, b, a]), X)
    mean = ea.crossover.average(out.networks)
    assert float(jnp.abs(lora(mean, X) - lora(a, X)).max()) < 1e-5
    assert out.unmatched == {}
    alone = lambda params, x: x @ (params["w"] + params["A"] @ params["B"])
    found = ea.align_many(alone, ea.population.stack([a, b]), X)
    assert found.permutations["A"].tolist() == [[0, 1], [1, 0]]


@pytest.mark.slow
def test_networks_of_unequal_width_say_what_was_left_as_it_is():
    with pytest.warns(UserWarning, match="the group 'A' is left as it is"):
        out = ea.align_unequal(lora, copies()[0], lora, copies()[1], X)
    assert out.unmatched == {"A": "no activations of it are read"}


@pytest.mark.slow
def test_a_function_whose_names_have_no_value_yet_can_be_aligned():
    params = NETWORK.init(jax.random.key(0), X)

    def apply(params, x):
        return later if x is None else NETWORK.apply(params, x)

    assert bool(ea.align(apply, params, params, X).valid)
    later = 1


@pytest.mark.parametrize("kind", ["partial", "method", "jit"])
def test_all_kinds_of_new_functions_are_told_of(kind):
    class Network:
        def apply(self, params, x):
            return jnp.tanh(x @ params["w"]) @ params["o"]

    made = {
        "partial": lambda: partial(lambda two, params, x: jnp.tanh(x @ params["w"]) @ params["o"], 2),
        "method": lambda: Network().apply,
        "jit": lambda: jax.jit(lambda params, x: jnp.tanh(x @ params["w"]) @ params["o"]),
    }[kind]
    params = drawn(0, w=(4, 5), o=(5, 2))
    _compiling.forget()
    ea.align(made(), params, params, X, verify=False)
    ea.align(made(), params, params, X, verify=False)
    with pytest.warns(UserWarning, match="'apply' was a new object each time"):
        ea.align(made(), params, params, X, verify=False)


def test_descend_compiles_once_for_the_same_objects():
    params, y, sgd = NETWORK.init(jax.random.key(0), X), jnp.arange(30) % 3, optax.sgd(0.1)
    settings = {"epochs": 1, "batch_size": 10, "key": jax.random.key(0)}
    ea.training.descend(NETWORK.apply, params, X, y, sgd, **settings)
    before = ea.training.descent._descend._cache_size()
    ea.training.descend(NETWORK.apply, params, X, y, sgd, **settings)
    assert ea.training.descent._descend._cache_size() == before


def test_outputs_beside_those_of_samples_do_not_stop_an_evaluation():
    params, y = NETWORK.init(jax.random.key(0), X), jnp.arange(30) % 3

    def apply(params, x):
        return NETWORK.apply(params, x), jnp.float32(3.0), jnp.ones((2, 15))

    def loss(outputs, targets):
        return ea.training.cross_entropy(outputs[0], targets)

    found = ea.training.evaluate(apply, params, X, y, loss=loss).loss
    assert float(found) == pytest.approx(float(ea.training.evaluate(NETWORK.apply, params, X, y).loss))


def _bend_on_nan():
    a, b = (NETWORK.init(jax.random.key(seed), X) for seed in (0, 1))
    data = X.at[0, 0].set(jnp.nan), jnp.arange(30) % 3
    settings = {"epochs": 1, "batch_size": 10, "key": jax.random.key(0)}
    return ea.interpolation.bend(NETWORK.apply, a, b, data, optax.sgd(0.1), **settings)


A, B = (NETWORK.init(jax.random.key(seed), X) for seed in (0, 1))
Y = jnp.arange(30) % 3
ERRORS = {
    "a list as a population": (lambda: ea.crossover.average([A, B]), "a list of 2 networks"),
    "one network as a population": (lambda: ea.crossover.average(A), "a leading axis"),
    "NaN in the data of a curve": (_bend_on_nan, "data, optimizer: got"),
    "huge inputs": (lambda: ea.align(NETWORK.apply, A, B, X * 1e30), "x: got activations"),
    "tiny inputs": (
        lambda: ea.align(
            lambda p, x: (x @ p["w"]) @ p["o"], *[drawn(i, w=(4, 5), o=(5, 2)) for i in (0, 1)], X * 1e-30
        ),
        "x: got only dead neurons",
    ),
    "metrics without names": (
        lambda: ea.training.evaluate(NETWORK.apply, A, X, Y, metrics=[ea.training.cross_entropy]),
        "metrics: got a list",
    ),
    "a number of groups": (lambda: ea.align(NETWORK.apply, A, B, X, groups=3), "groups: got 3"),
    "a network without a hash": (
        lambda: ea.alignment.relate(ea.symmetry.infer(NETWORK.apply, A, X), [1], A, B, X),
        "apply: got",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_names_what_came(unchecked, name):
    call, message = ERRORS[name]
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert message in str(error.value)


def test_tests_of_statistics_refuse_to_be_traced():
    with pytest.raises(TypeError, match="cannot be traced"):
        jax.jit(lambda v: ea.statistics.wilcoxon(v, 2 * v, alternative="greater").p)(jnp.arange(5.0))


def test_a_network_that_ignores_its_parameters_says_so():
    spec = ea.symmetry.infer(lambda params, x: x, A, X)
    assert str(spec) == "no axis can be permuted: the outputs depend on no parameter"
