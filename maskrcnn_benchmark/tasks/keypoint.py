"""Human keypoints: those of every person, or of whatever things a data set names keypoints of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import (
    CHANNELS,
    CLASSES,
    FLAG,
    NAME,
    REGION_HEADS,
    WIDTHS,
    norm_option,
    region_pooling,
)
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.data.coco.keypoints import number_labelled
from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.datasets.coco import SWAPPED_VISIBILITY, COCOImage
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.same_names import match_joints, match_objects
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator
from maskrcnn_benchmark.evaluation.coco.rows import predicted_rows
from maskrcnn_benchmark.evaluation.detail_toolkit_keypoint import JOINT_RECORDS, ToolkitKeypointEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.keypoint_head import ROIKeypointHead, build_roi_keypoint_head
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections, rows_with_labels
from maskrcnn_benchmark.prediction_files.as_prediction import decode_objects
from maskrcnn_benchmark.prediction_files.lists import (
    Form,
    ListFile,
    ObjectFile,
    PredictionList,
    Rows,
    are_numbers,
    member,
)
from maskrcnn_benchmark.prediction_files.row_file import shown
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import (
    COCO_JOINTS,
    DETAIL_JOINTS,
    DetailKeypoints,
    JointSet,
    Keypoints,
    PersonKeypoints,
)
from maskrcnn_benchmark.structures.objects import Objects, best_first
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Range
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.dataset_page import card, stacked_bars
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import TAG, box_spots, canvas_boxes, shown_objects


class DetailKeypointReader(LabelReader):
    """Keypoint records of PASCAL in Detail: `BoxList` with labels (all 1) and keypoints.

    An image is annotated if it has a record, or no person who could have one.
    """

    def read(self, image: DetailImage) -> BoxList | None:
        if not self.has(image):
            return None
        file, records = image.dataset.file, image.section("annos_joints")
        width = 3 * len(DETAIL_JOINTS.names)
        rows = [file.field(record, "keypoints", "joint") for record in records]
        for record, numbers in zip(records, rows):
            if len(numbers) != width:
                name = file.name_of(record, "joint")
                raise UserError(f"{name} has {len(numbers)} numbers in 'keypoints', not {width}")
        keypoints = torch.tensor(rows, dtype=torch.float32).reshape(-1, width // 3, 3)
        boxes = torch.tensor([file.field(r, "bbox", "joint") for r in records], dtype=torch.float32).reshape(-1, 4)
        persons = BoxList(boxes, image.size, mode="xywh").convert("xyxy")
        persons.add_field("labels", torch.ones(len(records), dtype=torch.int64))
        persons.add_field("keypoints", DetailKeypoints(keypoints, image.size))
        if image.dataset.keep_crowd:
            persons.add_field(JOINT_RECORDS, records)
        return image.kept(persons)

    def has(self, image: DetailImage) -> bool:
        return image.counts["joints"] > 0 or image.counts["people"] == 0

    def teaches(self, image: DetailImage) -> bool:
        return image.counts["joints"] > 0  # an image without persons teaches no keypoint


class COCOKeypointReader(LabelReader):
    """Records of the categories that have keypoints in a file in COCO's layout: `BoxList` with labels and keypoints.

    An object whose keypoints are not annotated has zeros, as COCO's objects without any: it teaches nothing, and need
    not be found.
    """

    def read(self, image: COCOImage) -> BoxList | None:
        if not self.has(image):
            return None
        of_file = image.dataset.file.keypoints
        records = [record for record in image.records if record["category_id"] in of_file.categories]
        joints: Any = of_file.joints
        persons = image.boxes_of(records)
        keypoints: Any = torch.tensor([of_file.of(record) for record in records], dtype=torch.float32)
        keypoints = keypoints.reshape(-1, len(joints), 3)
        if joints == COCO_JOINTS:
            keypoints = PersonKeypoints(keypoints, image.size)
        else:
            if joints == DETAIL_JOINTS:
                keypoints[..., 2] = SWAPPED_VISIBILITY[keypoints[..., 2].long().clamp(0, 2)]
            keypoints = Keypoints(keypoints, image.size, joints=joints)
        persons.add_field("keypoints", keypoints)
        return image.kept(persons)

    def has(self, image: COCOImage) -> bool:
        return image.has_objects and image.dataset.file.keypoints.joints is not None

    def teaches(self, image: COCOImage) -> bool:
        of_file = image.dataset.file.keypoints
        own = [record for record in image.records if record["category_id"] in of_file.categories]
        return self.has(image) and any(map(number_labelled, own))  # none, where keypoints are not annotated


_VISIBILITY_CODES = 3  # 0 not annotated; what 1 and 2 mean is the joint set's own


class KeypointForm(Form):
    """x, y and visibility of every keypoint of an object, from which the area follows as in pycocotools."""

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        own = opened.names.vocabulary.keypoint_names
        if opened.thing(row) not in own:
            raise ValueError(
                f"has keypoints of the category_id {shown(row['category_id'])}; only {_listed(own)} has keypoints"
            )
        values, count = member(row, field), len(opened.names.vocabulary.joints)
        if not are_numbers(values, 3 * count):
            found = f"{len(values)} of them" if isinstance(values, list) else shown(values)
            raise ValueError(
                f"must have {3 * count} finite numbers as {field}, x, y, visibility of {count} keypoints, not {found}"
            )

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        found = []
        for _, row in rows:
            values = [float(value) for value in row[field]]
            box = extent_of(values)
            found.append({field: values, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        return found


def extent_of(keypoints: list[float]) -> list[float]:
    """The box around keypoints [x, y, v, ...] as pycocotools takes it: [x, y, width, height]."""
    places = np.reshape(np.asarray(keypoints, np.float64), (-1, 3))[:, :2]
    low, high = places.min(axis=0), places.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def _listed(names: Sequence[str]) -> str:
    return "a person" if names == ("person",) else " or ".join(map(repr, names))


LEFT_SIDE = (38, 132, 255)  # keypoints and limbs of an object's left, ...
RIGHT_SIDE = (255, 140, 26)  # ... of the right, ...
MIDDLE = (250, 224, 90)  # ... and of neither


@dataclass(frozen=True)
class Persons(Objects):
    """Persons, or other objects that have some, with `keypoints`, float [N, J, 3]: x, y in pixels, and 1 (the network
    says nothing of visibility).
    """

    keypoints: torch.Tensor


class Keypoint(Task):
    """Keypoints of persons, or of the things that the vocabulary says.

    The label is a `BoxList` of its own, since PASCAL in Detail's records are not linked to objects.
    """

    key = "keypoint"
    title = "human keypoints"
    switch = "KEYPOINT_ON"
    comment = "Task: human keypoints, per detected box"
    losses = ("loss_kp",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.keypoint.",)
    per = "region"
    iou_type = "keypoints"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            REGION_HEADS,
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR",
                "KeypointRCNNFeatureExtractor",
                NAME,
                "A name in modeling.registry.ROI_KEYPOINT_FEATURE_EXTRACTORS",
            ),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.PREDICTOR",
                "KeypointRCNNPredictor",
                NAME,
                "A name in modeling.registry.ROI_KEYPOINT_PREDICTOR",
            ),
            region_pooling("ROI_KEYPOINT_HEAD"),
            Option("MODEL.ROI_KEYPOINT_HEAD.MLP_HEAD_DIM", 1024, CHANNELS, "Not read; kept for the original's files"),
            Option("MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS", (512,) * 8, WIDTHS, "Channels of each convolution"),
            norm_option("ROI_KEYPOINT_HEAD"),
            Option("MODEL.ROI_KEYPOINT_HEAD.RESOLUTION", 14, Integer(1, 512), "Side of the predicted heat map"),
            Option("MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES", 17, CLASSES, "Keypoints. Taken from the data set unless set"),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR",
                True,
                FLAG,
                "Keypoints are read from the box head's features of the regions instead of features of their own",
            ),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE",
                0,
                Integer(0, 2**16),
                "Regions trained per image at most; 0 trains every positive region, as the original does",
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        count = len(vocabulary.joints.names) if vocabulary.joints else 0
        return [ClassCount("MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES", count, "keypoints")]

    def region_options(self, cfg: CfgNode) -> CfgNode:
        return cfg.MODEL.ROI_KEYPOINT_HEAD

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": Integer(1, 256)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = None  # objects with keypoints are a `BoxList` of their own
    label_readers = {"detail": DetailKeypointReader, "coco": COCOKeypointReader}
    can_be_pasted = True

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.joints)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        joints = vocabulary.joints and vocabulary.joints.names
        own = vocabulary.keypoint_names
        return {"classes of objects": vocabulary.thing_names, "keypoints": joints, "classes with keypoints": own}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[BoxList], BoxList] | None:
        """Keypoints that the source lacks are not annotated (0, 0, 0). Codes of visibility are the target's own.

        Objects of classes without keypoints in the target are dropped.
        """
        places = match_joints(source, target)
        labels = torch.tensor(match_objects(source, target))
        has = torch.tensor([int(label) in target.keypoint_labels for label in labels])
        if not places or not has[list(source.keypoint_labels)].any():
            return None
        if len(source.keypoint_labels) == 1:  # whatever a reader calls its one class
            labels, has = labels[source.keypoint_labels[0]].expand(len(labels)), has.new_ones(len(has))
        swaps_codes = (source.joints == DETAIL_JOINTS) != (target.joints == DETAIL_JOINTS)
        return partial(_rename_keypoints, places, target.joints, swaps_codes, labels, has)

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """The number of objects with a labelled keypoint; of each keypoint how often it has each visibility code on
        them, int64 [K, 3].
        """
        codes = np.zeros((0, len(vocabulary.joints)), np.int64)
        if len(annotations.people):
            codes = annotations.people.get_field("keypoints").keypoints[..., 2].numpy().astype(np.int64)
            codes = codes[codes.any(axis=1)].clip(0, _VISIBILITY_CODES - 1)
        table = np.stack([(codes == code).sum(0) for code in range(_VISIBILITY_CODES)], axis=1)
        return {"people": len(codes), "joints": table}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        number, joints = count["people"], count["joints"]
        if not number:
            return [("keypoints", "none")]
        persons = f"{number} {_objects(vocabulary, number)}"
        occluded = joints[:, vocabulary.joints.occluded_code].sum()
        return [("keypoints", f"{joints[:, 1:].sum()} on {persons}, {occluded} occluded")]

    def tiles(self, counts: DatasetCounts) -> list[tuple[str, int]]:
        joints = counts.total(self.key, "joints", (len(counts.vocabulary.joints or ()), _VISIBILITY_CODES))
        persons = int(counts.total(self.key, "people"))
        what = f"{_objects(counts.vocabulary, 2)} with keypoints"
        return [(what, persons), ("labelled keypoints", int(joints[:, 1:].sum()))]

    def cards(self, counts: DatasetCounts) -> list[str]:
        """A bar per keypoint: visible, occluded, not annotated."""
        title, persons = "Visibility of keypoints", int(counts.total(self.key, "people"))
        if not persons:
            return [card(title, "", "")]
        joints = counts.vocabulary.joints
        occluded = joints.occluded_code
        table = counts.total(self.key, "joints", (len(joints), _VISIBILITY_CODES))[:, [3 - occluded, occluded, 0]]
        bars = stacked_bars(joints.names, table, ("visible", "occluded", "not annotated"))
        words = f"of {persons:,} {_objects(counts.vocabulary, persons)}; the number is the visible share"
        return [card(title, words, bars)]

    # Network ----------------------------------------------------------------------------------------------------------

    def shares_box_features(self, cfg: CfgNode) -> bool:
        """As the option says."""
        return cfg.MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> ROIKeypointHead:
        """A heat map per keypoint and region; only detections of classes that have keypoints are given some."""
        joints = labels = None
        if vocabulary is not None:
            joints = vocabulary.joints
            labels = frozenset(vocabulary.keypoint_labels) or None
        return build_roi_keypoint_head(cfg, in_channels, joints, labels)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        kind = ToolkitKeypointEvaluator if protocols.detection == DETAIL_TOOLKIT else KeypointEvaluator
        return kind(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label of an object, "keypoints": [x, y, v] * K, "score": float}."""
        persons = _with_keypoints(self.output(prediction, "detection"), vocabulary)
        if len(persons) == 0:
            return []
        keypoints = persons.get_field("keypoints").keypoints.cpu().double().numpy()
        return predicted_rows(persons, "keypoints", keypoints.reshape(len(persons), -1).tolist())

    def files(self) -> tuple[ListFile, ...]:
        return (
            ObjectFile(
                self.key,
                "keypoints.json",
                option="--keypoints",
                text='keypoints, as COCO\'s results or {"pred": [...]}',
                fields={"keypoints": KeypointForm()},
                # as PASCAL in Detail's own program wants it
                wrapped_too="detail_keypoints.json",
                encodings={"keypoints": "[x, y, visibility] for each keypoint in the order of 'joints'"},
            ),
        )

    def decode(self, stored: list[dict], size: tuple[int, int], vocabulary: Vocabulary) -> BoxList:
        """The objects with their keypoints."""
        joints = vocabulary.joints

        def keypoints(rows: Sequence[Mapping], size: tuple[int, int]) -> Keypoints:
            places = torch.tensor([row["keypoints"] for row in rows], dtype=torch.float32)
            return Keypoints(places.reshape(-1, len(joints), 3), size, joints=joints)

        return decode_objects(stored, size, lambda row: extent_of(row["keypoints"]), keypoints=keypoints)

    # Pictures ---------------------------------------------------------------------------------------------------------

    on_photograph = True
    layer = 60
    backdrop = {"fade": 0.25}

    def content(self, known: Known) -> BoxList | None:
        """The annotated objects that may have keypoints, or the predicted objects if they have some."""
        if not isinstance(known, ImagePrediction):
            return known.people
        objects = known.instances
        return objects if objects is not None and objects.has_field("keypoints") else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        return vocabulary.joints is not None and self.content(known) is not None

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Skeletons, an object's left blue and right orange, occluded keypoints hollow; of predictions with scores."""
        return self._paint(canvas, known, vocabulary, threshold, scores=True)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Skeletons; scores where no other task says them."""
        scores = not any(task.names_objects for task in thresholds)
        return self._paint(canvas, known, vocabulary, thresholds[self], scores)

    def _paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, scores: bool) -> int:
        predicted, joints = isinstance(known, ImagePrediction), vocabulary.joints
        persons: Any = self.content(known)
        persons = shown_objects(_with_keypoints(persons, vocabulary) if predicted else persons, threshold)
        if len(persons):
            records = persons.get_field("keypoints").keypoints.detach().cpu().numpy()
            sides = _side_colours(joints)
            for record in records:
                _draw_skeleton(canvas, record, joints, sides, None if predicted else joints.occluded_code)
        if predicted and scores:
            for box, score in zip(canvas_boxes(persons, canvas).numpy(), persons.get_field("scores").tolist()):
                canvas.label(f"{score:.2f}", box_spots(box, canvas), TAG)
        return len(persons)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        if vocabulary.joints is not None and not vocabulary.joints.flip_pairs:
            return [("keypoints", [("keypoints", MIDDLE)])]
        owner = "a person's" if vocabulary.keypoint_names == ("person",) else "an object's"
        return [("keypoints", [(f"{owner} left", LEFT_SIDE), (f"{owner} right", RIGHT_SIDE)])]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Persons | None:
        """The objects that reach the threshold, with keypoints."""
        objects = self.content(prediction)
        if objects is None:
            return None
        persons = _with_keypoints(best_first(objects, threshold), vocabulary)
        return Persons.of(persons, vocabulary, keypoints=persons.get_field("keypoints").keypoints)

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {
            "keypoints": ExportedOutput(
                "float32 [objects, K, 3]",
                "x, y in pixels of the input and 1; 0, 0, 0: no person",
                tolerance=1.0,
                outliers=0.01,  # each is the greatest cell of a map: of two as great, rounding may choose either
            ),
            "keypoint_scores": ExportedOutput("float32 [objects, K]", "the heat map's logit there; 0: no person"),
        }

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        return no_tensor_form(head, ROIKeypointHead)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        found = prediction.instances.get_field("keypoints")
        return {"keypoints": found.keypoints, "keypoint_scores": found.get_field("logits")}

    def export_tensors(
        self, head: Any, features: Sequence[torch.Tensor], regions: Detections
    ) -> dict[str, torch.Tensor]:
        from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.traceable import keypoints_of_heatmaps  # uses a loop

        index = rows_with_labels(regions.labels, head.keypoint_labels)
        boxes = regions.boxes.index_select(0, index)
        maps = head.predictor(head.feature_extractor(features, boxes)).float()
        count = regions.labels.shape[0]
        return {
            name: rows.new_zeros(count, *rows.shape[1:]).index_put((index,), rows)
            for name, rows in zip(("keypoints", "keypoint_scores"), keypoints_of_heatmaps(maps, boxes))
        }


def _rename_keypoints(
    places: list[tuple[int, int]],
    wanted: JointSet,
    swaps_codes: bool,
    labels: torch.Tensor,
    has: torch.Tensor,
    persons: BoxList,
) -> BoxList:
    """Annotated objects that `has` chooses by label, with new `labels`, and `wanted` keypoints at `places`."""
    persons = persons[has[persons.get_field("labels")]]
    known = persons.get_field("keypoints").keypoints
    moved = known.new_zeros(len(known), len(wanted), 3)
    moved[:, [place for place, _ in places]] = known[:, [origin for _, origin in places]]
    if swaps_codes:
        moved[..., 2] = SWAPPED_VISIBILITY[moved[..., 2].long().clamp(0, 2)]
    persons = persons.copy_with_fields(persons.fields())
    persons.add_field("labels", labels[persons.get_field("labels")])
    persons.add_field("keypoints", Keypoints(moved, persons.size, joints=wanted))
    return persons


def _with_keypoints(objects: BoxList, vocabulary: Vocabulary) -> BoxList:
    """Those of predicted objects whose class has keypoints."""
    labels = objects.get_field("labels")
    return objects[torch.isin(labels, labels.new_tensor(vocabulary.keypoint_labels)).nonzero().squeeze(1)]


def _objects(vocabulary: Vocabulary, number: int) -> str:
    """What has keypoints, in words."""
    return f"{'person' if vocabulary.keypoint_names == ('person',) else 'object'}{'s' * (number != 1)}"


def _side_colours(joints: JointSet) -> list[tuple[int, int, int]]:
    """The colour of each keypoint, by its side."""
    colours = [MIDDLE] * len(joints)
    for left, right in joints.flip_pairs:
        colours[left], colours[right] = LEFT_SIDE, RIGHT_SIDE
    return colours


def _draw_skeleton(
    canvas: Canvas, record: np.ndarray, joints: JointSet, sides: list[tuple[int, int, int]], occluded_code: int | None
) -> None:
    """Draw one person's keypoints [K, 3]; a bone is there where both its ends are."""
    spots, visibility = canvas.place(record[:, :2]), record[:, 2]
    for a, b in joints.skeleton:
        if visibility[a] > 0 and visibility[b] > 0:
            side = sides[b] if sides[b] != MIDDLE else sides[a]
            canvas.polyline(spots[[a, b]], side, canvas.line + 1)
    for spot, state, side in zip(spots, visibility, sides):
        if state > 0:
            canvas.dot(spot, side, canvas.line * 5 // 2, hollow=state == occluded_code)


KEYPOINT = register_task(Keypoint())
