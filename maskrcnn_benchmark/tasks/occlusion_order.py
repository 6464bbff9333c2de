"""Occlusion order: which objects are in front of which, made of their masks and of directed occlusion edges."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import FRACTION, TESTING
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.occlusion_order import OcclusionOrderEvaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.layers.mask_paste import masks_in_image
from maskrcnn_benchmark.prediction_files.order_file import OrderFile
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import Objects
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder, OrderRules, in_front, occlusion_votes
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.order import arrow_sample, paint_order
from maskrcnn_benchmark.visualization.palette import class_colours

_LEAST_SCORE = 0.3
_DEFAULTS = OrderRules(strength=0.3, reach=0.05, length=0.01, share=0.5)


@dataclass(frozen=True)
class OrderedObjects(Objects):
    """Objects with the order of occlusion between them.

    Attributes:
        masks: bool [N, H, W].
        votes: float64 [N, N], about the length in pixels of the edges that say that i is in front of j.
        in_front: bool [N, N], whether i is in front of j; both ways where each hides part of the other.
    """

    masks: torch.Tensor
    votes: torch.Tensor
    in_front: torch.Tensor

    def pairs(self) -> list[tuple[int, int]]:
        """All (i, j) of which i is in front of j."""
        return [(i, j) for i, j in self.in_front.nonzero().tolist()]


class OcclusionOrderTask(Task):
    """Which object hides part of which, without parameters of its own."""

    key = "occlusion_order"
    title = "occlusion order"
    switch = "OCCLUSION_ORDER_ON"
    comment = "Task: which objects are in front of which, made of masks and occlusion edges, without parameters"
    headline = "occluded-accuracy"
    per = "derived"
    follows = True
    requires = ("detection", "instance", "occlusion")

    def options(self) -> list[Option]:
        node = "TEST.OCCLUSION_ORDER"
        return section(
            TESTING,
            Option(f"{node}.SCORE_THRESH", _LEAST_SCORE, FRACTION, "Occlusion order: least score of an object in it"),
            Option(
                f"{node}.STRENGTH_THRESH",
                _DEFAULTS.strength,
                FRACTION,
                "Occlusion order: least strength of an edge pixel that has a vote; more of them hardly add to it",
            ),
            Option(
                f"{node}.REACH",
                _DEFAULTS.reach,
                FRACTION,
                "Occlusion order: how far beside an edge objects are looked for, as a share of the image's diagonal; "
                "masks of regions end some pixels before an edge",
            ),
            Option(
                f"{node}.LENGTH",
                _DEFAULTS.length,
                FRACTION,
                "Occlusion order: least votes for being in front, a length of edge, as a share of the diagonal; fewer "
                "order objects that only come near each other",
            ),
            Option(
                f"{node}.SHARE",
                _DEFAULTS.share,
                FRACTION,
                "Occlusion order: least share of a pair's votes; below a half two objects can be in front of each "
                "other, of which mini_detail has none",
            ),
        )

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        """Whether it has objects with masks and occlusion edges."""
        objects = annotations.instances
        return annotations.occlusion is not None and objects is not None and objects.has_field("masks")

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.thing_names)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {"classes of objects": vocabulary.thing_names}

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """Pairs of objects of which one hides part of the other."""
        order = OcclusionOrder.of_annotations(annotations).in_front
        return {"occluded pairs": int(np.count_nonzero(np.triu(order | order.T)))}

    # Network ----------------------------------------------------------------------------------------------------------

    def derive(self, outputs: Mapping[str, Any], vocabulary: Vocabulary | None) -> "Computed[OcclusionOrder] | None":
        return self.deriver(None)(outputs, vocabulary)

    def deriver(self, cfg: CfgNode | None) -> Callable[[Mapping[str, Any], Vocabulary | None], Any]:
        """The `Computed` `OcclusionOrder`; None where the objects have no masks."""
        if cfg is None:
            return partial(_derive, _LEAST_SCORE, _DEFAULTS)
        node = cfg.TEST.OCCLUSION_ORDER
        rules = OrderRules(node.STRENGTH_THRESH, node.REACH, node.LENGTH, node.SHARE)
        return partial(_derive, node.SCORE_THRESH, rules)

    # Evaluation and files ---------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return OcclusionOrderEvaluator(self, vocabulary)

    def files(self) -> tuple[OrderFile, ...]:
        encodings = {
            self.key: '"order" is a list of [i, j, votes]: of "objects", counted from 0, i is in front of j; votes are '
            "about the length in pixels of the edges that say so"
        }
        text = 'objects with masks, and which are in front of which: [{"image_id", "objects", "order"}]'
        return (OrderFile(self.key, option="--occlusion-order", text=text, encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 72
    backdrop = {"fade": 0.35, "grey": True}

    def content(self, known: Known) -> "Computed[OcclusionOrder] | None":
        if isinstance(known, ImagePrediction):
            return known.outputs.get(self.key)
        if not self.is_annotated(known):
            return None
        return Computed(lambda: OcclusionOrder.of_annotations(known), known.size)

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Masks with their names, and arrows from what is in front to what is behind."""
        return self._paint(canvas, known, vocabulary, threshold, 0.45, is_named=True)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Outlines and arrows; names are left to tasks of objects."""
        return self._paint(canvas, known, vocabulary, thresholds[self], 0.0, is_named=False)

    def _paint(self, canvas, known, vocabulary, threshold, strength, is_named):
        order = _shown(self.content(known).value, vocabulary, threshold)
        names = [vocabulary.thing_names[label - 1] for label in order.labels.tolist()]
        colours = class_colours(vocabulary)
        canvas.legend([("from in front to behind", arrow_sample(2 * canvas.text_size))])
        return paint_order(canvas, order, names if is_named else (), [colours[name] for name in names], strength)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> OrderedObjects | None:
        """The objects that reach the threshold, best first, with the order between them."""
        content = self.content(prediction)
        if content is None:
            return None
        order = _shown(content.value, vocabulary, threshold)
        return OrderedObjects.of(
            prediction.instances[order.objects.tolist()],
            vocabulary,
            masks=torch.from_numpy(order.masks),
            votes=torch.from_numpy(order.votes),
            in_front=torch.from_numpy(order.in_front),
        )


def _shown(order: OcclusionOrder, vocabulary: Vocabulary, threshold: float) -> OcclusionOrder:
    """Those of its objects that reach the threshold and have a name, best first; of annotations in their order."""
    best = np.argsort(-order.scores, kind="stable")
    return order.take(best[(order.scores[best] >= threshold) & (order.labels[best] <= len(vocabulary.thing_names))])


def _derive(
    least_score: float, rules: OrderRules, outputs: Mapping[str, Any], vocabulary: Vocabulary | None
) -> "Computed[OcclusionOrder] | None":
    objects, occlusion = outputs["detection"], outputs["occlusion"]
    if not objects.has_field("mask"):
        return None
    return Computed(lambda: _order(least_score, rules, objects, occlusion), objects.size)


def _order(least_score: float, rules: OrderRules, objects: BoxList, occlusion: Any) -> OcclusionOrder:
    """What predicted edges say of the predicted objects of an image.

    Every pixel of an edge votes by its strength, not only those on its ridge: on mini_detail's training images that is
    right more often, and there is no map to thin.
    """
    scores = objects.get_field("scores").cpu().numpy().astype(np.float64)
    rows = np.flatnonzero(scores >= least_score)
    few = objects[rows.tolist()]
    masks = masks_in_image(few.get_field("mask"), few.region_corners(), objects.size)
    bitmaps = masks.cpu().numpy()
    strength, *direction = occlusion.resize(objects.size).scores.float().cpu().numpy()
    places = np.flatnonzero(strength >= rules.strength)
    directions = np.stack(direction).reshape(2, -1)[:, places]
    votes = occlusion_votes(bitmaps, places, directions, strength.reshape(-1)[places], rules)
    labels = few.get_field("labels").cpu().numpy().astype(np.int64)
    return OcclusionOrder(rows, labels, scores[rows], bitmaps, votes, in_front(votes, strength.shape, rules))


OCCLUSION_ORDER = register_task(OcclusionOrderTask())
