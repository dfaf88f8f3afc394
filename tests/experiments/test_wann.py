"""The study of weight agnostic networks: one toy run, and claims from hand-made arrays."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import data, lab, training
from evojax_align.evolution import graph
from experiments.wann import claims
from experiments.wann.__main__ import STUDY
from experiments.wann.config import Config
from experiments.wann.images import BATCH, DESCENT, Images
from experiments.wann.view import View

TOY = [
    "repeats=2", "generations=3", "size=6", "hidden=6", "tournament=2", "batch=20", "samples=40", "judged=20",
    "tested=20", "learnt=1", "units=2", "pruned=2", "values=(-1.0,1.0)", "arms=('JointWANN',)",
]  # fmt: skip
ALL = [*TOY, "arms=('WANN','WANN, letters','JointWANN','JointWANN, relative','PADAWANN')", "hidden=1", "generations=5"]
POLE = ["repeats=2", "generations=6", "size=12", "hidden=1", "tournament=2"]


def flags(settings):
    return [part for setting in settings for part in ("--set", setting)] + ["--compile-cache", "off"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert lab.main(STUDY, [*flags(TOY), "--quiet", "--out", str(folder)]) == 0
    return folder


def stored(folder):
    with np.load(folder / "arrays" / "results.npz") as arrays:
        return dict(arrays)


@pytest.mark.slow
def test_champions_are_measured(run):
    arrays = stored(run)
    assert arrays["arms"].tolist() == ["JointWANN"]
    assert arrays["accuracy"].shape == (1, 2, 2, 2) and arrays["course_judged"].shape == (1, 2, 3)
    for name in ("course_judged", "ensemble", "one_drawn", "each_drawn", "trained", "hidden", "layers"):
        assert np.isfinite(arrays[name]).all()
    assert (arrays["best"][..., None] == arrays["accuracy"]).any(axis=3).all()
    assert len(arrays["graph_edges JointWANN"]) in arrays["connections"][0]
    np.testing.assert_allclose(arrays["record"][0], arrays["course_judged"][0].max(axis=1), rtol=1e-6)
    assert arrays["record"][0, 0] != arrays["record"][0, 1]  # seeds differ


@pytest.mark.slow
def test_figures_claims_and_tables_are_made(run):
    assert {path.stem for path in (run / "figures").iterdir()} == {"courses", "graphs", "weights"}
    results = json.loads((run / "results.json").read_text())
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    known = {claim["id"] for claim in results["claims"] if claim["n"]}
    assert known == {"joint_favours", "joint_second"}
    assert {claim["verdict"] for claim in results["claims"]} == {"not tested"}


@pytest.mark.nightly
def test_cells_that_run_in_separate_folders_merge_to_the_same_results(run, tmp_path):
    parts = {"*-000": tmp_path / "one", "*-001": tmp_path / "other"}
    for pattern, folder in parts.items():
        assert lab.main(STUDY, [*flags(TOY), "--quiet", "--out", str(folder), "--cells", pattern]) == 0
    assert lab.main(STUDY, ["--merge", *map(str, parts.values())]) == 0
    for name in ("results.json", "arrays/results.npz"):
        assert (tmp_path / "one" / name).read_bytes() == (run / name).read_bytes()


@pytest.mark.nightly
def test_all_arms_run_and_graphs_grow_beyond_the_first_capacity(tmp_path, capsys):
    assert lab.main(STUDY, [*flags(ALL), "--out", str(tmp_path / "all")]) == 0
    assert "is full at generation" in capsys.readouterr().err
    arrays = stored(tmp_path / "all")
    pruned, searched = arrays["arms"] == "PADAWANN", arrays["arms"] != "PADAWANN"
    assert np.nanmax(arrays["course_hidden"]) > 1 and np.isfinite(arrays["best"]).all()
    for name in ("accuracy", "trained", "record"):
        assert np.isfinite(arrays[name][searched]).all() and np.isnan(arrays[name][pruned]).all()
    assert (arrays["connections"][pruned] < arrays["all"][pruned]).all() and (arrays["connections"] > 0).all()
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert all(claim["n"] == 2 for claim in results["claims"])
    sizes = results["tables"]["accuracy and size"]
    assert [row["search"] for row in sizes] == arrays["arms"].tolist() and sizes[-1]["hidden"] is None


@pytest.mark.slow
def test_a_pole_is_swung_and_shown(tmp_path):
    folder = tmp_path / "pole"
    assert lab.main(STUDY, ["--preset", "swing_up", *flags(POLE), "--quiet", "--out", str(folder)]) == 0
    arrays = stored(folder)
    assert arrays["rewards"].shape == arrays["stands"].shape == (1, 2, 3)
    assert (arrays["rewards"] > 0).all() and (arrays["rewards"] < 1000).all()
    assert len(arrays["pole_place swing-up"]) == 1000
    assert {path.stem for path in (folder / "figures").iterdir()} == {"courses", "graphs", "pole"}
    results = json.loads((folder / "results.json").read_text())
    assert {claim["id"] for claim in results["claims"] if claim["n"]} == {"up", "up_all", "stands"}


@pytest.mark.slow
def test_weights_of_a_champion_are_trained_in_parts_that_can_be_stopped(tmp_path, stopped_between):
    settings = Config(arms=("WANN",), size=4, hidden=4, samples=60, judged=20, tested=20, learnt=3)
    sets = [data.load(name) for name in ("digits", "glyphs_10letters")]
    images = Images(settings, sets)
    search = images.search("WANN", 4)
    champion = search.init(jax.random.key(0), images.data("WANN")).fittest
    key, layers = jax.random.key(1), int(champion.layer.max())
    found, steps = stopped_between(lambda run: images.fitted(run, "WANN", champion, 0.5, layers, key), tmp_path / "run")

    def logits(weights, x):
        return graph.apply(champion, weights, x, search.activations, layers)

    how = {"epochs": 3, "batch_size": BATCH, "key": key}
    whole, _ = training.descend(logits, jnp.full(search.capacity, 0.5), *images.train[0], DESCENT, **how)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)
    assert steps == [0, 1, 2]


@pytest.mark.slow
def test_the_network_of_padawann_is_trained_in_parts_that_can_be_stopped(tmp_path, stopped_between):
    settings = Config(arms=("PADAWANN",), samples=60, judged=20, tested=20, learnt=2, units=2, pruned=1)
    images = Images(settings, [data.load(name) for name in ("digits", "glyphs_10letters")])
    whole, _ = stopped_between(lambda run: images.pruned(run, jax.random.key(0)), tmp_path / "run")
    plain = lab.Run(lab.RunFolder.create(tmp_path / "plain", "toy"), quiet=True)
    plain.begin(lab.Cell("PADAWANN", 0))
    chex.assert_trees_all_equal(whole, images.pruned(plain, jax.random.key(0)))
    assert [line["phase"] for line in plain.lines] == ["training"] * 2 + ["pruning"]


@pytest.fixture
def arrays():
    """A made-up run of the thesis's data: its accuracies on both tasks, but connections counted as connections."""
    searches = {"WANN": (0.91, 0.08), "JointWANN": (0.1, 0.66), "JointWANN, relative": (0.4, 0.5)}
    rng, seeds, arms = np.random.default_rng(0), 12, [*searches, "PADAWANN"]

    def near(number, *shape):
        return number + 0.001 * rng.random((len(arms), seeds, *shape))

    pruned = tuple(of + 0.05 for of in searches["WANN"])
    best = np.array([*searches.values(), pruned])
    found = {"accuracy": near(best[:, None, :, None], 2, 6), "best": near(best[:, None], 2)}
    found |= {name: near(0.2, 2) for name in ("one_drawn", "each_drawn")}
    found |= {name: near(0.95, 2) for name in ("ensemble", "trained")}
    found |= {"connections": near(np.array([1849, 900, 900, 9000])[:, None]), "hidden": near(600), "layers": near(9)}
    settings = {"arms": arms, "values": [-2, -1, -0.5, 0.5, 1, 2], "sets": ["mnist", "emnist_10letters"]}
    return found | {name: np.array(of) for name, of in settings.items()}


def judged(arrays):
    view = View(arrays)
    return {record["id"]: record for record in lab.decide(claims.PRIMARY, claims.explore(view), view)}


def test_claims_follow_from_the_arrays(arrays):
    found = judged(arrays)
    verdicts = {name: record["verdict"] for name, record in found.items()}
    other = {name: verdict for name, verdict in verdicts.items() if verdict != "holds"}
    reverse = dict.fromkeys(("padawann_size", "padawann_JointWANN_1", "relative_favours"), "reversed")
    assert other.pop("drawn") == "undecided" and other == reverse
    assert [record["primary"] for record in found.values()].count(True) == len(claims.PRIMARY) == 11


def test_the_thesis_s_numbers_are_compared_where_data_and_weights_are_the_same(arrays):
    found = judged(arrays)
    numbers = {name: (of["paper"], of["replication"]) for name, of in found.items() if of["paper"] is not None}
    assert numbers.pop("joint_favours")[1] == "agrees"
    expected = {"own_task": 0.91, "no_second": 0.09, "joint_second": 0.66, "joint_costs": 0.11}
    assert numbers == {name: (value, "agrees") for name, value in expected.items()}
    tables = claims.tables(View(arrays))
    assert [row["accuracy of"] for row in tables["test accuracy at each shared weight"]] == [
        *["ours", "thesis"] * 4, *["ours"] * 2,
    ]  # fmt: skip
    sizes = {row["search"]: row for row in tables["accuracy and size"]}
    assert (round(sizes["WANN"]["connections"]), sizes["WANN"]["its connections"]) == (1849, 1849)
    assert sizes["WANN"]["thesis's count"] == 873**2 and sizes["JointWANN"]["thesis's count"] == 539**2
    elsewhere = arrays | {"sets": np.array(["fashion_mnist", "emnist_10letters"])}
    assert {record["paper"] for record in judged(elsewhere).values()} == {None}


def test_missing_cells_are_unknown(arrays):
    for values in arrays.values():
        if values.dtype.kind == "f" and values.shape[:2] == (4, 12):
            values[1, 3:] = np.nan
            values[2] = np.nan
    found = judged(arrays)
    assert found["joint_favours"]["n"] == 3 and found["joint_favours"]["verdict"] == "not tested"
    assert "scale" not in found and found["own_task"]["verdict"] == "holds"
    view = View(arrays)
    assert view.searches == ["WANN", "JointWANN"]
    json.dumps(claims.tables(view), allow_nan=False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("arms=('WANN','WANN')", "different names"),
        ("arms=('WAN',)", "Did you mean 'WANN'"),
        ("pruned=0", "pruned: got 0"),
        ("side=9", "at most 8, the side of digits"),
        ("judged=100000", "judged: got 100000"),
    ],
)
def test_impossible_settings_are_refused(setting, message, tmp_path, capsys):
    assert lab.main(STUDY, [*flags(TOY), "--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
