import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evojax_align import lab
from experiments.safe_crossover import deep
from experiments.safe_crossover.__main__ import STUDY

TOY = ["model=vgg", "width=4", "networks=4", "train_images=200", "test_images=100", "epochs=2", "statistics_images=100"]
FLAGS = ["--quiet", "--compile-cache", "off", *(part for setting in TOY for part in ("--set", setting))]


@pytest.mark.nightly
def test_a_small_run_leaves_a_whole_record(tmp_path):
    # the quick compilation of the tests makes NaN of this training, so it is compiled as users compile it
    command = [sys.executable, "-m", "experiments.safe_crossover", "--preset", "deep", *FLAGS, "--out"]
    env = dict(os.environ, XLA_FLAGS="")
    subprocess.run([*command, str(tmp_path / "run")], cwd=Path(__file__).parents[2], env=env, check=True)
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert len(results["tables"]["midpoints"]) == 9
    assert sum(not claim["primary"] for claim in results["claims"]) == 4
    arrays = lab.RunFolder(tmp_path / "run").read_arrays("results")
    loss, accuracy = arrays["loss"], arrays["accuracy"]
    assert loss.shape == accuracy.shape == (2, 3, 3, 5) and np.isfinite(loss).all()
    for ends in (0, -1):  # parents keep their functions, and repairs change nothing there
        np.testing.assert_allclose(loss[:, :, :, ends], np.broadcast_to(loss[:, :1, :1, ends], (2, 3, 3)), rtol=2e-3)
    assert {path.name for path in (tmp_path / "run" / "figures").iterdir()} == {"accuracy.png", "loss.png"}


def test_claims_of_deep_networks_are_decided_as_their_statements_say():
    accuracy = np.zeros((8, 3, 3, 3)) + np.linspace(0, 0.01, 8)[:, None, None, None]
    accuracy[:, 1, 0] += 0.3  # aligned by activations, as it is
    accuracy[:, 1, 2] += 0.5  # the same after REPAIR
    arrays = {"part": "deep", "ts": np.array([0, 0.5, 1]), "loss": -accuracy, "accuracy": accuracy}
    view = STUDY.view({name: np.asarray(value) for name, value in arrays.items()})
    found = {claim.id: lab.decide([claim], [], view)[0]["verdict"] for claim in STUDY.explore(view)}
    assert isinstance(view, deep.View) and found == {
        "aligned_above_naive": "holds",
        "aligned_above_naive_reestimated": "undecided",
        "reestimated_above_as_it_is": "reversed",
        "repaired_above_as_it_is": "holds",
    }
