"""What several tasks say of an image as one: segments with their parts, and which are in front of which."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from yacs.config import CfgNode

from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT, VOID, PanopticMap
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import derive_outputs
from maskrcnn_benchmark.tasks.instance import INSTANCE
from maskrcnn_benchmark.tasks.occlusion_order import OCCLUSION_ORDER
from maskrcnn_benchmark.tasks.panoptic import PANOPTIC, reaching
from maskrcnn_benchmark.tasks.part_panoptic import PART_PANOPTIC
from maskrcnn_benchmark.tasks.semantic import SEMANTIC
from maskrcnn_benchmark.tasks.task import TASKS, Task, with_requirements
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import missing_panel
from maskrcnn_benchmark.visualization.palette import class_colours
from maskrcnn_benchmark.visualization.scene import paint_scene
from maskrcnn_benchmark.visualization.segments import segment_colours

NEEDED = (INSTANCE, SEMANTIC)  # without these there is no scene
DERIVED = (PANOPTIC, PART_PANOPTIC, OCCLUSION_ORDER)  # what it is made of


@dataclass(frozen=True)
class SceneMaps:
    """A scene as maps.

    Attributes:
        segments: the `PanopticMap`, none of whose segments is empty.
        classes: the `PartClasses`.
        parts: uint8 [H, W], labels of parts within segments: `UNKNOWN` or `NO_PART` where there is none; None where
            parts are not predicted or not annotated.
        order: of those objects that are segments; None where it is not predicted or not annotated.
    """

    segments: PanopticMap
    classes: PartClasses
    parts: np.ndarray | None
    order: OcclusionOrder | None

    @classmethod
    def of(
        cls, known: Known, vocabulary: Vocabulary, threshold: float = 0.0, cfg: CfgNode | None = None
    ) -> "SceneMaps":
        """The scene of annotations or of a prediction, for which the derived tasks need not be on.

        Args:
            known: of the size of the image.
            vocabulary: names the labels.
            threshold: least score of an object of a prediction.
            cfg: the options of derived tasks; None for their defaults.

        Raises:
            UserError: there are no masks or no semantic map.
        """
        classes = PartClasses.of(vocabulary)
        segments, parts, order = (
            _predicted(known, vocabulary, cfg)
            if isinstance(known, ImagePrediction)
            else _annotated(known, vocabulary, classes)
        )
        shown = reaching(segments.without_empty(), threshold)
        if parts is not None and shown is not segments:
            parts = np.where(shown.ids == VOID, np.uint8(NO_PART), parts)
        if order is not None:
            order = order.take(np.isin(order.objects, shown.objects))
        return cls(shown, classes, parts, order)

    @property
    def numbers(self) -> dict[int, int]:
        """{row of an object: k of its segment in `segments.ids`}."""
        return {row: k for k, row in enumerate(self.segments.objects.tolist(), 1) if row != NO_OBJECT}

    def paint(self, canvas: Canvas, vocabulary: Vocabulary) -> None:
        """Paint it on a canvas of the image."""
        segments, classes = self.segments, self.classes.classes
        is_thing = classes.is_thing[segments.classes] & ~segments.is_crowd
        names = [classes.names[kind] for kind in segments.classes.tolist()]
        words = [f"{name} (crowd)" if crowd else name for name, crowd in zip(names, segments.is_crowd.tolist())]
        scored = is_thing & (segments.scores < 1)
        words = [f"{word} {score:.2f}" if has else word for word, score, has in zip(words, segments.scores, scored)]
        parts = None if self.parts is None else np.where(self.parts == UNKNOWN, np.uint8(NO_PART), self.parts)
        colours = segment_colours(segments, classes, class_colours(vocabulary))
        paint_scene(canvas, segments, is_thing, colours, words, parts, self.order)


class ScenePicture:
    """The column of scenes on pages of pictures, `visualization.drawn_task.DrawnTask`.

    Args:
        cfg: the options of derived tasks; None for their defaults.
    """

    key, title, layer = "scene", "the scene", 0

    def __init__(self, cfg: CfgNode | None = None) -> None:
        self.cfg = cfg

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        """Whether there are masks and a semantic map."""
        return PANOPTIC.has_names(vocabulary) and not lacking(known)

    def draw(
        self,
        image: np.ndarray,
        known: Known,
        vocabulary: Vocabulary,
        threshold: float | None = None,
        scale: float | None = None,
    ) -> np.ndarray:
        """A picture, as `Task.draw`."""
        if not self.can_draw(known, vocabulary):
            return missing_panel(image, known, scale)
        threshold = PANOPTIC.threshold if threshold is None else threshold
        canvas = Canvas(image, scale=scale, **BACKDROP)
        SceneMaps.of(known, vocabulary, threshold, self.cfg).paint(canvas, vocabulary)
        return canvas.finish()

    def overlay(self, *args: Any, **options: Any) -> None:
        """Nothing: it is a picture of its own."""

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return PANOPTIC.legend(vocabulary)


BACKDROP: dict[str, Any] = {"fade": 0.2, "grey": True}


def lacking(known: Known) -> list[Task]:
    """Those of `NEEDED` that are not predicted or not annotated."""
    return [task for task in NEEDED if task.content(known) is None]


def _predicted(
    prediction: ImagePrediction, vocabulary: Vocabulary, cfg: CfgNode | None
) -> tuple[PanopticMap, np.ndarray | None, OcclusionOrder | None]:
    missing = lacking(prediction)
    if missing or not PANOPTIC.has_names(vocabulary):
        raise UserError(refusal(missing or NEEDED))
    outputs = with_derived(prediction, vocabulary, cfg).outputs
    with_parts, order = (outputs.get(task.key) for task in (PART_PANOPTIC, OCCLUSION_ORDER))
    return (
        outputs[PANOPTIC.key].value,
        None if with_parts is None else with_parts.value.parts,
        None if order is None else order.value,
    )


def with_derived(prediction: ImagePrediction, vocabulary: Vocabulary, cfg: CfgNode | None) -> ImagePrediction:
    """A prediction with the outputs that a scene is made of, as far as there are those that they are made from."""
    if lacking(prediction):
        return prediction
    derived = [task for task in DERIVED if all(key in TASKS for key in task.requires)]
    return derive_outputs(prediction, derived, vocabulary, cfg)


def makes_scene(keys: Iterable[str]) -> bool:
    """Whether what tasks of these keys predict, with those that they are made from, is enough for a scene."""
    return with_requirements(keys) >= {task.key for task in NEEDED}


def refusal(missing: Sequence[Task]) -> str:
    """Why there is no scene without some of `NEEDED`, and the remedy."""
    titles = " and ".join(f"{task.title} (MODEL.{task.switch})" for task in missing)
    return f"a scene is made of masks and a semantic map, but the network does not predict {titles}; turn it on"


def _annotated(
    known: Any, vocabulary: Vocabulary, classes: PartClasses
) -> tuple[PanopticMap, np.ndarray | None, OcclusionOrder | None]:
    if not PANOPTIC.is_annotated(known):
        raise UserError(f"image {known.image_id!r} has no scene: it is not annotated with masks and a semantic map")
    order = OcclusionOrder.of_annotations(known) if OCCLUSION_ORDER.is_annotated(known) else None
    if vocabulary.parts is None or not known.instances.has_field("parts"):
        return PanopticMap.of_annotations(known, classes.classes), None, order
    found = PartPanopticMap.of_annotations(known, classes)
    return found.segments, found.parts, order
