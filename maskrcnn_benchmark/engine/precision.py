"""In which precision a network computes: mixed precision by autocast, and TensorFloat-32 for what stays in float32."""

import contextlib
from collections.abc import Iterator

import torch

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.precision import float32_precision

__all__ = ["PRECISIONS", "autocast", "float32_precision", "inference_precision"]

PRECISIONS = {"float32": None, "float16": torch.float16, "bfloat16": torch.bfloat16}


def autocast(dtype: str, device: str | torch.device) -> contextlib.AbstractContextManager:
    """The context of a forward pass in the precision that the option DTYPE names; nothing at all for "float32"."""
    if dtype not in PRECISIONS:
        raise UserError(f"DTYPE is {dtype!r}, but must be one of {', '.join(PRECISIONS)}")
    if PRECISIONS[dtype] is None:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, PRECISIONS[dtype])


@contextlib.contextmanager
def inference_precision(dtype: str, tf32: bool, device: str | torch.device) -> Iterator[None]:
    """The context of a forward pass without gradients: `autocast` and `float32_precision` together."""
    with float32_precision(tf32), autocast(dtype, device):
        yield
