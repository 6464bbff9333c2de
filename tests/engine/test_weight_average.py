"""The moving average of a network's weights: its formula, what it leaves alone, and how it is applied."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.engine.weight_average import WeightAverage
from maskrcnn_benchmark.utils.schema import Unfit


def network():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Linear(2, 1))
    model[2].requires_grad_(False)
    return model


def fill(model, value):
    with torch.no_grad():
        model[0].weight.fill_(value)
        model[1].running_mean.fill_(value)
        model[1].num_batches_tracked.fill_(int(value))


def test_the_decay_warms_up_and_buffers_are_averaged_with_the_parameters():
    model = network()
    fill(model, 0)
    average, expected = WeightAverage(model, decay=0.25), 0.0
    for step, decay in ((1, 2 / 11), (2, 3 / 12), (3, 0.25)):
        fill(model, step)
        average.update()
        expected = decay * expected + (1 - decay) * step
        state = average.state_dict()
        for name in ("0.weight", "1.running_mean"):
            torch.testing.assert_close(state[name], torch.full_like(state[name], expected))
    assert average.updates == 3 and state["1.num_batches_tracked"] == 3


def test_what_is_frozen_is_the_networks_own():
    model = network()
    average = WeightAverage(model, 0.9)
    assert average.state_dict()["2.weight"].data_ptr() == model[2].weight.data_ptr()
    assert average.state_dict()["0.weight"].data_ptr() != model[0].weight.data_ptr()


def test_it_is_applied_for_a_block_and_the_optimizer_goes_on_with_the_weights():
    model = network()
    fill(model, 1)
    average = WeightAverage(model, 0.9)
    fill(model, 5)
    optimizer = torch.optim.AdamW([model[0].weight], lr=1.0, weight_decay=0, fused=True)
    with pytest.raises(KeyError), average.applied():
        assert model[0].weight.eq(1).all() and model[1].running_mean.eq(1).all()
        raise KeyError
    assert model[0].weight.eq(5).all()
    model[0].weight.grad = torch.ones(2, 2)
    optimizer.step()
    torch.testing.assert_close(model[0].weight.detach(), torch.full((2, 2), 4.0))
    assert average.state_dict()["0.weight"].eq(1).all()


def test_it_goes_on_from_its_state_bit_for_bit():
    model = network()
    average = WeightAverage(model, 0.9)
    states = []
    for _ in range(2):
        for value in range(3):
            fill(model, 0.1 * value)
            average.update()
        states.append({name: tensor.clone() for name, tensor in average.state_dict().items()})
    other = WeightAverage(network(), 0.9)
    other.model.load_state_dict(model.state_dict())
    other.load_state_dict(states[0], 3)
    for value in range(3):
        fill(other.model, 0.1 * value)
        other.update()
    assert other.updates == 6
    assert all(tensor.equal(states[1][name]) for name, tensor in other.state_dict().items())


def test_a_damaged_state_is_refused():
    average = WeightAverage(network(), 0.9)
    good = average.state_dict()
    with pytest.raises(Unfit, match="not finite"):
        average.load_state_dict({**good, "0.weight": torch.full((2, 2), torch.nan)}, 1)
    with pytest.raises(RuntimeError, match="Missing key"):
        average.load_state_dict({"0.weight": good["0.weight"]}, 1)
