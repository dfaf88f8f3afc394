import json
import os
import pickle
import subprocess
import sys
import time
import types
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import evojax_align as ea
from experiments.benchmarks import choices
from experiments.benchmarks.core import assigning, learning, measuring, peers, rebasin, weights
from experiments.benchmarks.core.__main__ import main, rows
from experiments.benchmarks.core.measuring import Goal, Row
from experiments.benchmarks.core.scale import FULL, SMALL, layers
from experiments.benchmarks.core.ways import Apart, SharedOut, Stopped, Way, busy, measured, seconds_of_parts
from experiments.benchmarks.session import FAILED, MEASURED, NOT_RUN


def stored(file):
    return json.loads(file.read_text())["rows"]


def sleeping(seconds):
    return partial(time.sleep, seconds)


def fails():
    raise RuntimeError("no memory")


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def ends(pid, seconds=10):
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_small_rows_are_measured_stored_and_printed(tmp_path, capsys):
    file = tmp_path / "core.json"
    assert main(["--small", "--out", str(file), "--rows", "^SVCCA", "^correlations of .* x 16$"]) == 0
    svcca, correlations = stored(file)
    assert svcca["status"] == correlations["status"] == MEASURED
    for way in svcca["ways"].values():
        assert way["min_s"] <= way["median_s"] <= way["max_s"] and way["first_s"] > 0 and way["cpu_s"] >= 0
        assert way["repeats"] == len(way["steady"]) >= 1
    ours, peer = (way["sum of correlations"] for way in svcca["ways"].values())
    assert ours == pytest.approx(peer, rel=1e-3)
    assert svcca["compared"]["NumPy, eigh"]["repeat"] == pytest.approx(
        svcca["ways"]["NumPy, eigh"]["median_s"] / svcca["ways"]["ours"]["median_s"]
    )
    assert correlations["ways"]["ours"]["rate"] > 0 and correlations["unit"] == "GFLOP/s"
    settings = json.loads(file.read_text())["settings"]
    assert settings["machine"]["cores"] == os.cpu_count() and settings["machine"]["versions"]["scipy"]
    assert all(settings["machine"]["blas"].values())
    printed = capsys.readouterr()
    assert "times ours" in printed.out and "failed: 0" in printed.out and "CPU" in printed.err


@pytest.mark.nightly
def test_all_small_rows_are_measured(tmp_path):
    file = tmp_path / "core.json"
    assert main(["--small", "--minutes", "60", "--out", str(file)]) == 0
    assert {result["status"] for result in stored(file)} == {MEASURED}
    traces = [way["traces"] for result in stored(file) for way in result["ways"].values() if "traces" in way]
    assert traces == [0]


@pytest.mark.slow
def test_all_small_choices_are_measured(tmp_path):
    file = tmp_path / "choices.json"
    assert choices.main(["--small", "--out", str(file)]) == 0
    assert {result["status"] for result in stored(file)} == {MEASURED}


def test_every_row_is_listed_where_there_is_no_time(tmp_path, capsys):
    file = tmp_path / "core.json"
    assert main(["--minutes", "0.001", "--out", str(file)]) == 0
    found = stored(file)
    assert {result["status"] for result in found} == {NOT_RUN}
    names = [result["row"] for result in found]
    assert len(set(names)) == len(names) == 39
    assert "weight matching of ResNet20, width 16, 8 starts" in names
    assert "CCA of the layers of 8 pairs of 784-512-10, 2000 samples, beside a busy process" in names
    assert "not run: out of time: 39" in capsys.readouterr().out


def test_rows_are_chosen_by_patterns(capsys):
    assert main(["--list", "--rows", "svcca", "^assignment 64"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["--rows", "nothing is called so"]) == 2
    assert "no row matches nothing is called so" in capsys.readouterr().out


def test_the_ways_of_a_row_take_turns_and_each_result_is_on_the_disk_before_the_next_row(tmp_path):
    file, calls = tmp_path / "core.json", []

    def noting(name):
        return lambda: lambda: calls.append((name, len(stored(file)) if file.exists() else 0))

    session = measuring.Session(file, 1.0, {}, rest=0.0)
    row = Row("two ways", "quick", (Way("ours", noting("A")), Way("peer", noting("B"))))
    assert session.run([row, row]) == 0
    rounds = 1 + measuring.ROUNDS
    assert [name for name, _ in calls] == 2 * rounds * ["A", "B"]
    assert [count for _, count in calls] == 2 * rounds * [0] + 2 * rounds * [1]


def test_rows_that_are_measured_again_take_their_place_in_the_file(tmp_path, capsys):
    file = tmp_path / "core.json"
    assert main(["--small", "--rows", "svcca", "--out", str(file)]) == 0
    first = json.loads(file.read_text())
    other = {"row": "another", "family": "another", "status": NOT_RUN}
    first["rows"] = [other, *first["rows"], other | {"row": "a third"}]
    file.write_text(json.dumps(first))
    assert main(["--small", "--rows", "svcca", "--again", "--out", str(file)]) == 0
    again = json.loads(file.read_text())
    assert [row["row"] for row in again["rows"]] == [row["row"] for row in first["rows"]]
    assert again["rows"][1]["ways"] != first["rows"][1]["ways"] and again["rows"][0] == other
    first["settings"]["machine"]["cores"] += 1
    file.write_text(json.dumps(first))
    for flags, complaint in (([str(file)], "of another machine"), ([str(tmp_path / "none")], "of an earlier run")):
        with pytest.raises(SystemExit):
            main(["--small", "--rows", "svcca", "--again", "--out", *flags])
        assert complaint in capsys.readouterr().err


def test_ratios_are_those_of_medians_and_rates_count_the_work():
    session = measuring.Session(None, 1.0, {}, rest=0.0)
    ways = Way("ours", partial(sleeping, 0.001)), Way("peer", partial(sleeping, 0.02))
    session.run([Row("sleep", "sleep", ways, amount=2.0)])
    (found,) = session.results
    ours, peer = found["ways"].values()
    assert found["compared"]["peer"]["repeat"] == peer["median_s"] / ours["median_s"] > 2
    assert peer["rate"] == 2.0 / peer["median_s"] and peer["cpu_s"] < peer["median_s"]


def test_a_way_that_fails_is_counted_and_the_others_are_measured():
    session = measuring.Session(None, 1.0, {}, rest=0.0)
    row = Row("one fails", "quick", (Way("ours", lambda: fails), Way("peer", partial(sleeping, 0))))
    assert session.run([row]) == 1
    (found,) = session.results
    assert found["status"] == FAILED and "no memory" in found["error"]
    assert found["ways"]["peer"]["repeats"] == measuring.ROUNDS and found["compared"] == {}


def test_packages_that_are_not_installed_are_named():
    session = measuring.Session(None, 1.0, {}, rest=0.0)
    ways = Way("ours", partial(sleeping, 0)), Way("peer", lambda: fails, needs="no_such_package")
    assert session.run([Row("a", "quick", ways)]) == 0
    assert session.results[0]["missing"] == ["peer"]
    assert "peer: not installed" in session.describe(session.results[0])


@pytest.mark.parametrize(
    ("limit", "at_least", "reached"), [(1.0, False, False), (3.0, False, True), (3.0, True, False), (2.0, True, True)]
)
def test_goals_are_printed_beside_what_was_measured(limit, at_least, reached):
    goal = Goal("seconds", ("ways", "ours", "first_s"), limit, at_least)
    found = goal.judged({"ways": {"ours": {"first_s": 2.0}}})
    assert (found["measured"], found["reached"]) == (2.0, reached)
    text = measuring.summary([{"row": "a", "status": MEASURED, "goals": [found]}])
    assert ("not reached" not in text) == reached and "reached" in text and f" {limit:.3g} " in text
    unknown = goal.judged({"ways": {}})
    assert unknown["reached"] is None
    assert "not measured" in measuring.summary([{"row": "a", "status": MEASURED, "goals": [unknown]}])


def test_every_goal_names_a_number_that_its_row_measures():
    for row in rows(FULL, []):
        names = [way.name for way in row.ways]
        assert row.fresh or not any("first" in key for goal in row.goals for key in goal.path)
        for goal in row.goals:
            kind, *rest = goal.path
            if kind == "exponents":
                assert row.sizes and rest == ["first"]
            else:
                assert kind in ("ways", "compared") and rest[0] in names[kind == "compared" :], (row.name, goal)


def test_the_exponent_of_a_power_is_found():
    assert measuring.exponent([(n, 0.5 * n**1.7) for n in (1, 2, 4, 8)]) == pytest.approx(1.7)
    assert measuring.exponent([(2, 1.0)]) is None


def test_rows_of_several_sizes_have_exponents_instead_of_ratios():
    session = measuring.Session(None, 1.0, {}, rest=0.0)
    ways = tuple(Way(f"{n}", partial(sleeping, 0.01 * n)) for n in (1, 2, 4))
    session.run([Row("sleep", "sleep", ways, sizes=(1.0, 2.0, 4.0))])
    assert session.results[0]["exponents"]["repeat"] == pytest.approx(1, abs=0.4)
    assert "compared" not in session.results[0]


@pytest.mark.slow
def test_a_row_starts_every_way_in_fresh_processes():
    session = measuring.Session(None, 60.0, {}, rest=0.0)
    ways = (Way("ours", partial(partial, os.getpid), inspect=partial(dict.fromkeys, ["pid"])),)
    assert session.run([Row("pid", "pid", ways, fresh=True, starts=2)]) == 0
    (found,) = session.results
    assert len(found["ways"]["ours"]["firsts"]) == 2
    assert found["ways"]["ours"]["pid"] != os.getpid()
    assert ends(found["ways"]["ours"]["pid"])


@pytest.mark.slow
def test_a_fresh_process_has_its_variables_alone_and_is_stopped_after_its_time(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    read, value = partial(partial, os.getenv, "OPENBLAS_NUM_THREADS"), partial(dict.fromkeys, ["value"])
    for environment, expected in (({}, None), ({"OPENBLAS_NUM_THREADS": "1"}, "1")):
        one = Apart(Way("variable", read, value, environment), 120)
        assert one.call(60).wall_s < 60
        assert one.inspect() == {"value": expected}
        one.close()
    slow = Apart(Way("slow", partial(partial, time.sleep, 60)), 120)
    with pytest.raises(Stopped, match="after 0 s"):
        slow.call(0.3)
    assert ends(slow._process.pid)


def test_a_stopped_way_says_so_in_its_result(monkeypatch):
    monkeypatch.setattr(measuring.Session, "_longest", 0.2)

    class Slow:
        def __init__(self, way):
            pass

        def call(self, seconds):
            raise Stopped(f"after {seconds} s")

        def close(self):
            pass

    monkeypatch.setattr(measuring, "Here", Slow)
    session = measuring.Session(None, 1.0, {}, rest=0.0)
    assert session.run([Row("slow", "slow", (Way("ours", fails),))]) == 0
    assert session.results[0]["ways"]["ours"] == {"stopped": "after 0.2 s"}
    assert "stopped after 0.2 s" in session.describe(session.results[0])


def test_what_a_fresh_process_dies_of_is_told():
    with pytest.raises(RuntimeError, match="no_such_module"):
        Apart(Way("wrong", partial(__import__, "no_such_module")), 120)


def test_work_is_shared_out_over_processes_that_count_their_seconds():
    shared = SharedOut(Way("part", partial(partial, sum, range(10**6))), 2)
    pids = [part._process.pid for part in shared._parts]
    timings = shared()
    assert len(timings) == 2 and seconds_of_parts(timings)["cpu_s"] > 0
    shared.close()
    assert all(ends(pid) for pid in pids)


def test_the_busy_process_uses_a_core_and_ends_with_the_block():
    with pytest.raises(RuntimeError), busy() as pid:
        time.sleep(0.5)
        ticks = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        fails()
    assert ticks > 0
    assert ends(pid)


def test_the_busy_process_ends_with_its_parent():
    program = (
        "from experiments.benchmarks.core.ways import busy\nimport os\nwith busy() as pid: print(pid); os._exit(0)"
    )
    command = [sys.executable, "-c", program.replace("print(pid)", "print(pid, flush=True)")]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert ends(int(done.stdout))


def test_the_memory_of_a_call_counts_what_it_held():
    timing, _ = measured(partial(np.ones, 10**7), memory=True)
    assert timing.peak_bytes is None or timing.peak_bytes > 7 * 10**7


@pytest.mark.parametrize("rank", [None, 5])
def test_the_peer_in_numpy_finds_the_canonical_correlations(rank):
    first, second = (side[0] for side in layers(1, 200, 12))
    expected = ea.similarity.cca(first, second, rank=rank)
    x, y = np.asarray(first), np.asarray(second)
    found, weights_x, _ = peers.numpy_cca(x, y, rank)
    live = len(found)
    np.testing.assert_allclose(found, expected.correlations[:live], atol=2e-3)
    variates = peers.standardised(x) @ weights_x
    np.testing.assert_allclose(variates.T @ variates / len(x), np.eye(live), atol=1e-2)


@pytest.mark.slow
def test_plain_training_starts_and_ends_near_ours():
    ours = learning._loss(learning._fit(1, 16, 512)())["loss"]
    plain = learning._loss(learning._plain(1, 16, 512)())["loss"]
    assert ours == pytest.approx(plain, abs=0.1)
    several = learning._loss(learning._plain(2, 16, 512)())["loss"]
    assert several == pytest.approx(plain, abs=0.2)


@pytest.mark.slow
def test_the_algorithm_of_git_re_basin_finds_a_permuted_copy_and_never_loses():
    network, x = ea.models.MLP(hidden=(8, 6), classes=3), jnp.zeros((1, 5))
    a, other = (network.init(jax.random.key(seed), x) for seed in (1, 2))
    spec = ea.symmetry.infer(network.apply, a, x)
    planted = ea.symmetry.permute(spec, a, ea.symmetry.random_permutations(spec, jax.random.key(3)))
    for numbers in (np, jnp):
        for b, starts in ((planted, 4), (other, 1)):
            axes, leaves_a, leaves_b = weights._leaves((spec, a, b))
            orders = rebasin.match(axes, leaves_a, leaves_b, starts=starts, numbers=numbers)
            reached = rebasin.total(axes, leaves_a, leaves_b, orders, np)
            identity = rebasin.total(axes, leaves_a, leaves_b, {g: np.arange(n) for g, n in spec.groups.items()}, np)
            assert reached > identity
            permuted = ea.symmetry.permute(spec, b, {group: jnp.asarray(order) for group, order in orders.items()})
            by_leaf = [np.vdot(p, q) for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(permuted), strict=True)]
            assert reached == pytest.approx(sum(map(float, by_leaf)), rel=1e-4)
            if b is planted:
                assert reached == pytest.approx(sum(float(np.vdot(p, p)) for p in leaves_a.values()), rel=1e-4)


@pytest.mark.slow
def test_all_solvers_but_the_fast_one_reach_the_largest_total(monkeypatch):
    lap = types.SimpleNamespace(lapjv=lambda costs: (0.0, linear_sum_assignment(costs)[1], None))
    monkeypatch.setitem(sys.modules, "lap", lap)
    for kind in assigning.KINDS:
        shares = {
            name: assigning._share(12, kind, assigning._prepared(name, 12, kind)())["share of the largest total"]
            for name in assigning.SOLVERS
        }
        assert 0.5 <= shares.pop("mutual") <= 1 + 1e-6
        assert shares == pytest.approx(dict.fromkeys(shares, 1.0), abs=1e-5)


def test_rows_with_fresh_processes_can_be_pickled():
    for scale in (FULL, SMALL):
        for row in rows(scale, []):
            if row.fresh or any(way.environment for way in row.ways):
                assert pickle.loads(pickle.dumps(row)).name == row.name
