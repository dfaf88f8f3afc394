import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evojax_align import lab
from evojax_align.lab import sharing
from tests.lab.conftest import STUDY, cells, run

ROOT = Path(__file__).parents[2]
FILES = ("results.json", "arrays/results.npz", "log.jsonl")
PROGRAM = """
import dataclasses, sys, time
from evojax_align import lab
from evojax_align.lab import sharing
from tests.lab.conftest import STUDY, run, walk
sharing.HEARTBEAT, sharing.TIMEOUT = 0.1, float(sys.argv[1])
def slow(number, state):
    time.sleep(float(sys.argv[2]))
    return walk(number, state)
study = dataclasses.replace(STUDY, run=lambda problem, cell, of: run(problem, cell, of, slow))
sys.exit(lab.main(study, ["--quiet", "--compile-cache", "off", "--checkpoint-every", "0", *sys.argv[3:]]))
"""


def contents(folder):
    return {name: (Path(folder) / name).read_bytes() for name in FILES}


def start(number, count, *flags, timeout=20.0, pause=0.0):
    variables = {"JAX_PROCESS_ID": str(number), "JAX_NUM_PROCESSES": str(count)}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", PROGRAM, str(timeout), str(pause), "--distributed", *flags]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(processes):
    return [(process, *process.communicate(timeout=120)) for process in processes]


def wait_for(found):
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def whole(toy, tmp_path):
    assert toy("--out", "whole") == 0
    return contents(tmp_path / "whole")


def test_two_processes_leave_the_files_of_one(whole, tmp_path):
    for process, _, error in ends([start(number, 2, "--out", "shared") for number in (1, 0)]):
        assert process.returncode == 0, error
    assert contents(tmp_path / "shared") == whole
    assert not (tmp_path / "shared" / "processes").exists()
    assert lab.RunFolder(tmp_path / "shared").read_manifest()["end"]


def test_a_process_that_dies_is_named_and_any_number_of_processes_goes_on(whole, tmp_path):
    first, second = (start(number, 2, "--out", "shared", timeout=3.0, pause=0.3) for number in (0, 1))
    wait_for(lambda: list(tmp_path.glob("shared/processes/001/cells/*.npz")))
    second.kill()
    (_, _, error), _ = ends([first, second])
    assert first.returncode == 1
    assert "ended before their cells were finished: 1; go on with: python toy.py --resume shared --distributed" in error
    for process, _, error in ends([start(number, 3, "--resume", "shared") for number in range(3)]):
        assert process.returncode == 0, error
    assert contents(tmp_path / "shared") == whole


@pytest.mark.nightly
def test_processes_that_are_killed_again_and_again_leave_the_files_of_one(whole, tmp_path):
    flags, draw = ("--out", "shared"), random.Random(0)
    for number in range(20):
        processes = [start(of, 2, *flags, timeout=3.0, pause=0.1) for of in (0, 1)]
        time.sleep(draw.uniform(0.5, 6.0))
        for process in draw.sample(processes, 1 + number % 2):
            process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM]))
        ends(processes)
        if (tmp_path / "shared" / "manifest.json").exists():
            flags = ("--resume", "shared")
    for process, _, error in ends([start(number, 2, *flags) for number in (0, 1)]):
        assert process.returncode == 0, error
    assert contents(tmp_path / "shared") == whole


@pytest.fixture
def second(monkeypatch):
    """Makes this process the second of two, with short times."""
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setattr(sharing, "HEARTBEAT", 0.05)


def test_without_a_job_a_folder_or_a_first_process_nothing_runs(toy, second, monkeypatch, capsys):
    assert toy("--distributed") == 2 and "--out DIR to all processes" in capsys.readouterr().err
    assert toy("--distributed", "--out", "shared", "--tensorboard") == 2
    assert "the events of a process would be lost" in capsys.readouterr().err
    monkeypatch.setattr(sharing, "TIMEOUT", 0.1)
    assert toy("--distributed", "--out", "shared") == 2 and "no heartbeat of process 0" in capsys.readouterr().err
    monkeypatch.delenv("JAX_NUM_PROCESSES")
    assert toy("--distributed", "--out", "shared") == 2
    assert "distributed: got only JAX_PROCESS_ID; expected both of a pair" in capsys.readouterr().err
    monkeypatch.setattr("jax.distributed.is_initialized", lambda: True)
    assert toy() == 2 and "Leave out jax.distributed.initialize()" in capsys.readouterr().err


def test_all_processes_have_the_same_configuration_cells_number_and_code(toy, second, capsys):
    assert toy("--out", "shared", "--cells", "*-000") == 0
    folder, first = lab.RunFolder("shared"), sharing.Process(0, 2)
    record = folder.read_manifest()
    sharing.announce(folder, first, "*", record["commit"])
    with sharing.heartbeats(folder, first):
        for flags, complaint in (
            (("--set", "rate=0.3"), "configuration, rate of process 1: got 0.3; expected 0.1"),
            (("--cells", "*-001"), "cells of process 1: got *-001; expected *."),
        ):
            assert toy("--distributed", "--out", "shared", *flags) == 2
            assert complaint in capsys.readouterr().err
        sharing.announce(folder, sharing.Process(0, 3), "*", record["commit"])
        assert toy("--distributed", "--out", "shared") == 2
        assert "processes of process 1: got 2; expected 3" in capsys.readouterr().err
        sharing.announce(folder, first, "*", "another")
        assert toy("--distributed", "--out", "shared") == 2
        assert "commit of process 1" in capsys.readouterr().err


def test_a_process_that_is_stopped_names_the_folder_of_the_run(toy, second, capsys, dying):
    assert toy("--out", "shared", "--cells", "*-000") == 0
    folder, first = lab.RunFolder("shared"), sharing.Process(0, 2)
    sharing.announce(folder, first, "*", folder.read_manifest()["commit"])

    def stopped(problem, cell, run):
        raise lab.Stopped("stopped by the time limit", 75)

    with sharing.heartbeats(folder, first):
        assert toy("--distributed", "--out", "shared", run=stopped) == 75
    assert "go on with: python toy.py --resume shared --distributed" in capsys.readouterr().err
    assert (folder.path / "processes" / "001.heartbeat").read_text() == "ended 75"


def test_cells_of_an_earlier_job_are_not_run_again_by_one_process(whole, toy, second, tmp_path, monkeypatch):
    assert toy("--out", "shared", "--cells", "*-000") == 0
    folder, first = lab.RunFolder("shared"), sharing.Process(0, 2)
    sharing.announce(folder, first, "*", folder.read_manifest()["commit"])
    with sharing.heartbeats(folder, first):
        assert toy("--distributed", "--out", "shared") == 0
    assert len(list(tmp_path.glob("shared/processes/001/cells/*.npz"))) == 2
    ran = []

    def counted(problem, cell, of):
        ran.append(cell.name)
        return run(problem, cell, of)

    assert toy("--resume", "shared", run=counted) == 0
    assert ran == ["ahead-001", "ahead-002"]
    assert contents(tmp_path / "shared") == whole
    monkeypatch.setattr(sharing, "TIMEOUT", 60.0)  # a process that comes late waits for nobody
    assert toy("--distributed", "--resume", "shared") == 0


@pytest.mark.parametrize("names", sharing.VARIABLES)
def test_a_process_finds_its_number_in_what_started_it(names):
    assert sharing.this_process(dict(zip(names, "25", strict=True))) == (2, 5)
    with pytest.raises(ValueError, match="below the number of processes"):
        sharing.this_process(dict(zip(names, "55", strict=True)))
    with pytest.raises(ValueError, match=f"distributed: got only {names[0]}"):
        sharing.this_process({names[0]: "0"})
    with pytest.raises(ValueError, match=f"{names[1]}: got 'many'"):
        sharing.this_process({names[0]: "0", names[1]: "many"})


def test_every_cell_belongs_to_one_process_and_none_without_a_job():
    every = cells(STUDY.presets["demo"][0])
    shares = [sharing.share(every, sharing.Process(number, 4)) for number in range(4)]
    assert sorted(cell.name for of in shares for cell in of) == sorted(cell.name for cell in every)
    with pytest.raises(ValueError, match="srun or mpirun"):
        sharing.this_process({})
