import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align.alignment import CCA, Correlation, align_to
from evojax_align.symmetry.permuting import random_permutations


@pytest.fixture(scope="module")
def crowd(network, task):
    """A network, its parameters, and a population that is that network in five orders of its neurons."""
    apply, init = network
    params = init(jax.random.key(2))
    spec = ea.symmetry.infer(apply, params, task[0][:1])
    orders = [random_permutations(spec, key) for key in jax.random.split(jax.random.key(3), 5)]
    return apply, params, ea.population.stack([ea.symmetry.permute(spec, params, order) for order in orders])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["correlation", CCA(ridge=0.01), "weights"])
def test_every_order_of_a_network_becomes_that_of_the_reference(crowd, task, method):
    apply, params, pop = crowd
    found = align_to(apply, params, pop, task[0], method=method)
    for member in ea.population.unstack(found.networks):
        chex.assert_trees_all_equal(member, params)


@pytest.mark.slow
def test_networks_keep_their_functions_and_the_permutations_say_what_moved(network, task, key):
    apply, init = network
    reference, *others = ea.population.unstack(ea.population.init(init, key, 4))
    pop = ea.population.stack(others)
    spec = ea.symmetry.infer(apply, reference, task[0][:1])
    compiled = Correlation(engine="compiled")
    found = jax.jit(lambda pop: align_to(apply, reference, pop, task[0], spec=spec, method=compiled))(pop)
    for number, member in enumerate(ea.population.unstack(found.networks)):
        np.testing.assert_allclose(apply(member, task[0]), apply(others[number], task[0]), atol=1e-5)
        order = {group: index[number] for group, index in found.permutations.items()}
        chex.assert_trees_all_equal(ea.symmetry.permute(spec, others[number], order), member)


def test_a_method_that_is_no_bijection_is_refused(crowd, task):
    with pytest.raises(ValueError, match="method: got Semi"):
        align_to(*crowd, jnp.asarray(task[0]), method="semi")
