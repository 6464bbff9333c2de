"""One optimizer step: portions, precision, clipping."""

import math

import pytest
import torch
from task_weights import of_tasks
from torch import nn

from maskrcnn_benchmark.engine.precision import autocast
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.errors import UserError


class Target:
    def __init__(self, value):
        self.value = value

    def to(self, device):
        return self


class Regression(nn.Module):
    """One loss, the mean over the images of the portion."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 3)
        self.dtypes, self.counts = [], []

    def forward(self, images, targets):
        out = self.layer(images.tensors).mean(dim=(1, 2, 3))
        self.dtypes.append(out.dtype)
        self.counts.append(len(targets))
        return {"loss_semantic": (out - torch.tensor([t.value for t in targets])).square().mean()}


def combiner():
    return LossCombiner(of_tasks({"semantic": 1.0}))


def batch(count=5):
    generator = torch.Generator().manual_seed(1)
    images = ImageList(torch.randn(count, 3, 6, 6, generator=generator), [(6, 6)] * count)
    return images, [Target(i / 3) for i in range(count)], lambda: [f"{i}.jpg" for i in range(count)]


def one_step(model=None, lr=0.1, **options):
    torch.manual_seed(0)
    model = Regression() if model is None else model
    step = TrainingStep(model, combiner(), torch.optim.SGD(model.parameters(), lr=lr), "cpu", **options)
    return model, step(*batch())


def test_portions_add_up_to_the_undivided_step():
    whole, outcome = one_step()
    for portions, counts in ((2, [2, 3]), (3, [1, 2, 2]), (9, [1] * 5)):
        divided, divided_outcome = one_step(accumulate=portions)
        assert divided.counts == counts
        torch.testing.assert_close(divided.layer.weight, whole.layer.weight)
        assert divided_outcome.losses == pytest.approx(outcome.losses)
        assert divided_outcome.total == pytest.approx(outcome.total)
        assert divided_outcome.gradient_norm == pytest.approx(outcome.gradient_norm, rel=1e-5)


def test_clipping_bounds_the_move_and_reports_the_norm_before():
    torch.manual_seed(0)
    start = [p.detach().clone() for p in Regression().parameters()]
    moved, outcome = one_step(lr=1.0, clip_norm=0.01)
    move = math.sqrt(sum((a - b).square().sum().item() for a, b in zip(start, moved.parameters())))
    assert outcome.gradient_norm > 0.02 and move == pytest.approx(0.01, rel=1e-3)
    _, free = one_step(lr=1.0)
    assert free.gradient_norm == pytest.approx(outcome.gradient_norm)


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 2e-2), ("float16", 2e-3)])
def test_mixed_precision_moves_float32_weights_nearly_alike(dtype, tolerance):
    exact, _ = one_step()
    mixed, outcome = one_step(dtype=dtype)
    assert mixed.dtypes == [getattr(torch, dtype)] and mixed.layer.weight.dtype == torch.float32
    torch.testing.assert_close(mixed.layer.weight, exact.layer.weight, atol=tolerance, rtol=tolerance)
    assert math.isfinite(outcome.total)


def test_an_unknown_precision_is_the_users_error():
    with pytest.raises(UserError, match=r"DTYPE.*float64.*float16"):
        autocast("float64", "cpu")


def test_an_infinite_gradient_of_a_finite_loss_spares_the_weights():
    class Steep(Regression):
        def forward(self, images, targets):
            return {"loss_semantic": torch.sqrt(self.layer.weight.sum() * 0)}

    model = Steep()
    before = model.layer.weight.detach().clone()
    with pytest.raises(UserError, match=r"gradient is not finite.*0\.jpg, 1\.jpg"):
        one_step(model)
    assert model.layer.weight.equal(before)


def test_a_request_to_stop_comes_back():
    torch.manual_seed(0)
    model = Regression()
    step = TrainingStep(model, combiner(), torch.optim.SGD(model.parameters(), lr=0.1), "cpu")
    assert step(*batch(), wants_stop=lambda: True).stop is True
    assert step(*batch()).stop is False
