"""Published weights: names in the catalog, downloading into torch.hub's cache, and fitting them to our models."""

import os
from urllib.parse import urlparse

import torch
from torchvision.models import ResNet18_Weights, ResNet34_Weights, ResNet50_Weights, ResNet101_Weights
from torchvision.ops import FrozenBatchNorm2d

from maskrcnn_benchmark.utils.comm import run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.miscellaneous import mkdir

CATALOG_PREFIX = "catalog://"

# The first generation of weights: detectors are fine-tuned from these in torchvision, too
CATALOG = {
    "ImageNetPretrained/torchvision/R-18": ResNet18_Weights.IMAGENET1K_V1.url,
    "ImageNetPretrained/torchvision/R-34": ResNet34_Weights.IMAGENET1K_V1.url,
    "ImageNetPretrained/torchvision/R-50": ResNet50_Weights.IMAGENET1K_V1.url,
    "ImageNetPretrained/torchvision/R-101": ResNet101_Weights.IMAGENET1K_V1.url,
}

# Added to a variance by torchvision's batch norm, and by none of our frozen ones
TORCHVISION_EPSILON = 1e-5


def catalog_url(name):
    """The address of "catalog://ImageNetPretrained/torchvision/R-50" and its kin."""
    key = name.removeprefix(CATALOG_PREFIX)
    if key not in CATALOG:
        known = ", ".join(CATALOG_PREFIX + k for k in CATALOG)
        raise UserError(f"MODEL.WEIGHT {name} is not in the catalog, which has {known}")
    return CATALOG[key]


def cache_url(url):
    """Download `url`, with a progress bar, unless it has been downloaded before; returns the path of the local file.

    With several processes one per machine downloads and the others wait.
    """
    folder = os.path.join(torch.hub.get_dir(), "checkpoints")
    path = os.path.join(folder, os.path.basename(urlparse(url).path))
    run_once(lambda: _download(url, folder, path), on_each_machine=True)
    return path


def _download(url, folder, path):
    if os.path.exists(path):
        return
    mkdir(folder)
    found = torch.hub.HASH_REGEX.search(os.path.basename(path))
    try:
        torch.hub.download_url_to_file(url, path, found.group(1) if found else None, progress=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"cannot download {url} ({error}); put the file at {path} by hand, or start from random weights "
            'with MODEL.WEIGHT ""'
        ) from None


def is_torchvision_resnet(state_dict):
    """Whether the names are those of a torchvision ResNet classifier."""
    return {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "fc.weight"} <= set(state_dict)


def fit_torchvision_resnet(state_dict, model):
    """A torchvision ResNet's tensors under the names of our trunk, without its classifier.

    torchvision divides by sqrt(running_var + 1e-5) and our frozen batch norm by sqrt(running_var), so the 1e-5 moves
    into the variance where `model` has frozen batch norms.
    """
    frozen = any(isinstance(m, FrozenBatchNorm2d) and m.eps == 0 for m in model.modules())
    fitted = {}
    for name, tensor in state_dict.items():
        if name.startswith("fc.") or (frozen and name.endswith("num_batches_tracked")):
            continue
        if frozen and name.endswith("running_var"):
            tensor = tensor + TORCHVISION_EPSILON
        fitted[f"stem.{name}" if name.startswith(("conv1.", "bn1.")) else name] = tensor
    return fitted
