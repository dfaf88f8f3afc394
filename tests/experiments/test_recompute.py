import json

import pytest


@pytest.fixture
def recompute(load):
    return load("recompute")


@pytest.mark.slow
def test_pairs_of_the_kept_study_come_out_again(recompute, capsys):
    assert recompute.main(["--first", "3", "--pairs", "2"]) == 0
    stable, unstable = capsys.readouterr().out.strip().splitlines()
    assert stable.startswith("pairs 3 to 4, all methods but CCA: 12 losses")
    assert unstable.startswith("pairs 3 to 4, CCA, which rounding alone moves: 4 losses")


@pytest.mark.slow
def test_pairs_that_differ_or_are_not_there_are_told(recompute, tmp_path, monkeypatch, capsys):
    kept = json.loads((recompute.RESULTS / "safe_crossover-demo-digits.json").read_text())
    kept["tables"][recompute.TABLE] = kept["tables"][recompute.TABLE][:2]
    kept["tables"][recompute.TABLE][1]["weights"] *= 1.01
    (tmp_path / "safe_crossover-demo-digits.json").write_text(json.dumps(kept))
    monkeypatch.setattr(recompute, "RESULTS", tmp_path)
    assert recompute.main(["--first", "1", "--pairs", "1"]) == 1
    assert recompute.main(["--first", "1", "--pairs", "2"]) == 2
    assert "no pairs [2]" in capsys.readouterr().err
