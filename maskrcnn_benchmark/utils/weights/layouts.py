"""What the tensors of other libraries need beside our names: another epsilon, another order of rows, another scale."""

from typing import NamedTuple

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d
from yacs.config import CfgNode

StateDict = dict[str, torch.Tensor]

# Added to a variance by the batch norms of torchvision and detectron2, and by none of our frozen ones
EPSILON = 1e-5
# Our RetinaNet divides the four box codes by these (as the original does); other libraries' by 1
RETINANET_BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
STATISTICS = {"running_mean": torch.zeros_like, "running_var": torch.ones_like}


class Place(NamedTuple):
    """Where the tensors of one layer of another library belong in our models.

    Attributes:
        layer: our name of the convolution or linear layer; "" if the weights are of no use to us.
        norm: our name of the normalisation after it.
        layer_with_norm: our name of the layer if it is followed by a normalisation, where that changes the name.
    """

    layer: str
    norm: str = ""
    layer_with_norm: str = ""

    def name(self, of_norm: bool, has_norm: bool) -> str:
        if of_norm:
            return self.norm
        return self.layer_with_norm if has_norm and self.layer_with_norm else self.layer


def in_sequence(layer: str) -> Place:
    """The `Place` of a layer that becomes the first of a sequence when group norm follows it."""
    return Place(layer, f"{layer}.1", f"{layer}.0")


def stacked_conv(index: int) -> Place:
    """The `Place` of the box head's convolution number `index`, from 1, which ReLU, or group norm and ReLU, follow."""
    return Place(f"xconvs.{2 * (index - 1)}", f"xconvs.{3 * (index - 1) + 1}", f"xconvs.{3 * (index - 1)}")


def has_frozen_norm(model: nn.Module) -> bool:
    """Whether a model has batch norms with fixed statistics and without epsilon."""
    return any(isinstance(module, FrozenBatchNorm2d) and module.eps == 0 for module in model.modules())


def fold_epsilon(state_dict: StateDict, model: nn.Module, epsilon: float = EPSILON) -> StateDict:
    """Move the epsilon of a library whose batch norm has one into the variances, if `model` has norms without.

    Frozen norms count no batches, so that counter is left out for them, too.
    """
    if not has_frozen_norm(model):
        return state_dict
    return {
        name: _exact(tensor) + epsilon if name.endswith("running_var") else tensor
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }


def _exact(tensor):
    """Half precision would lose an epsilon beside a variance."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def add_statistics(state_dict: StateDict, norm: str) -> None:
    """Give the affine layer `norm` the statistics under which a batch norm is affine: mean 0, variance 1."""
    for name, make in STATISTICS.items():
        state_dict.setdefault(f"{norm}.{name}", make(state_dict[f"{norm}.weight"]))


def rename_deformable(state_dict: StateDict, model: nn.Module) -> StateDict:
    """Name the 3x3 convolutions as in `model`, which calls them conv2.conv where they are deformable.

    A deformable model starts from the weights of a plain one; its offsets keep their initial zeros then.
    """
    own = {_from_stage(name) for name in model.state_dict() if ".conv2.conv." in name}
    fitted = {}
    for name, tensor in state_dict.items():
        deformable = name.replace(".conv2.", ".conv2.conv.")
        fitted[deformable if _from_stage(deformable) in own else name] = tensor
    return fitted


def _from_stage(name):
    """ "layer3.0.conv2.conv.weight" from a name with any module before layer3."""
    return name[max(name.find("layer"), 0) :]


def ratios_before_sizes(tensor: torch.Tensor, num_sizes: int, num_ratios: int) -> torch.Tensor:
    """Reorder the rows of a head over anchors that another library counts by size, then by ratio.

    Args:
        tensor: [num_sizes * num_ratios * k, ...]; one of another length is returned as it is, to be reported later.
        num_sizes, num_ratios: sizes and aspect ratios of the anchors at one position.

    Returns:
        The same rows, counted by ratio, then by size, as our anchors are.
    """
    if num_sizes == 1 or len(tensor) % (num_sizes * num_ratios):
        return tensor
    return tensor.unflatten(0, (num_sizes, num_ratios, -1)).transpose(0, 1).flatten(0, 2)


def scale_box_codes(tensor: torch.Tensor) -> torch.Tensor:
    """Multiply each of four box codes of a RetinaNet, rows [anchors * 4, ...], by our coder's weight."""
    weights = torch.tensor(RETINANET_BOX_WEIGHTS, dtype=tensor.dtype)
    if len(tensor) % 4:
        return tensor
    return tensor * weights.repeat(len(tensor) // 4).view(-1, *[1] * (tensor.dim() - 1))


def retinanet_anchor_counts(cfg: CfgNode) -> tuple[int, int]:
    """(sizes, ratios) of RetinaNet's anchors at one position."""
    return cfg.MODEL.RETINANET.SCALES_PER_OCTAVE, len(cfg.MODEL.RETINANET.ASPECT_RATIOS)
