"""Find the weights of a network in a file, whatever other programs have wrapped around them.

A file may hold several networks, each in a dictionary of its own or under a prefix of its own: a student and a teacher,
a query and a key encoder, weights and their moving average. Every dictionary of tensors is tried as it is and without
each prefix that many of its names have. The one is taken of which most tensors fit the network by name and shape.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_serialization import MatchReport, match_names, strip_prefix_if_present
from maskrcnn_benchmark.utils.schema import shown
from maskrcnn_benchmark.utils.text import printable
from maskrcnn_benchmark.utils.weights.torchvision_weights import named_children
from maskrcnn_benchmark.utils.weights.weight_file import (
    Converted,
    as_tensor,
    chosen_weights,
    convert,
    tell_conventions,
    weights_key,
)

logger = logging.getLogger(__name__)

# Of several that fit equally: averaged weights predict better, and a momentum encoder is there for the training only
_AVERAGED = re.compile(r"teacher|averag|(^|[._])(ema|swa)([._]|$)", re.IGNORECASE)
_FOR_TRAINING_ONLY = re.compile(r"momentum|target|encoder_k|key_encoder", re.IGNORECASE)
_OF_AN_OPTIMIZER = re.compile(r"optim(?!al|ized|ised)", re.IGNORECASE)
# What PyTorch puts between names where it wraps a part of a network
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_MOST_LEVELS = 6
_MOST_ENTRIES = 32
_MOST_PREFIXES = 32
_MOST_DOTS = 16
# What has a prefix of its own is the network if it has this share of the file's tensors or of the model's by name, and
# this one of its own; fewer are alike by chance, or the same block elsewhere
_LEAST_SHARE = 0.1
_LEAST_SHARE_OF_PART = 0.25
_NAMED = 8


@dataclass
class _Entry:
    """A dictionary of a file.

    Attributes:
        keys: those that lead to it.
        lead: "module." if all of its names began with that, else "".
        tensors: {name without `lead`: tensor}.
        others: names of values that are no tensors.
    """

    keys: tuple[str, ...]
    lead: str
    tensors: dict[str, torch.Tensor]
    others: list[str]


@dataclass
class _Candidate:
    """What an entry gives the model without a prefix of its names.

    Attributes:
        named, fitting: how many tensors fit one of the model's by name, and also by shape.
    """

    entry: _Entry
    prefix: str
    converted: Converted
    report: MatchReport
    wants_average: bool

    def __post_init__(self) -> None:
        # a name that several of the model's end with, such as "0.conv1.weight", says nothing
        partners = Counter([*self.report.matched.values(), *(entry[2] for entry in self.report.mismatched)])
        self.named = sum(count == 1 for count in partners.values())
        self.fitting = sum(partners[name] == 1 for name in self.report.matched.values())

    def rank(self) -> tuple[int, int, int, int]:
        """The greatest of this is taken."""
        # a deeper network, such as the teacher of a distillation, has all layers of this one and as many more
        excess = round(len(self.report.unused) / max(self.fitting, 1))
        place = ".".join((*self.entry.keys, self.prefix))
        is_averaged = bool(_AVERAGED.search(place))
        preference = (is_averaged if self.wants_average else -is_averaged) - bool(_FOR_TRAINING_ONLY.search(place))
        return self.fitting, self.named, -excess, preference


def fitting_weights(
    model: nn.Module, cfg: ConfigNode, checkpoint: dict[Any, Any], path: str | os.PathLike
) -> tuple[dict[str, torch.Tensor], dict[Any, Any]]:
    """The weights in a file that fit a model best, and what else the file says of a training of ours.

    A checkpoint of ours with the average of its weights beside them gives one of both, as TEST.EMA says. Of several in
    another file that fit equally averaged weights (a teacher, EMA, SWA) are taken, or left where TEST.EMA is False, and
    else the first. What was taken, and what was left, is logged.

    Args:
        model: the network that will take them; one on the device "meta" will do.
        cfg: its config.
        checkpoint: what `weight_file.read_checkpoint` returns.
        path: the file, for messages.

    Returns:
        ({our name: tensor}, the other entries of a checkpoint of ours or of the original library, else {}).

    Raises:
        UserError: there is no dictionary of tensors, or a tensor of the model has a partner that is none.
    """
    checkpoint = chosen_weights(checkpoint, cfg.TEST.EMA, path)
    own, key = model.state_dict(), weights_key(checkpoint)
    candidates: list[_Candidate] = []
    faults = []
    for entry in _entries(checkpoint):
        try:
            candidates += _candidates(entry, model, own, cfg, path)
        except UserError as fault:  # of a network that is not taken from any file, while the file may hold others
            faults.append(fault)
    if faults and not any(candidate.fitting for candidate in candidates):
        raise faults[0]
    if not candidates:
        inside = ", ".join(shown(name) for name in [*checkpoint][:_NAMED]) or "none at all"
        raise UserError(f"{path} holds no dictionary of tensors (its entries: {inside}); save a state_dict() instead")
    chosen = max(candidates, key=_Candidate.rank)  # the first of several
    _check_all_tensors(chosen, own, path)
    tell_conventions(chosen.converted, cfg, path)
    _tell(chosen, candidates, key, path)
    rest = {}
    if key is not None and chosen.entry.keys == (key,) and not chosen.prefix and chosen.converted.library is None:
        rest = {name: value for name, value in checkpoint.items() if name != key}
    return chosen.converted.state_dict, rest


def _entries(checkpoint):
    """The dictionaries that hold tensors, an optimizer's left out: first the customary one, then those further out."""
    found, level = [], [((), checkpoint)]
    key = weights_key(checkpoint)
    seen = set()
    for _ in range(_MOST_LEVELS):
        below = []
        for keys, values in level:
            if id(values) in seen or len(found) >= _MOST_ENTRIES:
                continue
            seen.add(id(values))
            named = {name: as_tensor(value) for name, value in values.items() if isinstance(name, str)}
            tensors = {name: value for name, value in named.items() if _is_weight(name, value)}
            if tensors:
                stripped = strip_prefix_if_present(tensors, "module.")
                lead = "" if stripped is tensors else "module."
                found.append(_Entry(keys, lead, stripped, _others(named)))
            below += [
                ((*keys, name), value)
                for name, value in named.items()
                if isinstance(value, dict) and not _OF_AN_OPTIMIZER.search(name)
            ]
        level = below
    return sorted(found, key=lambda entry: entry.keys != (key,))


def _is_weight(name, value):
    """Whether a value is a tensor, and no count of batches that was made a fraction with all the others."""
    is_tensor = isinstance(value, torch.Tensor)
    return is_tensor and not (name.endswith("num_batches_tracked") and value.is_floating_point())


def _others(named):
    return [name for name, value in named.items() if not isinstance(value, torch.Tensor)]


def _candidates(entry, model, own, cfg, path) -> Iterator[_Candidate]:
    """What an entry may give the model, the whole of it first, then its larger parts."""
    segments = {part for name in own for part in name.split(".")}
    wrappers = [wrapper for wrapper in _WRAPPERS if wrapper not in segments]
    least = max(1, _LEAST_SHARE * min(len(entry.tensors), len(own)))
    most, whole = 0, list[str]()
    counts = Counter(prefix for name in entry.tensors for prefix in _prefixes(name))
    for prefix, count in [("", len(entry.tensors)), *counts.most_common(_MOST_PREFIXES)]:
        # a conversion may add tensors, but hardly as many as there are
        if prefix and (count < least or 2 * count < most):
            return
        if any(prefix.startswith(other) for other in whole):
            continue
        part = {name.removeprefix(prefix): each for name, each in entry.tensors.items() if name.startswith(prefix)}
        if prefix:
            # "weight" alone would fit any layer
            part = {name: each for name, each in part.items() if "." in name or name in own}
        part = named_children(strip_prefix_if_present(_unwrapped(part, wrappers), "module."))
        converted = convert(part, model, cfg, path)
        report, _ = match_names(model, converted.state_dict)
        candidate = _Candidate(entry, prefix, converted, report, cfg.TEST.EMA)
        if prefix and candidate.named < max(least, _LEAST_SHARE_OF_PART * len(part)):
            continue
        yield candidate
        most = max(most, candidate.fitting)
        if not report.unused and not report.mismatched:
            whole.append(prefix)


def _prefixes(name):
    parts = name.split(".", _MOST_DOTS)
    for end in range(1, len(parts)):
        yield ".".join(parts[:end]) + "."


def _unwrapped(tensors, wrappers):
    """The tensors without wrappers inside of their names, unless two would be called the same."""
    pattern = re.compile(rf"(?<=\.)({'|'.join(wrappers)})\.")
    if not wrappers or not any(pattern.search(name) for name in tensors):
        return tensors
    unwrapped = {pattern.sub("", name): tensor for name, tensor in tensors.items()}
    return unwrapped if len(unwrapped) == len(tensors) else tensors


def _check_all_tensors(chosen, own, path):
    """Raise `UserError` where a name of the model has something else than a tensor in the file."""
    for name in chosen.entry.others:
        ending = name.removeprefix(chosen.entry.lead + chosen.prefix)
        if any(each == ending or each.endswith(f".{ending}") for each in own):
            raise UserError(f"{path}: the weights are not a dictionary of tensors (look at {shown(name)})")


def _tell(chosen, candidates, key, path):
    """Say in one line which of a file's tensors were taken and which were left, where that is not plain.

    Every tool shows warnings, so it is one where the file has another network to choose.
    """
    entry, prefix = chosen.entry, chosen.entry.lead + chosen.prefix
    left = Counter()
    for name in entry.tensors:
        rest = name.removeprefix(chosen.prefix)
        dropped = chosen.converted.library is not None and chosen.converted.library.is_left_out(rest)
        if dropped or not name.startswith(chosen.prefix):
            left[_first_parts(entry.lead + name, prefix)] += 1
    for other in candidates:
        if other.fitting and other.entry is not entry:
            left['"' + ".".join(other.entry.keys) + '"'] = len(other.entry.tensors)
    customary = entry.keys == (() if key is None else (key,))
    taken = len(set(chosen.report.matched.values()))
    if (customary and not chosen.prefix and not left) or not taken:
        return
    source = f' from its entry "{".".join(entry.keys)}"' if entry.keys else ""
    without = f' without the prefix "{prefix}"' if chosen.prefix else ""
    named = ", ".join(f"{name} ({count})" for name, count in list(left.items())[:_NAMED])
    more = ", ..." if len(left) > _NAMED else ""
    logger.log(
        logging.WARNING if any(_is_rival(other, chosen) for other in candidates) else logging.INFO,
        "%s: %d tensors are taken%s%s; left: %s",
        path,
        taken,
        printable(source),
        printable(without),
        printable(named, 1000) + more if left else "nothing",
    )


def _is_rival(other, chosen):
    """Whether a candidate is another network of which about as much fits, so that the choice may be the wrong one."""
    apart = other.entry is not chosen.entry or not (
        other.prefix.startswith(chosen.prefix) or chosen.prefix.startswith(other.prefix)
    )
    return apart and 2 * other.fitting > chosen.fitting


def _first_parts(name, prefix):
    """As many parts of a name as it shares with the prefix, and one more."""
    parts, start = name.split("."), prefix.split(".")
    shared = next((at for at, (a, b) in enumerate(zip(parts, start)) if a != b), min(len(parts), len(start)))
    return ".".join(parts[: shared + 1])
