import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea
from evojax_align import data, lab
from evojax_align.training import members
from experiments.safe_crossover import beyond, config
from experiments.safe_crossover.__main__ import STUDY

TOY = ["repeats=2", "width=12", "widths=(4,16)", "steps=(0,5)", "parents=(2,3)", "epochs=4", "bends=4", "points=5"]
FLAGS = ["--preset", "beyond", "--quiet", "--compile-cache", "off", *(f for setting in TOY for f in ("--set", setting))]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert lab.main(STUDY, [*FLAGS, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def arrays(run):
    return lab.RunFolder(run).read_arrays("results")


@pytest.mark.slow
def test_every_part_leaves_numbers_a_table_and_a_picture(run, arrays):
    assert all(np.isfinite(values).all() for values in arrays.values() if values.dtype.kind == "f")
    assert arrays["width_loss"].shape == (2, 2, 2, 5) and arrays["average_loss"].shape == (2, 5, 2)
    results = json.loads((run / "results.json").read_text())
    assert list(results["tables"]) == [
        "barrier against width",
        "barrier against common steps",
        "averages",
        "exploration",
        "paths",
    ]
    drawn = {path.stem for path in (run / "figures").iterdir()}
    assert drawn == {"widths", "steps", "averages", "exploration", "paths"}


@pytest.mark.slow
def test_both_ways_share_their_parents(arrays):
    for part in ("width", "common"):
        ends = arrays[f"{part}_loss"][..., [0, -1]]
        np.testing.assert_allclose(ends[:, :, 0], ends[:, :, 1], rtol=1e-4)
    ends = arrays["path_loss"][..., [0, -1]]
    np.testing.assert_allclose(ends[:, 1:], ends[:, :1].repeat(3, axis=1), rtol=1e-4)


@pytest.mark.slow
def test_exploration_is_measured_as_it_is_told(arrays):
    moved, new, found = (arrays[f"child_{name}"] for name in ("moved", "new", "found"))
    assert (new <= moved + 1e-6).all() and (found <= new + 1e-6).all()


@pytest.mark.parametrize(
    ("settings", "arms"),
    [
        pytest.param(
            config.Beyond(repeats=2, width=4, widths=(3, 4), parents=(2,), epochs=2, steps=(1,)),
            beyond.ARMS,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            config.Deep(width=4, networks=4, train_images=50, test_images=50, epochs=1, statistics_images=50),
            ("pairs",),
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_second_repeat_compiles_no_training(tmp_path, settings, arms):
    problem = STUDY.prepare(settings, data.load("digits"))
    run = lab.Run(lab.RunFolder.create(tmp_path / "run", "toy"), quiet=True)
    sizes = []
    for repeat in range(2):
        for arm in arms:
            cell = lab.Cell(arm, repeat)
            run.begin(cell)
            STUDY.run(problem, cell, run)
        sizes.append((members._step_epoch._cache_size(), beyond.advanced._cache_size()))
    assert sizes[0] == sizes[1] and sizes[0][0] > 0


def test_equal_keys_advance_alike_and_steps_add_up():
    network, adam = ea.models.MLP(hidden=(3,), classes=2), optax.adam(1e-2)
    x, y = jnp.arange(12.0).reshape(6, 2), jnp.array([0, 1, 0, 1, 0, 1])
    start = ea.population.init(lambda key: network.init(key, x), jax.random.key(0), 2)
    state = ea.population.map(lambda params: (params, adam.init(params)), start)
    keys = jax.random.split(jax.random.key(1), 2)

    def after(steps, keys=keys):
        return beyond.advanced(network.apply, adam, state, keys, steps, data=(x, y), batch_size=4)

    chex.assert_trees_all_equal(after(0), state)
    chex.assert_trees_all_equal(after(3), after(3))
    assert int(after(3)[1][0].count[0]) == 3
    other = after(3, jax.random.split(jax.random.key(2), 2))
    assert any((p != q).any() for p, q in zip(*map(jax.tree.leaves, (after(3), other)), strict=True))


@pytest.mark.slow
def test_a_curved_path_that_is_stopped_between_epochs_is_that_of_bend(tmp_path, stopped_between):
    settings = config.Beyond(width=4, widths=(4,), parents=(2,), steps=(1,), epochs=1, bends=3)
    problem = beyond.Problem(settings, data.load("digits"))
    init = lambda key: problem.network.init(key, problem.seen[:1])
    a, b = ea.population.unstack(ea.population.init(init, jax.random.key(0), 2))
    key = jax.random.key(1)
    found, steps = stopped_between(lambda run: problem.bent(a, b, key, run, "path"), tmp_path / "run")
    settings = {"epochs": 3, "batch_size": settings.batch_size, "key": key}
    whole = ea.interpolation.bend(problem.network.apply, a, b, problem.train, problem.optimizer, **settings)
    chex.assert_trees_all_close(found, whole, rtol=0, atol=1e-6)
    assert steps == [0, 1, 2]


def test_exploration_by_hand():
    """Five images; the numbers are the labels that each network gives them, and the true labels are all 0."""
    given = {"child": [0, 0, 1, 2, 1], "a": [0, 1, 1, 0, 0], "b": [0, 1, 2, 0, 0]}
    tables = {name: jax.nn.one_hot(jnp.array(row), 3) for name, row in given.items()}
    images = jnp.arange(5), jnp.zeros(5, int)
    found = beyond.explored(lambda table, x: table[x], tables["child"], tables["a"], tables["b"], images)
    by_hand = {"accuracy": 0.4, "lost": 0.2, "moved": 0.6, "new": 0.6, "found": 0.2}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(by_hand)


def made_up(repeats=8):
    """Barriers that fall with width and common steps, an aligned mean that is better than the naive one alone."""
    ts, noise = np.array([0, 0.5, 1]), np.linspace(0, 0.01, repeats)
    rise = np.array([0, 1.0, 0])
    of = {"naive": 1.0, "aligned": 0.5}
    lines = np.array([[[height / size * rise for height in of.values()] for size in (1, 4)]] * repeats)
    lines *= 1 + noise[:, None, None, None]
    error = np.array([0.4, 0.2, 0.1, 0.1, 0.1])[None, :, None] + noise[:, None, None]
    lost = np.array([[0.3, 0.1, 0.5, 0.6], [0.1, 0.05, 0.2, 0.3]])[None] + noise[:, None, None]
    paths = np.array([1.0, 0.3, 0.5, 0.1])[None, :, None] * rise * (1 + noise[:, None, None])
    arrays = {"part": "beyond", "ts": ts, "widths": [8, 32], "steps": [0, 10], "parents": [4]}
    for name, loss in {"width": lines, "common": lines, "path": paths, "average": error}.items():
        arrays |= {f"{name}_loss": loss, f"{name}_accuracy": 1 - loss}
    return {name: np.asarray(value) for name, value in (arrays | {"child_lost": lost}).items()}


def test_claims_beyond_the_paper_are_decided_as_their_statements_say():
    view = STUDY.view(made_up())
    found = {claim.id: lab.decide([claim], [], view)[0]["verdict"] for claim in STUDY.explore(view)}
    turned = {"common_first", "common_last", "average_parents", "average_ensemble", "average_longer"}
    assert {name for name, verdict in found.items() if verdict == "reversed"} == turned
    assert {name for name, verdict in found.items() if verdict != "reversed"} == {
        "width_naive",
        "width_aligned",
        "common_naive",
        "average_naive",
        *(f"aligned_{name}" for name in beyond.OPERATORS),
        "arithmetic_neurons",
        "arithmetic_uniform",
        "path_naive_curved_naive",
        "path_aligned_curved_aligned",
        "path_aligned_naive_curved",
    }
    assert set(found.values()) == {"holds", "reversed"}


def test_arms_that_have_not_begun_are_left_out(tmp_path):
    arrays = {name: value for name, value in made_up().items() if not name.startswith(("path", "child", "average"))}
    arrays["width_loss"][3] = np.nan  # a cell that is missing
    view = STUDY.view(arrays)
    assert list(STUDY.tables(view)) == ["barrier against width", "barrier against common steps"]
    assert STUDY.tables(view)["barrier against width"][0]["barrier of the loss"] > 0.9
    STUDY.figures(view, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"widths", "steps"}
