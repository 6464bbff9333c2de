"""Build the optimizer and the schedule that the SOLVER options ask for."""

import logging
import math
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.multitask.task_gradients import own_parameters
from maskrcnn_benchmark.solver.lr_scheduler import WarmupCosineLR, WarmupMultiStepLR, WarmupPolyLR
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.optimizers import AdamW

logger = logging.getLogger(__name__)


def fill_in_iterations(cfg: CfgNode, images: int) -> None:
    """Write into a config how many iterations SOLVER.MAX_EPOCHS are; nothing where it is 0.

    SOLVER.STEPS keep their places in proportion to SOLVER.MAX_ITER. Doing it twice changes nothing more.

    Args:
        cfg: the config, changed in place before loaders and schedules are made of it.
        images: that an epoch has.
    """
    solver = cfg.SOLVER
    if not solver.MAX_EPOCHS:
        return
    before, solver.MAX_ITER = solver.MAX_ITER, math.ceil(solver.MAX_EPOCHS * images / solver.IMS_PER_BATCH)
    if before:
        solver.STEPS = tuple(round(step * solver.MAX_ITER / before) for step in solver.STEPS)
    steps = f", the rate falls after {', '.join(map(str, solver.STEPS))}" if solver.SCHEDULE == "step" else ""
    logger.info(
        "SOLVER.MAX_EPOCHS %g of %d images are %d iterations of %d images%s",
        *(solver.MAX_EPOCHS, images, solver.MAX_ITER, solver.IMS_PER_BATCH, steps),
    )


def make_optimizer(cfg: CfgNode, model: nn.Module, loss_combiner: LossCombiner | None = None) -> torch.optim.Optimizer:
    """The optimizer over all parameters that are to be trained.

    A parameter whose name contains "bias" has BIAS_LR_FACTOR times the rate and the decay WEIGHT_DECAY_BIAS, as in the
    original library; all others have BASE_LR and WEIGHT_DECAY. With SOLVER.DECAY_NORMS False what has one dimension
    (norms, layer scales) and what the backbone names (position embeddings) has no decay.
    The layers of the backbone's body have SOLVER.BACKBONE_LR_FACTOR times the rate, and each layer towards the input
    SOLVER.LAYER_DECAY times that of the next (Bao et al. 2022, BEiT); the heads and the pyramid have the full rate.
    A task's own layers have MULTITASK.LR_FACTORS.<TASK> times these rates; a factor of 0 freezes them, by
    `requires_grad`. Parameters with `requires_grad == False` are left out.

    Args:
        cfg: the config; SOLVER and MULTITASK.LR_FACTORS are read.
        model: the network.
        loss_combiner: a `LossCombiner`; its learned parameters, if it has any, are trained along without weight decay.

    Returns:
        `torch.optim.SGD` or `torch.optim.AdamW`. Its groups are weights and biases, those with a factor of 1 first and
        then those of each other factor, and last the combiner's; none of them is empty.

    Raises:
        UserError: an option is out of range, nothing is left to train, or a factor is of a task without layers of its
            own.
    """
    check_options(cfg)
    solver = cfg.SOLVER
    factors = {**_rate_factors(cfg, model), **_backbone_factors(cfg, model)}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise UserError("no parameter of the model is trainable; lower MODEL.BACKBONE.FREEZE_CONV_BODY_AT")
    combining = loss_combiner.learned_parameters() if loss_combiner is not None else []
    exempt = set() if solver.DECAY_NORMS else _without_decay(model)
    groups = []
    for factor in dict.fromkeys([1.0, *factors.values()]):
        alike = [(name, p) for name, p in named if factors.get(id(p), 1.0) == factor]
        weights = [p for name, p in alike if "bias" not in name]
        biases = [p for name, p in alike if "bias" in name]
        for members, rate, decay in (
            ([p for p in weights if id(p) not in exempt], solver.BASE_LR, solver.WEIGHT_DECAY),
            (biases, solver.BASE_LR * solver.BIAS_LR_FACTOR, solver.WEIGHT_DECAY_BIAS),
            ([p for p in weights if id(p) in exempt], solver.BASE_LR, 0.0),
        ):
            groups.append({"params": members, "lr": rate * factor, "weight_decay": decay})
    groups.append({"params": combining, "lr": solver.BASE_LR, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    if solver.OPTIMIZER == "SGD":
        # on a GPU a few launches for all parameters together; on a CPU one after the other stays within its caches
        on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
        optimizer = torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM, foreach=on_gpu)
        if on_gpu and solver.MOMENTUM:
            optimizer.register_step_pre_hook(_begin_momentum)
        return optimizer
    return AdamW(groups, lr=solver.BASE_LR, fused=True)


def _begin_momentum(optimizer: torch.optim.Optimizer, arguments: object, options: object) -> None:
    """Give parameters that have their first gradient a momentum of zero.

    PyTorch goes through all of them one by one in a step in which one has none, as where a task's first label comes.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and optimizer.state[parameter].get("momentum_buffer") is None:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _rate_factors(cfg: CfgNode, model: nn.Module) -> dict[int, float]:
    """{id of a parameter: factor} where MULTITASK.LR_FACTORS is not 1; the layers of a factor of 0 are frozen."""
    from maskrcnn_benchmark.tasks.task import TASKS  # late: tasks are above this room

    own, found = own_parameters(model, TASKS.values()), {}
    for task in TASKS.values():
        name, parameters = task.key.upper(), own[task.key]
        option, factor = f"MULTITASK.LR_FACTORS.{name}", cfg.MULTITASK.LR_FACTORS.get(name, 1.0)
        if factor == 1:
            continue
        if not parameters:
            why = "has no layers of its own" if cfg.MODEL[task.switch] else f"is off (MODEL.{task.switch})"
            raise UserError(f"{option} is {factor}, but the task {why}; set it to 1.0")
        for parameter in parameters:
            found[id(parameter)] = float(factor)
            if factor == 0:
                parameter.requires_grad_(False)
    return found


def _backbone_factors(cfg: CfgNode, model: nn.Module) -> dict[int, float]:
    """{id of a parameter of the backbone's body: factor} where a SOLVER option asks for one."""
    factor, decay = cfg.SOLVER.BACKBONE_LR_FACTOR, cfg.SOLVER.LAYER_DECAY
    if factor == decay == 1:
        return {}
    backbone: Any = getattr(model, "backbone", None)
    layers = backbone.layers() if hasattr(backbone, "layers") else {}
    if not layers:
        option = "BACKBONE_LR_FACTOR" if factor != 1 else "LAYER_DECAY"
        raise UserError(
            f"SOLVER.{option}: {cfg.MODEL.BACKBONE.CONV_BODY} does not say which layers it has; give its class a "
            "method layers(), as modeling.backbone.Backbone has it, or set the option to 1.0"
        )
    count = 1 + max(layers.values())
    return {
        id(parameter): factor * decay ** (count - layers[name])
        for name, parameter in backbone.named_parameters()
        if name in layers
    }


def _without_decay(model: nn.Module) -> set[int]:
    """Ids of parameters with one dimension, and of those that the backbone names."""
    exempt = {id(parameter) for parameter in model.parameters() if parameter.ndim <= 1}
    backbone: Any = getattr(model, "backbone", None)
    if hasattr(backbone, "without_decay"):
        named = backbone.without_decay()
        exempt |= {id(parameter) for name, parameter in backbone.named_parameters() if name in named}
    return exempt


def make_lr_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> WarmupCosineLR | WarmupMultiStepLR | WarmupPolyLR:
    """The schedule over `optimizer`, to be stepped once after every optimizer step.

    Raises `UserError` where an option is out of range.
    """
    check_options(cfg)
    solver = cfg.SOLVER
    warmup = {
        "warmup_factor": solver.WARMUP_FACTOR,
        "warmup_iters": solver.WARMUP_ITERS,
        "warmup_method": solver.WARMUP_METHOD,
    }
    if solver.SCHEDULE == "cosine":
        return WarmupCosineLR(optimizer, max(1, solver.MAX_ITER), **warmup)
    if solver.SCHEDULE == "poly":
        return WarmupPolyLR(optimizer, max(1, solver.MAX_ITER), solver.POLY_POWER, **warmup)
    return WarmupMultiStepLR(optimizer, solver.STEPS, solver.GAMMA, **warmup)
