import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import evojax_align as ea

TOY = ["repeats=2", "width=12", "widths=(4,16)", "steps=(0,5)", "parents=(2,3)", "epochs=4", "bends=4", "points=5"]
FLAGS = [part for setting in TOY for part in ("--set", setting)]


@pytest.fixture(scope="module")
def script(load):
    return load("safe_crossover_beyond")


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "toy"
    assert script.main([*FLAGS, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def arrays(run):
    with np.load(run / "arrays" / "results.npz") as stored:
        return dict(stored)


@pytest.mark.slow
def test_every_part_leaves_numbers_a_table_and_a_picture(run, arrays):
    assert all(np.isfinite(values).all() for values in arrays.values() if values.dtype.kind == "f")
    assert arrays["width_loss"].shape == (2, 2, 2, 5) and arrays["average_loss"].shape == (2, 5, 2)
    results = json.loads((run / "results.json").read_text())
    assert list(results["tables"]) == [
        "barrier against width",
        "barrier against common steps",
        "averages",
        "exploration",
        "paths",
    ]
    drawn = {path.stem for path in (run / "figures").iterdir()}
    assert drawn == {"widths", "steps", "averages", "exploration", "paths"}


@pytest.mark.slow
def test_both_ways_share_their_parents(arrays):
    for part in ("width", "common"):
        ends = arrays[f"{part}_loss"][..., [0, -1]]
        np.testing.assert_allclose(ends[:, :, 0], ends[:, :, 1], rtol=1e-4)
    ends = arrays["path_loss"][..., [0, -1]]
    np.testing.assert_allclose(ends[:, 1:], ends[:, :1].repeat(3, axis=1), rtol=1e-4)


@pytest.mark.slow
def test_exploration_is_measured_as_it_is_told(arrays):
    moved, new, found = (arrays[f"child_{name}"] for name in ("moved", "new", "found"))
    assert (new <= moved + 1e-6).all() and (found <= new + 1e-6).all()


def test_equal_keys_advance_alike_and_steps_add_up(script):
    network, adam = ea.models.MLP(hidden=(3,), classes=2), optax.adam(1e-2)
    x, y = jnp.arange(12.0).reshape(6, 2), jnp.array([0, 1, 0, 1, 0, 1])
    start = ea.population.init(lambda key: network.init(key, x), jax.random.key(0), 2)
    state = ea.population.map(lambda params: (params, adam.init(params)), start)
    keys = jax.random.split(jax.random.key(1), 2)

    def after(steps, keys=keys):
        return script.advanced(network.apply, adam, state, keys, steps, data=(x, y), batch_size=4)

    chex.assert_trees_all_equal(after(0), state)
    chex.assert_trees_all_equal(after(3), after(3))
    assert int(after(3)[1][0].count[0]) == 3
    other = after(3, jax.random.split(jax.random.key(2), 2))
    assert any((p != q).any() for p, q in zip(*map(jax.tree.leaves, (after(3), other)), strict=True))


def test_exploration_by_hand(script):
    """Five images; the numbers are what each network says of them, and the labels are all 0."""
    said = {"child": [0, 0, 1, 2, 1], "a": [0, 1, 1, 0, 0], "b": [0, 1, 2, 0, 0]}
    pop = {name: jax.nn.one_hot(jnp.array([row]), 3) for name, row in said.items()}
    data = jnp.arange(5), jnp.zeros(5, int)
    found = script.explored(lambda table, x: table[x], pop["child"], pop["a"], pop["b"], data)
    by_hand = {"accuracy": 0.4, "lost": 0.2, "moved": 0.6, "new": 0.6, "found": 0.2}
    assert {name: float(values[0]) for name, values in found.items()} == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "setting",
    [
        "widths=(8,4)",
        "steps=(-1,4)",
        "parents=(1,2)",
        "points=4",
        "repeats=0",
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_made(script, tmp_path, capsys, setting):
    assert script.main(["--set", setting, "--out", str(tmp_path / "run")]) == 2
    assert f"{setting.partition('=')[0]}: got" in capsys.readouterr().err and not (tmp_path / "run").exists()
