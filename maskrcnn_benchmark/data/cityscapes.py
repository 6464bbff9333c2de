"""Cityscapes in its own layout: instance masks from bitmaps or polygons, and the semantic map of 19 classes."""

import os
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import find_objects

from maskrcnn_benchmark.data.cityscapes_labels import GROUP, PER_LABEL, SEMANTIC, instance_classes
from maskrcnn_benchmark.data.coco.records import FARTHEST
from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage
from maskrcnn_benchmark.data.image_file import image_size, read_labels
from maskrcnn_benchmark.data.json_file import read_json
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

IMAGE = "_leftImg8bit.png"
ANNOTATIONS = {"mask": "instanceIds.png", "poly": "polygons.json"}
LABELS = "labelIds.png"


class CityScapesImage(AnnotatedImage):
    """One image of a `CityScapesDataset`: objects and groups, from bitmaps or polygons."""

    dataset: "CityScapesDataset"
    has_objects = has_masks = True

    @property
    def label_path(self) -> Path:
        """Its *_labelIds.png."""
        return self.dataset.beside(self.index, LABELS)

    @property
    def records(self) -> list[dict[str, Any]]:
        """{"label", "is_group", "box", "shape"} of each object.

        Those of bitmaps are in the order of their numbers, the shape being a window and what is visible in it; those
        of polygons in the order of drawing, the shape being their points.
        """
        return self._bitmaps if self.dataset.mode == "mask" else self._polygons

    @cached_property
    def objects(self) -> BoxList:
        boxes = torch.from_numpy(np.array([record["box"] for record in self.records], np.float32).reshape(-1, 4))
        objects = BoxList(boxes.trunc(), self.size)
        objects.add_field("labels", torch.tensor([record["label"] for record in self.records], dtype=torch.int64))
        objects.add_field("iscrowd", torch.tensor([record["is_group"] for record in self.records], dtype=torch.bool))
        return objects

    @cached_property
    def masks(self) -> SegmentationMask:
        if self.dataset.mode == "poly":
            polygons = [[np.ravel(record["shape"]).tolist()] for record in self.records]
            return SegmentationMask(polygons, self.size, mode="poly")
        masks = torch.zeros((len(self.records), self.size[1], self.size[0]), dtype=torch.uint8)
        for mask, record in zip(masks, self.records):
            window, visible = record["shape"]
            mask[window] = torch.from_numpy(visible)
        return SegmentationMask(masks, self.size, mode="mask")

    def kept(self, boxes: BoxList) -> BoxList:
        """Boxes of the least area wanted, clipped to the image; training leaves out groups and those without area."""
        x1, y1, x2, y2 = boxes.bbox.unbind(1)
        keep = (x2 - x1) * (y2 - y1) >= self.dataset.min_area
        if not self.dataset.keep_crowd:
            keep &= ~boxes.get_field("iscrowd")
        return boxes[keep].clip_to_image(remove_empty=not self.dataset.keep_crowd)

    @cached_property
    def _bitmaps(self) -> list[dict[str, Any]]:
        known = self.dataset.cityscapesID_to_ind
        found = read_instance_ids(self.dataset.ann_paths[self.index], self.size, known)
        rows = zip(found["classes"], found["groups"], found["boxes"], found["masks"])
        return [{"label": known[n], "is_group": group, "box": box, "shape": mask} for n, group, box, mask in rows]

    @cached_property
    def _polygons(self) -> list[dict[str, Any]]:
        path, known = self.dataset.ann_paths[self.index], self.dataset.name_to_id
        content = read_polygons(path)
        if (content["imgWidth"], content["imgHeight"]) != self.size:
            raise UserError(
                f"{path} is for an image of {content['imgWidth']}x{content['imgHeight']} pixels, but the image has "
                f"{self.size[0]}x{self.size[1]}; take both from the same release"
            )
        found = []
        for drawn in content["objects"]:
            name, points = drawn["label"].removesuffix(GROUP), drawn["polygon"]
            if name in known:
                box = (*np.min(points, 0), *np.max(points, 0))
                found.append({"label": known[name], "is_group": name != drawn["label"], "box": box, "shape": points})
        return found


class CityScapesDataset(AnnotatedDataset):
    """Images of Cityscapes.

    Groups ("cargroup", ...), in which nobody told the objects apart, are left out of training; testing has them as
    `iscrowd`.

    Attributes:
        CLASSES: names by label; 0 is the background. name_to_id and id_to_name map them.
        img_paths, ann_paths: files of each image.
        ids: names of the images, such as "aachen_000000_000019"; id_to_img_map: index -> name.
        vocabulary: classes of instances, and the 19 of the semantic map.
    """

    layout = "cityscapes"
    image_class = CityScapesImage

    def __init__(
        self,
        img_dir: str | os.PathLike,
        ann_dir: str | os.PathLike,
        split: str,
        mode: str = "mask",
        transforms: Callable | None = None,
        min_area: float = 0,
        mini: int | None = None,
        tasks: Iterable[str] | None = None,
        keep_crowd: bool = False,
        evaluated_only: bool = False,
    ) -> None:
        """Open a data set.

        Args:
            img_dir: folder leftImg8bit, in which each split has a folder per city.
            ann_dir: folder gtFine (or gtCoarse), the same.
            split: "train", "val" or "test".
            mode: where boxes and masks come from: "mask", what is visible of an object, from *_instanceIds.png; "poly",
                its outline, also where something is in front, from *_polygons.json.
            transforms: called as `transforms(image, annotations)`, or None.
            min_area: objects whose box (width - 1 times height - 1) is smaller are left out.
            mini: evenly spread over the split, take no more than about so many images.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; None wants all that Cityscapes has.
            keep_crowd: for testing: keep groups and objects without area; training leaves both out.
            evaluated_only: the eight classes that the benchmark evaluates, without caravan and trailer.
        """
        if mode not in ANNOTATIONS:
            raise ValueError(f"mode must be one of {', '.join(ANNOTATIONS)}, not {mode!r}")
        self.root, self.ann_dir = Path(img_dir) / split, Path(ann_dir) / split
        self.mode = mode
        self.split = split
        self.transforms = transforms
        self.min_area = int(min_area)
        self.keep_crowd = keep_crowd
        classes = instance_classes(evaluated_only)
        self.CLASSES = ["__background__", *classes.values()]
        self.name_to_id = {name: label for label, name in enumerate(self.CLASSES)}
        self.id_to_name = dict(enumerate(self.CLASSES))
        self.cityscapesID_to_ind = {number: self.name_to_id[name] for number, name in classes.items()}
        self.vocabulary = Vocabulary(tuple(classes.values()), tuple(name for _, name in SEMANTIC))
        self._use(self._find_images(mini))
        self._sizes: dict[int, tuple[int, int]] = {}
        self.open_readers(tasks)

    def get_img_info(self, idx: int) -> dict[str, Any]:
        """{"height", "width" in pixels, "idx", "img_path", "ann_path", "file_name" below the split, "image_id"}."""
        path = self.img_paths[idx]
        if idx not in self._sizes:
            self._sizes[idx] = image_size(path, self.exif)
        width, height = self._sizes[idx]
        return {
            "height": height,
            "width": width,
            "idx": idx,
            "img_path": str(path),
            "ann_path": str(self.ann_paths[idx]),
            "file_name": str(path.relative_to(self.root)),
            "image_id": self.ids[idx],
        }

    def leave_out_empty(self) -> int:
        """Drop the images without an object to learn from, in training. Returns how many.

        Polygons tell it, also in the mode "mask": decoding every bitmap would take minutes.
        """
        kept = [path for idx, path in enumerate(self.img_paths) if self._has_objects(idx)]
        number = len(self.img_paths) - len(kept)
        if not kept:
            raise UserError(f"{self.root}: none of its {number} images has an object to learn from")
        self._use(kept)
        self._sizes = {}
        return number

    def beside(self, index: int, ending: str) -> Path:
        """Another of the files that Cityscapes gives for an image."""
        path = self.ann_paths[index]
        return path.with_name(path.name.removesuffix(ANNOTATIONS[self.mode]) + ending)

    def _find_images(self, mini):
        paths = sorted(self.root.glob(f"*/*{IMAGE}"))
        if not paths:
            raise UserError(f"no image {self.root}/CITY/*{IMAGE}; unpack Cityscapes' leftImg8bit there")
        return paths if mini is None else paths[:: len(paths) // mini + 1]

    def _use(self, img_paths):
        self.img_paths = list(img_paths)
        self.ids = [path.name.removesuffix(IMAGE) for path in self.img_paths]
        self.id_to_img_map = dict(enumerate(self.ids))
        self.ann_paths = [self._annotation_of(path, name) for path, name in zip(self.img_paths, self.ids)]

    def _annotation_of(self, path, name):
        """The annotation file of an image, of gtFine or gtCoarse."""
        folder, ending = self.ann_dir / path.parent.name, ANNOTATIONS[self.mode]
        candidates = [folder / f"{name}_{kind}_{ending}" for kind in ("gtFine", "gtCoarse")]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            raise UserError(f"{path} has no annotation {candidates[0]}; unpack Cityscapes' gtFine there")
        return found

    def _has_objects(self, idx: int) -> bool:
        path = self.beside(idx, ANNOTATIONS["poly"])
        if path.is_file():
            return any(obj["label"] in self.name_to_id for obj in read_polygons(path)["objects"])
        labels = np.unique(read_labels(self.ann_paths[idx]) // PER_LABEL)
        return bool(np.isin(labels, list(self.cityscapesID_to_ind)).any())


def read_instance_ids(path: str | os.PathLike, size: tuple[int, int], classes: Collection[int]) -> dict[str, list]:
    """The objects of an *_instanceIds.png, in the order of their numbers.

    Args:
        path: the file.
        size: (width, height) of the image.
        classes: numbers of the classes that are wanted.

    Returns:
        {"classes": list of class numbers, "groups": list of bool, "boxes": list of [x1, y1, x2, y2], tight and with the
        last pixel, "masks": list of (window as two slices, bool array of the window)}.
    """
    ids = read_labels(path, size).astype(np.int32)
    limit = PER_LABEL * (max(classes) + 1)
    if ids.min() < 0 or ids.max() >= limit:
        ids = np.where((ids >= 0) & (ids < limit), ids, 0)
    present = np.flatnonzero(np.bincount(ids.ravel(), minlength=limit))
    number = np.where(present < PER_LABEL, present, present // PER_LABEL)
    present, number = (values[np.isin(number, list(classes))] for values in (present, number))
    table = np.zeros(limit, np.int32)
    table[present] = np.arange(1, len(present) + 1)
    ranks = table[ids]
    windows = find_objects(ranks)
    return {
        "classes": number.tolist(),
        "groups": (present < PER_LABEL).tolist(),
        "boxes": [[x.start, y.start, x.stop - 1, y.stop - 1] for y, x in windows],
        "masks": [(window, ranks[window] == rank) for rank, window in enumerate(windows, 1)],
    }


def read_polygons(path: str | os.PathLike) -> dict[str, Any]:
    """A *_polygons.json without what was deleted: {"imgWidth", "imgHeight", "objects": [{"label", "polygon"}, ...]}."""
    content = read_json(path, required=("imgWidth", "imgHeight", "objects"))
    objects = content["objects"]
    if not isinstance(objects, list) or not all(isinstance(obj, dict) for obj in objects):
        raise UserError(f"{path}: 'objects' must be a list of objects; fetch the file again")
    objects = [obj for obj in objects if not obj.get("deleted", 0)]
    for i, obj in enumerate(objects):
        if not isinstance(obj.get("label"), str) or not _is_polygon(obj.get("polygon")):
            raise UserError(f"{path}: object {i} needs a 'label' and a 'polygon' [[x, y], ...]; fetch the file again")
    return {**content, "objects": objects}


def _is_polygon(points):
    try:
        points = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return points.ndim == 2 and points.shape[1] == 2 and len(points) > 0 and bool((np.abs(points) <= FARTHEST).all())
