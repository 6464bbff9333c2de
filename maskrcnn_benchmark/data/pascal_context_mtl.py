"""PASCAL-Context with five tasks, as the archives of multi-task papers hold it (`PASCAL_MT`, `PASCALContext`)."""

import logging
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER
from maskrcnn_benchmark.data.json_file import read_json
from maskrcnn_benchmark.data.mat_file import read_mat
from maskrcnn_benchmark.data.mtl_files import IMAGES, SPLITS, Folder, MTLDataset, MTLImage
from maskrcnn_benchmark.data.pascal_context_labels import MOST_CLASSES, NORMALS_CLASSES
from maskrcnn_benchmark.data.pascal_parts import Objects, PartFiles, has_part_pixels
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.mask_windows import MaskWindows, ObjectWindows
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.run_length import RunLengths, parts_on_top
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.once import OncePerRun

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

VOC12, CONTEXT, LABEL_MAP, PARTS = "voc12", "context", "label map", "parts"

logger = logging.getLogger(__name__)
_TOLD = OncePerRun("no index")
_HAS_NORMALS = np.zeros(MOST_CLASSES + 1, bool)
_HAS_NORMALS[list(NORMALS_CLASSES)] = True


class PascalContextMTLImage(MTLImage):
    """One image of a `PascalContextMTLDataset`. Objects are those of PASCAL-Part that have a pixel."""

    dataset: "PascalContextMTLDataset"

    @property
    def has_objects(self) -> bool:
        return self.file(PARTS) is not None

    @property
    def has_masks(self) -> bool:
        return self.has_objects

    @property
    def has_parts(self) -> bool:
        """Whether a part of a person has a pixel: an image without any is not annotated for parts."""
        return self.has_objects and self.dataset.parts.has_parts(self.image_id)

    @property
    def semantic_path(self) -> Path | None:
        """VOC 2012's class map where VOC labelled the image, else that derived from PASCAL-Context."""
        return self.file(VOC12) or self.file(CONTEXT)

    def map_file(self, kind: str) -> Path | None:
        # where a normal holds is told by the label map alone
        return None if kind == "normals" and self.file(LABEL_MAP) is None else super().map_file(kind)

    @cached_property
    def label_map(self) -> np.ndarray:
        """PASCAL-Context's class of each pixel: integers [H, W], 1..459, 0 for none."""
        path = self.file(LABEL_MAP)
        if path is None:
            raise UserError(f"image {self.image_id} has no label map; ask `file` first")
        labels = read_mat(path, "LabelMap")
        if labels.ndim != 2 or labels.dtype.kind not in "uif":
            raise UserError(f"{path}: its LabelMap is no map of classes; unpack it again")
        self._check_size(path, labels.shape)
        if not ((labels >= 0) & (labels <= MOST_CLASSES)).all():
            raise UserError(f"{path} holds a class beyond PASCAL-Context's {MOST_CLASSES}; unpack it again")
        return labels.astype(np.uint16)

    def valid_normals(self) -> np.ndarray | None:
        """Where the class is one that NYUD-v2 has, too: of others, normals were not learnt. bool [H, W]."""
        return None if self.file(LABEL_MAP) is None else _HAS_NORMALS[self.label_map]

    @cached_property
    def records(self) -> Objects:
        """Objects as `pascal_parts.read_objects` gives them, with a pixel."""
        path = self.file(PARTS)
        found = [] if path is None else self.dataset.parts.objects(self.image_id)
        for record in found:
            self._check_size(path, record["mask"]["size"])
        boxes = self._runs_of([record["mask"] for record in found]).bounding_boxes()
        return [record for record, box in zip(found, boxes) if box[0] >= 0]

    @cached_property
    def objects(self) -> BoxList | None:
        if not self.has_objects:
            return None
        boxes = self._masks.bounding_boxes()
        objects = BoxList(torch.from_numpy(boxes), self.size)
        labels = [record["label"] for record in self.records]
        objects.add_field("labels", torch.tensor(labels, dtype=torch.int64))
        objects.add_field("iscrowd", torch.zeros(len(labels), dtype=torch.bool))
        return objects

    @cached_property
    def masks(self) -> SegmentationMask | None:
        if not self.has_objects:
            return None
        number = len(self.records)
        pixels, windows = self._masks.windows(np.arange(number), np.arange(number), np.ones(number), number)
        return SegmentationMask.of_windows(MaskWindows(torch.from_numpy(pixels), windows, self.size))

    @property
    def part_masks(self) -> PartMask | None:
        """The six parts of persons; None where no person has a part in sight.

        Of parts that overlap the later one holds, in file order, over all persons. Where any person has parts all
        objects count as annotated, so that a person without is background, as in the protocol's one map.
        """
        parts = [(i, label, code) for i, record in enumerate(self.records) for label, code in record["parts"]]
        if not has_part_pixels(self.records):
            return None
        owners, labels, codes = zip(*parts)
        pixels, windows = parts_on_top(self._runs_of(codes), owners, labels, len(self.records))
        annotated = torch.ones(len(self.records), dtype=torch.bool)
        maps = ObjectWindows(torch.from_numpy(pixels), windows, self.size)
        return PartMask.of_windows(maps, annotated, self.dataset.vocabulary.parts)

    @cached_property
    def _masks(self) -> RunLengths:
        return self._runs_of([record["mask"] for record in self.records])

    def _runs_of(self, codes):
        path = self.file(PARTS)
        return RunLengths(codes, self.size, lambda i: f"{path}, mask {i}")

    def _check_size(self, path, shape):
        if tuple(shape) != self.size[::-1]:
            raise UserError(
                f"{path} is for an image of {shape[1]}x{shape[0]} pixels, but {self.image_id} has "
                f"{self.size[0]}x{self.size[1]}; take both from the same archive"
            )


class PascalContextMTLDataset(MTLDataset):
    """Images of VOC 2010 with 21 semantic classes, parts of persons, boundaries, saliency and surface normals.

    The protocol is that of Maninis et al. (ASTMT, CVPR 2019). Saliency and normals are the predictions of other
    networks. Beyond the protocol there are the boxes and masks of PASCAL-Part, from which its map of parts is painted.

    Attributes:
        vocabulary: the 20 classes as things, of the semantic map 21 with the background, and "person6".
        parts: the `PartFiles`.
    """

    layout = "pascal_context_mtl"
    image_class = PascalContextMTLImage
    FOLDERS = {
        IMAGES: Folder("JPEGImages", (".jpg",)),
        VOC12: Folder("semseg/VOC12", (".png",)),
        CONTEXT: Folder("semseg/pascal-context", (".png",)),
        LABEL_MAP: Folder("pascal-context/trainval", (".mat",)),
        PARTS: Folder("human_parts", (".mat",)),
        "saliency": Folder("sal_distill", (".png",)),
        "normals": Folder("normals_distill", (".png",)),
    }
    MAPS = ("saliency", "normals")
    NEEDS = {
        "semantic": ((VOC12,), (CONTEXT,)),
        "part": ((PARTS,),),
        "saliency": (("saliency",),),
        "normals": (("normals", LABEL_MAP),),
        "boundary": ((LABEL_MAP,),),
    }
    LISTS = "ImageSets/Context"
    ARCHIVE = "PASCAL_MT.tgz or PASCALContext.tar.gz"

    CLASSES = OFFICIAL_ORDER[:20]  # of things, from label 1 on
    vocabulary = Vocabulary(CLASSES, ("background", *CLASSES), parts=PartSet.from_names("person6", {}))

    def _prepare(self) -> None:
        known = {}
        for split in SPLITS[self.split]:
            path = self.data_dir / "ImageSets" / "Parts" / f"{split}.txt"
            if path.is_file():
                known.update(_read_class_lists(path))
        self.parts = PartFiles(self.data_dir / self.FOLDERS[PARTS].name, known)

    def _tell_missing(self, tasks: Iterable[str] | None) -> None:
        super()._tell_missing(tasks)
        reads_parts = self._suffixes[PARTS] and self.tasks & {"part", "instance", "detection"}
        if self.parts.index is None and reads_parts and _TOLD.is_first("no index"):
            logger.info(
                "%s: objects and parts are read from .mat files, some 15 ms for each person; `make data PASCAL_MT=%s` "
                "makes an index of them that takes a tenth",
                *(self.data_dir, self.data_dir),
            )


def _read_class_lists(path: Path) -> dict[str, list[int]]:
    """{name of an image: class 1..20 of each of its objects} of the list that other loaders write."""
    lists = read_json(path, required=())
    if not isinstance(lists, dict) or not all(
        isinstance(labels, list) and all(isinstance(label, int) for label in labels) for labels in lists.values()
    ):
        raise UserError(f"{path} is no list of the classes of each image's objects; remove it")
    return lists
