"""Evaluation of data sets that were written for the original library, which know pycocotools' `coco` but not ours."""

import torch
from torch.utils.data import Dataset

from maskrcnn_benchmark.evaluation.coco.rows import FILE_ROWS
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

OURS = ("get_img_info", "get_annotations", "vocabulary")
ORIGINAL = ("get_img_info", "coco", "id_to_img_map", "contiguous_category_id_to_json_id")


def as_evaluable(dataset):
    """The data set itself if it has this library's interface, else `OriginalDataset` of it.

    Raises `UserError` that names what is missing for either.
    """
    if all(hasattr(dataset, name) for name in OURS):
        return dataset
    missing = [name for name in ORIGINAL if not hasattr(dataset, name)]
    if missing:
        raise UserError(
            f"cannot evaluate on a {type(dataset).__name__}: it needs {', '.join(OURS)}, or as the original's "
            f"COCODataset {', '.join(ORIGINAL)}, and lacks {', '.join(missing)}"
        )
    return OriginalDataset(dataset)


class OriginalDataset(Dataset):
    """What evaluation asks for, from a data set in the manner of the original library's `COCODataset`.

    Args:
        dataset: has `__getitem__`, `get_img_info(index)`, `coco` (pycocotools' `COCO` or its like),
            `id_to_img_map` {index: image id} and `contiguous_category_id_to_json_id` {label: category id}.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.id_to_img_map = dataset.id_to_img_map
        self.contiguous_category_id_to_json_id = dataset.contiguous_category_id_to_json_id
        self._labels = {category: label for label, category in self.contiguous_category_id_to_json_id.items()}
        labels = range(1, len(self._labels) + 1)
        names = [dataset.coco.cats[self.contiguous_category_id_to_json_id[label]]["name"] for label in labels]
        has_joints = any("keypoints" in row for row in dataset.coco.anns.values())
        self.vocabulary = Vocabulary(thing_names=tuple(names), joints=COCO_JOINTS if has_joints else None)

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]

    def get_img_info(self, index):
        """As the data set says."""
        return self.dataset.get_img_info(index)

    def get_annotations(self, index):
        """`ImageAnnotations` with the file's rows, crowds included; people are those with joints."""
        info = self.get_img_info(index)
        size = (info["width"], info["height"])
        rows = self.dataset.coco.imgToAnns.get(self.id_to_img_map[index], [])
        people = None
        if self.vocabulary.joints is not None:
            people = self._boxes([row for row in rows if "keypoints" in row], size)
        return ImageAnnotations(size, self._boxes(rows, size), people, image_id=self.id_to_img_map[index])

    def _boxes(self, rows, size):
        boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32).reshape(-1, 4)
        boxes = BoxList(boxes, size, mode="xywh").convert("xyxy")
        boxes.add_field("labels", torch.tensor([self._labels[row["category_id"]] for row in rows], dtype=torch.int64))
        boxes.add_field(FILE_ROWS, rows)
        return boxes
