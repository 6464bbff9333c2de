"""The networks, configs and images that stages use: everything is drawn here, nothing is fetched."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from benchmarks.multitask import training_batches
from checks.stage import Setting
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary, make_data_loader
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.layers import FrozenBatchNorm2d
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.fpn_heads.edge_decoder import EdgeHead
from maskrcnn_benchmark.utils.devices import names_cuda

ROOT = Path(__file__).parents[2]  # of the checkout, or of the installed package
MINI = "configs/detail/mini_R_18_FPN.yaml"
FULL = "configs/detail/e2e_multitask_R_50_FPN_1x.yaml"

# The mini configuration at its smallest, for what is tried in many variants
TINY = (
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.DENSE_TRUNK.CHANNELS", 16),
    *("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 32, "MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 10),
    *("INPUT.MIN_SIZE_TRAIN", (96,), "INPUT.MAX_SIZE_TRAIN", 128, "SOLVER.IMS_PER_BATCH", 2),
)
# Anchors and regions are drawn at random, on the device: who compares two devices trains all of them
NOTHING_DRAWN = (
    *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 10**6, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 10**6),
    *("MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE", 0, "MODEL.ROI_PART_HEAD.MAX_ROIS_PER_IMAGE", 0),
    *("MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN", 200, "MODEL.RPN.FPN_POST_NMS_PER_BATCH", False),
)
TRAINING_IMAGES, TEST_IMAGES = 48, 8
RESIDUAL_SCALE = 0.2  # keeps a residual network with frozen norms and random weights in range
SCORE_SPREAD = 2.0  # standard deviation of random scores: far enough apart that rounding does not change their order
# A direction is a vector brought to length one, whose gradient has no bound near zero: so many deviations away from it
CLEAR = 4.0


def data_folder(setting: Setting) -> str:
    """The folder, for DATASETS.DATA_DIR, with a small mini_detail in it; the first stage that asks draws it."""
    folder = Path(setting.folder) / "data"
    write_mini_detail(folder / "mini_detail", TRAINING_IMAGES, TEST_IMAGES, seed=0)
    return str(folder)


def read_config(setting: Setting, file: str, options: Sequence = (), device: str = ""):
    """A config of configs/ on the drawn images, from random weights, with class counts filled in.

    Returns:
        (config, `Vocabulary`).
    """
    cfg = default_cfg.clone()
    cfg.merge_from_file(str(ROOT / file))
    given = (
        *("DATASETS.DATA_DIR", data_folder(setting), "DATASETS.TRAIN", ("mini_detail_train",)),
        *("DATASETS.TEST", ("mini_detail_val",), "MODEL.DEVICE", device or setting.device, "MODEL.WEIGHT", ""),
        *("DATALOADER.NUM_WORKERS", 0, "MULTITASK.LOG_PERIOD", 0),
    )
    cfg.merge_from_list([*given, *options])
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    return cfg, vocabulary


def precision_options(dtype: str, rounded: bool) -> tuple:
    """Options for a precision of training and of testing alike; `rounded` is whether float32 may be TF32."""
    return ("DTYPE", dtype, "TF32", rounded, "TEST.DTYPE", dtype, "TEST.TF32", rounded)


def first_batches(cfg, count: int) -> list:
    """[(`ImageList`, list of `ImageAnnotations`)], the first batches of training on the config's device."""
    return training_batches(cfg, count, own_data=True)[0]


def loaded_batches(cfg) -> list:
    """Two batches of training, of images of different shapes, as a loader delivers them on the way to the device.

    Returns:
        [(`ImageList` of uint8, `TargetBatch`)] on the CPU; for a config on CUDA in pinned memory.
    """
    cfg = cfg.clone()
    cfg.SOLVER.SEED = 0
    found = {}
    for images, targets, _ in make_data_loader(cfg, is_train=True):
        found.setdefault(images.tensors.shape, (images, targets))
        if len(found) == 2:
            break
    if len(found) < 2:
        raise RuntimeError(f"all batches of {', '.join(cfg.DATASETS.TRAIN)} have one shape, {list(found)}")
    on_cuda = names_cuda(cfg.MODEL.DEVICE)
    return [
        (images.pin_memory(), targets.pin_memory()) if on_cuda else (images, targets)
        for images, targets in found.values()
    ]


def build_model(cfg, vocabulary, batch) -> nn.Module:
    """The config's network, on the CPU, with random weights that behave like trained ones.

    Batch norms know the statistics of a batch, (`ImageList`, targets) on the CPU; frozen ones keep activations in
    range; scores of anchors and of classes are far apart, and directions of occlusion are clear.
    """
    torch.manual_seed(0)
    model = build_detection_model(cfg, vocabulary)
    tame(model)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        model.train()
        model(*batch)
        for norm, momentum in zip(norms, momenta):
            norm.momentum = momentum
        model.eval()
        for layer in (model.rpn.head.cls_logits, model.roi_heads.box.predictor.cls_score):
            layer.weight.mul_(SCORE_SPREAD / _outputs(layer, lambda: model(batch[0])).std())
        fine = _outputs(model.fpn_heads.edge_decoder, lambda: model(batch[0]))
        for head in model.fpn_heads.heads.values():
            if isinstance(head, EdgeHead):  # behind its first map, of edges, there may be one of directions
                edges = head.predictor
                edges.predict.bias[edges.stride**2 :] += CLEAR * edges.predict(fine).std()
    return model


def tame(model: nn.Module) -> None:
    """Give residual blocks a weight at which activations do not grow with depth and no block goes unseen.

    It is that of the frozen norms at their ends, and the layer scale of a ConvNeXt, which begins near zero.
    """
    for name, module in model.named_modules():
        if name.endswith("bn3") and isinstance(module, FrozenBatchNorm2d):
            module.weight.fill_(RESIDUAL_SCALE)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".gamma"):
                parameter.fill_(RESIDUAL_SCALE)


def _outputs(layer, run):
    """All that a layer gives during `run()`, in single precision: its output, or those of several calls in a row."""
    seen = []
    hook = layer.register_forward_hook(lambda module, inputs, output: seen.append(output.float()))
    run()
    hook.remove()
    return seen[0] if len(seen) == 1 else torch.cat([output.flatten() for output in seen])
