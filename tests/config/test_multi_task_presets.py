"""The presets on PASCAL-Context and NYUD-v2 say what their papers say."""

from pathlib import Path

import pytest
import torch
from mtl_sets import draw_scene, write_nyud, write_pascal

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.tasks.task import enabled_tasks

ROOT = Path(__file__).parents[2] / "configs"
FILES = sorted(
    path.relative_to(ROOT).as_posix() for name in ("pascal_context", "nyud") for path in (ROOT / name).iterdir()
)
PASCAL = {"semantic", "part", "saliency", "normals", "boundary"}
ROOMS = {"semantic", "depth", "normals", "boundary"}


def load(name):
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(ROOT / name))
    check_options(cfg)
    return cfg


@pytest.mark.parametrize("name", FILES)
def test_tasks_sets_weights_and_means_are_the_protocols(name):
    cfg = load(name)
    tasks = {task.key for task in enabled_tasks(cfg)}
    expected = {"semantic", "part", "boundary"} if "detail" in name else ROOMS if name.startswith("nyud/") else PASCAL
    assert tasks == expected
    weights = {"semantic": 1, "part": 2, "saliency": 5, "normals": 10, "boundary": 50, "depth": 1}
    assert all(cfg.MULTITASK.LOSS_WEIGHTS[key.upper()] == weights[key] for key in tasks)
    assert cfg.TEST.CLASS_MEAN == "all"
    assert (0.011 if name.startswith("nyud/") else 0.0075) == cfg.TEST.EDGE_MAX_DISTANCE
    names = ("mti_net", "mti_net") if "mti_net" in name else ("seism", "atrc")
    assert names == (cfg.TEST.BOUNDARY_PROTOCOL, cfg.TEST.DELTA_M_METRICS)
    assert cfg.MODEL.PART_HEAD == "fpn" and not cfg.MODEL.DETECTION_ON


def test_mti_net_squashes_and_invpt_crops_and_pads():
    mti_net, invpt = (load(f"pascal_context/{name}_R_50_FPN.yaml") for name in ("mti_net", "invpt"))
    assert mti_net.INPUT.SQUASH == (512, 512) and mti_net.INPUT.ROTATION == 20 and not mti_net.INPUT.CROP
    assert mti_net.INPUT.SCALE_JITTER == (0.75, 1.25) and mti_net.SOLVER.IMS_PER_BATCH == 8
    assert round(mti_net.SOLVER.MAX_ITER * 8 / 4998) == 100
    assert invpt.INPUT.CROP == (512, 512) and invpt.INPUT.CROP_SCALES == (0.5, 2.0) and not invpt.INPUT.SQUASH
    assert invpt.INPUT.CROP_MAX_SHARE == 0.75 and invpt.INPUT.PHOTOMETRIC and invpt.INPUT.ROTATION == 0
    assert invpt.DATALOADER.SIZE_DIVISIBILITY == 512
    assert (invpt.SOLVER.MAX_ITER, invpt.SOLVER.IMS_PER_BATCH, invpt.SOLVER.SCHEDULE) == (40000, 6, "poly")
    rooms = load("nyud/invpt_R_50_FPN.yaml")
    assert rooms.INPUT.CROP == (448, 576)
    assert [-(-side // rooms.DATALOADER.SIZE_DIVISIBILITY) * 64 for side in (425, 560)] == [448, 576]


# Small ones of the same families, which go through the same lines
STAND_INS = {
    "swin_large_patch4_window12_384.ms_in22k": "swin_tiny_patch4_window7_224",
    "vit_large_patch16_dinov3.lvd1689m": "vit_small_patch16_dinov3",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FILES if "detail" not in name])  # which is invpt on another set
def test_a_preset_is_stepped_and_resumed_at_small_size(name, tmp_path):
    scenes = {f"{k}": draw_scene((80, 60), shift=k) for k in range(4)}
    write_pascal(tmp_path / "pascal_context_mtl", scenes)
    write_nyud(tmp_path / "nyud_mtl", scenes)
    cfg = load(name)
    if cfg.MODEL.BACKBONE.TIMM.NAME:
        pytest.importorskip("timm")
        cfg.MODEL.BACKBONE.TIMM.NAME = STAND_INS[cfg.MODEL.BACKBONE.TIMM.NAME]
    cfg.merge_from_list(["DATASETS.DATA_DIR", str(tmp_path), "OUTPUT_DIR", str(tmp_path / "run")])
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHT", "", "DTYPE", "float32", "DATALOADER.NUM_WORKERS", 0])
    cfg.merge_from_list(["INPUT.CROP" if cfg.INPUT.CROP else "INPUT.SQUASH", (64, 64)])
    cfg.merge_from_list(["DATALOADER.SIZE_DIVISIBILITY", 64, "SOLVER.IMS_PER_BATCH", 2, "SOLVER.SEED", 1])
    cfg.merge_from_list(["SOLVER.MAX_ITER", 1])
    first = {key: value.clone() for key, value in train(cfg, skip_test=True).state_dict().items()}
    cfg.SOLVER.MAX_ITER = 2
    second = train(cfg, skip_test=True).state_dict()
    assert first.keys() == second.keys() and any(not torch.equal(first[key], second[key]) for key in first)
    assert all(value.isfinite().all() for value in second.values())
    assert (tmp_path / "run" / "model_final.pth").is_file()
