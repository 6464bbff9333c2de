"""What a checkpoint holds beside its weights so that its training can go on: every entry described and checked.

`check_entries` reads the entries that stand by themselves, `check_optimizer_state`, `check_scheduler_state` and
`check_module_state` those that belong to an object which is there. All raise `Unfit` with what is wrong;
`damaged_entry` makes the user's error of it, which names the file, the entry and what can still be used.

Another library's checkpoint has fewer entries, and its own optimizer's names: what is absent is not asked for.
"""

from typing import Any

import torch

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Choice, Flag, Integer, Number, Range, Text
from maskrcnn_benchmark.utils.schema import (
    TEXT,
    Fixed,
    Kind,
    ListOf,
    Maybe,
    Record,
    Tensor,
    Unfit,
    all_finite,
    check,
    shown,
    unfit,
)

MOST_ITERATIONS = 2**31 - 1
MOST_PROCESSES = 65536
# Words of the Mersenne Twister that Python, NumPy and PyTorch draw from
WORDS = 624


class _Twister(Range):
    """The words of a Mersenne Twister and the place of the next one, as Python keeps them: 625 integers."""

    words = f"a list of {WORDS + 1} words of 32 bits, not all zero"

    def holds(self, value: Any) -> bool:
        if type(value) not in (list, tuple) or len(value) != WORDS + 1:
            return False
        if not all(type(word) is int and 0 <= word < 2**32 for word in value):
            return False
        return value[-1] <= WORDS and any(value[:-1])


class _NumpyWords(Range):
    """The words of NumPy's Mersenne Twister, as `get_random_state` stores them."""

    words = f"an int64 tensor of {WORDS} words of 32 bits, not all zero"

    def holds(self, value: Any) -> bool:
        kind = Tensor(torch.int64, (WORDS,), 0, 2**32 - 1)
        try:
            kind.check(value)
        except Unfit:
            return False
        return bool(value.any())


class _TorchState(Range):
    """The state of a generator of PyTorch on the CPU: one that such a generator takes."""

    words = "the state of a random number generator of PyTorch"

    def holds(self, value: Any) -> bool:
        if not isinstance(value, torch.Tensor) or value.dtype != torch.uint8 or value.dim() != 1:
            return False
        try:
            torch.Generator().set_state(value)
        except RuntimeError:  # of another length, or its words count beyond their end
            return False
        return True


class _CudaState(Range):
    """The state of a generator on a GPU: a seed and an offset of 8 bytes each; the offset counts by fours."""

    words = "the state of a random number generator on a GPU"

    def holds(self, value: Any) -> bool:
        if not isinstance(value, torch.Tensor) or value.dtype != torch.uint8 or value.dim() != 1:
            return False
        return value.numel() == 16 and value[8].item() % 4 == 0


RANDOM_STATE = Record(
    {
        "python": Fixed((Choice(3), _Twister(), Maybe(Number()))),
        "numpy": Fixed((Choice("MT19937"), _NumpyWords(), Integer(0, WORDS), Integer(0, 1), Number())),
        "torch": _TorchState(),
        "cuda": Maybe(_CudaState()),
    }
)
GRAD_SCALER = Record(
    {
        "scale": Number(0, above=True),
        "growth_factor": Number(1, above=True),
        "backoff_factor": Number(0, 1, above=True),
        "growth_interval": Integer(1, MOST_ITERATIONS),
        "_growth_tracker": Integer(0, MOST_ITERATIONS),
    }
)


class _Scaler(Kind):
    """The state of a gradient scaler, {} of one that is turned off."""

    words = "the state of a gradient scaler"

    def check(self, value: object, where: str = "") -> None:
        if not isinstance(value, dict) or value:
            GRAD_SCALER.check(value, where)


# The entries that stand by themselves. What others save along goes through a training untouched
ENTRIES: dict[str, Kind | Range] = {
    "iteration": Integer(0, MOST_ITERATIONS),
    "seed": Integer(0, 2**64 - 1),
    "threads": Integer(1, MOST_PROCESSES),
    "config": Text(1 << 20, empty=True, multiline=True),
    "vocabulary": Record(),
    "grad_scaler": _Scaler(),
    "random_states": ListOf(RANDOM_STATE, 1, MOST_PROCESSES),
    "loss_combiner": Record(),
    "model_ema": Record(),
    "ema_updates": Integer(0, MOST_ITERATIONS),
    "best_evaluation": Record(
        {
            "metric": Text(200),
            "value": Maybe(Number()),
            "iteration": Maybe(Integer(0, MOST_ITERATIONS)),
            "evaluated": Integer(0, MOST_ITERATIONS),
            "since": Integer(0, MOST_ITERATIONS),
        }
    ),
}
# Entries under these names would take another's place when a training saves them along
RESERVED = ("self", "name", "model")


def check_entries(entries: dict, file: object, remedy: str = "") -> None:
    """Raise the `UserError` of the first damaged one of a checkpoint's entries beside weights, optimizer and schedule.

    Args:
        entries: what the file holds.
        file, remedy: as `damaged_entry` takes them.
    """
    odd = next((key for key in entries if not isinstance(key, str) or key in RESERVED), None)
    if odd is not None:
        raise damaged_entry(file, odd, "nothing that trains saves an entry of that name", remedy)
    for name, kind in ENTRIES.items():
        if name in entries:
            try:
                check(kind, entries[name])
            except Unfit as fault:
                raise damaged_entry(file, name, fault, remedy) from None


def damaged_entry(file: object, entry: object, fault: object, remedy: str = "") -> UserError:
    """The error of a checkpoint that cannot be resumed for one entry's sake.

    Args:
        file: the checkpoint.
        entry: the name of the entry.
        fault: what is wrong with it.
        remedy: what begins with "; " and names another checkpoint, or "".
    """
    name = entry if isinstance(entry, str) and entry in (*ENTRIES, "optimizer", "scheduler") else shown(entry)
    return UserError(
        f"{file}: its entry {name} is damaged: {fault}{remedy}; or start from its weights alone with MODEL.WEIGHT "
        f"{file} and another OUTPUT_DIR"
    )


# What the optimizers of this library and of PyTorch keep for a parameter, and in a group of parameters, by name
_MOMENTS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq")
_SQUARES = ("exp_avg_sq", "max_exp_avg_sq")
_MOST = 1e9
_GROUP = {
    "lr": Number(0, _MOST),
    "initial_lr": Number(0, _MOST),
    "weight_decay": Number(0, _MOST),
    "momentum": Number(0, _MOST),
    "dampening": Number(-_MOST, _MOST),
    "eps": Number(0, _MOST),
    "betas": Fixed((Number(0, 1), Number(0, 1))),
    "amsgrad": Flag(),
    "nesterov": Flag(),
    "maximize": Flag(),
    "differentiable": Flag(),
    "capturable": Flag(),
    "decoupled_weight_decay": Flag(),
    "foreach": Maybe(Flag()),
    "fused": Maybe(Flag()),
}
# Flags that change what a step computes; no option sets one, so that another value than the optimizer's is damage
_MEANINGS = ("amsgrad", "nesterov", "maximize", "decoupled_weight_decay", "capturable", "differentiable")


def check_optimizer_state(state: Any, optimizer: torch.optim.Optimizer) -> None:
    """Raise `Unfit` unless `state` is one that an optimizer like this may have saved.

    Numbers of the groups, what is kept for each parameter, and which parameter it is kept for are looked at; whether
    groups and shapes are those of `optimizer` is asked when it is loaded. Raises another `ValueError` for the sound
    state of another kind of optimizer.
    """
    group = Record({"params": ListOf(Integer(0, 2**64 - 1), 0, 1_000_000)}, _GROUP)
    Record({"state": Record(), "param_groups": ListOf(group, 1, 1_000_000)}).check(state)
    numbers = [number for each in state["param_groups"] for number in each["params"]]
    if len(set(numbers)) != len(numbers):
        raise Unfit("param_groups name a parameter twice")
    theirs, ours = _kind_of(state["param_groups"]), _kind_of(optimizer.param_groups)
    if theirs != ours and theirs and ours:
        raise ValueError(f"it is of {theirs}, and SOLVER.OPTIMIZER asks for {ours}")
    _check_groups(state["param_groups"], optimizer)
    known = set(numbers)
    for key, entry in state["state"].items():
        if type(key) is not int or key not in known:
            raise Unfit(f"state has {shown(key)}, which is no parameter of its groups")
        _check_moments(entry, f".state[{key}]")
    _check_completeness(state, optimizer)


def _kind_of(groups):
    """The optimizer that groups of parameters are of, as SOLVER.OPTIMIZER calls it; "" for one that it has not."""
    return next((kind for setting, kind in (("betas", "AdamW"), ("momentum", "SGD")) if setting in groups[0]), "")


def _check_groups(groups, optimizer):
    own = optimizer.param_groups[0]
    for index, group in enumerate(groups):
        for key, value in own.items():
            # what PyTorch has added over the years is a flag or None, and it knows what its absence means
            is_new = key in ("params", "initial_lr") or value is None or isinstance(value, bool)
            if key not in group and not is_new:
                raise Unfit(f"param_groups[{index}] has no {key!r}")
            if key in _MEANINGS and group.get(key, value) != value:
                raise Unfit(f"param_groups[{index}].{key} is {shown(group[key])}, where this training has {value}")


def _check_moments(entry, where):
    Record().check(entry, where)
    for key, value in entry.items():
        place = f"{where}.{key if key in (*_MOMENTS, 'step') else shown(key)}"
        if key == "step":
            _check_step(value, place)
        elif key in _MOMENTS and value is None:
            continue  # SGD without momentum
        elif key in _MOMENTS:
            Tensor(low=0 if key in _SQUARES else -torch.inf).check(value, place)
        elif isinstance(value, torch.Tensor) and value.is_floating_point() and not all_finite(value):
            raise Unfit(f"{place.lstrip('.')} has numbers that are not finite")


def _check_step(value, place):
    if isinstance(value, torch.Tensor):
        Tensor(None, (), 0, MOST_ITERATIONS).check(value, place)
        value = value.item()
    check(Number(0, MOST_ITERATIONS), value, place)
    if value != int(value):
        raise unfit(place, value, "a number of steps")


def _check_completeness(state, optimizer):
    """A parameter that was ever moved has all that its optimizer kept; one without momentum then may have it now."""
    entries, saved = state["state"], state["param_groups"][0]
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        needed = ("step", "exp_avg", "exp_avg_sq")
    elif isinstance(optimizer, torch.optim.SGD) and saved.get("momentum"):
        needed = ("momentum_buffer",)
    else:
        needed = ()
    for key, entry in entries.items():
        missing = next((name for name in needed if entry.get(name, None) is None), None)
        if missing is not None and entry:
            raise Unfit(f"state[{key}] has no {missing!r}")


def check_scheduler_state(state: object, scheduler: Any) -> None:
    """Raise `Unfit` unless `state` is one that a schedule like this may have saved: its iteration, and finite rates."""
    Record({"last_epoch": Integer(0, MOST_ITERATIONS)}).check(state)
    _check_like(scheduler.state_dict(), state, "")


def _check_like(own, saved, where):
    """Raise `Unfit` where a saved value cannot stand for one's own of the same name."""
    if isinstance(own, dict):
        Record().check(saved, where)
        for key, value in own.items():
            if key in saved:
                _check_like(value, saved[key], f"{where}.{key}")
    elif isinstance(own, list | tuple):
        if type(saved) not in (list, tuple) or len(saved) != len(own):
            raise unfit(where, saved, f"a list of {len(own)}")
        for index, (a, b) in enumerate(zip(own, saved)):
            _check_like(a, b, f"{where}[{index}]")
    elif isinstance(own, bool):
        check(Flag(), saved, where)
    elif isinstance(own, int | float):
        bounded = isinstance(own, int) or abs(own) != torch.inf
        if bounded or type(saved) not in (int, float):
            check(Number(), saved, where)
        if isinstance(own, int) and type(saved) is not int:
            raise unfit(where, saved, "an integer")
        if own >= 0 > saved:
            raise unfit(where, saved, "a number of at least 0")
        if bounded and abs(own) <= _MOST < abs(saved):
            raise unfit(where, saved, f"a number of at most {_MOST:g}")
    elif isinstance(own, str):
        check(TEXT, saved, where)


# Buffers that count, by the last part of their names
_COUNTS = ("seen", "counts", "steps", "together", "conflicts", "norms", "num_batches_tracked")


def check_module_state(state: Any, module: torch.nn.Module) -> None:
    """Raise `Unfit` for what a module's `load_state_dict` would take although no such module has saved it.

    Tensors have the types of the module's own and finite numbers, except where the module's own begin otherwise (a
    buffer that begins as NaN: nothing seen yet). Names and shapes are `load_state_dict`'s to compare, and extra states
    the module's own.
    """
    Record().check(state)
    own = module.state_dict()
    for name, value in state.items():
        if not isinstance(name, str):
            raise Unfit(f"it has {shown(name)}, which is no name")
        mine = own.get(name)
        if isinstance(mine, torch.Tensor):
            is_count = name.rpartition(".")[2] in _COUNTS
            Tensor(mine.dtype, low=0 if is_count else None).check(value, f".{name}")
            _check_finite(value, mine, name)


def _check_finite(value, own, name):
    if not value.is_floating_point() or all_finite(value):
        return
    if (value.isinf().any() and not own.isinf().any()) or (value.isnan().any() and not own.isnan().any()):
        raise Unfit(f"{name} has numbers that are not finite")
