"""Contradictions between the tasks of one image: what no single task's metric sees.

They need no ground truth. Annotations have some, too, which tell how much of a network's are none of its own.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from yacs.config import CfgNode

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.layers.mask_paste import masks_in_image
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.pasting import persons_of
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.occlusion_order import OCCLUSION_ORDER
from maskrcnn_benchmark.tasks.panoptic import PANOPTIC, merge_rules
from maskrcnn_benchmark.tasks.part import part_runs

CONSISTENCY = "consistency"


@dataclass(frozen=True)
class Figure:
    """One figure: its name, its unit ("share", "strength" or a count "per image") and what it is."""

    name: str
    unit: str
    definition: str


FIGURES = (
    Figure("parts outside objects", "share", "of the pixels with a part, those that are not in the part's own object"),
    Figure("objects off semantic map", "share", "of the objects' pixels, those where the semantic map differs"),
    Figure("objects without semantic pixel", "per image", "objects on none of whose pixels the semantic map agrees"),
    Figure("objects without segment", "per image", "objects of which the panoptic map keeps no pixel"),
    Figure("labels without segment", "per image", "image labels of whose class there is no segment"),
    Figure("segments without label", "per image", "classes with a segment that are not among the image labels"),
    Figure("keypoints outside objects", "share", "of the keypoints not known to be hidden, those off the mask"),
    Figure("boundary on segment borders", "strength", "mean strength of boundaries beside a border of a segment"),
    Figure("boundary elsewhere", "strength", "mean strength of boundaries on all other pixels"),
    Figure("occlusion cycles", "per image", "groups of objects in front of each other in a circle; mutual pairs aside"),
)  # fmt: skip


def consistency(
    known: ImagePrediction | ImageAnnotations,
    vocabulary: Vocabulary,
    score_threshold: float = 0.5,
    label_threshold: float = 0.5,
) -> dict[str, float | None]:
    """The figures of one image.

    Args:
        known: a prediction at the image's size with the outputs of derived tasks, or annotations.
        vocabulary: the names of both.
        score_threshold: predicted objects below it are left out, as TEST.PANOPTIC.SCORE_THRESH leaves them out.
        label_threshold: least probability of an image label.

    Returns:
        {name: value} of all `FIGURES`; None where a task is absent, or there is nothing to take a share of.
    """
    facts = (
        _predicted(known, vocabulary, score_threshold)
        if isinstance(known, ImagePrediction)
        else _annotated(known, vocabulary)
    )
    values = {
        **_objects_and_semantic(facts, vocabulary),
        **_objects_and_segments(facts),
        **_labels_and_segments(facts, vocabulary, label_threshold),
        **_boundary_and_segments(facts),
        "parts outside objects": _share(facts.parts_outside),
        "keypoints outside objects": _share(facts.keypoints_outside),
        "occlusion cycles": None if facts.in_front is None else float(count_cycles(facts.in_front)),
    }
    return {figure.name: values.get(figure.name) for figure in FIGURES}


def count_cycles(in_front: np.ndarray) -> int:
    """Groups of objects, three or more, each of which is in front of each other one by way of others.

    Args:
        in_front: bool [n, n]; pairs that have it both ways hide parts of each other, which is no contradiction.
    """
    one_way = in_front & ~in_front.T
    if not one_way.any():
        return 0
    _, groups = connected_components(csr_matrix(one_way), connection="strong")
    return int(np.count_nonzero(np.bincount(groups) > 1))


@dataclass(frozen=True)
class _Facts:
    """What the tasks say of an image; None where one is absent.

    Attributes:
        rows, labels, masks: of n objects, the row among all of the image int64 [n], the label 1..K int64 [n], and
            bool [n, H, W].
        segments: the `PanopticMap`.
        semantic: uint8 [H, W].
        image_labels: float [L] probabilities.
        boundary: float [H, W].
        in_front: bool [m, m].
        parts_outside, keypoints_outside: whether each pixel with a part, each keypoint, is out of its object, bool [P].
    """

    rows: np.ndarray | None = None
    labels: np.ndarray | None = None
    masks: np.ndarray | None = None
    segments: PanopticMap | None = None
    semantic: np.ndarray | None = None
    image_labels: np.ndarray | None = None
    boundary: np.ndarray | None = None
    in_front: np.ndarray | None = None
    parts_outside: np.ndarray | None = None
    keypoints_outside: np.ndarray | None = None


def _predicted(prediction: ImagePrediction, vocabulary: Vocabulary, score_threshold: float) -> _Facts:
    outputs, size = prediction.outputs, prediction.size
    found: dict[str, Any] = {}
    if PANOPTIC.key in outputs:
        found["segments"] = outputs[PANOPTIC.key].value
    if OCCLUSION_ORDER.key in outputs:
        found["in_front"] = outputs[OCCLUSION_ORDER.key].value.in_front
    if prediction.semantic is not None:
        found["semantic"] = prediction.semantic.resize(size).labels.cpu().numpy()
    if prediction.classes is not None:
        found["image_labels"] = prediction.classes.float().cpu().numpy()
    if prediction.boundary is not None:
        found["boundary"] = prediction.boundary.resize(size).scores[0].float().cpu().numpy()
    objects = prediction.instances
    if objects is None or not objects.has_field("mask"):
        return _Facts(**found)
    rows = (objects.get_field("scores") >= score_threshold).nonzero()[:, 0]
    few = objects[rows]
    pasted = masks_in_image(few.get_field("mask"), few.region_corners(), size).cpu().numpy()
    labels = few.get_field("labels").cpu().numpy()
    found.update(rows=rows.cpu().numpy(), labels=labels, masks=pasted)
    if prediction.part_map is not None:
        part_map = prediction.part_map.resize(size).labels.cpu().numpy()
        found["parts_outside"] = _off_their_class(part_map, pasted, labels, vocabulary)
    elif few.has_field("parts"):
        owners, _, pixels = part_runs(few, few.region_corners(), size).pixels()
        columns, lines = np.divmod(pixels, size[1])
        found["parts_outside"] = ~pasted[owners, lines, columns]
    if few.has_field("keypoints"):
        persons = np.flatnonzero(np.isin(labels, vocabulary.keypoint_labels))
        keypoints = few.get_field("keypoints").keypoints.cpu().numpy()[persons]
        found["keypoints_outside"] = _out_of(pasted, persons, keypoints, keypoints[..., 2] > 0)
    return _Facts(**found)


def _annotated(annotations: ImageAnnotations, vocabulary: Vocabulary) -> _Facts:
    objects, people = annotations.instances, annotations.people
    found: dict[str, Any] = {}
    if annotations.semantic is not None:
        found["semantic"] = annotations.semantic.labels.cpu().numpy()
    if annotations.classes is not None:
        found["image_labels"] = annotations.classes.float().cpu().numpy()
    if annotations.boundary is not None:
        found["boundary"] = (annotations.boundary.edges > 0).cpu().numpy().astype(np.float32)
    if objects is None or not objects.has_field("masks"):
        return _Facts(**found)
    if annotations.semantic is not None:
        found["segments"] = PanopticMap.of_annotations(annotations, PanopticClasses.of(vocabulary))
    if annotations.occlusion is not None:
        found["in_front"] = OcclusionOrder.of_annotations(annotations).in_front
    rows, few = _single(objects)
    width, height = annotations.size
    masks = few.get_field("masks").get_mask_tensor().cpu().numpy().reshape(len(few), height, width) > 0
    found.update(rows=rows, labels=few.get_field("labels").cpu().numpy(), masks=masks)
    if few.has_field("parts"):
        owners, lines, columns = few.get_field("parts").labels.cpu().numpy().nonzero()
        found["parts_outside"] = ~masks[owners, lines, columns]
    if people is not None:
        links = persons_of(people, few, vocabulary.keypoint_labels).cpu().numpy()
        of_all = people.get_field("keypoints")
        keypoints = of_all.keypoints.cpu().numpy()[links >= 0]
        hidden = of_all.joints.occluded_code if of_all.joints is not None else 0
        seen = (keypoints[..., 2] != 0) & (keypoints[..., 2] != hidden)
        found["keypoints_outside"] = _out_of(masks, links[links >= 0], keypoints, seen)
    return _Facts(**found)


def _single(objects: BoxList) -> tuple[np.ndarray, BoxList]:
    """(rows, objects) of those that are one object with an annotated mask."""
    chosen = torch.ones(len(objects), dtype=torch.bool)
    if objects.has_field("iscrowd"):
        chosen &= ~objects.get_field("iscrowd").bool().cpu()
    if objects.has_field("has_mask"):
        chosen &= objects.get_field("has_mask").bool().cpu()
    rows = chosen.nonzero()[:, 0]
    return rows.numpy(), objects[rows.tolist()]


def _off_their_class(part_map: np.ndarray, masks: np.ndarray, labels: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Which pixels of a part map of the whole image, in their order, are in no mask of a class with their part."""
    outside = part_map > 0
    for label, mask in zip(labels.tolist(), masks):
        own = vocabulary.parts.labels_of(vocabulary.thing_names[label - 1])
        outside &= ~(mask & np.isin(part_map, own))
    return outside[part_map > 0]


def _out_of(masks: np.ndarray, owners: np.ndarray, keypoints: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Which chosen keypoints, float [n, K, 3] of the masks at `owners` and bool [n, K], are in none of their pixels."""
    height, width = masks.shape[1:]
    person, _ = chosen.nonzero()
    x, y = np.rint(keypoints[chosen][:, :2]).astype(np.int64).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    inside[inside] = masks[owners[person[inside]], y[inside], x[inside]]
    return ~inside


def _objects_and_semantic(facts: _Facts, vocabulary: Vocabulary) -> dict[str, float | None]:
    """Objects whose class the semantic map does not know are left out, and so are pixels that it ignores."""
    if facts.masks is None or facts.labels is None or facts.semantic is None:
        return {}
    classes = PanopticClasses.of(vocabulary)
    total, off, without = 0, 0, 0
    for mask, kind in zip(facts.masks, classes.of_label[facts.labels].tolist()):
        below = facts.semantic[mask]
        below = below[below != IGNORE_INDEX]
        if kind < classes.num_semantic and len(below):
            own = int(np.count_nonzero(below == kind))
            total, off, without = total + len(below), off + len(below) - own, without + (own == 0)
    return {
        "objects off semantic map": off / total if total else None,
        "objects without semantic pixel": float(without),
    }


def _objects_and_segments(facts: _Facts) -> dict[str, float | None]:
    if facts.rows is None or facts.segments is None:
        return {}
    kept = facts.segments.objects[facts.segments.areas > 0]
    return {"objects without segment": float(np.count_nonzero(~np.isin(facts.rows, kept)))}


def _labels_and_segments(facts: _Facts, vocabulary: Vocabulary, threshold: float) -> dict[str, float | None]:
    """Of the names that both tasks know."""
    if facts.image_labels is None or facts.segments is None:
        return {}
    here, known = facts.segments.supports(vocabulary.image_label_names, vocabulary)
    labelled = facts.image_labels >= threshold
    return {
        "labels without segment": float(np.count_nonzero(labelled & known & ~here)),
        "segments without label": float(np.count_nonzero(here & ~labelled)),
    }


def _boundary_and_segments(facts: _Facts) -> dict[str, float | None]:
    if facts.boundary is None or facts.segments is None:
        return {}
    borders = facts.segments.borders()
    return {
        "boundary on segment borders": _share(facts.boundary[borders]),
        "boundary elsewhere": _share(facts.boundary[~borders]),
    }


def _share(values: np.ndarray | None) -> float | None:
    return None if values is None or not values.size else float(np.mean(values, dtype=np.float64))


class _AllTasks:
    """What stands in for a task: every image has it, and its stored form are the figures."""

    key, title = CONSISTENCY, "consistency"

    def __init__(self, score_threshold: float) -> None:
        self.score_threshold = score_threshold

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> dict[str, float | None]:
        return consistency(prediction, vocabulary, self.score_threshold)

    def is_annotated(self, target: ImageAnnotations) -> bool:
        return True


class ConsistencyEvaluator(Evaluator):
    """The figures of predictions and, beside them, of annotations: over every image, annotated or not.

    What is stored of a prediction, under the key `CONSISTENCY`, is what `consistency` says of it.

    Args:
        vocabulary: the data set's names.
        score_threshold: as `consistency` has it.
    """

    protocol = "contradictions between tasks, means over images"

    def __init__(self, vocabulary: Vocabulary, score_threshold: float = 0.5) -> None:
        super().__init__(_AllTasks(score_threshold), vocabulary)

    def record(self, stored: Mapping[str, float | None], target: ImageAnnotations) -> tuple[list, list]:
        """([value of each of `FIGURES`, nan without one] of the prediction, the same of the annotations)."""
        both = stored, consistency(target, self.vocabulary)
        first, second = ([_number(values[figure.name]) for figure in FIGURES] for values in both)
        return first, second

    def summarize(self, records: list[tuple[list, list]]) -> Scores:
        """Means over the images that have a value; those of annotations under "ground truth"."""
        means = [[_mean(record[side][k] for record in records) for k in range(len(FIGURES))] for side in (0, 1)]
        predicted, annotated = (dict(zip((figure.name for figure in FIGURES), row)) for row in means)
        return Scores(predicted, {"ground truth": annotated})

    def to_dict(self) -> dict[str, Any]:
        """For a file, after `evaluate`.

        Returns:
            {"images": number, "figures": [{"name", "unit", "definition", "prediction", "ground_truth"}]}, the last two
            means over images, None where none has a value.
        """
        annotated = self.scores.per_class["ground truth"]
        rows = [
            {
                **vars(figure),
                "prediction": _plain(self.scores.metrics[figure.name]),
                "ground_truth": _plain(annotated[figure.name]),
            }
            for figure in FIGURES
        ]
        return {"images": len(self.records()), "figures": rows}


def consistency_evaluator(
    keys: Iterable[Hashable], vocabulary: Vocabulary, cfg: CfgNode | None
) -> ConsistencyEvaluator | None:
    """The evaluator where panoptic segmentation is among the keys of predicted tasks, else None: no cost.

    Args:
        keys: of the tasks that are predicted.
        vocabulary: the data set's names.
        cfg: the options of derived tasks; None for their defaults.
    """
    return ConsistencyEvaluator(vocabulary, merge_rules(cfg).score) if PANOPTIC.key in set(keys) else None


def consistency_rows(told: Mapping[str, Any]) -> list[Sequence[str]]:
    """What `ConsistencyEvaluator.to_dict` says as a table of text, the head first."""
    rows = [
        (row["name"], _text(row["prediction"], row["unit"]), _text(row["ground_truth"], row["unit"]), row["definition"])
        for row in told["figures"]
    ]
    return [("contradiction", "prediction", "ground truth", "what it is"), *rows]


def _text(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:.2f}{' per image' * (unit == 'per image')}"


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
