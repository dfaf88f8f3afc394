"""Groups that no activations tell of are matched by the weights; what is left is reported."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import symmetry

X = jax.random.normal(jax.random.key(0), (40, 6))
METHODS = ("correlation", "cca", "loadings", "greedy", "weights")


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape) / np.sqrt(shape[0])


def lora(params, x):
    return jnp.tanh(x @ (params["w"] + params["A"] @ params["B"])) @ params["out"]


def low_rank(seed):
    return {"w": normal(99, 6, 5), "A": normal(seed, 6, 4), "B": normal(seed + 1, 4, 5), "out": normal(seed + 2, 5, 2)}


def hyper(params, x):
    made = jnp.tanh(params["code"] @ params["first"]) @ params["second"]
    return jnp.tanh(x @ made.reshape(6, 5)) @ params["out"]


def made(seed):
    code, first = normal(98, 1, 4), normal(seed, 4, 7)
    return {"code": code, "first": first, "second": normal(seed + 1, 7, 30), "out": normal(seed + 2, 5, 2)}


NETWORKS = {"lora": (lora, low_rank), "hypernetwork": (hyper, made)}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", METHODS)
def test_a_permuted_copy_is_matched_back_whole(name, method):
    apply, init = NETWORKS[name]
    params = init(1)
    spec = symmetry.infer(apply, params, X)
    orders = symmetry.random_permutations(spec, jax.random.key(3))
    copy = symmetry.permute(spec, params, orders)
    out = ea.align(apply, params, copy, X, method=method)
    assert out.unmatched == {} and out.valid
    middle = ea.crossover.arithmetic(out.a, out.b, 0.5)
    np.testing.assert_allclose(apply(middle, X), apply(params, X), atol=1e-5)
    if method != "weights":
        assert all((p == q).all() for p, q in zip(*map(jax.tree.leaves, (out.a, out.b)), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_both_functions_are_kept_also_of_many_pairs_and_under_jit(name):
    apply, init = NETWORKS[name]
    pop_a, pop_b = (ea.population.stack([init(seed) for seed in seeds]) for seeds in ((1, 2), (3, 4)))
    found = ea.align_pairs(apply, pop_a, pop_b, X)
    for number in range(2):
        a, b = (ea.population.take(pop, number) for pop in (pop_a, pop_b))
        one = ea.align(apply, a, b, X)
        for group, order in one.permutations_b.items():
            assert (found.permutations_b[group][number] == order).all()
        np.testing.assert_allclose(apply(one.b, X), apply(b, X), atol=1e-5)
    assert set(found.permutations_b) == set(symmetry.infer(apply, init(1), X).groups)
    traced = jax.jit(lambda a, b: ea.align(apply, a, b, X).permutations_b)(init(1), init(3))
    assert set(traced) == set(found.permutations_b)


def test_a_many_to_one_match_leaves_such_groups_and_says_so():
    with pytest.warns(UserWarning, match="the group 'A' is left as it is: no activations of it are read, and a many"):
        out = ea.align(lora, low_rank(1), low_rank(4), X, method="semi")
    assert list(out.unmatched) == ["A"] and "A" not in out.permutations_b


def test_the_control_leaves_everything_in_place_without_a_word():
    out = ea.align(lora, low_rank(1), low_rank(4), X, method="none")
    assert out.unmatched == {} and (out.b["A"] == low_rank(4)["A"]).all()


def test_some_groups_may_be_aligned_alone():
    a, b = low_rank(1), low_rank(4)
    out = ea.align(lora, a, b, X, groups=["B"])
    assert set(out.permutations_b) == {"B"}
    assert (jnp.sort(out.b["A"], axis=1) == jnp.sort(b["A"], axis=1)).all() and (out.b["A"] == b["A"]).all()
    only = ea.align(lora, a, b, X, method="weights", groups=["A"])
    assert set(only.permutations_b) == {"A"} and (only.b["out"] == b["out"]).all()
    for wrong, message in ((["C"], "groups: got 'C'"), ("B", r"groups: got 'B'; expected a list .*groups=\['B'\]")):
        with pytest.raises(ValueError, match=message):
            ea.align(lora, a, b, X, groups=wrong)


@pytest.mark.slow
def test_what_is_left_by_families_and_by_many_parents_is_told():
    def heads(params, x):
        made = jnp.einsum("dhr,hrc->dhc", params["A"], params["B"])
        return jnp.einsum("nhc,hco->no", jnp.tanh(jnp.einsum("nd,dhc->nhc", x, made)), params["O"])

    def init(seed):
        return {"A": normal(seed, 6, 4, 5), "B": normal(seed + 1, 4, 5, 3), "O": normal(seed + 2, 4, 3, 2)}

    with pytest.warns(UserWarning, match=r"the group 'A\[2\]' is left as it is: no activations of it are read, but"):
        out = ea.align(heads, init(1), init(4), X)
    np.testing.assert_allclose(heads(out.b, X), heads(init(4), X), atol=1e-5)
    with pytest.warns(UserWarning, match=r"the group 'A\[2\]' is left as it is: no activations of it are read, but"):
        many = ea.align_many(heads, ea.population.stack([init(1), init(4)]), X)
    assert list(many.unmatched) == ["A[2]"]
    assert ea.align_many(lora, ea.population.stack([low_rank(1), low_rank(4)]), X).unmatched == {}
