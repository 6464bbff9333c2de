"""TensorFloat-32 on and off, by both of the ways in which PyTorch keeps that choice."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

_BACKENDS: Any = torch.backends


def set_float32_precision(tf32: bool) -> None:
    """How CUDA multiplies float32 matrices and convolves float32 maps from now on.

    PyTorch keeps the choice twice, in `allow_tf32` and in `fp32_precision`, and raises RuntimeError where one is read
    (as its compiler does) while the other says something else. So both are set, the new one for each operation by
    itself: what it inherits from `torch.backends.fp32_precision` could be TF32 still.

    Args:
        tf32: TensorFloat-32, with 10 bits of mantissa instead of 23 and several times the speed on tensor cores;
            otherwise float32 as IEEE 754 has it. A processor multiplies as IEEE 754 has it in either case.
    """
    # the old names first, for they set the new ones as well
    _BACKENDS.cuda.matmul.allow_tf32 = tf32
    _BACKENDS.cudnn.allow_tf32 = tf32
    for operation in (_BACKENDS.cuda.matmul, _BACKENDS.cudnn.conv, _BACKENDS.cudnn.rnn):
        operation.fp32_precision = "tf32" if tf32 else "ieee"
    # `torch.get_float32_matmul_precision` compares this one, too
    _BACKENDS.mkldnn.matmul.fp32_precision = "ieee"


@contextlib.contextmanager
def float32_precision(tf32: bool) -> Iterator[None]:
    """`set_float32_precision` inside the block; afterwards all is as before."""
    cudnn = _BACKENDS.cudnn
    operations = (_BACKENDS.cuda.matmul, cudnn.conv, cudnn.rnn, _BACKENDS.mkldnn.matmul)
    before = [operation.fp32_precision for operation in operations]
    old_names = _matmul_precision(), _allowed(cudnn, cudnn.conv)
    try:
        set_float32_precision(tf32)
        yield
    finally:
        torch.set_float32_matmul_precision(old_names[0])  # as `allow_tf32`, and it tells "high" from "medium"
        cudnn.allow_tf32 = old_names[1]
        for operation, precision in zip(operations, before):
            operation.fp32_precision = precision


def _matmul_precision():
    """What `torch.set_float32_matmul_precision` was given last, or "high" for what sets the same on CUDA."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # somebody set `fp32_precision` alone
        matmul = torch.backends.cuda.matmul
        return "high" if _allowed(matmul, matmul) else "highest"


def _allowed(backend, operation):
    """A backend's `allow_tf32`, which cannot be read, and is the other one, where `fp32_precision` contradicts it."""
    try:
        return backend.allow_tf32
    except RuntimeError:
        return operation.fp32_precision != "tf32"
