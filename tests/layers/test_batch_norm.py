"""Frozen batch norm has no epsilon and no gradient of its own."""

import copy

import pytest
import torch

from maskrcnn_benchmark.layers import BatchNorm2d, Conv2d, DFConv2d, FrozenBatchNorm2d, conv_norm


def filled(eps=0.0):
    norm = FrozenBatchNorm2d(2, eps)
    norm.weight.copy_(torch.tensor([2.0, 3.0]))
    norm.bias.copy_(torch.tensor([0.5, -1.0]))
    norm.running_mean.copy_(torch.tensor([1.0, -2.0]))
    norm.running_var.copy_(torch.tensor([4.0, 1e-4]))
    return norm


def test_small_variance_is_not_softened_by_an_epsilon():
    x = torch.ones(1, 2, 1, 1)
    assert torch.allclose(filled()(x).flatten(), torch.tensor([0.5, 3 * 3 / 0.01 - 1]))


def test_given_epsilon_is_added_to_the_variance():
    assert torch.allclose(filled(1e-4)(torch.ones(1, 2, 1, 1))[0, 1], torch.tensor(9 / 2e-4**0.5 - 1))


def test_statistics_stay_in_training_and_have_no_gradient():
    norm = filled().train()
    x = torch.randn(2, 2, 3, 3, requires_grad=True)
    norm(x).sum().backward()
    assert norm.running_mean.tolist() == [1.0, -2.0]
    assert not list(norm.parameters())
    assert torch.allclose(x.grad[:, 0], torch.ones(()))


def test_half_precision_stays_half():
    assert filled()(torch.ones(1, 2, 1, 1, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_memory_layout_is_kept():
    x = torch.randn(2, 2, 4, 4).contiguous(memory_format=torch.channels_last)
    assert filled()(x).is_contiguous(memory_format=torch.channels_last)


def test_weights_of_ordinary_batch_norm_load():
    norm = FrozenBatchNorm2d(2)
    norm.load_state_dict(torch.nn.BatchNorm2d(2).state_dict())
    assert set(norm.state_dict()) == {"weight", "bias", "running_mean", "running_var"}


def frozen_norm(channels):
    norm = FrozenBatchNorm2d(channels)
    for buffer in norm.buffers():
        torch.nn.init.uniform_(buffer, 0.5, 1.5)
    return norm


@pytest.mark.parametrize("bias", [False, True])
def test_a_frozen_norm_folds_into_the_convolution(bias):
    conv = Conv2d(4, 6, 3, stride=2, padding=1, dilation=1, groups=2, bias=bias).double()
    norm, x = frozen_norm(6).double(), torch.randn(2, 4, 9, 11, dtype=torch.float64, requires_grad=True)
    inputs = [x, *conv.parameters()]
    weight = torch.randn(2, 6, 5, 6, dtype=torch.float64)
    outputs = [conv_norm(conv, norm, x), norm(conv(x))]
    torch.testing.assert_close(*outputs)
    for folded, plain in zip(*(torch.autograd.grad((out * weight).sum(), inputs) for out in outputs)):
        torch.testing.assert_close(folded, plain)


def test_norms_that_are_not_frozen_and_deformable_convolutions_run_one_after_the_other():
    x = torch.randn(2, 4, 8, 8)
    conv, norm = Conv2d(4, 6, 3, bias=False), BatchNorm2d(6).train()
    normalised = conv_norm(conv, norm, x)
    assert normalised.mean().abs() < 1e-6 and norm.num_batches_tracked == 1
    deformable, frozen = DFConv2d(4, 6), frozen_norm(6)
    torch.testing.assert_close(conv_norm(deformable, frozen, x), frozen(deformable(x)))


def test_a_folded_convolution_in_mixed_precision_keeps_the_statistics_exact():
    conv, norm, x = Conv2d(4, 6, 3, bias=False), frozen_norm(6), torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = conv_norm(conv, norm, x)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), norm(conv(x)), atol=0.05, rtol=0.05)


def test_a_norm_whose_buffers_are_written_or_replaced_follows_them():
    norm, x = filled(), torch.ones(1, 2, 1, 1)
    before = norm(x)
    norm.running_mean.add_(1)
    assert torch.allclose(norm(x)[0, 0], before[0, 0] - 1)
    norm.load_state_dict({**norm.state_dict(), "bias": torch.tensor([10.0, 0.0])})
    assert torch.allclose(norm(x)[0, 0], before[0, 0] + 8.5)
    norm.weight = torch.zeros(2)
    assert norm(x).flatten().tolist() == [10.0, 0.0]
    assert norm.double()(x.double()).dtype == torch.float64


def test_the_affine_form_made_in_inference_mode_serves_training_too():
    norm, x = filled(), torch.ones(1, 2, 1, 1, requires_grad=True)
    with torch.inference_mode():
        norm(x)
    norm(x).sum().backward()
    assert torch.allclose(x.grad.flatten(), norm.affine()[0])


def test_a_copied_norm_is_its_own():
    norm, x = filled(), torch.ones(1, 2, 1, 1)
    norm(x)
    copied = copy.deepcopy(norm)
    copied.bias.add_(1)
    assert torch.allclose(copied(x), norm(x) + 1)


def test_a_norm_follows_data_that_is_replaced_and_after_a_change_of_mode_data_that_is_written():
    norm, x = filled(), torch.ones(1, 2, 1, 1)
    before = norm(x)
    norm.bias.data = norm.bias + 1
    assert torch.allclose(norm(x), before + 1)
    norm.bias.data.add_(1)
    assert torch.allclose(norm.eval()(x), before + 2)
    norm.bias.data.add_(1)
    assert torch.allclose(norm.train()(x), before + 3)
