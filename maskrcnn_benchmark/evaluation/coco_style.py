"""Average precision of boxes, instance masks and joints by pycocotools, fed from memory."""

import contextlib
import io

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.layers.mask_paste import paste_masks

# Places of the figures in COCOeval.stats
_STATS = {
    "AP": 0,
    "AP50": 1,
    "AP75": 2,
    "APs": 3,
    "APm": 4,
    "APl": 5,
    "AR": 8,
    "AR@1": 6,
    "AR@10": 7,
    "ARs": 9,
    "ARm": 10,
    "ARl": 11,
}
_KEYPOINT_STATS = {
    "AP": 0,
    "AP50": 1,
    "AP75": 2,
    "APm": 3,
    "APl": 4,
    "AR": 5,
    "AR50": 6,
    "AR75": 7,
    "ARm": 8,
    "ARl": 9,
}


# Field with the rows of a file in COCO's layout that the boxes were read from: list of dict
FILE_ROWS = "coco_records"


class CocoStyleEvaluator(Evaluator):
    """AP over IoU (or OKS) .50:.05:.95, AP50, AP75, by size, and average recall, as COCO defines them.

    Annotated objects that carry the rows of their file (field "coco_records") are scored against these rows, so that
    the figures are those of pycocotools on that file: areas, unclipped boxes, polygons and order included. Others are
    turned into such rows. Crowd regions are neither required nor counted against a prediction. A record holds the
    image's size and its annotated and predicted objects as COCO dictionaries, masks as run lengths.

    Args:
        class_names: name of each label from 1.
        protocol: "coco" or "detail", see `evaluation.protocols`.

    Attributes:
        iou_type: pycocotools' name of what is compared.
    """

    iou_type = None
    stats = _STATS
    # The member of ImageAnnotations that is scored, and what is needed of a file's row beside box, area and crowd
    truth = "instances"
    row_keys = ()
    # What pycocotools' result format says of an object beside image, category and score
    result_key = "bbox"

    def __init__(self, class_names=(), protocol="coco"):
        self.class_names = tuple(class_names)
        self.detection_protocol = protocol
        super().__init__()

    def record(self, answer, target):
        boxes = getattr(target, self.truth)
        annotated = self.from_file(boxes) if boxes.has_field(FILE_ROWS) else self.annotated(target)
        return tuple(target.size), annotated, answer

    def from_file(self, boxes):
        """The image's annotated objects as their file has them, but with our labels: list of COCO dictionaries."""
        return [
            {
                "id": row["id"],
                "category_id": label,
                "bbox": row["bbox"],
                "area": _row_area(row),
                "iscrowd": int(row.get("iscrowd", 0)),
                **{key: row[key] for key in self.row_keys if key in row},
            }
            for row, label in zip(boxes.get_field(FILE_ROWS), boxes.get_field("labels").tolist())
        ]

    def annotated(self, target):
        """The image's annotated objects: list of COCO annotation dictionaries without ids."""
        raise NotImplementedError

    def adjust(self, params):
        """Change COCOeval's parameters in place before it runs."""

    def summarize(self, records):
        if not any(annotated for _, annotated, _ in records):
            return Scores(dict.fromkeys(self.stats, np.nan))
        sizes, annotated, predicted = zip(*records)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(_coco_of(sizes, annotated), _coco_of(sizes, predicted), self.iou_type)
            self.adjust(evaluation.params)
            evaluation.evaluate()
            evaluation.accumulate()
        with contextlib.redirect_stdout(io.StringIO()) as text:
            evaluation.summarize()
        # pycocotools says -1 where there was nothing to score
        values = {name: float(evaluation.stats[place]) for name, place in self.stats.items()}
        metrics = {name: value if value >= 0 else np.nan for name, value in values.items()}
        return Scores(metrics, text=text.getvalue().rstrip())

    def result_rows(self):
        """The predicted objects in COCO's result format, image after image.

        Yields:
            (key of the image, {"category_id": label, "bbox" or "segmentation" or "keypoints": ..., "score": float}).
        """
        for key, (_, _, predicted) in self.records().items():
            for entry in predicted:
                value = _plain(entry[self.result_key])
                yield key, {"category_id": entry["category_id"], self.result_key: value, "score": entry["score"]}


class DetectionEvaluator(CocoStyleEvaluator):
    """AP of boxes. An object's size is its mask's area where it has one, as in COCO, else its box's."""

    task = "detection"
    iou_type = "bbox"

    def annotated(self, target):
        areas = annotated_areas(target.instances)
        return [dict(entry, area=area) for entry, area in zip(_annotated_boxes(target.instances), areas)]

    def answer(self, prediction):
        return _predicted_boxes(self.member(prediction, "instances"))


class InstanceEvaluator(CocoStyleEvaluator):
    """AP of instance masks. Predicted masks are pasted into the image at their boxes and cut at one half."""

    task = "instance"
    iou_type = "segm"
    row_keys = ("segmentation",)
    result_key = "segmentation"

    def is_annotated(self, target):
        if target.instances is None or not target.instances.has_field(FILE_ROWS):
            return super().is_annotated(target)
        return all("segmentation" in row for row in target.instances.get_field(FILE_ROWS))

    def annotated(self, target):
        masks = _bitmaps(target.instances)
        return [
            dict(entry, segmentation=code, area=float(rle.area(code)))
            for entry, code in zip(_annotated_boxes(target.instances), _encode(masks))
        ]

    def answer(self, prediction):
        instances = self.member(prediction, "instances")
        if len(instances) == 0:
            return []
        masks, (width, height) = instances.get_field("mask"), instances.size
        if tuple(masks.shape[-2:]) == (height, width):
            pasted = masks[:, 0] > 0.5  # the network has pasted them itself (POSTPROCESS_MASKS)
        else:
            pasted = paste_masks(masks, instances.convert("xyxy").bbox, instances.size, threshold=0.5, padding=1)
        return [
            dict(entry, segmentation=code, area=float(rle.area(code)))
            for entry, code in zip(_predicted_boxes(instances), _encode(pasted.cpu().numpy()))
        ]


class KeypointEvaluator(CocoStyleEvaluator):
    """AP of people's joints by object keypoint similarity (OKS).

    The ground truth is the image's joint records. A person's area is what the file says, as in COCO, else that of the
    box, about twice as large: PASCAL in Detail links no mask to a joint record. Joints count whose visibility is not 0.

    Args:
        joints: the `JointSet`, whose sigmas are the fall-off of each joint in COCO's definition.
        person_label: the label whose predictions are scored; other predicted objects have no joints to compare.
    """

    task = "keypoint"
    iou_type = "keypoints"
    stats = _KEYPOINT_STATS
    truth = "people"
    row_keys = ("keypoints", "num_keypoints")
    result_key = "keypoints"

    def __init__(self, joints, person_label):
        self.joints = joints
        self.sigmas = np.asarray(joints.sigmas, dtype=np.float64)
        self.person_label = person_label
        super().__init__()

    def adjust(self, params):
        params.kpt_oks_sigmas = self.sigmas

    def from_file(self, boxes):
        return [
            {"num_keypoints": sum(v > 0 for v in row["keypoints"][2::3]), **row, "category_id": self.person_label}
            for row in super().from_file(boxes)
        ]

    def annotated(self, target):
        people = target.people
        if len(people) == 0:
            return []
        joints = people.get_field("keypoints").keypoints.cpu().double().numpy()
        areas = people.area().cpu().numpy()
        return [
            dict(
                entry,
                category_id=self.person_label,
                keypoints=person.reshape(-1).tolist(),
                num_keypoints=int((person[:, 2] > 0).sum()),
                area=float(area),
            )
            for entry, person, area in zip(_annotated_boxes(people), joints, areas)
        ]

    def answer(self, prediction):
        instances = self.member(prediction, "instances")
        people = instances[instances.get_field("labels") == self.person_label]
        if len(people) == 0:
            return []
        joints = people.get_field("keypoints").keypoints.cpu().double().numpy()
        # As in COCO a predicted person is as large as its joints' extent
        low, high = joints[:, :, :2].min(axis=1), joints[:, :, :2].max(axis=1)
        return [
            dict(
                entry,
                category_id=self.person_label,
                keypoints=person.reshape(-1).tolist(),
                bbox=np.concatenate([start, extent]).tolist(),
                area=float(extent.prod()),
            )
            for entry, person, start, extent in zip(_predicted_boxes(people), joints, low, high - low)
        ]


def annotated_areas(instances):
    """Sizes of annotated objects: the file's own where it is known, else the masks', else the boxes': list of float."""
    if instances.has_field(FILE_ROWS):
        return [float(_row_area(row)) for row in instances.get_field(FILE_ROWS)]
    masks = _bitmaps(instances)
    return (instances.area().cpu().numpy() if masks is None else masks.sum(axis=(1, 2))).astype(float).tolist()


def _row_area(row):
    return row["area"] if "area" in row else row["bbox"][2] * row["bbox"][3]


def _annotated_boxes(boxlist):
    crowd = boxlist.get_field("iscrowd").tolist() if boxlist.has_field("iscrowd") else [0] * len(boxlist)
    labels = boxlist.get_field("labels").tolist()
    return [
        {"category_id": label, "bbox": box, "iscrowd": int(is_crowd)}
        for label, box, is_crowd in zip(labels, _xywh(boxlist), crowd)
    ]


def _predicted_boxes(boxlist):
    labels, scores = boxlist.get_field("labels").tolist(), boxlist.get_field("scores").tolist()
    return [
        {"category_id": label, "bbox": box, "score": score, "area": box[2] * box[3], "iscrowd": 0}
        for label, score, box in zip(labels, scores, _xywh(boxlist))
    ]


def _xywh(boxlist):
    """Boxes as COCO has them: list of [x, y, width, height], where inclusive corners make a width of x2 - x1 + 1."""
    boxes = boxlist.convert("xyxy").bbox.detach().cpu().double().numpy()
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1).tolist()


def _bitmaps(instances):
    """The instances' masks as uint8 [N, H, W], or None where they have no masks."""
    if not instances.has_field("masks"):
        return None
    width, height = instances.size
    return instances.get_field("masks").get_mask_tensor().cpu().numpy().reshape(len(instances), height, width)


def _encode(masks):
    """Run lengths of masks [N, H, W]: list of N dictionaries."""
    if len(masks) == 0:
        return []
    return rle.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))


def _plain(value):
    """A run length's code as text, which JSON can hold; anything else as it is."""
    if isinstance(value, dict) and isinstance(value["counts"], bytes):
        return {**value, "counts": value["counts"].decode()}
    return value


def _coco_of(sizes, objects_per_image):
    """A COCO index over objects in memory; images of (width, height) are numbered from 1 in order.

    Objects keep the ids of their file, as pycocotools does, unless some have none or share theirs.
    """
    objects = [dict(entry, image_id=image) for image, entries in enumerate(objects_per_image, 1) for entry in entries]
    if len({entry["id"] for entry in objects if "id" in entry}) < len(objects):
        for number, entry in enumerate(objects, 1):
            entry["id"] = number
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image, "width": w, "height": h} for image, (w, h) in enumerate(sizes, 1)],
        "categories": [{"id": label} for label in sorted({entry["category_id"] for entry in objects})],
        "annotations": objects,
    }
    coco.createIndex()
    return coco
