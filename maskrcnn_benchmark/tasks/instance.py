"""Instance segmentation: a mask for every object."""

from collections.abc import Mapping
from typing import Any

from pycocotools import mask as coco_mask

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
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None and annotations.instances.has_field("masks")

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

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
