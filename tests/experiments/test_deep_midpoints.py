import json

import numpy as np
import pytest

TOY = ["model=vgg", "width=4", "networks=4", "train_images=200", "test_images=100", "epochs=2", "statistics_images=100"]
FLAGS = [part for setting in TOY for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("deep_midpoints")


@pytest.mark.slow
def test_a_small_run_leaves_a_whole_record(script, tmp_path):
    assert script.main([*FLAGS, "--quiet", "--out", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert len(results["tables"]["midpoints"]) == 9 and len(results["claims"]) == 4
    with np.load(tmp_path / "run" / "arrays" / "results.npz") as arrays:
        loss, accuracy = arrays["loss"], arrays["accuracy"]
    assert loss.shape == accuracy.shape == (2, 3, 3, 5) and np.isfinite(loss).all()
    for ends in (0, -1):  # parents keep their functions, and mending leaves them
        np.testing.assert_allclose(loss[:, :, :, ends], np.broadcast_to(loss[:, :1, :1, ends], (2, 3, 3)), rtol=2e-3)
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {"accuracy.png", "loss.png"}


def test_an_unknown_model_is_refused(script, tmp_path, capsys):
    assert script.main(["--set", "model=vggg", "--out", str(tmp_path / "run")]) == 2
    assert "model: got 'vggg'; expected one of" in capsys.readouterr().err
