"""Kernels that add in a fixed order, so that a training on a GPU repeats itself bit for bit, or says why it cannot."""

import contextlib
import os
import re
from collections.abc import Iterator

import torch

from maskrcnn_benchmark.utils.errors import UserError

WORKSPACE_VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
# The two with which cuBLAS is deterministic; the first has room for larger products
WORKSPACES = (":4096:8", ":16:8")

_REFUSED = re.compile(r"(\S.*?) does not have a deterministic implementation")


def fix_cublas_workspace() -> None:
    """Give cuBLAS the workspace with which its sums have a fixed order; call it before the first product on a GPU.

    Raises `UserError` if the user chose another.
    """
    chosen = os.environ.setdefault(WORKSPACE_VARIABLE, WORKSPACES[0])
    if chosen not in WORKSPACES:
        raise UserError(
            f"SOLVER.DETERMINISTIC: {WORKSPACE_VARIABLE} is {chosen!r}, with which cuBLAS is not deterministic; unset "
            f"it or set it to {' or '.join(WORKSPACES)}"
        )


@contextlib.contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """If wanted, every operation inside the block has one result for one input; afterwards all is as before.

    Raises:
        UserError: an operation has no such kernel, and the message names it; or cuBLAS has begun without the workspace
            that `fix_cublas_workspace` asks for.
    """
    if not wanted:
        yield
        return
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn_before = cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        if WORKSPACE_VARIABLE in str(error):
            raise UserError(
                "SOLVER.DETERMINISTIC: CUDA has computed in this process already, in no fixed order; set "
                f"{WORKSPACE_VARIABLE}={WORKSPACES[0]} before starting it"
            ) from None
        operation = _REFUSED.search(str(error))
        if operation is None:
            raise
        raise UserError(
            f"SOLVER.DETERMINISTIC: the operation {operation.group(1)} has no deterministic kernel on this device in "
            f"PyTorch {torch.__version__}; train without the layer that needs it, or set SOLVER.DETERMINISTIC False"
        ) from None
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.deterministic, cudnn.benchmark = cudnn_before
