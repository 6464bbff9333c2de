"""A network, a data set and a loader so small that a whole training takes a fraction of a second."""

import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data.sampler import BatchSampler, SequentialSampler

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.samplers import IterationBasedBatchSampler
from maskrcnn_benchmark.engine.trainer import Training
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer


class Target:
    """What is known of an image: a number, or None where nobody looked."""

    def __init__(self, semantic, classes):
        self.semantic, self.classes = semantic, classes

    def to(self, device):
        return self


class Numbers(torch.utils.data.Dataset):
    """Images 4x4 with partial labels: one in three lacks `semantic`, one in four `classes`."""

    def __init__(self, length=12):
        self.length = length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        image = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(index))
        return image, Target(None if index % 3 == 2 else index / 10, None if index % 4 == 3 else -index / 10), index

    def get_img_info(self, index):
        return {"file_name": f"{index:04d}.jpg", "height": 4, "width": 4, "image_id": index}


class TwoTasks(nn.Module):
    """Trunk with batch norm and dropout, two heads; it draws from Python's and NumPy's random numbers, too."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
        self.semantic = nn.Linear(32, 1)
        self.classes = nn.Linear(32, 1)
        self.before_forward = lambda: None

    def forward(self, images, targets=None):
        self.before_forward()
        features = self.backbone(images.tensors) * (1 + 0.1 * random.random() + 0.1 * np.random.rand())
        losses = {}
        for name, head in (("semantic", self.semantic), ("classes", self.classes)):
            known = [i for i, target in enumerate(targets) if getattr(target, name) is not None]
            if known:
                wanted = torch.tensor([getattr(targets[i], name) for i in known])
                loss = (head(features[known])[:, 0] - wanted).square().mean()
                losses["loss_semantic" if name == "semantic" else "loss_classification"] = loss
        return losses


def collate(batch):
    images, targets, indices = zip(*batch)
    return to_image_list(images), list(targets), list(indices)


def make_loader(max_iter, start_iter=0, images=4, workers=0):
    dataset = Numbers()
    batches = BatchSampler(SequentialSampler(dataset), images, drop_last=False)
    sampler = IterationBasedBatchSampler(batches, max_iter, start_iter)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=collate, num_workers=workers)


def make_cfg(folder, *options):
    cfg = default_cfg.clone()
    model, solver = cfg.MODEL, cfg.SOLVER
    model.DEVICE, model.DETECTION_ON, model.SEMANTIC_ON, model.CLASSIFICATION_ON = "cpu", False, True, True
    solver.MAX_ITER, solver.STEPS, solver.CHECKPOINT_PERIOD, solver.LOG_PERIOD = 6, (5,), 2, 2
    solver.BASE_LR, solver.WARMUP_ITERS = 0.05, 3
    cfg.OUTPUT_DIR = str(folder)
    cfg.merge_from_list(options)
    return cfg


def run_training(cfg, before_forward=lambda: None, evaluate=None, workers=0, model=None):
    """Build everything, resume if OUTPUT_DIR has a checkpoint, train, and return the model."""
    torch.manual_seed(cfg.SOLVER.SEED)
    model = TwoTasks() if model is None else model
    model.before_forward = before_forward
    combiner = build_loss_combiner(cfg, enabled_tasks(cfg))
    optimizer = make_optimizer(cfg, model, combiner)
    scheduler = make_lr_scheduler(cfg, optimizer)
    checkpointer = DetectronCheckpointer(cfg, model, optimizer, scheduler, cfg.OUTPUT_DIR)
    arguments = {"iteration": 0, **checkpointer.load(only_weights=True)}
    loader = make_loader(cfg.SOLVER.MAX_ITER, arguments["iteration"], workers=workers)
    solver = cfg.SOLVER
    training = Training(cfg, model, optimizer, scheduler, checkpointer, "cpu", arguments, combiner)
    training.run(loader, solver.CHECKPOINT_PERIOD, solver.TEST_PERIOD, evaluate)
    return model
