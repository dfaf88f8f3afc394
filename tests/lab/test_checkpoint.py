import errno
import resource

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evojax_align import _files
from evojax_align.lab import Damaged, checkpoint, load, save


@pytest.fixture
def state(key):
    return {
        "params": {"w": jax.random.normal(key, (3, 4)), "b": jnp.zeros(4, jnp.bfloat16) + 1.5},
        "key": jax.random.split(key, 2),
        "count": jnp.array(7),
        "mask": jnp.array([True, False]),
        "nothing": None,
        "empty": jnp.zeros((0, 2)),
        "rows": np.arange(6.0).reshape(2, 3),
    }


@pytest.fixture
def stored(state, tmp_path):
    path = tmp_path / "state-1.npz"
    save(path, state, {"step": 1})
    return path


def test_what_was_saved_comes_back_bit_for_bit(state, stored):
    loaded, notes = load(stored, state)
    assert notes == {"step": 1}
    chex.assert_trees_all_equal(
        {k: v for k, v in loaded.items() if k != "key"}, {k: v for k, v in state.items() if k != "key"}
    )
    assert loaded["params"]["b"].dtype == jnp.bfloat16
    assert bool((jax.random.key_data(loaded["key"]) == jax.random.key_data(state["key"])).all())
    assert isinstance(loaded["rows"], np.ndarray) and loaded["rows"].flags.writeable


def test_shapes_serve_as_a_likeness_and_without_one_paths_are_names(state, stored):
    shapes = jax.eval_shape(lambda: {k: v for k, v in state.items() if k != "rows"}) | {"rows": state["rows"]}
    chex.assert_trees_all_equal(load(stored, shapes)[0]["params"], state["params"])
    assert set(load(stored)[0]) == {"params/w", "params/b", "key", "count", "mask", "empty", "rows"}


def test_a_tree_whose_shapes_change_is_built_from_dictionaries_by_the_names_of_its_leaves(state, tmp_path):
    path = tmp_path / "state.npz"
    save(path, {"at": (state["params"], state["rows"])}, {"step": 2})
    built, notes = checkpoint.load(path, build=lambda tree: tree)
    assert notes == {"step": 2} and list(built) == ["at"] and sorted(built["at"]) == ["0", "1"]
    assert sorted(built["at"]["0"]) == ["b", "w"]
    np.testing.assert_array_equal(built["at"]["1"], state["rows"])


def test_two_hundred_flipped_bits_never_give_a_wrong_state(state, stored):
    whole, rng = stored.read_bytes(), np.random.default_rng(0)
    refused = 0
    for bit in rng.choice(8 * len(whole), size=200, replace=False):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        stored.write_bytes(changed)
        try:
            loaded, notes = load(stored, state)
        except Damaged:
            refused += 1
            continue
        assert notes == {"step": 1}  # a bit that nothing depends on, such as a date in the archive
        for name in ("params", "count", "mask", "rows"):
            chex.assert_trees_all_equal(loaded[name], state[name])
    assert refused > 100


def test_a_file_cut_short_anywhere_is_refused(state, stored):
    whole = stored.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 50).astype(int):
        stored.write_bytes(whole[:length])
        with pytest.raises(Damaged):
            load(stored, state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": jnp.zeros(3, jnp.int32)}, "leaf 'count': got int32 \\(\\); expected int32 \\(3,\\)"),
        ({"more": jnp.zeros(1)}, "leaf 'more': got missing"),
        ({"mask": None}, "leaf 'mask': got bool \\(2,\\); expected nothing"),
        ({"count": jnp.array(7.0)}, "leaf 'count': got int32"),
    ],
)
def test_a_state_of_another_configuration_is_refused_by_leaf(state, stored, change, message):
    with pytest.raises(ValueError, match=message):
        load(stored, state | change)


def test_a_write_that_fails_half_way_leaves_the_old_file_and_nothing_else(state, stored, monkeypatch):
    before = stored.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(stored, state, {"step": 2})
    assert stored.read_bytes() == before and [path.name for path in stored.parent.iterdir()] == [stored.name]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # old releases of NumPy leave a ZipFile
def test_a_file_size_limit_leaves_the_old_file_and_nothing_else(state, stored):
    before = stored.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(OSError, match="File too large"):
            save(stored, state, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stored.read_bytes() == before and [path.name for path in stored.parent.iterdir()] == [stored.name]


def test_memory_that_runs_out_is_no_damage(state, stored, monkeypatch):
    def exhausted(*_):
        raise MemoryError("no memory is left")

    monkeypatch.setattr(_files, "_values", exhausted)
    with pytest.raises(MemoryError, match="no memory is left"):
        load(stored, state)
