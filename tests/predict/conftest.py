"""A small network of all eight tasks with random weights, saved as a training saves it, and a few drawn images."""

from types import SimpleNamespace

import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary
from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.modeling.detector import build_detection_model

SMALL = (
    *(
        "MODEL.RESNETS.STEM_OUT_CHANNELS",
        8,
        "MODEL.RESNETS.RES2_OUT_CHANNELS",
        8,
        "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM",
        32,
    ),
    *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.DENSE_TRUNK.CHANNELS", 16, "DATALOADER.NUM_WORKERS", 0),
    *("MODEL.ROI_HEADS.SCORE_THRESH", 0.0, "MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 6, "TEST.IMS_PER_BATCH", 1),
)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A namespace: checkpoint and config files, cfg, model, vocabulary, folder of data sets, list of its val images."""
    folder = tmp_path_factory.mktemp("small")
    write_mini_detail(folder / "data" / "mini_detail", num_train=2, num_val=4, seed=3)
    cfg = default_cfg.clone()
    cfg.merge_from_file("configs/detail/mini_R_18_FPN.yaml")
    cfg.merge_from_list([*SMALL, "DATASETS.DATA_DIR", str(folder / "data"), "OUTPUT_DIR", str(folder / "run")])
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    torch.manual_seed(0)
    model = build_detection_model(cfg, vocabulary).eval()
    _give_statistics(model)
    checkpoint = folder / "model_final.pth"
    torch.save({"model": model.state_dict(), "vocabulary": vocabulary.to_dict(), "config": cfg.dump()}, checkpoint)
    (folder / "small.yaml").write_text(cfg.dump())
    images = sorted((folder / "data" / "mini_detail" / "images").iterdir())
    return SimpleNamespace(
        checkpoint=str(checkpoint),
        config_file=str(folder / "small.yaml"),
        cfg=cfg,
        model=model,
        vocabulary=vocabulary,
        images=images,
    )


def _give_statistics(model):
    """Batch norms that are not the identity, as after a training."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
