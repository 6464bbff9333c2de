"""Weights are numbers of the network's kind, or they are refused with the tensor's name."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights.tensor_check import check_weights


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def weights(**changes):
    return network().state_dict() | {name.replace("_", ".", 1): tensor for name, tensor in changes.items()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_of_every_usual_precision_are_taken(dtype):
    check_weights(network(), {name: t.to(dtype) if t.is_floating_point() else t for name, t in weights().items()}, "f")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"0_weight": torch.ones(3, 2, dtype=torch.complex64)}, r"tensor 0\.weight has numbers of type complex64"),
        (
            {"0_weight": torch.ones(3, 2, dtype=torch.int8)},
            r"0\.weight has numbers of type int8, where the network has fl",
        ),
        ({"0_bias": torch.ones(3, dtype=torch.bool)}, "of type bool"),
        ({"1_num_batches_tracked": torch.tensor(2.5)}, "has int64"),
        (
            {"0_bias": torch.tensor([1.0, torch.nan, 2.0])},
            r"f\.pth: 1 of its 7 tensors hold numbers .* such as 0\.bias",
        ),
        ({"0_weight": torch.full((3, 2), torch.inf)}, "no weights"),
        ({"0_bias": torch.full((3,), 1e300, dtype=torch.float64)}, "no weights"),
        ({"1_running_var": torch.tensor([1.0, -1.0, 1.0])}, "negative variances.*take another checkpoint"),
    ],
)
def test_what_is_no_weight_is_refused(changed, message):
    with torch.device("meta"):
        skeleton = network()
    with pytest.raises(UserError, match=message) as caught:
        check_weights(skeleton, weights(**changed), "f.pth")
    assert "\n" not in str(caught.value)


def test_large_finite_numbers_and_tensors_of_no_use_are_let_be():
    check_weights(network(), weights(**{"0_bias": torch.full((3,), 3e38), "other": torch.tensor(torch.nan)}), "f")
