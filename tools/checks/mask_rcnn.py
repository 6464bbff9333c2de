"""Stage: Mask R-CNN R-50-FPN beside torchvision's, on the same images and objects, in turn and in one process."""

from types import SimpleNamespace

import torch

from benchmarks import detector
from benchmarks.timing import wait_for
from checks.eight_tasks import compare_times, free_memory, look_into
from checks.networks import precision_options
from checks.stage import Findings, Setting
from maskrcnn_benchmark.engine.precision import autocast
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.utils.precision import float32_precision as tf32

MOST_TIMES = {"train": 1.0, "infer": 1.0}  # not slower than torchvision
FULL = {"height": 800, "width": 1088, "batch": 2, "objects": 8}
SMALL = {"height": 64, "width": 96, "batch": 1, "objects": 2}
# (DTYPE, TF32, what the rows call it)
PRECISIONS = (("float32", True, "TF32"), ("bfloat16", True, "bfloat16"))
PRECISIONS_ON_CPU = (("float32", False, "float32"),)


def check(setting: Setting, findings: Findings) -> None:
    """Both networks in turn in each precision; then a training step of each alone, looked into."""
    precisions = PRECISIONS if setting.on_cuda else PRECISIONS_ON_CPU
    for dtype, rounded, name in precisions:
        with findings.attempt("runs", name), tf32(rounded):
            actions = {}
            for key, side in SIDES.items():
                built = side(setting, dtype, rounded)
                actions |= {f"{key}, train": built.train, f"{key}, infer": built.infer}
            compare_times(setting, findings, actions, name, MOST_TIMES, "ours", "torchvision")
        actions = built = None
        free_memory(setting)
    dtype, rounded, name = precisions[0]
    for key, side in SIDES.items():
        group = f"{key}, {name}"
        with findings.attempt("runs", group), tf32(rounded):
            look_into(setting, findings, side(setting, dtype, rounded).train, group)
        free_memory(setting)


class _Side:
    """A network and what it is given, which lies on the device before any clock starts.

    Args:
        name: of a network of `benchmarks.detector`.
        dtype, rounded: DTYPE and TF32.
    """

    def __init__(self, name, setting, dtype, rounded):
        size = SimpleNamespace(**(SMALL if setting.small else FULL), device=setting.device)
        size.opts = list(precision_options(dtype, rounded))
        self.device, self.dtype = setting.device, dtype
        self.network = detector.NETWORKS[name](size, detector.random_weights(size))
        images, objects = detector.make_batch(size, size.batch)
        self.images, self.size = images.to(self.device), (size.width, size.height)
        self.objects = [
            tuple(tensor.to(self.device) for tensor in (boxes, labels, _bitmaps(polygons, self.size)))
            for boxes, labels, polygons in objects
        ]

    def _predict(self, images):
        self.network.model.eval()
        with torch.no_grad(), autocast(self.dtype, self.device):
            found = self.network.model(images)
        return found


class Ours(_Side):
    """Our network, trained by our training step; in inference with its masks pasted into the image."""

    def __init__(self, setting, dtype, rounded):
        super().__init__("ours", setting, dtype, rounded)
        self.targets = [self._target(*each) for each in self.objects]

    def train(self, turn=0):
        """A training step."""
        self.network.model.train()
        self.network.step(self._list(len(self.images)), self.targets, lambda: ["an image of the check"])
        wait_for(self.device)

    def infer(self, turn=0):
        """Detections of one image."""
        (found,) = self._predict(self._list(1))
        self.network.masker([found.get_field("mask")], [found])
        wait_for(self.device)

    def _list(self, count):
        return ImageList(self.images[:count], [image.shape[-2:] for image in self.images[:count]])

    def _target(self, boxes, labels, masks):
        instances = BoxList(boxes, self.size)
        instances.add_field("labels", labels)
        instances.add_field("masks", SegmentationMask(masks, self.size, mode="mask"))
        return ImageAnnotations(self.size, instances=instances)


class Torchvision(_Side):
    """torchvision's network, driven as its reference training does."""

    def __init__(self, setting, dtype, rounded):
        super().__init__("torchvision", setting, dtype, rounded)
        self.targets = [dict(zip(("boxes", "labels", "masks"), each)) for each in self.objects]

    def train(self, turn=0):
        """A training step."""
        self.network.model.train()
        self.network.optimizer.zero_grad(set_to_none=True)
        with autocast(self.dtype, self.device):
            losses = self.network.model(list(self.images), self.targets)
        sum(losses.values()).backward()
        self.network.optimizer.step()
        wait_for(self.device)

    def infer(self, turn=0):
        """Detections of one image."""
        self._predict(list(self.images[:1]))
        wait_for(self.device)


SIDES = {"ours": Ours, "torchvision": Torchvision}


def _bitmaps(polygons, size):
    """uint8 [O, H, W] of the polygons of O objects."""
    return SegmentationMask(polygons, size).get_mask_tensor()
