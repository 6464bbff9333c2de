"""Kernels with one order, or the name of the operation that has none."""

import pytest
import torch

from maskrcnn_benchmark.engine.determinism import deterministic_kernels
from maskrcnn_benchmark.utils.errors import UserError


def settings():
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


def put():
    """An operation that has no deterministic kernel on any device."""
    torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


def test_only_inside_the_block_and_only_if_wanted():
    before = settings()
    with deterministic_kernels(False):
        assert settings() == before
        put()
    with deterministic_kernels(True):
        assert settings() == (True, True, False)
    assert settings() == before


def test_an_operation_without_such_a_kernel_is_named_in_one_line():
    before = settings()
    with pytest.raises(UserError, match="the operation put_ has no deterministic") as told, deterministic_kernels(True):
        put()
    assert "set SOLVER.DETERMINISTIC False" in str(told.value) and "\n" not in str(told.value)
    assert settings() == before


def test_a_product_on_a_gpu_before_the_workspace_was_chosen_is_told_in_one_line():
    before = settings()
    told = (
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
        "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it uses "
        "CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior in this case, you must set an environment "
        "variable before running your PyTorch application: CUBLAS_WORKSPACE_CONFIG=:4096:8 or "
        "CUBLAS_WORKSPACE_CONFIG=:16:8."
    )
    expected = r"^SOLVER.DETERMINISTIC: CUDA has computed .*; set CUBLAS_WORKSPACE_CONFIG=:4096:8 before starting it$"
    with pytest.raises(UserError, match=expected), deterministic_kernels(True):
        raise RuntimeError(told)
    assert settings() == before


def test_other_errors_come_through():
    with pytest.raises(RuntimeError, match="shape"), deterministic_kernels(True):
        torch.zeros(3).view(2)
