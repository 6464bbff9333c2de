"""A head for tasks with one output vector per region: attributes, a class of another kind, a measure."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.modeling.roi_heads.regions import region_features
from maskrcnn_benchmark.modeling.roi_heads.sampled_regions import positives_of
from maskrcnn_benchmark.modeling.utils import LabelFunction, cat
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations


def known_labels(labels: torch.Tensor) -> torch.Tensor:
    """Which labels say something, bool of their shape: floats but nan, integers but negative ones, all of bools."""
    return ~labels.isnan() if labels.is_floating_point() else labels >= 0


class RegionVectorHead(nn.Module):
    """A linear layer on the features of each region, and its loss on the regions that have an object.

    The features are the box head's, vectors or the mean of maps, where the task reads "box"; or those of an extractor
    of its own, where it reads "maps".

    Args:
        in_channels: channels of the features of a region.
        num_outputs: C, numbers per region.
        field: the detections' field for the outputs, which is the key of the task.
        label_of: function from `ImageAnnotations` to the labels of its instances, a tensor [N, ...], or to None.
        loss: function (outputs float [P, C], labels [P, ...]) -> one loss per region [P] or per entry of the outputs or
            of the labels. Where a label is not known it is given 0, and its loss is not counted.
        activation: what makes the field of the outputs in testing, such as `torch.sigmoid`.
        feature_extractor: (feature maps, boxes) -> features [R, in_channels] or [R, in_channels, h, w]; None: the box
            head's.
        is_known: labels -> bool of their shape.
        loss_name: "loss_FIELD" where it is not given.
    """

    def __init__(
        self,
        in_channels: int,
        num_outputs: int,
        field: str,
        label_of: LabelFunction,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
        feature_extractor: nn.Module | None = None,
        is_known: Callable[[torch.Tensor], torch.Tensor] = known_labels,
        loss_name: str = "",
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.predictor = nn.Linear(in_channels, num_outputs)
        nn.init.normal_(self.predictor.weight, std=0.01)
        nn.init.zeros_(self.predictor.bias)
        self.field = field
        self.label_of = label_of
        self.loss = loss
        self.activation = activation
        self.is_known = is_known
        self.loss_name = loss_name or f"loss_{field}"

    def forward(
        self,
        features: Sequence[torch.Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[ImageAnnotations] | None = None,
    ) -> tuple[Sequence[BoxList], dict[str, torch.Tensor]]:
        """Detections with the field, or the loss.

        Args:
            features: list of feature maps [N, C, H, W], finest first.
            proposals: N `BoxList`s: detections or, in training, what the box head sampled.
            targets: N `ImageAnnotations` in training, else None.

        Returns:
            Without targets: the detections with the field, float [D, C], and {}. With targets: the proposals, and
            {loss_name: mean over what is known}, empty where the batch has no region of an object whose label is known.
            The device is waited for once, to know that.

        Raises:
            ValueError: there are not as many labels as objects.
        """
        if targets is None:
            outputs = self._activated(region_features(self.feature_extractor, features, proposals))
            for boxes, of_image in zip(proposals, outputs.split([len(boxes) for boxes in proposals])):
                boxes.add_field(self.field, of_image)
            return proposals, {}
        regions, label_rows = [], []
        for index, (boxes, target) in enumerate(zip(proposals, targets)):
            label: Any = None if target.instances is None else self.label_of(target)
            if label is not None and len(label) != len(target.instances):
                raise ValueError(
                    f"target {index} has {len(label)} labels of {self.field!r}, but {len(target.instances)} objects"
                )
            regions.append(boxes[:0] if label is None or not len(label) else positives_of(boxes))
            if len(regions[-1]):
                label_rows.append(label[regions[-1].get_field("matched_idxs")])
        if not label_rows:
            return proposals, {}
        labels = cat(label_rows)
        known = self.is_known(labels)
        if not known.any():
            return proposals, {}
        outputs = self._outputs(region_features(self.feature_extractor, features, regions))
        losses = self.loss(outputs, labels.masked_fill(~known, 0))
        known = _with_dimensions(known, losses.ndim).expand_as(losses)
        return proposals, {self.loss_name: losses.masked_fill(~known, 0).sum() / known.sum().clamp(min=1)}

    def scores(
        self, features: torch.Tensor | Sequence[torch.Tensor], boxes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The field of the regions of one image, float [R, C], in a form that can be exported.

        Args:
            features: of the regions, or the feature maps of the image if the head has an extractor of its own.
            boxes: float [R, 4], which that extractor then takes.
        """
        return self._activated(features if self.feature_extractor is None else self.feature_extractor(features, boxes))

    def _outputs(self, x: torch.Tensor) -> torch.Tensor:
        return self.predictor(x.flatten(2).mean(dim=2) if x.ndim > 2 else x).float()

    def _activated(self, x: Any) -> torch.Tensor:
        outputs = self._outputs(x)
        return outputs if self.activation is None else self.activation(outputs)


def _with_dimensions(known: torch.Tensor, count: int) -> torch.Tensor:
    """Which of the losses, of so many dimensions, are known: those of which every label is."""
    if known.ndim > count:
        return known.flatten(count).all(dim=-1)
    return known[(...,) + (None,) * (count - known.ndim)]
