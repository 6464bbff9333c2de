"""Pickles of arrays come back as they were; whatever else a file asks for is refused and does not happen."""

import collections
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.safe_pickle import load_arrays


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("pickles") / "weights.pkl"


def load(path, data):
    path.write_bytes(data)
    return load_arrays(path)


def refusal(path, data):
    """The one line with which a pickle is refused."""
    with pytest.raises(UserError) as caught:
        load(path, data)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


DTYPES = st.sampled_from(["<f4", ">f4", "<f8", "<f2", "<i8", ">i4", "|u1", "|b1"])


@given(
    value=arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    fortran=st.booleans(),
)
def test_arrays_of_every_protocol_come_back(path, value, protocol, fortran):
    value = np.asfortranarray(value) if fortran else value
    data = {"model": collections.OrderedDict(w=value), "names": ["é", (1, 2.5, None, True)], "scalar": np.float64(3)}
    loaded = load(path, pickle.dumps(data, protocol=protocol))
    assert loaded["names"] == data["names"] and loaded["scalar"] == 3
    assert loaded["model"]["w"].dtype == value.dtype
    np.testing.assert_array_equal(loaded["model"]["w"], value)


SMALL = pickle.dumps({"a_w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": {"c": [1, "x"]}}, protocol=2)


@given(position=st.integers(0, len(SMALL) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(path, position, byte):
    changed = bytearray(SMALL)
    changed[position] = byte
    try:
        load(path, bytes(changed))
    except UserError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_truncation_is_an_error(path, protocol):
    data = pickle.dumps({"a_w": np.arange(3, dtype=np.float32)}, protocol=protocol)
    for length in range(0, len(data), 3):
        assert "is damaged" in refusal(path, data[:length])


@given(data=st.binary(max_size=60))
def test_noise_is_read_or_refused(path, data):
    try:
        load(path, data)
    except UserError as error:
        assert "\n" not in str(error)


class Bomb:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "function, arguments, name",
    [
        (os.mkdir, ("exploded",), "posix.mkdir"),
        (eval, ("1",), "builtins.eval"),
        (getattr, ("", "upper"), "builtins.getattr"),
        (np.load, ("x",), "numpy.load"),
        (bytearray, (10**12,), "builtins.bytearray"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_call_is_named_and_not_made(path, function, arguments, name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps({"w": Bomb(function, *arguments)}, protocol=protocol).replace(b"nt\n", b"posix\n")
    assert name.rpartition(".")[2] in refusal(path, data).replace("nt.mkdir", "posix.mkdir")
    assert list(tmp_path.iterdir()) == []


def test_a_name_with_odd_characters_is_shown_on_one_line(path):
    assert r"it asks for o\ns.\x1bmü" in refusal(path, b"\x80\x04\x8c\x03o\ns\x8c\x04\x1bm\xc3\xbc\x93.")


def test_arrays_of_objects_and_records_are_refused(path):
    assert "an array of objects" in refusal(path, pickle.dumps(np.array([{}], dtype=object)))
    for odd in (np.zeros(1, [("a", "f4")]), np.array(["x"]), np.zeros(1, "M8[s]"), np.zeros(1, complex)):
        assert "was refused" in refusal(path, pickle.dumps(odd))


def test_functions_that_make_arrays_do_not_come_out_themselves(path):
    assert "numpy.dtype" in refusal(path, b"\x80\x02cnumpy\ndtype\n.")


def test_a_dtype_cannot_be_called_as_a_function(path):
    assert "was refused" in refusal(path, b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R" + b")R.")


def nested_tuples(depth):
    return b"\x80\x02}" + b")" + b"\x85" * depth + b"K\x01s."


@pytest.mark.parametrize("depth", [10, 150_000])
def test_nested_tuples_are_never_hashed(path, depth):
    assert "key" in refusal(path, nested_tuples(depth))


def test_deep_nesting_is_refused(path):
    assert "deeper" in refusal(path, b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".")


def test_a_list_within_itself_is_refused(path):
    loop = []
    loop.append(loop)
    assert "deeper" in refusal(path, pickle.dumps(loop))


def test_a_small_file_of_a_billion_references_is_refused(path):
    value = []
    for _ in range(20):
        value = [value] * 10
    assert "has more than" in refusal(path, pickle.dumps(value))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.",  # bytes of a terabyte
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b"x.",  # a bytearray of a terabyte
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",  # the last of two billion things to remember
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01b\x87R.",
    ],
)
def test_a_few_bytes_take_little_memory(path, data):
    path.write_bytes(data)
    tracemalloc.start()
    try:
        load_arrays(path)
    except UserError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 10 << 20


def test_bytes_that_are_used_again_and_again_are_refused(path):
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rq\x01"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    state = b"(K\x01M\xe8\x03\x85" + dtype + b"\x89T\xe8\x03\x00\x00" + bytes(1000) + b"tq\x02"
    assert load(path, b"\x80\x02" + array + state + b"b.").shape == (1000,)
    assert "more memory than the file has" in refusal(
        path, b"\x80\x02" + array + state + b"b" + b"h\x01h\x02b" * 10 + b"."
    )


def test_an_array_of_another_size_than_its_bytes_is_damaged(path):
    data = pickle.dumps(np.zeros(3, np.float32), protocol=2).replace(b"K\x03\x85", b"K\x04\x85")
    assert "has 12 bytes" in refusal(path, data)


def test_a_missing_file_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.pkl"):
        load_arrays(tmp_path / "none.pkl")
