"""Catalog names, the cache and torchvision's names."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.utils import model_zoo
from maskrcnn_benchmark.utils.errors import UserError


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_catalog_names_lead_to_torchvisions_addresses(depth):
    url = model_zoo.catalog_url(f"catalog://ImageNetPretrained/torchvision/R-{depth}")
    assert url.startswith(f"https://download.pytorch.org/models/resnet{depth}-")


def test_an_unknown_name_is_the_users_error():
    with pytest.raises(UserError, match="R-34"):
        model_zoo.catalog_url("catalog://ImageNetPretrained/torchvision/R-35")


def test_a_file_is_downloaded_once(tmp_path, monkeypatch):
    calls = []

    def download(url, path, hash_prefix, progress):
        calls.append((url, hash_prefix, progress))
        torch.save({}, path)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        path = model_zoo.cache_url("https://example.org/a/w-0123abcd.pth?x=1")
        assert path == str(tmp_path / "checkpoints" / "w-0123abcd.pth")
    assert calls == [("https://example.org/a/w-0123abcd.pth?x=1", "0123abcd", True)]


def test_the_classifier_goes_and_the_stem_is_named():
    names = ("conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "fc.weight", "fc.bias")
    state = {name: torch.ones(1) for name in names}
    assert model_zoo.is_torchvision_resnet(state)
    fitted = model_zoo.fit_torchvision_resnet(state, nn.BatchNorm2d(1))
    assert sorted(fitted) == ["layer1.0.conv1.weight", "stem.bn1.running_var", "stem.conv1.weight"]
