"""COCO: boxes, instance masks and keypoints, from COCO's instances or person_keypoints files or any in their layout."""

import contextlib
import io
import os
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO

from maskrcnn_benchmark.data.coco.opening import open_coco_file
from maskrcnn_benchmark.data.coco.records import (
    ANYTHING,
    MIN_VISIBLE_KEYPOINTS,
    NO_KEYPOINTS,
    NOTHING,
    least_keypoints,
    plain_record,
)
from maskrcnn_benchmark.data.dataset import FILE_ROWS, HAS_MASK, AnnotatedDataset, AnnotatedImage
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.empty_masks import encloses_nothing
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.structures.run_length import RunLengths, from_polygons
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

SWAPPED_VISIBILITY = torch.tensor([0.0, 2.0, 1.0])  # COCO's 1 occluded, 2 visible are Detail's 2 and 1


class COCOImage(AnnotatedImage):
    """One image of a `COCODataset`. Objects are its records; crowds are left out in training."""

    dataset: "COCODataset"

    @property
    def has_objects(self) -> bool:
        return self.dataset.file.annotated

    @property
    def has_masks(self) -> bool:
        """Whether anybody drew masks: not on an image none of whose records has a segmentation."""
        if not self.has_objects or not self.dataset.file.has_masks:
            return False
        return any(self._drawn) or not self._drawn

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The rows of the file, polygons as arrays."""
        records = self.dataset.file.records(self.image_id)
        return [record for record in records if self.dataset.keep_crowd or not record.get("iscrowd", 0)]

    @cached_property
    def _drawn(self) -> list[bool]:
        """Of each record whether it has a mask that encloses something of the image."""
        found = (record.get("segmentation") for record in self.records)
        return [each is not None and not encloses_nothing(each, self.size) for each in found]

    @cached_property
    def objects(self) -> BoxList | None:
        if not self.has_objects:
            return None
        boxes = self.boxes_of(self.records)
        if self.has_masks and not all(self._drawn):
            boxes.add_field(HAS_MASK, torch.tensor(self._drawn, dtype=torch.bool))
        return boxes

    @cached_property
    def masks(self) -> SegmentationMask | None:
        """Polygons stay polygons unless one of the image's objects is run-length coded.

        Objects without a mask have an empty one, and the field "has_mask" of `objects` says so.
        """
        if not self.has_masks:
            return None
        name_of = self.dataset.file.name_of
        segmentations: list[Any] = [
            record["segmentation"] if drawn else [] for record, drawn in zip(self.records, self._drawn)
        ]
        if all(isinstance(segmentation, list) for segmentation in segmentations):
            return SegmentationMask(segmentations, self.size, mode="poly")
        encodings = [_encode(s, self.size) if isinstance(s, list) else s for s in segmentations]
        runs = RunLengths(encodings, self.size, lambda i: name_of(self.records[i]))
        return SegmentationMask(torch.from_numpy(runs.masks(range(len(encodings)))), self.size, mode="mask")

    def boxes_of(self, records: list[dict[str, Any]]) -> BoxList:
        """Boxes of records with labels and iscrowd; in testing also the field "coco_records", the rows of the file."""
        corners = torch.tensor([record["bbox"] for record in records], dtype=torch.float32).reshape(-1, 4)
        boxes = BoxList(corners, self.size, mode="xywh").convert("xyxy")
        labels = [self.dataset.json_category_id_to_contiguous_id[record["category_id"]] for record in records]
        boxes.add_field("labels", torch.tensor(labels, dtype=torch.int64))
        crowd = [bool(record.get("iscrowd", 0)) for record in records]
        boxes.add_field("iscrowd", torch.tensor(crowd, dtype=torch.bool))
        if self.dataset.keep_crowd:
            boxes.add_field(FILE_ROWS, [plain_record(record) for record in records])
        return boxes

    def kept(self, boxes: BoxList) -> BoxList:
        """Boxes clipped to the image; training also drops those without area."""
        return boxes.clip_to_image(remove_empty=not self.dataset.keep_crowd)


class COCODataset(AnnotatedDataset):
    """Images of COCO, or of any file in its layout.

    Every image of such a file is annotated: without a record, it holds no object. Only a file without a section
    `annotations`, such as COCO's lists of test images, knows nothing of its images.

    Attributes:
        ids: image ids, ascending; id_to_img_map: index -> image id.
        categories: {category id: name}; json_category_id_to_contiguous_id: {category id: label from 1, in the order of
            the file's table} and contiguous_category_id_to_json_id, its inverse.
        vocabulary: `Vocabulary`; joints are None where the file has no keypoints.
        left_out: how many images were left out and for which reasons, in words; "" for none.
    """

    layout = "coco"
    image_class = COCOImage

    def __init__(
        self,
        ann_file: str | os.PathLike,
        root: str | os.PathLike | None,
        remove_images_without_annotations: bool,
        transforms: Callable | None = None,
        tasks: Iterable[str] | None = None,
        keep_crowd: bool = False,
    ) -> None:
        """Open a data set.

        Args:
            ann_file: the JSON file, or an index of one, see `coco.opening.open_coco_file`.
            root: folder of the images, or None if only annotations are wanted.
            remove_images_without_annotations: leave out images without a box that is wider and higher than a pixel or,
                where keypoints are wanted and the records have some, with fewer labelled keypoints in all than 10/17
                of an object's: 10 of COCO's 17. Those from which a task per image can learn stay.
            transforms: called as `transforms(image, annotations)`, or None.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; None wants all that COCO has.
            keep_crowd: for testing: keep every record, `iscrowd` and those without area too, and the file's own rows as
                the field "coco_records". Training leaves those records out.
        """
        self.root = None if root is None else Path(root)
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"no such folder of images: {self.root}")
        self.file = open_coco_file(ann_file)
        self.transforms = transforms
        self.keep_crowd = keep_crowd
        self.categories = dict(self.file.categories)
        self.json_category_id_to_contiguous_id = {key: i + 1 for i, key in enumerate(self.categories)}
        self.contiguous_category_id_to_json_id = {i + 1: key for i, key in enumerate(self.categories)}
        keypoints = self.file.keypoints
        self.vocabulary = Vocabulary(
            thing_names=tuple(self.categories.values()),
            joints=keypoints.joints,
            keypoint_things=keypoints.names(self.categories),
        )
        self.ids = self.file.ordered_ids()
        if not self.ids:
            raise UserError(f"{self.file.path} lists no image; is it the whole file?")
        self.open_readers(tasks)
        self.left_out = ""
        if remove_images_without_annotations:
            self._leave_out_useless()
        self.id_to_img_map = dict(enumerate(self.ids))

    def _leave_out_useless(self) -> None:
        uses = self.file.uses_of(self.ids)
        if "keypoint" not in self.tasks:
            uses[uses == NO_KEYPOINTS] = ANYTHING
        others = self.tasks - self._region_tasks
        if others:
            uses[[self._teaches(index, others) for index in range(len(self.ids))]] = ANYTHING
        self.ids = list(compress(self.ids, uses == ANYTHING))
        joints = self.file.keypoints.joints
        reasons = {
            NOTHING: "without a box that is wider and higher than a pixel",
            NO_KEYPOINTS: f"with fewer than {least_keypoints(joints)} labelled keypoints "
            f"({MIN_VISIBLE_KEYPOINTS}/{len(COCO_JOINTS)} of an object's {len(joints or ())})",
        }
        counts = {words: np.count_nonzero(uses == code) for code, words in reasons.items()}
        self.left_out = " and ".join(f"{number} {words}" for words, number in counts.items() if number)
        if not self.ids:
            number = len(self.file.images)
            raise UserError(
                f"{self.file.path}: none of its {number} images has an annotation to learn from: {self.left_out}; "
                "DATALOADER.FILTER_EMPTY_ANNOTATIONS False keeps them"
            )

    def get_img_info(self, index: int) -> dict[str, Any]:
        """The image's row of the file, with {"height", "width" in pixels, "file_name", "id"} and "image_id"."""
        return {**self.file.images[self.ids[index]], "image_id": self.ids[index]}

    def image_sizes(self) -> np.ndarray:
        return self.file.sizes_of(self.ids)

    def object_labels(self, index: int) -> np.ndarray | None:
        """As the records say, boxes without area included."""
        if not self._region_tasks or not self.file.annotated:
            return None
        label_of = self.json_category_id_to_contiguous_id
        records = self.file.records(self.ids[index])
        return np.array([label_of[r["category_id"]] for r in records if not r.get("iscrowd", 0)], np.int64)

    def category_ids(self) -> dict[int, Any]:
        return dict(self.contiguous_category_id_to_json_id)

    @cached_property
    def coco(self) -> COCO:
        """The file as pycocotools' `COCO`, for code that works with that; computed lazily."""
        coco = COCO()
        coco.dataset = {
            "images": list(self.file.images.values()),
            "categories": self.file.category_rows,
            "annotations": [plain_record(row) for key in self.file.images for row in self.file.records(key)],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco


def _encode(polygons: list[Any], size: tuple[int, int]) -> dict[str, Any]:
    """Polygons of one object as a run-length code; those of fewer than three points enclose nothing."""
    polygons = [list(polygon) for polygon in polygons if len(polygon) >= 6]
    return from_polygons(polygons, size) if polygons else {"size": [size[1], size[0]], "counts": [size[0] * size[1]]}
