"""Stopping at any moment, and going on to the same bits."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import lab

TOTAL = 6


def walk(number, state):
    """A random walk: every step needs all that came before."""
    key, draw = jax.random.split(state["key"])
    state = {"key": key, "at": state["at"] + jax.random.normal(draw, (3,)), "seen": state["seen"].copy()}
    state["seen"][number] = float(state["at"].sum())
    return state, {"at": float(state["at"][0])}


def start():
    return {"key": jax.random.key(0), "at": jnp.zeros(3), "seen": np.full(TOTAL, np.nan)}


def whole_run(folder, step=walk, every=0.0):
    run = lab.Run(folder, quiet=True, every=every)
    with run.listening():
        first = run.loop("walk", start(), step, total=TOTAL)
        second = run.loop("second walk", start() | {"at": first["at"]}, step, total=TOTAL)
    return first, second


@pytest.fixture
def expected(tmp_path):
    folder = lab.RunFolder.create(tmp_path / "expected", "toy")
    return whole_run(folder), (folder.path / "log.jsonl").read_bytes()


def same(found, expected):
    for p, q in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(p.dtype, jax.dtypes.prng_key):
            p, q = jax.random.key_data(p), jax.random.key_data(q)
        np.testing.assert_array_equal(np.asarray(p), np.asarray(q))


@pytest.mark.parametrize("stop_at", range(1, 2 * TOTAL))
@pytest.mark.parametrize("every", [0.0, 3600.0])
def test_a_run_that_dies_at_any_step_goes_on_to_the_same_bits_and_the_same_log(tmp_path, expected, stop_at, every):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    steps = 0

    def dies(number, state):
        nonlocal steps
        steps += 1
        if steps > stop_at:
            raise RuntimeError("lightning")
        return walk(number, state)

    with pytest.raises(RuntimeError, match="lightning"):
        whole_run(folder, dies, every)
    same(whole_run(folder, every=every), expected[0])
    assert (folder.path / "log.jsonl").read_bytes() == expected[1]


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_state_whose_shapes_change_goes_on_too(tmp_path, stop_at):
    """Of each step one number more."""

    def grow(number, state):
        if number == stop_at and not list(tmp_path.glob("stopped")):
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        last = state["seen"][-1] if len(state["seen"]) else 1.0
        return {"seen": np.append(state["seen"], last * 1.5 + number)}, {}

    folder = lab.RunFolder.create(tmp_path / "run", "toy")

    def loop():
        run = lab.Run(folder, quiet=True, every=0.0)
        return run.loop("grow", {"seen": np.zeros(0)}, grow, total=TOTAL, build=lambda tree: {"seen": tree["seen"]})

    with pytest.raises(KeyboardInterrupt):
        loop()
    expected = np.zeros(0)
    for number in range(TOTAL):
        expected = np.append(expected, (expected[-1] if number else 1.0) * 1.5 + number)
    np.testing.assert_array_equal(loop()["seen"], expected)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, expected, capsys):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    whole_run(folder)
    saved = sorted((folder.path / "checkpoints").glob("second*"))
    assert [path.name[-5:-4] for path in saved] == ["5", "6"]  # the last two are kept
    saved[-1].write_bytes(saved[-1].read_bytes()[:-20])
    same(whole_run(folder), expected[0])
    assert saved[-1].name in (said := capsys.readouterr().err) and "using the checkpoint before" in said
    assert saved[-1].with_suffix(".damaged").exists()
    for path in (folder.path / "checkpoints").iterdir():
        path.write_bytes(b"nonsense")
    same(whole_run(folder), expected[0])
    assert (folder.path / "log.jsonl").read_bytes() == expected[1]


def test_the_time_before_a_stop_counts(tmp_path):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")

    def slow(number, state):
        time.sleep(0.05)
        if number == 4 and state["dies"]:
            raise KeyboardInterrupt
        return state, {}

    with pytest.raises(KeyboardInterrupt):
        lab.Run(folder, quiet=True, every=0.0).loop("walk", {"dies": np.ones(1)}, slow, total=5)
    (path,) = sorted((folder.path / "checkpoints").glob("*.npz"))[-1:]
    again = lab.Run(folder, quiet=True)
    again.loop("walk", {"dies": np.zeros(1)}, lambda number, state: (state, {}), total=5)
    assert path.name.endswith("00000004.npz")
    assert 4 * 0.05 <= again.seconds["walk"]["total"] < 60


@pytest.mark.parametrize(("seconds", "expected_steps"), [(0.125, [3, 6, 9, 10]), (0.25, [3, 8, 10])])
def test_checkpoints_that_take_long_to_write_are_rarer(tmp_path, monkeypatch, seconds, expected_steps):
    clock, saved = [0.0], []
    false_time = types.SimpleNamespace(perf_counter=lambda: clock[0], monotonic=time.monotonic)
    monkeypatch.setattr("evojax_align.lab.run.time", false_time)

    def save(self, files, name, number, state, start):
        saved.append(number)
        clock[0] += seconds

    def step(number, state):
        clock[0] += 1.0
        return state, {}

    monkeypatch.setattr(lab.Run, "_save", save)
    lab.Run(lab.RunFolder.create(tmp_path / "run", "toy"), quiet=True, every=3.0).loop("walk", {}, step, total=10)
    assert saved == expected_steps


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_end_and_saves_it(tmp_path, expected, number):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")

    def interrupted(step, state):
        if step == 2:
            os.kill(os.getpid(), number)
        return walk(step, state)

    with pytest.raises(lab.Stopped) as stop:
        whole_run(folder, interrupted, every=3600.0)
    assert stop.value.code == 128 + number
    assert [path.name for path in (folder.path / "checkpoints").iterdir()] == ["walk-00000003.npz"]
    same(whole_run(folder), expected[0])


def test_a_full_disk_stops_the_run_with_its_last_checkpoint_intact(tmp_path, expected, monkeypatch):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    real, writes = os.fsync, 0

    def full(handle):
        nonlocal writes
        writes += 1
        if writes > 6:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        whole_run(folder)
    monkeypatch.setattr(os, "fsync", real)
    assert sorted(path.suffix for path in (folder.path / "checkpoints").iterdir()) == [".npz", ".npz"]
    same(whole_run(folder), expected[0])


@pytest.mark.slow
def test_a_second_process_is_refused_with_the_firsts_id_and_a_dead_one_leaves_no_lock(tmp_path):
    code = """
        import sys, time
        from pathlib import Path
        from evojax_align.lab import locked
        with locked(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(lab.Locked, match=f"in use by process {holder.pid} on "), lab.locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with lab.locked(tmp_path):
        pass


def test_no_record_of_the_log_is_lost_when_a_checkpoint_of_an_earlier_loop_is_damaged(tmp_path, expected, capsys):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    steps = 0

    def dies(number, state):
        nonlocal steps
        steps += 1
        if steps > TOTAL + 3:
            raise RuntimeError("lightning")
        return walk(number, state)

    with pytest.raises(RuntimeError, match="lightning"):
        whole_run(folder, dies)
    path = sorted((folder.path / "checkpoints").glob("walk-*.npz"))[-1]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    same(whole_run(folder), expected[0])
    assert "using the checkpoint before" in capsys.readouterr().err
    assert (folder.path / "log.jsonl").read_bytes() == expected[1]


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_log_that_was_cut_becomes_whole(tmp_path, expected, cut):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    whole_run(folder)
    path = folder.path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    whole_run(folder)
    assert path.read_bytes() == expected[1]


def test_a_loop_that_is_shared_is_computed_and_logged_once(tmp_path):
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    run, counted = lab.Run(folder, quiet=True, every=0.0), []

    def count(number, state):
        counted.append(number)
        return walk(number, state)

    found = []
    for arm in ("a", "b"):
        run.begin(lab.Cell(arm, 0))
        found.append(run.loop("ancestor", start(), count, total=TOTAL, shared=True))
        run.loop("own", start(), walk, total=1)
        run.end(lab.Cell(arm, 0))
    same(*found)
    assert counted == list(range(TOTAL))
    assert [path.name for path in (folder.path / "checkpoints").iterdir()] == ["shared"]
    cells = [json.loads(line)["cell"] for line in (folder.path / "log.jsonl").read_text().splitlines()]
    assert cells == ["shared"] * TOTAL + ["a-000", "b-000"]


def test_callbacks_are_told_of_every_step(tmp_path):
    told = []
    folder = lab.RunFolder.create(tmp_path / "run", "toy")
    run = lab.Run(folder, quiet=True, callbacks=(lambda step, metrics: told.append((step, metrics)),))
    run.loop("one", {"a": np.zeros(1)}, lambda n, s: (s, {"loss": n}), total=2)
    run.loop("two", {"a": np.zeros(1)}, lambda n, s: (s, {"loss": 9}), total=1)
    assert told == [(1, {"loss": 0.0}), (2, {"loss": 1.0}), (3, {"loss": 9.0})]


TOY = """
    import sys
    from tests.lab.conftest import STUDY, run, walk
    import dataclasses, time
    from evojax_align import lab

    def slowly(problem, cell, run_):
        def step(number, state):
            time.sleep(0.05)
            return walk(number, state)
        return run(problem, cell, run_, step=step)

    sys.exit(lab.main(dataclasses.replace(STUDY, run=slowly), sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_process_that_is_stopped_goes_on_to_the_same_files(tmp_path):
    script = tmp_path / "toy.py"
    script.write_text(textwrap.dedent(TOY))
    root = Path(__file__).parents[2]

    def call(*flags):
        command = [sys.executable, str(script), "--checkpoint-every", "0", "--quiet", *flags]
        env = dict(os.environ, PYTHONPATH=str(root))
        return subprocess.Popen(command, cwd=tmp_path, text=True, env=env, stdout=-1, stderr=-1)

    whole = call("--out", "whole")
    assert (whole.communicate(timeout=300), whole.returncode)[1] == 0
    (tmp_path / "my data").mkdir()
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 10
    np.savez(tmp_path / "my data" / "digits.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    stopped = call("--out", "run", "--data-dir", "my data")
    while not list((tmp_path / "run" / "checkpoints").rglob("*.npz")):
        assert stopped.poll() is None
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    _, said = stopped.communicate(timeout=300)
    assert stopped.returncode == 143
    assert "stopped by SIGTERM; go on with: " in said and "--resume run --data-dir 'my data'" in said
    resumed = call("--resume", "run")
    assert (resumed.communicate(timeout=300), resumed.returncode)[1] == 0
    for name in ("results.json", "arrays/results.npz", "log.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
