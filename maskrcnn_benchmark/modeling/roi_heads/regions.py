"""Region features of chosen boxes, and outputs for some boxes spread over all: what the per-detection heads share."""

from collections.abc import Callable, Sequence, Set
from itertools import accumulate
from typing import NamedTuple

import torch

from maskrcnn_benchmark.modeling.utils import cat, pad_rows
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.tensor_cache import TensorCache

# The field in which regions carry the box head's features
ROI_FEATURES = "roi_features"

# Fills up rows of labels
NO_LABEL = -1

# Labels that a network asks for in every step
_LABELS = TensorCache(maxsize=64)


class Detections(NamedTuple):
    """What a detector finds in one image, as plain tensors: the form in which a network is exported.

    Attributes:
        boxes: float [N, 4], xyxy, the last pixel inside.
        scores: float [N].
        labels: int64 [N].
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


def region_features(
    feature_extractor: Callable[[Sequence[torch.Tensor], Sequence[BoxList]], torch.Tensor] | None,
    features: Sequence[torch.Tensor],
    boxes: Sequence[BoxList],
) -> torch.Tensor:
    """Features of each box: those that came along from the box head as field `ROI_FEATURES`, else pooled afresh.

    Args:
        feature_extractor: (feature maps, list of `BoxList`) -> [R, C, h, w]; None: the field must be there.
        features: list of feature maps, finest first.
        boxes: one `BoxList` per image.
    """
    if feature_extractor is None or all(b.has_field(ROI_FEATURES) for b in boxes):
        return cat([b.get_field(ROI_FEATURES) for b in boxes])
    return feature_extractor(features, boxes)


def with_labels(boxes: Sequence[BoxList], wanted: Set[int] | None) -> list[torch.Tensor]:
    """Which boxes of a batch have one of the labels wanted.

    Args:
        boxes: one `BoxList` per image, with field labels.
        wanted: set of int, or None for every label.

    Returns:
        One int64 [C_i] per image, ascending. The device is waited for once, for all images; not at all for every label.
    """
    if wanted is None:
        return [torch.arange(len(b), device=b.bbox.device) for b in boxes]
    chosen = has_label(pad_rows([b.get_field("labels") for b in boxes], NO_LABEL), wanted)
    index = torch.argsort(chosen.to(torch.uint8), dim=1, descending=True, stable=True)
    return [row[:count] for row, count in zip(index, chosen.sum(dim=1).tolist())]


def rows_with_labels(labels: torch.Tensor, wanted: Set[int] | None) -> torch.Tensor:
    """`with_labels` for the regions of one image in a form that can be traced: the last region is always chosen.

    Args:
        labels: int64 [R], R at least 1.
        wanted: set of int, or None for every label.

    Returns:
        int64 [A], ascending, A at least 1.
    """
    if wanted is None:
        return torch.arange(labels.shape[0])
    chosen = (labels[:-1, None] == torch.tensor(sorted(wanted))).any(dim=1)
    return torch.nonzero(torch.cat((chosen, chosen.new_ones(1)))).squeeze(1)


def spread(
    outputs: torch.Tensor, chosen: Sequence[torch.Tensor], counts: Sequence[int], default: torch.Tensor
) -> list[torch.Tensor]:
    """Outputs for all boxes of each image, from the outputs for the chosen ones.

    Args:
        outputs: [C, ...], the outputs for the chosen boxes, image after image.
        chosen: one int64 [C_i] per image, the chosen ones of its boxes.
        counts: number of boxes of each image.
        default: [...], the output for the others.

    Returns:
        List of [R_i, ...].
    """
    starts = accumulate(counts, initial=0)
    places = cat([index + start for index, start in zip(chosen, starts)])
    full = default.to(outputs).expand(sum(counts), *outputs.shape[1:]).clone()
    return list(full.index_copy_(0, places, outputs).split(counts))


def check_resolution(maps: torch.Tensor, resolution: int, node: str) -> None:
    """Raise `UserError` when maps [..., M, M] are not of the resolution that the config promises."""
    if maps.shape[-1] != resolution:
        raise UserError(
            f"{node}.RESOLUTION is {resolution}, but the head's maps have {maps.shape[-1]} cells a side; "
            f"set it to {maps.shape[-1]}, or change {node}.POOLER_RESOLUTION"
        )


def has_label(labels: torch.Tensor, wanted: Set[int] | None) -> torch.Tensor:
    """Whether each label is one of those wanted: bool [...].

    Args:
        labels: int64 [...].
        wanted: set of int, or None for every label.
    """
    if wanted is None:
        return torch.ones_like(labels, dtype=torch.bool)
    key = frozenset(wanted), labels.dtype, labels.device
    among = _LABELS.get(key, lambda: torch.tensor(sorted(wanted), dtype=labels.dtype, device=labels.device))
    return torch.isin(labels, among)
