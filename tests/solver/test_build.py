"""Optimizer groups and schedules built from a config."""

import pytest
import torch
from task_weights import of_tasks
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.multitask.weightings import UncertaintyWeighting
from maskrcnn_benchmark.solver import WarmupMultiStepLR, fill_in_iterations, make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def cfg():
    config = default_cfg.clone()
    config.merge_from_list(["SOLVER.BASE_LR", 0.1, "SOLVER.WEIGHT_DECAY", 0.01, "SOLVER.WARMUP_ITERS", 4])
    return config


def small_model():
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def rates(scheduler, optimizer, count):
    values = []
    for _ in range(count):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.cuda
def test_sgd_on_a_gpu_moves_as_on_a_cpu_also_where_a_parameter_has_its_first_gradient_late(cfg):
    models = small_model(), small_model().cuda()
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        optimizer = make_optimizer(cfg, model)
        for step in range(4):
            optimizer.zero_grad()
            for index, parameter in enumerate(model.parameters()):
                if index <= step:
                    parameter.grad = torch.full_like(parameter, 0.1 * (1 + index + step))
            optimizer.step()
    for ours, theirs in zip(models[1].parameters(), models[0].parameters()):
        torch.testing.assert_close(ours.cpu(), theirs)


def test_biases_have_their_own_rate_and_decay(cfg):
    model = small_model()
    weights, biases = make_optimizer(cfg, model).param_groups
    assert weights["lr"] == pytest.approx(0.1) and weights["weight_decay"] == pytest.approx(0.01)
    assert biases["lr"] == pytest.approx(0.2) and biases["weight_decay"] == 0.0
    assert {id(p) for p in biases["params"]} == {id(m.bias) for m in model}


def test_norm_weights_decay_as_other_weights(cfg):
    model = small_model()
    weights = make_optimizer(cfg, model).param_groups[0]
    assert any(p is model[1].weight for p in weights["params"])


def test_frozen_parameters_are_left_out(cfg):
    model = small_model()
    model[0].weight.requires_grad_(False)
    held = [p for group in make_optimizer(cfg, model).param_groups for p in group["params"]]
    assert len(held) == 5 and all(p is not model[0].weight for p in held)


def test_parameters_of_the_loss_combiner_are_trained_without_decay(cfg):
    combiner = LossCombiner(of_tasks({"semantic": 1.0}), UncertaintyWeighting(["semantic"]))
    group = make_optimizer(cfg, small_model(), combiner).param_groups[-1]
    assert group["params"][0] is combiner.weighting.scalar["semantic"] and group["weight_decay"] == 0.0


def test_adamw_by_name_and_a_wrong_name_is_the_users_error(cfg):
    cfg.SOLVER.OPTIMIZER = "AdamW"
    assert isinstance(make_optimizer(cfg, small_model()), torch.optim.AdamW)
    cfg.SOLVER.OPTIMIZER = "Adan"
    with pytest.raises(UserError, match=r"SOLVER\.OPTIMIZER.*Adan.*AdamW"):
        make_optimizer(cfg, small_model())


def test_a_wholly_frozen_model_is_the_users_error(cfg):
    model = small_model().requires_grad_(False)
    with pytest.raises(UserError, match="FREEZE_CONV_BODY_AT"):
        make_optimizer(cfg, model)


def test_linear_warm_up_then_steps(cfg):
    cfg.merge_from_list(["SOLVER.STEPS", (6, 8), "SOLVER.WARMUP_FACTOR", 0.5])
    optimizer = make_optimizer(cfg, small_model())
    scheduler = make_lr_scheduler(cfg, optimizer)
    expected = [0.05, 0.0625, 0.075, 0.0875, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert rates(scheduler, optimizer, 10) == pytest.approx(expected)


def test_constant_warm_up(cfg):
    cfg.merge_from_list(["SOLVER.WARMUP_METHOD", "constant", "SOLVER.WARMUP_FACTOR", 0.5])
    optimizer = make_optimizer(cfg, small_model())
    assert rates(make_lr_scheduler(cfg, optimizer), optimizer, 6) == pytest.approx([0.05] * 4 + [0.1] * 2)


def test_cosine_falls_to_zero_at_the_last_iteration(cfg):
    cfg.merge_from_list(["SOLVER.SCHEDULE", "cosine", "SOLVER.MAX_ITER", 8, "SOLVER.WARMUP_ITERS", 0])
    optimizer = make_optimizer(cfg, small_model())
    values = rates(make_lr_scheduler(cfg, optimizer), optimizer, 9)
    assert values[0] == pytest.approx(0.1) and values[4] == pytest.approx(0.05)
    assert values[2] == pytest.approx(0.05 * (1 + 0.5**0.5)) and values[8] == pytest.approx(0.0, abs=1e-12)


def test_poly_is_a_power_of_what_is_left(cfg):
    cfg.merge_from_list(["SOLVER.SCHEDULE", "poly", "SOLVER.MAX_ITER", 8, "SOLVER.WARMUP_ITERS", 0])
    optimizer = make_optimizer(cfg, small_model())
    values = rates(make_lr_scheduler(cfg, optimizer), optimizer, 10)
    assert values == pytest.approx([0.1 * (1 - min(k, 8) / 8) ** 0.9 for k in range(10)])


def test_a_schedule_goes_on_where_its_state_was_saved(cfg):
    cfg.merge_from_list(["SOLVER.STEPS", (6, 8)])
    optimizer = make_optimizer(cfg, small_model())
    scheduler = make_lr_scheduler(cfg, optimizer)
    whole = rates(scheduler, optimizer, 10)
    first = make_optimizer(cfg, small_model())
    first_scheduler = make_lr_scheduler(cfg, first)
    rates(first_scheduler, first, 5)
    second = make_optimizer(cfg, small_model())
    second_scheduler = make_lr_scheduler(cfg, second)
    second.load_state_dict(first.state_dict())
    second_scheduler.load_state_dict(first_scheduler.state_dict())
    assert rates(second_scheduler, second, 5) == whole[5:]


def test_wrong_schedules_are_the_users_errors(cfg):
    optimizer = make_optimizer(cfg, small_model())
    for key, value in (("SCHEDULE", "exponential"), ("WARMUP_METHOD", "slow"), ("STEPS", (5, 3))):
        broken = cfg.clone()
        broken.SOLVER[key] = value
        with pytest.raises(UserError, match=f"SOLVER.{key}"):
            make_lr_scheduler(broken, optimizer)


def test_the_scheduler_class_rejects_unordered_milestones():
    optimizer = torch.optim.SGD(small_model().parameters(), lr=1.0)
    with pytest.raises(ValueError, match="increasing"):
        WarmupMultiStepLR(optimizer, [3, 2])
    with pytest.raises(ValueError, match="warmup_method"):
        WarmupMultiStepLR(optimizer, [2], warmup_method="slow")


def test_a_resumed_schedule_follows_the_config_of_today(cfg):
    cfg.merge_from_list(["SOLVER.SCHEDULE", "cosine", "SOLVER.MAX_ITER", 8, "SOLVER.WARMUP_ITERS", 0])
    optimizer = make_optimizer(cfg, small_model())
    scheduler = make_lr_scheduler(cfg, optimizer)
    rates(scheduler, optimizer, 8)
    cfg.SOLVER.MAX_ITER = 16
    longer = make_optimizer(cfg, small_model())
    longer.load_state_dict(optimizer.state_dict())
    longer_scheduler = make_lr_scheduler(cfg, longer)
    longer_scheduler.load_state_dict(scheduler.state_dict())
    assert longer.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_parameters_may_get_their_first_gradient_late(optimizer):
    # a head whose task the first batches do not have
    config = default_cfg.clone()
    config.SOLVER.OPTIMIZER = optimizer
    model = torch.nn.ModuleList([torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)])
    before = model[1].weight.detach().clone()
    built = make_optimizer(config, model)
    model[0](torch.ones(1, 2)).sum().backward()
    built.step()
    assert torch.equal(model[1].weight, before)
    model[1](torch.ones(1, 2)).sum().backward()
    built.step()
    assert not torch.equal(model[1].weight, before)


# A network of a task with a layer of its own, one that shares its layer with masks, and a trunk
class Heads(nn.Module):
    def __init__(self, shared=False):
        super().__init__()
        self.backbone = nn.Linear(2, 2)
        self.roi_heads = nn.ModuleDict({"box": nn.ModuleDict(), "mask": nn.ModuleDict()})
        self.roi_heads["box"]["feature_extractor"] = nn.Linear(2, 2)
        self.roi_heads["mask"]["feature_extractor"] = (
            self.roi_heads["box"]["feature_extractor"] if shared else nn.Linear(2, 2)
        )
        self.roi_heads["mask"]["predictor"] = nn.Linear(2, 1)


def rate_of(optimizer, parameter):
    (rate,) = [g["lr"] for g in optimizer.param_groups if any(p is parameter for p in g["params"])]
    return rate


def test_a_factor_is_of_a_tasks_own_layers_alone(cfg):
    cfg.merge_from_list(["MODEL.MASK_ON", True, "MULTITASK.LR_FACTORS.INSTANCE", 0.25])
    model = Heads()
    optimizer = make_optimizer(cfg, model)
    box, mask = (model.roi_heads[name]["feature_extractor"] for name in ("box", "mask"))
    assert rate_of(optimizer, model.backbone.weight) == rate_of(optimizer, box.weight) == pytest.approx(0.1)
    assert rate_of(optimizer, mask.weight) == pytest.approx(0.025)
    assert rate_of(optimizer, mask.bias) == pytest.approx(0.05)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)  # which the log shows
    decays = {g["lr"]: g["weight_decay"] for g in optimizer.param_groups}
    assert list(decays.values()) == [0.01, 0.0, 0.01, 0.0]


def test_a_shared_layer_keeps_its_rate(cfg):
    factors = ("MULTITASK.LR_FACTORS.INSTANCE", 0.5, "MULTITASK.LR_FACTORS.DETECTION", 1.0)
    cfg.merge_from_list(["MODEL.MASK_ON", True, *factors])
    model = Heads(shared=True)
    optimizer = make_optimizer(cfg, model)
    assert rate_of(optimizer, model.roi_heads["box"]["feature_extractor"].weight) == pytest.approx(0.1)
    assert rate_of(optimizer, model.roi_heads["mask"]["predictor"].weight) == pytest.approx(0.05)


def test_tasks_of_one_factor_share_their_groups(cfg):
    factors = ("MULTITASK.LR_FACTORS.INSTANCE", 0.5, "MULTITASK.LR_FACTORS.DETECTION", 0.5)
    cfg.merge_from_list(["MODEL.MASK_ON", True, *factors])
    groups = make_optimizer(cfg, Heads()).param_groups
    assert [len(group["params"]) for group in groups] == [1, 1, 3, 3]


def test_without_factors_there_are_weights_and_biases_alone(cfg):
    model = Heads()
    weights, biases = make_optimizer(cfg, model).param_groups
    names = dict(model.named_parameters())
    assert [id(p) for p in weights["params"]] == [id(p) for n, p in names.items() if n.endswith("weight")]
    assert [id(p) for p in biases["params"]] == [id(p) for n, p in names.items() if n.endswith("bias")]


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_a_factor_of_zero_freezes_without_decay(cfg, optimizer):
    cfg.merge_from_list(["SOLVER.OPTIMIZER", optimizer, "MODEL.MASK_ON", True, "MULTITASK.LR_FACTORS.INSTANCE", 0.0])
    model = Heads()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    built = make_optimizer(cfg, model)
    features = model.backbone(torch.ones(1, 2))
    mask = model.roi_heads["mask"]
    mask["predictor"](mask["feature_extractor"](features)).sum().backward()
    built.step()
    moved = {name for name, p in model.named_parameters() if not p.equal(before[name])}
    assert moved == {"backbone.weight", "backbone.bias"}  # which the frozen head's loss still trains


def test_the_schedule_multiplies_each_groups_own_rate(cfg):
    cfg.merge_from_list(["MODEL.MASK_ON", True, "MULTITASK.LR_FACTORS.INSTANCE", 3.0, "SOLVER.STEPS", (5,)])
    model = Heads()
    optimizer = make_optimizer(cfg, model)
    scheduler = make_lr_scheduler(cfg, optimizer)
    for _ in range(8):
        ratio = rate_of(optimizer, model.roi_heads["mask"]["predictor"].weight) / rate_of(
            optimizer, model.backbone.weight
        )
        assert ratio == pytest.approx(3.0)
        optimizer.step()
        scheduler.step()
    assert rate_of(optimizer, model.roi_heads["mask"]["predictor"].weight) == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("INSTANCE", -0.5), r"MULTITASK\.LR_FACTORS\.INSTANCE is -0.5, but must be a number from 0 to 1,000,000"),
        (("INSTANCE", float("nan")), "INSTANCE is nan, but must be"),
        (("PART", 0.5), r"MULTITASK\.LR_FACTORS\.PART is 0.5, but the task is off \(MODEL\.PART_ON\); set it to 1.0"),
        (("SEMANTIC", 0.0), "SEMANTIC is 0.0, but the task has no layers of its own"),
    ],
)
def test_factors_that_mean_nothing_are_the_users_errors(cfg, options, message):
    cfg.MODEL.SEMANTIC_ON, cfg.MULTITASK.LR_FACTORS[options[0]] = True, options[1]
    with pytest.raises(UserError, match=message):
        make_optimizer(cfg, Heads())


def test_epochs_become_iterations_and_steps_keep_their_places(cfg):
    cfg.merge_from_list(["SOLVER.MAX_ITER", 12, "SOLVER.STEPS", (8, 11), "SOLVER.IMS_PER_BATCH", 8])
    fill_in_iterations(cfg, 100)
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (12, (8, 11))
    cfg.merge_from_list(["SOLVER.MAX_EPOCHS", 12])
    for _ in range(2):
        fill_in_iterations(cfg, 101)
        assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS) == (152, (101, 139))
    cfg.merge_from_list(["SOLVER.MAX_EPOCHS", "0.5"])
    fill_in_iterations(cfg, 100)
    assert cfg.SOLVER.MAX_ITER == 7
