"""The optimizers step as PyTorch's, and on a CPU ask no GPU."""

import pytest
import torch

from maskrcnn_benchmark.utils import optimizers


@pytest.mark.parametrize("question", ["_accelerator_graph_capture_health_check", "_cuda_graph_capture_health_check"])
@pytest.mark.parametrize(("device", "asked"), [("cpu", 0), ("meta", 1)])
def test_the_question_of_each_version_is_asked_of_a_device_alone(question, device, asked, monkeypatch):
    """In PyTorch 2.9 it has another name than later; one that is asked about parameters elsewhere is PyTorch's own."""
    calls = []
    monkeypatch.setattr(torch.optim.Optimizer, question, lambda self: calls.append(self), raising=False)
    optimizer = optimizers.AdamW([torch.nn.Parameter(torch.ones(2, device=device))])
    getattr(optimizer, question)()
    assert len(calls) == asked


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
