"""Give an optimizer the state of one whose parameters were grouped otherwise, or which had other settings.

The original library has a parameter group for every single parameter, in the order of the model; ours has two or three.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def regroup(
    state: dict[str, Any],
    optimizer: torch.optim.Optimizer,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    saved_names: Iterable[str],
) -> dict[str, Any]:
    """`state` as `optimizer.load_state_dict` takes it; `state` itself if its groups are those of `optimizer`.

    Rates, decays and the like are taken from `optimizer`: they are the config's and the schedule's.

    Args:
        state: what another optimizer's `state_dict` returned.
        optimizer: the one to fill.
        named_parameters: the model's (name, parameter) pairs.
        saved_names: the names of the saved model's tensors, in their order.

    Raises:
        ValueError: the saved state is not that of the parameters that `optimizer` trains.
    """
    own = optimizer.state_dict()
    saved_groups = [group["params"] for group in state["param_groups"]]
    if [len(group) for group in saved_groups] == [len(group["params"]) for group in own["param_groups"]]:
        return state
    if any(len(group) != 1 for group in saved_groups):
        raise ValueError("its parameters are grouped in another way")
    names = {id(parameter): name for name, parameter in named_parameters}
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    order = {name: position for position, name in enumerate(saved_names)}
    if any(names.get(id(parameter)) not in order for parameter in trained) or len(trained) != len(saved_groups):
        raise ValueError(f"it is of {len(saved_groups)} parameters, and {len(trained)} are trained here")
    by_saved_order = sorted(range(len(trained)), key=lambda index: order[names[id(trained[index])]])
    entries = {}
    for (key,), index in zip(saved_groups, by_saved_order):
        entry = state["state"].get(key)
        if entry is None:
            continue
        tensors = [value for value in entry.values() if isinstance(value, torch.Tensor) and value.dim()]
        if any(tensor.shape != trained[index].shape for tensor in tensors):
            raise ValueError(f"the state of {names[id(trained[index])]} has another shape")
        entries[index] = entry
    return {"state": entries, "param_groups": own["param_groups"]}


# Of a group of parameters: what a schedule moves, and the parameters themselves
_OF_THE_SCHEDULE = ("params", "lr", "initial_lr")


def with_settings_of(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """`state` with weight decays, momentum and the like of `optimizer`, whose config may have changed since.

    Rates stay, for the schedule sets them. Groups of another number are left to `load_state_dict` to refuse.
    """
    own, saved = optimizer.param_groups, state["param_groups"]
    if len(own) != len(saved):
        return state
    settings = [{key: value for key, value in group.items() if key not in _OF_THE_SCHEDULE} for group in own]
    return {**state, "param_groups": [{**theirs, **ours} for theirs, ours in zip(saved, settings)]}
