from experiments.benchmarks import damage


def test_no_damaged_checkpoint_is_read_as_something_else(capsys):
    assert damage.main(["--count", "30"]) == 0
    assert "30 damaged checkpoints: 0 wrong" in capsys.readouterr().out


def test_a_wrong_reading_would_be_counted(monkeypatch, capsys):
    monkeypatch.setattr(damage.checkpoint, "load", lambda path, like: (damage.state(3), {"step": 2}))
    assert damage.main(["--count", "6"]) == 1
    assert capsys.readouterr().out.endswith("6 damaged checkpoints: 6 wrong\n")
