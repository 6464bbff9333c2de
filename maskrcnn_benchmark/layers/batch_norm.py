"""Batch normalisation with fixed statistics, for trunks that start from trained weights."""

from torchvision import ops


class FrozenBatchNorm2d(ops.FrozenBatchNorm2d):
    """Batch norm whose statistics and affine parameters are buffers.

    The original library adds no epsilon to the variance, unlike torchvision; released weights rely on it.
    """

    def __init__(self, num_features, eps=0.0):
        super().__init__(num_features, eps)

    def forward(self, x):
        """[N, C, H, W] -> the same shape and dtype. The scale is computed in single precision whatever `x` is."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        # Nothing of x or of the product is kept for the gradient, so the sum can take the product's place.
        return (x * scale.to(x.dtype)[:, None, None]).add_(shift.to(x.dtype)[:, None, None])
