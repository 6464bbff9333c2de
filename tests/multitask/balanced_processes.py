"""What the tests of balancing over processes run, alone or in each of two processes."""

import os

import torch
import torch.distributed as dist
from torch import nn
from toy_network import PARTIAL, WHOLE, ToyNetwork, annotations, images_of

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures
from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.tasks.task import enabled_tasks

PARAMETERS = ("MULTITASK.GRADIENTS_AT", "parameters")
METHODS = {
    "fixed": (),
    "uncertainty": ("MULTITASK.WEIGHTING", "uncertainty"),
    "imtl_l": ("MULTITASK.WEIGHTING", "imtl_l"),
    "dwa": ("MULTITASK.WEIGHTING", "dwa", "MULTITASK.DWA.PERIOD", 1),
    "random": ("MULTITASK.WEIGHTING", "random"),
    "geometric_mean": ("MULTITASK.WEIGHTING", "geometric_mean"),
    "famo": ("MULTITASK.WEIGHTING", "famo"),
    "gradnorm": ("MULTITASK.WEIGHTING", "gradnorm"),
    "stch": ("MULTITASK.WEIGHTING", "stch", "MULTITASK.STCH.WARMUP", 2),
    "pcgrad": ("MULTITASK.AGGREGATION", "pcgrad"),
    "gradvac at parameters": ("MULTITASK.AGGREGATION", "gradvac", *PARAMETERS),
    "upgrad": ("MULTITASK.AGGREGATION", "upgrad"),
    "mgda at parameters": ("MULTITASK.AGGREGATION", "mgda", *PARAMETERS),
    "graddrop at parameters": ("MULTITASK.AGGREGATION", "graddrop", *PARAMETERS),
    "famo and aligned_mtl": ("MULTITASK.WEIGHTING", "famo", "MULTITASK.AGGREGATION", "aligned_mtl"),
    "log and db_mtl": ("MULTITASK.WEIGHTING", "log", "MULTITASK.AGGREGATION", "db_mtl", *PARAMETERS),
    "pbi and cr_mogm": ("MULTITASK.WEIGHTING", "pbi", "MULTITASK.PBI.WARMUP", 2, "MULTITASK.AGGREGATION", "cr_mogm"),
    "moco": ("MULTITASK.AGGREGATION", "moco", *PARAMETERS),
    "excess_mtl": ("MULTITASK.AGGREGATION", "excess_mtl", "MULTITASK.EXCESS_MTL.WARMUP", 1, *PARAMETERS),
    "gradnorm at parameters": ("MULTITASK.WEIGHTING", "gradnorm", *PARAMETERS),
    "looks": ("MULTITASK.LOG_PERIOD", 2),
    "frozen": ("MULTITASK.FREEZE_TRUNK", ("boundary",)),
    "sampled tasks": ("MULTITASK.TASKS_PER_STEP", 2),
}
HALVES = {
    name: ("MULTITASK.AGGREGATION", name, *PARAMETERS, "SOLVER.ACCUMULATE_STEPS", 2) for name in ("modo", "sdmgrad")
}
STEPS = 4


def train(options, rank=0, ranks=1, portions=1):
    """Weights and combiner state after some steps, on this rank's images; each batch is uneven in its labels."""
    config = cfg.clone()
    config.MODEL.DETECTION_ON = False
    for switch in ("SEMANTIC_ON", "BOUNDARY_ON", "CLASSIFICATION_ON"):
        config.MODEL[switch] = True
    config.SOLVER.BASE_LR, config.SOLVER.SEED = 0.05, 7
    config.merge_from_list(list(options))
    network, combiner = ToyNetwork(), build_loss_combiner(config, enabled_tasks(config))
    optimizer = make_optimizer(config, network, combiner)
    step = TrainingStep(network, combiner, optimizer, "cpu", accumulate=portions, bucket_bytes=200)
    looks = []
    for iteration in range(STEPS):
        values = PARTIAL if iteration % 2 else WHOLE[:2] + PARTIAL[2:]
        own = range(len(values) * rank // ranks, len(values) * (rank + 1) // ranks)
        images = images_of([10 * iteration + i for i in own])
        outcome = step(images, [annotations(values[i]) for i in own], lambda: ["an image"])
        looks.append(outcome.gradient_statistics)
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    weights.update({f"combiner.{name}": p.detach().clone() for name, p in combiner.named_parameters()})
    weights.update({f"combiner.{name}": b.clone().float() for name, b in combiner.named_buffers()})
    return weights, [(look.norms, look.cosines) for look in looks if look is not None]


class WeightedNetwork(nn.Module):
    """Pixels of three classes that weigh differently."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Conv2d(3, 5, 4, stride=4)
        self.head = PixelClassifier(5, 3, "loss_semantic", lambda target: target.semantic.labels, 2, (0.25, 4.0, 1.0))

    def forward(self, images, targets):
        features = self.backbone(images.tensors)
        return self.head(DenseFeatures([], images.image_sizes, features), None, targets)[1]


def train_weighted(rank=0, ranks=1, portions=1):
    """The weights after some steps on four images, each of another mixture of classes: the last has one alone."""
    config = cfg.clone()
    config.MODEL.DETECTION_ON, config.MODEL.SEMANTIC_ON = False, True
    network, combiner = WeightedNetwork(), build_loss_combiner(config, enabled_tasks(config))
    step = TrainingStep(network, combiner, torch.optim.SGD(network.parameters(), 0.1), "cpu", accumulate=portions)
    generator = torch.Generator().manual_seed(1)
    tensors = torch.randn(4, 3, 8, 8, generator=generator)
    labels = torch.randint(0, 3, (4, 8, 8), generator=generator).to(torch.uint8)
    labels[3] = 1
    own = slice(4 * rank // ranks, 4 * (rank + 1) // ranks)
    targets = [ImageAnnotations((8, 8), semantic=SemanticMap(each)) for each in labels[own]]
    for _ in range(3):
        step(ImageList(tensors[own], [(8, 8)] * len(targets)), targets, lambda: ["an image"])
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def main(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    seen = {name: train(options, rank, 2) for name, options in METHODS.items()}
    seen |= {name: train(options, rank, 2, portions=2) for name, options in HALVES.items()}
    seen["portions"] = train((), rank, 2, portions=3)
    seen["weighted"] = train_weighted(rank, 2), ()
    torch.save(seen, f"{folder}/rank{rank}.pth")
    dist.destroy_process_group()
