"""Whole-image maps of what was annotated: semantic labels, boundaries, and occlusion edges with their direction."""

import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT, check_flip
from maskrcnn_benchmark.structures.mask_forms import clamp_window
from maskrcnn_benchmark.structures.resampling import resize_nearest

IGNORE_INDEX = 255


class SemanticMap:
    """One class per pixel.

    Args:
        labels: uint8 [H, W]: class 0..C-1, or IGNORE_INDEX where nobody labelled the pixel.
    """

    def __init__(self, labels):
        _check_map(labels, "a semantic map")
        self.labels = labels

    @property
    def size(self):
        """(width, height)."""
        return self.labels.shape[1], self.labels.shape[0]

    def resize(self, size):
        """The map of the image resized to (width, height): each pixel takes the class at its centre."""
        return SemanticMap(resize_nearest(self.labels, size))

    def transpose(self, method):
        return SemanticMap(_flip(self.labels, method))

    def crop(self, box):
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return SemanticMap(_crop(self.labels, box))

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below; what is new is ignored."""
        return SemanticMap(_pad(self.labels, size, IGNORE_INDEX))

    def to(self, device):
        return SemanticMap(self.labels.to(device))


class BoundaryMap:
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
        self.edges = edges
        self.annotators = edges[None] if annotators is None else annotators

    @classmethod
    def of_annotators(cls, annotators):
        """The map of several annotators, uint8 [A, H, W] with A at least 1."""
        return cls(annotators.amax(dim=0), annotators) if len(annotators) > 1 else cls(annotators[0])

    @property
    def size(self):
        """(width, height)."""
        return self.edges.shape[1], self.edges.shape[0]

    def resize(self, size):
        """The map of the image resized to (width, height), without losing or tearing a boundary.

        Where it shrinks, a pixel is an edge if any edge pixel falls in it; where it grows, each pixel takes the one at
        its centre, so that a line becomes as much wider as the image.
        """
        if tuple(size) == self.size:
            return BoundaryMap(self.edges, self.annotators)
        annotator, y, x = self.annotators.nonzero(as_tuple=True)
        inner, y, x = _shrink(self.size, size, y, x)
        edges = self.annotators.new_zeros((len(self.annotators), *inner))
        edges[annotator, y, x] = 1
        return BoundaryMap.of_annotators(resize_nearest(edges, size))

    def transpose(self, method):
        return BoundaryMap.of_annotators(_flip(self.annotators, method))

    def crop(self, box):
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return BoundaryMap.of_annotators(_crop(self.annotators, box))

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below, without edges there."""
        return BoundaryMap.of_annotators(_pad(self.annotators, size, 0))

    def to(self, device):
        return BoundaryMap.of_annotators(self.annotators.to(device))


class OcclusionMap:
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
        self.edges = edges
        self.direction = direction

    @property
    def size(self):
        """(width, height)."""
        return self.edges.shape[1], self.edges.shape[0]

    def resize(self, size):
        """The map of the image resized to (width, height); edges as in `BoundaryMap.resize`.

        Tangents stretch with the image. Where several fall together, the direction is that of their sum (of the first
        if they cancel), of length one.
        """
        if tuple(size) == self.size:
            return OcclusionMap(self.edges, self.direction)
        y, x = self.edges.nonzero(as_tuple=True)
        stretch = self.direction.new_tensor([[size[1] / self.size[1]], [size[0] / self.size[0]]])
        tangents = F.normalize(self.direction[:, y, x] * stretch, dim=0)
        (height, width), y, x = _shrink(self.size, size, y, x)
        cells, cell_of_edge = torch.unique(y * width + x, return_inverse=True)
        sums = tangents.new_zeros((2, len(cells))).index_add_(1, cell_of_edge, tangents)
        sums = torch.where(sums.norm(dim=0) > 1e-3, sums, tangents[:, _first_of_each(cell_of_edge, len(cells))])
        edges = self.edges.new_zeros(height * width)
        edges[cells] = 1
        direction = self.direction.new_zeros((2, height * width))
        direction[:, cells] = F.normalize(sums, dim=0)
        return OcclusionMap(
            resize_nearest(edges.reshape(height, width), size),
            resize_nearest(direction.reshape(2, height, width), size),
        )

    def transpose(self, method):
        """The map of the mirrored image: theta becomes -theta (left-right) or pi - theta (upside down)."""
        sin, cos = _flip(self.direction, method)
        direction = torch.stack((-sin, cos) if method == FLIP_LEFT_RIGHT else (sin, -cos))
        return OcclusionMap(_flip(self.edges, method), direction)

    def crop(self, box):
        """The map within the window (x1, y1, x2, y2), x2 and y2 excluded, clamped to the image."""
        return OcclusionMap(_crop(self.edges, box), _crop(self.direction, box))

    def pad(self, size):
        """The map enlarged to (width, height) to the right and below, without edges there."""
        return OcclusionMap(_pad(self.edges, size, 0), _pad(self.direction, size, 0))

    def to(self, device):
        return OcclusionMap(self.edges.to(device), self.direction.to(device))


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


def _flip(tensor, method):
    check_flip(method)
    return tensor.flip(-1 if method == FLIP_LEFT_RIGHT else -2)


def _crop(tensor, box):
    height, width = tensor.shape[-2:]
    x1, y1, x2, y2 = clamp_window([round(float(side)) for side in box], (width, height))
    return tensor[..., y1:y2, x1:x2].contiguous()


def _pad(tensor, size, value):
    return F.pad(tensor, (0, size[0] - tensor.shape[-1], 0, size[1] - tensor.shape[-2]), value=value)
