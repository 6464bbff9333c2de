"""Recipes of today's backbones, weights and heads: each is built, makes a step, and is resumed. Slow."""

from pathlib import Path

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.layers import FrozenBatchNorm2d, SyncBatchNorm2d
from maskrcnn_benchmark.modeling.backbone import bind_backbone, build_backbone
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.solver import fill_in_iterations, make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer

pytest.importorskip("timm")

ROOT = Path(__file__).parents[2] / "configs"
OF_TODAY = ("TIMM:", 'WEIGHT: "torchvision://', "CASCADE:", "SyncBN")
JITTER = "new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.yaml"
OF_MAPS = ("pascal_context", "nyud")  # without objects, which the annotations below have alone
RECIPES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.yaml")
    if path.parent.name not in OF_MAPS and any(word in path.read_text("utf-8") for word in OF_TODAY)
)
SIZE = (96, 64)
# The step and the checkpoint of a network of 200 million parameters would take gigabytes; a small one of its family
# goes through the same lines, and the large one is built without memory
STAND_INS = {
    "convnext_large.fb_in22k": "convnext_pico",
    "swin_large_patch4_window12_384.ms_in22k": "swin_tiny_patch4_window7_224",
}


def annotations():
    instances = BoxList(torch.tensor([[8.0, 8, 60, 50]]), SIZE)
    instances.add_field("labels", torch.tensor([1]))
    polygon = [[8.0, 8, 60, 8, 60, 50, 8, 50]]
    instances.add_field("masks", SegmentationMask([polygon], SIZE, mode="poly"))
    return ImageAnnotations(SIZE, instances)


def training(name, folder):
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(ROOT / name))
    cfg.merge_from_list(["OUTPUT_DIR", str(folder), "MODEL.DEVICE", "cpu", "DTYPE", "float32"])
    bind_backbone(cfg)
    cfg.MODEL.BACKBONE.TIMM.NAME = STAND_INS.get(cfg.MODEL.BACKBONE.TIMM.NAME, cfg.MODEL.BACKBONE.TIMM.NAME)
    torch.manual_seed(0)
    model = build_detection_model(cfg)
    optimizer = make_optimizer(cfg, model)
    return (
        cfg,
        model,
        optimizer,
        DetectronCheckpointer(cfg, model, optimizer, make_lr_scheduler(cfg, optimizer), folder),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_built_stepped_and_resumed(name, tmp_path):
    cfg, model, optimizer, checkpointer = training(name, tmp_path)
    assert ("/MSRA/" in cfg.MODEL.WEIGHT or name == JITTER) == cfg.INPUT.TO_BGR255
    step = TrainingStep(model.train(), build_loss_combiner(cfg, enabled_tasks(cfg)), optimizer, "cpu")
    image = torch.randint(0, 256, (3, SIZE[1], SIZE[0]), dtype=torch.uint8)
    outcome = step(to_image_list([image], 32), [annotations()], lambda: ["a"])
    assert outcome.total > 0
    learns = {p.requires_grad for p in model.backbone.body.parameters()}
    assert learns == {0: {True}, 2: {False, True}, 200: {False}}[cfg.MODEL.BACKBONE.FREEZE_CONV_BODY_AT]
    checkpointer.save("model_0000001", iteration=1)
    _, again, _, resumed = training(name, tmp_path)
    assert resumed.load()["iteration"] == 1
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    for path in tmp_path.glob("*.pth"):
        path.unlink()


@pytest.mark.parametrize("name", [name for name in RECIPES if "large" in name])
def test_a_large_backbone_has_its_layers_and_levels(name):
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(ROOT / name))
    network = cfg.MODEL.BACKBONE.TIMM.NAME
    assert network in STAND_INS and f"timm://{network}" == cfg.MODEL.WEIGHT
    with torch.device("meta"):
        backbone = build_backbone(cfg)
    assert backbone.strides == (4, 8, 16, 32, 64) and backbone.out_channels == 256
    assert sum(p.numel() for p in backbone.body.parameters()) > 190e6
    depth = {"convnext": 36, "swin": 24}[network.split("_")[0]]
    assert max(backbone.layers().values()) == depth  # the stem is layer 0


def test_there_are_recipes_for_detail_and_for_coco():
    assert {name.rpartition("/")[0] for name in RECIPES} == {"", "detail", "timm", "new_baselines"}
    assert {name for name in RECIPES if "cascade" in name} == {
        "e2e_cascade_mask_rcnn_R_50_FPN_1x.yaml",
        "detail/e2e_multitask_cascade_R_50_FPN_1x.yaml",
    }


def test_large_scale_jitter_has_norms_over_all_processes_everywhere_and_moves_its_steps_with_the_epochs():
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(ROOT / JITTER))
    model = build_detection_model(cfg)
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm | FrozenBatchNorm2d)]
    # 53 of the body, 8 of the pyramid, 4 of each head; two convolutions before the anchors
    assert len(norms) == 53 + 8 + 4 + 4 and all(isinstance(norm, SyncBatchNorm2d) for norm in norms)
    assert list(dict(model.rpn.head.conv.named_children())) == ["conv0", "conv1"]
    cfg.merge_from_list(["SOLVER.MAX_EPOCHS", 400])
    fill_in_iterations(cfg, 118000)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (737500, (655556, 710184))
