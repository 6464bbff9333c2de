"""Region features of chosen boxes, and answers for some boxes spread over all: what the per-detection heads share."""

from functools import lru_cache

import torch

from maskrcnn_benchmark.modeling.utils import cat
from maskrcnn_benchmark.utils.errors import UserError


def region_features(feature_extractor, features, boxes):
    """Features of each box: those that came along from the box head as field "roi_features", else pooled afresh.

    Args:
        feature_extractor: (feature maps, list of `BoxList`) -> [R, C, h, w].
        features: list of feature maps, finest first.
        boxes: one `BoxList` per image.
    """
    if all(b.has_field("roi_features") for b in boxes):
        return cat([b.get_field("roi_features") for b in boxes])
    return feature_extractor(features, boxes)


def spread(answers, chosen, default):
    """Answers for all boxes of each image, from the answers for the chosen ones.

    Args:
        answers: [C, ...], the answers for the chosen boxes, image after image.
        chosen: one bool [R_i] per image; C boxes are chosen in all.
        default: [...], the answer for the others.

    Returns:
        List of [R_i, ...].
    """
    everywhere = cat(list(chosen))
    full = default.to(answers).expand(len(everywhere), *answers.shape[1:]).clone()
    full[torch.nonzero(everywhere).squeeze(1)] = answers
    return list(full.split([len(c) for c in chosen]))


def check_resolution(maps, resolution, node):
    """Raise `UserError` when maps [..., M, M] are not of the resolution that the config promises."""
    if maps.shape[-1] != resolution:
        raise UserError(
            f"{node}.RESOLUTION is {resolution}, but the head's maps have {maps.shape[-1]} cells a side; "
            f"set it to {maps.shape[-1]}, or change {node}.POOLER_RESOLUTION"
        )


def has_label(labels, wanted):
    """Whether each label is one of those wanted: bool [...].

    Args:
        labels: int64 [...].
        wanted: set of int, or None for every label.
    """
    if wanted is None:
        return torch.ones_like(labels, dtype=torch.bool)
    return torch.isin(labels, _labels_on(frozenset(wanted), labels.dtype, labels.device))


@lru_cache(maxsize=64)
def _labels_on(labels, dtype, device):
    """Labels as a tensor, which a network asks for in every step: brought to the device once."""
    with torch.inference_mode(False):
        return torch.tensor(sorted(labels), dtype=dtype, device=device)
