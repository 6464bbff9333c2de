"""Weights of another library become a checkpoint with our names."""

from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
convert_weights = import_file("convert_weights", ROOT / "tools" / "convert_weights.py")


def convert(config, source, target):
    convert_weights.main(["--config-file", str(config), str(source), str(target), "MODEL.RPN_ONLY", "True"])


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "MODEL:\n  BACKBONE:\n    CONV_BODY: R-18-FPN\n  RESNETS:\n    BACKBONE_OUT_CHANNELS: 8\n"
        "  RPN:\n    USE_FPN: True\n    ANCHOR_STRIDE: (4, 8, 16, 32, 64)\n"
    )
    return path


def test_only_what_was_in_the_file_is_written(tmp_path, config):
    source = resnet18(weights=None)
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    convert(config, tmp_path / "resnet18.pth", tmp_path / "ours.pth")
    weights = torch.load(tmp_path / "ours.pth", weights_only=True)["model"]
    assert weights["backbone.body.stem.conv1.weight"].equal(source.conv1.weight)
    assert {name.split(".")[1] for name in weights} == {"body"} and len(weights) == 100


def test_a_file_of_another_network_is_the_users_error(tmp_path, config):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth: none of its 1 tensors fits"):
        convert(config, tmp_path / "other.pth", tmp_path / "ours.pth")
    assert not (tmp_path / "ours.pth").exists()
