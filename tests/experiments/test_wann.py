import json

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("hasty_compiler")

TOY = [
    "repeats=2", "generations=5", "size=12", "hidden=1", "tournament=3", "batch=40", "samples=80", "judged=40",
    "tested=50", "learnt=1", "units=4", "pruned=2", "arms=('WANN','JointWANN','JointWANN, relative','PADAWANN')",
]  # fmt: skip
POLE = ["repeats=2", "generations=6", "size=12", "hidden=1", "tournament=2"]


def flags(settings):
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("wann")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert script.main([*flags(TOY), "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_champions_are_measured_and_grow_beyond_the_first_capacity(run):
    with np.load(run / "arrays" / "results.npz") as arrays:
        assert arrays["arms"].tolist() == ["WANN", "JointWANN", "JointWANN, relative"]
        assert arrays["accuracy"].shape == (3, 2, 2, 6) and arrays["course_judged"].shape == (3, 2, 5)
        assert np.isfinite(arrays["course_judged"]).all() and (arrays["connections"] > 0).all()
        assert np.nanmax(arrays["course_hidden"]) > 1
        for name in ("ensemble", "one_drawn", "each_drawn", "trained"):
            assert arrays[name].shape == (3, 2, 2) and (arrays[name] >= 0).all() and (arrays[name] <= 1).all()
        assert (
            arrays["padawann_accuracy"].shape == (2, 2) and (arrays["padawann_synapses"] < arrays["padawann_all"]).all()
        )
        assert len(arrays["graph_WANN_edges"]) > 0


@pytest.mark.slow
def test_figures_and_tables_are_made(run):
    assert {path.stem for path in (run / "figures").iterdir()} == {"courses", "graphs", "weights"}
    results = json.loads((run / "results.json").read_text())
    for rows in results["tables"].values():
        assert rows and all(list(row) == list(rows[0]) for row in rows)
    assert {"own_task", "joint_favours", "padawann_size"} <= {claim["id"] for claim in results["claims"]}


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(script, run, tmp_path, goes_on):
    assert (
        goes_on(script, flags(TOY), tmp_path / "again", run, lambda calls: calls.count("JointWANN") == 4) == "JointWANN"
    )


@pytest.mark.slow
def test_a_pole_is_swung_and_shown_and_who_is_full_is_told(script, tmp_path, capsys):
    folder = tmp_path / "pole"
    assert script.main(["--preset", "swing_up", *flags(POLE), "--out", str(folder)]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "is full" in line]
    assert told and "1 hidden nodes and 10 genes; 2 hidden nodes and 14 genes from" in told[0]
    assert {path.stem for path in (folder / "figures").iterdir()} == {"courses", "graphs", "pole"}
    with np.load(folder / "arrays" / "results.npz") as arrays:
        assert arrays["rewards"].shape == (2, 3) and arrays["pole_angle"].shape == (1000,)
        assert (arrays["rewards"] >= 0).all() and (arrays["rewards"] <= arrays["limit"]).all()
        assert arrays["stands"].shape == (2, 3) and ((arrays["stands"] >= 0) & (arrays["stands"] <= 1)).all()


@pytest.fixture
def arrays():
    """Twenty seeds of MNIST and letters: each WANN knows one of them, JointWANN letters, PADAWANN digits."""
    rng, seeds = np.random.default_rng(0), 20
    arms = {"WANN": (0.9, 0.1), "WANN, letters": (0.1, 0.7), "JointWANN": (0.1, 0.6), "JointWANN, relative": (0.4, 0.5)}

    def near(number, *shape):
        return number + 0.001 * rng.random((len(arms), seeds, *shape))

    accuracy = near(np.array(list(arms.values()))[:, None, :, None], 2, 6)
    found = {"accuracy": accuracy, "chosen": np.ones((len(arms), seeds, 2), int), "classes": 10}
    found |= {name: near(0.2, 2) for name in ("one_drawn", "each_drawn")}
    found |= {name: near(0.95, 2) for name in ("ensemble", "trained")}
    found |= {name: near(number) for name, number in (("connections", 1849), ("hidden", 600), ("layers", 9))}
    found |= {"padawann_accuracy": accuracy[0, :, :, 0] + 0.05, "padawann_synapses": np.full(seeds, 9000)}
    lists = {"arms": list(arms), "values": [-2, -1, -0.5, 0.5, 1, 2], "sets": ["mnist", "emnist_10letters"]}
    return found | {name: np.array(of) for name, of in lists.items()}


def test_claims_follow_from_what_was_put_in(load, arrays):
    claims, tables = load("wann_report").judge(arrays)
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    wrong = {"padawann_size", "drawn", "padawann_JointWANN_1", "relative_favours"}
    assert {name for name, verdict in verdicts.items() if verdict != "holds"} == wrong
    assert [row["of"] for row in tables["test accuracy at each shared weight"]] == [
        *["ours", "thesis"] * 2, *["ours"] * 2, *["ours", "thesis"] * 2, *["ours"] * 2,
    ]  # fmt: skip
    sizes = {row["search"]: row for row in tables["accuracy and size"]}
    assert (round(sizes["WANN"]["connections"]), sizes["WANN"]["its connections"]) == (1849, 1849)
    assert sizes["WANN"]["thesis's count"] == 873**2 and sizes["JointWANN"]["thesis's count"] == 539**2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("arms=('WANN','swing-up')", "'swing-up' alone"),
        ("arms=('PADAWANN',)", "one of them a WANN"),
        ("arms=('WAN',)", "Did you mean 'WANN'"),
        ("side=9", "at most 8, the side of digits"),
        ("judged=100000", "judged: got 100000"),
    ],
)
def test_settings_that_cannot_be_are_refused(script, setting, message, tmp_path, capsys):
    assert script.main([*flags(TOY), "--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
