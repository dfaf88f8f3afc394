import json
from pathlib import Path

import pytest

from experiments.benchmarks import traffic

ROOT = Path(__file__).parents[2]
ROWS = json.loads((ROOT / "experiments/benchmarks/results/traffic.json").read_text())["rows"]
TEXT = """
  %all-gather.1 = f32[64,32]{1,0} all-gather(%x), channel_id=1
  %all-to-all = (pred[1,8]{1,0}, bf16[1,8]{1,0}) all-to-all(%a, %b), channel_id=2
  ROOT %all-reduce = (f32[]{:T(128)}, s8[3]{0}) all-reduce-start(%c, %d), to_apply=%add
  %gather = f32[64,32]{1,0} gather(%x, %i)
"""


def test_bytes_are_those_of_the_results_of_collective_operations():
    assert traffic.communicated(TEXT) == {"all-gather": 64 * 32 * 4, "all-to-all": 8 + 16, "all-reduce": 4 + 3}


def test_the_formulas_hold_in_the_compiled_programs():
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


@pytest.mark.slow
def test_steps_are_compiled_anew(capfd):
    assert traffic.main(["--devices", "2", "--algorithms", "Wann", "--size", "8"]) == 0
    assert "Wann" in capfd.readouterr().out
