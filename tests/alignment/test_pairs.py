from functools import partial

import jax
import numpy as np
import pytest

import evojax_align as ea
from evojax_align import population, symmetry
from evojax_align.alignment import match, rearrange, relate


def of_one(apply, many, x):
    return symmetry.infer(apply, population.take(many[0], 0), x)


@pytest.mark.slow
def test_statistics_computed_once_serve_every_method(apply, x, many):
    relations = relate(of_one(apply, many, x), apply, *many, x)
    for method in ("correlation", "semi"):
        matches = match(relations, method)
        out = ea.align_pairs(apply, *many, x, method=method)
        for group, found in matches.items():
            np.testing.assert_array_equal(found.x, out.permutations_a[group])
            np.testing.assert_array_equal(found.y, out.permutations_b[group])
            np.testing.assert_allclose(found.score, out.scores[group], atol=1e-5)
            assert found.valid.all() and found.all_finite.all()


def test_the_stages_in_a_row_are_align(apply, x, shallow):
    a, b = shallow
    spec = symmetry.infer(apply, a, x)

    @jax.jit
    def stages(a, b):
        relations = relate(spec, apply, a, b, x, covariances=False)
        return rearrange(spec, a, b, match(relations))

    new_a, new_b = stages(a, b)
    out = ea.align(apply, a, b, x)
    for found, expected in zip(jax.tree.leaves((new_a, new_b)), jax.tree.leaves((out.a, out.b)), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_the_statistics_of_a_program_are_those_outside(apply, x, many):
    spec = of_one(apply, many, x)
    inside = jax.jit(lambda a, b: match(relate(spec, apply, a, b, x), "semi"))(*many)
    outside = match(relate(spec, apply, *many, x), "semi")
    for group, found in inside.items():
        np.testing.assert_array_equal(found.y, outside[group].y)


def test_without_covariances_there_is_no_cca(apply, x, many):
    relations = relate(of_one(apply, many, x), apply, *many, x, covariances=False)
    match(relations)
    with pytest.raises(ValueError, match="within=True"):
        match(relations, "cca")


def test_populations_of_different_size_are_refused(apply, x, many):
    first, second = many
    for call in (ea.align_pairs, partial(relate, of_one(apply, many, x))):
        with pytest.raises(ValueError, match=r"a, b: got shape \(3, .*\) and \(1, .*\) at the leaf '0/"):
            call(apply, first, population.take(second, slice(0, 1)), x)


def test_a_broken_pair_is_named(apply, x, many):
    first, second = many
    still, loud = (jax.tree.map(np.array, networks) for networks in (second, first))
    for leaf in jax.tree.leaves(still):
        leaf[1] = 0.0
    for leaf in jax.tree.leaves(loud):
        leaf[0] = 3e38
    for call in (ea.align_pairs, partial(relate, of_one(apply, many, x))):
        with pytest.raises(ValueError, match=r"b: got only dead neurons .* in group '0' of pair 1"):
            call(apply, first, still, x)
        with pytest.raises(ValueError, match=r"a: got activations in group '0' of pair 0 that are not finite"):
            call(apply, loud, second, x)
