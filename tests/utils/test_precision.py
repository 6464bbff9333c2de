"""TF32 by both of PyTorch's switches, and that it stays out of what must be exact."""

import warnings

import pytest
import torch
from torch.overrides import TorchFunctionMode

from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.inference import heatmaps_to_keypoints
from maskrcnn_benchmark.multitask.task_gradients import GradientRows
from maskrcnn_benchmark.utils.precision import float32_precision, set_float32_precision

PRODUCTS = {torch.bmm, torch.matmul, torch.mm, torch.Tensor.matmul, torch.Tensor.__matmul__}


def switches():
    """All of them; the first three raise RuntimeError where the old and the new ones differ."""
    backends = torch.backends
    return (
        torch.get_float32_matmul_precision(),
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
        backends.cuda.matmul.fp32_precision,
        backends.cudnn.conv.fp32_precision,
        backends.cudnn.rnn.fp32_precision,
        backends.mkldnn.matmul.fp32_precision,
    )


EXPECTED = {
    True: ("high", True, True, "tf32", "tf32", "tf32", "ieee"),
    False: ("highest", False, False, "ieee", "ieee", "ieee", "ieee"),
}


@pytest.fixture(autouse=True)
def restored():
    with float32_precision(False):
        yield


STARTS = {
    "as PyTorch starts": lambda: None,
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "old names": lambda: setattr(torch.backends.cudnn, "allow_tf32", True),
    "set by us": lambda: set_float32_precision(True),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
@pytest.mark.parametrize("tf32", [True, False])
def test_both_switches_agree_inside_and_are_as_before_afterwards(tf32, start):
    start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = switches()
        with float32_precision(tf32):
            assert switches() == EXPECTED[tf32]
            with pytest.raises(ZeroDivisionError), float32_precision(not tf32):
                assert switches() == EXPECTED[not tf32]
                _ = 1 / 0
            assert switches() == EXPECTED[tf32]
        assert switches() == before


def test_a_choice_that_others_inherit_does_not_get_in():
    before = torch.backends.cudnn.fp32_precision
    torch.backends.cudnn.fp32_precision = "tf32"
    try:
        with float32_precision(False):
            assert switches() == EXPECTED[False]
    finally:
        torch.backends.cudnn.fp32_precision = before


def test_a_program_that_set_the_new_switches_alone_finds_them_as_they_were():
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    matmul.fp32_precision = conv.fp32_precision = "tf32"
    with float32_precision(True):
        assert switches() == EXPECTED[True]
    assert matmul.fp32_precision == conv.fp32_precision == "tf32"
    matmul.fp32_precision = "ieee"  # the old switch has been left alone, so that they agree again
    assert not matmul.allow_tf32 and torch.get_float32_matmul_precision() == "highest"


class Products(TorchFunctionMode):
    """Remembers in which precision a GPU would have multiplied matrices."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in PRODUCTS:
            self.seen.append(torch.backends.cuda.matmul.fp32_precision)
        return function(*args, **(kwargs or {}))


def pasted():
    paste_masks(torch.rand(2, 1, 28, 28), torch.tensor([[1.0, 2.0, 20.0, 15.0], [0.0, 0.0, 9.0, 9.0]]), (32, 24))


def decoded():
    heatmaps_to_keypoints(torch.rand(2, 3, 14, 14), torch.tensor([[1.0, 2.0, 20.0, 15.0], [0.0, 0.0, 9.0, 9.0]]), 2)


def multiplied():
    tensor = torch.rand(5, 3)
    rows = GradientRows([tensor])
    rows.add("a", [tensor])
    rows.add("b", [tensor])
    rows.gramian(["a", "b"])


@pytest.mark.parametrize("exact", [pasted, decoded, multiplied])
def test_what_must_be_exact_is_multiplied_without_tf32_amid_tf32(exact):
    with float32_precision(True), Products() as products:
        exact()
    assert products.seen and set(products.seen) == {"ieee"}
