"""Weights of timm, and of whoever's files timm can read, for backbones of timm."""

import re
from collections.abc import Collection
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.utils.comm import run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import printable
from maskrcnn_benchmark.utils.web import reason_of

NAME = "timm"
PREFIX = "timm://"
_FILES = ("model.safetensors", "pytorch_model.bin")
_CLASSIFIER = re.compile(r"(head|head_dist|fc|classifier|conv_head|bn2|norm|fc_norm|attn_pool|_conv_head|_bn1|_fc)\.")
# The package efficientnet_pytorch and its kin -> timm: what lies outside the blocks, and inside one
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_INSIDE = {"_depthwise_conv": "conv_dw", "_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
_WIDENING = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
_PLAIN = {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


def recognise(names: Collection[str]) -> bool:
    """Whether names tell weights of timm: never, since only the backbone that takes them can (`takes`)."""
    return False


def takes(model: nn.Module, names: Collection[str]) -> bool:
    """Whether a model has a backbone of timm, and names are not those of a network of ours."""
    return hasattr(getattr(model, "backbone", None), "adapt") and not any(n.startswith("backbone.body.") for n in names)


def is_left_out(name: str) -> bool:
    """Whether `convert` leaves a name out: the classifier's, and the norm before it."""
    return _CLASSIFIER.match(name) is not None


def convert(
    weights: dict[str, torch.Tensor], model: nn.Module, cfg: CfgNode, source: str
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(our state dict, the options that the weights were trained with); arguments as for other libraries."""
    backbone: Any = model.backbone
    adapted = {f"backbone.{name}": tensor for name, tensor in backbone.adapt(weights).items()}
    return adapted, backbone.input_options()


def from_efficientnet_pytorch(weights: dict[str, torch.Tensor], own: Collection[str]) -> dict[str, torch.Tensor]:
    """Weights with the names of efficientnet_pytorch (github.com/lukemelas/EfficientNet-PyTorch) under timm's names.

    The former counts blocks through all stages, the latter within each. Weights of others are returned as they are.

    Args:
        own: names of timm's network, which say how many blocks its stages have.
    """
    if "_conv_stem.weight" not in weights:
        return weights
    blocks = list(dict.fromkeys(".".join(n.split(".")[1:3]) for n in own if n.startswith("blocks.")))  # STAGE.BLOCK
    renamed = {}
    for name, tensor in weights.items():
        inside = _BLOCK.fullmatch(name)
        if inside is None:
            layer, _, rest = name.partition(".")
            renamed[f"{_OUTSIDE.get(layer, layer)}.{rest}"] = tensor
        elif int(inside[1]) < len(blocks):
            widens = f"_blocks.{inside[1]}._expand_conv.weight" in weights
            layers = {**_INSIDE, **(_WIDENING if widens else _PLAIN)}
            renamed[f"blocks.{blocks[int(inside[1])]}.{layers.get(inside[2], inside[2])}.{inside[3]}"] = tensor
    return renamed


def timm_file(name: str) -> str:
    """The path of the weights timm://NAME, which are downloaded from timm's hub if they are not in its cache.

    Raises `UserError` where timm is not installed, has no such network, no weights of it, or they cannot be had.
    """
    name = name.removeprefix(PREFIX)
    try:
        import timm
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
    except ImportError as error:
        raise UserError(f'{PREFIX}{name} needs timm ({error}); install it with: pip install "timm>=1.0.16"') from None
    known = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if known is None or not known.hf_hub_id:
        raise UserError(
            f"timm {timm.__version__} has no weights called {printable(name, 100)}; timm.list_pretrained() lists them"
        )
    places = [known.hf_hub_filename] if known.hf_hub_filename else list(_FILES)

    def fetch():
        for place in places:
            try:
                return hf_hub_download(known.hf_hub_id, place)
            except (HfHubHTTPError, EntryNotFoundError, OSError, ValueError) as error:
                fault = error
        raise UserError(
            f"cannot download {PREFIX}{name} from {known.hf_hub_id} ({reason_of(fault)}); fetch its {places[0]} "
            "elsewhere and give the file as MODEL.WEIGHT"
        )

    run_once(fetch, on_each_machine=True)
    return fetch()  # which finds it in the cache now
