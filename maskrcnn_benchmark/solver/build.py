"""Build the optimizer and the schedule that the SOLVER options ask for."""

import torch

from maskrcnn_benchmark.solver.lr_scheduler import WARMUP_METHODS, WarmupCosineLR, WarmupMultiStepLR
from maskrcnn_benchmark.utils.errors import UserError


def make_optimizer(cfg, model, loss_combiner=None):
    """The optimizer over all parameters that are to be trained.

    A parameter whose name contains "bias" has BIAS_LR_FACTOR times the rate and the decay WEIGHT_DECAY_BIAS, as in the
    original library; all others, the weights of normalisation layers included, have BASE_LR and WEIGHT_DECAY.
    Parameters with `requires_grad == False` are left out.

    Args:
        cfg: the config; SOLVER is read.
        model: the network.
        loss_combiner: a `LossCombiner`; its learned parameters, if it has any, are trained along without weight decay.

    Returns:
        `torch.optim.SGD` or `torch.optim.AdamW`.
    """
    solver = cfg.SOLVER
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise UserError("no parameter of the model is trainable; lower MODEL.BACKBONE.FREEZE_CONV_BODY_AT")
    weights = [p for name, p in named if "bias" not in name]
    biases = [p for name, p in named if "bias" in name]
    combining = loss_combiner.learned_parameters() if loss_combiner is not None else []
    groups = [
        {"params": weights, "lr": solver.BASE_LR, "weight_decay": solver.WEIGHT_DECAY},
        {
            "params": biases,
            "lr": solver.BASE_LR * solver.BIAS_LR_FACTOR,
            "weight_decay": solver.WEIGHT_DECAY_BIAS,
        },
        {"params": combining, "lr": solver.BASE_LR, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if solver.OPTIMIZER == "SGD":
        return torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM)
    if solver.OPTIMIZER == "AdamW":
        return torch.optim.AdamW(groups, lr=solver.BASE_LR, fused=True)
    raise UserError(f'SOLVER.OPTIMIZER is {solver.OPTIMIZER!r}, but must be "SGD" or "AdamW"')


def make_lr_scheduler(cfg, optimizer):
    """The schedule over `optimizer`, to be stepped once after every optimizer step."""
    solver = cfg.SOLVER
    if solver.WARMUP_METHOD not in WARMUP_METHODS:
        raise UserError(f"SOLVER.WARMUP_METHOD is {solver.WARMUP_METHOD!r}, but must be one of {WARMUP_METHODS}")
    warmup = {
        "warmup_factor": solver.WARMUP_FACTOR,
        "warmup_iters": solver.WARMUP_ITERS,
        "warmup_method": solver.WARMUP_METHOD,
    }
    if solver.SCHEDULE == "cosine":
        return WarmupCosineLR(optimizer, max(1, solver.MAX_ITER), **warmup)
    if solver.SCHEDULE != "step":
        raise UserError(f'SOLVER.SCHEDULE is {solver.SCHEDULE!r}, but must be "step" or "cosine"')
    if list(solver.STEPS) != sorted(solver.STEPS):
        raise UserError(f"SOLVER.STEPS must be increasing iterations, not {tuple(solver.STEPS)}")
    return WarmupMultiStepLR(optimizer, solver.STEPS, solver.GAMMA, **warmup)
