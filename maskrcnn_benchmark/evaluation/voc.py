"""Average precision of boxes as PASCAL VOC defines it: at IoU 0.5, objects marked as difficult passed over."""

import numpy as np

from maskrcnn_benchmark.evaluation.coco_style import DetectionEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.structures.boxlist_ops import box_iou

IOU_THRESHOLD = 0.5
ALL_POINTS, ELEVEN_POINTS = "VOC-mAP", "VOC-mAP-11pt"
WRONG, RIGHT, PASSED_OVER = 0, 1, -1


class VocEvaluator(Evaluator):
    """AP at IoU 0.5, mean over classes: "VOC-mAP" from all points (2010 and later), "VOC-mAP-11pt" from eleven (2007).

    A prediction belongs to the object of its class that it overlaps most. It is right if that overlap is at least 0.5
    and no better scored prediction belongs to the object; it is passed over if the object is difficult (field
    "difficult", bool [N]), else wrong. Boxes include their last pixel. A class without an object that counts has no AP.

    (The original library counted the last pixel of a box twice when it measured overlaps, and so let some through.)

    Args:
        class_names: name of each label from 1; "VOC-AP NAME" is the AP of one, from all points.
    """

    task = "detection"

    def __init__(self, class_names):
        self.class_names = class_names
        super().__init__()

    def record(self, prediction, target):
        """(labels int64 [P], scores float32 [P], verdicts int8 [P], number of objects that count of each class)."""
        instances, truth = self.answer(prediction, "instances"), target.instances
        order = instances.get_field("scores").detach().cpu().argsort(descending=True, stable=True)
        labels = instances.get_field("labels").cpu()[order].numpy()
        true_labels, difficult = truth.get_field("labels").numpy(), truth.get_field("difficult").numpy()
        verdicts = np.full(len(labels), WRONG, np.int8)
        if len(labels) and len(true_labels):
            overlaps = box_iou(instances.convert("xyxy").bbox.detach().cpu()[order], truth.convert("xyxy").bbox).numpy()
            overlaps = np.where(labels[:, None] == true_labels, overlaps, 0)
            owner = overlaps.argmax(1)
            hits = np.flatnonzero(overlaps.max(1) >= IOU_THRESHOLD)
            _, first = np.unique(owner[hits], return_index=True)  # the best scored of each object
            verdicts[hits[first]] = RIGHT
            verdicts[hits[difficult[owner[hits]]]] = PASSED_OVER
        counts = np.bincount(true_labels[~difficult], minlength=len(self.class_names) + 1)
        scores = instances.get_field("scores").detach().cpu()[order].numpy()
        return labels, scores, verdicts, counts

    def summarize(self, records):
        if not records:
            return {ALL_POINTS: np.nan, ELEVEN_POINTS: np.nan}
        labels, scores, verdicts = (np.concatenate([record[i] for record in records]) for i in range(3))
        order = np.argsort(-scores, kind="stable")
        labels, verdicts = labels[order], verdicts[order]
        counts = np.sum([record[3] for record in records], axis=0)
        curves = [_curve(verdicts[labels == k], counts[k]) for k in range(1, len(counts))]
        exact = np.array([average_precision(*curve) for curve in curves])
        eleven = np.array([eleven_point_precision(*curve) for curve in curves])
        by_class = {f"VOC-AP {name}": float(value) for name, value in zip(self.class_names, exact)}
        return {ALL_POINTS: _mean(exact), ELEVEN_POINTS: _mean(eleven), **by_class}


class DetectionAndVocEvaluator(DetectionEvaluator):
    """COCO's metrics of boxes and, on data sets that mark difficult objects, VOC's beside them.

    Args:
        class_names: name of each label from 1.
    """

    def __init__(self, class_names, *args, **kwargs):
        self.voc = VocEvaluator(class_names)
        super().__init__(*args, **kwargs)

    def reset(self):
        super().reset()
        self.voc.reset()

    def process(self, predictions, targets):
        super().process(predictions, targets)
        marked = [
            (prediction, target)
            for prediction, target in zip(predictions, targets)
            if target.instances is not None and target.instances.has_field("difficult")
        ]
        self.voc.process([prediction for prediction, _ in marked], [target for _, target in marked])

    def state(self):
        voc = self.voc.state()
        return {image_id: (record, voc.get(image_id)) for image_id, record in super().state().items()}

    def merge(self, states):
        states = list(states)
        super().merge({image_id: record for image_id, (record, _) in state.items()} for state in states)
        self.voc.merge(
            {image_id: record for image_id, (_, record) in state.items() if record is not None} for state in states
        )

    def evaluate(self):
        coco = super().evaluate()
        if not self.voc.state():
            return coco
        voc, headline = self.voc.evaluate(), next(iter(coco))
        means = {name: voc[name] for name in (ALL_POINTS, ELEVEN_POINTS)}
        return {headline: coco[headline], **means, **coco, **voc}


def average_precision(recall, precision):
    """Area under the curve after each precision has become the largest at its or a higher recall (VOC 2010 and later).

    Args:
        recall, precision: float [P] after each of the predictions, best first; recall is nan without any object.

    Returns:
        float in 0..1, nan without any object.
    """
    if np.isnan(recall).any():
        return np.nan
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * best))


def eleven_point_precision(recall, precision):
    """Mean of the largest precision at a recall of at least 0, 0.1, ..., 1 (VOC 2007). Arguments as above."""
    if np.isnan(recall).any():
        return np.nan
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    # recalls are fractions: 0.1 counted up would miss a recall of exactly 0.3
    place = np.searchsorted(recall, np.arange(11) / 10 - 1e-12)
    return float(best[place].mean())


def _curve(verdicts, count):
    """(recall, precision) after each prediction of a class that is not passed over, best first."""
    verdicts = verdicts[verdicts != PASSED_OVER]
    if count == 0:
        return np.array([np.nan]), np.array([np.nan])
    right = np.cumsum(verdicts == RIGHT)
    return right / count, right / np.arange(1, len(verdicts) + 1)


def _mean(values):
    return float(np.nanmean(values)) if not np.isnan(values).all() else np.nan
