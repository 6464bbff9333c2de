"""Backbones of timm: the same maps as timm's own, at any size, under both pyramids."""

import functools

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.modeling.backbone import bind_backbone, build_backbone
from maskrcnn_benchmark.modeling.detector.detectors import compile_backbone
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_serialization import load_state_dict
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.weights.fitting_weights import fitting_weights
from maskrcnn_benchmark.utils.weights.timm_weights import from_efficientnet_pytorch
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint

timm = pytest.importorskip("timm")

HIERARCHICAL = [
    "resnet18",
    "convnext_atto",
    "convnextv2_atto",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "tf_efficientnet_lite0",
    "mobilenetv4_conv_small",
    "hiera_tiny_224",
    "regnety_002",
]
PLAIN = [
    "vit_tiny_patch16_224",
    "vit_small_patch14_dinov2",
    "vit_small_patch16_dinov3",
    "vit_small_patch14_reg4_dinov2",
]


def make_cfg(name, *options, body="timm-FPN"):
    cfg = default_cfg.clone()
    cfg.merge_from_list(["MODEL.BACKBONE.CONV_BODY", body, "MODEL.BACKBONE.TIMM.NAME", name])
    cfg.merge_from_list(["MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0, *options])
    return cfg


def build(name, *options, **more):
    torch.manual_seed(0)
    return build_backbone(make_cfg(name, *options, **more)).eval()


@pytest.fixture(scope="module")
def built():
    """A function that builds the backbone of a name once."""
    return functools.cache(lambda name: build(name, "INPUT.MAX_SIZE_TRAIN", 160, "INPUT.MAX_SIZE_TEST", 130))


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_maps_are_those_of_timm(name, built):
    backbone = built(name).eval()
    options = {"img_size": 160} if "hiera" in name else {"strict_img_size": False} if "swin" in name else {}
    indices = backbone.body.indices
    whole = timm.create_model(name, features_only=True, out_indices=indices, feature_cls="getter", **options)
    whole.model.load_state_dict(backbone.body.model.state_dict())
    images = torch.randn(1, 3, 160, 160)
    with torch.no_grad():
        expected, found = whole.eval()(images), backbone.body(images)
    assert [each.shape[1] for each in found] == whole.feature_info.channels()
    assert [160 // each.shape[2] for each in found] == [4, 8, 16, 32] == whole.feature_info.reduction()
    for ours, theirs in zip(found, expected):
        theirs = theirs if theirs.shape == ours.shape else theirs.permute(0, 3, 1, 2)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_the_map_of_a_plain_transformer_is_its_patches_after_the_last_norm(name, built):
    backbone = built(name).eval()
    body, side = backbone.body.model, 8 * backbone.patch
    images = torch.randn(1, 3, side, side + backbone.patch)
    with torch.no_grad():
        (found,), tokens = backbone.body(images), body.forward_features(images)
    patches = tokens[:, body.num_prefix_tokens :].unflatten(1, (8, 9)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, patches, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", HIERARCHICAL + PLAIN)
def test_levels_of_images_of_any_size_and_a_training_step(name, built):
    backbone = built(name).train()
    levels = backbone(torch.randn(1, 3, 75, 130))
    shapes = [(1, 16, 19, 33), (1, 16, 10, 17), (1, 16, 5, 9), (1, 16, 3, 5), (1, 16, 2, 3)]
    assert [tuple(level.shape) for level in levels] == shapes
    sum(level.square().mean() for level in levels).backward()
    without = {name for name, each in backbone.named_parameters() if each.grad is None}
    assert all("mask_token" in name for name in without), without
    assert all(each.grad.isfinite().all() for each in backbone.parameters() if each.grad is not None)
    backbone.zero_grad()


def test_an_image_that_is_larger_than_a_fixed_size_is_refused(built):
    with pytest.raises(UserError, match="161x20 pixels is larger than the 160x160"):
        built("hiera_tiny_224")(torch.zeros(1, 3, 20, 161))


def test_retinanet_has_levels_of_strides_8_to_128():
    for name in ("convnext_atto", "vit_tiny_patch16_224"):
        backbone = build(name, body="timm-FPN-RETINANET")
        with torch.no_grad():
            assert [level.shape[-1] for level in backbone(torch.zeros(1, 3, 64, 128))] == [16, 8, 4, 2, 1]


def test_frozen_stages_learn_nothing_and_stay_in_evaluation():
    backbone = build("resnet18", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 2).train()
    frozen = {name.split(".")[2] for name, each in backbone.named_parameters() if not each.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    assert not backbone.body.model.layer1.training and backbone.body.model.layer2.training


def test_the_blocks_of_a_plain_transformer_are_its_stages_and_all_can_be_frozen():
    some = build("vit_tiny_patch16_224", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 4)
    blocks = {name.split(".")[3] for name, each in some.named_parameters() if ".blocks." in name and each.requires_grad}
    assert blocks == {str(index) for index in range(3, 12)}
    assert not some.body.model.pos_embed.requires_grad
    whole = build(
        "vit_tiny_patch16_224", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 200, "MODEL.BACKBONE.TIMM.DROP_PATH", 0.5
    )
    assert {name.split(".")[0] for name, each in whole.named_parameters() if each.requires_grad} == {"fpn"}
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(whole.train()(images)[0], whole.train()(images)[0])  # no path is left out


def test_batch_norms_keep_their_statistics_unless_told_to_learn():
    images = torch.randn(2, 3, 64, 64)
    for keeps in (True, False):
        backbone = build("resnet18", "MODEL.BACKBONE.TIMM.NORM_EVAL", keeps).train()
        before = backbone.body.model.bn1.running_mean.clone()
        backbone(images)
        assert torch.equal(before, backbone.body.model.bn1.running_mean) is keeps


@pytest.mark.parametrize(
    ("name", "frozen"),
    [("vit_tiny_patch16_224", 0), ("convnext_atto", 0), ("convnext_atto", 3), ("convnext_atto", 200)],
)
def test_gradient_checkpointing_changes_no_gradient(name, frozen):
    images, gradients = torch.randn(1, 3, 32, 32), []
    for again in (False, True):
        options = "MODEL.BACKBONE.TIMM.GRAD_CHECKPOINTING", again, "MODEL.BACKBONE.TIMM.DROP_PATH", 0.3
        backbone = build(name, *options, "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", frozen).train()
        torch.manual_seed(1)  # the paths that are left out are those of the first pass
        sum(level.square().sum() for level in backbone(images)).backward()
        gradients.append({key: p.grad for key, p in backbone.named_parameters() if p.grad is not None})
    assert any(key.startswith("body.") for key in gradients[0]) == (frozen < 200)
    torch.testing.assert_close(*gradients)


@pytest.mark.slow  # a minute of tracing
@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_a_compiled_backbone_has_the_same_gradients_at_each_size(name):
    found = []
    for compiled in (False, True):
        backbone = build(name)
        if compiled:
            torch._dynamo.reset()
            compile_backbone(backbone, backend="aot_eager")
        images = torch.Generator().manual_seed(0)
        for size in ((64, 96), (96, 64)):
            levels = backbone(torch.randn(1, 3, *size, generator=images))
            sum(level.square().mean() for level in levels).backward()
        found.append({key: p.grad for key, p in backbone.named_parameters() if p.grad is not None})
    assert len(found[0]) > 30
    torch.testing.assert_close(*found)


def test_learning_rates_fall_towards_the_input_and_norms_have_no_decay():
    options = ["SOLVER.LAYER_DECAY", 0.5, "SOLVER.BACKBONE_LR_FACTOR", 0.1, "SOLVER.DECAY_NORMS", False]
    cfg = make_cfg("vit_tiny_patch16_224", *options, "SOLVER.BASE_LR", 1.0, "SOLVER.WEIGHT_DECAY", 0.1)
    model = torch.nn.Module()
    model.backbone = build_backbone(cfg)
    groups = make_optimizer(cfg, model).param_groups
    found = {id(each): (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}
    body = model.backbone.body.model
    assert found[id(body.pos_embed)] == (pytest.approx(0.1 * 0.5**13), 0)
    assert found[id(body.patch_embed.proj.weight)] == (pytest.approx(0.1 * 0.5**13), 0.1)
    assert found[id(body.blocks[0].attn.qkv.weight)] == (pytest.approx(0.1 * 0.5**12), 0.1)
    assert found[id(body.blocks[11].attn.qkv.weight)] == (pytest.approx(0.1 * 0.5**1), 0.1)
    assert found[id(body.blocks[11].norm1.weight)] == (pytest.approx(0.1 * 0.5**1), 0)
    assert found[id(model.backbone.fpn.levels[0][1].weight)] == (1, 0.1)
    assert found[id(model.backbone.fpn.levels[0][2].weight)] == (1, 0)
    assert len(found) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("", "MODEL.BACKBONE.TIMM.NAME is empty"),
        ("convnext_tyni", "timm .* has no 'convnext_tyni'"),
        ("levit_128", "strides 16, 32, 64; a pyramid needs 4, 8, 16 and 32"),
        ("hf-hub:someone/network", "MODEL.BACKBONE.TIMM.NAME .* the name of a network of timm"),
    ],
)
def test_names_that_do_not_do_are_refused(name, line):
    with pytest.raises(UserError, match=line):
        build(name)


def test_weights_of_timm_and_of_files_that_timm_reads_fit(tmp_path):
    whole = timm.create_model("convnext_atto", num_classes=10)
    cfg = make_cfg("convnext_atto")
    model = torch.nn.Module()
    model.backbone = build_backbone(cfg)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    weights, _ = fitting_weights(model, cfg, read_checkpoint(tmp_path / "model.safetensors"), "model.safetensors")
    report = load_state_dict(model, weights)
    assert not report.unused and {name.split(".")[1] for name in report.missing} == {"fpn"}
    stem = model.backbone.body.model.stem[0].weight
    assert torch.equal(stem, whole.stem[0].weight)
    # as the authors of ConvNeXt publish it: other names, wrapped
    published = {"downsample_layers.0.0.weight": 2 * stem.detach(), "head.weight": torch.ones(10, 320)}
    torch.save({"model": published}, tmp_path / "a.pth")
    weights, _ = fitting_weights(model, cfg, read_checkpoint(tmp_path / "a.pth"), "a.pth")
    assert weights.keys() == {"backbone.body.model.stem.0.weight"}


def test_position_embeddings_of_a_fixed_size_are_resized():
    whole = timm.create_model("hiera_tiny_224")
    backbone = build("hiera_tiny_224", "INPUT.MAX_SIZE_TRAIN", 160, "INPUT.MAX_SIZE_TEST", 130)
    adapted = backbone.adapt(whole.state_dict())
    assert adapted["body.model.pos_embed"].shape == (1, 40 * 40, 96)


def test_a_whole_network_of_ours_is_not_taken_for_timms():
    cfg = make_cfg("resnet18")
    model = torch.nn.Module()
    model.backbone = build_backbone(cfg)
    weights, rest = fitting_weights(model, cfg, {"model": model.state_dict(), "iteration": 3}, "a.pth")
    assert weights.keys() == model.state_dict().keys() and rest == {"iteration": 3}


def test_input_is_normalised_as_the_weights_expect_unless_the_user_says_how():
    cfg = make_cfg("tf_efficientnet_lite0")
    bind_backbone(cfg)
    assert (cfg.INPUT.TO_BGR255, cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD) == (False, [0.5] * 3, [0.5] * 3)
    given = make_cfg("tf_efficientnet_lite0", "INPUT.PIXEL_MEAN", [0.1, 0.2, 0.3])
    bind_backbone(given)
    assert given.INPUT.PIXEL_MEAN == [0.1, 0.2, 0.3] and given.INPUT.TO_BGR255


def test_weights_of_the_hub_are_fetched_by_name(monkeypatch, tmp_path):
    asked = []

    def download(repository, name):
        asked.append((repository, name))
        if name.endswith(".safetensors"):
            raise EntryNotFoundError("no such file")
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert local_file("timm://convnext_atto.d2_in1k") == str(tmp_path / "pytorch_model.bin")
    assert asked[:2] == [("timm/convnext_atto.d2_in1k", f) for f in ("model.safetensors", "pytorch_model.bin")]
    with pytest.raises(UserError, match=r"timm .* has no weights called convnext_tyni"):
        local_file("timm://convnext_tyni")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *names: (_ for _ in ()).throw(OSError("offline")))
    with pytest.raises(UserError, match=r"cannot download timm://convnext_atto .*offline.*MODEL\.WEIGHT"):
        local_file("timm://convnext_atto")


def test_norms_have_no_decay_in_a_network_without_a_backbone():
    cfg = default_cfg.clone()
    cfg.merge_from_list(["SOLVER.DECAY_NORMS", False, "SOLVER.WEIGHT_DECAY", 0.1])
    groups = make_optimizer(cfg, torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))).param_groups
    assert sorted((group["weight_decay"], len(group["params"])) for group in groups) == [(0.0, 1), (0.0, 2), (0.1, 1)]


def test_checkpointing_that_a_network_does_not_have_is_refused():
    with pytest.raises(UserError, match=r"GRAD_CHECKPOINTING: dla46_c of timm has none"):
        build("dla46_c", "MODEL.BACKBONE.TIMM.GRAD_CHECKPOINTING", True)


def test_a_plain_transformer_of_a_fixed_size_takes_any_image_and_its_own_weights():
    sizes = ("INPUT.MAX_SIZE_TRAIN", 96, "INPUT.MAX_SIZE_TEST", 96)
    backbone = build("cait_xxs24_224", *sizes)
    with torch.no_grad():
        assert [level.shape[-1] for level in backbone(torch.zeros(1, 3, 32, 70))] == [18, 9, 5, 3, 2]
    adapted = backbone.adapt(timm.create_model("cait_xxs24_224").state_dict())
    assert adapted["body.model.pos_embed"].shape == backbone.body.model.pos_embed.shape == (1, 36, 192)


def test_weights_named_as_efficientnet_pytorch_names_them_are_read():
    model = timm.create_model("tf_efficientnet_lite0")
    own = model.state_dict()
    theirs = {}
    flat, before = -1, None
    for name, tensor in own.items():
        words = name.split(".")
        if words[0] == "blocks":
            if words[1:3] != before:
                flat, before = flat + 1, words[1:3]
            widens = f"blocks.{words[1]}.{words[2]}.conv_pwl.weight" in own
            layer = {
                "conv_dw": "_depthwise_conv",
                "conv_pwl": "_project_conv",
                "conv_pw": "_expand_conv" if widens else "_project_conv",
                "bn1": "_bn0" if widens else "_bn1",
                "bn2": "_bn1" if widens else "_bn2",
                "bn3": "_bn2",
            }[words[3]]
            words = ["_blocks", str(flat), layer, *words[4:]]
        else:
            outside = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            words[0] = outside.get(words[0], "_fc")
        theirs[".".join(words)] = tensor
    read = from_efficientnet_pytorch(theirs, own)
    assert read.keys() == own.keys()
    assert all(read[name] is own[name] for name in own)
