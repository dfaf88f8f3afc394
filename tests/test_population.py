"""Populations, and how a function of one member is lifted to all."""

import os
import subprocess
import sys
import textwrap

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import _memory, population

POPULATION = {"w": jnp.arange(30.0).reshape(5, 3, 2), "n": jnp.arange(5)}
STRATEGIES = {
    "vmap": {"strategy": "vmap"},
    "scan": {"strategy": "scan"},
    "auto": {},
    "chunks of one": {"strategy": "scan", "chunk": 1},
    "chunks that do not divide": {"strategy": "scan", "chunk": 2},
    "one chunk": {"strategy": "scan", "chunk": 5},
    "a chunk larger than the population": {"strategy": "scan", "chunk": 7},
    "auto in chunks": {"chunk": 3},
    "as many as fit": {"strategy": "scan", "chunk": "auto"},
    "auto, as many as fit": {"chunk": "auto"},
}


def member(p, scale):
    return {"sum": jnp.sum(p["w"]) * scale, "next": p["n"] + 1, "w": jnp.sin(p["w"])}


def assert_same(a, b):
    chex.assert_trees_all_close(a, b, rtol=1e-6)
    chex.assert_trees_all_equal_dtypes(a, b)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_gives_what_a_loop_gives(name):
    scales = jnp.linspace(0, 1, 5)
    expected = population.stack([member(p, s) for p, s in zip(population.unstack(POPULATION), scales, strict=True)])
    assert_same(jax.jit(lambda *p: population.map(member, *p, **STRATEGIES[name]))(POPULATION, scales), expected)


def test_a_map_runs_outside_of_jit_too():
    assert_same(population.map(lambda p: 2 * p["w"], POPULATION), 2 * POPULATION["w"])


@pytest.mark.parametrize("name", STRATEGIES)
def test_one_member_is_a_population_too(name):
    one = population.take(POPULATION, slice(0, 1))
    assert_same(population.map(lambda p: 2 * p["w"], one, **STRATEGIES[name]), 2 * one["w"])


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_function_is_traced_once_and_once_more_for_a_rest_or_to_choose(name):
    chex.clear_trace_counter()
    twice = ("chunks that do not divide", "auto in chunks", "as many as fit")  # for a rest, or to choose
    traced = chex.assert_max_traces(lambda p: jnp.sum(p["w"]), n=2 if name in twice else 1)
    lifted = jax.jit(lambda p: population.map(traced, p, **STRATEGIES[name]))
    lifted(POPULATION)
    lifted(POPULATION)


def test_a_map_inside_a_map_runs_every_pair():
    out = population.map(lambda p: population.map(lambda q: p - q, jnp.arange(3.0)), jnp.arange(4.0))
    np.testing.assert_array_equal(out, np.arange(4)[:, None] - np.arange(3)[None])


def test_a_map_is_differentiable():
    grad = jax.grad(lambda p: jnp.sum(population.map(lambda w: jnp.sum(w**2), p, strategy="scan", chunk=2)))
    np.testing.assert_allclose(grad(POPULATION["w"]), 2 * POPULATION["w"], rtol=1e-6)


ON_FOUR_DEVICES = """
import warnings; warnings.simplefilter("error")
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh
from evojax_align import population
devices = np.array(jax.devices())
assert len(devices) == 4
meshes = [Mesh(devices, ("d",)), Mesh(devices.reshape(2, 2), ("d", "e")), jax.make_mesh((4,), ("d",))]
for mesh in meshes:
    for size in (8, 5, 1):
        x = jnp.arange(size * 3.0).reshape(size, 3)
        scan = {"strategy": "scan"}
        for settings in ({}, {"strategy": "vmap"}, {**scan, "chunk": 2}, {**scan, "chunk": "auto"}):
            out = population.map(lambda v: {"a": jnp.sin(v)}, x, mesh=mesh, **settings)["a"]
            np.testing.assert_allclose(out, np.sin(x), rtol=1e-6)
    out = jax.jit(lambda x: population.map(jnp.sin, x, mesh=mesh))(jnp.arange(8.0))
    np.testing.assert_allclose(out, np.sin(np.arange(8.0)), rtol=1e-6)
    assert len(out.sharding.device_set) == 4
    for size in (8, 5):
        placed = population.spread(jnp.arange(size * 2.0).reshape(size, 2), mesh)
        assert len(placed.sharding.device_set) == 4 and placed.sharding.is_fully_replicated == (size == 5)
    keys = jax.random.split(jax.random.key(0), 5)
    draw = lambda key: jax.random.normal(key, (2,))
    np.testing.assert_array_equal(population.map(draw, keys, mesh=mesh), population.map(draw, keys))

from jax.sharding import PartitionSpec as P
if jax.__version_info__ < (0, 8):
    raise SystemExit
mesh = jax.make_mesh((2, 2), ("members", "batch"))
x = jnp.arange(30.0).reshape(5, 6)
total = lambda v: jnp.sum(jnp.sin(population.split(v)))
program = jax.jit(lambda x: population.map(total, x, mesh=mesh))
np.testing.assert_allclose(program(x), np.sin(x).sum(axis=1), rtol=1e-6)
np.testing.assert_allclose(population.map(total, x, mesh=mesh), np.sin(x).sum(axis=1), rtol=1e-6)
assert "all-reduce" in program.lower(x).compile().as_text()  # of the halves of each sum
placed = population.spread(x[:4], mesh)
assert placed.sharding.spec == P(("members",)) and placed.addressable_shards[0].data.shape == (2, 6)
"""


@pytest.mark.slow
def test_members_are_shared_out_over_the_devices_of_a_mesh_whether_they_divide_or_not():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    env = dict(os.environ, XLA_FLAGS=flags, JAX_PLATFORMS="cpu")
    program = textwrap.dedent(ON_FOUR_DEVICES)
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_every_member_is_drawn_from_its_own_key(key):
    def init_fn(key):
        return {"w": jax.random.normal(key, (3,))}

    drawn = population.init(init_fn, key, 4)
    assert population.size(drawn) == 4
    for number, of_member in enumerate(jax.random.split(key, 4)):
        chex.assert_trees_all_equal(population.take(drawn, number), init_fn(of_member))
    assert len(np.unique(drawn["w"])) == 12
    chex.assert_trees_all_equal(drawn, population.init(init_fn, key, 4))


def test_stacking_and_unstacking_are_inverse():
    members = population.unstack(POPULATION)
    assert len(members) == 5 and members[2]["w"].shape == (3, 2)
    chex.assert_trees_all_equal(population.stack(members), POPULATION)


def test_members_are_taken_by_integer_slice_and_array():
    assert population.take(POPULATION, 3)["n"] == 3
    assert population.take(POPULATION, -1)["n"] == 4
    assert population.take(POPULATION, slice(1, 4))["n"].tolist() == [1, 2, 3]
    assert population.take(POPULATION, jnp.array([4, 0, 4]))["n"].tolist() == [4, 0, 4]
    assert jax.jit(population.take)(POPULATION, jnp.array(2))["n"] == 2


def test_pairs_are_neighbours():
    first, second = population.pairs({"n": jnp.arange(6)})
    assert first["n"].tolist() == [0, 2, 4] and second["n"].tolist() == [1, 3, 5]


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_a_size_that_is_no_positive_integer_is_refused(size, key, unchecked):
    with pytest.raises(ValueError, match="size: got"):
        population.init(lambda key: jax.random.normal(key), key, size)


def test_bad_populations_are_refused_with_the_leaf_and_the_mend():
    cases = [
        (lambda: population.stack([]), "members: got an empty list"),
        (lambda: population.stack([{"w": jnp.ones(2)}, {"w": jnp.ones(3)}]), r"members\[1\].*'w'"),
        (lambda: population.size({}), "population: got a tree without leaves"),
        (lambda: population.size({"a": jnp.ones(3), "b": jnp.ones(2)}), r"shape \(2,\) at the leaf 'b'; .*length 3"),
        (lambda: population.size({"a": jnp.ones(())}), r"shape \(\) at the leaf 'a'"),
        (lambda: population.pairs(POPULATION), r"population: got 5 members; .*even.*`take`"),
        (lambda: population.take(POPULATION, 5), "index: got 5; expected at most 4"),
        (lambda: population.take(POPULATION, -6), "index: got -6"),
        (lambda: population.map(member), "populations: got none"),
        (lambda: population.map(member, POPULATION, jnp.ones(4)), r"populations: got sizes \[5, 4\]"),
        (lambda: population.map(member, POPULATION, strategy="vmpa"), "strategy: got 'vmpa'.*mean 'vmap'"),
        (lambda: population.map(member, POPULATION, strategy="vmap", chunk=2), "chunk: got 2; .*strategy='scan'"),
        (lambda: population.map(member, POPULATION, chunk=0), "chunk: got 0"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_function_whose_loop_begins_with_a_constant_is_shared_out_over_a_mesh():
    mesh = jax.make_mesh((1,), ("members",), devices=jax.devices()[:1])

    def three_times(value):
        return jax.lax.fori_loop(0, 3, lambda _, total: total + value, 0.0)

    found = jax.jit(lambda values: population.map(three_times, values, mesh=mesh))(jnp.arange(4.0))
    np.testing.assert_allclose(found, 3 * np.arange(4.0))


def squares(w):
    ordered = jnp.sort(jnp.outer(w, w), axis=0)  # [200, 200] in float32: 160 KB for each member
    return (ordered @ ordered).sum()


@pytest.mark.parametrize(("free", "least", "most"), [(3e9, 50, 50), (4e6, 5, 20), (1e5, 1, 1), (-1e6, 1, 1)])
def test_a_chunk_is_as_large_as_the_memory_allows(monkeypatch, free, least, most):
    monkeypatch.setattr(_memory, "free_bytes", lambda device: free)
    monkeypatch.setattr(_memory, "chosen", [])
    many = _memory.largest_chunk(squares, jnp.ones((50, 200)), jax.devices()[0])
    assert least <= many <= most
    (found,) = _memory.chosen
    assert found["members"] == 50 and found["chunk"] == many
    assert found["needed"] <= found["free"] or many == 1
    if 1 < many < 50:  # one more would take more than there is, or nearly so
        assert found["needed"] * (many + 2) / many > found["free"]


def test_a_chunk_is_chosen_in_a_program_and_for_functions_of_what_is_traced(monkeypatch):
    monkeypatch.setattr(_memory, "free_bytes", lambda device: 4e6)
    monkeypatch.setattr(population._devices, "platform", lambda mesh: "gpu")
    pop, keys = jnp.ones((50, 200)), jax.random.split(jax.random.key(0), 50)

    @jax.jit
    def scaled(pop, by):
        return population.map(lambda w, key: by * squares(w) + jax.random.normal(key), pop, keys, chunk="auto")

    expected = jax.vmap(lambda w, key: 2 * squares(w) + jax.random.normal(key))(pop, keys)
    np.testing.assert_allclose(scaled(pop, 2.0), expected, rtol=1e-6)
    assert 1 < _memory.chosen[-1]["chunk"] < 50


def test_the_free_memory_of_a_device_is_less_than_that_of_a_large_machine():
    assert 0 < _memory.free_bytes(jax.devices()[0]) < 2**50


def test_another_word_for_a_chunk_is_refused(unchecked):
    with pytest.raises(ValueError, match="chunk: got 'Auto'; expected one of 'auto'"):
        population.map(lambda p: p["w"], POPULATION, chunk="Auto")


def test_samples_of_a_batch_have_a_leading_axis():
    with pytest.raises(ValueError, match="samples: got a number at the leaf 'b'; expected arrays with samples"):
        population.split({"a": jnp.ones(4), "b": jnp.float32(1)})


def test_an_axis_of_batches_needs_a_newer_jax_than_the_oldest_one(monkeypatch):
    mesh = jax.make_mesh((1, 1), ("members", "batch"), devices=jax.devices()[:1])
    monkeypatch.setattr(jax, "__version_info__", (0, 7, 2))
    with pytest.raises(ValueError, match=r"mesh: .*an axis 'batch' with JAX .*expected JAX 0.8 or newer"):
        population.map(jnp.sin, jnp.ones(2), mesh=mesh)


def test_a_mesh_without_an_axis_for_members_is_refused():
    mesh = jax.make_mesh((1,), ("batch",), devices=jax.devices()[:1])
    with pytest.raises(ValueError, match=r"mesh: .*'batch' only.*make_mesh\(\(1, 1\), \(\"members\", \"batch\"\)\)"):
        population.map(jnp.sin, jnp.ones(2), mesh=mesh)
