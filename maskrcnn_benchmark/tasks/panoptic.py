"""Panoptic segmentation: the objects and the semantic map of an image as segments that do not overlap."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import FRACTION
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.panoptic.quality import PanopticEvaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.layers.panoptic_merge import MergeRules, merge_panoptic
from maskrcnn_benchmark.prediction_files.segments import SegmentFile
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.drawn_task import Known

TESTING = "Testing"
_DEFAULTS = MergeRules()


class Panoptic(Task):
    """Segments of things and stuff, merged from instance masks and the semantic map."""

    key = "panoptic"
    title = "panoptic segmentation"
    switch = "PANOPTIC_ON"
    comment = "Task: panoptic segmentation, made of masks and the semantic map, without parameters"
    headline = "PQ"
    per = "derived"
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

    # Network ----------------------------------------------------------------------------------------------------------

    def derive(self, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> "Computed[PanopticMap] | None":
        return self.deriver(None)(outputs, vocabulary)

    def deriver(self, cfg: CfgNode | None) -> Callable[[Mapping[str, Any], Vocabulary | None], Any]:
        """The `Computed` `PanopticMap`; None where the names of the classes are not known."""
        return partial(_derive, _DEFAULTS if cfg is None else merge_rules(cfg))

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return PanopticEvaluator(self, vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[SegmentFile, ...]:
        text = "segments in COCO's panoptic format, the JSON file or the folder of its PNGs"
        encoding = "COCO's panoptic format: PNG of the segments' ids, R + 256 G + 256^2 B, see panoptic.json"
        return (SegmentFile(self.key, text=text, encodings={self.key: encoding}),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    def content(self, known: Known) -> Any:
        """The `Computed` `PanopticMap` of a prediction; of annotations a function of their classes that makes it."""
        if isinstance(known, ImagePrediction):
            return known.outputs.get(self.key)
        return partial(PanopticMap.of_annotations, known) if self.is_annotated(known) else None


def merge_rules(cfg: CfgNode) -> MergeRules:
    """The rules that the options under TEST.PANOPTIC say."""
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
    masks = few.get_field("mask")
    if tuple(masks.shape[-2:]) == objects.size[::-1]:
        masks = masks[:, 0] > 0.5  # the network pasted them itself (POSTPROCESS_MASKS)
    else:
        masks = paste_masks(masks, few.region_corners(), objects.size)
    labels = few.get_field("labels").cpu().numpy()
    merged = merge_panoptic(
        masks.cpu().numpy(), labels, scores[chosen], semantic.resize(objects.size).labels.cpu().numpy(), classes, rules
    )
    rows = np.append(chosen, NO_OBJECT)  # the last is of segments without an object
    return PanopticMap(merged.ids, merged.classes, rows[merged.objects], merged.scores, merged.is_crowd)


PANOPTIC = register_task(Panoptic())
