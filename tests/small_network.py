"""A small network with random weights, saved as a training saves it, and a few drawn images."""

from pathlib import Path
from types import SimpleNamespace

import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.modeling.detector import build_detection_model

MINI = Path(__file__).parents[1] / "configs" / "detail" / "mini_R_18_FPN.yaml"
SMALL = (
    *("MODEL.DEVICE", "cpu"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.DENSE_TRUNK.CHANNELS", 16, "DATALOADER.NUM_WORKERS", 0),
    *("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 32, "MODEL.ROI_HEADS.SCORE_THRESH", 0.0),
    *("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 6, "TEST.IMS_PER_BATCH", 1),
)


def save_small_network(folder, *options):
    """Make the network of all eight tasks, or what options make of it, and images in a folder.

    Returns:
        a namespace: `checkpoint` and `config_file`, paths as text, `cfg`, `model`, `vocabulary`, and `images`, paths.
    """
    write_mini_detail(folder / "data" / "mini_detail", num_train=2, num_val=4, seed=3)
    cfg = default_cfg.clone()
    cfg.merge_from_file(MINI)
    places = ("DATASETS.DATA_DIR", str(folder / "data"), "OUTPUT_DIR", str(folder / "run"))
    cfg.merge_from_list([*SMALL, *places, *options])
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    torch.manual_seed(0)
    model = build_detection_model(cfg, vocabulary).eval()
    for module in model.modules():  # batch norms that are not the identity, as after a training
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    checkpoint, config_file = folder / "model_final.pth", folder / "small.yaml"
    torch.save({"model": model.state_dict(), "vocabulary": vocabulary.to_dict(), "config": cfg.dump()}, checkpoint)
    config_file.write_text(cfg.dump())
    return SimpleNamespace(
        checkpoint=str(checkpoint),
        config_file=str(config_file),
        cfg=cfg,
        model=model,
        vocabulary=vocabulary,
        images=sorted((folder / "data" / "mini_detail" / "images").iterdir()),
    )
