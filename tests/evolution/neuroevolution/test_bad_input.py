"""Each mistake has an error that names the argument, what came, what was expected, and the fix."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.evolution import (
    Aligned,
    Evaluation,
    Fronts,
    Islands,
    Neuroevolution,
    Niches,
    SafeGradient,
    Truncation,
)

W = {"w": jnp.arange(4.0)}


def step(fitness, **settings):
    ga = Neuroevolution(size=4, **settings)
    return ga.step(jax.random.key(1), ga.init(jax.random.key(0), W), fitness)


SETTINGS = {
    "one member": (dict(size=1), "size: got 1"),
    "no members": (dict(size=0), "size: got 0"),
    "too many elites": (dict(size=4, elites=5), "elites: got 5"),
    "elites alone": (dict(size=4, elites=4, reevaluate=True), "elites: got 4"),
    "too few children": (dict(size=4, elites=1, children=2), "elites, children: got 1 and 2"),
    "a rate above 1": (dict(crossover_rate=2), "crossover_rate: got 2"),
    "a selection by name": (dict(selection="best"), "selection: got 'best'"),
    "the class of a selection": (dict(selection=Truncation), "selection: got <class"),
    "an unknown crossover": (dict(crossover="neuron"), "Did you mean 'neurons'"),
    "a number as crossover": (dict(crossover=3), "crossover: got 3"),
    "an unknown method": (dict(alignment="correlations"), "Did you mean 'correlation'"),
    "a method that is no bijection": (dict(alignment="semi"), "alignment: got Semi"),
    "alignment without a network": (dict(alignment="mutual", probe=jnp.ones((3, 1))), "apply: got None"),
    "alignment without inputs": (dict(apply=jnp.dot, alignment="mutual"), "probe: got None"),
    "safe mutation without inputs": (dict(apply=jnp.dot, mutation=SafeGradient()), "probe: got None"),
    "neurons without inputs": (dict(apply=jnp.dot, crossover="neurons"), "probe: got None"),
    "an unknown probe": (dict(apply=jnp.dot, alignment="mutual", probe="visit"), "Did you mean 'visited'"),
    "a probe that is a number": (dict(apply=jnp.dot, alignment="mutual", probe=jnp.ones(())), "probe: got shapes"),
    "a negative mutation": (dict(mutation=-1.0), "mutation: got -1.0"),
    "alignment without crossover": (
        dict(apply=jnp.dot, crossover="none", alignment="mutual", probe=jnp.ones((3, 1))),
        "alignment: got 'mutual'; expected 'none' with crossover='none'",
    ),
    "no elites to evaluate again": (dict(elites=0, reevaluate=True), "reevaluate: got True"),
    "the class of a mutation": (dict(mutation=SafeGradient), "mutation: got the class SafeGradient"),
    "islands that do not divide": (dict(size=10, elites=0, islands=3), "islands: got 3 for size=10"),
    "islands that do not divide elites": (dict(size=9, elites=1, islands=3), "islands: got 3 for elites=1"),
    "more migrants than members": (dict(size=8, elites=0, islands=Islands(4, migrants=2)), "migrants: got 2"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_be_are_refused(unchecked, name):
    settings, message = SETTINGS[name]
    with pytest.raises(ValueError, match="expected") as error:
        Neuroevolution(**settings)
    assert message in str(error.value)


def test_alignment_of_some_is_of_pairs():
    with pytest.raises(ValueError, match=r"share: got 0.5"):
        Aligned(share=0.5, of="population")
    with pytest.raises(ValueError, match=r"share: got 0.0"):
        Aligned(share=0.0)


FITNESS = {
    "a vector": (lambda key, params: params["w"] * jnp.ones(3), r"fitness: got an array of shape \(3,\)"),
    "a tuple": (lambda key, params: (params["w"], 1), "fitness: got tuple"),
    "nothing": (lambda key, params: None, "fitness: got NoneType"),
    "NaN for all": (lambda key, params: params["w"] * jnp.nan, "fitness: got NaN for all networks"),
    "what looks at values": (lambda key, params: float(params["w"]), "tell"),
    "a complex number": (lambda key, params: params["w"] * 1j, "fitness: got a complex number"),
    "an index that is a value": (lambda key, params: [1.0, 2.0][params["w"].astype(int)], "tell"),
    "a choice by values": (lambda key, params: jnp.arange(3.0)[jnp.arange(3) < params["w"]].sum(), "tell"),
    "what goes through NumPy": (lambda key, params: np.sin(np.asarray(params["w"])), "tell"),
}


@pytest.mark.parametrize("name", FITNESS)
def test_fitness_functions_that_cannot_be_are_refused(unchecked, name):
    fitness, message = FITNESS[name]
    with pytest.raises(ValueError, match=message):
        step(fitness)


def test_no_function_is_refused(unchecked):
    with pytest.raises(ValueError, match="fitness: got 3"):
        step(3)


def test_parts_that_use_scores_or_states_say_what_is_missing():
    with pytest.raises(ValueError, match="evaluations without scores"):
        step(lambda key, params: params["w"], selection=Fronts())
    for shape, selection in (((), Fronts()), ((3, 2), Niches())):
        with pytest.raises(ValueError, match="expected a vector of scores"):
            step(lambda key, params, of=shape: Evaluation(params["w"], scores=jnp.ones(of)), selection=selection)
    ga = Neuroevolution(jnp.dot, size=4, alignment="mutual", probe="visited")
    with pytest.raises(ValueError, match="evaluations without states"):
        ga.step(jax.random.key(1), ga.init(jax.random.key(0), W), lambda key, params: params["w"])


def test_a_trace_needs_founders_that_were_evaluated():
    ga = Neuroevolution(size=4, elites=4, children=1)
    state = ga.init(jax.random.key(0), W)
    with pytest.raises(ValueError, match="pass fitness to init"):
        jax.jit(ga.step, static_argnums=2)(jax.random.key(1), state, lambda key, params: params["w"])
    ga = Neuroevolution(size=4, selection=Fronts())
    scored = lambda key, params: Evaluation(params["w"], scores=jnp.stack([params["w"]] * 2))
    with pytest.raises(ValueError, match="pass fitness to init"):
        jax.jit(ga.step, static_argnums=2)(jax.random.key(1), ga.init(jax.random.key(0), W), scored)


def test_tell_takes_what_ask_gave():
    ga = Neuroevolution(size=4)
    asked, state = ga.ask(jax.random.key(1), ga.init(jax.random.key(0), W))
    tell = partial(ga.tell, jax.random.key(2))
    with pytest.raises(ValueError, match="values: got 3 values"):
        tell(asked, [1.0, 2.0, 3.0], state)
    with pytest.raises(ValueError, match=r"values: got shape \(3,\)"):
        tell(asked, jnp.ones(3), state)
    with pytest.raises(ValueError, match="population: got 3 networks"):
        tell(ea.population.take(asked, slice(0, 3)), jnp.ones(4), state)
    with pytest.raises(ValueError, match="another structure"):
        tell({"v": asked["w"]}, jnp.ones(4), state)
    with pytest.raises(ValueError, match=r"shape .* at the leaf 'w'"):
        tell({"w": jnp.ones((4, 2))}, jnp.ones(4), state)
    with pytest.raises(ValueError, match="NaN for all"):
        tell(asked, jnp.full(4, jnp.nan), state)
    with pytest.raises(ValueError, match="values: got complex numbers"):
        tell(asked, 1j * jnp.ones(4), state)
    state, _ = tell(asked, [Evaluation(1.0), 2, np.float32(3), 4.0], state)
    assert state.fitness.tolist() == [4.0, 3.0, 2.0, 1.0]


def test_tell_refuses_what_is_no_array(unchecked):
    ga = Neuroevolution(size=4)
    asked, state = ga.ask(jax.random.key(1), ga.init(jax.random.key(0), W))
    with pytest.raises(ValueError, match="values: got None"):
        ga.tell(jax.random.key(2), asked, None, state)


def test_another_number_of_founders_is_refused():
    with pytest.raises(ValueError, match="init_fn: got a population of 4"):
        Neuroevolution(size=5).init(jax.random.key(0), W)


def test_a_network_without_groups_is_refused():
    x = jnp.ones((3, 2))
    apply = lambda params, x: x @ params["w"]
    ga = Neuroevolution(apply, size=4, alignment="mutual", probe=x)
    with pytest.raises(ValueError, match="alignment: got a network in which no axis can be permuted"):
        ga.init(jax.random.key(0), lambda key: {"w": jax.random.normal(key, (2, 1))})
    ga = Neuroevolution(apply, size=4, crossover="neurons", probe=x)
    with pytest.raises(ValueError, match="crossover: got a network in which no axis"):
        ga.init(jax.random.key(0), lambda key: {"w": jax.random.normal(key, (2, 1))})


def test_a_probe_of_another_shape_is_refused():
    network = ea.models.MLP(hidden=(4,), classes=1)
    ga = Neuroevolution(network.apply, size=4, alignment="mutual", probe=jnp.ones((3, 7)))
    with pytest.raises(ValueError, match="apply, params, x"):
        ga.init(jax.random.key(0), lambda key: network.init(key, jnp.ones((1, 2))))


def test_probes_from_data_need_data():
    network = ea.models.MLP(hidden=(4,), classes=1)
    ga = Neuroevolution(network.apply, size=4, alignment="mutual", probe="data")
    state = ga.init(jax.random.key(0), lambda key: network.init(key, jnp.ones((1, 2))))
    state, _ = ga.step(jax.random.key(1), state, lambda key, params: params["params"]["output"]["kernel"].sum())
    with pytest.raises(ValueError, match="data: got None"):
        ga.step(jax.random.key(2), state, lambda key, params: params["params"]["output"]["kernel"].sum())
