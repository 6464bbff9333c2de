"""Whole-image maps of what was annotated: semantic labels, boundaries, occlusion edges, surface normals and depth."""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.mask_forms import clamp_window
from maskrcnn_benchmark.structures.resampling import NearestMaps, SparseMaps
from maskrcnn_benchmark.structures.rotation import rotate_directions, rotate_maps, rotate_points
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, TensorHolder

IGNORE_INDEX = 255
# A vector that is shorter says no direction; one of the grey pixels of a file is as long as 0.007 (see `NormalMap`)
SHORTEST_NORMAL = 0.1
# The code of a component that is 0, nearly: what stands for "not labelled" in all three
NO_NORMAL = 127
_UPRIGHT = (1.0, 0.0, 0.0, 1.0)

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

    def rotate(self, angle: float) -> "SemanticMap":
        """The map of the image rotated about its centre by degrees, counter-clockwise on the screen; its size stays.

        Each pixel takes the class under its centre; what comes from outside of the image is ignored.
        """
        return SemanticMap(rotate_maps(self.labels[None], angle, IGNORE_INDEX)[0])

    def paste(self, other: "SemanticMap", mask: torch.Tensor) -> "SemanticMap":
        """The map with another's classes where `mask`, bool [H, W], is True."""
        return SemanticMap(torch.where(mask, other.labels, self.labels))


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

    def rotate(self, angle: float) -> "BoundaryMap":
        """The map of the image rotated as in `SemanticMap.rotate`: lines are moved, not sampled, so that none tears."""
        _, places = _rotate_lines(self._maps, angle)
        return self._of(SparseMaps(torch.unique(places).int(), self._maps.layers, self.size))

    def paste(self, other: "BoundaryMap", mask: torch.Tensor) -> "BoundaryMap":
        """The map with another's boundaries where `mask`, bool [H, W], is True, and one along its border.

        That is one pixel wide and lies within the mask, on the nearer side. Each annotator gets what one of the other
        map drew, and the border.
        """
        own, others = self.annotators, other.annotators
        others = others[torch.arange(len(own), device=own.device) % len(others)]
        return BoundaryMap.of_annotators(torch.where(mask, others | _border(mask), own))


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

    def rotate(self, angle: float) -> "OcclusionMap":
        """The map of the image rotated as in `SemanticMap.rotate`; edges as in `BoundaryMap.rotate`, directions turn.

        Where several edges fall together, the direction is that of their sum, as in `resize`.
        """
        ends, places = _rotate_lines(self._places, angle)
        tangents = F.normalize(rotate_directions(self._tangents[:, ends].sum(dim=1), angle), dim=0)
        tangents, places = _join(tangents, places)
        return self.of_edges(places, F.normalize(tangents, dim=0), self.size)

    def paste(self, other: "OcclusionMap", mask: torch.Tensor) -> "OcclusionMap":
        """The map with another's edges where `mask`, bool [H, W], is True, and along its border one of its own.

        That is one pixel wide and has the mask in front; it lies within the mask, on the occluder's side.
        """
        border, around = _border(mask), _border_direction(mask)
        edges = torch.where(mask, other.edges | border, self.edges)
        direction = torch.where(mask, torch.where(border.bool(), around, other.direction), self.direction)
        return OcclusionMap(edges, direction)

    @classmethod
    def _of(cls, places: SparseMaps, tangents: torch.Tensor) -> "OcclusionMap":
        made = cls.__new__(cls)
        made._places, made._tangents = places, tangents
        return made


class NormalMap(TensorHolder):
    """Directions of surfaces: a unit vector (x, y, z) per pixel as the files have them, x to the right and y down.

    A mirror changes the sign of x (upside down: of y), and a rotation turns (x, y); both are kept as a matrix and
    applied when the vectors are read. A scaled or squashed image keeps its normals, as in the field's code.

    Args:
        normals: float32 [3, H, W]: unit vectors, zeros where the pixel is not labelled.
    """

    def __init__(self, normals: torch.Tensor) -> None:
        if normals.ndim != 3 or len(normals) != 3 or normals.dtype != torch.float32:
            kind = f"{str(normals.dtype).removeprefix('torch.')} {list(normals.shape)}"
            raise ValueError(f"normals are float32 [3, H, W], not {kind}")
        self._maps = NearestMaps(normals)
        self._turn: tuple[float, ...] = _UPRIGHT  # rows of the matrix that (x, y) of the maps are multiplied by

    @classmethod
    def of_codes(cls, codes: torch.Tensor) -> "NormalMap":
        """From vectors in 8 bits, uint8 [3, H, W] of v with n = 2 v / 255 - 1, which are a quarter of the memory.

        They are made unit vectors when they are read; one shorter than `SHORTEST_NORMAL`, as grey pixels have it, is
        not labelled.
        """
        return cls._of(NearestMaps(codes), _UPRIGHT)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._maps.size

    @property
    def normals(self) -> torch.Tensor:
        """float32 [3, H, W]: unit vectors, zeros where the pixel is not labelled."""
        vectors = self._maps.tensor
        if vectors.dtype == torch.uint8:
            vectors = decode_normals(vectors)
        if self._turn == _UPRIGHT:
            return vectors
        a, b, c, d = self._turn
        x, y, z = vectors
        return torch.stack((a * x + b * y if b else a * x, c * x + d * y if c else d * y, z))

    def resize(self, size: Sequence[int]) -> "NormalMap":
        """The map of the image resized to (width, height): each pixel takes the vector at its centre."""
        return self._of(self._maps.resize(size), self._turn)

    def transpose(self, method: int) -> "NormalMap":
        """The map of the mirrored image: x, or upside down y, changes its sign."""
        a, b, c, d = self._turn
        turn = (-a, -b, c, d) if method == FLIP_LEFT_RIGHT else (a, b, -c, -d)
        return self._of(self._maps.transpose(method), turn)

    def crop(self, box: Sequence[float]) -> "NormalMap":
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._of(_crop(self._maps, box), self._turn)

    def pad(self, size: Sequence[int]) -> "NormalMap":
        """The map enlarged to (width, height) to the right and below, not labelled there."""
        return self._of(self._maps.pad(size, self._nothing), self._turn)

    def rotate(self, angle: float) -> "NormalMap":
        """The map of the image rotated as in `SemanticMap.rotate`; what comes from outside is not labelled."""
        rotated = rotate_maps(self._maps.tensor, angle, self._nothing)
        a, b, c, d = self._turn
        down, right = rotate_directions(torch.tensor([[c, d], [a, b]], dtype=torch.float64), angle).tolist()
        return self._of(NearestMaps(rotated), (*right, *down))

    def paste(self, other: "NormalMap", mask: torch.Tensor) -> "NormalMap":
        """The map with another's vectors where `mask`, bool [H, W], is True."""
        return NormalMap(torch.where(mask, other.normals, self.normals))

    @property
    def _nothing(self) -> int:
        return NO_NORMAL if self._maps.dtype == torch.uint8 else 0

    @classmethod
    def _of(cls, maps: NearestMaps, turn: Sequence[float]) -> "NormalMap":
        made = cls.__new__(cls)
        made._maps, made._turn = maps, tuple(turn)
        return made


def decode_normals(codes: torch.Tensor) -> torch.Tensor:
    """Unit vectors float32 [3, ...] of uint8 [3, ...], v with n = 2 v / 255 - 1; zeros for what has no direction."""
    vectors = codes.float().mul_(2 / 255).sub_(1)
    x, y, z = vectors
    # a norm over the first dimension is several times slower than this on a CPU
    length = torch.addcmul(torch.addcmul(x * x, y, y), z, z).sqrt_()
    return vectors.mul_((length >= SHORTEST_NORMAL) / length.clamp_(min=SHORTEST_NORMAL))


class DepthMap(TensorHolder):
    """How far away is what a pixel shows.

    Scaling an image by s looks as if all of it came nearer, so that its depth is divided by s: by the geometric mean of
    the two factors where it is squashed. The factor is applied when the depth is read.

    Args:
        depth: float32 [H, W] in metres, 0 where it is not known.
    """

    def __init__(self, depth: torch.Tensor) -> None:
        if depth.ndim != 2 or depth.dtype != torch.float32:
            kind = f"{str(depth.dtype).removeprefix('torch.')} {list(depth.shape)}"
            raise ValueError(f"depth is float32 [H, W] in metres, not {kind}")
        self._maps, self._factor = NearestMaps(depth), 1.0

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self._maps.size

    @property
    def depth(self) -> torch.Tensor:
        """float32 [H, W] in metres, 0 where it is not known."""
        return self._maps.tensor if self._factor == 1 else self._maps.tensor * self._factor

    def resize(self, size: Sequence[int]) -> "DepthMap":
        """The map of the image resized to (width, height): each pixel takes the depth at its centre, over the scale."""
        return self._of(self._maps.resize(size), self._factor / scale_of(self.size, size))

    def transpose(self, method: int) -> "DepthMap":
        return self._of(self._maps.transpose(method), self._factor)

    def crop(self, box: Sequence[float]) -> "DepthMap":
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._of(_crop(self._maps, box), self._factor)

    def pad(self, size: Sequence[int]) -> "DepthMap":
        """The map enlarged to (width, height) to the right and below, where depth is not known."""
        return self._of(self._maps.pad(size, 0), self._factor)

    def rotate(self, angle: float) -> "DepthMap":
        """The map of the image rotated as in `SemanticMap.rotate`; what comes from outside is not known."""
        return self._of(NearestMaps(rotate_maps(self._maps.tensor[None], angle, 0)[0]), self._factor)

    def paste(self, other: "DepthMap", mask: torch.Tensor) -> "DepthMap":
        """The map with another's depth where `mask`, bool [H, W], is True."""
        return DepthMap(torch.where(mask, other.depth, self.depth))

    @classmethod
    def _of(cls, maps: NearestMaps, factor: float) -> "DepthMap":
        made = cls.__new__(cls)
        made._maps, made._factor = maps, factor
        return made


def scale_of(size: Sequence[float], new_size: Sequence[float]) -> float:
    """By what an image of (width, height) is scaled in a resize: the geometric mean of the factors of its sides."""
    return math.sqrt(new_size[0] / size[0] * (new_size[1] / size[1]))


def _check_map(labels: torch.Tensor, what: str) -> None:
    if labels.ndim != 2 or labels.dtype != torch.uint8:
        raise ValueError(f"{what} is uint8 [H, W], not {str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}")


def _shrink(size, new_size, y, x):
    """Where pixels y, x go if only the sides that shrink are resized: ((height, width), y, x)."""
    inner = [min(old, new) for old, new in zip(size, new_size)]
    x, y = ((2 * place + 1) * new // (2 * old) for place, old, new in zip((x, y), size, inner))
    return (inner[1], inner[0]), y, x


def _rotate_lines(maps: SparseMaps, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the pixels of lines lie after a rotation.

    Of neighbours side by side the rounded places are neighbours again. Diagonal ones that no third pixel joins can come
    apart by a pixel: then their middle is added.

    Returns:
        ends: int64 [2, P], the two of the maps' places that each pixel lies between; twice the same for one itself.
        places: int64 [P], layer * height * width + row * width + column; the same may occur several times.
    """
    which, (layer, y, x) = maps.settled()
    width, height = maps.size
    numbers = which.new_zeros((maps.layers, height, width))
    numbers[layer, y, x] = torch.arange(1, len(which) + 1, device=which.device)
    points = rotate_points(torch.stack((x, y), -1).double(), angle, maps.size, inclusive=True)
    pixels = (points + 0.5).floor()
    ends = [torch.arange(len(which), device=which.device).expand(2, -1)]
    right, left = slice(1, None), slice(None, -1)
    for here, there in ((left, right), (right, left)):
        first, second = numbers[:, :-1, here], numbers[:, 1:, there]
        diagonal = (first > 0) & (second > 0) & (numbers[:, :-1, there] == 0) & (numbers[:, 1:, here] == 0)
        pairs = torch.stack((first[diagonal], second[diagonal])) - 1
        ends.append(pairs[:, (pixels[pairs[0]] - pixels[pairs[1]]).abs().amax(dim=1) > 1])
    between = torch.cat(ends, dim=1)
    column, row = (points[between].mean(dim=0) + 0.5).floor().long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    places = (layer[between[0]] * height + row) * width + column
    return which[between[:, inside]], places[inside]


def _border(mask: torch.Tensor) -> torch.Tensor:
    """Pixels of a mask, bool [H, W], that have one outside of it to the left, right, above or below: uint8 [H, W].

    The border of the image is none of the mask.
    """
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inner = cv2.erode(mask.cpu().numpy().astype(np.uint8), cross)
    return mask.to(torch.uint8) - torch.from_numpy(inner).to(mask.device)


def _border_direction(mask: torch.Tensor) -> torch.Tensor:
    """float32 [2, H, W], (sin, cos) of the tangent that has the mask, bool [H, W], on its left, near its border.

    The mask is smoothed as far as tangents of annotated chains are measured, some three pixels to either side.
    """
    smooth = cv2.GaussianBlur(mask.cpu().numpy().astype(np.float32), (0, 0), 1.5, borderType=cv2.BORDER_REPLICATE)
    slopes = [cv2.Sobel(smooth, cv2.CV_32F, *axis, borderType=cv2.BORDER_REPLICATE) for axis in ((1, 0), (0, 1))]
    right, down = (torch.from_numpy(slope).to(mask.device) for slope in slopes)
    return F.normalize(torch.stack((right, -down)), dim=0)


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
