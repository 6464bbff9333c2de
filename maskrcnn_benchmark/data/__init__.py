"""Data sets, transforms, samplers and the loaders made of them."""

from maskrcnn_benchmark.data.build import make_data_loader

__all__ = ["make_data_loader"]
