"""Folding a batch norm into a convolution changes no number."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.layers import FrozenBatchNorm2d
from maskrcnn_benchmark.modeling.backbone import build_backbone
from maskrcnn_benchmark.predict.folding import fold_batch_norm


def trunk(block, norm):
    cfg = default_cfg.clone()
    body = "R-50-FPN" if block == "Bottleneck" else "R-18-FPN"
    cfg.merge_from_list(
        [
            *("MODEL.BACKBONE.CONV_BODY", body, "MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16),
            *("MODEL.RESNETS.STEM_FUNC", f"StemWith{norm}", "MODEL.RESNETS.TRANS_FUNC", f"{block}With{norm}"),
            *("MODEL.RESNETS.RES2_OUT_CHANNELS", 32, "MODEL.RESNETS.WIDTH_PER_GROUP", 8),
            *("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0),
        ]
    )
    torch.manual_seed(0)
    model = build_backbone(cfg).double().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | FrozenBatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return model


@pytest.mark.parametrize(
    ("block", "norm"),
    [
        *(("Bottleneck", "FixedBatchNorm"), ("Bottleneck", "BatchNorm"), ("BasicBlock", "FixedBatchNorm")),
        *(("BasicBlock", "BatchNorm"), ("BasicBlock", "SyncBatchNorm")),
    ],
)
def test_a_trunk_answers_the_same(block, norm):
    model = trunk(block, norm)
    norms = sum(isinstance(module, nn.modules.batchnorm._BatchNorm | FrozenBatchNorm2d) for module in model.modules())
    images = torch.rand(1, 3, 64, 96, dtype=torch.float64) * 100
    with torch.no_grad():
        before = model(images)
        assert fold_batch_norm(model) == norms > 20
        after = model(images)
    for ours, theirs in zip(after, before):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    assert not any(isinstance(m, nn.BatchNorm2d | FrozenBatchNorm2d) for m in model.modules())


def test_other_norms_and_lone_ones_stay():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.BatchNorm2d(8)).eval()
    assert fold_batch_norm(model) == 0 and isinstance(model[2], nn.BatchNorm2d)


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match=r"call model\.eval"):
        fold_batch_norm(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
