"""Safetensors files come back as they were written; damaged ones are named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.safetensors_file import load_safetensors
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint

WHOLE = save({"a": torch.ones(4), "b": torch.ones(2)}, {"format": "pt"})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "model.safetensors"


def test_tensors_come_back(path):
    tensors = {
        "odd": torch.tensor([True, False, True]),
        "half": torch.arange(6).view(2, 3).bfloat16(),
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
    }
    path.write_bytes(save(tensors))
    loaded = load_safetensors(path)
    assert loaded.keys() == tensors.keys()
    assert all(each.equal(tensors[name]) and each.dtype == tensors[name].dtype for name, each in loaded.items())


def test_the_content_tells_one_of_another_name(tmp_path):
    (tmp_path / "weights.bin").write_bytes(WHOLE)
    assert read_checkpoint(tmp_path / "weights.bin")["b"].equal(torch.ones(2))


@pytest.mark.parametrize("change", [(b'"F32"', b'"F39"'), (b"[4]", b"[5]"), (b"[0,16]", b"[0,99]")])
def test_what_does_not_lie_in_the_file_is_refused(path, change):
    assert change[0] in WHOLE
    path.write_bytes(WHOLE.replace(*change))
    with pytest.raises(UserError, match=r"model\.safetensors is damaged or no safetensors file"):
        load_safetensors(path)


def test_a_truncation_is_an_error(path):
    for length in range(0, len(WHOLE), 13):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(UserError, match=r"model\.safetensors is (damaged or no safetensors file|empty)"):
            read_checkpoint(path)


@given(data=st.data())
def test_a_changed_byte_is_read_or_refused(path, data):
    changed = bytearray(WHOLE)
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(changed))
    try:
        load_safetensors(path)
    except UserError as error:
        assert "\n" not in str(error)
