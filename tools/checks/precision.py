"""Precisions of a forward pass: autocast and TF32."""

import contextlib

import torch


def use_tf32(enabled: bool) -> None:
    """Whether float32 convolutions and matrix products of CUDA may round their factors to TF32 (10 bits)."""
    # these two set both the old and the new names of PyTorch's switches; setting only one kind makes the other raise
    torch.backends.cuda.matmul.allow_tf32 = enabled
    torch.backends.cudnn.allow_tf32 = enabled


@contextlib.contextmanager
def tf32(enabled: bool):
    """`use_tf32` within a block; afterwards float32 is float32 again, as at the start of each stage."""
    use_tf32(enabled)
    try:
        yield
    finally:
        use_tf32(False)
