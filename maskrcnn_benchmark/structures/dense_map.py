"""Whole-image maps of what was annotated: semantic labels, boundaries, and occlusion edges with their direction."""

import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT
from maskrcnn_benchmark.structures.mask_forms import clamp_window
from maskrcnn_benchmark.structures.resampling import NearestMaps
from maskrcnn_benchmark.structures.tensors import TensorHolder

IGNORE_INDEX = 255


class _Map(TensorHolder):
    """What semantic and boundary maps share: `NearestMaps` as `_maps`, moved as they are."""

    @property
    def size(self):
        """(width, height)."""
        return self._maps.size

    def transpose(self, method):
        return self._of(self._maps.transpose(method))

    def crop(self, box):
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._of(_crop(self._maps, box))

    @classmethod
    def _of(cls, maps):
        made = cls.__new__(cls)
        made._maps = maps
        return made


class SemanticMap(_Map):
    """One class per pixel.

    Args:
        labels: uint8 [H, W]: class 0..C-1, or IGNORE_INDEX where nobody labelled the pixel.
    """

    def __init__(self, labels):
        _check_map(labels, "a semantic map")
        self._maps = NearestMaps(labels)

    @property
    def labels(self):
        """uint8 [H, W]."""
        return self._maps.tensor

    def resize(self, size):
        """The map of the image resized to (width, height): each pixel takes the class at its centre."""
        return self._of(self._maps.resize(size))

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below; what is new is ignored."""
        return self._of(self._maps.pad(size, IGNORE_INDEX))


class BoundaryMap(_Map):
    """Boundaries between objects and stuff, whatever their class, as drawn by one annotator or by several.

    Args:
        edges: uint8 [H, W], 1 on a boundary.
        annotators: uint8 [A, H, W], what each of several annotators drew, whose union `edges` is; by default there is
            one who drew `edges`.
    """

    def __init__(self, edges, annotators=None):
        _check_map(edges, "a boundary map")
        if annotators is not None and (
            annotators.dtype != torch.uint8 or annotators.ndim != 3 or annotators.shape[1:] != edges.shape
        ):
            kind = f"{str(annotators.dtype).removeprefix('torch.')} {list(annotators.shape)}"
            raise ValueError(f"annotators of a {list(edges.shape)} boundary map are uint8 [A, H, W], not {kind}")
        self._maps = NearestMaps(edges[None] if annotators is None else annotators)

    @classmethod
    def of_annotators(cls, annotators):
        """The map of several annotators, uint8 [A, H, W] with A at least 1."""
        return cls(annotators[0], annotators)

    @property
    def edges(self):
        """uint8 [H, W]: where any annotator drew a boundary."""
        annotators = self._maps.tensor
        return annotators.amax(dim=0) if len(annotators) > 1 else annotators[0]

    @property
    def annotators(self):
        """uint8 [A, H, W]."""
        return self._maps.tensor

    def resize(self, size):
        """The map of the image resized to (width, height), without losing or tearing a boundary.

        Where it shrinks, a pixel is an edge if any edge pixel falls in it; where it grows, each pixel takes the one at
        its centre, so that a line becomes as much wider as the image.
        """
        if tuple(size) == self.size:
            return self
        if all(new >= old for new, old in zip(size, self.size)):
            return self._of(self._maps.resize(size))
        annotator, y, x = self.annotators.nonzero(as_tuple=True)
        inner, y, x = _shrink(self.size, size, y, x)
        edges = self.annotators.new_zeros((len(self.annotators), *inner))
        edges[annotator, y, x] = 1
        return self._of(NearestMaps(edges).resize(size))

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below, without edges there."""
        return self._of(self._maps.pad(size, 0))


class OcclusionMap(TensorHolder):
    """Edges at which one thing hides another, and which side does.

    The direction theta is that of the edge's tangent, taken so that the occluder lies to its left, in the image's frame
    (x right, y down): theta = atan2(dy, dx), as in PIOD. An upright edge whose left side is in front has -pi / 2.

    Args:
        edges: uint8 [H, W], 1 on an occlusion edge.
        direction: float32 [2, H, W], (sin theta, cos theta) on edge pixels and 0 elsewhere.
    """

    def __init__(self, edges, direction):
        _check_map(edges, "an occlusion map")
        if direction.shape != (2, *edges.shape):
            raise ValueError(f"directions of a {list(edges.shape)} map must be [2, H, W], not {list(direction.shape)}")
        self._edges, self._direction = NearestMaps(edges), NearestMaps(direction)

    @property
    def edges(self):
        """uint8 [H, W]."""
        return self._edges.tensor

    @property
    def direction(self):
        """float32 [2, H, W]."""
        return self._direction.tensor

    @property
    def size(self):
        """(width, height)."""
        return self._edges.size

    def resize(self, size):
        """The map of the image resized to (width, height); edges as in `BoundaryMap.resize`.

        Tangents stretch with the image. Where several fall together, the direction is that of their sum (of the first
        if they cancel), of length one.
        """
        if tuple(size) == self.size:
            return self
        y, x = self.edges.nonzero(as_tuple=True)
        stretch = self.direction.new_tensor([[size[1] / self.size[1]], [size[0] / self.size[0]]])
        tangents = F.normalize(self.direction[:, y, x] * stretch, dim=0)
        (height, width), y, x = _shrink(self.size, size, y, x)
        cells = y * width + x
        if (width, height) != self.size:  # only then can several fall together
            tangents, cells = _join(tangents, cells)
        edges = self.edges.new_zeros(height * width)
        edges[cells] = 1
        direction = self.direction.new_zeros((2, height * width))
        direction[:, cells] = F.normalize(tangents, dim=0)
        made = OcclusionMap(edges.reshape(height, width), direction.reshape(2, height, width))
        return made._both(lambda maps: maps.resize(size))

    def transpose(self, method):
        """The map of the mirrored image: theta becomes -theta (left-right) or pi - theta (upside down)."""
        mirrored = self._both(lambda maps: maps.transpose(method))
        turned = 0 if method == FLIP_LEFT_RIGHT else 1
        mirrored._direction = mirrored._direction.map(lambda source: _negate(source, turned))
        return mirrored

    def crop(self, box):
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return self._both(lambda maps: _crop(maps, box))

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below, without edges there."""
        return self._both(lambda maps: maps.pad(size, 0))

    def _both(self, transform):
        made = OcclusionMap.__new__(OcclusionMap)
        made._edges, made._direction = transform(self._edges), transform(self._direction)
        return made


def _check_map(labels, what):
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


def _join(tangents, cells):
    """One tangent [2, C] per cell, their sum or, where they cancel, the first; and the cells [C] without repetition."""
    cells, cell_of_edge = torch.unique(cells, return_inverse=True)
    sums = tangents.new_zeros((2, len(cells))).index_add_(1, cell_of_edge, tangents)
    first = tangents[:, _first_of_each(cell_of_edge, len(cells))]
    return torch.where(sums.norm(dim=0) > 1e-3, sums, first), cells


def _negate(direction, component):
    direction = direction.clone()
    direction[component].neg_()
    return direction


def _crop(maps, box):
    return maps.crop(clamp_window([round(float(side)) for side in box], maps.size))
