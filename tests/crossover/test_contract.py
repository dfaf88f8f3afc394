"""What every crossover promises, held over one table of all of them."""

import os
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import crossover, population, symmetry

RNG = np.random.default_rng(8)
X = jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32)


def parent(seed):
    random = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
    return {
        "a": {"kernel": draw(4, 5), "bias": draw(1, 5)},
        "b": {"kernel": draw(5, 3).astype(jnp.bfloat16)},
        "steps": jnp.asarray(random.integers(10), jnp.int32),
        "scale": draw(),
    }


def apply(p, x):
    h = jax.nn.relu(x @ p["a"]["kernel"] + p["a"]["bias"])
    return h @ p["b"]["kernel"].astype(jnp.float32) * p["scale"] + p["steps"]


A, B = parent(1), parent(2)
SPEC = symmetry.infer(apply, A, X)
OPERATORS = {
    "arithmetic": lambda key, a, b, rate=0.3: crossover.arithmetic(a, b, rate),
    "uniform": lambda key, a, b, rate=0.5: crossover.uniform(key, a, b, rate=rate),
    "neurons": lambda key, a, b, rate=0.5: crossover.neurons(key, a, b, spec=SPEC, rate=rate),
    "layers": lambda key, a, b, rate=0.5: crossover.layers(key, a, b, rate=rate),
    "blocks": lambda key, a, b, rate=0.5: crossover.blocks(key, a, b, block=2, rate=rate),
    "spherical": lambda key, a, b, rate=0.3: crossover.spherical(a, b, rate),
}
"""Operators with a rate or a t, at 0 of which the child is a, and at 1 b."""
DRAWN = {
    "one_point": crossover.one_point,
    "one_point, layers": lambda key, a, b: crossover.one_point(key, a, b, between="layers"),
    "spherical_split": crossover.spherical_split,
    "line": crossover.line,
    "line, no noise": lambda key, a, b: crossover.line(key, a, b, iso=0.0),
}
EVERY = OPERATORS | DRAWN
CHOOSING = ("uniform", "neurons", "layers", "blocks")
every_operator = pytest.mark.parametrize("name", EVERY)
every_operator_with_a_rate = pytest.mark.parametrize("name", OPERATORS)
every_choosing_operator = pytest.mark.parametrize("name", CHOOSING)


def assert_same_bits(a, b):
    chex.assert_trees_all_equal_shapes_and_dtypes(a, b)
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(p).tobytes() == np.asarray(q).tobytes()


@every_operator
def test_a_child_has_the_structure_shapes_and_types_of_its_parents(name, key):
    chex.assert_trees_all_equal_shapes_and_dtypes(EVERY[name](key, A, B), A)


@every_operator_with_a_rate
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_crossing_two_equal_parents_gives_that_parent_bit_for_bit(name, rate, key):
    special = jnp.array([-0.0, 1e-45, 3e38, jnp.inf, -jnp.inf])
    same = dict(A, a=dict(A["a"], bias=special[None]))
    assert_same_bits(EVERY[name](key, same, same, rate), same)


@pytest.mark.parametrize("name", [name for name in DRAWN if name != "line"])
@pytest.mark.parametrize("seed", range(3))
def test_crossing_two_equal_parents_at_a_drawn_place_gives_that_parent_bit_for_bit(name, seed):
    special = jnp.array([-0.0, 1e-45, 3e38, jnp.inf, -jnp.inf])
    same = dict(A, a=dict(A["a"], bias=special[None]))
    assert_same_bits(EVERY[name](jax.random.key(seed), same, same), same)


@every_operator_with_a_rate
def test_rate_or_t_zero_gives_the_first_parent_and_one_the_second(name, key):
    first = dict(A, a=dict(A["a"], bias=-jnp.zeros((1, 5))))
    assert_same_bits(EVERY[name](key, first, B, 0), first)
    assert_same_bits(EVERY[name](key, first, B, 1), B)
    assert_same_bits(EVERY[name](key, B, first, 1.0), first)


@every_operator_with_a_rate
@pytest.mark.parametrize("worst", [jnp.nan, jnp.inf])
def test_nan_of_a_parent_that_is_not_chosen_does_not_get_through(name, worst, key):
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, worst) if leaf.dtype != jnp.int32 else leaf, B)
    assert_same_bits(EVERY[name](key, A, broken, 0.0), A)
    assert_same_bits(EVERY[name](key, broken, A, 1.0), A)


@every_operator
def test_the_same_key_gives_the_same_bits_and_jit_changes_nothing(name, key):
    child = EVERY[name](key, A, B)
    assert_same_bits(EVERY[name](key, A, B), child)
    chex.assert_trees_all_close(jax.jit(EVERY[name])(key, A, B), child, rtol=1e-6)


@pytest.mark.slow
def test_the_same_key_gives_the_same_bits_in_another_process(key):
    program = "import jax, test_contract as t; print(t.all_children(jax.random.key(0)))"
    env = dict(os.environ, PYTHONPATH=os.path.dirname(__file__), PYTHONHASHSEED="77")
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == all_children(key), result.stderr


def all_children(key):
    return " ".join(digest(cross(key, A, B)) for cross in EVERY.values())


def digest(tree):
    return b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)).hex()


@every_choosing_operator
def test_other_keys_give_other_children(name):
    children = {digest(EVERY[name](jax.random.key(seed), A, B)) for seed in range(8)}
    assert len(children) >= (4 if name == "layers" else 8)  # of four layers there are 16 children


@every_operator
def test_a_lifted_crossover_gives_every_pair_its_own_child(name):
    keys = jax.random.split(jax.random.key(5), 3)
    firsts, seconds = [parent(seed) for seed in (1, 2, 3)], [parent(seed) for seed in (4, 5, 6)]
    lifted = population.map(EVERY[name], keys, population.stack(firsts), population.stack(seconds), strategy="vmap")
    alone = [EVERY[name](*pair) for pair in zip(keys, firsts, seconds, strict=True)]
    chex.assert_trees_all_close(population.unstack(lifted), alone, rtol=1e-6)


@every_choosing_operator
@pytest.mark.parametrize("seed", range(3))
def test_every_entry_comes_from_one_of_the_parents_at_the_same_place(name, seed):
    child = EVERY[name](jax.random.key(seed), A, B)
    for c, p, q in zip(*map(jax.tree.leaves, (child, A, B)), strict=True):
        assert bool(jnp.all((c == p) | (c == q)))


@every_choosing_operator
def test_the_rate_is_the_share_that_comes_from_the_second_parent(name, key):
    zeros = {"a": jnp.zeros((4, 3000)), "c": jnp.zeros(3000), "b": jnp.zeros((3000, 2))}
    spec = symmetry.infer(lambda p, x: (x @ p["a"] + p["c"][None]) @ p["b"], zeros, X)
    ones = jax.tree.map(jnp.ones_like, zeros)
    if name == "uniform":
        child = crossover.uniform(key, zeros, ones, rate=0.2)
    else:
        child = crossover.neurons(key, zeros, ones, spec=spec, rate=0.2)
    assert abs(float(child["a"].mean()) - 0.2) < 0.03
    assert abs(float(child["c"].mean()) - 0.2) < 0.03


@every_choosing_operator
@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan"), np.ones(2)])
def test_a_rate_that_is_no_chance_is_refused(name, rate, key):
    with pytest.raises(ValueError, match=r"rate: got .*from 0 to 1"):
        EVERY[name](key, A, B, rate)


WRONG = {
    "another shape": (dict(B, a=dict(B["a"], bias=jnp.ones((1, 6)))), r"a, b: got shape .* at the leaf 'a/bias'"),
    "another type": (dict(B, scale=jnp.array(1)), "a, b: got dtype float32 and int32 at the leaf 'scale'"),
    "a leaf too many": (dict(B, c=jnp.ones(2)), "a, b: got the leaf 'c' in b only"),
    "a leaf too few": ({k: v for k, v in B.items() if k != "b"}, "a, b: got the leaf 'b/kernel' in a only"),
}


@every_operator
@pytest.mark.parametrize("wrong", WRONG)
def test_parents_that_differ_are_refused_with_the_leaf(name, wrong, key):
    other, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        EVERY[name](key, A, other)
