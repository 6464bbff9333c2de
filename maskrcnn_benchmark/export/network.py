"""A trained network as one module from an image to named tensors, which can be traced with any image size."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.export.regions import (
    Detections,
    TensorPooler,
    detect,
    detect_in_one_stage,
    propose,
    with_spare,
)
from maskrcnn_benchmark.export.signature import heads_of, reads_box_features
from maskrcnn_benchmark.export.suppression import Suppression
from maskrcnn_benchmark.layers.largest_channel import Places, interpolate_at
from maskrcnn_benchmark.modeling.poolers import Pooler

# Heads whose outputs are the detections, which the other heads on regions describe further
_DETECTORS = ("rpn", "roi_heads.box")


class ExportableNetwork(nn.Module):
    """One image in, named tensors out. `export.signature.signature_of` says what each is.

    Args:
        model: `GeneralizedRCNN` in evaluation mode on a CPU. It is copied.
        cfg: its config; INPUT and DATALOADER.SIZE_DIVISIBILITY are read.
        nms: `suppression.apart_nms` or `suppression.onnx_nms`.
    """

    def __init__(self, model: Any, cfg: CfgNode, nms: Suppression) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False).to(memory_format=torch.contiguous_format)
        for module in list(self.model.modules()):
            if isinstance(getattr(module, "pooler", None), Pooler):
                module.pooler = TensorPooler(module.pooler)
        self.nms = nms
        self.size_divisible = max(1, cfg.DATALOADER.SIZE_DIVISIBILITY)
        self.is_bgr = cfg.INPUT.TO_BGR255
        self.heads = tuple(heads_of(self.model))
        self.register_buffer("mean", torch.tensor(cfg.INPUT.PIXEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(cfg.INPUT.PIXEL_STD).view(3, 1, 1), persistent=False)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """uint8 [3, H, W] RGB -> {name: tensor}, in the order of the heads."""
        size = image.shape[1:]
        batch = self._padded(self._normalised(image))[None]
        pyramid = self.model.backbone(batch)
        outputs: dict[str, torch.Tensor] = {}
        if self.model.rpn is not None:
            found = self._detect(pyramid, size)
            outputs.update(found._asdict())
            regions = Detections(*(with_spare(rows) for rows in found))
        if self.model.fpn_heads is not None:
            features = self.model.fpn_heads.features(pyramid, batch, [tuple(size)])
        for place, task, head, is_regional in self.heads:
            if not is_regional:
                strides = {name: output.stride for name, output in task.exported_outputs(head).items()}
                made = task.export_tensors(head, features.read_by(head), None)
                outputs.update((name, _to_pixels(tensor, strides[name], size)) for name, tensor in made.items())
            elif place not in _DETECTORS:
                read = pyramid
                if reads_box_features(head):
                    read = self.model.roi_heads["box"].feature_extractor(pyramid, regions.boxes)
                made = task.export_tensors(head, read, regions)
                outputs.update((name, rows[:-1]) for name, rows in made.items())
        return outputs

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

    def _detect(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> Detections:
        rpn = self.model.rpn
        if self.model.roi_heads is None:
            return detect_in_one_stage(rpn, pyramid, size, self.nms)
        return detect(self.model.roi_heads["box"], pyramid, propose(rpn, pyramid, size, self.nms), size, self.nms)


def _to_pixels(scores: torch.Tensor, stride: int, size: Sequence[int]) -> torch.Tensor:
    """A map [..., h, w] with a cell for every pixel of the image, without padding; a vector as it is."""
    if scores.ndim < 2:
        return scores
    if stride == 1:
        return _first_cells(scores, *size)
    return _enlarged(scores, stride, size)


def _enlarged(scores: torch.Tensor, stride: int, size: Sequence[int]) -> torch.Tensor:
    """As `ScoreMap.resize` to the image's own pixels: [..., h, w] -> [..., height, width]."""
    # not -(-height // 4), which ONNX rounds the other way
    cells = _first_cells(scores, *((side + stride - 1) // stride for side in size))
    for axis, side in zip((scores.ndim - 2, scores.ndim - 1), size):
        places = Places.of_pixels(side, side / stride, cells.shape[axis], cells.device)
        cells = interpolate_at(cells, axis, places)
    return cells


def _first_cells(scores: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """scores[..., :height, :width], without the question whether that is all, which a slice asks of the tracer."""
    return scores.index_select(-2, torch.arange(height)).index_select(-1, torch.arange(width))
