import json

import jax

from experiments.benchmarks.timing import store


def test_rows_are_stored_with_the_machine_and_the_settings(tmp_path):
    file = tmp_path / "rows.json"
    rows = [{"what": "nothing", "ms": 0.5, "spread": [0.4, 0.6]}]
    store(str(file), rows, {"repeats": 3})
    found = json.loads(file.read_text())
    assert (found["repeats"], found["rows"]) == (3, rows)
    assert found["machine"].keys() == {"jax", "backend", "cores", "python"}
    assert found["machine"]["jax"] == jax.__version__
    file.unlink()
    store(None, rows, {})
    assert not list(tmp_path.iterdir())
