"""PASCAL VOC: boxes from XML and, where an image has them, instance masks and a semantic map from PNG."""

import difflib
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.data.image_file import image_size, read_image, read_labels
from maskrcnn_benchmark.data.label_sources import further_labels, open_label_sources
from maskrcnn_benchmark.data.xml_file import read_xml
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

VOID = 255  # the border around objects, and what is too unclear to label
TASKS = frozenset(("detection", "instance", "semantic"))


class PascalVOCDataset(torch.utils.data.Dataset):
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

    def __init__(self, data_dir, split, use_difficult=False, transforms=None, tasks=None):
        """Open a data set.

        Args:
            data_dir: the folder of one year, such as VOC2007.
            split: name of a list in ImageSets/Main: "train", "val", "trainval" or "test".
            use_difficult: for testing: keep objects marked as difficult, which are neither required nor counted against
                a prediction, and objects without area. Training leaves both out.
            transforms: called as `transforms(image, annotations)`, or None.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; None wants all that VOC has.
        """
        self.root = Path(data_dir)
        self.split = split
        self.keep_difficult = use_difficult
        self.transforms = transforms
        own = TASKS if tasks is None else TASKS & set(tasks)
        self.class_to_ind = {name: label for label, name in enumerate(self.CLASSES)}
        self.categories = dict(enumerate(self.CLASSES))
        self.vocabulary = Vocabulary(self.CLASSES[1:], ("background", *self.CLASSES[1:]))
        self.ids = self._read_list()
        self.id_to_img_map = dict(enumerate(self.ids))
        self._annotations = {}
        self.label_readers = open_label_sources(self, tasks)
        self.tasks = own.union(self.label_readers)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, idx):
        """(image, annotations, idx): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        info = self.get_img_info(idx)
        image = read_image(self._path("JPEGImages", idx), (info["width"], info["height"]))
        annotations = self.get_annotations(idx)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, idx

    def get_img_info(self, idx):
        """{"height", "width" in pixels, "file_name" in JPEGImages, "image_id"} of an image, without opening it."""
        width, height = self._read(idx)["size"]
        return {"height": height, "width": width, "file_name": f"{self.ids[idx]}.jpg", "image_id": self.ids[idx]}

    def leave_out_unannotated(self):
        """Drop the images from which none of the wanted tasks can learn: the semantic map is on segmented images only,
        and an added task's label where its source has one. Returns how many.
        """
        number = len(self.ids)
        if self.tasks and not self.tasks & {"detection", "instance"}:
            kept = [self._teaches(idx) for idx in range(number)]
            self.ids = [image_id for image_id, keep in zip(self.ids, kept) if keep]
            self.id_to_img_map = dict(enumerate(self.ids))
        return number - len(self.ids)

    def map_class_id_to_class_name(self, class_id):
        """The name of a label."""
        return self.CLASSES[class_id]

    def get_groundtruth(self, idx):
        """The objects of the XML file: BoxList with labels int64 [N] and difficult bool [N]."""
        boxes = self._objects(idx)
        return boxes if self.keep_difficult else boxes[~boxes.get_field("difficult")]

    def get_annotations(self, idx):
        """`ImageAnnotations` of an image in its own pixels, without opening the image.

        Difficult objects have the field "iscrowd", too: every measure then passes over them.
        """
        size = self._read(idx)["size"]
        instances = semantic = None
        segmented = self._path("SegmentationClass", idx).is_file()
        classes = None
        if segmented and self.tasks & {"instance", "semantic"}:
            classes = self._read_classes(idx, size)
        if "semantic" in self.tasks and segmented:
            semantic = SemanticMap(torch.from_numpy(classes))
        if self.tasks & {"detection", "instance"} and self._read(idx)["objects"] is not None:
            instances = self._objects(idx)
            instances.add_field("iscrowd", instances.get_field("difficult"))
            if "instance" in self.tasks and segmented and self._path("SegmentationObject", idx).is_file():
                instances.add_field("masks", self._read_masks(idx, instances, classes))
            if not self.keep_difficult:
                instances = instances[~instances.get_field("difficult")]
            instances = instances.clip_to_image(remove_empty=not self.keep_difficult)
        further = further_labels(self, idx)
        return ImageAnnotations(size, instances=instances, semantic=semantic, image_id=self.ids[idx], labels=further)

    def _teaches(self, idx):
        """Whether an image is annotated for anything but boxes that is wanted."""
        segmented = "semantic" in self.tasks and self._path("SegmentationClass", idx).is_file()
        return segmented or bool(further_labels(self, idx))

    def _path(self, folder, idx):
        suffix = {"JPEGImages": ".jpg", "Annotations": ".xml"}.get(folder, ".png")
        return self.root / folder / f"{self.ids[idx]}{suffix}"

    def _read_list(self):
        path = self.root / "ImageSets" / "Main" / f"{self.split}.txt"
        if not path.is_file():
            there = sorted(p.stem for p in path.parent.glob("*.txt") if "_" not in p.stem)
            hint = f"; there are {', '.join(there)}" if there else "; unpack VOC's ImageSets there"
            raise UserError(f"no such list of images: {path}{hint}")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text at byte {error.start}; save it as UTF-8") from None
        ids = [line.split()[0] for line in lines if line.strip()]
        if not ids:
            raise UserError(f"{path} lists no image")
        return ids

    def _read(self, idx):
        """{"size": (width, height), "objects": list of (label, box, difficult)} of an image; read once.

        Objects are None for a test image without XML file: those of 2012 are secret.
        """
        image_id = self.ids[idx]
        if image_id not in self._annotations:
            path = self._path("Annotations", idx)
            if not path.is_file() and self.split == "test":
                self._annotations[image_id] = {"size": image_size(self._path("JPEGImages", idx)), "objects": None}
            else:
                root = read_xml(path)
                size = _size(root) or image_size(self._path("JPEGImages", idx))
                objects = [self._object(path, i, o, size) for i, o in enumerate(root.findall("object"), 1)]
                self._annotations[image_id] = {"size": size, "objects": objects}
        return self._annotations[image_id]

    def _object(self, path, number, element, size):
        """(label, [x1, y1, x2, y2] from 0 with the last pixel included, difficult) of an <object>."""
        where = f"{path}: object {number}"
        name = element.findtext("name", "").strip().lower()
        label = self.class_to_ind.get(name, 0)
        if not label:
            near = difflib.get_close_matches(name, self.CLASSES[1:], 1)
            hint = f"did you mean {near[0]}?" if near else f"VOC's are {', '.join(self.CLASSES[1:])}"
            raise UserError(f"{where} has the class {name[:40]!r}, which is not one of VOC; {hint}")
        sides = ("xmin", "ymin", "xmax", "ymax")
        values = [element.findtext(f"bndbox/{side}") for side in sides]
        try:
            x1, y1, x2, y2 = (float(value) - 1 for value in values)  # VOC counts from 1
            difficult = int(element.findtext("difficult") or 0) == 1
        except (TypeError, ValueError):
            raise UserError(
                f"{where}: its box {dict(zip(sides, values))} or 'difficult' is no number; mend it"
            ) from None
        inside = x1 <= x2 and y1 <= y2 and x2 >= 0 and y2 >= 0 and x1 < size[0] and y1 < size[1]
        if not inside or not all(map(math.isfinite, (x1, y1, x2, y2))):
            raise UserError(
                f"{where} has the box {dict(zip(sides, values))}, of which nothing is in the image of "
                f"{size[0]}x{size[1]} pixels; mend or remove it"
            )
        return label, [x1, y1, x2, y2], difficult

    def _objects(self, idx):
        annotation = self._read(idx)
        if annotation["objects"] is None:
            raise UserError(f"no such annotation file: {self._path('Annotations', idx)}; VOC keeps that of 2012 secret")
        labels, boxes, difficult = zip(*annotation["objects"]) if annotation["objects"] else ((), (), ())
        instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), annotation["size"])
        instances.add_field("labels", torch.tensor(labels, dtype=torch.int64))
        instances.add_field("difficult", torch.tensor(difficult, dtype=torch.bool))
        return instances

    def _read_classes(self, idx, size):
        """The semantic map: uint8 [H, W], 0 background, 1..20 classes, IGNORE_INDEX void."""
        path = self._path("SegmentationClass", idx)
        classes = _read_bytes(path, size)
        strange = classes[(classes >= len(self.CLASSES)) & (classes != VOID)]
        if len(strange):
            raise UserError(f"{path} holds the class {strange[0]}, but VOC has 0 to 20 and 255; take the original PNG")
        return np.where(classes == VOID, IGNORE_INDEX, classes).astype(np.uint8)

    def _read_masks(self, idx, instances, classes):
        """The mask of each object, empty where it has no segment: `SegmentationMask` of bitmaps."""
        objects = _read_bytes(self._path("SegmentationObject", idx), instances.size).astype(np.int32)
        objects[objects == VOID] = 0
        masks = torch.zeros((len(instances), *objects.shape), dtype=torch.uint8)
        for segment, owner in _match_segments(objects, classes, instances):
            masks[owner] = torch.from_numpy(objects == segment)
        return SegmentationMask(masks, instances.size, mode="mask")


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
