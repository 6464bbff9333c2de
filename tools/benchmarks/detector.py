"""Mask R-CNN R-50-FPN beside torchvision's `maskrcnn_resnet50_fpn`: training, inference and memory.

Both networks start from the same random weights and see the same images and objects, which are on the device before
the clock starts: bitmaps of the masks for both, so that none is drawn meanwhile. Both compute in the same precision,
that of our config: DTYPE and TF32 in training, TEST.DTYPE and TEST.TF32 in inference. Ours is the configuration of the
original library as it stands, trained by the training step of `tools/train_net.py`; torchvision's has frozen batch norm
and a frozen stem and first stage like it.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FrozenBatchNorm2d

from benchmarks.timing import format_table, free_memory, medians, take_turns, wait_for
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.engine.precision import autocast, float32_precision, inference_precision
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.roi_heads.mask_head.inference import Masker
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.model_serialization import load_state_dict
from maskrcnn_benchmark.utils.weights.torchvision_weights import convert

CONFIG = "configs/e2e_mask_rcnn_R_50_FPN_1x.yaml"
ROOT = Path(__file__).parents[2]
NUM_CLASSES = 81
LEARNING_RATE = 1e-5  # small, so that random weights stay as they are while they are timed
MIB = 2**20
INFERENCES_PER_ROUND = 3  # they are short, and so more easily disturbed

# What keeps a residual network with frozen norms and random weights in range, and what makes some of its random class
# scores exceed the score threshold, so that inference has the usual hundred detections to describe
RESIDUAL_SCALE, SCORE_SPREAD = 0.2, 0.3


def measure(args):
    """Time both networks alternately, then measure the memory of each alone. Returns the result's dictionary."""
    # One after the other, with networks of their own: a process that tests does not train in between
    detections, seconds = time_inference(args)
    free_memory()
    seconds |= time_training(args)
    free_memory()
    print(format_table(seconds))
    memory = {} if args.skip_memory else {name: measure_memory(name, args) for name in NETWORKS}
    for name, mib in memory.items():
        print(f"{name}, peak memory of training: {mib:.0f} MiB")
    ratios = ratios_of(medians(seconds), memory)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.3f}")
    return {
        **ratios,
        "seconds": medians(seconds),
        "all_seconds": seconds,
        "peak_training_memory_mib": memory,
        "detections": detections,
        "rounds": {name: len(taken) for name, taken in seconds.items()},
        "image": [args.height, args.width],
        "batch": args.batch,
        "objects": args.objects,
        "config_file": CONFIG,
        "options": args.opts,
    }


def time_inference(args):
    """({name: detections}, {"NAME, infer": list of seconds}) on one image."""
    networks, image = build_networks(args), make_batch(args, 1)[0].to(args.device)
    detections = {name: network.infer(image) for name, network in networks.items()}
    print(", ".join(f"{name}: {count} detections" for name, count in detections.items()))
    actions = {f"{name}, infer": lambda turn, infer=network.infer: infer(image) for name, network in networks.items()}
    return detections, take_turns(actions, args.rounds * INFERENCES_PER_ROUND, args.warmup)


def time_training(args):
    """{"NAME, train": list of seconds} of training steps on one batch."""
    images, objects = make_batch(args, args.batch)
    batch = images.to(args.device), drawn(objects, images.shape[-1], images.shape[-2], args.device)
    actions = {}
    for name, network in build_networks(args).items():
        targets = network.targets_of(batch)
        actions[f"{name}, train"] = lambda turn, run=network.train_step, targets=targets: run(batch[0], targets)
    return take_turns(actions, args.rounds, args.warmup)


def ratios_of(median, memory):
    """The figures of merit; less is better.

    Args:
        median: {"ours, train", "ours, infer", "torchvision, train", "torchvision, infer": seconds}.
        memory: {"ours", "torchvision": MiB}, or {}.
    """
    ratios = {
        f"{kind}_ratio_vs_torchvision": median[f"ours, {kind}"] / median[f"torchvision, {kind}"]
        for kind in ("train", "infer")
    }
    if memory:
        ratios["memory_ratio_vs_torchvision"] = memory["ours"] / memory["torchvision"]
    return ratios


class Ours:
    """Our network, from the weights of torchvision's."""

    def __init__(self, args, weights):
        cfg = read_config(args)
        self.device = torch.device(args.device)
        self.model = build_detection_model(cfg).to(self.device)
        state, _ = convert(weights, self.model, cfg, "torchvision's random weights")
        load_state_dict(self.model, state)
        self.precision = Precision(cfg, self.device)
        combiner = build_loss_combiner(cfg, enabled_tasks(cfg)).to(self.device)
        self.step = TrainingStep(
            self.model, combiner, make_optimizer(cfg, self.model, combiner), self.device, dtype=cfg.DTYPE
        )
        self.masker = Masker(threshold=0.5, padding=1)

    def targets_of(self, batch):
        """The `ImageAnnotations` of a batch that is on the device, see `drawn`."""
        size = batch[0].shape[-1], batch[0].shape[-2]
        targets = []
        for boxes, labels, masks in batch[1]:
            instances = BoxList(boxes, size)
            instances.add_field("labels", labels)
            instances.add_field("masks", SegmentationMask(masks, size, mode="mask"))
            targets.append(ImageAnnotations(size, instances=instances))
        return targets

    def train_step(self, images, targets):
        """One iteration: what training does between two batches; the step has its own autocast."""
        self.model.train()
        with self.precision.float32_of_training():
            self.step(_image_list(images), targets, lambda: ["an image of the benchmark"])
        wait_for(self.device)

    def infer(self, images):
        """Detections with their masks pasted into the image; returns how many there are."""
        self.model.eval()
        with torch.no_grad(), self.precision.of_inference():
            (found,) = self.model(_image_list(images))
            (masks,) = self.masker([found.get_field("mask")], [found])
        wait_for(self.device)
        return len(masks)


class Torchvision:
    """torchvision's network as its reference training drives it."""

    def __init__(self, args, weights):
        self.device = torch.device(args.device)
        self.model = build_torchvision(args)
        self.model.load_state_dict(weights)
        self.model.to(self.device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
        self.precision = Precision(read_config(args), self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.dtype == "float16")

    def targets_of(self, batch):
        """The dictionaries of a batch that is on the device, see `drawn`."""
        return [dict(zip(("boxes", "labels", "masks"), each)) for each in batch[1]]

    def train_step(self, images, targets):
        """One iteration."""
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.precision.float32_of_training():
            with autocast(self.precision.dtype, self.device):
                losses = self.model(list(images), targets)
            self.scaler.scale(sum(losses.values())).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        wait_for(self.device)

    def infer(self, images):
        """Detections with their masks pasted into the image; returns how many there are."""
        self.model.eval()
        with torch.no_grad(), self.precision.of_inference():
            (found,) = self.model(list(images))
        wait_for(self.device)
        return len(found["masks"])


class Precision:
    """In what both networks compute, by the options of a config: `dtype` names the autocast of training."""

    def __init__(self, cfg, device):
        self.dtype, self._tf32, self._test, self._device = cfg.DTYPE, cfg.TF32, cfg.TEST, device

    def float32_of_training(self):
        return float32_precision(self._tf32)

    def of_inference(self):
        return inference_precision(self._test.DTYPE, self._test.TF32, self._device)


NETWORKS = {"ours": Ours, "torchvision": Torchvision}


def read_config(args):
    """Our config for the arguments."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(ROOT / CONFIG)
    cfg.merge_from_list(["MODEL.WEIGHT", "", "MODEL.DEVICE", args.device, "SOLVER.BASE_LR", LEARNING_RATE])
    cfg.merge_from_list(args.opts)
    check_options(cfg)
    return cfg


def build_networks(args):
    """{name: network}, all from the same weights."""
    weights = random_weights(args)
    return {name: network(args, weights) for name, network in NETWORKS.items()}


def build_torchvision(args):
    """torchvision's Mask R-CNN for images of the benchmark's size, which it leaves as they are."""
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=FrozenBatchNorm2d, trainable_layers=3
    )
    sides = sorted((args.height, args.width))
    # Images come normalised, as ours do
    return MaskRCNN(
        backbone, NUM_CLASSES, min_size=sides[0], max_size=sides[1], image_mean=[0.0] * 3, image_std=[1.0] * 3
    )


def random_weights(args):
    """The state dict of a torchvision Mask R-CNN with random weights that keep activations and scores in range."""
    torch.manual_seed(0)
    model = build_torchvision(args)
    for name, module in model.named_modules():
        if name.endswith("bn3"):
            module.weight.fill_(RESIDUAL_SCALE)
    nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight, std=SCORE_SPREAD)
    return model.state_dict()


def make_batch(args, count):
    """Random images and elliptical objects.

    Returns:
        float [count, 3, height, width], normalised RGB; and for each image boxes float [O, 4] xyxy, labels int64 [O] in
        1..80 and polygons, a list of O lists with one polygon each.
    """
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, args.height, args.width, generator=generator)
    extent = torch.tensor([args.width, args.height], dtype=torch.float32)
    angle = torch.linspace(0, 2 * torch.pi, 33)[:-1]
    circle = torch.stack((angle.cos(), angle.sin()), 1)
    objects = []
    for _ in range(count):
        sides = (0.05 + 0.45 * torch.rand(args.objects, 2, generator=generator)) * extent
        corner = torch.rand(args.objects, 2, generator=generator) * (extent - sides - 1)
        outline = corner[:, None] + sides[:, None] * (1 + circle) / 2
        labels = torch.randint(1, NUM_CLASSES, (args.objects,), generator=generator)
        polygons = [[points.flatten().tolist()] for points in outline]
        objects.append((torch.cat((corner, corner + sides), 1), labels, polygons))
    return images, objects


def drawn(objects, width, height, device):
    """The objects of `make_batch` with bitmaps uint8 [O, height, width] for their polygons, on the device."""
    masks = [SegmentationMask(polygons, (width, height), mode="mask").instances.masks for _, _, polygons in objects]
    return [(boxes.to(device), labels.to(device), mask.to(device)) for (boxes, labels, _), mask in zip(objects, masks)]


def measure_memory(name, args):
    """MiB that training takes at its peak, beyond the libraries, in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_memory_of_training, name, args).result()


def _memory_of_training(name, args):
    libraries = _peak_resident()
    network, (images, objects) = NETWORKS[name](args, random_weights(args)), make_batch(args, args.batch)
    batch = images.to(args.device), drawn(objects, args.width, args.height, args.device)
    targets = network.targets_of(batch)
    for _ in range(2):
        network.train_step(batch[0], targets)
    if network.device.type == "cuda":
        return torch.cuda.max_memory_allocated(network.device) / MIB
    return _peak_resident() - libraries


def _peak_resident():
    """MiB of memory that this process has held at its peak so far (Linux)."""
    # not getrusage, whose figure a process inherits from the one that started it
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def _image_list(images):
    return ImageList(images, [image.shape[-2:] for image in images])
