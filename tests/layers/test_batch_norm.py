"""Frozen batch norm has no epsilon and no gradient of its own."""

import torch

from maskrcnn_benchmark.layers import FrozenBatchNorm2d


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
