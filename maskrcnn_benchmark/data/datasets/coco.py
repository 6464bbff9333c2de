"""COCO: boxes, instance masks and keypoints, from COCO's instances or person_keypoints files or any in their layout."""

import contextlib
import io
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np
import torch
from pycocotools.coco import COCO

from maskrcnn_benchmark.data.coco.opening import open_coco_file
from maskrcnn_benchmark.data.coco.records import plain_record
from maskrcnn_benchmark.data.image_file import read_image
from maskrcnn_benchmark.data.label_sources import further_labels, open_label_sources
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, DETAIL_JOINTS, Keypoints, PersonKeypoints
from maskrcnn_benchmark.structures.run_length import RunLengths, from_polygons
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

TASKS = frozenset(("detection", "instance", "keypoint"))
SWAPPED_VISIBILITY = torch.tensor([0.0, 2.0, 1.0])  # COCO's 1 occluded, 2 visible are Detail's 2 and 1


class COCODataset(torch.utils.data.Dataset):
    """Images of COCO, or of any file in its layout.

    Every image of such a file was looked at: without a record, it holds no object. Only a file without a section
    `annotations`, such as COCO's lists of test images, knows nothing of its images.

    Attributes:
        ids: image ids, ascending; id_to_img_map: index -> image id.
        categories: {category id: name}; json_category_id_to_contiguous_id: {category id: label from 1, in the order of
            the file's table} and contiguous_category_id_to_json_id, its inverse.
        vocabulary: `Vocabulary`; joints are None where the file has no keypoints.
    """

    def __init__(
        self, ann_file, root, remove_images_without_annotations, transforms=None, tasks=None, keep_crowd=False
    ):
        """Open a data set.

        Args:
            ann_file: the JSON file, or an index of one, see `coco_opening.open_coco_file`.
            root: folder of the images, or None if only annotations are wanted.
            remove_images_without_annotations: leave out images without a box that is wider and higher than a pixel or,
                where the records have keypoints, with fewer than 10 labelled keypoints in all. Those that an added task
                has a label for stay (`label_sources`).
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
        own = TASKS if tasks is None else TASKS & set(tasks)
        self.keep_crowd = keep_crowd
        self.categories = dict(self.file.categories)
        self.json_category_id_to_contiguous_id = {key: i + 1 for i, key in enumerate(self.categories)}
        self.contiguous_category_id_to_json_id = {i + 1: key for i, key in enumerate(self.categories)}
        self.vocabulary = Vocabulary(thing_names=tuple(self.categories.values()), joints=self.file.joints)
        self.ids = self.file.ordered_ids()
        self.label_readers = open_label_sources(self, tasks)
        self.tasks = own.union(self.label_readers)
        if remove_images_without_annotations:
            kept = self.file.are_valid(self.ids)
            if self.label_readers:
                kept |= np.array([bool(further_labels(self, i)) for i in range(len(self.ids))], bool)
            self.ids = list(compress(self.ids, kept))
            if not self.ids:
                number = len(self.file.images)
                raise UserError(f"{self.file.path}: none of its {number} images has an annotation to learn from")
        self.id_to_img_map = dict(enumerate(self.ids))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, idx):
        """(image, annotations, idx): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        if self.root is None:
            raise UserError(f"{self.file.path} was opened without a folder of images; name one")
        info = self.get_img_info(idx)
        image = read_image(self.root / info["file_name"], (info["width"], info["height"]))
        annotations = self.get_annotations(idx)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, idx

    def get_img_info(self, idx):
        """The image's row of the file, with {"height", "width" in pixels, "file_name", "id"} and "image_id"."""
        return {**self.file.images[self.ids[idx]], "image_id": self.ids[idx]}

    def image_sizes(self):
        """int64 [N, 2]: width and height in pixels of all images."""
        return self.file.sizes_of(self.ids)

    def get_annotations(self, idx):
        """`ImageAnnotations` of an image in its own pixels, without opening the image.

        Testing finds in the field "coco_records" of instances and people the rows of the file (list of N dicts,
        polygons as lists of numbers), so that it can score against exactly what the file says.
        """
        info = self.get_img_info(idx)
        size = (info["width"], info["height"])
        further = further_labels(self, idx)
        if not self.tasks & TASKS or not self.file.annotated:
            return ImageAnnotations(size, image_id=info["image_id"], labels=further)
        records = self.file.records(info["image_id"])
        records = [record for record in records if self.keep_crowd or not record.get("iscrowd", 0)]
        instances = self._boxes(records, size)
        masks = self._masks(records, size) if "instance" in self.tasks else None
        if masks is not None:
            instances.add_field("masks", masks)
        people = None
        if self.file.joints is not None and "keypoint" in self.tasks:
            people = self._people([record for record in records if record.get("keypoints") is not None], size)
        instances = self._with_area(instances)
        return ImageAnnotations(size, instances, people, image_id=info["image_id"], labels=further)

    @cached_property
    def coco(self):
        """The file as pycocotools' `COCO`, for code that works with that; made when it is first asked for."""
        coco = COCO()
        coco.dataset = {
            "images": list(self.file.images.values()),
            "categories": self.file.category_rows,
            "annotations": [plain_record(row) for key in self.file.images for row in self.file.records(key)],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco

    def _boxes(self, records, size):
        boxes = torch.tensor([record["bbox"] for record in records], dtype=torch.float32).reshape(-1, 4)
        boxes = BoxList(boxes, size, mode="xywh").convert("xyxy")
        labels = [self.json_category_id_to_contiguous_id[record["category_id"]] for record in records]
        boxes.add_field("labels", torch.tensor(labels, dtype=torch.int64))
        crowd = [bool(record.get("iscrowd", 0)) for record in records]
        boxes.add_field("iscrowd", torch.tensor(crowd, dtype=torch.bool))
        if self.keep_crowd:
            boxes.add_field("coco_records", [plain_record(record) for record in records])
        return boxes

    def _with_area(self, boxes):
        """Boxes clipped to the image; training also drops those without area."""
        return boxes.clip_to_image(remove_empty=not self.keep_crowd)

    def _people(self, records, size):
        """The records that have keypoints: BoxList with labels (all 1) and keypoints."""
        joints = self.file.joints
        people = self._boxes(records, size)
        people.add_field("labels", torch.ones(len(records), dtype=torch.int64))
        keypoints = torch.tensor([record["keypoints"] for record in records], dtype=torch.float32)
        keypoints = keypoints.reshape(-1, len(joints), 3)
        if joints == COCO_JOINTS:
            keypoints = PersonKeypoints(keypoints, size)
        else:
            if joints == DETAIL_JOINTS:
                keypoints[..., 2] = SWAPPED_VISIBILITY[keypoints[..., 2].long().clamp(0, 2)]
            keypoints = Keypoints(keypoints, size, joints=joints)
        people.add_field("keypoints", keypoints)
        return self._with_area(people)

    def _masks(self, records, size):
        """Instance masks, or None where nobody drew any.

        Polygons stay polygons unless one of the image's objects is run-length coded.
        """
        segmentations = [record.get("segmentation") for record in records]
        without = [i for i, segmentation in enumerate(segmentations) if segmentation is None]
        if not self.file.has_masks or (without and len(without) == len(records)):
            return None
        if without:
            name = self.file.name_of(records[without[0]])
            raise UserError(f"{name} has no segmentation, but others of its image have; add it or turn masks off")
        if all(isinstance(segmentation, list) for segmentation in segmentations):
            return SegmentationMask(segmentations, size, mode="poly")
        encodings = [_encode(s, size) if isinstance(s, list) else s for s in segmentations]
        runs = RunLengths(encodings, size, lambda i: self.file.name_of(records[i]))
        return SegmentationMask(torch.from_numpy(runs.masks(range(len(records)))), size, mode="mask")


def _encode(polygons, size):
    """Polygons of one object as a run-length code; those of fewer than three points enclose nothing."""
    polygons = [list(polygon) for polygon in polygons if len(polygon) >= 6]
    return from_polygons(polygons, size) if polygons else {"size": [size[1], size[0]], "counts": [size[0] * size[1]]}
