"""What the tests of norms over all processes run, alone or in each of two processes."""

import os

import torch
import torch.distributed as dist
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.layers import SyncBatchNorm2d
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError

DIVISIONS = {"uneven": (2, 5), "empty": (0, 5)}  # images of each process
SIZE = 64


def main(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    seen = {name: normalized(SyncBatchNorm2d(3), parts, rank) for name, parts in DIVISIONS.items()}
    for portions in (1, 2):
        seen["semantic", portions] = trained(semantic_cfg("SyncBN"), rank, 2, portions)
    seen["detector"] = trained(detector_cfg(), rank, 2)
    seen["cascade"] = trained(cascade_cfg(), rank, 2)
    seen["refused"] = refused()
    torch.save(seen, f"{folder}/rank{rank}.pth")
    dist.destroy_process_group()


def normalized(norm, parts, rank=None):
    """(results, gradients of the inputs, sum of the squares' gradients of weight and bias, running statistics)."""
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(sum(parts), 3, 4, 2, generator=generator)
    factor = torch.randn(x.shape, generator=generator)
    if rank is not None:
        x, factor = x.split(parts)[rank], factor.split(parts)[rank]
    x = x.clone().requires_grad_()
    y = norm(x)
    (y.square() * factor).sum().backward()
    gradients = torch.stack([norm.weight.grad, norm.bias.grad])
    return y.detach(), x.grad, gradients, norm.running_mean, norm.running_var, norm.num_batches_tracked


def small_cfg(*options):
    cfg = default_cfg.clone()
    cfg.merge_from_list(
        [
            *("MODEL.DEVICE", "cpu", "MODEL.BACKBONE.CONV_BODY", "R-18-FPN", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0),
            *("MODEL.RESNETS.STEM_OUT_CHANNELS", 4, "MODEL.RESNETS.RES2_OUT_CHANNELS", 4),
            *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 8, "MODEL.DENSE_TRUNK.CHANNELS", 8),
            *options,
        ]
    )
    return cfg


def semantic_cfg(norm):
    """A semantic network with batch norm everywhere, of all processes or of each."""
    name = {"SyncBN": "SyncBatchNorm", "BN": "BatchNorm"}[norm]
    return small_cfg(
        *("MODEL.DETECTION_ON", False, "MODEL.SEMANTIC_ON", True, "MODEL.SEMANTIC_HEAD.NUM_CLASSES", 3),
        *("MODEL.RESNETS.TRANS_FUNC", f"BasicBlockWith{name}", "MODEL.RESNETS.STEM_FUNC", f"StemWith{name}"),
        *("MODEL.FPN.NORM", norm, "MODEL.DENSE_TRUNK.NORM", norm),
    )


def detector_cfg():
    """Mask R-CNN with norms over all processes in body, pyramid and heads."""
    return small_cfg(
        *(
            "MODEL.RESNETS.TRANS_FUNC",
            "BasicBlockWithSyncBatchNorm",
            "MODEL.RESNETS.STEM_FUNC",
            "StemWithSyncBatchNorm",
        ),
        *("MODEL.FPN.NORM", "SyncBN", "MODEL.MASK_ON", True, "MODEL.SEMANTIC_ON", True),
        *(
            "MODEL.ROI_BOX_HEAD.NORM",
            "SyncBN",
            "MODEL.ROI_MASK_HEAD.NORM",
            "SyncBN",
            "MODEL.DENSE_TRUNK.NORM",
            "SyncBN",
        ),
        *("MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "FPNXconv1fcFeatureExtractor"),
        *("MODEL.ROI_BOX_HEAD.PREDICTOR", "FPNPredictor", "MODEL.ROI_BOX_HEAD.NUM_CLASSES", 3),
        *(
            "MODEL.ROI_BOX_HEAD.POOLER_SCALES",
            (0.25, 0.125, 0.0625, 0.03125),
            "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION",
            7,
        ),
        *("MODEL.ROI_BOX_HEAD.NUM_STACKED_CONVS", 1, "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM", 8),
        *(
            "MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM",
            8,
            "MODEL.RPN.USE_FPN",
            True,
            "MODEL.RPN.ANCHOR_STRIDE",
            (4, 8, 16, 32, 64),
        ),
        *("MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR", "MaskRCNNFPNFeatureExtractor"),
        *("MODEL.ROI_MASK_HEAD.PREDICTOR", "MaskRCNNC4Predictor", "MODEL.ROI_MASK_HEAD.CONV_LAYERS", (8,)),
        *("MODEL.ROI_MASK_HEAD.POOLER_SCALES", (0.25, 0.125, 0.0625, 0.03125)),
        *("MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR", False, "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", 14),
        *("MODEL.ROI_MASK_HEAD.RESOLUTION", 28, "MODEL.SEMANTIC_HEAD.NUM_CLASSES", 3),
    )


def cascade_cfg():
    """The same with a cascade of box heads."""
    cfg = detector_cfg()
    cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.CASCADE.ENABLED", True, "MODEL.CLS_AGNOSTIC_BBOX_REG", True])
    return cfg


def semantic_target(number):
    labels = torch.full((SIZE, SIZE), number % 3, dtype=torch.uint8)
    labels[:, SIZE // 2 :] = 2
    return ImageAnnotations((SIZE, SIZE), semantic=SemanticMap(labels))


def object_target():
    instances = BoxList([[8.0, 8.0, 40.0, 50.0]], (SIZE, SIZE))
    instances.add_field("labels", torch.tensor([1]))
    square = [[[8.0, 8.0, 40.0, 8.0, 40.0, 50.0, 8.0, 50.0]]]
    instances.add_field("masks", SegmentationMask(square, (SIZE, SIZE), mode="poly"))
    return ImageAnnotations((SIZE, SIZE), instances=instances)


def nothing_known():
    return ImageAnnotations((SIZE, SIZE))


def no_object():
    instances = BoxList(torch.zeros(0, 4), (SIZE, SIZE))
    instances.add_field("labels", torch.zeros(0, dtype=torch.int64))
    instances.add_field("masks", SegmentationMask([], (SIZE, SIZE), mode="poly"))
    return ImageAnnotations((SIZE, SIZE), instances=instances)


# What each step's four images know; two processes have two each, and some know nothing at all
STEPS_OF = {
    "semantic": [[semantic_target(0), semantic_target(1), nothing_known(), nothing_known()], [semantic_target(0)] * 4],
    "detector": [
        [semantic_target(0), semantic_target(1), object_target(), no_object()],  # no objects in the first process
        [no_object(), no_object(), object_target(), object_target()],  # no masks
        [nothing_known(), nothing_known(), semantic_target(0), nothing_known()],  # no regions in any
        [nothing_known()] * 4,
    ],
}


def trained(cfg, rank=0, ranks=1, portions=1):
    """The state of a network after some steps of the images of one process."""
    torch.manual_seed(0)
    network = build_detection_model(cfg).train()
    combiner = build_loss_combiner(cfg, enabled_tasks(cfg))
    step = TrainingStep(network, combiner, torch.optim.SGD(network.parameters(), 0.01), "cpu", accumulate=portions)
    generator = torch.Generator().manual_seed(1)
    for targets in STEPS_OF["detector" if cfg.MODEL.DETECTION_ON else "semantic"]:
        pixels = torch.randn(4, 3, SIZE, SIZE, generator=generator)
        # each process's micro-batches together are those of one process
        own = [i for i in range(4) if i * ranks // 4 == rank] if portions == 1 else portioned(rank, ranks, portions)
        step(ImageList(pixels[own], [(SIZE, SIZE)] * len(own)), [targets[i] for i in own], lambda: ["an image"])
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def portioned(rank, ranks, portions):
    """The images of a process, so that micro-batch p of all processes together is the p-th of one process alone."""
    size = 4 // portions // ranks
    return [p * 4 // portions + rank * size + i for p in range(portions) for i in range(size)]


def refused():
    cfg = semantic_cfg("SyncBN")
    cfg.merge_from_list(["MODEL.CLASSIFICATION_ON", True, "MULTITASK.AGGREGATION", "pcgrad"])
    network, combiner = nn.Module(), build_loss_combiner(cfg, enabled_tasks(cfg))
    network.backbone = nn.Sequential(nn.Conv2d(3, 3, 1), SyncBatchNorm2d(3))
    try:
        TrainingStep(network, combiner, torch.optim.SGD(network.parameters(), 0.1), "cpu")
    except UserError as error:
        return str(error)
    return None
