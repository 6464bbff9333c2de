"""Initial weights of the region predictors."""

from typing import Any

from torch import nn


def msra_fill(layer: Any) -> Any:
    """Fill a convolution's weights with Kaiming normal over its outputs, its bias with zeros; returns the layer."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer
