"""Read the file of any library whose weights our models can take, and give its tensors our names."""

import logging
import math
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_serialization import strip_prefix_if_present
from maskrcnn_benchmark.utils.schema import shown
from maskrcnn_benchmark.utils.text import an, printable
from maskrcnn_benchmark.utils.weights import c2_model_loading, detectron2_weights, timm_weights, torchvision_weights
from maskrcnn_benchmark.utils.weights.file_kinds import HEAD, fault_of
from maskrcnn_benchmark.utils.weights.safe_pickle import load_arrays
from maskrcnn_benchmark.utils.weights.safetensors_file import is_safetensors, load_safetensors
from maskrcnn_benchmark.utils.weights.torch_file import is_torch_file, load_tensors

logger = logging.getLogger(__name__)

OTHER_COPY = "; take another copy of the file"

# Asked in this order; weights that none knows have our names already
LIBRARIES = (c2_model_loading, torchvision_weights, detectron2_weights)
# Under which a file may hold its weights: ours and detectron2's, Detectron's, classifiers' and Lightning's
WEIGHTS_KEYS = ("model", "blobs", "state_dict")
# Where our names of the box head begin
BOX_HEAD = "roi_heads.box."
# Under which our own checkpoints hold the average of their weights, and the steps that are in it
AVERAGE, AVERAGED_STEPS = "model_ema", "ema_updates"


def read_checkpoint(path: str | os.PathLike, remedy: str = OTHER_COPY, mapped: bool = False) -> dict[Any, Any]:
    """The dictionary in a file; nothing in it is run.

    It is read as a torch file, safetensors or a pickle of arrays, as its content tells, whatever its name is.
    Raises `UserError`, ending in a remedy, for a file that is missing, damaged or holds anything else. `mapped` is for
    a look at the file: see `load_tensors`.
    """
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder, not weights; give a file in it")
    where = "; correct the path" if remedy == OTHER_COPY else remedy
    if not os.path.isfile(path):  # also of what no path can be
        raise UserError(f"no such checkpoint: {printable(str(path), 300)}{where}")
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    fault = fault_of(path, head)
    if fault is not None:
        raise UserError(f"{path} is {fault}")
    if is_torch_file(head):
        value = load_tensors(path, remedy, mapped)
    elif is_safetensors(head, path.name):
        value = load_safetensors(path, remedy)
    elif head.startswith(pickle.PROTO) or path.suffix.lower() == ".pkl":
        value = load_arrays(path, remedy)
    else:
        raise UserError(f"{path} is damaged or no file of weights (it begins as none of PyTorch's does){remedy}")
    if not isinstance(value, dict):
        raise UserError(
            f"{path} holds {an(type(value).__name__)}, not a dictionary of weights; save its state_dict() instead"
        )
    return value


def split_checkpoint(checkpoint: dict[Any, Any], path: object) -> tuple[dict[str, torch.Tensor], dict[Any, Any]]:
    """({name: tensor}, what else the file holds) of a checkpoint with an entry for its weights or of bare weights.

    Arrays become tensors, and a `module.` before all names goes. Raises `UserError` if the weights are no dictionary of
    tensors.
    """
    rest = dict(checkpoint)
    key = weights_key(checkpoint)
    weights = rest.pop(key) if key else rest
    tensors = {name: as_tensor(value) for name, value in weights.items()}
    odd = next((name for name, value in tensors.items() if not isinstance(value, torch.Tensor)), None)
    if odd is not None or not all(isinstance(name, str) for name in tensors):
        raise UserError(f"{path}: the weights are not a dictionary of tensors (look at {shown(odd)})")
    return strip_prefix_if_present(tensors, "module."), rest if key else {}


def chosen_weights(checkpoint: dict[Any, Any], wants_average: bool, path: object) -> dict[Any, Any]:
    """A checkpoint with one set of weights, under "model", of one that holds their average beside them.

    That is told in the log. A file that no training of ours wrote stays as it is.

    Args:
        checkpoint: what `read_checkpoint` returns.
        wants_average: take the average, in place of the weights of the last step.
        path: the file, for messages.

    Raises:
        UserError: the average is wanted and damaged.
    """
    if AVERAGE not in checkpoint or AVERAGED_STEPS not in checkpoint or "model" not in checkpoint:
        return checkpoint
    rest = {name: value for name, value in checkpoint.items() if name not in (AVERAGE, AVERAGED_STEPS)}
    if not wants_average:
        logger.info("%s: the weights of the last step are taken, for TEST.EMA is False", path)
        return rest
    if not isinstance(checkpoint[AVERAGE], dict):
        raise UserError(
            f"{path}: its entry {AVERAGE} is damaged: it is no dictionary; TEST.EMA False takes the weights of the "
            "last step"
        )
    logger.info("%s: the average of the weights is taken (TEST.EMA False takes those of the last step)", path)
    return {**rest, "model": checkpoint[AVERAGE]}


def weights_key(checkpoint: dict[Any, Any]) -> str | None:
    """The entry under which a checkpoint holds its weights by custom; None for bare weights."""
    return next((key for key in WEIGHTS_KEYS if isinstance(checkpoint.get(key), dict)), None)


def as_tensor(value: Any) -> Any:
    """A tensor with numbers of its own, in this machine's byte order; what is no array stays as it is."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))


class Converted(NamedTuple):
    """Weights as a state dict of one of our models.

    Attributes:
        library: the module in `LIBRARIES` whose names they had; None if they are taken as ours.
        state_dict: {our name: tensor}.
        conventions: {option: value that the weights were trained with}.
    """

    library: Any
    state_dict: dict[str, torch.Tensor]
    conventions: dict[str, Any]


def convert(weights: dict[str, torch.Tensor], model: nn.Module, cfg: ConfigNode, path: str | os.PathLike) -> Converted:
    """Give the weights of any library our names.

    Args:
        weights: {name: tensor}.
        model: the network that will take them.
        cfg: its config.
        path: the file, for messages.
    """
    library: Any = next((library for library in LIBRARIES if library.recognise(weights)), None)
    if timm_weights.takes(model, weights):
        library = timm_weights
    if library is None:
        return Converted(None, _for_stages(weights, model), {})
    try:
        return Converted(library, *library.convert(weights, model, cfg, Path(path).name))
    except (RuntimeError, TypeError, ValueError, LookupError, ZeroDivisionError) as error:
        # the names are those of a known network, but a tensor has a shape that it has not there
        raise UserError(f"{path}: its tensors are not those of a network of {library.NAME} ({error})") from None


def _for_stages(weights, model):
    """Our weights with the box head's names without its place where it is one and the model's several in a row.

    So each of them begins as that one, as with the weights of other libraries, whose names have no place.
    """
    is_cascade = any(name.startswith(f"{BOX_HEAD}stages.") for name in model.state_dict())
    if not is_cascade or any(name.startswith(f"{BOX_HEAD}stages.") for name in weights):
        return weights
    return {name.removeprefix(BOX_HEAD): tensor for name, tensor in weights.items()}


def tell_conventions(converted: Converted, cfg: ConfigNode, path: str | os.PathLike) -> None:
    """Say whose weights were taken, and warn of every option that says something else than they were trained with."""
    if converted.library is None:
        return
    logger.info("%s: weights of %s", path, converted.library.NAME)
    for option, expected in converted.conventions.items():
        value = _option(cfg, option)
        if not _agrees(value, expected):
            logger.warning("%s was trained with %s %s, but the config has %s", path, option, expected, value)


def _option(cfg, name):
    value = cfg.value_of(name)
    return list(value) if isinstance(value, list | tuple) else value


def _agrees(value, expected):
    """Whether two options are the same, numbers up to a hundredth: two libraries round the mean colour differently."""
    if isinstance(expected, bool | str):
        return value == expected
    return len(value) == len(expected) and all(math.isclose(a, b, rel_tol=1e-2) for a, b in zip(value, expected))
