"""Which config is taken when none is named."""

import pytest
import torch

from maskrcnn_benchmark.config import selection


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("data", [False, True])
def test_full_size_needs_a_gpu_and_the_data_set(tmp_path, monkeypatch, cuda, data):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    if data:
        (tmp_path / "detail").mkdir()
        (tmp_path / "detail" / "annotations.json").write_text("{}")
    path, reason = selection.choose_config(tmp_path)
    assert path == (selection.FULL_SIZE if cuda and data else selection.MINI)
    assert ("there is no CUDA device" in reason) == (not cuda)
    assert ("there is no " + str(tmp_path / "detail" / "annotations.json") in reason) == (not data)
    assert "\n" not in reason


def test_the_embedded_data_set_is_taken_where_the_user_wants_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    (tmp_path / "detail").mkdir()
    (tmp_path / "detail" / "annotations.json").write_text("{}")
    path, reason = selection.choose_config(tmp_path, "cpu")
    assert path == selection.MINI and reason == "MODEL.DEVICE is cpu, so the embedded data set is used"
