"""The targets of a batch, with all their tensors in one buffer: it travels to the device in one copy."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from maskrcnn_benchmark.structures.tensors import LeafFunction, TensorSlot, itself, map_tensors, pinned

# Bytes: any type of number can begin at a multiple of it, and a tensor begins where a cache line does
ALIGNMENT = 64


class TargetBatch(list):
    """A list of targets, one per image, whose tensors are views of one buffer.

    What only the host reads of them (see `tensors.map_tensors`) lies at the end of the buffer, and stays with the host
    when the rest moves.

    It is a list in every other respect. A tensor that is put in the place of one of these views stays by itself
    and moves by itself, as do structures that say nothing of their tensors (see `tensors.map_tensors`).

    Args:
        targets: `ImageAnnotations`, or anything else.
        buffer: uint8 [B].
    """

    def __init__(self, targets: Iterable[Any], buffer: torch.Tensor) -> None:
        super().__init__(targets)
        self.buffer = buffer

    @classmethod
    def of(cls, targets: Iterable[Any], memory: Callable[..., torch.Tensor] = torch.zeros) -> "TargetBatch":
        """Targets with copies of their tensors, one after the other in a new buffer on the CPU.

        A view takes with it what it shows, not what it is a view of.

        Args:
            targets: `ImageAnnotations`, or anything else; one that is no structure stays as it is.
            memory: what makes the buffer, a function with the arguments of `torch.zeros`.
        """
        slots, size = {}, 0

        def place(leaf: Any) -> Any:
            nonlocal size
            if not _is_plain(leaf):
                return leaf
            if id(leaf) not in slots:
                slot = TensorSlot.of(leaf, size)
                slots[id(leaf)] = slot, leaf
                size = -(-slot.end // ALIGNMENT) * ALIGNMENT
            return slots[id(leaf)][0]

        outlines = [map_tensors(target, place, itself) for target in targets]
        outlines = [map_tensors(outline, itself, place) for outline in outlines]
        buffer = memory(size, dtype=torch.uint8)
        for slot, tensor in slots.values():
            slot.view_of(buffer).copy_(tensor)
        return cls.from_outlines(outlines, buffer)

    @classmethod
    def from_outlines(
        cls,
        outlines: Sequence[Any],
        buffer: torch.Tensor,
        offset: int = 0,
        move: LeafFunction = itself,
        on_host: LeafFunction | None = None,
    ) -> "TargetBatch":
        """Targets of which the tensors lie in a buffer.

        Args:
            outlines: targets in which `TensorSlot`s stand for the tensors.
            buffer: uint8 [B].
            offset: byte of the slots at which the buffer begins.
            move: function of what else `tensors.map_tensors` finds in them.
            on_host: function of what only the host reads; None where that lies in the buffer too.
        """

        def fill(leaf: Any) -> Any:
            return leaf.view_of(buffer, offset) if isinstance(leaf, TensorSlot) else move(leaf)

        return cls([map_tensors(outline, fill, on_host) for outline in outlines], buffer)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "TargetBatch":
        """The targets on another device, in one copy of the part of the buffer that they take up there."""
        outlines, start, end = self._outlines(on_host=itself)
        part = self.buffer[start:end].to(device, non_blocking=non_blocking)
        return self.from_outlines(outlines, part, start, lambda leaf: leaf.to(device), on_host=itself)

    def pin_memory(self) -> "TargetBatch":
        """The targets in pinned memory, from which a GPU can copy while the host goes on."""
        outlines, start, end = self._outlines()
        return self.from_outlines(outlines, self.buffer[start:end].pin_memory(), start, pinned)

    def __getitem__(self, item: Any) -> Any:
        """A target, or of a slice a batch of the same class in the same buffer."""
        found = super().__getitem__(item)
        return type(self)(found, self.buffer) if isinstance(item, slice) else found

    def __reduce__(self) -> tuple[Any, ...]:
        outlines, start, end = self._outlines()
        return type(self).from_outlines, (outlines, self.buffer[start:end], start)

    def _outlines(self, on_host=None):
        """(targets with `TensorSlot`s for views of the buffer, first byte that they take up, last byte + 1).

        `on_host` is the function of what only the host reads; None if it is to have slots as well.
        """
        buffer, slots = self.buffer, []

        def slot_of(leaf: Any) -> Any:
            if not (_is_plain(leaf) and leaf.device == buffer.device and _shares_memory(leaf, buffer)):
                return leaf
            slot = TensorSlot.of(leaf, leaf.storage_offset() * leaf.element_size() - buffer.storage_offset())
            slots.append(slot)
            return slot

        outlines = [map_tensors(target, slot_of, on_host) for target in self]
        start = min((slot.start for slot in slots), default=0)
        return outlines, start - start % ALIGNMENT, max((slot.end for slot in slots), default=0)


class HostTargets(TargetBatch):
    """Targets of test images: predictions are compared with them on the host, so a loader does not pin them."""

    def pin_memory(self) -> "HostTargets":
        """The targets as they are."""
        return self


def _is_plain(leaf):
    """Whether a leaf is an ordinary tensor, of which shape, type and numbers say everything."""
    return type(leaf) is torch.Tensor and leaf.layout == torch.strided and not (leaf.requires_grad or leaf.is_quantized)


def _shares_memory(tensor, buffer):
    """Whether a tensor is a contiguous view of a buffer."""
    return tensor.is_contiguous() and tensor.untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()
