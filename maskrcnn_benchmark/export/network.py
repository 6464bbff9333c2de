"""A trained network as one module from an image to named tensors, which can be traced with any image size."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.export.regions import (
    TensorPooler,
    detect,
    detect_in_one_stage,
    keypoints_of,
    masks_of,
    parts_of,
    propose,
)
from maskrcnn_benchmark.layers.largest_channel import Places, interpolate_at
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.modeling.poolers import Pooler


class ExportableNetwork(nn.Module):
    """One image in, named tensors out. `export.signature.OUTPUTS` says what each is.

    Args:
        model: `GeneralizedRCNN` in evaluation mode on a CPU. It is copied.
        cfg: its config; INPUT and DATALOADER.SIZE_DIVISIBILITY are read.
        nms: `suppression.apart_nms` or `suppression.onnx_nms`.
    """

    def __init__(self, model, cfg, nms):
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
        for module in list(self.model.modules()):
            if isinstance(getattr(module, "pooler", None), Pooler):
                module.pooler = TensorPooler(module.pooler)
        self.nms = nms
        self.size_divisible = max(1, cfg.DATALOADER.SIZE_DIVISIBILITY)
        self.is_bgr = cfg.INPUT.TO_BGR255
        self.register_buffer("mean", torch.tensor(cfg.INPUT.PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg.INPUT.PIXEL_STD).view(3, 1, 1), persistent=False)

    def forward(self, image):
        """uint8 [3, H, W] RGB -> {name: tensor}, in the order of `OUTPUTS`."""
        size = image.shape[1:]
        batch = self._padded(self._normalised(image))[None]
        features = self.model.backbone(batch)
        answers = {}
        if self.model.rpn is not None:
            answers.update(self._regions(features, size))
        if self.model.fpn_heads is not None:
            answers.update(self._maps(features, batch, size))
        return answers

    def _normalised(self, image):
        """As `data.transforms` does it."""
        image = image.to(torch.float32) / 255
        if self.is_bgr:
            image = image.flip(0) * 255
        return (image - self.mean) / self.std

    def _padded(self, image):
        if self.size_divisible == 1:
            return image
        below, right = (-side % self.size_divisible for side in image.shape[1:])
        return F.pad(image, (0, right, 0, below))

    def _regions(self, features, size):
        if self.model.roi_heads is None:
            found = detect_in_one_stage(self.model.rpn, features, size, self.nms)
            return found._asdict()
        heads = self.model.roi_heads
        found = detect(heads["box"], features, propose(self.model.rpn, features, size, self.nms), size, self.nms)
        answers = found._asdict()
        if "mask" in heads:
            answers["masks"] = masks_of(heads["mask"], features, found)
        if "keypoint" in heads:
            answers["keypoints"], answers["keypoint_scores"] = keypoints_of(heads["keypoint"], features, found)
        if "part" in heads:
            answers["parts"] = parts_of(heads["part"], features, found)
        return answers

    def _maps(self, pyramid, batch, size):
        """Whole-image answers in the pixels of the image, without padding."""
        heads = self.model.fpn_heads
        features = heads.features(pyramid, batch, [tuple(size)])
        scores = {name: head.scores(features)[0] for name, head in heads.heads.items()}
        answers = {}
        for name in ("semantic", "part_map"):
            if name in scores:
                answers[name] = _enlarged(scores[name], size)
        for name in ("boundary", "occlusion"):
            if name in scores:
                answers[name] = _first_cells(scores[name], *size)
        if "boundary" in answers:
            answers["boundary"] = answers["boundary"][0]
        if "classes" in scores:
            answers["classes"] = scores["classes"]
        return answers


def _enlarged(scores, size):
    """As `ScoreMap.resize` to the image's own pixels: [C, h, w] at the trunk's stride -> [C, height, width]."""
    height, width = size
    # not -(-height // 4), which ONNX rounds the other way
    cells = _first_cells(scores, *((side + DENSE_STRIDE - 1) // DENSE_STRIDE for side in size))
    for axis, side in ((1, height), (2, width)):
        places = Places.of_pixels(side, side / DENSE_STRIDE, cells.shape[axis], cells.device)
        cells = interpolate_at(cells, axis, places)
    return cells


def _first_cells(scores, height, width):
    """scores[:, :height, :width], without the question whether that is all of them, which a slice asks of the tracer"""
    return scores.index_select(1, torch.arange(height)).index_select(2, torch.arange(width))
