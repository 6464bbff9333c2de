"""COCO: boxes, instance masks and the keypoints of people, from COCO's instances or person_keypoints files."""

from collections import defaultdict
from pathlib import Path

import torch

from maskrcnn_benchmark.data.datasets.image_file import read_image
from maskrcnn_benchmark.data.datasets.json_file import read_json
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, PersonKeypoints
from maskrcnn_benchmark.structures.run_length import RunLengths, from_polygons
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

MIN_VISIBLE_KEYPOINTS = 10  # an image with fewer in all is no use for training keypoints (Detectron's rule)
TASKS = frozenset(("detection", "instance", "keypoint"))


class COCODataset(torch.utils.data.Dataset):
    """Images of COCO, or of any file in its layout.

    Every image of such a file was looked at: without a record, it holds no object.

    Attributes:
        ids: image ids, ascending; id_to_img_map: index -> image id.
        categories: {category id: name}; json_category_id_to_contiguous_id: {category id: label from 1} and
            contiguous_category_id_to_json_id, its inverse.
        vocabulary: `Vocabulary`; joints are None where the file has no keypoints.
    """

    def __init__(
        self, ann_file, root, remove_images_without_annotations, transforms=None, tasks=None, keep_crowd=False
    ):
        """Open a data set.

        Args:
            ann_file: the JSON file.
            root: folder of the images.
            remove_images_without_annotations: leave out images without a box that has an area or, in a file with
                keypoints, with fewer than 10 labelled keypoints in all.
            transforms: called as `transforms(image, annotations)`, or None.
            tasks: keys of `multitask.tasks.TASKS` whose annotations are wanted; None wants all that COCO has.
            keep_crowd: keep `iscrowd` records, which testing ignores and training leaves out.
        """
        self.root = Path(root)
        if not self.root.is_dir():
            raise UserError(f"no such folder of images: {self.root}")
        self.path = Path(ann_file)
        content = read_json(self.path, required=("images", "annotations", "categories"))
        self.transforms = transforms
        self.tasks = TASKS if tasks is None else TASKS & set(tasks)
        self.keep_crowd = keep_crowd
        self._images = {image["id"]: image for image in content["images"]}
        self._records = defaultdict(list)
        for record in content["annotations"]:
            self._records[record["image_id"]].append(record)
        self._has_keypoints = any("keypoints" in record for record in content["annotations"])
        self._name_categories(content["categories"])
        self.ids = sorted(self._images)
        if remove_images_without_annotations:
            self.ids = [image_id for image_id in self.ids if self._is_useful(self._records.get(image_id, []))]
            if not self.ids:
                raise UserError(f"{self.path}: none of its {len(self._images)} images has an annotation to learn from")
        self.id_to_img_map = dict(enumerate(self.ids))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, idx):
        """(image, annotations, idx): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        info = self.get_img_info(idx)
        image = read_image(self.root / info["file_name"], (info["width"], info["height"]))
        annotations = self.get_annotations(idx)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, idx

    def get_img_info(self, idx):
        """The image's row of the file, with {"height", "width" in pixels, "file_name", "image_id"}."""
        row = self._images[self.ids[idx]]
        return {**row, "image_id": self.ids[idx]}

    def get_annotations(self, idx):
        """`ImageAnnotations` of an image in its own pixels, without opening the image."""
        info = self.get_img_info(idx)
        size = (info["width"], info["height"])
        records = [r for r in self._records.get(info["image_id"], []) if self.keep_crowd or not r.get("iscrowd", 0)]
        instances = self._boxes(records, size)
        if "instance" in self.tasks:
            instances.add_field("masks", self._masks(records, size))
        people = None
        if self._has_keypoints and "keypoint" in self.tasks:
            with_joints = [record for record in records if "keypoints" in record]
            people = self._boxes(with_joints, size)
            people.add_field("labels", torch.ones(len(with_joints), dtype=torch.int64))
            joints = torch.tensor([record["keypoints"] for record in with_joints], dtype=torch.float32)
            people.add_field("keypoints", PersonKeypoints(joints.reshape(-1, len(COCO_JOINTS.names), 3), size))
            people = self._with_area(people)
        instances = self._with_area(instances) if self.tasks else None
        return ImageAnnotations(size, instances=instances, people=people, image_id=info["image_id"])

    def _name_categories(self, rows):
        self.categories = {row["id"]: row["name"] for row in rows}
        ids = sorted(self.categories)
        self.json_category_id_to_contiguous_id = {category_id: i + 1 for i, category_id in enumerate(ids)}
        self.contiguous_category_id_to_json_id = {i + 1: category_id for i, category_id in enumerate(ids)}
        self.vocabulary = Vocabulary(
            thing_names=tuple(self.categories[category_id] for category_id in ids),
            semantic_names=(),
            image_label_names=(),
            parts=None,
            joints=COCO_JOINTS if self._has_keypoints else None,
        )

    def _is_useful(self, records):
        if not any(side > 1 for record in records for side in [min(record["bbox"][2:])]):
            return False
        visible = sum(v > 0 for record in records for v in record.get("keypoints", ())[2::3])
        return not self._has_keypoints or visible >= MIN_VISIBLE_KEYPOINTS

    def _boxes(self, records, size):
        boxes = torch.tensor([record["bbox"] for record in records], dtype=torch.float32).reshape(-1, 4)
        boxes = BoxList(boxes, size, mode="xywh").convert("xyxy")
        labels = [self._label(record) for record in records]
        boxes.add_field("labels", torch.tensor(labels, dtype=torch.int64))
        crowd = [bool(record.get("iscrowd", 0)) for record in records]
        boxes.add_field("iscrowd", torch.tensor(crowd, dtype=torch.bool))
        return boxes

    def _with_area(self, boxes):
        """Boxes clipped to the image; training also drops those without area."""
        return boxes.clip_to_image(remove_empty=not self.keep_crowd)

    def _label(self, record):
        label = self.json_category_id_to_contiguous_id.get(record["category_id"])
        if label is None:
            raise UserError(
                f"{self.path}: annotation {record.get('id')} of image {record['image_id']} has category "
                f"{record['category_id']!r}, which 'categories' does not list"
            )
        return label

    def _masks(self, records, size):
        """Instance masks. Polygons stay polygons unless one of the image's objects is run-length coded."""
        segmentations = [record.get("segmentation") for record in records]
        if all(isinstance(segmentation, list) for segmentation in segmentations):
            return SegmentationMask(segmentations, size, mode="poly")
        encodings = [from_polygons(s, size) if isinstance(s, list) else s for s in segmentations]
        runs = RunLengths(encodings, size, lambda i: f"{self.path}: annotation {records[i].get('id')}")
        return SegmentationMask(torch.from_numpy(runs.masks(range(len(records)))), size, mode="mask")
