"""Data-parallel training by plain collectives, made for partial labels.

A rank without a task, or without any loss, joins in with zeros instead of failing or hanging the others. Several
processes each run their share of the batch; `agree` and `average_gradients` then make their gradients equal.
"""

import torch
import torch.distributed as dist
from torch import nn

from maskrcnn_benchmark.utils.comm import BUCKET_BYTES, average_over_ranks, get_world_size


def broadcast_state(*modules):
    """Give all ranks the parameters and buffers of rank 0."""
    if get_world_size() == 1:
        return
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                message = tensor.detach().contiguous()
                dist.broadcast(message, 0)
                tensor.copy_(message)


def agree(parameters, flags, device):
    """Tell all ranks who has which gradient, and what else happened anywhere.

    Args:
        parameters: list of parameters, the same on all ranks.
        flags: list of bool; each becomes true everywhere if it is true anywhere.
        device: where the process group communicates.

    Returns:
        (list of bool: some rank has a gradient for this parameter, list of bool: the flags).
    """
    if get_world_size() == 1:
        return [p.grad is not None for p in parameters], list(flags)
    message = torch.tensor([p.grad is not None for p in parameters] + list(flags), dtype=torch.int32, device=device)
    dist.all_reduce(message, op=dist.ReduceOp.MAX)
    answers = [bool(answer) for answer in message.tolist()]
    return answers[: len(parameters)], answers[len(parameters) :]


def average_gradients(parameters, present, bucket_bytes=BUCKET_BYTES):
    """Replace each gradient by its mean over all ranks, a missing one counting as zero.

    A parameter that no rank used keeps no gradient, so that the optimizer's momentum and decay leave it alone.

    Args:
        parameters: list of parameters, the same on all ranks.
        present: what `agree` returned for them.
    """
    if get_world_size() == 1:
        return
    gradients = []
    for parameter, used in zip(parameters, present):
        if used and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if used:
            gradients.append(parameter.grad)
    average_over_ranks(gradients, bucket_bytes)


def synchronize_batch_norm(model, device):
    """Make the trunk's trainable batch norms take their statistics over all ranks, where PyTorch can: on CUDA.

    Only the trunk is converted, since it runs on every rank in every step; a synchronised norm in a head that one rank
    skips would hang the others.
    """
    if get_world_size() > 1 and torch.device(device).type == "cuda":
        model.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(model.backbone)
    return model


def average_batch_norm_statistics(model):
    """Replace the running statistics of batch norms by their mean over all ranks, before they are saved or tested."""
    if get_world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            for statistic in (module.running_mean, module.running_var):
                dist.all_reduce(statistic)
                statistic /= get_world_size()
