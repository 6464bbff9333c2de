"""PASCAL VOC: boxes from XML and, where an image has them, instance masks and a semantic map from PNG."""

import difflib
import logging
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage
from maskrcnn_benchmark.data.image_file import image_size, read_labels
from maskrcnn_benchmark.data.preparation.check_images import is_safe_name
from maskrcnn_benchmark.data.xml_file import read_xml
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import printable
from maskrcnn_benchmark.utils.text_file import read_text_file

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

# VOC's own first
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".bmp", ".tif", ".tiff")
# A line of a list may end with whether a class is in the image, and be a path, with either kind of slashes
_FLAG = re.compile(r"\s+-?[01]$")
_FOLDER = re.compile(r"^(.*/)?(JPEGImages|Annotations)/")
_SUFFIX = re.compile(r"\.(jpe?g|png|bmp|tiff?|xml)$", re.IGNORECASE)
_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}

logger = logging.getLogger(__name__)

_OBJECTS = {"object", "bndbox", "box", "polygon"}  # in other formats, in any case
VOID = 255  # the border around objects, and what is too unclear to label


class VOCImage(AnnotatedImage):
    """One image of a `PascalVOCDataset`. Objects are those of the XML file, difficult ones as "iscrowd"."""

    dataset: "PascalVOCDataset"

    @property
    def has_objects(self) -> bool:
        """Whether it has an XML file: those of the test images of 2012 are secret."""
        return self.dataset.split != "test" or self.path("Annotations").is_file()

    @cached_property
    def is_segmented(self) -> bool:
        return self.path("SegmentationClass").is_file()

    @property
    def has_masks(self) -> bool:
        return self.has_objects and self.is_segmented and self.path("SegmentationObject").is_file()

    @cached_property
    def size(self) -> tuple[int, int]:
        return self.content["size"]

    @cached_property
    def content(self) -> dict[str, Any]:
        """{"size": (width, height), "objects": list of (label, box, difficult), None without XML file}."""
        return self.dataset.content(self.index)

    @property
    def records(self) -> list[tuple[int, list[float], bool]]:
        """(label, [x1, y1, x2, y2], difficult) of each object."""
        return self.content["objects"] or []

    @cached_property
    def objects(self) -> BoxList | None:
        if self.content["objects"] is None:
            return None
        objects = _boxes(self.records, self.size)
        objects.add_field("iscrowd", objects.get_field("difficult"))
        return objects

    @cached_property
    def classes(self) -> np.ndarray:
        """The semantic map of a segmented image: uint8 [H, W], 0 background, 1..20 classes, IGNORE_INDEX void."""
        path = self.path("SegmentationClass")
        classes = _read_bytes(path, self.size)
        strange = classes[(classes >= len(self.dataset.CLASSES)) & (classes != VOID)]
        if len(strange):
            raise UserError(f"{path} holds the class {strange[0]}, but VOC has 0 to 20 and 255; take the original PNG")
        return np.where(classes == VOID, IGNORE_INDEX, classes).astype(np.uint8)

    @cached_property
    def masks(self) -> SegmentationMask | None:
        """The mask of each object, empty where it has no segment."""
        if not self.has_masks or self.objects is None:
            return None
        segments = _read_bytes(self.path("SegmentationObject"), self.size).astype(np.int32)
        segments[segments == VOID] = 0
        masks = torch.zeros((len(self.objects), *segments.shape), dtype=torch.uint8)
        for segment, owner in _match_segments(segments, self.classes, self.objects):
            masks[owner] = torch.from_numpy(segments == segment)
        return SegmentationMask(masks, self.size, mode="mask")

    def kept(self, boxes: BoxList) -> BoxList:
        """Boxes clipped to the image; training leaves out difficult objects and those without area."""
        if not self.dataset.keep_difficult:
            boxes = boxes[~boxes.get_field("difficult")]
        return boxes.clip_to_image(remove_empty=not self.dataset.keep_difficult)

    def path(self, folder: str) -> Path:
        """Its file in one of VOC's folders."""
        suffixes = {"JPEGImages": IMAGE_SUFFIXES, "Annotations": (".xml",)}.get(folder, (".png",))
        paths = [self.dataset.root / folder / f"{self.image_id}{suffix}" for suffix in suffixes]
        return next((path for path in paths if len(paths) > 1 and path.is_file()), paths[0])


class PascalVOCDataset(AnnotatedDataset):
    """Images of PASCAL VOC in its own layout: Annotations, ImageSets, JPEGImages, and SegmentationClass and -Object.

    Every image has boxes; about a seventh of the detection images are segmented as well. Objects are those of the XML
    file, since it says which are difficult and holds also objects of which no pixel was drawn: each gets the segment
    whose class is its own and whose extent overlaps its box best, one to one over all objects of the image. (Mostly
    that is the segment of its number, but files of other makers do not keep to that.) An object without a segment has
    an empty mask; on images that are not segmented nobody drew masks, so there is no such field.

    Attributes:
        CLASSES: names by label; 0 is the background.
        ids: image ids (str) in the order of the list of the split; id_to_img_map: index -> image id.
        vocabulary: the 20 classes; of a semantic map 21, as the background (value 0) is labelled, too.
    """

    CLASSES = (
        "__background__",
        *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    )

    layout = "voc"
    image_class = VOCImage

    def __init__(
        self,
        data_dir: str | os.PathLike,
        split: str,
        use_difficult: bool = False,
        transforms: Callable | None = None,
        tasks: Iterable[str] | None = None,
    ) -> None:
        """Open a data set.

        Args:
            data_dir: the folder of one year, such as VOC2007.
            split: name of a list in ImageSets/Main: "train", "val", "trainval" or "test".
            use_difficult: for testing: keep objects marked as difficult, which are neither required nor counted against
                a prediction, and objects without area. Training leaves both out.
            transforms: called as `transforms(image, annotations)`, or None.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; None wants all that VOC has.
        """
        self.root: Path = Path(data_dir)
        self.split = split
        self.keep_difficult = use_difficult
        self.transforms = transforms
        self.class_to_ind = {name: label for label, name in enumerate(self.CLASSES)}
        self.categories = dict(enumerate(self.CLASSES))
        self.vocabulary = Vocabulary(self.CLASSES[1:], ("background", *self.CLASSES[1:]))
        self.ids = self._read_list()
        self.id_to_img_map = dict(enumerate(self.ids))
        self._annotations: dict[str, dict[str, Any]] = {}
        self.open_readers(tasks)

    def get_img_info(self, index: int) -> dict[str, Any]:
        """{"height", "width" in pixels, "file_name" in JPEGImages, "image_id"} of an image, without opening it."""
        width, height = self.content(index)["size"]
        name = self.image_path(index).relative_to(self.root / "JPEGImages").as_posix()
        return {"height": height, "width": width, "file_name": name, "image_id": self.ids[index]}

    def image_path(self, index: int) -> Path:
        return self.image(index).path("JPEGImages")

    def map_class_id_to_class_name(self, class_id: int) -> str:
        """The name of a label."""
        return self.CLASSES[class_id]

    def get_groundtruth(self, index: int) -> BoxList:
        """The objects of the XML file: BoxList with labels int64 [N] and difficult bool [N]."""
        content = self.content(index)
        if content["objects"] is None:
            path = self.image(index).path("Annotations")
            raise UserError(f"no such annotation file: {path}; VOC keeps that of 2012 secret")
        boxes = _boxes(content["objects"], content["size"])
        return boxes if self.keep_difficult else boxes[~boxes.get_field("difficult")]

    def content(self, index: int) -> dict[str, Any]:
        """{"size": (width, height), "objects": list of (label, box, difficult)} of an image; read once.

        Objects are None for a test image without XML file: those of 2012 are secret.
        """
        image_id = self.ids[index]
        if image_id not in self._annotations:
            image = self.image(index)
            path = image.path("Annotations")
            if not path.is_file() and self.split == "test":
                self._annotations[image_id] = {"size": image_size(image.path("JPEGImages"), self.exif), "objects": None}
            else:
                root = read_xml(path)
                elements = _objects(root, path)
                size = _size(root) or image_size(image.path("JPEGImages"), self.exif)
                objects = [self._object(path, i, element, size) for i, element in enumerate(elements, 1)]
                self._annotations[image_id] = {"size": size, "objects": objects}
        return self._annotations[image_id]

    def _keep(self, indices: Sequence[int]) -> None:
        super()._keep(indices)
        self.id_to_img_map = dict(enumerate(self.ids))

    def _read_list(self) -> list[str]:
        path = self.root / "ImageSets" / "Main" / f"{self.split}.txt"
        if not path.is_file():
            there = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
            hint = f"; there are {', '.join(there)}" if there else "; unpack VOC's ImageSets there"
            raise UserError(f"no such list of images: {path}{hint}")
        # lists that were joined have byte order marks within
        lines = (line.strip() for line in read_text_file(path).replace("\ufeff", "").splitlines())
        names = [self._without_flag(line) for line in lines if line]
        if not names:
            raise UserError(f"{path} lists no image")
        ids = [_SUFFIX.sub("", _FOLDER.sub("", name.replace("\\", "/"))) for name in names]
        changed = [pair for pair in zip(names, ids) if pair[0] != pair[1]]
        if changed:
            (name, image_id), number = changed[0], len(changed)
            logger.warning(
                "%s: %d of its lines are not just a name, the first %s, read as %s; remove folders and suffixes",
                *(path, number, printable(name), printable(image_id)),
            )
        odd = [name for name in ids if not is_safe_name(name)]
        if odd:
            raise UserError(f"{path} lists '{printable(odd[0])}', which is no name of a file in JPEGImages; mend it")
        return ids

    def _without_flag(self, line: str) -> str:
        """A line of a list without the number at its end, unless the image is called so."""
        if not _FLAG.search(line) or (self.root / "Annotations" / f"{line}.xml").is_file():
            return line
        return _FLAG.sub("", line)

    def _object(self, path, number, element, size):
        """(label, [x1, y1, x2, y2] from 0 with the last pixel included, difficult) of an <object>."""
        where = f"{path}: object {number}"
        name = element.findtext("name", "").strip().lower()
        for field, is_there in (("name", name), ("bndbox", element.find("bndbox") is not None)):
            if not is_there:
                raise UserError(f"{where} has no <{field}>; add it or remove the object")
        label = self.class_to_ind.get(name, 0)
        if not label:
            near = difflib.get_close_matches(name, self.CLASSES[1:], 1)
            hint = f"did you mean {near[0]}?" if near else f"VOC's are {', '.join(self.CLASSES[1:])}"
            raise UserError(f"{where} has the class {name[:40]!r}, which is not one of VOC; {hint}")
        sides = ("xmin", "ymin", "xmax", "ymax")
        values = [element.findtext(f"bndbox/{side}") for side in sides]
        try:
            x1, y1, x2, y2 = (float(value) - 1 for value in values)  # VOC counts from 1
        except (TypeError, ValueError):
            raise UserError(f"{where}: its box {dict(zip(sides, values))} holds what is no number; mend it") from None
        flag = element.findtext("difficult", "").strip().lower()
        if flag not in _FLAGS:
            raise UserError(f"{where} has {printable(flag, 40)!r} as 'difficult', which is neither 0 nor 1; mend it")
        inside = x1 <= x2 and y1 <= y2 and x2 >= 0 and y2 >= 0 and x1 < size[0] and y1 < size[1]
        if not inside or not all(map(math.isfinite, (x1, y1, x2, y2))):
            raise UserError(
                f"{where} has the box {dict(zip(sides, values))}, of which nothing is in the image of "
                f"{size[0]}x{size[1]} pixels; mend or remove it"
            )
        return label, [x1, y1, x2, y2], _FLAGS[flag]


def _objects(root, path):
    """The <object>s of a file, which is refused where they are something else: it would be an image without objects."""
    found = root.findall("object")
    fault = ""
    if root.tag != "annotation":
        fault = f"its root is <{printable(root.tag, 40)}>"
    elif not found and any(element.tag.lower() in _OBJECTS for element in root.iter()):
        fault = "what it holds are no <object>s of its root"
    elif len(root) and not found and root.find("filename") is None and root.find("size") is None:
        fault = f"it holds <{printable(root[0].tag, 40)}>, but no <filename>, <size> or <object>"
    if fault:
        raise UserError(f"{path} is not a VOC annotation: {fault}; export it as PASCAL VOC, with a file for each image")
    return found


def _boxes(records: list[tuple[int, list[float], bool]], size: tuple[int, int]) -> BoxList:
    labels, boxes, difficult = zip(*records) if records else ((), (), ())
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), size)
    instances.add_field("labels", torch.tensor(labels, dtype=torch.int64))
    instances.add_field("difficult", torch.tensor(difficult, dtype=torch.bool))
    return instances


def _match_segments(objects, classes, instances):
    """Pairs (number of a segment, index of its object): one to one, of one class, with the largest overlaps in all.

    Args:
        objects: int32 [H, W], segments from 1, 0 where there is none.
        classes: uint8 [H, W].
        instances: BoxList with labels.
    """
    windows = find_objects(objects)
    segments = [number for number, window in enumerate(windows, 1) if window is not None]
    if not segments or not len(instances):
        return []
    places = [windows[number - 1] for number in segments]
    extents = [[x.start, y.start, x.stop - 1, y.stop - 1] for y, x in places]
    counts = np.bincount(objects.ravel() * 256 + classes.ravel(), minlength=256 * (len(windows) + 1)).reshape(-1, 256)
    counts[:, [0, IGNORE_INDEX]] = 0  # a segment's class is that of most of its labelled pixels
    of_class = counts[segments].argmax(1)
    overlap = boxlist_iou(BoxList(extents, instances.size), instances).numpy()
    overlap = overlap * (of_class[:, None] == instances.get_field("labels").numpy())
    pairs = zip(*linear_sum_assignment(overlap, maximize=True))
    return [(segments[row], owner) for row, owner in pairs if overlap[row, owner] > 0]


def _read_bytes(path, size):
    labels = read_labels(path, size)
    if labels.dtype != np.uint8:
        raise UserError(f"{path} has more than 8 bits per pixel; take VOC's own PNG")
    return labels


def _size(root):
    """(width, height) that the XML file gives, or None: some programs leave it out, or write 0 or nonsense."""
    texts = [root.findtext(f"size/{side}", "").strip() for side in ("width", "height")]
    if not all(text.isdecimal() and len(text) < 10 and int(text) for text in texts):
        return None
    width, height = map(int, texts)
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        return None
    return width, height
