"""Boundary detection: is there a boundary at this pixel?"""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import FRACTION, IMAGE_HEADS, INSIDE_FRACTION, TESTING
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.detail.index import COUNTS
from maskrcnn_benchmark.data.nyud_mtl import EDGE, NYUDMTLImage
from maskrcnn_benchmark.data.pascal_context_mtl import LABEL_MAP, PascalContextMTLImage
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.edges.curves import METRICS, best_f, summarize_curves
from maskrcnn_benchmark.evaluation.edges.maps import edge_levels
from maskrcnn_benchmark.evaluation.edges.matching import match_edges
from maskrcnn_benchmark.evaluation.edges.thinning import thin, thin_levels
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.scores import Curve, Scores
from maskrcnn_benchmark.evaluation.trivial import MeanMap, relative_frequency
from maskrcnn_benchmark.modeling.fpn_heads.boundary import BoundaryHead
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.prediction_files.encodings import decode_strength
from maskrcnn_benchmark.prediction_files.maps import MapFile, StrengthMaps
from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import SCENE, scene_problem
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.dataset_page import numbers_card
from maskrcnn_benchmark.visualization.drawn_task import Known
from maskrcnn_benchmark.visualization.maps import enlarge_edges
from maskrcnn_benchmark.visualization.palette import INK


class DetailBoundaryReader(LabelReader):
    """Boundary masks of PASCAL in Detail, each of an annotator (one, in the published file), at the image's size.

    How many are of another size, and therefore resized, is told once, when the data set is opened.
    """

    def __init__(self, dataset: Any) -> None:
        images = dataset.file.images
        number = int(images.counts[images.rows_of(dataset.ids), COUNTS.index("resized_boundaries")].sum())
        if number:
            logging.getLogger(__name__).warning(
                "%s: %d boundary masks are not of their image's size and are resized to it", dataset.file.path, number
            )

    def read(self, image: DetailImage) -> BoundaryMap | None:
        file, annotators = image.dataset.file, []
        for record in image.section("annos_boundary"):
            mask = file.field(record, "boundary_mask", "boundary")
            name = file.name_of(record, "boundary")
            size = _size(mask, name)
            places, _ = RunLengths([mask], size, lambda _, name=name: name).pixels()  # type: ignore[misc]
            boundary = BoundaryMap.of_edges(torch.from_numpy(places), size)
            annotators.append(boundary if size == image.size else boundary.resize(image.size))
        if len(annotators) < 2:
            return annotators[0] if annotators else None
        return BoundaryMap.of_annotators(torch.stack([boundary.edges for boundary in annotators]))

    def has(self, image: DetailImage) -> bool:
        return image.counts["boundaries"] > 0


class PascalContextMTLBoundaryReader(LabelReader):
    """Where PASCAL-Context's class of 459 changes: where the Laplacian is not 0, thinned to lines of one pixel."""

    def read(self, image: PascalContextMTLImage) -> BoundaryMap | None:
        if not self.has(image):
            return None
        changes = cv2.Laplacian(image.label_map, cv2.CV_32F) != 0
        return BoundaryMap.of_edges(torch.from_numpy(np.flatnonzero(thin(changes))), image.size)

    def has(self, image: PascalContextMTLImage) -> bool:
        return image.file(LABEL_MAP) is not None


class NYUDMTLBoundaryReader(LabelReader):
    """The edges that lie beside NYUD-v2's images."""

    def read(self, image: NYUDMTLImage) -> BoundaryMap | None:
        return image.boundary

    def has(self, image: NYUDMTLImage) -> bool:
        return image.file(EDGE) is not None


def _size(mask: Any, name: str) -> tuple[int, int]:
    """(width, height) of a mask."""
    if not isinstance(mask, dict) or len(mask.get("size", ())) != 2:
        raise UserError(f"{name}: its mask has no 'size' [h, w]")
    height, width = mask["size"]
    return int(width), int(height)


# Of the image's diagonal: borders of masks, which are made in 28 x 28 cells, lie so far from boundaries. Chosen on
# training images of mini_detail (docs/joint.md)
_BORDER_REACH = 0.0125
TRACED = (0, 236, 255)  # boundaries on a photograph


class Boundary(Task):
    """The probability of a boundary at every pixel."""

    key = "boundary"
    title = "boundary detection"
    switch = "BOUNDARY_ON"
    comment = "Task: boundaries, per image, on the dense features and a fine decoder"
    losses = ("loss_boundary",)
    headline = "ODS-F"
    parameter_prefixes = ("fpn_heads.heads.boundary.",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT",
                0.95,
                INSIDE_FRACTION,
                "Weight of edge pixels in the cross-entropy, 1 - it for the others (0.95: the field's value on "
                "PASCAL-Context)",
            ),
        ) + section(
            TESTING,
            Option(
                "TEST.JOINT.BOUNDARY",
                0.0,
                FRACTION,
                "Boundaries: away from borders of panoptic segments they lose this share of their strength; 0: none",
            ),
        )

    def check(self, cfg: CfgNode) -> Iterator[str]:
        """Segments to go by."""
        if cfg.TEST.JOINT.BOUNDARY:
            yield from scene_problem("TEST.JOINT.BOUNDARY", cfg)

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {
        "detail": DetailBoundaryReader,
        "pascal_context_mtl": PascalContextMTLBoundaryReader,
        "nyud_mtl": NYUDMTLBoundaryReader,
    }
    can_be_pasted = True

    def cards(self, counts: DatasetCounts) -> list[str]:
        pixels = np.array(counts.each(self.key, "edge pixels"))
        return [numbers_card("Boundary pixels per image", pixels, "edge pixels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    def reads(self, cfg: CfgNode) -> str:
        """The edge decoder's features."""
        return "fine"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> BoundaryHead:
        """One edge probability per pixel."""
        stride, weight = cfg.MODEL.EDGE_DECODER.STRIDE, cfg.MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT
        return BoundaryHead(in_channels, stride, self.label_of, weight)

    def refiner(
        self, cfg: CfgNode | None
    ) -> Callable[[Mapping[str, Any], Vocabulary | None], Mapping[str, Any]] | None:
        """Weaker away from the borders of segments, by TEST.JOINT.BOUNDARY."""
        share = 0.0 if cfg is None else cfg.TEST.JOINT.BOUNDARY
        return partial(_weaken_elsewhere, share) if share else None

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return BoundaryEvaluator(self, vocabulary, protocols.boundary or protocols.edges)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """How often an edge passes each place, relative to the most frequented one."""
        return MeanMap(self.key, _edges, finish=relative_frequency)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[MapFile, ...]:
        encodings = {self.key: "PNG of 8 bits: probability of a boundary times 255"}
        return (StrengthMaps(self.key, text="a grey PNG per image: strength", encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 40

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> None:
        """Boundaries in ink on white; of predictions, pixels below the threshold in pale grey by their probability."""
        strength, edge = _strength(known, canvas.size, threshold)
        if isinstance(known, ImagePrediction):
            ink = np.where(edge, np.float32(0.45) + np.float32(0.55) * strength, 0.5 * strength)
        else:
            ink = strength
        canvas.pixels = cv2.merge([np.rint(255 - ink * np.float32(255 - c)).astype(np.uint8) for c in INK])

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        """Boundaries traced on the photograph; predicted ones are the stronger the more probable."""
        strength, edge = _strength(known, canvas.size, thresholds[self])
        share = strength[edge][:, None]
        canvas.pixels[edge] = np.rint(canvas.pixels[edge] * (1 - share) + np.array(TRACED, np.float32) * share)

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """float [H, W], the probability of a boundary."""
        return None if prediction.boundary is None else prediction.boundary.scores[0]

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {"boundary": ExportedOutput("float32 [height, width]", "probability of a boundary")}

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        return {"boundary": prediction.boundary.resize(prediction.size).scores[0]}

    def export_tensors(self, head: Any, features: DenseFeatures, regions: Detections | None) -> dict[str, torch.Tensor]:
        return {"boundary": head.scores(features)[0, 0]}


class BoundaryEvaluator(Evaluator):
    """The Berkeley benchmark with PASCAL's tolerance of 0.0075 of the image diagonal (Martin et al. 2004).

    The prediction is reduced to ridges; at every threshold what reaches it is thinned and paired one to one with the
    thinned boundaries of each annotator. Recall counts the annotated pixels of all annotators that have a partner,
    precision the predicted pixels that have one with any annotator. Annotated boundaries are thinned as in seism
    (Pont-Tuset and Marques 2016), which the Berkeley program does not do: an exact map then scores exactly 1.

    Args:
        task: the task that is scored.
        vocabulary: the data set's names.
        protocol: by default that of published scores.
    """

    def __init__(self, task: Task, vocabulary: Vocabulary, protocol: EdgeProtocol | None = None) -> None:
        self.edge_protocol = protocol or EdgeProtocol()
        self.protocol, self.note = f"{self.edge_protocol}, annotated boundaries thinned", self.edge_protocol.note
        super().__init__(task, vocabulary)

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> np.ndarray:
        """int32 [4, K]: annotated pixels with a partner, all of them, predicted ones with a partner, all of them."""
        levels = edge_levels(decode_strength(stored), self.edge_protocol)
        pixels, present = thin_levels(levels, self.edge_protocol.thresholds)
        matched = np.zeros_like(present)
        counts = np.zeros((4, len(present)), np.int32)
        for edges in target.boundary.annotators.cpu().numpy():
            annotated = thin(edges > 0)
            near, partner = match_edges(pixels, present, annotated, self.edge_protocol.max_distance)
            matched[:, near] |= partner >= 0
            counts[0] += (partner >= 0).sum(axis=1)
            counts[1] += np.count_nonzero(annotated)
        counts[2], counts[3] = matched.sum(axis=1), present.sum(axis=1)
        return counts

    def summarize(self, records: list[np.ndarray]) -> Scores:
        if not records:
            return Scores(dict.fromkeys(METRICS, np.nan), reason="no image has annotated boundaries")
        found, annotated, right, predicted = np.stack(records, axis=1)
        curve = summarize_curves(found, annotated, right, predicted, self.edge_protocol.conventions)
        if np.isnan(curve.metrics["ODS-F"]):
            return Scores(curve.metrics, reason="no annotated image has a boundary pixel")
        diagram = Curve(
            "boundary_precision_recall", "Boundaries", "recall", "precision", [curve.line("precision and recall")]
        )
        return Scores(curve.metrics, curves=[diagram])

    def image_score(self, record: np.ndarray) -> float:
        return best_f(record, self.edge_protocol.conventions)


def _weaken_elsewhere(share: float, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> dict[str, ScoreMap]:
    """Strength s at a distance d from the nearest border of a segment becomes s (1 - share (1 - exp(-d^2 / 2 r^2))).

    r is `_BORDER_REACH` of the image's diagonal. Nothing becomes stronger: a border that only the segments have may be
    where two masks end beside each other.
    """
    boundary, scene = outputs[BOUNDARY.key], outputs[SCENE]

    def weakened() -> torch.Tensor:
        away = (~scene.value.borders()).view(np.uint8)
        scores = boundary.resize(scene.size).scores
        if away.all():
            return scores * (1 - share)
        distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        reach = _BORDER_REACH * float(np.hypot(*scene.size))
        near = np.exp(-np.square(distance) / (2 * reach**2))
        return scores * torch.from_numpy(1 - share * (1 - near)).to(scores)

    return {BOUNDARY.key: ScoreMap.computed(weakened, scene.size)}


def _edges(label: BoundaryMap) -> torch.Tensor:
    return label.edges[None].float()


def _strength(known: Known, size: tuple[int, int], threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Probability of boundaries, float32 [h, w], and where there is one, bool [h, w], at a size (w, h)."""
    if isinstance(known, ImagePrediction):
        strength = known.boundary.resize(size).scores[0].float().cpu().numpy()
        return strength, strength >= threshold
    edge = enlarge_edges(known.boundary.edges.cpu().numpy(), size)
    return edge.astype(np.float32), edge


BOUNDARY = register_task(Boundary())
