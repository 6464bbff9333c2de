"""Instance segmentation: a mask for every object."""

from collections.abc import Mapping
from typing import Any

from pycocotools import mask as coco_mask

from maskrcnn_benchmark.evaluation.coco.rows import encode, predicted_rows
from maskrcnn_benchmark.evaluation.coco.style import InstanceEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.layers.mask_paste import paste_masks
from maskrcnn_benchmark.prediction_files.as_prediction import bitmaps, decode_objects
from maskrcnn_benchmark.prediction_files.layout import FileNames
from maskrcnn_benchmark.prediction_files.lists import (
    Form,
    ListFile,
    ObjectFile,
    PredictionList,
    Rows,
    check_code,
    member,
    plain_code,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Mask(Form):
    """Run lengths of an object's pixels, from which its area follows."""

    def plain(self, value: Any, field: str, names: FileNames) -> Any:
        return plain_code(value)

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        check_code(member(row, field), opened.names.sizes[index], field)

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        areas, codes = opened.codes(index, [row[field] for _, row in rows], [number for number, _ in rows])
        return [{field: code, "area": float(area), "iscrowd": 0} for code, area in zip(codes, areas)]


class Instance(Task):
    """The mask of every object."""

    key = "instance"
    title = "instance segmentation"
    switch = "MASK_ON"
    comment = "Task: instance masks, per detected box"
    losses = ("loss_mask",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.mask.",)
    per = "region"
    iou_type = "segm"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None and annotations.instances.has_field("masks")

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return InstanceEvaluator(self, vocabulary, protocols.detection)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label 1..K, "segmentation": {"size": [h, w], "counts": bytes}, "score": float}."""
        instances = self.output(prediction, "detection")
        if len(instances) == 0:
            return []
        masks, (width, height) = instances.get_field("mask"), instances.size
        if tuple(masks.shape[-2:]) == (height, width):
            pasted = masks[:, 0] > 0.5  # the network has pasted them itself (POSTPROCESS_MASKS)
        else:
            pasted = paste_masks(masks, instances.convert("xyxy").bbox, instances.size, threshold=0.5, padding=1)
        return predicted_rows(instances, "segmentation", encode(pasted.cpu().numpy()))

    def files(self) -> tuple[ListFile, ...]:
        encodings = {"segmentation": "COCO run lengths, {size: [height, width], counts: text}"}
        fields, text = {"segmentation": Mask()}, "masks, as COCO's results"
        return (ObjectFile(self.key, "segm.json", option="--segm", text=text, fields=fields, encodings=encodings),)

    def decode(self, stored: list[dict], size: tuple[int, int], vocabulary: Vocabulary) -> BoxList:
        """The objects, with their masks uint8 [N, 1, H, W] as large as the image."""

        def mask(rows, size):
            return bitmaps([row["segmentation"] for row in rows], size)

        return decode_objects(stored, size, lambda row: coco_mask.toBbox(row["segmentation"]).tolist(), mask=mask)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


INSTANCE = register_task(Instance())
