import dataclasses

import numpy as np
import pytest

from evojax_align import lab
from evojax_align.lab.claims import Claim
from evojax_align.lab.experiment import configure
from evojax_align.lab.report import text_table


@dataclasses.dataclass(frozen=True)
class Config:
    dataset: str = "digits"
    mode: str = "clean"
    seed: int = 0
    rate: float = 0.1
    widths: tuple[int, ...] = (3,)


def toy(monkeypatch, tmp_path, run=None):
    monkeypatch.chdir(tmp_path)

    def default_run(config, data, run):
        run.loop("work", {"total": np.zeros(())}, lambda n, s: (s, {"best": 1.0 / (n + 1)}), total=2)
        return {"mean": np.array([data.train.x.mean() * config.rate]), "name": np.array(config.dataset)}

    def plot(arrays, folder):
        (folder / "nothing.png").write_bytes(b"\x89PNG")

    def judge(arrays):
        claims = [Claim("a", "small", None, float(arrays["mean"][0]), (0.0, 1.0), 1, "toy", 0.01)]
        return lab.decide(claims), {"means": [{"mean": float(arrays["mean"][0])}]}

    presets = {"demo": (Config(),), "small": (Config(rate=0.2),)}
    costs = {"demo": "nothing", "small": "little"}
    modes = {"clean": "as it should be", "text": "as it was"}
    return lab.Experiment("toy", "A toy.", presets, costs, modes, run or default_run, plot, judge)


def test_a_run_leaves_its_whole_record(monkeypatch, tmp_path, capsys):
    assert lab.main(toy(monkeypatch, tmp_path), ["--seed", "3", "--set", "rate=2"]) == 0
    folder = lab.RunFolder(tmp_path / "runs" / "toy-demo-digits-001")
    manifest = folder.read_json("manifest.json")
    assert manifest["configuration"] == {
        "dataset": "digits",
        "mode": "clean",
        "seed": 3,
        "rate": 2.0,
        "widths": [3],
    }
    assert manifest["versions"]["jax"] and manifest["start"] <= manifest["end"]
    results = folder.read_json("results.json")
    assert results["experiment"] == "toy" and results["claims"][0]["verdict"] == "holds"
    assert set(folder.read_json("timings.json")) == {"work"}
    assert len((folder.path / "log.jsonl").read_text().splitlines()) == 2
    assert not list(folder.path.rglob("*.part"))
    printed = capsys.readouterr().out
    assert "means" in printed and printed.rstrip().endswith("runs/toy-demo-digits-001/report.html")
    page = (folder.path / "report.html").read_text()
    assert "data:image/png;base64" in page and 'src="http' not in page and "--set &#x27;rate=2.0&#x27;" in page


def test_equal_runs_are_equal_files_in_folders_of_their_own(monkeypatch, tmp_path):
    experiment = toy(monkeypatch, tmp_path)
    for _ in range(2):
        assert lab.main(experiment, ["--quiet"]) == 0
    one, two = (tmp_path / "runs" / f"toy-demo-digits-00{i}" for i in (1, 2))
    for name in ("results.json", "arrays/results.npz"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_a_report_is_rebuilt_from_stored_arrays_alone(monkeypatch, tmp_path):
    experiment = toy(monkeypatch, tmp_path)
    assert lab.main(experiment, ["--out", "mine"]) == 0
    kept = {name: (tmp_path / "mine" / name).read_bytes() for name in ("results.json", "report.html")}
    for name in kept:
        (tmp_path / "mine" / name).unlink()

    def never(*_):
        raise AssertionError("a report must not run the experiment")

    assert lab.main(dataclasses.replace(experiment, run=never), ["--report", "mine"]) == 0
    assert {name: (tmp_path / "mine" / name).read_bytes() for name in kept} == kept


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "smal"], "Did you mean 'small'?"),
        (["--mode", "txt"], "Did you mean 'text'?"),
        (["--dataset", "digit"], "Did you mean 'digits'?"),
        (["--set", "rat=1"], "Did you mean 'rate'?"),
        (["--set", "rate"], "key=value"),
        (["--checkpoint-every", "-1"], "0 or more seconds"),
        (["--set", "seed=1.5"], "a value like 0 for seed"),
        (["--report", "nowhere"], "nowhere/manifest.json does not exist"),
    ],
)
def test_bad_flags_are_refused_with_the_mend_and_leave_nothing(monkeypatch, tmp_path, capsys, arguments, message):
    assert lab.main(toy(monkeypatch, tmp_path), arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_experiment_itself_is_not_taken_for_a_bad_flag(monkeypatch, tmp_path):
    def broken(*_):
        raise ValueError("shapes do not fit")

    with pytest.raises(ValueError, match="shapes do not fit"):
        lab.main(dataclasses.replace(toy(monkeypatch, tmp_path), run=broken), ["--quiet"])


def test_a_folder_that_holds_files_is_not_written_to(monkeypatch, tmp_path, capsys):
    experiment = toy(monkeypatch, tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert lab.main(experiment, ["--out", "mine"]) == 2
    assert "new or empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_an_interrupt_ends_with_the_conventional_code(monkeypatch, tmp_path):
    def run(config, data, monitor):
        raise KeyboardInterrupt

    assert lab.main(toy(monkeypatch, tmp_path, run), []) == 130


def test_settings_take_the_type_of_the_field():
    config = configure(Config(), ["seed=4", "rate=1", "widths=[5,6]", "dataset=mnist"])
    assert config == Config(dataset="mnist", seed=4, rate=1.0, widths=(5, 6))
    assert configure(Config(), ["widths=7"]).widths == (7,)
    for bad in ("seed=True", "seed=x", "widths=a", "widths=[1.5]", "dataset=3", "widths=[]"):
        with pytest.raises(ValueError, match="set: got"):
            configure(Config(), [bad])


def test_settings_are_judged_together_so_that_their_order_is_free():
    @dataclasses.dataclass(frozen=True)
    class Ordered:
        low: int = 1
        high: int = 2

        def __post_init__(self) -> None:
            assert self.low < self.high

    for settings in (["low=5", "high=6"], ["high=6", "low=5"]):
        assert configure(Ordered(), settings) == Ordered(5, 6)


def test_verdicts_come_from_corrected_p_values_alone():
    claims = [
        Claim(name, name, None, 0.9, (0.8, 1.0), 20, "toy" if p is not None else None, p)
        for name, p in (("sure", 0.001), ("lucky", 0.04), ("wrong", 0.9), ("open", None))
    ]
    verdicts = {record["id"]: record["verdict"] for record in lab.decide(claims)}
    assert verdicts == {
        "sure": "holds",
        "lucky": "does not hold",
        "wrong": "does not hold",
        "open": "not tested",
    }


def test_a_missing_result_is_never_written_as_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        lab.RunFolder(tmp_path).write_json("results.json", {"ours": float("nan")})
    assert not (tmp_path / "results.json").exists()


def test_progress_speaks_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr("evojax_align.lab.monitor.EVERY", 0.0)
    with lab.Monitor().phase("training", 2) as bar:
        bar.step(best=0.25)
        bar.step(best=0.125)
    said = capsys.readouterr().err
    assert "training: 1/2  best 0.25" in said and "training: 2/2  best 0.125" in said
    with lab.Monitor(quiet=True).phase("training", 1) as bar:
        bar.step(best=0.25)
    assert capsys.readouterr().err == ""


def test_a_text_table_lines_up_numbers_and_words():
    table = text_table([{"name": "a", "loss": 0.5}, {"name": "longer", "loss": None}])
    assert table.splitlines() == ["name    loss", "------  ----", "a        0.5", "longer     –"]


def test_a_run_that_other_code_goes_on_with_says_so(monkeypatch, tmp_path):
    experiment = toy(monkeypatch, tmp_path)
    assert lab.main(experiment, ["--out", "mine"]) == 0
    folder = lab.RunFolder("mine")
    record = folder.read_json("manifest.json")
    assert record["resumed"] == []
    for _ in range(2):
        folder.write_json("manifest.json", folder.read_json("manifest.json") | {"commit": "earlier", "end": None})
        assert lab.main(experiment, ["--resume", "mine"]) == 0
        assert folder.read_json("manifest.json")["resumed"] == [record["commit"]]


def test_the_list_shows_presets_with_their_cost_modes_and_data(monkeypatch, tmp_path, capsys):
    assert lab.main(toy(monkeypatch, tmp_path), ["--list"]) == 0
    shown = capsys.readouterr().out
    assert "small    little" in shown and "text     as it was" in shown and "digits" in shown
    with pytest.raises(SystemExit):
        lab.main(toy(monkeypatch, tmp_path), ["--help"])
    assert "small    little" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_callbacks_are_told_of_every_step(tmp_path):
    told = []
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    run = lab.Run(folder, quiet=True, callbacks=(lambda step, metrics: told.append((step, metrics)),))
    run.loop("one", {"a": np.zeros(1)}, lambda n, s: (s, {"loss": n}), total=2)
    run.loop("two", {"a": np.zeros(1)}, lambda n, s: (s, {"loss": 9}), total=1)
    assert told == [(1, {"loss": 0.0}), (2, {"loss": 1.0}), (3, {"loss": 9.0})]


def test_tensorboard_writes_events_or_names_its_extra(monkeypatch, tmp_path):
    try:
        import tensorboardX  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ModuleNotFoundError, match=r"evojax-align\[tensorboard\]"):
            lab.tensorboard(tmp_path)
    else:
        lab.tensorboard(tmp_path)(1, {"loss": 0.5})
        assert any(path.stat().st_size for path in tmp_path.iterdir())


def test_compile_time_is_told_apart():
    import jax

    monitor = lab.Monitor(quiet=True)
    with monitor.phase("compiling"):
        jax.block_until_ready(jax.jit(lambda x: jax.numpy.linalg.svd(x @ x.T + 1.2345))(jax.numpy.ones((7, 7))))
    with monitor.phase("waiting"):
        __import__("time").sleep(0.05)
    assert 0 < monitor.seconds["compiling"]["compile"] <= monitor.seconds["compiling"]["total"]
    assert monitor.seconds["waiting"]["compile"] == 0 and monitor.seconds["waiting"]["total"] >= 0.05


def test_an_experiment_can_take_several_data_sets(monkeypatch, tmp_path, capsys):
    def run(config, data, run):
        assert [of.name for of in data] == ["digits", "glyphs_10letters"]
        return {"mean": np.array([data[1].train.x.mean()]), "name": np.array(config.dataset)}

    experiment = dataclasses.replace(toy(monkeypatch, tmp_path, run), further=lambda config: ["glyphs_10letters"])
    assert lab.main(experiment, []) == 0
    refused = dataclasses.replace(experiment, further=lambda config: ["no set"])
    assert lab.main(refused, ["--out", "elsewhere"]) == 2
    assert "no set" in capsys.readouterr().err and not (tmp_path / "elsewhere").exists()
