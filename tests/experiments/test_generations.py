"""The benchmark of a generation runs at a toy size."""

import json

import pytest

from experiments.benchmarks import generations


@pytest.mark.slow
def test_a_toy_size_is_timed_and_stored(tmp_path, monkeypatch, capsys):
    pytest.importorskip("evosax", reason="evosax (extra `evosax`) is not installed")
    monkeypatch.setattr(generations, "ALIGNED_HIDDEN", 6)
    arguments = ["--sizes", "4", "--repeats", "1", "--samples", "8", "--out", str(tmp_path / "found.json")]
    assert generations.main(arguments) == 0
    small, aligned = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert small["members"] == 4 and small["share"] is None and small["ratio"] > 0
    assert aligned["share"] < 1 and "share of alignment" in capsys.readouterr().out
