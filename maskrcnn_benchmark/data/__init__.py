"""Data sets, transforms, samplers and the loaders made of them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.build import make_data_loader

__all__ = ["make_data_loader"]


def __getattr__(name: str) -> Any:
    if name == "make_data_loader":  # late: `mini_detail` shows its help before PyTorch is imported
        from maskrcnn_benchmark.data.build import make_data_loader

        return make_data_loader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
