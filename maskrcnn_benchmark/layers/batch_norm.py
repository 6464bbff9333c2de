"""Batch norm with fixed statistics, for backbones that start from trained weights, and with those of all processes."""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torchvision import ops

from maskrcnn_benchmark.layers.conv import conv2d
from maskrcnn_benchmark.utils.comm import get_world_size
from maskrcnn_benchmark.utils.tensor_cache import is_traced, outliving


class FrozenBatchNorm2d(ops.FrozenBatchNorm2d):
    """Batch norm whose statistics and affine parameters are buffers.

    The original library adds no epsilon to the variance, unlike torchvision; released weights rely on it.
    """

    def __init__(self, num_features: int, eps: float = 0.0) -> None:
        super().__init__(num_features, eps)
        self._seen: tuple = ()
        self._affine: dict[torch.dtype, tuple[torch.Tensor, torch.Tensor]] = {}

    def affine(self, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
        """The norm as x * scale + shift.

        It is computed in single precision, and again only when a buffer was replaced or written to: a network has
        dozens of such norms, and each would cost six small kernels in every step. Tensors do not count what is written
        in place through `.data` (`norm.bias.data.copy_(...)`): that is seen after the next `train()` or `eval()`.

        Args:
            dtype: of the shift, which is added to activations.

        Returns:
            scale float32 [C] and shift [C] of `dtype`. Not to be written to.
        """
        buffers = (self.weight, self.bias, self.running_mean, self.running_var)
        if is_traced(*buffers):  # a compiler fuses these operations, and cannot follow the cache
            return self._compute_affine(dtype)
        seen = tuple((buffer, _version(buffer), _address(buffer)) for buffer in buffers)
        if not _same(self._seen, seen):
            self._seen, self._affine = seen, {}
        if dtype not in self._affine:
            self._affine[dtype] = outliving(lambda: self._compute_affine(dtype))
        return self._affine[dtype]

    def _compute_affine(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, (self.bias - self.running_mean * scale).to(dtype)

    def train(self, mode: bool = True) -> "FrozenBatchNorm2d":
        """As of `nn.Module`; the affine form is computed anew afterwards."""
        self._seen, self._affine = (), {}
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> the same shape and dtype."""
        scale, shift = self.affine(x.dtype)
        # Nothing of x or of the product is kept for the gradient, so the sum can take the product's place.
        return (x * scale.to(x.dtype)[:, None, None]).add_(shift[:, None, None])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_seen": (), "_affine": {}}


def _version(tensor):
    """Counts writes to a tensor; one made in inference mode has no such count, so it never counts as the same."""
    return math.nan if tensor.is_inference() else tensor._version


def _address(tensor):
    """Tells that `.data` was replaced, which no count of writes tells; subclasses may have no memory of their own."""
    return tensor.data_ptr() if type(tensor) is torch.Tensor else 0


def _same(before, now):
    return len(before) == len(now) and all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(before, now))


def conv_norm(conv: nn.Module, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`norm(conv(x))`, in a single convolution where the norm is frozen.

    A frozen norm is a constant affine map, so it can be folded into the convolution's weight at every step: exact but
    for rounding, the weight still gets its gradient, and no pass over the activations is spent on the norm, neither
    forward nor backward.

    Args:
        conv: `nn.Conv2d`, or another module that only has to be callable.
        norm: any module; `FrozenBatchNorm2d` is folded.
        x: float [N, C, H, W].

    Returns:
        float [N, conv.out_channels, H', W'].
    """
    if not isinstance(norm, FrozenBatchNorm2d) or not isinstance(conv, nn.Conv2d) or conv.padding_mode != "zeros":
        return norm(conv(x))
    scale, shift = norm.affine(_dtype_of_convolutions(x))
    if conv.bias is not None:
        shift = shift + conv.bias * scale
    weight = conv.weight * scale[:, None, None, None]
    return conv2d(x, weight, shift, conv)


def _dtype_of_convolutions(x):
    """The dtype in which a convolution of x runs: a shift that already has it need not be converted in every step."""
    device = x.device.type
    on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if on else x.dtype


class SyncBatchNorm2d(nn.SyncBatchNorm):
    """Batch norm whose statistics in training are those of the batches of all processes together.

    On accelerators it is PyTorch's; on a processor, for which PyTorch has none, it computes the same in float64. In one
    process, and in evaluation, it is `nn.BatchNorm2d`, whose names its parameters and buffers have.

    All processes must call it equally often and in the same order, forward and backward, be it with an empty batch
    (`has_any`); at least one batch must not be empty. `engine.step` sees to the backward passes.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> the same shape and dtype."""
        if not self.training or get_world_size() == 1:
            return nn.modules.batchnorm._BatchNorm.forward(self, x)
        if x.device.type != "cpu":
            return super().forward(x)
        values, places = x.double(), [0, *range(2, x.ndim)]
        sums = torch.stack([values.sum(places), values.square().sum(places)])
        count = torch.tensor([x.numel() // x.shape[1]], dtype=torch.float64)
        dist.all_reduce(count)
        mean, square = _SumOverRanks.apply(sums) / count
        variance = square - mean.square()
        self._take_statistics(mean.detach(), variance.detach(), float(count))
        shape = 1, -1, *[1] * (x.ndim - 2)
        normal = (values - mean.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        return (normal * self.weight.double().view(shape) + self.bias.double().view(shape)).to(x.dtype)

    @torch.no_grad()
    def _take_statistics(self, mean: torch.Tensor, variance: torch.Tensor, count: float) -> None:
        """Move the running statistics, the variance without bias, as `nn.BatchNorm2d` does."""
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        unbiased = variance * (count / max(count - 1, 1))
        for running, seen in ((self.running_mean, mean), (self.running_var, unbiased)):
            running.lerp_(seen.to(running.dtype), self.momentum)  # type: ignore


class _SumOverRanks(torch.autograd.Function):
    """The sum over all processes; each one's gradient is that of the sum of all processes' losses."""

    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def has_any(number: int, module: nn.Module) -> bool:
    """Whether a module is to be run in training on `number` regions: where there are some or, if its norms take the
    statistics of all processes, where any process has some. All processes ask it then.
    """
    if get_world_size() == 1 or not any(isinstance(each, nn.SyncBatchNorm) for each in module.modules()):
        return number > 0
    device = next(module.parameters()).device
    most = torch.tensor([number], device=device)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return bool(most.item())
