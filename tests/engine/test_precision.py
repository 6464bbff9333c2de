"""Precision by option: of training, of what comes after, and that one does not leak into the other."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.engine.inference import InferenceNetwork, predict
from maskrcnn_benchmark.engine.precision import autocast, float32_precision, inference_precision
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.errors import UserError


def now():
    """(matrix products, convolutions, type of autocast on the CPU or None), as a network would find them."""
    half = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision, half


@pytest.mark.parametrize(("tf32", "expected"), [(True, "tf32"), (False, "ieee")])
def test_float32_is_as_asked_inside_the_block_and_as_before_after_it(tf32, expected):
    before = now()
    with pytest.raises(ZeroDivisionError), float32_precision(tf32):
        assert now() == (expected, expected, None)
        _ = 1 / 0
    assert now() == before


def test_an_evaluation_amid_training_leaves_its_precision_behind():
    with float32_precision(True):
        with inference_precision("bfloat16", False, "cpu"):
            assert now() == ("ieee", "ieee", torch.bfloat16)
        assert now() == ("tf32", "tf32", None)


def test_a_precision_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match=r"^DTYPE is 'half', but must be one of float32, float16, bfloat16$"):
        autocast("half", "cpu")


class Witness(nn.Module):
    """Remembers in which precision it was called."""

    def forward(self, images, targets=None):
        self.seen = now()
        return []


@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({}, ("ieee", "ieee", None)),
        ({"dtype": "bfloat16", "tf32": True}, ("tf32", "tf32", torch.bfloat16)),
    ],
)
def test_inference_is_in_float32_unless_asked(how, seen):
    model, before = Witness(), now()
    loader = [(to_image_list([torch.zeros(3, 8, 8)]), [], [])]
    assert [now() for _ in predict(InferenceNetwork(model, "cpu", **how), loader)] == [before]
    assert model.seen == seen
