"""A network with a trunk of two feature maps, one made from the other, and three heads; and targets that it reads."""

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.structures.dense_map import BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.tasks.task import annotated_tasks

SIZE = (8, 6)  # width, height
TASKS = ("semantic", "boundary", "classification")


class ToyNetwork(nn.Module):
    """Losses are means over the images that are annotated. `stem` is frozen, `unused` is reached by no loss."""

    def __init__(self, layout=torch.contiguous_format):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = Trunk()
        self.semantic = nn.Conv2d(5, 1, 1)
        self.boundary = nn.Conv2d(5, 1, 3, padding=1)
        self.classes = nn.Linear(5, 1)
        self.layout = layout
        self.to(memory_format=layout)

    def forward(self, images, targets):
        fine, coarse = self.backbone(images.tensors.to(memory_format=self.layout))
        answers = {
            "semantic": self.semantic(fine).mean((1, 2, 3)),
            "boundary": (self.boundary(fine).mean((2, 3)) * coarse.amax((2, 3))).mean(1),
            "classification": self.classes(coarse.mean((2, 3)))[:, 0],
        }
        losses = {}
        for key, answer in answers.items():
            known = [i for i, target in enumerate(targets) if key in annotated_tasks(target)]
            if known:
                wanted = torch.tensor([value_of(targets[i], key) for i in known], device=answer.device)
                losses[f"loss_{key}"] = F.mse_loss(answer[known].float(), wanted)
        return losses


class Trunk(nn.Module):
    """A pyramid of two levels; the second is made from the first, as P6 is from P5."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1).requires_grad_(False)
        self.body = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, 5, 3, padding=1))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        fine = self.body(self.stem(x))
        return [fine, F.max_pool2d(fine, 2)]


def value_of(target, key):
    """The number that a target wants from a task."""
    if key == "semantic":
        return float(target.semantic.labels[0, 0])
    if key == "boundary":
        return -3.0 * float(target.boundary.edges.float().mean())
    return float(target.classes[0])


def annotations(values):
    """{task key: number} -> `ImageAnnotations` that want these numbers and know nothing of the other tasks."""
    width, height = SIZE
    members = {}
    if "semantic" in values:
        members["semantic"] = SemanticMap(torch.full((height, width), int(values["semantic"]), dtype=torch.uint8))
    if "boundary" in values:
        edges = torch.zeros(height, width, dtype=torch.uint8)
        edges[: int(values["boundary"])] = 1
        members["boundary"] = BoundaryMap(edges)
    if "classification" in values:
        members["classes"] = torch.tensor([float(values["classification"])])
    return ImageAnnotations(SIZE, **members)


def images_of(numbers):
    """An `ImageList`, each image drawn from its number."""
    tensors = [torch.randn(3, SIZE[1], SIZE[0], generator=torch.Generator().manual_seed(n)) for n in numbers]
    return ImageList(torch.stack(tensors), [(SIZE[1], SIZE[0])] * len(tensors))


WHOLE = [{"semantic": i, "boundary": i % 4, "classification": (-1) ** i} for i in range(4)]
PARTIAL = [
    {"semantic": 3, "classification": 1},
    {"semantic": 1},
    {"classification": -1, "boundary": 2},
    {"boundary": 4, "classification": 0},
]
