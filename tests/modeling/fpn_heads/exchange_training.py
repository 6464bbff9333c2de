"""Steps of a tiny network with a task exchange, in one process or in each of two; a rank leaves what came of it."""

import os

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN
from maskrcnn_benchmark.modeling.fpn_heads.fpn_heads import build_fpn_heads
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.tasks.task import enabled_tasks

EXCHANGES = ("distillation", "attention")
SIDE = 64
# Of two images; in the second step one process has no label at all
LABELS = [("semantic", "boundary"), ("boundary", None), ("semantic boundary", "semantic")]


class Pyramid(nn.Module):
    """Four levels, each the mean of the one before and a convolution."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if level == 0 else 12, 12, 3, padding=1) for level in range(4))

    def forward(self, x):
        x, levels = F.avg_pool2d(x, 2), []
        for conv in self.convs:
            x = conv(F.avg_pool2d(x, 2))
            levels.append(x)
        return levels


def train(name, rank=0, ranks=1, *options):
    """(weights by name, names of the parameters without a gradient in each step) of one image per rank, or both."""
    cfg = default_cfg.clone()
    cfg.merge_from_list(
        [
            *("MODEL.SEMANTIC_ON", True, "MODEL.BOUNDARY_ON", True, "MODEL.DETECTION_ON", False),
            *("MODEL.SEMANTIC_HEAD.NUM_CLASSES", 3, "MODEL.DENSE_TRUNK.CHANNELS", 8, "MODEL.EDGE_DECODER.CHANNELS", 8),
            *("MODEL.TASK_EXCHANGE.CHANNELS", 8, "MODEL.TASK_EXCHANGE.GRID", 3, "MODEL.TASK_EXCHANGE.NAME", name),
            *options,
        ]
    )
    torch.manual_seed(0)
    tasks = enabled_tasks(cfg)
    model = GeneralizedRCNN(Pyramid(), fpn_heads=build_fpn_heads(cfg, 12, tasks))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    step = TrainingStep(model, build_loss_combiner(cfg, tasks), optimizer, "cpu", bucket_bytes=2000)
    left = []
    for number, labels in enumerate(LABELS):
        own = [rank] if ranks == 2 else [0, 1]
        images = torch.stack([torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(i)) for i in own])
        targets = [annotated(labels[i] or "", i + number) for i in own]
        step(ImageList(images, [(SIDE, SIDE)] * len(own)), targets, list)
        left.append({each for each, parameter in model.named_parameters() if parameter.grad is None})
    return {each: parameter.detach() for each, parameter in model.named_parameters()}, left


def annotated(tasks, seed):
    classes = torch.randint(0, 3, (SIDE, SIDE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    made = {"semantic": SemanticMap(classes), "boundary": BoundaryMap((classes == 2).byte())}
    return ImageAnnotations((SIDE, SIDE), **{key: made[key] for key in tasks.split()})


def main(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    torch.save({name: train(name, rank, 2) for name in EXCHANGES}, f"{folder}/rank{rank}.pth")
    dist.destroy_process_group()
