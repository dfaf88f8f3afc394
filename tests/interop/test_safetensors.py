"""Files in the safetensors format are read and written to the letter, and damaged ones are refused."""

import json
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

import evojax_align as ea

TYPES = [
    *(np.bool_, np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64),
    *(np.float16, jnp.bfloat16, np.float32, np.float64, np.complex64, jnp.float8_e4m3fn, jnp.float8_e5m2),
]


def written(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(start, end, *shape, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_arrays_of_all_types_come_back(tmp_path):
    values = np.arange(6).reshape(2, 3)
    state = {f"a.{n}": values.astype(dtype) for n, dtype in enumerate(TYPES)}
    state |= {"zero axes": np.float32(2.5), "empty": np.zeros((0, 3)), "Fortran": np.asfortranarray(values)}
    state |= {"of JAX": jnp.ones(3), "big-endian": values.astype(">f4"), 'ümläut " \\': values, "": values[:, ::2]}
    ea.interop.write_safetensors(tmp_path / "x", state)
    found = ea.interop.read_safetensors(str(tmp_path / "x"))
    assert found.keys() == state.keys() and list(tmp_path.iterdir()) == [tmp_path / "x"]
    for name, array in state.items():
        assert found[name].dtype == np.asarray(array).dtype.newbyteorder("=") and found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array, strict=name != "big-endian")


def test_a_file_has_the_bytes_of_the_format(tmp_path):
    path = tmp_path / "x"
    state = {"b": np.array([1, 2], np.uint8), "w": np.array([[1.0, -2.0]], np.float32)}
    ea.interop.write_safetensors(path, state, metadata={"format": "pt"})
    header = (
        b'{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},'
        b'"b":{"dtype":"U8","shape":[2],"data_offsets":[8,10]}}'
    )
    header += b" " * (-len(header) % 8)
    values = b"\x00\x00\x80\x3f\x00\x00\x00\xc0" + b"\x01\x02"
    assert path.read_bytes() == len(header).to_bytes(8, "little") + header + values


def test_arrays_may_be_in_any_order_in_the_file_and_empty_ones_anywhere(tmp_path):
    data = np.array([1, 2, 3], np.float32).tobytes()
    header = {"late": entry(4, 12, 2), "none": entry(4, 4, 0, 7), "early": entry(0, 4), "end": entry(12, 12, 0)}
    found = ea.interop.read_safetensors(written(tmp_path / "x", header, data))
    assert list(found) == list(header)
    assert found["early"] == 1 and found["late"].tolist() == [2, 3] and found["none"].shape == (0, 7)
    assert ea.interop.read_safetensors(written(tmp_path / "y", b"{}   ")) == {}


ONE, FOUR = {"a": entry(0, 4, 1)}, bytes(4)
DAMAGED = {
    "no header": (b"", b"", 0, "does not begin with {"),
    "a header longer than the file": (ONE, FOUR, 10_000, "promises a header of 10000"),
    "a header of exabytes": (ONE, FOUR, 2**63, "promises a header"),
    "no brace first": (b' {"a": 1}', b"", None, "does not begin with {"),
    "no JSON": (b"{'a': 1}", b"", None, "cannot be read"),
    "no UTF-8": (b'{"\xff": 1}', b"", None, "utf-8"),
    "nested too deep": (b'{"a":' + b"[" * 100_000, b"", None, "a file that cannot be read"),
    "a number of too many digits": (b'{"a":' + b"1" * 10_000 + b"}", b"", None, "cannot be read"),
    "a name twice": (
        b'{"a":' + json.dumps(ONE["a"]).encode() + b',"a":' + json.dumps(ONE["a"]).encode() + b"}",
        FOUR,
        None,
        "'a' twice",
    ),
    "a key of an entry twice": (
        b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        FOUR,
        None,
        "'dtype' twice",
    ),
    "NaN for a size": (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', FOUR, None, "holds NaN"),
    "metadata of numbers": ({"__metadata__": {"a": 1}} | ONE, FOUR, None, "more than texts"),
    "metadata that is a list": ({"__metadata__": []} | ONE, FOUR, None, "more than texts"),
    "an entry that is a list": ({"a": []}, FOUR, None, "entry of 'a'"),
    "an entry with more keys": ({"a": ONE["a"] | {"more": 1}}, FOUR, None, "entry of 'a'"),
    "an unknown type": ({"a": entry(0, 4, 8, dtype="F4")}, FOUR, None, "of the type F4"),
    "a type that is a list": ({"a": entry(0, 4, 1, dtype=["F32"])}, FOUR, None, "of the type"),
    "a negative size": ({"a": entry(0, 4, -1)}, FOUR, None, "shape of 'a'"),
    "a size that is true": ({"a": entry(0, 4, True)}, FOUR, None, "shape of 'a'"),
    "a size that is no integer": ({"a": entry(0, 4, 1.0)}, FOUR, None, "shape of 'a'"),
    "three offsets": ({"a": ONE["a"] | {"data_offsets": [0, 4, 4]}}, FOUR, None, "data_offsets of 'a'"),
    "an end before the first byte": ({"a": ONE["a"] | {"data_offsets": [4, 0]}}, FOUR, None, "data_offsets of 'a'"),
    "more values than bytes": ({"a": entry(0, 4, 2)}, FOUR, None, r"shape \(2,\)"),
    "a size beyond all numbers": ({"a": entry(0, 4, 2**62, 2**62)}, FOUR, None, "in 4 bytes"),
    "a gap": ({"a": entry(0, 4, 1), "b": entry(8, 12, 1)}, bytes(12), None, "'b' begins at byte 8, where 4"),
    "an overlap": ({"a": entry(0, 8, 2), "b": entry(4, 12, 2)}, bytes(12), None, "'b' begins at byte 4, where 8"),
    "bytes before the first array": ({"a": entry(4, 8, 1)}, bytes(8), None, "begins at byte 4, where 0"),
    "bytes after the last array": (ONE, bytes(5), None, "and it has"),
    "bytes cut off": (ONE, bytes(3), None, "and it has"),
    "an empty array of too many axes": ({"a": entry(0, 0, *[0] * 70)}, b"", None, "cannot be read"),
    "an empty array of too large axes": ({"a": entry(0, 0, 0, 2**70)}, b"", None, "cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_refused_by_its_name(name, tmp_path):
    header, data, length, message = DAMAGED[name]
    path = written(tmp_path / "model.safetensors", header, data, length)
    with pytest.raises(ValueError, match=rf"model\.safetensors: got .*{message}") as caught:
        ea.interop.read_safetensors(path)
    assert type(caught.value).__name__ == "BadInput" and len(str(caught.value)) < 800


def test_a_file_that_promises_much_costs_what_it_holds(tmp_path):
    path = written(tmp_path / "x", {"a": entry(0, 2**40, 2**38)}, FOUR)
    tracemalloc.start()
    with pytest.raises(ValueError, match="describes 10995"):
        ea.interop.read_safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    with pytest.raises(FileNotFoundError):
        ea.interop.read_safetensors(tmp_path / "nowhere")


def test_every_file_cut_short_or_with_a_changed_byte_of_its_header_is_read_or_refused(tmp_path):
    path = tmp_path / "x"
    ea.interop.write_safetensors(path, {"a": np.arange(3.0), "b": np.ones((2, 2), np.int8)})
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="expected a whole safetensors file"):
            ea.interop.read_safetensors(path)
    refused = 0
    for place in rng.integers(0, len(whole) - 28, 100):
        path.write_bytes(whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :])
        try:
            ea.interop.read_safetensors(path)
        except ValueError as error:
            refused += "expected a whole safetensors file" in str(error)
    assert refused > 60


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("state", "metadata", "message"),
    [
        ({"a": np.ones(2, complex)}, None, r"state\['a'\]: got an array of complex128"),
        ({"a": "text"}, None, r"state\['a'\]: got a str"),
        ({"__metadata__": np.ones(2)}, None, "state: got the name '__metadata__'"),
        ({"a": {"b": np.ones(2)}}, None, r"state\['a'\]: got a mapping"),
        ([np.ones(2)], None, "state: got a list"),
        ({"a": np.ones(2)}, {"epoch": 3}, "metadata: got {'epoch': 3}"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_and_an_older_file_stays(state, metadata, message, tmp_path):
    (tmp_path / "x").write_bytes(b"older")
    with pytest.raises(ValueError, match=message):
        ea.interop.write_safetensors(tmp_path / "x", state, metadata=metadata)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"older"]
