import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from evojax_align.similarity import (
    CanonicalDirections,
    cca,
    cca_of,
    correlation,
    deflated,
    merge,
    moments,
    structure_scores,
)
from evojax_align.similarity.canonical import FLOOR, _svd_by_eigh


def standardised(x):
    """Centred columns of unit variance in float64; 0 for the constant ones."""
    x = np.asarray(x, np.float64)
    x = x - x.mean(axis=0)
    scale = x.std(axis=0)
    return np.where(scale > 1e-9, x / np.where(scale > 1e-9, scale, 1), 0)


def directions(z, rank=None):
    """The oracle's principal directions [p, k] and their variances, without those of no variance."""
    _, s, vt = np.linalg.svd(z, full_matrices=False)
    keep = np.arange(s.size) < (s.size if rank is None else rank)
    keep &= s**2 > FLOOR["float32"] * s[0] ** 2
    return vt[keep].T, s[keep] ** 2 / len(z)


def oracle(x, y, rank=None):
    """Correlations and weights by QR of the (reduced) standardised columns and one SVD, all in float64."""
    sides = []
    for z in (standardised(x), standardised(y)):
        basis, _ = directions(z, rank)
        q, r = np.linalg.qr(z @ basis)
        sides.append((q, basis @ np.linalg.inv(r) * np.sqrt(len(z))))
    (q_x, to_x), (q_y, to_y) = sides
    u, s, vt = np.linalg.svd(q_x.T @ q_y, full_matrices=False)
    return s, to_x @ u, to_y @ vt.T


def ridge_oracle(x, y, ridge, rank=None):
    """Correlations by the generalised eigenproblem [0 C; C^T 0] w = rho [C_xx + ridge, 0; 0, C_yy + ridge] w."""
    z_x, z_y = standardised(x), standardised(y)
    if rank is not None:
        z_x, z_y = (z @ directions(z, rank)[0] for z in (z_x, z_y))
    p, q, n = z_x.shape[1], z_y.shape[1], len(z_x)
    left = np.zeros((p + q, p + q))
    left[:p, p:] = z_x.T @ z_y / n
    left += left.T
    right = scipy.linalg.block_diag(z_x.T @ z_x / n, z_y.T @ z_y / n) + ridge * np.eye(p + q)
    return scipy.linalg.eigh(left, right, eigvals_only=True)[::-1][: min(p, q)]


def as_arrays(pair):
    return tuple(map(jnp.asarray, pair))


def assert_same_up_to_sign(found, expected, atol):
    found = np.asarray(found)
    sign = np.sign(np.sum(found * expected, axis=0))
    np.testing.assert_allclose(found * sign, expected, atol=atol)


def small(seed=0, n=60, p=5, q=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    y = x[:, :1] + 0.5 * x @ rng.normal(size=(p, q)) + rng.normal(size=(n, q))
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


@pytest.mark.parametrize("which", ["trained", "damaged"])
def test_it_agrees_with_float64_on_real_activations(which, request):
    x, y = request.getfixturevalue(which)
    result = cca(*as_arrays((x, y)))
    expected, _, _ = oracle(x, y)
    used = int(min(result.rank_x, result.rank_y))
    assert used == len(expected) < 64
    np.testing.assert_allclose(result.correlations[:used], expected, atol=1e-3)
    assert (np.asarray(result.correlations[used:]) == 0).all()
    for dead, side in ((result.dead_x, x), (result.dead_y, y)):
        np.testing.assert_array_equal(dead, np.ptp(side, axis=0) == 0)


def test_the_first_directions_agree_with_float64_on_real_activations(damaged):
    _, weights_x, weights_y = oracle(*damaged)
    result = cca(*as_arrays(damaged))
    assert_same_up_to_sign(result.weights_x[:, :3], weights_x[:, :3], atol=0.01)
    assert_same_up_to_sign(result.weights_y[:, :3], weights_y[:, :3], atol=0.01)


def test_variates_have_unit_variance_are_uncorrelated_and_correlate_by_rho(damaged):
    result = cca(*as_arrays(damaged))
    used = int(min(result.rank_x, result.rank_y))
    of_x, of_y = (
        standardised(side) @ np.asarray(weights, np.float64)
        for side, weights in zip(damaged, (result.weights_x, result.weights_y), strict=True)
    )
    n = len(of_x)
    expected = np.diag((np.arange(64) < used).astype(float))
    np.testing.assert_allclose(of_x.T @ of_x / n, expected, atol=2e-3)
    np.testing.assert_allclose(of_y.T @ of_y / n, expected, atol=2e-3)
    np.testing.assert_allclose(of_x.T @ of_y / n, np.diag(result.correlations), atol=2e-3)


@pytest.mark.parametrize("settings", [{}, {"rank": 12}, {"ridge": 0.1}, {"rank": 12, "ridge": 0.1}])
def test_loadings_are_the_correlations_of_neurons_with_variates(damaged, settings):
    result = cca(*as_arrays(damaged), **settings)
    for side, weights, loadings in zip(
        damaged, (result.weights_x, result.weights_y), (result.loadings_x, result.loadings_y), strict=True
    ):
        z, weights = standardised(side), np.asarray(weights, np.float64)
        live, used = z.any(axis=0), weights.any(axis=0)
        expected = np.zeros(loadings.shape)
        both = np.corrcoef(z[:, live], z @ weights[:, used], rowvar=False)
        expected[np.ix_(live, used)] = both[: live.sum(), live.sum() :]
        np.testing.assert_allclose(loadings, expected, atol=2e-3)


@pytest.mark.parametrize("rank", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_a_rank_is_cca_of_the_main_directions(trained, rank):
    result = cca(*as_arrays(trained), rank=rank)
    expected, weights_x, weights_y = oracle(*trained, rank=rank)
    assert result.weights_x.shape == result.weights_y.shape == (64, rank)
    assert int(result.rank_x) == int(result.rank_y) == rank
    np.testing.assert_allclose(result.correlations, expected, atol=1e-3)
    assert_same_up_to_sign(result.weights_x[:, :1], weights_x[:, :1], atol=0.01)
    assert_same_up_to_sign(result.weights_y[:, :1], weights_y[:, :1], atol=0.01)


@pytest.mark.parametrize("rank", [None, 12])
@pytest.mark.parametrize("ridge", [0.01, 0.1, 1.0])
def test_a_ridge_solves_the_generalised_eigenproblem(damaged, ridge, rank):
    result = cca(*as_arrays(damaged), rank=rank, ridge=ridge)
    expected = ridge_oracle(*damaged, ridge, rank)
    np.testing.assert_allclose(result.correlations, np.maximum(expected, 0)[: result.correlations.size], atol=1e-3)
    for side, weights in ((damaged[0], result.weights_x), (damaged[1], result.weights_y)):
        z, weights = standardised(side), np.asarray(weights, np.float64)
        weights = weights[:, weights.any(axis=0)]
        norms = weights.T @ (z.T @ z / len(z) + ridge * np.eye(64)) @ weights
        np.testing.assert_allclose(norms, np.eye(len(norms)), atol=2e-3)


@pytest.mark.slow
def test_a_tiny_ridge_is_almost_no_ridge():
    x, y = small()
    np.testing.assert_allclose(cca(x, y, ridge=1e-6).correlations, cca(x, y).correlations, atol=1e-4)


def test_one_neuron_on_each_side_is_their_absolute_correlation():
    x, y = small(p=1, q=1)
    result = cca(x, -y)
    np.testing.assert_allclose(result.correlations[0], abs(correlation(x, y)[0, 0]), atol=1e-6)
    assert result.weights_x[0, 0] > 0 > result.weights_y[0, 0]


@pytest.mark.parametrize(("p", "q"), [(2, 5), pytest.param(5, 2, marks=pytest.mark.slow)])
def test_the_two_sides_may_differ_in_width(p, q):
    x, y = small(p=p, q=q)
    result = cca(x, y)
    expected, weights_x, weights_y = oracle(x, y)
    assert result.weights_x.shape == (p, min(p, q)) and result.weights_y.shape == (q, min(p, q))
    np.testing.assert_allclose(result.correlations, expected, atol=1e-5)
    assert_same_up_to_sign(result.weights_x, weights_x, atol=1e-4)
    assert_same_up_to_sign(result.weights_y, weights_y, atol=1e-4)


@pytest.mark.slow
def test_swapping_the_sides_swaps_the_result():
    x, y = small(q=2)
    here, there = cca(x, y), cca(y, x)
    np.testing.assert_allclose(here.correlations, there.correlations, atol=1e-6)
    assert_same_up_to_sign(here.weights_x, np.asarray(there.weights_y), atol=1e-4)


@pytest.mark.parametrize("rank", [None, 12])
def test_a_network_and_its_own_permuted_copy_are_one(damaged, rank):
    x, _ = damaged
    order = np.random.default_rng(0).permutation(64)
    result = cca(*as_arrays((x, x[:, order])), rank=rank)
    used = int(result.rank_x)
    np.testing.assert_allclose(result.correlations[:used], 1, atol=1e-3)
    assert np.isfinite(result.weights_x).all() and np.isfinite(result.weights_y).all()
    np.testing.assert_allclose(result.weights_x[order], result.weights_y, atol=0.02 * np.abs(result.weights_x).max())


def test_the_second_way_to_the_svd_gives_what_lapack_gives():
    rng = np.random.default_rng(0)
    turn = lambda size: np.linalg.qr(rng.normal(size=(size, size)))[0]
    spectra = [np.ones(12), np.r_[np.ones(6), np.zeros(6)], np.linspace(1, 0.01, 12), np.geomspace(1, 1e-6, 12)]
    for spectrum in spectra:
        for rows, columns in ((12, 12), (12, 15), (15, 12)):
            matrix = jnp.asarray(turn(rows)[:, :12] * spectrum @ turn(columns)[:12], jnp.float32)
            u, s, vt = _svd_by_eigh(matrix)
            assert u.shape == (rows, 12) and vt.shape == (12, columns)
            np.testing.assert_allclose(s, spectrum, atol=5e-4)
            assert (np.diff(s) <= 0).all()
            np.testing.assert_allclose((u * s[None]) @ vt, matrix, atol=5e-4)
            np.testing.assert_allclose(u.T @ u, np.eye(12), atol=1e-5)
            np.testing.assert_allclose(vt @ vt.T, np.eye(12), atol=1e-5)


def test_offsets_scales_and_linear_maps_of_the_neurons_change_no_correlation():
    rng = np.random.default_rng(0)
    x, y = map(np.asarray, small())
    changes = [
        (x @ rng.normal(size=(5, 5)) + 100, y @ (np.triu(rng.normal(size=(4, 4))) + 2 * np.eye(4)) - 3),
        (x * [1e-3, 1e3, 1, 2, 5] + 1, y),
    ]
    plain = cca(*small())
    linear, scaled = (cca(*(jnp.asarray(side.astype(np.float32)) for side in sides)) for sides in changes)
    np.testing.assert_allclose(linear.correlations, plain.correlations, atol=1e-3)
    np.testing.assert_allclose(scaled.weights_x, plain.weights_x, atol=1e-3)


def test_the_largest_weight_of_every_direction_of_x_is_positive(trained):
    result = cca(*as_arrays(trained))
    weights = np.asarray(result.weights_x)
    largest = weights[np.abs(weights).argmax(axis=0), np.arange(weights.shape[1])]
    used = int(min(result.rank_x, result.rank_y))
    assert (largest[:used] > 0).all() and (largest[used:] == 0).all()
    turned = cca(*(-side for side in as_arrays(trained)))
    np.testing.assert_allclose(turned.weights_x[:, :3], weights[:, :3], atol=0.01)


def test_dead_neurons_have_no_weight(damaged):
    result = cca(*as_arrays(damaged))
    dead = np.asarray(result.dead_x)
    assert dead[20:24].all() and dead[40]
    assert (np.asarray(result.weights_x)[dead] == 0).all() and (np.asarray(result.loadings_x)[dead] == 0).all()


def test_structure_scores_find_the_duplicates_that_weights_cannot_tell(damaged):
    x, _ = damaged
    scores = np.asarray(structure_scores(cca(*as_arrays((x, x)))))
    np.testing.assert_allclose(scores[3], scores[9], atol=2e-3)
    live = np.ptp(x, axis=0) > 0
    best = scores[live].argmax(axis=1)
    np.testing.assert_allclose(scores[live, best], scores[live, np.flatnonzero(live)], atol=2e-3)


def test_streamed_moments_give_the_same(trained):
    x, y = as_arrays(trained)
    halves = jax.jit(lambda x, y: cca_of(merge(moments(x[:700], y[:700]), moments(x[700:], y[700:]))))
    np.testing.assert_allclose(halves(x, y).correlations, cca(x, y).correlations, atol=1e-3)


@pytest.mark.slow
def test_it_runs_in_float64(x64):
    x, y = (jnp.asarray(np.asarray(side), jnp.float64) for side in small())
    result = cca(x, y)
    expected, weights_x, _ = oracle(x, y)
    assert result.correlations.dtype == jnp.float64
    np.testing.assert_allclose(result.correlations, expected, atol=1e-12)
    assert_same_up_to_sign(result.weights_x, weights_x, atol=1e-10)


def test_bfloat16_is_computed_in_float32():
    x, y = (side.astype(jnp.bfloat16) for side in small())
    result = cca(x, y)
    assert result.weights_x.dtype == jnp.float32
    np.testing.assert_allclose(result.correlations, oracle(x, y)[0], atol=1e-5)


def test_it_runs_under_jit_and_vmap_with_a_traced_ridge():
    pairs = [small(seed) for seed in range(3)]
    batch_x, batch_y = (jnp.stack(side) for side in zip(*pairs, strict=True))
    ridges = jnp.array([0.0, 0.2, 0.4])
    lifted = jax.jit(jax.vmap(lambda x, y, ridge: jax.tree.leaves(cca(x, y, ridge=ridge))))(batch_x, batch_y, ridges)
    for i, (x, y) in enumerate(pairs):
        one = cca(x, y, ridge=float(ridges[i]))
        chex.assert_trees_all_close([leaf[i] for leaf in lifted], jax.tree.leaves(one), atol=1e-4)


@pytest.mark.slow
def test_it_can_be_differentiated():
    x, y = small()
    slope = jax.grad(lambda x: cca(x, y).correlations[0])(x)
    step = 1e-2 * slope / jnp.linalg.norm(slope)
    gain = cca(x + step, y).correlations[0] - cca(x - step, y).correlations[0]
    np.testing.assert_allclose(gain, 2e-2 * jnp.linalg.norm(slope), rtol=0.05)


def test_a_second_pair_of_the_same_shape_compiles_nothing(caplog):
    cca(*small(0, n=61))
    with jax.log_compiles():
        cca(*small(1, n=61), ridge=0.0)
    assert "ompiling" not in caplog.text


SCRIPT = """
import hashlib, jax, jax.numpy as jnp
from evojax_align.similarity import cca
x, y = (jax.nn.relu(jax.random.normal(key, (60, 5))) for key in jax.random.split(jax.random.key(3)))
print(hashlib.sha256(b"".join(leaf.tobytes() for leaf in map(jax.device_get, jax.tree.leaves(cca(x, y))))).hexdigest())
"""


@pytest.mark.slow
def test_another_process_finds_the_same_bits(capsys):
    exec(SCRIPT, {})
    run = subprocess.run([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True, check=True)
    assert capsys.readouterr().out == run.stdout and len(run.stdout) == 65


@pytest.mark.parametrize("samples", [3, 5])
def test_no_more_samples_than_neurons_are_refused_unless_a_ridge_or_a_rank_makes_them_enough(samples):
    x, y = small(n=samples)
    for call in (cca, jax.jit(cca)):
        with pytest.raises(ValueError, match=f"x: got {samples} samples for 5 neurons.*more samples than neurons"):
            call(x, y)
    with pytest.raises(ValueError, match="more samples than neurons"):
        cca(x, y, rank=min(4, samples)) if samples == 3 else cca(x, y, ridge=0.0)
    assert np.isfinite(cca(x, y, ridge=0.1).correlations).all()
    assert np.isfinite(cca(x, y, rank=2).correlations).all()
    assert isinstance(cca(*small(n=6)), CanonicalDirections)


@pytest.mark.parametrize("rank", [0, -1, 5, 2.0, True])
def test_a_rank_outside_the_widths_is_refused(rank):
    with pytest.raises((ValueError, TypeError), match=r"rank: got|annotation"):
        cca(*small(), rank=rank)


@pytest.mark.parametrize("ridge", [-0.1, np.nan, np.inf])
def test_a_ridge_that_is_negative_or_not_finite_is_refused(ridge):
    for value in (float(ridge), jnp.float32(ridge)):
        with pytest.raises(ValueError, match=r"ridge: got .* expected a finite number of at least 0"):
            cca(*small(), ridge=value)


def test_values_that_are_not_finite_are_refused_and_under_a_trace_told():
    x, y = small()
    with pytest.raises(ValueError, match="y: got NaN or infinite activations of neuron 1"):
        cca(x, y.at[3, 1].set(np.nan))
    result = jax.jit(cca)(x, y.at[3, 1].set(np.nan))
    assert not result.all_finite and result.dead_y[1] and not result.dead_y[0]
    for leaf in jax.tree.leaves(result):
        assert np.isfinite(leaf).all()


def test_a_side_without_live_neurons_is_refused_and_under_a_trace_gives_zeros():
    x, y = small()
    with pytest.raises(ValueError, match="x: got 5 neurons that are all dead"):
        cca(jnp.ones_like(x), y)
    result = jax.jit(cca)(jnp.ones_like(x), y)
    assert result.all_finite and (np.asarray(result.correlations) == 0).all() and int(result.rank_x) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result))


def test_moments_without_covariances_are_refused():
    with pytest.raises(ValueError, match="within=True"):
        cca_of(moments(*small(), within=False))


@pytest.mark.parametrize("rank", [None, 3])
def test_deflated_weights_are_those_of_scikit_learn(rank):
    from sklearn.cross_decomposition import CCA as Peer

    generator = np.random.default_rng(0)
    common = generator.normal(size=(300, 3))
    x, y = (common @ generator.normal(size=(3, p)) + generator.normal(size=(300, p)) for p in (5, 4))
    x, y = ((m - m.mean(0)) / m.std(0) for m in (x, y))
    if rank is None:
        count, basis_x, basis_y = 4, np.eye(5), np.eye(4)
    else:  # the authors deflate the main directions, and lead the weights back to the neurons
        count, (basis_x, basis_y) = rank, (np.linalg.svd(m, full_matrices=False)[2][:rank].T for m in (x, y))
    peer = Peer(n_components=count, scale=False, max_iter=20_000, tol=1e-12).fit(x @ basis_x, y @ basis_y)
    result = cca(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), rank=rank)
    for ours, theirs in ((result.weights_x, basis_x @ peer.x_weights_), (result.weights_y, basis_y @ peer.y_weights_)):
        cosines = np.sum(np.asarray(deflated(ours)) * theirs, axis=0) / np.linalg.norm(theirs, axis=0)
        np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-3)


def test_deflation_keeps_directions_that_are_none():
    weights = jnp.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    expected = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(deflated(weights), expected, atol=1e-6)
