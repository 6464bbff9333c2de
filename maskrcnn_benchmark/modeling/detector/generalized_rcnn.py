"""Images (and targets) in, losses or predictions out."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.modeling.utils import cat, without_crowds
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList, to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction

Images = ImageList | torch.Tensor | Sequence[torch.Tensor]


class GeneralizedRCNN(nn.Module):
    """A backbone, region proposals, heads with one output per region and heads with one output per image.

    Args:
        backbone: image batch [N, 3, H, W] -> list of feature maps, finest first.
        rpn: (images, features, targets) -> (one `BoxList` of proposals per image, losses); None without region tasks.
        roi_heads: (features, proposals, targets) -> (one `BoxList` of detections per image, losses), or None.
        fpn_heads: (features, images, targets) -> ({task key: one output per image}, losses), or None.
        channels_last: keep weights and activations in the channels-last layout, else in the contiguous one, whatever
            layout images come in. The numbers are the same; channels-last convolutions are faster on CPUs and on tensor
            cores.
        normalize: `ImageList` of uint8 RGB -> of normalised floats, as `pixels.PixelNormalizer`; None if images always
            come as floats.
    """

    def __init__(
        self,
        backbone: nn.Module,
        rpn: nn.Module | None = None,
        roi_heads: nn.Module | None = None,
        fpn_heads: nn.Module | None = None,
        channels_last: bool = False,
        normalize: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.rpn = rpn
        self.roi_heads = roi_heads
        self.fpn_heads = fpn_heads
        self.normalize = normalize
        self.channels_last = channels_last
        self.to(memory_format=self.layout)

    @property
    def layout(self) -> torch.memory_format:
        """`torch.memory_format` of weights and activations: no attribute, since `torch.save` cannot pickle one."""
        # bytes come with the channels of a pixel side by side, which is not to decide how the network computes
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def batch(self, images: Images) -> ImageList:
        """Images in any form that `forward` takes -> `ImageList` of floats in the network's memory layout."""
        batch = to_image_list(images)
        if batch.tensors.dtype == torch.uint8:
            if self.normalize is None:
                raise ValueError(
                    "the images are bytes, and this network does not know how to normalise them: give "
                    "GeneralizedRCNN(..., normalize=PixelNormalizer(mean, std)), or normalised floats"
                )
            batch = self.normalize(batch)
        return ImageList(batch.tensors.to(memory_format=self.layout), batch.image_sizes)

    def forward(
        self, images: Images, targets: Sequence[ImageAnnotations | BoxList] | None = None
    ) -> dict[str, torch.Tensor] | Sequence[BoxList] | list[ImagePrediction] | None:
        """Losses in training, predictions otherwise.

        Args:
            images: `ImageList`, a tensor [N, 3, H, W], or a list of tensors [3, H_i, W_i]: normalised floats, or uint8
                RGB, which `normalize` makes floats of.
            targets: in training one `ImageAnnotations` (or upstream's `BoxList` of ground truth) per image. What is
                None in it was not annotated and adds no loss.

        Returns:
            In training {loss name: scalar} with the losses that this batch has annotations for.
            In evaluation one prediction per image in the network's input pixels: a `BoxList` when the network has
            outputs per region alone (as in maskrcnn-benchmark), else an `ImagePrediction`.
        """
        images = self.batch(images)
        if self.training:
            targets = _checked_targets(targets, images)
        else:
            targets = None
        features = self.backbone(images.tensors)
        detections, losses = None, {}
        if self.rpn is not None:
            detections, rpn_losses = self.rpn(images, features, targets)
            losses.update(rpn_losses)
        if self.roi_heads is not None:
            detections, roi_losses = self.roi_heads(features, detections, targets)
            losses.update(roi_losses)
        dense = {}
        if self.fpn_heads is not None:
            dense, fpn_losses = self.fpn_heads(features, images, targets)
            losses.update(fpn_losses)
        if self.training:
            return losses
        return join_outputs(images, detections, None if self.fpn_heads is None else dense)


def join_outputs(
    images: ImageList, detections: Sequence[BoxList] | None, dense: Mapping[str, Sequence[Any]] | None
) -> Sequence[BoxList] | list[ImagePrediction] | None:
    """One prediction per image from the region heads' detections (or None) and the dense heads' outputs (or None).

    A `BoxList` where there are no dense heads, as in maskrcnn-benchmark, else an `ImagePrediction`.
    """
    if dense is None:
        return detections
    return [
        ImagePrediction(
            (int(width), int(height)),
            instances=None if detections is None else detections[i],
            outputs={key: outputs[i] for key, outputs in dense.items()},
        )
        for i, (height, width) in enumerate(images.image_sizes)
    ]


def _checked_targets(targets, images):
    """Targets as `ImageAnnotations`, refused at the entry point when they cannot belong to these images."""
    if targets is None:
        raise ValueError("in training mode the model needs targets; call model.eval() for predictions")
    if len(targets) != len(images.image_sizes):
        raise ValueError(f"{len(images.image_sizes)} images but {len(targets)} targets")
    checked = []
    for index, (target, (height, width)) in enumerate(zip(targets, images.image_sizes)):
        if not isinstance(target, ImageAnnotations | BoxList):
            raise TypeError(f"target {index} must be ImageAnnotations or BoxList, not {type(target).__name__}")
        if tuple(target.size) != (int(width), int(height)):
            raise ValueError(
                f"target {index} is for an image of {tuple(target.size)}, but image {index} is {width}x{height}"
            )
        checked.append(ImageAnnotations.of(target))
    return _without_crowds(checked)


def _without_crowds(targets):
    """Targets whose instances are single objects, without the field "iscrowd".

    Nothing is learnt from crowds. All images are asked at once, so that a step waits for the device once, not for each
    image in each head.
    """
    flags = [t.instances.get_field("iscrowd") for t in targets if _has_crowd_field(t)]
    if not flags:
        return targets
    any_crowd = bool(cat(flags).any())
    return [_with_objects(t, any_crowd) if _has_crowd_field(t) else t for t in targets]


def _has_crowd_field(target):
    return target.instances is not None and target.instances.has_field("iscrowd")


def _with_objects(target, any_crowd):
    instances = without_crowds(target.instances) if any_crowd else target.instances
    copied = copy.copy(target)
    copied.labels = dict(target.labels)
    copied.instances = instances.copy_with_fields([name for name in instances.fields() if name != "iscrowd"])
    return copied
