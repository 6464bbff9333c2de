"""The presets on PASCAL-Context and NYUD-v2 say what their papers say."""

from pathlib import Path

import pytest

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
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
