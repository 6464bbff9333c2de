"""Every backbone that a config can name."""

import copy

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.backbone import Backbone, build_backbone, promised_strides
from maskrcnn_benchmark.utils.errors import UserError


def options(*pairs):
    clone = cfg.clone()
    clone.merge_from_list(list(pairs))
    return clone


def thin(name, *pairs):
    return options(
        *("MODEL.BACKBONE.CONV_BODY", name, "MODEL.RESNETS.RES2_OUT_CHANNELS", 32),
        *("MODEL.RESNETS.STEM_OUT_CHANNELS", 16, "MODEL.RESNETS.WIDTH_PER_GROUP", 8),
        *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 32),
        *pairs,
    )


@pytest.mark.parametrize("name", sorted(name for name in registry.BACKBONES if not name.startswith("timm-")))
def test_default_config_builds_and_tells_its_channels(name):
    with torch.device("meta"):  # shapes without the arithmetic
        backbone = build_backbone(options("MODEL.BACKBONE.CONV_BODY", name))
        features = backbone(torch.rand(1, 3, 224, 256))
    expected = [(1, backbone.out_channels, -(-224 // s), -(-256 // s)) for s in backbone.strides]
    assert [tuple(f.shape) for f in features] == expected
    assert backbone.strides == promised_strides(name)
    ends = {"C4": (16,), "C5": (32,), "ET": (8, 16, 32, 64, 128), "PN": (4, 8, 16, 32, 64)}
    assert backbone.strides == ends[name[-2:]]


def test_a_dilated_last_stage_has_half_the_stride():
    backbone = build_backbone(thin("R-50-C5", "MODEL.RESNETS.RES5_DILATION", 2))
    (features,) = backbone(torch.rand(1, 3, 64, 96))
    assert backbone.strides == (16,) and features.shape[2:] == (4, 6)
    assert promised_strides("no such backbone") is None


@pytest.mark.parametrize("name", ["R-34-FPN", "R-50-C4", "R-50-C5", "R-50-FPN-RETINANET"])
def test_thin_trunks(name):
    features = build_backbone(thin(name))(torch.rand(2, 3, 64, 96))
    assert all(torch.isfinite(f).all() and f.std() > 0 for f in features)
    channels = {"C4": 128, "C5": 256}.get(name[-2:], 32)
    assert [f.shape[1] for f in features] == [channels] * len(features)


@pytest.mark.parametrize("name", ["R-18-FPN", "R-50-FPN"])
@pytest.mark.parametrize("norm", ["FixedBatchNorm", "GN", "BatchNorm"])
def test_norm_variants_train(name, norm):
    config = thin(
        name,
        *("MODEL.RESNETS.TRANS_FUNC", f"BottleneckWith{norm}", "MODEL.RESNETS.STEM_FUNC", f"StemWith{norm}"),
        *("MODEL.GROUP_NORM.NUM_GROUPS", 4, "MODEL.FPN.USE_GN", norm == "GN", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0),
    )
    backbone = build_backbone(config).train()
    sum(f.square().mean() for f in backbone(torch.rand(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in backbone.parameters())
    trained_norms = [name for name, _ in backbone.named_parameters() if ".bn1.weight" in name]
    assert bool(trained_norms) == (norm != "FixedBatchNorm")


def test_basic_blocks_have_the_standard_width_by_default():
    with torch.device("meta"):
        body = build_backbone(options("MODEL.BACKBONE.CONV_BODY", "R-18-FPN")).body
    assert [tuple(getattr(body, f"layer{i}")[0].conv1.weight.shape[:2]) for i in (1, 2, 3, 4)] == [
        *((64, 64), (128, 64), (256, 128), (512, 256))
    ]


def test_frozen_parts_are_not_trained_and_need_no_gradient():
    backbone = build_backbone(thin("R-50-FPN", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 2))
    sum(f.sum() for f in backbone(torch.rand(1, 3, 64, 64))).backward()
    frozen = {n.split(".")[1] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"stem", "layer1"}
    assert not backbone.body.layer1(backbone.body.stem(torch.rand(1, 3, 64, 64))).requires_grad
    assert all(p.grad is None for p in backbone.body.layer1.parameters())


def test_statistics_of_frozen_parts_stay():
    config = thin("R-18-FPN", "MODEL.RESNETS.TRANS_FUNC", "BasicBlockWithBatchNorm")
    config.merge_from_list(["MODEL.RESNETS.STEM_FUNC", "StemWithBatchNorm", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 2])
    backbone = build_backbone(config).train()
    before = copy.deepcopy(backbone.state_dict())
    backbone(torch.rand(2, 3, 64, 64) + 1)
    means = {name: value for name, value in backbone.state_dict().items() if "running_mean" in name}
    moved = {name.split(".")[1] for name, value in means.items() if (value != before[name]).any()}
    assert moved == {"layer2", "layer3", "layer4"}


def test_stages_are_frozen_in_the_order_of_computation():
    backbone = build_backbone(thin("R-18-FPN", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0))
    assert [len(list(stage.parameters())) > 0 for stage in backbone.stages()] == [True] * 5
    assert all(p.requires_grad for p in backbone.parameters())
    backbone.freeze(3)
    frozen = {n.split(".")[1] for n, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {"stem", "layer1", "layer2"}
    training = [stage.training for stage in backbone.train().stages()]
    assert training == [False, False, False, True, True] and backbone.fpn.training


class Plain(torch.nn.Conv2d):
    """The least that a backbone of one's own has."""

    out_channels = 8

    def forward(self, x):
        return [super().forward(x)]


class Staged(Backbone):
    """A backbone of one's own with two stages that can be frozen."""

    out_channels, strides = 8, (4, 8, 16, 32)

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 4, 4), torch.nn.BatchNorm2d(8)

    def stages(self):
        return [self.first, self.second]

    def forward(self, x):
        return [torch.nn.functional.avg_pool2d(self.second(self.first(x)), 2**i) for i in range(4)]


def test_of_a_backbone_of_ones_own_the_log_says_whether_anything_is_frozen(monkeypatch, caplog):
    for name, build in (("plain", lambda cfg: Plain(3, 8, 4, 4)), ("staged", lambda cfg: Staged())):
        monkeypatch.setitem(registry.BACKBONES, name, build)
    config = options("MODEL.BACKBONE.CONV_BODY", "staged", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 1)
    staged = build_backbone(config)
    assert [p.requires_grad for p in staged.parameters()] == [False, False, True, True] and not caplog.records
    config.MODEL.BACKBONE.CONV_BODY = "plain"
    plain = build_backbone(config)
    assert all(p.requires_grad for p in plain.parameters()) and plain.strides is None
    assert "FREEZE_CONV_BODY_AT 1 freezes nothing of plain" in caplog.text
    caplog.clear()
    config.MODEL.BACKBONE.FREEZE_CONV_BODY_AT = 0
    assert build_backbone(config) is not None and not caplog.records


def test_a_builder_may_promise_the_strides_of_its_maps(monkeypatch):
    def build(cfg):
        return Plain(3, 8, 4, 4)

    build.strides = (4,)
    monkeypatch.setitem(registry.BACKBONES, "plain", build)
    assert promised_strides("plain") == (4,)
    assert build_backbone(options("MODEL.BACKBONE.CONV_BODY", "plain")).strides == (4,)


def test_p6_of_retinanet_reads_c5_or_p5():
    assert build_backbone(thin("R-50-FPN-RETINANET")).fpn.top_blocks.p6.in_channels == 256
    config = thin("R-50-FPN-RETINANET", "MODEL.RETINANET.USE_C5", False)
    assert build_backbone(config).fpn.top_blocks.p6.in_channels == 32


@pytest.mark.parametrize("modulated, channels", [(False, 18), (True, 27)])
def test_deformable_stages(modulated, channels):
    config = thin("R-50-FPN", "MODEL.RESNETS.STAGE_WITH_DCN", (False, True, True, True))
    config.merge_from_list(["MODEL.RESNETS.WITH_MODULATED_DCN", modulated])
    backbone = build_backbone(config)
    shapes = {n: tuple(v.shape) for n, v in backbone.state_dict().items() if ".offset.weight" in n}
    assert len(shapes) == 4 + 6 + 3
    assert shapes["body.layer2.0.conv2.offset.weight"] == (channels, 16, 3, 3)
    assert backbone(torch.rand(1, 3, 64, 64))[0].shape == (1, 32, 16, 16)


def test_eval_with_gradients_survives_a_deepcopy():
    backbone = copy.deepcopy(build_backbone(thin("R-50-FPN"))).eval()
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    sum(f.sum() for f in backbone(x)).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "pairs, message",
    [
        (("MODEL.BACKBONE.CONV_BODY", "R-51-FPN"), "MODEL.BACKBONE.CONV_BODY.*did you mean R-"),
        (("MODEL.RESNETS.TRANS_FUNC", "BottleneckWithBN"), "MODEL.RESNETS.TRANS_FUNC.*BottleneckWithBatchNorm"),
        (("MODEL.RESNETS.STEM_FUNC", "BottleneckWithGN"), "MODEL.RESNETS.STEM_FUNC.*StemWithGN"),
        (("MODEL.RESNETS.TRANS_FUNC", "BasicBlockWithGN"), "R-50 is made of bottlenecks.*BottleneckWithGN"),
    ],
)
def test_a_wrong_name_is_the_users_error(pairs, message):
    with pytest.raises(UserError, match=message):
        build_backbone(options(*pairs))


@pytest.mark.parametrize(
    "pairs, scale",
    [
        ((), 58.0),
        (("INPUT.PIXEL_STD", [57.4, 57.1, 58.4]), 1.0),
        (("INPUT.TO_BGR255", False, "INPUT.PIXEL_STD", [0.229, 0.224, 0.225]), 1.0),
    ],
)
def test_random_trunks_with_frozen_norms_start_in_range_whatever_the_pixels_scale(pairs, scale):
    torch.manual_seed(0)
    features = build_backbone(thin("R-50-FPN", *pairs))(scale * torch.randn(1, 3, 64, 96))
    assert all(0.01 < level.std() < 10 for level in features)
