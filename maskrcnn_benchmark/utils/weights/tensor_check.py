"""Check once every tensor that a network is about to take from a file: its kind, and whether it holds numbers."""

import torch
from torch import nn

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_serialization import match_names
from maskrcnn_benchmark.utils.schema import all_finite
from maskrcnn_benchmark.utils.text import printable

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def check_weights(model: nn.Module, weights: dict[str, torch.Tensor], file: object) -> None:
    """Raise `UserError` for weights that `model` would take although they are no weights.

    Where the model has floats, the file must have floats of two to eight bytes, all of them finite as numbers of the
    model's precision; where it has counts, integers. A variance is not negative. Tensors that fit no name of the model
    are not looked at.

    Args:
        model: the network; one without memory, on the device "meta", will do.
        weights: {name: tensor}, as `utils.model_serialization.load_state_dict` takes them.
        file: where they are from, for the message.
    """
    report, chosen = match_names(model, weights)
    own = model.state_dict()
    broken = []
    for name, tensor in chosen.items():
        if not _is_of_kind(tensor.dtype, own[name].dtype):
            raise UserError(
                f"{file}: its tensor {_called(report, name)} has numbers of type {_short(tensor.dtype)}, where the "
                f"network has {_short(own[name].dtype)}; convert it, or take another file"
            )
        if not _is_sound(name, tensor, own[name].dtype):
            broken.append(name)
    if broken:
        raise UserError(
            f"{file}: {len(broken)} of its {len(chosen)} tensors hold numbers that are no weights (not finite, or "
            f"negative variances), such as {_called(report, broken[0])}: the network diverged or the file is damaged; "
            "take another checkpoint"
        )


def _is_of_kind(dtype, own):
    if own.is_floating_point:
        return dtype in FLOATS
    return dtype in INTEGERS or dtype == own == torch.bool


def _is_sound(name, tensor, own):
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    if not all_finite(tensor):
        return False
    if torch.finfo(tensor.dtype).max > torch.finfo(own).max and not all_finite(tensor.to(own)):
        return False
    return not name.endswith("running_var") or tensor.min().item() >= 0


def _called(report, name):
    """The tensor's name in the file, which may be anything, on one line."""
    return printable(report.matched[name], 120)


def _short(dtype):
    return str(dtype).removeprefix("torch.")
