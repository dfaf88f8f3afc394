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
from tests.lab.conftest import STUDY, cells

ROOT = Path(__file__).parents[2]
FILES = ("results.json", "arrays/results.npz", "log.jsonl")
PROGRAM = """
import dataclasses, sys, time
from evojax_align import lab
from evojax_align.lab import sharing
from tests.lab.conftest import STUDY, run, walk
sharing.BEAT, sharing.PATIENCE = 0.1, float(sys.argv[1])
def slow(number, state):
    time.sleep(float(sys.argv[2]))
    return walk(number, state)
study = dataclasses.replace(STUDY, run=lambda problem, cell, of: run(problem, cell, of, slow))
sys.exit(lab.main(study, ["--quiet", "--compile-cache", "off", "--checkpoint-every", "0", *sys.argv[3:]]))
"""


def contents(folder):
    return {name: (Path(folder) / name).read_bytes() for name in FILES}


def start(number, count, *flags, patience=20.0, pause=0.0):
    variables = {"JAX_PROCESS_ID": str(number), "JAX_NUM_PROCESSES": str(count)}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-c", PROGRAM, str(patience), str(pause), "--distributed", *flags]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(processes):
    return [(process, *process.communicate(timeout=120)) for process in processes]


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
    first, second = (start(number, 2, "--out", "shared", patience=3.0, pause=0.3) for number in (0, 1))
    while not list(tmp_path.glob("shared/processes/001/cells/*.npz")):
        time.sleep(0.05)
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
        processes = [start(of, 2, *flags, patience=3.0, pause=0.1) for of in (0, 1)]
        time.sleep(draw.uniform(0.5, 6.0))
        for process in draw.sample(processes, 1 + number % 2):
            process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM]))
        ends(processes)
        if (tmp_path / "shared" / "manifest.json").exists():
            flags = ("--resume", "shared")
    for process, _, error in ends([start(number, 2, *flags) for number in (0, 1)]):
        assert process.returncode == 0, error
    assert contents(tmp_path / "shared") == whole


def test_each_process_needs_the_same_configuration_code_and_a_folder(toy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    assert toy("--distributed") == 2 and "--out DIR to all processes" in capsys.readouterr().err
    assert toy("--distributed", "--out", "shared") == 2
    assert "JAX_NUM_PROCESSES: got None" in capsys.readouterr().err
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    monkeypatch.setattr(sharing, "PATIENCE", 0.1)
    assert toy("--distributed", "--out", "shared") == 2 and "no sign of process 0" in capsys.readouterr().err
    monkeypatch.setattr(sharing, "PATIENCE", 20.0)
    monkeypatch.setattr(sharing, "BEAT", 0.1)
    assert toy("--out", "shared", "--cells", "*-000") == 0
    with sharing.alive(lab.RunFolder("shared"), sharing.Member(0, 2)):
        assert toy("--distributed", "--out", "shared", "--set", "rate=0.3") == 2
        assert "configuration of process 1" in capsys.readouterr().err
        record = lab.RunFolder("shared").read_manifest()
        lab.RunFolder("shared").write_json("manifest.json", record | {"commit": "another"})
        assert toy("--distributed", "--out", "shared") == 2
        assert "commit of process 1" in capsys.readouterr().err


@pytest.mark.parametrize("names", sharing.VARIABLES)
def test_a_process_finds_its_number_in_what_started_it(names):
    assert sharing.member(dict(zip(names, "25", strict=True))) == (2, 5)
    with pytest.raises(ValueError, match="below the number of processes"):
        sharing.member(dict(zip(names, "55", strict=True)))
    with pytest.raises(ValueError, match=f"{names[1]}: got None"):
        sharing.member({names[0]: "0"})


def test_every_cell_belongs_to_one_process_and_none_without_a_job():
    every = cells(STUDY.presets["demo"][0])
    shares = [sharing.share(every, sharing.Member(number, 4)) for number in range(4)]
    assert sorted(cell.name for of in shares for cell in of) == sorted(cell.name for cell in every)
    with pytest.raises(ValueError, match="srun or mpirun"):
        sharing.member({})
