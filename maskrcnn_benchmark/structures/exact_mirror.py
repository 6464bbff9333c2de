"""Mirrors that undo themselves bit for bit, for every structure whose coordinates are floats."""

from dataclasses import dataclass

import torch

from maskrcnn_benchmark.structures.tensors import TensorHolder

FLIP_LEFT_RIGHT = 0
FLIP_TOP_BOTTOM = 1


def check_flip(method):
    """Raises `ValueError` unless `method` is FLIP_LEFT_RIGHT or FLIP_TOP_BOTTOM."""
    if method not in (FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM):
        raise ValueError(f"a flip is FLIP_LEFT_RIGHT (0) or FLIP_TOP_BOTTOM (1), not {method!r}")


@dataclass(frozen=True)
class MirrorOrigin(TensorHolder):
    """The coordinates that a structure had before it was mirrored, and the mirrors that were applied to them.

    `width - 1 - x` rounds, so applying it twice need not give `x` back. A mirrored structure therefore carries this
    record, and each further mirror starts from the unrounded coordinates again.

    Attributes:
        coords: float tensor as it was before the first mirror.
        flips: the mirrors in effect; each appears once, because the second of a kind cancels the first.
    """

    coords: torch.Tensor
    flips: frozenset

    def map(self, function):
        """The record after `function` (an index, a move to a device) was applied to the coordinates."""
        return MirrorOrigin(function(self.coords), self.flips)


def mirror_exactly(coords, origin, method, reflect):
    """Mirror coordinates so that any sequence of mirrors in which each kind appears an even number of times is exact.

    Args:
        coords: float tensor, the coordinates to mirror.
        origin: the `MirrorOrigin` that came with them, or None.
        method: FLIP_LEFT_RIGHT or FLIP_TOP_BOTTOM.
        reflect: function (coords, method) -> coords, the plain rounding mirror.

    Returns:
        the mirrored coordinates (never sharing memory with the arguments) and their `MirrorOrigin`.
    """
    check_flip(method)
    # The record holds only while nobody has changed the coordinates since; they prove it themselves.
    if origin is None or not torch.equal(_reflect_all(origin, reflect), coords):
        origin = MirrorOrigin(coords.clone(), frozenset())
    origin = MirrorOrigin(origin.coords, origin.flips ^ {method})
    return _reflect_all(origin, reflect), origin


def _reflect_all(origin, reflect):
    coords = origin.coords.clone()
    for method in sorted(origin.flips):
        coords = reflect(coords, method)
    return coords
