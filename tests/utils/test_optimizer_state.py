"""A state with a group for every parameter, as the original library saves it, goes on in our groups."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg as defaults
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.checkpoint import Checkpointer, DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.optimizer_state import regroup


def make_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 1))
    network[0].weight.requires_grad_(False)
    return network


def singly(network):
    """An optimizer with one group for every trained parameter."""
    groups = [
        {"params": [p], "lr": 0.02 if "bias" in n else 0.01} for n, p in network.named_parameters() if p.requires_grad
    ]
    return torch.optim.SGD(groups, lr=0.01, momentum=0.9)


def step(network, optimizer):
    optimizer.zero_grad()
    network(torch.arange(4.0).view(2, 2)).square().sum().mul(0.01).backward()
    optimizer.step()


def make_ours(network):
    cfg = defaults.clone()
    cfg.merge_from_list(
        ["SOLVER.BASE_LR", 0.01, "SOLVER.WEIGHT_DECAY", 0.0, "SOLVER.WARMUP_ITERS", 0, "SOLVER.STEPS", (9,)]
    )
    optimizer = make_optimizer(cfg, network)
    return optimizer, make_lr_scheduler(cfg, optimizer)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_training_goes_on_as_it_would_have(tmp_path, prefix):
    theirs = make_network()
    optimizer = singly(theirs)
    for _ in range(3):
        step(theirs, optimizer)
    scheduler = {"milestones": (9,), "gamma": 0.1, "base_lrs": [0.01, 0.02], "last_epoch": 3, "_step_count": 4}
    model = {prefix + name: tensor for name, tensor in theirs.state_dict().items()}
    data = {"model": model, "optimizer": optimizer.state_dict(), "scheduler": scheduler, "iteration": 3}
    torch.save(data, tmp_path / "model_0000003.pth")
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_0000003.pth"))
    ours = make_network()
    our_optimizer, our_scheduler = make_ours(ours)
    assert Checkpointer(ours, our_optimizer, our_scheduler, str(tmp_path)).load() == {"iteration": 3}
    assert our_scheduler.last_epoch == 3
    for _ in range(2):
        step(theirs, optimizer)
        step(ours, our_optimizer)
    for a, b in zip(theirs.parameters(), ours.parameters()):
        torch.testing.assert_close(a, b)


def test_our_own_groups_stay_as_they_are():
    network = make_network()
    optimizer, _ = make_ours(network)
    step(network, optimizer)
    state = optimizer.state_dict()
    assert regroup(state, optimizer, network.named_parameters(), list(network.state_dict())) is state


def test_the_state_of_other_parameters_is_the_users_error(tmp_path):
    network = make_network()
    data = {"model": network.state_dict(), "optimizer": singly(network).state_dict()}
    torch.save(data, tmp_path / "a.pth")
    network[0].weight.requires_grad_(True)
    optimizer, _ = make_ours(network)
    with pytest.raises(
        UserError, match=r"a\.pth: its optimizer does not fit.*5 parameters, and 6 are trained.*MODEL\.WEIGHT"
    ):
        Checkpointer(network, optimizer).load(str(tmp_path / "a.pth"))


@pytest.mark.parametrize(("before", "now"), [(0.9, 0.5), (0.0, 0.9), (0.9, 0.0)])
def test_weight_decay_and_momentum_are_the_configs_where_a_training_goes_on(tmp_path, before, now):
    folder, network = str(tmp_path), make_network()
    cfg = defaults.clone()
    cfg.merge_from_list(["SOLVER.MOMENTUM", before, "SOLVER.WEIGHT_DECAY", 0.1, "SOLVER.WEIGHT_DECAY_BIAS", 0.2])
    optimizer = make_optimizer(cfg, network)
    step(network, optimizer)
    DetectronCheckpointer(cfg, network, optimizer, None, folder).save("model_0000001", iteration=1)
    cfg.merge_from_list(["SOLVER.MOMENTUM", now, "SOLVER.WEIGHT_DECAY", 0.3, "SOLVER.WEIGHT_DECAY_BIAS", 0.4])
    again = make_network()
    other = make_optimizer(cfg, again)
    DetectronCheckpointer(cfg, again, other, None, folder).load()
    assert [group["weight_decay"] for group in other.param_groups] == [0.3, 0.4]
    assert [group["momentum"] for group in other.param_groups] == [now, now]
    buffers = [other.state[p].get("momentum_buffer") for group in other.param_groups for p in group["params"]]
    assert all((buffer is not None) == (before > 0) for buffer in buffers)
    weight = again[1].weight
    old, weight.grad = weight.detach().clone(), torch.zeros_like(weight)
    moved = 0.3 * old + (now * other.state[weight]["momentum_buffer"] if before and now else 0)
    other.step()
    torch.testing.assert_close(weight, old - cfg.SOLVER.BASE_LR * moved)


@pytest.mark.parametrize(("before", "now"), [("AdamW", "SGD"), ("SGD", "AdamW")])
def test_the_state_of_another_optimizer_is_one_line(tmp_path, before, now):
    cfg, network = defaults.clone(), make_network()
    cfg.SOLVER.OPTIMIZER = before
    optimizer = make_optimizer(cfg, network)
    step(network, optimizer)
    DetectronCheckpointer(cfg, network, optimizer, None, str(tmp_path)).save("model_0000001", iteration=1)
    cfg.SOLVER.OPTIMIZER = now
    fresh = DetectronCheckpointer(cfg, network, make_optimizer(cfg, network), None, str(tmp_path))
    with pytest.raises(
        UserError, match=f"its optimizer does not fit .*it is of {before}, and SOLVER.OPTIMIZER .* {now}"
    ):
        fresh.load()
