"""The global config `cfg` with every default; copy it with `cfg.clone()` before changing it."""

from maskrcnn_benchmark.config.defaults import _C as cfg

__all__ = ["cfg"]
