"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import IMAGE_HEADS
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.edges.curves import METRICS, EdgeCurve, best_f, summarize_curves
from maskrcnn_benchmark.evaluation.edges.maps import edge_levels
from maskrcnn_benchmark.evaluation.edges.matching import match_edges
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap, relative_frequency
from maskrcnn_benchmark.modeling.fpn_heads.occlusion import OcclusionHead
from maskrcnn_benchmark.prediction_files.encodings import decode_strength, encode_strength
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps, MapFile, StrengthMaps
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Number
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.dataset_page import numbers_card
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import enlarge_edges
from maskrcnn_benchmark.visualization.palette import INK, direction_colours

# Pixels to either side along a chain between which its tangent is measured: chains run on a pixel grid, so
# neighbours alone would only ever give multiples of 45 degrees
TANGENT_REACH = 3


class DetailOcclusionReader(LabelReader):
    """Occlusion chains of PASCAL in Detail, as edges with a direction at the image's size."""

    def read(self, image: DetailImage) -> OcclusionMap | None:
        records = image.section("annos_occlusion")
        if not records:
            return None
        file: Any = image.dataset.file
        record = records[0]
        size = file.occlusion_size(record)
        edges = file.field(record, "edges", "occlusion")
        try:
            chains = [np.asarray(chain, np.int64) - file.occlusion_base for chain in edges["indices"]]
            places, tangents = chains_to_edges(chains, edges["edgelabel"], size)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file.name_of(record, 'occlusion')} cannot be read: {error}") from None
        occlusion = OcclusionMap.of_edges(torch.from_numpy(places), torch.from_numpy(tangents), size)
        return occlusion if size == image.size else occlusion.resize(image.size)

    def has(self, image: DetailImage) -> bool:
        return image.counts["occlusions"] > 0


def chains_to_edges(chains: Sequence[Any], labels: Any, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of occlusion chains, and their directions.

    Args:
        chains: list of C lists of pixel numbers, 0-based and column-major (column * height + row).
        labels: C numbers; 1: the occluder is on the left hand when following the chain, 2: on the right.
        size: (width, height) in pixels.

    Returns:
        places: int64 [E], row * width + column of the pixels on the chains, ascending.
        tangents: float32 [2, E], (sin, cos) of the tangent with the occluder on its left, in image coordinates
            (x right, y down); 0 where no direction can be told (a chain of a single pixel, or chains that run against
            each other).

    Raises `ValueError` for an index outside of the image or a label other than 1 and 2.
    """
    width, height = size
    lengths = np.array([len(chain) for chain in chains], np.int64)
    labels = np.asarray(labels, np.int64)
    if len(labels) != len(lengths) or not np.isin(labels, (1, 2)).all():
        raise ValueError(f"{len(lengths)} chains need as many labels of 1 or 2, got {labels.tolist()[:8]}")
    pixels = np.concatenate([np.zeros(0, np.int64), *(np.asarray(chain, np.int64) for chain in chains)])
    outside = (pixels < 0) | (pixels >= width * height)
    if outside.any():
        raise ValueError(f"pixel {int(pixels[outside][0])} lies outside of the image's {width}x{height}")
    chain_of_pixel = np.repeat(np.arange(len(lengths)), lengths)
    columns, rows = np.divmod(pixels, height)
    dx, dy = _tangents(columns, rows, lengths)
    sign = np.where(labels == 1, 1.0, -1.0)[chain_of_pixel]
    # only on the chains: whole maps of float64 would take ten times as long
    places, place_of_pixel = np.unique(rows * width + columns, return_inverse=True)
    # a pixel shared by several chains, as at a junction, gets their mean direction
    sums = np.stack([np.bincount(place_of_pixel, part * sign, len(places)) for part in (dy, dx)])
    norm = np.hypot(sums[0], sums[1])
    return places, np.where(norm > 1e-6, sums / np.maximum(norm, 1e-6), 0.0).astype(np.float32)


def _tangents(columns: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (dx, dy) along the chains, from the pixels TANGENT_REACH before and after, clamped at chain ends."""
    ends = np.cumsum(lengths)
    position = np.arange(len(columns))
    before = np.maximum(position - TANGENT_REACH, np.repeat(ends - lengths, lengths))
    after = np.minimum(position + TANGENT_REACH, np.repeat(ends - 1, lengths))
    dx = (columns[after] - columns[before]).astype(np.float64)
    dy = (rows[after] - rows[before]).astype(np.float64)
    norm = np.maximum(np.hypot(dx, dy), 1.0)  # 0 only where both vanish
    return dx / norm, dy / norm


# Name of a curve -> title, meaning of the vertical axis, its range
_CURVES = {
    "OPR": ("Occlusion edges with the occluder on the right side", "precision", (0.0, 1.0)),
    "EPR": ("Occlusion edges", "precision", (0.0, 1.0)),
    "AOR": ("Side of the occluder", "share of edges found with the right side", (0.5, 1.0)),
}

# The folder of directions is that of the edges with this behind its name
DIRECTION_SUFFIX = "_direction"
_DIRECTION_STEPS = 65534


@dataclass(frozen=True)
class OcclusionPrediction:
    """Occlusion edges of one image as they are stored.

    Attributes:
        strength: uint8 [H, W], strength * 255.
        direction: uint16 [H, W], see `encode_direction`.
    """

    strength: np.ndarray
    direction: np.ndarray


class Occlusion(Task):
    """Occlusion edges and their direction, which has the occluder on its left."""

    key = "occlusion"
    title = "occlusion recognition"
    switch = "OCCLUSION_ON"
    comment = "Task: occlusion edges, per image, on the dense features and a fine decoder"
    losses = ("loss_occlusion_edge", "loss_occlusion_direction")
    headline = "OPR-ODS-F"
    parameter_prefixes = ("fpn_heads.heads.occlusion.",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.OCCLUSION_HEAD.ATTENTION_BETA",
                4.0,
                Number(0, 1000, above=True),
                "Attention loss of DOOBNet (Wang et al. 2018): base of the focus on hard pixels",
            ),
            Option(
                "MODEL.OCCLUSION_HEAD.ATTENTION_GAMMA",
                0.5,
                Number(0, 100),
                "Attention loss of DOOBNet: exponent of the focus on hard pixels",
            ),
        )

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {"detail": DetailOcclusionReader}
    can_be_pasted = True

    def cards(self, counts: DatasetCounts) -> list[str]:
        pixels = np.array(counts.each(self.key, "edge pixels"))
        return [numbers_card("Occlusion pixels per image", pixels, "edge pixels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    def reads(self, cfg: CfgNode) -> str:
        """The edge decoder's features."""
        return "fine"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> OcclusionHead:
        """An edge probability and a direction per pixel."""
        stride, node = cfg.MODEL.EDGE_DECODER.STRIDE, cfg.MODEL.OCCLUSION_HEAD
        return OcclusionHead(in_channels, stride, self.label_of, node.ATTENTION_BETA, node.ATTENTION_GAMMA)

    # Test-time augmentation -------------------------------------------------------------------------------------------

    def mirror_back(self, output: torch.Tensor, vocabulary: Vocabulary | None) -> torch.Tensor:
        """In a mirror theta becomes -theta, see `OcclusionMap.transpose`."""
        probability, sine, cosine = output.flip(-1)
        return torch.stack((probability, -sine, cosine))

    def to_mean(self, output: torch.Tensor) -> torch.Tensor:
        """The probability, and the direction as long as it: a view counts as much as it believes in the edge."""
        return torch.cat((output[:1], output[1:] * output[:1]))

    def of_mean(self, mean: torch.Tensor) -> torch.Tensor:
        """The mean direction on the circle, of length one; none where directions cancel."""
        return torch.cat((mean[:1], F.normalize(mean[1:], dim=0)))

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return OcclusionEvaluator(self, vocabulary, protocols.edges)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """How often an edge passes each place, relative to the most frequented one, with the mean direction."""
        return MeanMap(self.key, _directed_edges, finish=relative_frequency)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> OcclusionPrediction:
        """Strengths and directions as whole numbers."""
        strength, sin, cos = self.output(prediction).scores.cpu().numpy()
        return OcclusionPrediction(encode_strength(strength), encode_direction(sin, cos))

    def files(self) -> tuple[MapFile, ...]:
        strength = "PNG of 8 bits: probability of an occlusion edge times 255"
        text = "a grey PNG per image: strength; directions in DIR_direction"
        direction = (
            "PNG of 16 bits: 0 no direction, else 1 + round(65534 theta / (2 pi)); theta = atan2(dy, dx) in 0..2 pi is "
            "the direction of the edge, x to the right, y down, with the object in front on its left"
        )
        name = f"{self.key}{DIRECTION_SUFFIX}"
        directions = ArrayMaps(name, dtype="uint16", what="directions", encodings={name: direction})
        beside = {DIRECTION_SUFFIX: directions}
        return (StrengthMaps(self.key, text=text, encodings={self.key: strength}, beside=beside),)

    def to_files(self, stored: OcclusionPrediction) -> dict[str, Any]:
        """The edges, with the directions beside them."""
        return {self.key: (stored.strength, stored.direction)}

    def from_files(self, held: dict[str, Any], size: tuple[int, int]) -> OcclusionPrediction:
        return OcclusionPrediction(*held[self.key])

    def decode(self, stored: OcclusionPrediction, size: tuple[int, int], vocabulary: Vocabulary) -> ScoreMap:
        """Probability of an edge, sin and cos of its direction."""
        planes = np.concatenate([decode_strength(stored.strength)[None], decode_direction(stored.direction)])
        return ScoreMap(torch.from_numpy(planes.astype(np.float32)), size)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 50
    backdrop = {"fade": 0.78, "grey": True}

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> None:
        """Occlusion edges by direction, with a glow on the side in front and arrows that have it on their left."""
        if isinstance(known, ImagePrediction):
            probability, sine, cosine = known.occlusion.resize(canvas.size).scores.float().cpu().numpy()
            edge = probability >= threshold
            theta = np.arctan2(sine[edge], cosine[edge])
        else:
            edge, theta = _enlarge_directions(known.occlusion, canvas.size)
            theta = theta[edge]
        rows, columns = np.nonzero(edge)
        colours = direction_colours(theta)
        _glow_in_front(canvas, rows, columns, theta, colours)
        canvas.pixels[rows, columns] = colours
        for chosen in _arrow_places(rows, columns, canvas.size[0], spacing=canvas.text_size * 3):
            _arrow(canvas, (columns[chosen], rows[chosen]), theta[chosen])
        canvas.legend([("in front: left of arrow", _direction_wheel(2 * canvas.text_size))])

    def legend(self, vocabulary: Vocabulary) -> Legend:
        words = ("rightwards", "downwards", "leftwards", "upwards")
        return [("occlusion arrows", list(zip(words, direction_colours(np.arange(4) * np.pi / 2).tolist())))]

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {
            "occlusion": ExportedOutput(
                "float32 [3, height, width]",
                "probability of an edge, sine and cosine of its direction, which has the occluder on its left",
                comparable=_directions_by_edge,
            )
        }


def _directions_by_edge(scores: np.ndarray) -> np.ndarray:
    """A direction matters as much as its edge is probable, and is any where there is none."""
    return np.concatenate((scores[:1], scores[1:] * scores[:1]))


class OcclusionEvaluator(Evaluator):
    """The three curves of PIOD (Wang and Yuille 2016, Wang et al. 2018): edges, directed edges, and directions alone.

    At every threshold predicted pixels are paired one to one with annotated ones. A pair is right if its directions are
    within 90 degrees, that is, with the occluder on the right side. All curves have the recall of edges, found whether
    or not they are right, as in the published program:

    EPR: precision is the share of predicted pixels that have a partner.
    OPR: precision is the share of predicted pixels that have a partner and are right.
    AOR: in place of precision, the share of predicted pixels with a partner that are right.

    As published the prediction is reduced to ridges but not thinned further. A predicted pixel without a direction is
    never right, save against an annotated one whose direction is not known: against that one nothing is wrong.

    Args:
        task: the task that is scored.
        vocabulary: the data set's names.
        protocol: by default that of published scores.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary, protocol: EdgeProtocol | None = None) -> None:
        self.edge_protocol = protocol or EdgeProtocol()
        self.protocol = (
            f"{self.edge_protocol}, predicted edges not thinned, directions right within 90 degrees, "
            f"OPR and AOR with the recall of edges"
        )
        super().__init__(task, vocabulary)

    def record(self, stored: OcclusionPrediction, target: ImageAnnotations) -> np.ndarray:
        """int32 [4, K]: pairs, annotated pixels, right pairs, predicted pixels."""
        levels = edge_levels(decode_strength(stored.strength), self.edge_protocol).reshape(-1)
        pixels = np.flatnonzero(levels)
        present = levels[pixels] > np.arange(self.edge_protocol.thresholds)[:, None]
        annotated = target.occlusion.edges.cpu().numpy() > 0
        near, partner = match_edges(pixels, present, annotated, self.edge_protocol.max_distance)
        threshold, which = np.nonzero(partner >= 0)
        true = target.occlusion.direction.cpu().double().numpy().reshape(2, -1)[:, partner[threshold, which]]
        claimed = decode_direction(stored.direction.reshape(-1)[pixels[near]])[:, which]
        # Directions are within 90 degrees where their product is not negative
        right = ((claimed * true).sum(axis=0) >= 0) & claimed.any(axis=0) | ~true.any(axis=0)
        count = len(present)
        return np.stack(
            [
                np.bincount(threshold, minlength=count),
                np.full(count, np.count_nonzero(annotated)),
                np.bincount(threshold[right], minlength=count),
                present.sum(axis=1),
            ]
        ).astype(np.int32)

    def summarize(self, records: list[np.ndarray]) -> Scores:
        if not records:
            metrics = {f"{name}-{metric}": np.nan for name in _CURVES for metric in _metrics(name)}
            return Scores(metrics, reason="no image has annotated occlusion edges")
        conventions = self.edge_protocol.conventions
        matched, annotated, right, predicted = np.stack(records, axis=1)
        curves = {
            "OPR": summarize_curves(matched, annotated, right, predicted, conventions),
            "EPR": summarize_curves(matched, annotated, matched, predicted, conventions),
            "AOR": summarize_curves(matched, annotated, right, matched, conventions),
        }
        metrics = {
            f"{name}-{metric}": curve.metrics[metric] for name, curve in curves.items() for metric in _metrics(name)
        }
        if np.isnan(metrics["EPR-ODS-F"]):
            return Scores(metrics, reason="no annotated image has an occlusion edge")
        diagrams = [
            Curve(f"occlusion_{name}", title, "recall", y_label, [_line(name, curves[name])], y_range)
            for name, (title, y_label, y_range) in _CURVES.items()
        ]
        return Scores(metrics, curves=diagrams)

    def image_score(self, record: np.ndarray) -> float:
        """The best F of the OPR curve."""
        return best_f(record, self.edge_protocol.conventions)


def _line(name: str, curve: EdgeCurve) -> Line:
    """The line to draw; the best F of recall and an accuracy is no point of interest."""
    line = curve.line(name)
    return replace(line, best=None) if name == "AOR" else line


def _metrics(name: str) -> list[str]:
    """The metrics of a curve that are reported; recall at a precision of 1/2 says nothing where that is an accuracy."""
    return [metric for metric in METRICS if not (name == "AOR" and metric == "R50")]


def _directed_edges(label: OcclusionMap) -> torch.Tensor:
    edges = label.edges[None].float()
    return torch.cat([edges, label.direction * edges])


def encode_direction(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """Directions as whole numbers: 0 where sin and cos are both 0, else 1 + round(65534 theta / 2 pi), 1 to 65534.

    Args:
        sin, cos: float [H, W], of any common positive length.

    Returns:
        uint16 [H, W].
    """
    turn = np.mod(np.arctan2(sin, cos) / (2 * np.pi), 1.0)
    return np.where((sin == 0) & (cos == 0), 0, 1 + np.rint(turn * _DIRECTION_STEPS) % _DIRECTION_STEPS).astype(
        np.uint16
    )


def decode_direction(code: np.ndarray) -> np.ndarray:
    """float64 [2, H, W], (sin theta, cos theta); both 0 where there is no direction."""
    theta = (code.astype(np.float64) - 1) * (2 * np.pi / _DIRECTION_STEPS)
    return np.stack([np.sin(theta), np.cos(theta)]) * (code > 0)


def _enlarge_directions(occlusion: OcclusionMap, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An `OcclusionMap` at canvas size: bool edges [h, w] and theta [h, w]."""
    how = cv2.INTER_AREA if size[0] < occlusion.edges.shape[1] else cv2.INTER_NEAREST
    sine, cosine = (cv2.resize(part, size, interpolation=how) for part in occlusion.direction.cpu().numpy())
    return enlarge_edges(occlusion.edges.cpu().numpy(), size), np.arctan2(sine, cosine)


def _glow_in_front(
    canvas: Canvas, rows: np.ndarray, columns: np.ndarray, theta: np.ndarray, colours: np.ndarray
) -> None:
    """Tint a band beside every edge pixel on the side in front, fading away from the edge.

    Args:
        rows, columns: int64 [N], the edge pixels.
        theta: float [N], their directions.
        colours: uint8 [N, 3], the colours of these.
    """
    width, height = canvas.size
    reach = canvas.line * 4
    # left of the direction (cos, sin) in a frame with y downwards is (sin, -cos)
    exact = np.float32 if height * width < 1 << 24 else np.float64  # for whole numbers up to the number of pixels
    across, down = np.sin(theta, dtype=exact), -np.cos(theta, dtype=exact)
    from_x, from_y = columns.astype(exact), rows.astype(exact)
    owner = np.zeros(height * width, np.int64)  # what glows at a pixel: the step and below it the edge pixel's number
    index, bits = np.arange(len(rows)), len(rows).bit_length()
    for step in range(reach, 0, -1):
        x = np.rint(from_x + across * exact(step)).clip(0, width - 1)
        y = np.rint(from_y + down * exact(step)).clip(0, height - 1)
        owner[(y * width + x).astype(np.int64)] = index | step << bits
    lit = np.flatnonzero(owner)
    steps, edge = owner[lit] >> bits, owner[lit] & ((1 << bits) - 1)
    strength = np.zeros((height, width), np.float32)
    strength.reshape(-1)[lit] = 0.75 * (1 - steps / (reach + 1))
    strength = cv2.merge([cv2.GaussianBlur(strength, (0, 0), canvas.line * 0.4)] * 3)  # type: ignore[assignment]
    packed = np.zeros((len(rows), 4), np.uint8)  # numbers of 32 bits are moved several times faster than three bytes
    packed[:, :3] = colours
    colour = np.zeros((height, width, 4), np.uint8)
    colour.view(np.uint32).reshape(-1)[lit] = packed.view(np.uint32)[edge, 0]
    painted = cv2.dilate(cv2.cvtColor(colour, cv2.COLOR_RGBA2RGB), np.ones((3, 3), np.uint8))
    canvas.pixels = np.rint(canvas.pixels * (1 - strength) + painted * strength).astype(np.uint8)


def _arrow_places(rows: np.ndarray, columns: np.ndarray, width: int, spacing: int) -> np.ndarray:
    """One of the edge pixels [N] per cell of a `spacing` grid, the one nearest to the cell's middle: indices [M]."""
    middle = (np.stack([rows, columns]) // spacing + 0.5) * spacing
    distance = 4 * ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2)  # whole numbers
    cell = (rows // spacing) * (width // spacing + 1) + columns // spacing
    nobody = np.iinfo(np.int64).max
    nearest = np.full(int(cell.max(initial=-1)) + 1, nobody)
    # the nearest, and of equally near ones the first
    np.minimum.at(nearest, cell, distance.astype(np.int64) * len(rows) + np.arange(len(rows)))
    return nearest[nearest < nobody] % max(1, len(rows))


def _arrow(canvas: Canvas, middle: tuple[int, int], theta: float) -> None:
    """An arrow through `middle` along theta."""
    half, shaft, head = canvas.text_size * 0.7, canvas.line * 0.45, canvas.text_size * 0.36
    # (along, across) for an arrow to the right
    shape = np.array([(-1, -shaft), (0, -shaft), (0, -head), (1, 0), (0, head), (0, shaft), (-1, shaft)], dtype=float)
    shape[:, 0] *= half
    turn = np.array([(np.cos(theta), np.sin(theta)), (-np.sin(theta), np.cos(theta))])
    canvas.polygon(np.array(middle) + shape @ turn, INK)


def _direction_wheel(size: int) -> np.ndarray:
    """The wheel of direction colours on white, uint8 [size, size, 3]."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    distance = np.hypot(x, y) / (size / 2)
    ring = (distance <= 1) & (distance >= 0.5)
    wheel = np.full((size, size, 3), 255, np.uint8)
    wheel[ring] = direction_colours(np.arctan2(y, x)[ring])
    return wheel


OCCLUSION = register_task(Occlusion())
