"""Part-aware panoptic segmentation: segments that do not overlap, and within each the parts of its object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import FLAG, TESTING
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.data.dataset import DerivedReader
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.panoptic.part_quality import PartPanopticEvaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.layers.part_panoptic_merge import merge_object_parts, merge_part_map
from maskrcnn_benchmark.prediction_files.part_panoptic_maps import PartPanopticMaps, PartPanopticPrediction
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.panoptic_map import VOID
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.panoptic import PANOPTIC, Segments
from maskrcnn_benchmark.tasks.task import TASKS, Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas, enlarge_labels, enlarge_mask
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import FILL
from maskrcnn_benchmark.visualization.palette import class_colours, part_colours
from maskrcnn_benchmark.visualization.segments import paint_segments, segment_colours

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.dataset import AnnotatedDataset

_PALE, _WHITE = 0.6, 0.5  # strength of the colours of segments beside those of parts, and the white in them


@dataclass(frozen=True)
class SegmentsWithParts(Segments):
    """What a user gets of an image: `Segments`, and the parts within them.

    Attributes:
        parts: uint8 [H, W], label 1..P of the part; 255 of an unknown one, 0 where a segment has none.
        part_areas: {name of a part: its pixels} of each segment.
    """

    parts: torch.Tensor
    part_areas: list[dict[str, int]]


class PartPanopticReader(DerivedReader):
    """Which images have segments: one without any annotated part is scored, too, as in PASCAL Panoptic Parts.

    Args:
        segments: the reader of panoptic segmentation.
    """

    def __init__(self, segments: DerivedReader) -> None:
        super().__init__(segments.readers)
        self.needs = (*segments.needs, "part")


class PartPanoptic(Task):
    """Segments of things and stuff with the parts of things, merged from panoptic segmentation and parts."""

    key = "part_panoptic"
    title = "part-aware panoptic segmentation"
    switch = "PART_PANOPTIC_ON"
    comment = "Task: part-aware panoptic segmentation, made of panoptic segmentation and parts, without parameters"
    headline = "PartPQ"
    per = "derived"
    follows = True
    requires = ("panoptic", "part")

    def options(self) -> list[Option]:
        return section(
            TESTING,
            Option(
                "TEST.PART_PANOPTIC.FILL",
                False,
                FLAG,
                "Part-aware panoptic: a pixel of a segment that the part head gives to background or to a part of "
                "another class takes the best part of its own class, in place of none",
            ),
        )

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether it has objects with masks and a semantic map; objects without parts are crowds to its metrics."""
        return PANOPTIC.is_annotated(annotations)

    def label_reader(self, dataset: "AnnotatedDataset") -> DerivedReader | None:
        """Of a data set in which some object has parts."""
        segments, parts = PANOPTIC.label_reader(dataset), TASKS["part"].label_reader(dataset)
        if not isinstance(segments, DerivedReader) or parts is None:
            return None
        has_parts = any(parts.has(dataset.image(index)) for index in range(len(dataset)))
        return PartPanopticReader(segments) if has_parts else None

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return PANOPTIC.has_names(vocabulary) and bool(vocabulary.parts)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {**PANOPTIC.names(vocabulary), "parts": vocabulary.parts and vocabulary.parts.labels}

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        scene = PartPanopticMap.of_annotations(annotations, PartClasses.of(vocabulary))
        return {"segments with parts": len(np.unique(scene.segments.ids[scene.parts != NO_PART]))}

    # Network ----------------------------------------------------------------------------------------------------------

    def derive(self, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> "Computed[PartPanopticMap] | None":
        return self.deriver(None)(outputs, vocabulary)

    def deriver(self, cfg: CfgNode | None) -> Callable[[Mapping[str, Any], Vocabulary | None], Any]:
        """The `Computed` `PartPanopticMap`; None where the names of the classes are not known."""
        return partial(_derive, False if cfg is None else cfg.TEST.PART_PANOPTIC.FILL)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return PartPanopticEvaluator(self, vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> PartPanopticPrediction:
        return PartPanopticPrediction.of(self.output(prediction).value, vocabulary)

    def files(self) -> tuple[PartPanopticMaps, ...]:
        text = "a TIFF per image as of PASCAL Panoptic Parts: class, object and part, see classes.json"
        encoding = (
            "TIFF of 32 bits as of PASCAL Panoptic Parts: sid, sid * 1000 + iid or (sid * 1000 + iid) * 100 + pid, by "
            "'part_panoptic', iid the object; 0 none"
        )
        return (PartPanopticMaps(self.key, option="--part-panoptic", text=text, encodings={self.key: encoding}),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 21
    backdrop = {"fade": 0.25, "grey": True}
    nothing = ("no segment", "no segment found")

    def content(self, known: Known) -> Any:
        """The `Computed` `PartPanopticMap` of a prediction; of annotations a function of the classes that makes it."""
        if isinstance(known, ImagePrediction):
            return known.outputs.get(self.key)
        return partial(PartPanopticMap.of_annotations, known) if self.is_annotated(known) else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        return vocabulary.parts is not None and self.content(known) is not None

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.75
    ) -> int:
        """Segments in pale colours of their classes, parts in their own, with lines around both and a legend.

        Pixels whose part is not known have the colour of their segment. Returns how many segments there are.
        """
        content, classes = self.content(known), PartClasses.of(vocabulary)
        scene = content.value if isinstance(known, ImagePrediction) else content(classes)
        segments = scene.segments
        colours = segment_colours(segments, classes.classes, class_colours(vocabulary))
        names = [classes.names[kind] for kind in segments.classes.tolist()]
        paint_segments(canvas, segments, [_lightened(colour) for colour in colours], names, strength * _PALE)
        parts = enlarge_labels(np.where(scene.parts == UNKNOWN, NO_PART, scene.parts), canvas.size)
        own = part_colours(vocabulary)
        present = [k for k in np.unique(parts).tolist() if k != NO_PART]
        canvas.tint_labels(parts, {k: own[k] for k in present}, strength)
        canvas.separate(parts)
        for number in np.flatnonzero(classes.classes.is_thing[segments.classes]).tolist():
            canvas.outline(enlarge_mask(segments.ids == number + 1, canvas.size), colours[number])
        labels = [label.replace("_", " ") for label in vocabulary.parts.labels]  # type: ignore[union-attr]
        canvas.legend([(labels[k - 1], own[k]) for k in present], labels if canvas.steady else ())
        return len(segments)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        return self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        if vocabulary.parts is None:
            return []
        parts = list(zip(vocabulary.parts.labels, part_colours(vocabulary)[1:].tolist()))
        return [("classes", list(class_colours(vocabulary).items())), ("parts", parts)]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> SegmentsWithParts | None:
        """The segments, of things those that reach the threshold, and their parts."""
        content, found = self.content(prediction), PANOPTIC.view(prediction, vocabulary, threshold)
        if content is None or found is None:
            return None
        ids = found.ids.numpy()
        parts = np.where(ids == VOID, np.uint8(NO_PART), content.value.parts)
        areas = part_areas(ids, parts, len(found), vocabulary.parts)
        return SegmentsWithParts(found.ids, found.segments, torch.from_numpy(parts), areas)

    def has_threshold(self, cfg: CfgNode) -> bool:
        return False


def part_areas(ids: np.ndarray, parts: np.ndarray, count: int, part_set: PartSet) -> list[dict[str, int]]:
    """{name of a part: its pixels} of each segment 1..count, in the order of labels; ids and parts [H, W]."""
    pixels = np.bincount(ids.ravel() * np.int64(256) + parts.ravel(), minlength=256 * (count + 1))
    names = part_names(part_set)
    return [
        {name: int(area) for name, area in zip(names, row) if area}
        for row in pixels.reshape(-1, 256)[1:, 1 : len(names) + 1]
    ]


def part_names(part_set: PartSet) -> list[str]:
    """What the labels 1..P are called where the thing that has the part is known: "horse/head" is a head."""
    return [label.rsplit("/", 1)[-1] for label in part_set.labels]


def _derive(
    fill: bool, outputs: Mapping[str, Any], vocabulary: Vocabulary | None
) -> "Computed[PartPanopticMap] | None":
    panoptic, objects, part_map = outputs["panoptic"], outputs["detection"], outputs.get("part")
    if vocabulary is None or (part_map is None and not objects.has_field("parts")):
        return None

    def merged() -> PartPanopticMap:
        segments, classes = panoptic.value, PartClasses.of(vocabulary)
        labels = [classes.labels[kind] for kind in segments.classes.tolist()]
        if part_map is None:
            maps, boxes = objects.get_field("parts"), objects.region_corners()
            parts = merge_object_parts(segments.ids, segments.objects, labels, maps, boxes, fill)
        else:
            resized = part_map.resize(objects.size)
            parts = merge_part_map(segments.ids, labels, resized.scores if fill else resized.labels, fill)
        return PartPanopticMap(segments, parts)

    return Computed(merged, objects.size)


def _lightened(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(255 - (255 - side) * (1 - _WHITE)) for side in colour)
    return red, green, blue


PART_PANOPTIC = register_task(PartPanoptic())
