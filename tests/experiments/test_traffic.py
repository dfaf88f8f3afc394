import json
from pathlib import Path

import pytest

from experiments.benchmarks import traffic
from experiments.pages import table

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "experiments/benchmarks/results/traffic.json").read_text())["rows"]
TEXT = """
  %all-gather.1 = f32[64,32]{1,0} all-gather(%x), channel_id=1
  %all-to-all = (pred[1,8]{1,0}, bf16[1,8]{1,0}) all-to-all(%a, %b), channel_id=2
  ROOT %all-reduce = (f32[]{:T(128)}, s8[3]{0}) all-reduce(%c, %d), to_apply=%add
  %gather = f32[64,32]{1,0} gather(%x, %i)
"""


def test_bytes_are_those_of_the_results_of_collective_operations():
    assert traffic.communicated(TEXT) == {"all-gather": 64 * 32 * 4, "all-to-all": 8 + 16, "all-reduce": 4 + 3}
    with pytest.raises(ValueError, match="text: got asynchronous"):
        traffic.communicated("  %g = (f32[4], f32[8]) all-gather-start(%x)")


def test_the_formulas_hold_in_the_stored_table():
    assert {(row["algorithm"], row["devices"]) for row in ROWS} == {
        (name, devices) for name in traffic.ALGORITHMS for devices in traffic.DEVICES
    }
    for row in ROWS:
        held, gathered = traffic.COPIES[row["algorithm"]]
        assert row["state"] == pytest.approx(held / row["devices"], abs=0.03)
        assert row["communication"] == pytest.approx(gathered, abs=0.2)
        assert row["memory"] > row["state"]


def test_the_guide_shows_what_is_stored():
    guide = (ROOT / "docs/pages/guides/devices.md").read_text()
    assert traffic.costs(ROWS) in guide and traffic.capacity(ROWS) in guide


def test_the_guide_shows_what_a_lower_precision_changes():
    rows = json.loads((ROOT / "experiments/benchmarks/results/precision.json").read_text())["rows"]
    assert table(rows) in (ROOT / "docs/pages/guides/devices.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Neuroevolution", "Padawann"])
def test_steps_that_are_compiled_anew_gather_as_much(name, tmp_path):
    out = tmp_path / "found.json"
    assert traffic.main(["--devices", "2", "--algorithms", name, "--size", "16", "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text())["rows"]
    assert row["communication"] == pytest.approx(traffic.COPIES[name][1], abs=0.2)


def test_a_size_that_devices_do_not_divide_is_refused(capsys):
    with pytest.raises(SystemExit):
        traffic.main(["--devices", "3", "--size", "16"])
    assert "--size: got 16; expected a multiple of [3]" in capsys.readouterr().err
