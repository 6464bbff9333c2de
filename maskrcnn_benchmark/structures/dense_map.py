"""Whole-image maps of what was annotated: semantic labels, boundaries, and occlusion edges with their direction."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.mask_forms import clamp_window
from maskrcnn_benchmark.structures.resampling import NearestMaps, SparseMaps
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, TensorHolder

IGNORE_INDEX = 255

Kind = TypeVar("Kind", bound="_Map")


class _Map(TensorHolder):
    """What semantic and boundary maps share: maps that are transformed lazily, as `_maps`."""

    _maps: Any

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._maps.size

    def transpose(self: Kind, method: int) -> Kind:
        return self._of(self._maps.transpose(method))

    def crop(self: Kind, box: Sequence[float]) -> Kind:
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._of(_crop(self._maps, box))

    @classmethod
    def _of(cls: type[Kind], maps: Any) -> Kind:
        made = cls.__new__(cls)
        made._maps = maps
        return made


class SemanticMap(_Map):
    """One class per pixel.

    Args:
        labels: uint8 [H, W]: class 0..C-1, or IGNORE_INDEX where the pixel is not labelled.
    """

    def __init__(self, labels: torch.Tensor) -> None:
        _check_map(labels, "a semantic map")
        self._maps = NearestMaps(labels)

    @property
    def labels(self) -> torch.Tensor:
        """uint8 [H, W]."""
        return self._maps.tensor

    def resize(self, size: Sequence[int]) -> "SemanticMap":
        """The map of the image resized to (width, height): each pixel takes the class at its centre."""
        return self._of(self._maps.resize(size))

    def pad(self, size: Sequence[int]) -> "SemanticMap":
        """The map enlarged to (width, height) to the right and below; what is new is ignored."""
        return self._of(self._maps.pad(size, IGNORE_INDEX))


class BoundaryMap(_Map):
    """Boundaries between objects and stuff, whatever their class, as drawn by one annotator or by several.

    Edge pixels are few, so their places are kept and the maps computed lazily.

    Args:
        edges: uint8 [H, W], 1 on a boundary.
        annotators: uint8 [A, H, W], what each of several annotators drew, whose union `edges` is; by default there is
            one who drew `edges`.
    """

    def __init__(self, edges: torch.Tensor, annotators: torch.Tensor | None = None) -> None:
        _check_map(edges, "a boundary map")
        if annotators is not None and (
            annotators.dtype != torch.uint8 or annotators.ndim != 3 or annotators.shape[1:] != edges.shape
        ):
            kind = f"{str(annotators.dtype).removeprefix('torch.')} {list(annotators.shape)}"
            raise ValueError(f"annotators of a {list(edges.shape)} boundary map are uint8 [A, H, W], not {kind}")
        self._maps = SparseMaps.of_maps(edges[None] if annotators is None else annotators)

    @classmethod
    def of_annotators(cls, annotators: torch.Tensor) -> "BoundaryMap":
        """The map of several annotators, uint8 [A, H, W] with A at least 1."""
        return cls(annotators[0], annotators)

    @classmethod
    def of_edges(cls, places: torch.Tensor, size: Sequence[int]) -> "BoundaryMap":
        """From the edge pixels that one annotator drew, int64 [E], row * width + column, each once; (width, height)."""
        return cls._of(SparseMaps(places.int(), 1, size))

    @property
    def edges(self) -> torch.Tensor:
        """uint8 [H, W]: where any annotator drew a boundary."""
        annotators = self.annotators
        return annotators.amax(dim=0) if len(annotators) > 1 else annotators[0]

    @property
    def annotators(self) -> torch.Tensor:
        """uint8 [A, H, W]."""
        return self._maps.ones()

    def resize(self, size: Sequence[int]) -> "BoundaryMap":
        """The map of the image resized to (width, height), without losing or tearing a boundary.

        Where it shrinks, a pixel is an edge if any edge pixel falls in it; where it grows, each pixel takes the one at
        its centre, so that a line becomes as much wider as the image.
        """
        if tuple(size) == self.size:
            return self
        if self._maps.is_plain and all(new >= old for new, old in zip(size, self.size)):
            return self._of(self._maps.resize(size))
        _, (annotator, y, x) = self._maps.settled()
        (height, width), y, x = _shrink(self.size, size, y, x)
        places = torch.unique((annotator * height + y) * width + x)
        return self._of(SparseMaps(places.int(), self._maps.layers, (width, height)).resize(size))

    def pad(self, size: Sequence[int]) -> "BoundaryMap":
        """The map enlarged to (width, height) to the right and below, without edges there."""
        _, (annotator, y, x) = self._maps.settled()
        places = (annotator * size[1] + y) * size[0] + x
        return self._of(SparseMaps(places.int(), self._maps.layers, size))


class OcclusionMap(TensorHolder):
    """Edges at which one thing hides another, and which side does.

    The direction theta is that of the edge's tangent, taken so that the occluder lies to its left, in the image's frame
    (x right, y down): theta = atan2(dy, dx), as in PIOD. An upright edge whose left side is in front has -pi / 2.

    Edge pixels are few, so their places and directions are kept and the maps computed lazily.

    Args:
        edges: uint8 [H, W], 1 on an occlusion edge.
        direction: float32 [2, H, W], (sin theta, cos theta) on edge pixels and 0 elsewhere.
    """

    def __init__(self, edges: torch.Tensor, direction: torch.Tensor) -> None:
        _check_map(edges, "an occlusion map")
        if direction.shape != (2, *edges.shape):
            raise ValueError(f"directions of a {list(edges.shape)} map must be [2, H, W], not {list(direction.shape)}")
        self._places = SparseMaps.of_maps(edges[None])
        _, (_, y, x) = self._places.settled()
        self._tangents = direction[:, y, x]

    @classmethod
    def of_edges(cls, places: torch.Tensor, tangents: torch.Tensor, size: Sequence[int]) -> "OcclusionMap":
        """From the edge pixels alone.

        Args:
            places: int64 or int32 [E], row * width + column, each once.
            tangents: float32 [2, E], (sin theta, cos theta).
            size: (width, height).
        """
        return cls._of(SparseMaps(places.int(), 1, size), tangents)

    @property
    def edges(self) -> torch.Tensor:
        """uint8 [H, W]."""
        return self._places.ones()[0]

    @property
    def direction(self) -> torch.Tensor:
        """float32 [2, H, W]."""
        return self._places.paint(self._tangents)[:, 0]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._places.size

    def resize(self, size: Sequence[int]) -> "OcclusionMap":
        """The map of the image resized to (width, height); edges as in `BoundaryMap.resize`.

        Tangents stretch with the image. Where several fall together, the direction is that of their sum (of the first
        if they cancel), of length one.
        """
        if tuple(size) == self.size:
            return self
        stretch = self._tangents.new_tensor([[size[1] / self.size[1]], [size[0] / self.size[0]]])
        if self._places.is_plain and all(new >= old for new, old in zip(size, self.size)):
            return self._of(self._places.resize(size), F.normalize(self._tangents * stretch, dim=0))
        which, (_, y, x) = self._places.settled()
        tangents = F.normalize(self._tangents[:, which] * stretch, dim=0)
        (height, width), y, x = _shrink(self.size, size, y, x)
        cells = y * width + x
        if (width, height) != self.size:  # only then can several fall together
            tangents, cells = _join(tangents, cells)
        return self._of(SparseMaps(cells.int(), 1, (width, height)).resize(size), F.normalize(tangents, dim=0))

    def transpose(self, method: int) -> "OcclusionMap":
        """The map of the mirrored image: theta becomes -theta (left-right) or pi - theta (upside down)."""
        places = self._places.transpose(method)
        sin, cos = self._tangents
        return self._of(places, torch.stack((-sin, cos) if method == FLIP_LEFT_RIGHT else (sin, -cos)))

    def crop(self, box: Sequence[float]) -> "OcclusionMap":
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._of(_crop(self._places, box), self._tangents)

    def pad(self, size: Sequence[int]) -> "OcclusionMap":
        """The map enlarged to (width, height) to the right and below, without edges there."""
        which, (_, y, x) = self._places.settled()
        return self.of_edges(y * size[0] + x, self._tangents[:, which], size)

    @classmethod
    def _of(cls, places: SparseMaps, tangents: torch.Tensor) -> "OcclusionMap":
        made = cls.__new__(cls)
        made._places, made._tangents = places, tangents
        return made


def _check_map(labels: torch.Tensor, what: str) -> None:
    if labels.ndim != 2 or labels.dtype != torch.uint8:
        raise ValueError(f"{what} is uint8 [H, W], not {str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}")


def _shrink(size, new_size, y, x):
    """Where pixels y, x go if only the sides that shrink are resized: ((height, width), y, x)."""
    inner = [min(old, new) for old, new in zip(size, new_size)]
    x, y = ((2 * place + 1) * new // (2 * old) for place, old, new in zip((x, y), size, inner))
    return (inner[1], inner[0]), y, x


def _first_of_each(groups, count):
    order = torch.arange(len(groups), device=groups.device)
    return order.new_full((count,), len(groups)).scatter_reduce_(0, groups, order, "amin")


def _join(tangents: torch.Tensor, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """One tangent [2, C] per cell, their sum or, where they cancel, the first; and the cells [C] without repetition."""
    cells, cell_of_edge = torch.unique(cells, return_inverse=True)
    sums = tangents.new_zeros((2, len(cells))).index_add_(1, cell_of_edge, tangents)
    first = tangents[:, _first_of_each(cell_of_edge, len(cells))]
    return torch.where(sums.norm(dim=0) > 1e-3, sums, first), cells


def _crop(maps, box):
    return maps.crop(clamp_window([round(float(side)) for side in box], maps.size))
