"""Safetensors files come back as they were written; damaged ones are named and cost no memory."""

import json
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.safetensors_file import DTYPES, load_safetensors
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint

KINDS = {dtype: kind for kind, dtype in DTYPES.items()}


def written(path, tensors, **changes):
    """Write tensors as the format's description has it; `changes` replace parts of the first one's entry."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        numbers = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        place = [len(data), len(data) + len(numbers)]
        header[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place, **changes}
        changes, data = {}, data + numbers
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "model.safetensors"


def test_tensors_of_every_kind_come_back(path):
    tensors = {
        "odd": torch.tensor([True, False, True]),
        **{kind: torch.arange(6).view(2, 3).to(dtype) for kind, dtype in DTYPES.items()},
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
    }
    loaded = load_safetensors(written(path, tensors))
    assert list(loaded) == list(tensors)
    assert all(each.equal(tensors[name]) and each.dtype == tensors[name].dtype for name, each in loaded.items())


def test_the_content_tells_one_of_another_name(tmp_path):
    weights = read_checkpoint(written(tmp_path / "weights.bin", {"layer.weight": torch.ones(2)}))
    assert weights["layer.weight"].equal(torch.ones(2))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"dtype": "F4"}, "its tensor a has numbers of the type F4"),
        ({"dtype": ["F32"]}, "of the type"),
        ({"shape": [3]}, r"its tensor a of shape \[3\] is not as long as it says"),
        ({"shape": [-2]}, "the size of its tensor a is odd"),
        ({"shape": [2**40], "data_offsets": [0, 2**42]}, "it is cut off: its tensors end at byte 4398046511104 of 16"),
        ({"data_offsets": [8, 16]}, None),
        ({"data_offsets": "all"}, "odd"),
    ],
)
def test_what_does_not_lie_in_the_file_is_refused(path, changes, message):
    written(path, {"a": torch.ones(2), "b": torch.ones(2)}, **changes)
    if message is None:  # two tensors of the same numbers
        load_safetensors(path)
        written(path, {"a": torch.ones(2), "b": torch.ones(2), "c": torch.ones(0)}, data_offsets=[0, 16], shape=[4])
        message = "share their numbers"
    with pytest.raises(UserError, match=message):
        load_safetensors(path)


def test_a_truncation_is_an_error(path):
    whole = written(path, {"a": torch.ones(4), "b": torch.ones(2)}).read_bytes()
    for length in range(0, len(whole), 13):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"model\.safetensors is (damaged or no safetensors file|empty)"):
            read_checkpoint(path)


@given(data=st.data())
def test_a_changed_byte_is_read_or_refused(path, data):
    changed = bytearray(written(path, {"a": torch.ones(4), "b": torch.ones(2)}).read_bytes())
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(changed))
    try:
        load_safetensors(path)
    except UserError as error:
        assert "\n" not in str(error)
