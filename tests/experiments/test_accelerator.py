import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import accelerator
from experiments.benchmarks.device import agreement, measuring
from experiments.benchmarks.device.measuring import FAILED, MEASURED, NO_TORCH, NOT_RUN, Row

SCRIPT = Path(accelerator.__file__)


def row(name, family="quick", amount=1.0, call=lambda: 1.0, **settings):
    return Row(name, family, amount, "calls", lambda: call, **settings)


def fails():
    raise RuntimeError("no memory")


def stored(folder):
    return json.loads((folder / "accelerator.json").read_text())["rows"]


@pytest.mark.slow
def test_a_small_run_measures_and_agrees_with_the_stored_values(tmp_path, capsys):
    status = accelerator.main(["--small", "--out", str(tmp_path), "--only", "matrices", "agreement", "cca"])
    found = stored(tmp_path)
    assert status == 0
    assert [result["status"] for result in found] == [MEASURED] * 7
    for result in found:
        assert result["min_s"] <= result["median_s"] <= result["max_s"] <= result["first_s"]
        assert result["rate"] > 0 and result["process_peak_bytes"] > 0
        assert result["platform"] == "cpu" and result["versions"]["jax"] and result["versions"]["evojax-align"]
    first, *rest = (result for result in found if result["family"] == "agreement")
    assert first["differences"]["permutations:host"] == first["differences"]["permutations:compiled"] == 0
    assert first["tolerances"]["sweep:scan"] == 1e-4 and len(rest) == 1
    assert "failed: 0" in capsys.readouterr().out


def test_every_group_lists_its_rows_where_there_is_no_time(tmp_path, capsys):
    assert accelerator.main(["--minutes", "0.001", "--out", str(tmp_path)]) == 0
    found = stored(tmp_path)
    assert {result["status"] for result in found} <= {NOT_RUN, NO_TORCH}
    names = [result["row"] for result in found]
    assert len(set(names)) == len(names) == 42
    assert "training 512 x 784-512-10, vmap" in names and "sweep of 201 t, 10000 samples, chunks of 1000, scan" in names
    printed = capsys.readouterr()
    assert all(f"\n  {result['row']}" in printed.out for result in found if result["status"] == NOT_RUN)
    assert "[42/42]" in printed.err


@pytest.mark.nightly
def test_all_small_rows_are_measured(tmp_path):
    assert accelerator.main(["--small", "--minutes", "60", "--out", str(tmp_path)]) == 0
    assert {result["status"] for result in stored(tmp_path)} <= {MEASURED, NO_TORCH}


def test_it_runs_as_a_file_from_anywhere(tmp_path):
    command = [sys.executable, str(SCRIPT), "--small", "--only", "matrices", "--out", "found"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ, JAX_PLATFORMS="cpu"), check=False)
    assert done.returncode == 0
    assert [result["status"] for result in stored(tmp_path / "found")] == [MEASURED] * 3


def test_a_row_that_fails_is_counted_and_the_next_ones_are_measured(tmp_path):
    file = tmp_path / "accelerator.json"
    session = measuring.Session(file, 1.0, {})
    wrong = {"inspect": lambda value: fails()}
    assert session.run([row("a"), row("b", call=fails), row("c", **wrong), row("d")]) == 2
    assert [result["status"] for result in stored(tmp_path)] == [MEASURED, FAILED, FAILED, MEASURED]
    assert stored(tmp_path)[1]["error"] == "RuntimeError: no memory"
    assert "failed: 2\n  b\n  c" in measuring.summary(session.results)


def test_each_result_is_on_the_disk_before_the_next_row_begins(tmp_path):
    file = tmp_path / "accelerator.json"
    seen = []
    rows = [row(name, call=lambda: seen.append(len(stored(tmp_path)) if file.exists() else 0)) for name in "abc"]
    measuring.Session(file, 1.0, {}).run(rows)
    assert sorted(set(seen)) == [0, 1, 2]


def test_a_row_is_not_started_if_its_family_says_that_it_takes_too_long():
    session = measuring.Session(None, 1.0, {})
    slow = {"family": "slow", "call": lambda: time.sleep(0.01)}
    session.run([row("once", **slow), row("a million times", amount=1e6, **slow), row("another")])
    assert [result["status"] for result in session.results] == [MEASURED, NOT_RUN, MEASURED]


def test_a_row_that_overruns_ends_the_process_with_its_results_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "_exit", lambda status: seen.append(status))
    seen = []
    session = measuring.Session(tmp_path / "accelerator.json", 1.0, {})
    rows = [row("a"), row("b"), row("c")]
    session.run(rows[:1])
    session._overrun(rows)
    assert seen == [1]
    assert [result["status"] for result in stored(tmp_path)] == [MEASURED, FAILED, NOT_RUN]


def test_peers_are_named_where_pytorch_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    session = measuring.Session(None, 1.0, {})
    assert session.run([row("loop", peer=True)]) == 0
    assert session.results[0]["status"] == NO_TORCH


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("sweep:scan", lambda value: value + 2e-4, r"sweep:scan: 0.0002 > 0.0001"),
        ("loss:steps", lambda value: value * np.nan, "loss:steps: nan > 0.0001"),
        ("permutations:host", lambda value: value[::-1], "permutations:host: .* > 0"),
        ("correlations:cca", lambda value: value[1:], "correlations:cca: inf"),
    ],
)
def test_values_beyond_their_tolerance_are_named(name, change, message):
    with np.load(agreement.REFERENCE, allow_pickle=False) as reference:
        values = dict(reference)
    assert agreement.compared("highest", values)["differences"] == dict.fromkeys(values, 0.0)
    with pytest.raises(ValueError, match=message):
        agreement.compared("highest", values | {name: change(values[name])})


def test_the_stored_values_are_small_and_hold_no_pickles():
    assert agreement.REFERENCE.stat().st_size < 100_000
    with np.load(agreement.REFERENCE, allow_pickle=False) as reference:
        assert all(reference[name].dtype != object for name in reference.files)
