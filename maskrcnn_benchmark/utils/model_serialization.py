"""Fill a model with the tensors of a file whose names agree with the model's only from some dot onwards."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.utils.text import printable

logger = logging.getLogger(__name__)

# Last layers: what they have an output for, in which dimension of the weight, and how many numbers each output has
_OUTPUTS = {
    "predictor.cls_score": ("classes", 0, 1),
    "predictor.bbox_pred": ("classes", 0, 4),
    "predictor.mask_fcn_logits": ("classes", 0, 1),
    "predictor.kps_score_lowres": ("keypoints", 1, 1),
    "head.cls_logits": ("outputs of all anchors", 0, 1),
    "head.bbox_pred": ("anchors", 0, 4),
}
_MOST_LINES = 24  # of a log's block about layers of other shapes
# (name in the model, its shape, name in the file, its shape)
Mismatch = tuple[str, tuple[int, ...], str, tuple[int, ...]]


@dataclass
class MatchReport:
    """What became of each name.

    Attributes:
        matched: {name in the model: name in the file}, for every tensor that was copied.
        missing: names in the model without a partner in the file; they keep their values.
        unused: names in the file that no name in the model ends with.
        mismatched: (name in the model, its shape, name in the file, its shape) where only the shapes disagree; these
            keep their values, too.
    """

    matched: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    mismatched: list[Mismatch] = field(default_factory=list)


def strip_prefix_if_present(state_dict: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A dict without `prefix` at the start of its keys, if all of them have it; else the dict itself."""
    if not state_dict or not all(key.startswith(prefix) for key in state_dict):
        return state_dict
    return {key[len(prefix) :]: value for key, value in state_dict.items()}


def load_state_dict(model: nn.Module, loaded_state_dict: Mapping[str, torch.Tensor]) -> MatchReport:
    """Copy tensors into `model`, matched by the longest common suffix of their names.

    A name in the model takes the tensor of the longest name in the file that it ends with, counted in whole components:
    "backbone.body.layer1.0.conv1.weight" takes "layer1.0.conv1.weight" rather than "conv1.weight". A `module.` that
    DataParallel has put before all names, on either side, does not matter. A tensor of another shape is reported and
    left alone, so that a head for other classes starts from its own initialisation.

    Args:
        model: any module.
        loaded_state_dict: {name: tensor}.

    Returns:
        `MatchReport`, which is logged, too.
    """
    report, chosen = match_names(model, loaded_state_dict)
    with torch.no_grad():
        model.load_state_dict(chosen, strict=False)
    _log(report)
    return report


def match_names(
    model: nn.Module, loaded_state_dict: Mapping[str, torch.Tensor]
) -> tuple[MatchReport, dict[str, torch.Tensor]]:
    """What `load_state_dict` would do, without doing it: (`MatchReport`, {name in the model: tensor})."""
    loaded = strip_prefix_if_present(dict(loaded_state_dict), "module.")
    report, chosen = MatchReport(), {}
    for name, tensor in model.state_dict().items():
        partner = _longest_suffix(name, loaded)
        if partner is None:
            report.missing.append(name)
        elif loaded[partner].shape != tensor.shape:
            report.mismatched.append((name, tuple(tensor.shape), partner, tuple(loaded[partner].shape)))
        else:
            report.matched[name] = partner
            chosen[name] = loaded[partner]
    used = {*report.matched.values(), *(entry[2] for entry in report.mismatched)}
    report.unused = [name for name in loaded if name not in used]
    return report, chosen


def _longest_suffix(name, loaded):
    parts = name.split(".")
    suffixes = (".".join(parts[start:]) for start in range(len(parts)))
    return next((suffix for suffix in suffixes if suffix in loaded), None)


def _log(report):
    """One block that says what became of every tensor; a warning if some of the file's do not fit."""
    total = len(report.matched) + len(report.missing) + len(report.mismatched)
    lines = [f"weights: {len(report.matched)} of the model's {total} tensors were in the file"]
    mismatches = describe_mismatches(report.mismatched)
    lines += [f"  {line}" for line in mismatches[:_MOST_LINES]]
    if len(mismatches) > _MOST_LINES:
        lines.append(f"  and {len(mismatches) - _MOST_LINES} more layers of other shapes, kept as they were")
    if report.missing:
        lines.append(f"  not in the file, kept as they were: {_by_prefix(report.missing)}")
    if report.unused:
        lines.append(f"  in the file but not in the model: {_by_prefix(report.unused)}")
    logger.log(logging.WARNING if report.mismatched else logging.INFO, "\n".join(lines))


def side_by_side(report: MatchReport) -> str:
    """One name of the file beside one of the model that do not fit each other, for a message."""
    if report.mismatched:
        name, shape, partner, other = report.mismatched[0]
        return f"{_quoted(partner)} has the shape {other} in the file, and {_quoted(name)} {shape} in the model"
    in_model = _quoted(report.missing[0]) if report.missing else "no such name"
    if not report.unused:
        return f"the file has nothing for {in_model}"
    return f"the file has {_quoted(report.unused[0])}, the model {in_model}"


def _quoted(name):
    return f'"{printable(name, 120)}"'


def describe_mismatches(mismatched: Iterable[Mismatch]) -> list[str]:
    """A line for each layer of which the file has another size, with the reason.

    Args:
        mismatched: as in `MatchReport`.
    """
    layers: dict[str, tuple[list[str], str]] = {}
    for name, shape, partner, other in mismatched:
        layer, _, kind = name.rpartition(".")
        kinds, _ = layers.setdefault(layer, ([], _reason(layer, shape, partner, other)))
        kinds.append(kind)
    return [f"{layer} ({', '.join(kinds)}): {reason}; kept as it was" for layer, (kinds, reason) in layers.items()]


def _reason(layer, shape, partner, other):
    """ "81 classes in the file, 21 here" where only the number of outputs differs, else both shapes."""
    outputs, dimension, per_output = _OUTPUTS.get(".".join(layer.split(".")[-2:]), ("", 0, 1))
    rest = [side[:dimension] + side[dimension + 1 :] for side in (shape, other)]
    if not outputs or len(shape) != len(other) or len(shape) <= dimension or rest[0] != rest[1]:
        return f"{other} in the file (as {partner}), {shape} here"
    return f"{other[dimension] // per_output} {outputs} in the file, {shape[dimension] // per_output} here"


def _by_prefix(names):
    """ "rpn.head (6), roi_heads.mask (10)" instead of sixteen names."""
    counts = Counter(".".join(name.split(".")[:2]) for name in names)
    return ", ".join(f"{prefix} ({count})" for prefix, count in counts.items())
