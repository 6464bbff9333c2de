"""The optimizers step as PyTorch's, and on a CPU ask no GPU."""

import pytest
import torch

from maskrcnn_benchmark.utils import optimizers


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_a_step_on_the_cpu_asks_no_gpu(name, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a GPU was asked")

    ours, theirs = (torch.nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    for parameter, kind in ((theirs, getattr(torch.optim, name)), (ours, getattr(optimizers, name))):
        optimizer = kind([parameter], lr=0.1)
        for _ in range(3):
            parameter.grad = torch.tensor([0.5, 4.0])
            optimizer.step()
        monkeypatch.setattr(torch.accelerator, "current_accelerator", refuse)
    assert torch.equal(ours, theirs)
