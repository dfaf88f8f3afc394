import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from evojax_align.evolution import tasks
from evojax_align.evolution._sharding import varying


def lifted(fn):
    """A function in a shard_map over one device, whose types are those of many."""
    mesh, spec = jax.make_mesh((1,), ("devices",), axis_types=(AxisType.Auto,)), PartitionSpec("devices")
    return jax.jit(jax.shard_map(fn, mesh=mesh, in_specs=spec, out_specs=spec))


def test_the_branches_of_a_conditional_vary_alike_and_keep_their_values():
    def chosen(x):
        fixed = jnp.array([2.0, jnp.nan])
        ways = [lambda: varying(fixed + x, (fixed, x)), lambda: varying(fixed, (fixed, x))]
        return jax.lax.cond(x[0] > 0, *ways)

    np.testing.assert_array_equal(lifted(chosen)(jnp.ones(2)), jnp.array([3.0, jnp.nan]))
    np.testing.assert_array_equal(lifted(chosen)(-jnp.ones(2)), jnp.array([2.0, jnp.nan]))


def test_a_pole_swings_where_the_key_or_the_network_varies_over_devices(key):
    task = tasks.SwingUp(starts=2, limit=5)

    def pushed(force):
        return lambda x: jnp.broadcast_to(force, (1, x.shape[1], 1))

    expected = task(key, pushed(jnp.array(0.5)))
    by_key = lifted(lambda keys: task(keys[0], pushed(jnp.array(0.5))))(key[None])
    by_force = lifted(lambda force: task(key, pushed(force[0])))(jnp.array([0.5]))
    np.testing.assert_allclose(by_key, expected, rtol=1e-5)
    np.testing.assert_allclose(by_force, expected, rtol=1e-5)
