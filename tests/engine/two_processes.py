"""What the tests of data parallelism run in each of two processes; it leaves what it saw in a file per rank."""

import contextlib
import logging
import os

import torch
import torch.distributed as dist
from fakes import Target, TwoTasks, make_cfg, run_training
from task_weights import of_tasks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_benchmark.data.samplers import DistributedSampler
from maskrcnn_benchmark.engine.data_parallel import GradientAverage, average_batch_norm_statistics, broadcast_state
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork
from maskrcnn_benchmark.engine.progress import Progress
from maskrcnn_benchmark.engine.step import StepOutcome, TrainingStep
from maskrcnn_benchmark.multitask.interactions import GradientStatistics
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import Interrupted, UserError


def main(rank, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    seen = {
        "gradients": gradients(rank),
        "sent_early": [sent_early(overlaps) for overlaps in (True, False)],
        "broadcast": broadcast(rank),
        "batch_norm": batch_norm(rank),
        "not_finite": not_finite(rank),
        "partial": partial_labels(rank),
        "overlapped": {case: overlapped(rank, 2, *case) for case in OVERLAPPED},
        "wrapped": wrapped(rank),
        "stopped": stopped_on_one(rank, folder),
        "trained": trained(rank, folder),
        "judged": judged(rank, folder),
        "shown": shown(rank),
        "tested": tested(),
    }
    torch.save(seen, f"{folder}/rank{rank}.pth")
    dist.destroy_process_group()


def gradients(rank):
    """Parameter 0 is used by both ranks, 1 by the second only, 2 by none; 3 is of another type and layout."""
    parameters = [nn.Parameter(torch.zeros(3)) for _ in range(3)]
    parameters.append(nn.Parameter(torch.zeros(1, 2, 2, 2, dtype=torch.float64)))
    parameters[0].grad = torch.full((3,), 1.0 + rank)
    if rank == 1:
        parameters[1].grad = torch.full((3,), 4.0)
    grid = torch.arange(8.0, dtype=torch.float64).reshape(1, 2, 2, 2) * (1 + rank)
    parameters[3].grad = grid.contiguous(memory_format=torch.channels_last) if rank else grid
    average = GradientAverage([parameters], bucket_bytes=8)
    average.begin()
    average.send_rest()
    average.wait()
    present = torch.tensor(average.present(), dtype=torch.uint8)
    dist.all_reduce(present, dist.ReduceOp.MAX)
    average.leave_unused(present.tolist())
    return [p.grad for p in parameters]


def sent_early(overlaps):
    """(sent within the last pass, after it) of gradients that are all complete before it."""
    parameters = [nn.Parameter(torch.zeros(4)) for _ in range(3)]
    for parameter in parameters:
        parameter.grad = torch.ones(4)
    average = GradientAverage([parameters], overlaps, bucket_bytes=16)
    average.begin()
    with counted_sends() as sends:
        with average.last_pass(parameters):
            during = len(sends)
        average.send_rest()
        average.wait()
    assert all(p.grad.tolist() == [1.0] * 4 for p in parameters)
    return during, len(sends) - during


@contextlib.contextmanager
def counted_sends(events=None):
    """What is sent without waiting for it, as numbers of entries: list."""
    events, send = [] if events is None else events, dist.all_reduce

    def watched(tensor, *args, **options):
        if options.get("async_op"):
            events.append(tensor.numel())
        return send(tensor, *args, **options)

    dist.all_reduce = watched
    try:
        yield events
    finally:
        dist.all_reduce = send


def broadcast(rank):
    layer = nn.BatchNorm1d(2)
    with torch.no_grad():
        layer.weight.fill_(rank + 1)
        layer.running_mean.fill_(rank + 5)
    broadcast_state(layer)
    return [layer.weight.detach().clone(), layer.running_mean.clone()]


def batch_norm(rank):
    layer = nn.Sequential(nn.BatchNorm1d(1))
    layer[0].running_mean.fill_(rank)
    layer[0].running_var.fill_(2 + rank)
    average_batch_norm_statistics(layer)
    return [layer[0].running_mean.item(), layer[0].running_var.item()]


def one_step(model, targets, factor=1.0):
    """A step of SGD with momentum and decay on as many images as there are targets."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    images = ImageList(factor * torch.ones(len(targets), 3, 4, 4), [(4, 4)] * len(targets))
    combiner = LossCombiner(of_tasks({"semantic": 1.0, "classification": 1.0}))
    return TrainingStep(model, combiner, optimizer, "cpu")(
        images, targets, lambda: [f"{t.semantic}.jpg" for t in targets]
    )


def plain_model():
    torch.manual_seed(3)
    model = TwoTasks()
    model.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
    return model


def not_finite(rank):
    model = plain_model()
    before = model.semantic.weight.detach().clone()
    try:
        one_step(model, [Target(float("nan") if rank == 1 else 0.5, None)])
    except UserError as error:
        return str(error), before.equal(model.semantic.weight)
    return None


def partial_labels(rank):
    """Rank 0 knows nothing at all of its image, rank 1 only one task: nobody hangs, and the weights stay equal."""
    model = plain_model()
    start = [p.detach().clone() for p in model.parameters()]
    one_step(model, [Target(None if rank == 0 else 0.7, None)])
    return {n: (s, p.detach()) for (n, p), s in zip(model.named_parameters(), start)}


class ManyLayers(nn.Module):
    """A trunk of several layers and two heads, named as in a detector."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = [layer for _ in range(4) for layer in (nn.Linear(48, 48), nn.Tanh())]
        self.backbone = nn.Sequential(nn.Flatten(), *layers)
        self.fpn_heads = nn.Module()
        self.fpn_heads.heads = nn.ModuleDict({"semantic": nn.Linear(48, 1), "classes": nn.Linear(48, 1)})

    def forward(self, images, targets):
        features, heads, losses = self.backbone(images.tensors), self.fpn_heads.heads, {}
        wanted = {
            "semantic": [None if t.semantic is None else float(t.semantic.labels[0, 0]) for t in targets],
            "classes": [None if t.classes is None else float(t.classes[0]) for t in targets],
        }
        for name, values in wanted.items():
            known = [i for i, value in enumerate(values) if value is not None]
            if known:
                error = heads[name](features[known])[:, 0] - torch.tensor([values[i] for i in known])
                losses["loss_semantic" if name == "semantic" else "loss_classification"] = error.square().mean()
        return losses


def annotated(semantic, classes):
    return ImageAnnotations(
        (4, 4),
        semantic=None if semantic is None else SemanticMap(torch.full((4, 4), semantic, dtype=torch.uint8)),
        classes=None if classes is None else torch.tensor([classes]),
    )


# Rank 0 knows no class. In the second step nobody does.
LABELS = [[(1, None), (3, None), (None, 1.0), (2, -1.0)], [(1, None), (2, None), (0, None), (None, None)]]


OVERLAPPED = [(1, "float32"), (2, "float32"), (1, "float16")]


def overlapped(rank, ranks, portions, dtype):
    """(weights after some steps, what happened in the backward pass of the last one) of this rank's images."""
    model, events = ManyLayers(), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    combiner = LossCombiner(of_tasks({"semantic": 1.0, "classification": 1.0}))
    step = TrainingStep(model, combiner, optimizer, "cpu", dtype, accumulate=portions, bucket_bytes=48 * 49 * 4)
    model.backbone[1].weight.register_hook(lambda gradient: events.append("first layer"))
    with counted_sends(events):
        for labels in (LABELS[0], LABELS[1], LABELS[0]):
            events.clear()
            own = range(len(labels) * rank // ranks, len(labels) * (rank + 1) // ranks)
            images = torch.stack([torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(i)) for i in own])
            step(ImageList(images, [(4, 4)] * len(own)), [annotated(*labels[i]) for i in own], list)
    return {name: p.detach().clone() for name, p in model.named_parameters()}, events


def wrapped(rank):
    """A model in DistributedDataParallel moves as an unwrapped one does."""
    import random

    import numpy as np

    weights = []
    for wrap in (lambda m: m, DistributedDataParallel):
        random.seed(0)
        np.random.seed(0)
        model = plain_model()
        one_step(wrap(model), [Target(0.1 + rank, 0.2 + rank)])
        weights.append(model.semantic.weight.detach())
    return weights


def stopped_on_one(rank, folder):
    """One rank is asked to stop; both do, after the same step, and resume."""
    import signal

    cfg = make_cfg(f"{folder}/stopped", "SOLVER.EMA_DECAY", 0.5)
    calls = []

    def maybe():
        calls.append(None)
        if rank == 1 and len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        run_training(cfg, before_forward=maybe)
    except Interrupted as stop:
        return str(stop), weights_and_average(cfg)
    return None


def trained(rank, folder):
    return weights_and_average(make_cfg(f"{folder}/whole", "SOLVER.EMA_DECAY", 0.5))


def judged(rank, folder):
    """What both have done after two evaluations, of which only the main process knows the results."""
    options = ("SOLVER.TEST_PERIOD", 1, "SOLVER.BEST.METRIC", "semantic/mIoU", "SOLVER.BEST.PATIENCE", 1)
    values, counts = iter((0.4, 0.3)), []

    def evaluate():
        result = {"semantic": {"headline": "mIoU", "metrics": {"mIoU": next(values)}, "trivial": {}}}
        return result if rank == 0 else None

    cfg = make_cfg(f"{folder}/judged", *options, "SOLVER.EMA_DECAY", 0.5)
    run_training(cfg, before_forward=lambda: counts.append(None), evaluate=evaluate)
    best, final = (torch.load(f"{folder}/judged/model_{name}.pth", weights_only=True) for name in ("best", "final"))
    return len(counts), best["iteration"], final["iteration"], final["best_evaluation"]["since"]


def weights_and_average(cfg):
    weights = run_training(cfg).state_dict()
    averaged = torch.load(f"{cfg.OUTPUT_DIR}/model_final.pth", weights_only=True)["model_ema"]
    assert averaged.keys() == weights.keys() and not averaged["semantic.weight"].equal(weights["semantic.weight"])
    return [value.clone() for value in (*weights.values(), *averaged.values())]


def shown(rank):
    """What a rank logs of a step that looked at the gradients; its images lack one task on rank 0."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log = logging.getLogger("maskrcnn_benchmark.engine.progress")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    losses = [{"loss_semantic": 1.0}, {"loss_semantic": 2.0, "loss_classification": 4.0}][rank]
    weights = [{"semantic": 1.0}, {"semantic": 1.0, "classification": 0.5}][rank]
    gradients = GradientStatistics({"semantic": 3.0, "classification": 5.0}, {("semantic", "classification"): -0.5})
    with Progress(0, 9, 5, "") as progress:
        progress.step(1, StepOutcome(losses, {}, 1.0, 1.0, False, weights, {}, gradients), 0.1, 1)
    log.removeHandler(handler)
    return lines


class Five(torch.utils.data.Dataset):
    """Five images with one label each."""

    vocabulary = Vocabulary(image_label_names=("cat", "dog"))

    def __len__(self):
        return 5

    def get_img_info(self, index):
        return {"width": 4, "height": 4, "image_id": index}

    def get_annotations(self, index):
        return ImageAnnotations((4, 4), classes=torch.tensor([index % 2, 1 - index % 2]).float(), image_id=index)

    def __getitem__(self, index):
        return torch.full((3, 4, 4), float(index)), None, index


class Guess(nn.Module):
    """Right on all images but number 4; it has buffers, which `DistributedDataParallel` would keep in step."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.seen = []

    def forward(self, images):
        self.norm(images.tensors)
        indices = [int(pixels[0, 0, 0]) for pixels in images.tensors]
        self.seen += indices
        rows = [[0.9, 0.1] if index == 4 else [0.5 * (index % 2), 0.5 * (1 - index % 2)] for index in indices]
        return [ImagePrediction((4, 4), classes=torch.tensor(row).float()) for row in rows]


def tested():
    """(images that this rank saw, results): an odd number of images in batches of two, the model wrapped."""

    def collate(batch):
        images, _, indices = zip(*batch)
        return ImageList(torch.stack(images), [(4, 4)] * len(images)), [None] * len(images), list(indices)

    dataset, model = Five(), Guess()
    sampler = DistributedSampler(dataset, shuffle=False, pad=False)
    loader = torch.utils.data.DataLoader(dataset, sampler=sampler, batch_size=2, collate_fn=collate)
    network = InferenceNetwork(DistributedDataParallel(model), "cpu")
    results = Evaluation([TASKS["classification"]]).run(network, loader, "five")
    return model.seen, results
