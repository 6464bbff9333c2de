"""A small network of four tasks with random weights, saved as a training saves it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary
from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.modeling.detector import build_detection_model

MINI = Path(__file__).parents[2] / "configs" / "detail" / "mini_R_18_FPN.yaml"
SMALL = (
    *("MODEL.MASK_ON", False, "MODEL.KEYPOINT_ON", False, "MODEL.PART_ON", False, "MODEL.OCCLUSION_ON", False),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8, "DATALOADER.NUM_WORKERS", 0),
    *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.DENSE_TRUNK.CHANNELS", 16, "INPUT.MIN_SIZE_TEST", 64),
    *("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 32, "MODEL.ROI_HEADS.SCORE_THRESH", 0.0),
    *("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 6, "DATASETS.PARTS", "person"),
)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A namespace: `checkpoint`, a path, and `images`, paths of drawn images."""
    folder = tmp_path_factory.mktemp("small")
    write_mini_detail(folder / "data" / "mini_detail", num_train=1, num_val=2, seed=3)
    cfg = default_cfg.clone()
    cfg.merge_from_file(MINI)
    cfg.merge_from_list([*SMALL, "DATASETS.DATA_DIR", str(folder / "data")])
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    torch.manual_seed(0)
    model = build_detection_model(cfg, vocabulary)
    checkpoint = folder / "small.pth"
    torch.save({"model": model.state_dict(), "vocabulary": vocabulary.to_dict(), "config": cfg.dump()}, checkpoint)
    images = sorted((folder / "data" / "mini_detail" / "images").iterdir())
    return SimpleNamespace(checkpoint=checkpoint, images=images)
