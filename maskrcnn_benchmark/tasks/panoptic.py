"""Panoptic segmentation: the objects and the semantic map of an image as segments that do not overlap."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.ndimage import find_objects
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import FRACTION, TESTING
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.panoptic.quality import PanopticEvaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.layers.mask_paste import masks_in_image
from maskrcnn_benchmark.layers.panoptic_merge import MergeRules, merge_panoptic
from maskrcnn_benchmark.prediction_files.segments import SegmentFile
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import FILL
from maskrcnn_benchmark.visualization.palette import class_colours
from maskrcnn_benchmark.visualization.segments import paint_segments, segment_colours

_DEFAULTS = MergeRules()


@dataclass(frozen=True)
class Segment:
    """A segment of an image.

    Attributes:
        id: of its pixels in `Segments.ids`.
        name: of its class.
        is_thing: whether it is one object.
        score: of the object; 1 for stuff.
        area: its pixels.
        box: x1, y1, x2, y2 in pixels, the last included.
        object: its place among the objects of the image, best first; None of stuff.
    """

    id: int
    name: str
    is_thing: bool
    score: float
    area: int
    box: tuple[int, int, int, int]
    object: int | None


@dataclass(frozen=True)
class Segments:
    """What a user gets of an image: `segments` that do not overlap, and `ids` int32 [H, W], 0 where there is none."""

    ids: torch.Tensor
    segments: list[Segment]

    def __len__(self) -> int:
        return len(self.segments)


class Panoptic(Task):
    """Segments of things and stuff, merged from instance masks and the semantic map."""

    key = "panoptic"
    title = "panoptic segmentation"
    switch = "PANOPTIC_ON"
    comment = "Task: panoptic segmentation, made of masks and the semantic map, without parameters"
    headline = "PQ"
    per = "derived"
    follows = True
    requires = ("detection", "instance", "semantic")

    def options(self) -> list[Option]:
        return section(
            TESTING,
            Option(
                "TEST.PANOPTIC.SCORE_THRESH",
                _DEFAULTS.score,
                FRACTION,
                "Panoptic: least score of an object that becomes a segment",
            ),
            Option(
                "TEST.PANOPTIC.OVERLAP_THRESH",
                _DEFAULTS.overlap,
                FRACTION,
                "Panoptic: an object of whose mask more than this share lies under better ones is left out",
            ),
            Option(
                "TEST.PANOPTIC.STUFF_SHARE",
                _DEFAULTS.stuff_share,
                FRACTION,
                "Panoptic: stuff on less than this share of the image is void; 0.0133 are 4,096 pixels of 640x480",
            ),
        )

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether it has objects with masks and a semantic map."""
        objects = annotations.instances
        return annotations.semantic is not None and objects is not None and objects.has_field("masks")

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.semantic_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"semantic classes": vocabulary.semantic_names, "classes of objects": vocabulary.thing_names}

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """The segments, the crowds among them, and the share of the pixels that are void."""
        found = PanopticMap.of_annotations(annotations, PanopticClasses.of(vocabulary))
        void = 1 - float(found.areas.sum()) / found.ids.size
        return {"segments": len(found), "crowds": int(found.is_crowd.sum()), "share of void pixels": void}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        segments, crowds = counted(count["segments"], "segment"), counted(count["crowds"], "crowd")
        crowds = f" ({crowds})" if count["crowds"] else ""
        return [("panoptic", f"{segments}{crowds}; {count['share of void pixels']:.0%} of the pixels void")]

    # Network ----------------------------------------------------------------------------------------------------------

    def derive(self, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> "Computed[PanopticMap] | None":
        return self.deriver(None)(outputs, vocabulary)

    def deriver(self, cfg: CfgNode | None) -> Callable[[Mapping[str, Any], Vocabulary | None], Any]:
        """The `Computed` `PanopticMap`; None where the names of the classes are not known."""
        return partial(_derive, merge_rules(cfg))

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return PanopticEvaluator(self, vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[SegmentFile, ...]:
        text = "segments in COCO's panoptic format, the JSON file or the folder of its PNGs"
        encoding = "COCO's panoptic format: PNG of the segments' ids, R + 256 G + 256^2 B, see panoptic.json"
        return (SegmentFile(self.key, text=text, encodings={self.key: encoding}),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 12
    backdrop = {"fade": 0.3, "grey": True}
    nothing = ("no segment in this image", "no segment above score {threshold:g}")

    def content(self, known: Known) -> Any:
        """The `Computed` `PanopticMap` of a prediction; of annotations a function of their classes that makes it."""
        if isinstance(known, ImagePrediction):
            return known.outputs.get(self.key)
        return partial(PanopticMap.of_annotations, known) if self.is_annotated(known) else None

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.72
    ) -> int:
        """Segments in the colours of their classes, one shade for each object, with their names; void keeps the image.

        So do predicted objects that do not reach the threshold.
        """
        classes, content = PanopticClasses.of(vocabulary), self.content(known)
        segments = reaching(content.value, threshold) if isinstance(known, ImagePrediction) else content(classes)
        rows = zip(segments.classes, segments.is_crowd)
        words = [f"{classes.names[kind]} (crowd)" if is_crowd else classes.names[kind] for kind, is_crowd in rows]
        paint_segments(canvas, segments, segment_colours(segments, classes, class_colours(vocabulary)), words, strength)
        return len(segments)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        return self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Segments | None:
        """The segments, of things those that reach the threshold."""
        content = self.content(prediction)
        if content is None:
            return None
        objects = prediction.instances  # there are none in files of segments alone
        scores = torch.zeros(0) if objects is None else objects.get_field("scores")
        places = {row: place for place, row in enumerate(scores.argsort(descending=True, stable=True).tolist())}
        found = reaching(content.value.without_empty(), threshold)
        return Segments(torch.from_numpy(found.ids), segments_of(found, PanopticClasses.of(vocabulary), places))


def segments_of(found: PanopticMap, classes: PanopticClasses, places: Mapping[int, int]) -> list[Segment]:
    """What there is to say of each segment of a map, none of which is empty.

    Args:
        found: the segments.
        classes: what they are of.
        places: {row of an object: its place among the objects of the image}.
    """
    windows = find_objects(found.ids, len(found))
    rows = zip(found.classes.tolist(), found.scores.tolist(), found.areas.tolist(), found.objects.tolist(), windows)
    return [
        Segment(
            number,
            classes.names[kind],
            bool(classes.is_thing[kind]),
            score,
            area,
            (x.start, y.start, x.stop - 1, y.stop - 1),
            places.get(row),
        )
        for number, (kind, score, area, row, (y, x)) in enumerate(rows, 1)
    ]


def reaching(segments: PanopticMap, threshold: float) -> PanopticMap:
    """Those of the segments whose score reaches a threshold; stuff always does."""
    reach = segments.scores >= threshold
    return segments if reach.all() else segments.take(reach)


def merge_rules(cfg: CfgNode | None) -> MergeRules:
    """The rules that the options under TEST.PANOPTIC say; None for their defaults."""
    if cfg is None:
        return _DEFAULTS
    node = cfg.TEST.PANOPTIC
    return MergeRules(node.SCORE_THRESH, node.OVERLAP_THRESH, node.STUFF_SHARE)


def _derive(
    rules: MergeRules, outputs: Mapping[str, Any], vocabulary: Vocabulary | None
) -> "Computed[PanopticMap] | None":
    objects, semantic = outputs["detection"], outputs["semantic"]
    if vocabulary is None or not objects.has_field("mask"):
        return None
    return Computed(lambda: _merge(rules, objects, semantic, PanopticClasses.of(vocabulary)), objects.size)


def _merge(rules: MergeRules, objects: BoxList, semantic: Any, classes: PanopticClasses) -> PanopticMap:
    """The segments of an image; those of things name the row of `objects` that they are of."""
    scores = objects.get_field("scores").cpu().numpy().astype(np.float64)
    chosen = np.flatnonzero(scores >= rules.score)  # the others need no masks of the image's size
    few = objects[chosen.tolist()]
    masks = masks_in_image(few.get_field("mask"), few.region_corners(), objects.size)
    kinds = classes.of_label[few.get_field("labels").cpu().numpy()]
    labels = semantic.resize(objects.size).labels.cpu().numpy()
    is_stuff = ~classes.is_thing[: classes.num_semantic]
    ids, kinds, rows = merge_panoptic(masks.cpu().numpy(), kinds, scores[chosen], labels, is_stuff, rules)
    # the last of these are of segments without an object
    places, reached = np.append(chosen, NO_OBJECT), np.append(scores[chosen], 1.0)
    return PanopticMap(ids, kinds, places[rows], reached[rows], np.zeros(len(rows), bool))


PANOPTIC = register_task(Panoptic())
