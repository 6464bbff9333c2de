"""What every structure shares: all its tensors can be handed to one function, to move, pin or gather them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

FLIP_LEFT_RIGHT = 0
FLIP_TOP_BOTTOM = 1

# What `map_tensors` calls: with a tensor, what stands for one (`TensorSlot`), or a foreign object that can move `to`
LeafFunction = Callable[[Any], Any]
# What chooses some of the objects of a structure; a boolean tensor is a mask
Index = int | slice | torch.Tensor | Sequence[int]
Holder = TypeVar("Holder", bound="TensorHolder")


@dataclass(frozen=True, slots=True)
class TensorSlot:
    """Stands for a tensor that lies in a buffer of bytes.

    Attributes:
        dtype: of the tensor.
        shape: of the tensor.
        start: its first byte in the buffer, a multiple of the size of an element.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int

    @classmethod
    def of(cls, tensor: torch.Tensor, start: int) -> "TensorSlot":
        """The slot of a tensor that is to lie at byte `start`."""
        return cls(tensor.dtype, tuple(tensor.shape), start)

    @property
    def end(self) -> int:
        """The byte after its last."""
        return self.start + torch.Size(self.shape).numel() * self.dtype.itemsize

    def view_of(self, buffer: torch.Tensor, offset: int = 0) -> torch.Tensor:
        """The tensor, without a copy, in a buffer uint8 [B] that begins at byte `offset` of the slots' own."""
        return buffer[self.start - offset : self.end - offset].view(self.dtype).view(self.shape)


def map_tensors(value: Any, function: LeafFunction, on_host: LeafFunction | None = None) -> Any:
    """`value` with each of its tensors replaced by what `function` makes of it; everything else is shared.

    Tensors are looked for in dictionaries, lists, tuples (named ones too) and `TensorHolder`s; lists and tuples keep
    their type. An object of another class that can move `to` a device but does not say which tensors it holds is handed
    to `function` as it is.

    Args:
        value: anything.
        function: tensor -> tensor of the same shape, or what stands for one (`TensorSlot`).
        on_host: the same for tensors that stay in the host's memory wherever their structure goes, as the points of
            polygons do, which only the host can draw. None: `function`.
    """
    if isinstance(value, TensorHolder):
        return value.map_tensors(function, on_host)
    if isinstance(value, torch.Tensor | TensorSlot):
        return function(value)
    if isinstance(value, dict):
        return {name: map_tensors(member, function, on_host) for name, member in value.items()}
    if isinstance(value, list | tuple):
        members = [map_tensors(member, function, on_host) for member in value]
        same = all(new is old for new, old in zip(members, value))
        return value if same else _like(value, members)
    if hasattr(value, "map_tensors"):
        return value.map_tensors(function)
    return function(value) if hasattr(value, "to") else value


class TensorHolder:
    """A structure with tensors among its attributes, or in structures and collections that are its attributes."""

    def map_tensors(self: Holder, function: LeafFunction, on_host: LeafFunction | None = None) -> Holder:
        """The same structure with other tensors; arguments as of `map_tensors`."""
        mapped = object.__new__(type(self))
        vars(mapped).update((name, map_tensors(value, function, on_host)) for name, value in vars(self).items())
        return mapped

    def to(self: Holder, *args: Any, **kwargs: Any) -> Holder:
        """The structure on another device; arguments as of `torch.Tensor.to`."""
        return self.map_tensors(lambda leaf: leaf.to(*args, **kwargs), itself)

    def pin_memory(self: Holder) -> Holder:
        """The structure in pinned memory, from which a GPU can copy while the host goes on."""
        return self.map_tensors(pinned, itself)


def _like(sequence, members):
    """A list or tuple of the same type with other members."""
    if hasattr(sequence, "_fields"):
        return type(sequence)(*members)
    if isinstance(sequence, tuple):
        return type(sequence)(members)
    made = copy.copy(sequence)
    made[:] = members
    return made


def itself(leaf: Any) -> Any:
    """What leaves a tensor as it is."""
    return leaf


def pinned(leaf: Any) -> Any:
    """A tensor in pinned memory; a foreign object if it can do that itself, else as it is."""
    return leaf.pin_memory() if hasattr(leaf, "pin_memory") else leaf


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the host on a device, which the host does not wait for."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def check_flip(method: int) -> None:
    """Raises `ValueError` unless `method` is FLIP_LEFT_RIGHT or FLIP_TOP_BOTTOM."""
    if method not in (FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM):
        raise ValueError(f"a flip is FLIP_LEFT_RIGHT (0) or FLIP_TOP_BOTTOM (1), not {method!r}")
