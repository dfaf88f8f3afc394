import dataclasses
import json
import os
import signal

import numpy as np
import pytest

import evojax_align as ea
from evojax_align import lab
from evojax_align.lab.configuring import configure
from evojax_align.lab.report import text_table
from tests.lab.conftest import STUDY, Config, run, walk

FILES = ("results.json", "arrays/results.npz", "log.jsonl")


def contents(folder, names=FILES):
    return {name: (folder / name).read_bytes() for name in names}


def test_a_run_leaves_its_whole_record(toy, tmp_path, capsys):
    assert toy("--seed", "3", "--set", "rate=2") == 0
    folder = lab.RunFolder(tmp_path / "runs" / "toy-demo-clean-digits-001")
    manifest = folder.read_manifest()
    settings = {"dataset": "digits", "mode": "clean", "seed": 3, "rate": 2.0, "widths": [3], "repeats": 3}
    assert manifest["configuration"] == settings
    assert manifest["versions"]["jax"] and manifest["start"] <= manifest["end"]
    assert manifest["declared"] == lab.declaration(STUDY.claims)
    results = folder.read_json("results.json")
    (claim,) = results["claims"]
    assert results["experiment"] == "toy" and claim["ours"] == 1.0 and claim["n"] == 3
    assert claim["verdict"] == "not tested" and claim["declared"] == "before"
    timings = folder.read_json("timings.json")
    arms = ("ahead", "behind")
    assert set(timings) == {
        f"{arm}: {phase}" for arm in arms for phase in ("walk", *(f"ancestor {n}" for n in range(3)))
    }
    lines = [json.loads(line) for line in (folder.path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * (2 + 2 * 3)  # an ancestor is logged once
    assert lines[0] == {"cell": "shared", "phase": "ancestor 0", "step": 1, "at": lines[0]["at"]}
    assert not list(folder.path.rglob("*.part")) and not list((folder.path / "checkpoints").iterdir())
    printed = capsys.readouterr().out
    assert "means" in printed and printed.rstrip().endswith("runs/toy-demo-clean-digits-001/report.html")
    page = (folder.path / "report.html").read_text()
    assert (
        "data:image/png;base64" in page
        and "<figcaption>Nothing to see.</figcaption>" in page
        and 'src="http' not in page
        and "--set rate=2.0" in page
    )


def test_equal_runs_are_equal_files_in_folders_of_their_own(toy, tmp_path):
    for _ in range(2):
        assert toy() == 0
    one, two = (tmp_path / "runs" / f"toy-demo-clean-digits-00{i}" for i in (1, 2))
    assert contents(one) == contents(two)


@pytest.mark.parametrize("at", [1, 4, 7, 12])
def test_a_run_that_dies_at_any_step_goes_on_to_the_same_files(toy, tmp_path, dying, at):
    assert toy("--out", "whole") == 0
    with pytest.raises(RuntimeError, match="lightning"):
        toy("--out", "run", "--checkpoint-every", "0", run=dying(at))
    assert toy("--resume", "run") == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
    before = contents(tmp_path / "run", (*FILES, "manifest.json"))
    assert toy("--resume", "run") == 0
    assert contents(tmp_path / "run", (*FILES, "manifest.json")) == before


def test_cells_of_two_folders_merge_to_the_files_of_one_run(toy, tmp_path, capsys):
    assert toy("--out", "whole") == 0
    assert toy("--out", "one", "--cells", "*-00[01]") == 0
    assert "4 of 6 cells are finished; go on with: python toy.py --resume one" in capsys.readouterr().out
    assert toy("--out", "two", "--cells", "*-002") == 0
    assert toy("--merge", "one", "two") == 0
    assert "merged 6 of 6 cells, 2 of them copied" in capsys.readouterr().out
    assert contents(tmp_path / "one") == contents(tmp_path / "whole")
    assert lab.RunFolder("one").read_manifest()["end"] is not None


@pytest.mark.parametrize("first", ["ahead-*", "behind-*", "*-002"])
def test_the_log_does_not_depend_on_which_cells_ran_first(toy, tmp_path, dying, first):
    assert toy("--out", "whole") == 0
    with pytest.raises(RuntimeError, match="lightning"):
        toy("--out", "run", "--checkpoint-every", "0", run=dying(1))  # in a loop that two cells share
    assert toy("--resume", "run", "--cells", first) == 0
    assert toy("--resume", "run") == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_cells_of_two_folders_by_arm_merge_to_the_files_of_one_run(toy, tmp_path):
    assert toy("--out", "whole") == 0
    for arm in ("ahead", "behind"):
        assert toy("--out", arm, "--cells", f"{arm}-*") == 0
    assert toy("--merge", "behind", "ahead") == 0
    assert contents(tmp_path / "behind") == contents(tmp_path / "whole")


def test_cells_of_another_declaration_are_merged_as_declared_after(toy, tmp_path):
    for name in ("one", "two"):
        assert toy("--out", name, "--cells", "*-000" if name == "one" else "*-00[12]") == 0
    other = lab.RunFolder("two")
    other.write_json("manifest.json", other.read_manifest() | {"declared": "earlier", "commit": "earlier"})
    assert toy("--merge", "one", "two") == 0
    assert lab.RunFolder("one").read_json("results.json")["claims"][0]["declared"] == "after"
    assert lab.RunFolder("one").read_manifest()["resumed"] == ["earlier"]


@pytest.mark.parametrize("content", [b"{}", b"[]", b"{", None])
def test_a_damaged_record_of_a_cell_costs_its_seconds_alone(toy, tmp_path, capsys, content):
    assert toy("--out", "whole") == 0
    assert toy("--out", "run", "--cells", "*-00[01]") == 0
    path = tmp_path / "run" / "cells" / "ahead-000.json"
    path.unlink() if content is None else path.write_bytes(content)
    assert toy("--resume", "run") == 0
    assert "its seconds are not counted" in capsys.readouterr().err
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_finished_run_that_lost_a_cell_can_be_completed(toy, tmp_path):
    assert toy("--out", "run") == 0
    kept = contents(tmp_path / "run")
    (tmp_path / "run" / "cells" / "behind-000.npz").write_bytes(b"nonsense")
    (tmp_path / "run" / "arrays" / "results.npz").unlink()
    assert toy("--merge", "run") == 0
    assert lab.RunFolder("run").read_manifest()["end"] is None
    assert toy("--resume", "run") == 0
    assert contents(tmp_path / "run") == kept


def test_a_changed_configuration_in_the_manifest_is_seen(toy, tmp_path, capsys):
    assert toy("--out", "run", "--cells", "*-000") == 0
    path = tmp_path / "run" / "manifest.json"
    path.write_text(path.read_text().replace('"rate": 0.1', '"rate": 0.3'))
    assert toy("--resume", "run") == 2
    assert "got a changed configuration" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b'{"claims": [{}], "tables": {}}'])
def test_results_that_are_none_are_made_again(toy, tmp_path, content):
    assert toy("--out", "mine") == 0
    path = tmp_path / "mine" / "results.json"
    kept = path.read_bytes()
    path.write_bytes(content)
    assert toy("--resume", "mine") == 0 and path.read_bytes() == kept


def test_results_can_be_made_of_the_cells_that_are_finished(toy, tmp_path, capsys):
    assert toy("--out", "part", "--cells", "*-00[01]") == 0
    assert toy("--merge", "part") == 0
    assert "missing: ahead-002, behind-002" in capsys.readouterr().out
    results = lab.RunFolder("part").read_json("results.json")
    assert results["missing"] == ["ahead-002", "behind-002"] and results["claims"][0]["n"] == 2
    assert "Not all cells are finished" in (tmp_path / "part" / "report.html").read_text()
    assert toy("--resume", "part") == 0
    assert "missing" not in lab.RunFolder("part").read_json("results.json")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("device", "another", "merge, device of two: got another"),
        ("configuration", dataclasses.asdict(Config(rate=0.2)), "merge, configuration of two"),
    ],
)
def test_cells_of_another_device_or_configuration_are_not_merged(toy, capsys, field, value, message):
    for name in ("one", "two"):
        assert toy("--out", name, "--cells", "*-000") == 0
    other = lab.RunFolder("two")
    changed = {field: value} if field == "device" else {field: value, "digest": lab.folder.digest(value)}
    other.write_json("manifest.json", other.read_manifest() | changed)
    assert toy("--merge", "one", "two") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("lost", "message"), [(True, "'rate' only in"), (False, "'speed' only in")])
def test_a_run_whose_fields_are_not_those_of_this_version_is_refused_by_the_field(toy, capsys, lost, message):
    assert toy("--out", "one", "--cells", "*-000") == 0
    run = lab.RunFolder("one")
    fields = dict(run.read_manifest()["configuration"])
    if lost:
        del fields["rate"]
    else:
        fields["speed"] = 1
    changed = {"configuration": fields, "digest": lab.folder.digest(fields)}
    run.write_json("manifest.json", run.read_manifest() | changed)
    assert toy("--resume", "one") == 2
    assert f"the field {message}" in capsys.readouterr().err


def test_a_time_limit_stops_at_a_checkpoint_with_the_status_75(toy, tmp_path, monkeypatch, capsys):
    assert toy("--out", "whole") == 0
    now = 0.0
    monkeypatch.setattr("evojax_align.lab.run.STARTED", 0.0)
    monkeypatch.setattr("evojax_align.lab.run.time.monotonic", lambda: now)

    def slow(number, state):
        nonlocal now
        now += 10
        return walk(number, state)

    def slowly(*of):
        return run(*of, step=slow)

    assert toy("--out", "run", "--minutes", "0.5", run=slowly) == 75
    said = capsys.readouterr().err
    assert "stopped by the time limit; go on with: python toy.py --resume run" in said
    assert now <= 30
    stops = 1
    while (status := toy("--resume", "run", "--minutes", str(now / 60 + 0.5), run=slowly)) == 75:
        stops += 1
    assert status == 0 and stops > 3
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_run_that_is_out_of_time_after_its_last_cell_stops_before_it_merges(toy, tmp_path, monkeypatch, capsys):
    assert toy("--out", "whole") == 0
    now = 0.0
    monkeypatch.setattr("evojax_align.lab.run.STARTED", 0.0)
    monkeypatch.setattr("evojax_align.lab.run.time.monotonic", lambda: now)

    def slow(number, state):
        nonlocal now
        now += 10
        return walk(number, state)

    limit = str((240 + 8 + 20) / 60)  # 24 steps, what a limit reserves, and less than merging may take
    assert toy("--out", "run", "--minutes", limit, run=lambda *of: run(*of, step=slow)) == 75
    assert now == 240 and len(list((tmp_path / "run" / "cells").glob("*.npz"))) == 6
    assert "stopped by the time limit; go on with: python toy.py --resume run" in capsys.readouterr().err
    assert not list((tmp_path / "run" / "arrays").iterdir())
    assert toy("--resume", "run", "--minutes", limit) == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_report_is_rebuilt_from_stored_arrays_alone(toy, tmp_path):
    assert toy("--out", "mine") == 0
    names = ("results.json", "report.html")
    kept = contents(tmp_path / "mine", names)
    for name in names:
        (tmp_path / "mine" / name).unlink()

    def never(*_):
        raise AssertionError("a report must not run the study")

    assert toy("--report", "mine", run=never) == 0
    assert contents(tmp_path / "mine", names) == kept


@pytest.mark.parametrize("content", [None, b"{", b'{"claims": '])
def test_results_of_a_finished_run_that_are_gone_or_broken_are_made_again(toy, tmp_path, capsys, content):
    assert toy("--out", "mine") == 0
    path = tmp_path / "mine" / "results.json"
    kept = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    assert toy("--resume", "mine") == 0
    assert path.read_bytes() == kept and "Rebuilding it from the arrays" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"experiment": "toy"}', b"\xff\xfe"])
@pytest.mark.parametrize("flag", ["--report", "--resume", "--merge"])
def test_a_damaged_manifest_is_named(toy, tmp_path, capsys, content, flag):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_bytes(content)
    assert toy(flag, "mine") == 2
    assert "manifest.json: got a" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["manifest.json"]


def test_damaged_results_arrays_are_named_and_can_be_merged_again(toy, tmp_path, capsys):
    assert toy("--out", "mine") == 0
    path = tmp_path / "mine" / "arrays" / "results.npz"
    whole, random = path.read_bytes(), np.random.default_rng(0)
    results = (tmp_path / "mine" / "results.json").read_bytes()
    for number in range(40):
        damaged = bytearray(whole)
        if number % 2:
            damaged[random.integers(len(whole))] ^= 1 << random.integers(8)
        else:
            del damaged[random.integers(len(whole)) :]
        path.write_bytes(damaged)
        status = toy("--report", "mine")
        said = capsys.readouterr().err
        assert (status == 2 and "results.npz: got" in said) or (
            status == 0 and (tmp_path / "mine" / "results.json").read_bytes() == results
        )
    np.savez(path, nothing=np.zeros(1))
    assert toy("--report", "mine") == 2
    assert "results.npz: got no array 'at'" in capsys.readouterr().err
    path.unlink()
    assert toy("--report", "mine") == 2
    assert toy("--merge", "mine") == 0
    assert path.read_bytes() == whole


def test_a_damaged_cell_is_named_and_run_again(toy, tmp_path, capsys):
    assert toy("--out", "whole") == 0
    assert toy("--out", "mine", "--cells", "*-00[01]") == 0
    path = tmp_path / "mine" / "cells" / "behind-000.npz"
    path.write_bytes(path.read_bytes()[:-30])
    assert toy("--resume", "mine") == 0
    assert "behind-000.damaged: this cell counts as missing" in capsys.readouterr().err
    assert contents(tmp_path / "mine") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "smal"], "Did you mean 'small'?"),
        (["--mode", "txt"], "Did you mean 'text'?"),
        (["--dataset", "digit"], "Did you mean 'digits'?"),
        (["--set", "rat=1"], "Did you mean 'rate'?"),
        (["--set", "rate"], "key=value"),
        (["--checkpoint-every", "-1"], "0 or more seconds"),
        (["--minutes", "0"], "minutes: got 0.0; expected a number above 0"),
        (["--seed", str(2**64)], "seed: got 18446744073709551616; expected an integer from 0 to 4294967295"),
        (["--seed", "-1"], "seed: got -1"),
        (["--set", "seed=1.5"], "a value like 0 for seed"),
        (["--set", "rate=1e999"], "a value like 0.1 for rate"),
        (["--report", "nowhere"], "nowhere/manifest.json does not exist"),
    ],
)
def test_bad_flags_are_refused_with_the_fix_and_leave_nothing(toy, tmp_path, capsys, arguments, message):
    assert toy(*arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("text", "value"), [("None", None), ("7", 7)])
def test_a_setting_that_may_be_none_takes_none_and_a_number(text, value):
    @dataclasses.dataclass(frozen=True)
    class Optional:
        chunk: int | None = None

    assert configure(Optional(), [f"chunk={text}"]).chunk == value
    assert configure(Optional(chunk=3), [f"chunk={text}"]).chunk == value
    with pytest.raises(ValueError, match=r"set: got chunk=1\.5; expected a value like 3 for chunk"):
        configure(Optional(chunk=3), ["chunk=1.5"])


def test_a_pattern_that_fits_no_cell_is_refused_with_the_names_there_are(toy, capsys):
    assert toy("--cells", "sideways-*") == 2
    assert "cells: got 'sideways-*'" in (said := capsys.readouterr().err) and "ahead-000, behind-000" in said


def test_what_a_study_refuses_leaves_no_folder(toy, tmp_path, capsys):
    def refuses(config, data):
        raise lab.command._checks.bad("samples", 9000, "at most 1500", "Lower it.")

    assert toy(prepare=refuses) == 2
    assert "samples: got 9000" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_an_error_of_the_study_itself_is_not_taken_for_a_bad_flag(toy):
    def broken(*_):
        raise ValueError("shapes do not fit")

    with pytest.raises(ValueError, match="shapes do not fit"):
        toy(run=broken)


def test_a_folder_that_holds_files_is_not_written_to(toy, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert toy("--out", "mine") == 2
    assert "new or empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_folder_that_a_killed_process_only_began_is_used_again(toy, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".manifest.json.part").write_text("{")
    assert toy("--out", "mine") == 0


@pytest.mark.parametrize("signals", [1, 2])
def test_an_interrupt_ends_with_the_usual_status_and_says_how_to_go_on(toy, tmp_path, capsys, signals):
    assert toy("--out", "whole") == 0

    def interrupted(number, state):
        for _ in range(signals):
            os.kill(os.getpid(), signal.SIGINT)
        return walk(number, state)

    assert toy("--out", "run", run=lambda *of: run(*of, step=interrupted)) == 130
    what = "stopped by SIGINT" if signals == 1 else "stopped at once"
    assert f"{what}; go on with: python toy.py --resume run" in capsys.readouterr().err
    assert toy("--resume", "run") == 0
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_run_goes_on_only_with_what_it_was_begun_with(toy, capsys):
    assert toy("--out", "run", "--cells", "*-000") == 0
    for flags, message in (
        (["--seed", "1"], "resume, seed: got 1; expected 0"),
        (["--set", "rate=7"], "resume, rate: got 7.0; expected 0.1"),
        (["--preset", "small"], "resume, preset: got small; expected demo"),
    ):
        assert toy("--resume", "run", *flags) == 2
        assert message in capsys.readouterr().err
    folder = lab.RunFolder("run")
    record = folder.read_manifest()
    folder.write_json("manifest.json", record | {"versions": record["versions"] | {"evojax_align": "0.0.1"}})
    assert toy("--resume", "run") == 2
    assert "resume, evojax_align: got 0.1.0; expected 0.0.1" in capsys.readouterr().err


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


def test_a_missing_result_is_never_written_as_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        lab.RunFolder(tmp_path).write_json("results.json", {"ours": float("nan")})
    assert not (tmp_path / "results.json").exists()


def test_progress_speaks_in_lines_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr("evojax_align.lab.monitor.EVERY", 0.0)
    monitor = lab.Monitor()
    monitor.title = "1/2 toy 0"
    with monitor.phase("training", 2) as bar:
        bar.step(best=0.25)
        bar.step(best=0.125)
    said = capsys.readouterr().err
    assert "1/2 toy 0: training: 1/2  best 0.25" in said and "training: 2/2  best 0.125" in said
    with lab.Monitor(quiet=True).phase("training", 1) as bar:
        bar.step(best=0.25)
    assert capsys.readouterr().err == ""


def test_a_text_table_lines_up_numbers_and_words():
    table = text_table([{"name": "a", "loss": 0.5}, {"name": "longer", "loss": None}])
    assert table.splitlines() == ["name    loss", "------  ----", "a        0.5", "longer     –"]


def test_a_run_that_other_code_goes_on_with_says_so(toy):
    assert toy("--out", "mine") == 0
    folder = lab.RunFolder("mine")
    record = folder.read_manifest()
    assert record["resumed"] == []
    for _ in range(2):
        folder.write_json("manifest.json", folder.read_manifest() | {"commit": "earlier", "end": None})
        assert toy("--resume", "mine") == 0
        assert folder.read_manifest()["resumed"] == [record["commit"]]


def test_the_list_shows_presets_with_their_cost_modes_and_data(toy, tmp_path, capsys):
    assert toy("--list") == 0
    shown = capsys.readouterr().out
    assert "small          little" in shown and "text           as it was" in shown and "digits" in shown
    with pytest.raises(SystemExit):
        toy("--help")
    assert "small          little" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_tensorboard_writes_events_or_names_its_extra(tmp_path):
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


@pytest.mark.slow
def test_a_study_can_take_several_data_sets(toy, tmp_path, capsys):
    def two(problem, cell, run):
        assert [of.name for of in problem[1]] == ["digits", "glyphs_10letters"]
        return {"at": np.zeros(3)}

    assert toy(run=two, further=lambda config: ["glyphs_10letters"]) == 0
    assert toy("--out", "elsewhere", run=two, further=lambda config: ["no set"]) == 2
    assert "no set" in capsys.readouterr().err and not (tmp_path / "elsewhere").exists()


def test_the_manifest_has_the_chunks_that_were_chosen(toy):
    def chosen(problem, cell, of):
        ea.population.map(lambda x: 2 * x, np.arange(4.0), strategy="scan", chunk="auto")
        return run(problem, cell, of)

    assert toy("--out", "mine", run=chosen) == 0
    assert [of["chunk"] for of in lab.RunFolder("mine").read_manifest()["chunks"]] == [4] * 6
    assert toy("--out", "other") == 0
    assert "chunks" not in lab.RunFolder("other").read_manifest()
