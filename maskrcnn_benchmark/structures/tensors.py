"""What every structure shares: all its tensors can be handed to one function, to move, pin or gather them."""

from dataclasses import dataclass

import torch


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


def map_tensors(value, function):
    """`value` with each of its tensors replaced by what `function` makes of it; everything else is shared.

    Tensors are looked for in dictionaries and `TensorHolder`s. An object of another class that can move `to` a device
    but does not say which tensors it holds is handed to `function` as it is.
    """
    if isinstance(value, TensorHolder):
        return value.map_tensors(function)
    if isinstance(value, torch.Tensor | TensorSlot):
        return function(value)
    if isinstance(value, dict):
        return {name: map_tensors(member, function) for name, member in value.items()}
    if hasattr(value, "map_tensors"):
        return value.map_tensors(function)
    return function(value) if hasattr(value, "to") else value


class TensorHolder:
    """A structure with tensors among its attributes, or in structures and dictionaries that are its attributes."""

    def map_tensors(self, function):
        """The same structure with other tensors.

        Args:
            function: tensor -> tensor of the same shape, or what stands for one (`TensorSlot`). It is called for
                foreign objects as well that can only move `to` a device.
        """
        mapped = object.__new__(type(self))
        vars(mapped).update((name, map_tensors(value, function)) for name, value in vars(self).items())
        return mapped

    def to(self, *args, **kwargs):
        """The structure on another device; arguments as of `torch.Tensor.to`."""
        return self.map_tensors(lambda leaf: leaf.to(*args, **kwargs))

    def pin_memory(self):
        """The structure in pinned memory, from which a GPU can copy while the host goes on."""
        return self.map_tensors(pinned)


def pinned(leaf):
    """A tensor in pinned memory; a foreign object if it can do that itself, else as it is."""
    return leaf.pin_memory() if hasattr(leaf, "pin_memory") else leaf
