"""COCO panoptic: objects, masks and a semantic map from a JSON file and a folder of PNGs whose colours are segments."""

import os
from array import array
from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import find_objects

from maskrcnn_benchmark.data.coco.records import is_name
from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage
from maskrcnn_benchmark.data.image_file import read_colours
from maskrcnn_benchmark.data.preparation.check_values import is_id, other_type, shown
from maskrcnn_benchmark.data.preparation.other_files import refuse_other_file
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.mask_windows import MaskWindows, enclosing_window
from maskrcnn_benchmark.structures.panoptic_map import MOST_IDS, ids_of_colours, numbered
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import JsonStream
from maskrcnn_benchmark.utils.text import counted

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

SECTIONS = ("images", "categories", "annotations")


class Segments(NamedTuple):
    """The S segments that the file lists of an image.

    Attributes:
        ids: int32 [S], of their pixels in the PNG.
        classes: uint8 [S], places of their categories in the file.
        is_crowd: bool [S].
    """

    ids: np.ndarray
    classes: np.ndarray
    is_crowd: np.ndarray


class COCOPanopticFile:
    """A JSON file of COCO panoptic, checked as it is read; of its segments 6 bytes each are kept.

    Args:
        path: the file. Its sections may come in any order.
        folder: of the PNGs.

    Attributes:
        path, folder: as given.
        images: {image id: its row, with file_name, width and height} in file order.
        categories: {category id: its row, with name and isthing} in file order.
        pictures: {image id: name of its PNG} of those that are annotated.

    Raises:
        UserError: the file is missing, is of another kind, or has an entry that cannot be used; PNGs are missing.
    """

    def __init__(self, path: str | os.PathLike, folder: str | os.PathLike) -> None:
        self.path, self.folder = Path(path), Path(folder)
        if not self.path.is_file():
            raise UserError(f"no such annotation file: {self.path}")
        if not self.folder.is_dir():
            raise UserError(f"{self.path} has its segments in PNGs, but there is no folder {self.folder}; put it there")
        self.images: dict[Any, dict[str, Any]] = {}
        self.categories: dict[Any, dict[str, Any]] = {}
        self.pictures: dict[Any, str] = {}
        self._numbers: dict[Any, int] = {}  # {image id: which of the annotated images it is}
        self._ids, self._crowds, self._starts = array("i"), array("b"), array("q", [0])
        self._categories: list[Any] = []
        try:
            self._read()
        except UserError:
            refuse_other_file(self.path, "coco_panoptic")
            raise
        places = {key: place for place, key in enumerate(self.categories)}
        self._classes = np.array([places[key] for key in self._categories], np.uint8)
        del self._categories

    def segments(self, image_id: Any) -> Segments | None:
        """Those of an image; None where it is not annotated."""
        number = self._numbers.get(image_id)
        if number is None:
            return None
        chosen = slice(self._starts[number], self._starts[number + 1])
        ids, crowds = np.frombuffer(self._ids, np.int32), np.frombuffer(self._crowds, np.int8)
        return Segments(ids[chosen], self._classes[chosen], crowds[chosen] > 0)

    def _read(self):
        readers = dict(zip(SECTIONS, (self._add_image, self._add_category, self._add_segments)))
        seen = set()
        with open(self.path, "rb") as file:
            stream = JsonStream(self.path, file)
            for section in stream.members("the file"):
                seen.add(section)
                if section not in readers:
                    stream.skip(f"{section!r}")
                    continue
                for number, (_, _, row) in enumerate(stream.elements(lambda number: f"entry {number}")):
                    if not isinstance(row, dict):
                        raise self._error(section, number, f"is {shown(row)}; each must be an object")
                    readers[section](number, row)
        missing = next((section for section in SECTIONS if section not in seen), None)
        if missing:
            raise UserError(f"{self.path} has no section {missing!r}; is it another kind of file?")
        if len({row["name"] for row in self.categories.values()}) < len(self.categories):
            raise UserError(f"{self.path}: two of its 'categories' have the same name; give each its own")
        if len(self.categories) > IGNORE_INDEX:
            raise UserError(
                f"{self.path} has {len(self.categories)} categories, more than the {IGNORE_INDEX} of a semantic map"
            )
        for what, found, known in (
            ("image", self._numbers, self.images),
            ("category", self._categories, self.categories),
        ):
            strange = next((key for key in found if key not in known), None)
            if strange is not None:
                raise UserError(
                    f"{self.path}: an annotation has the {what} {shown(strange)}, which the file does not list"
                    f"{other_type(strange, known)}; add it or remove the entry"
                )
        there = set(os.listdir(self.folder))
        lost = [name for name in self.pictures.values() if name not in there]
        if lost:
            raise UserError(
                f"{self.folder} lacks {counted(len(lost), 'PNG')} of {len(self.pictures)}, such as {lost[0]}; unpack "
                "the archive again"
            )

    def _add_image(self, number, row):
        self._check_id("images", number, row, self.images)
        for key in ("width", "height"):
            if type(row.get(key)) is not int or row[key] < 1:
                raise self._error("images", number, f"has the {key} {shown(row.get(key))}; write its size in pixels")
        if not is_name(row.get("file_name")):
            raise self._error("images", number, f"has the file_name {shown(row.get('file_name'))}; give a file's name")
        self.images[row["id"]] = row

    def _add_category(self, number, row):
        self._check_id("categories", number, row, self.categories)
        if not is_name(row.get("name")):
            raise self._error("categories", number, f"has the name {shown(row.get('name'))}; give it a text")
        if row.get("isthing") not in (0, 1):
            raise self._error("categories", number, f"has the isthing {shown(row.get('isthing'))}; it must be 0 or 1")
        self.categories[row["id"]] = row

    def _add_segments(self, number, row):
        name, segments = row.get("file_name"), row.get("segments_info")
        self._check_id("annotations", number, row, self._numbers, "image_id")
        if not is_name(name) or set(name) & set("/\\\0"):
            raise self._error("annotations", number, f"has the file_name {shown(name)}; give the name of its PNG")
        if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
            raise self._error("annotations", number, f"has the segments_info {shown(segments)}; it must be a list")
        ids = set()
        for segment in segments:
            key, crowd = segment.get("id"), segment.get("iscrowd", 0)
            if type(key) is not int or not 0 < key < MOST_IDS or key in ids:
                words = f"has the segment {shown(key)}; ids are different numbers from 1 to {MOST_IDS - 1}"
                raise self._error("annotations", number, words)
            if not is_id(segment.get("category_id")) or crowd not in (0, 1):
                raise self._error("annotations", number, f"has the segment {shown(segment)}; give it a category_id")
            ids.add(key)
            self._ids.append(key)
            self._crowds.append(crowd)
            self._categories.append(segment["category_id"])
        self._numbers[row["image_id"]] = len(self._numbers)
        self.pictures[row["image_id"]] = name
        self._starts.append(len(self._ids))

    def _check_id(self, section, number, row, known, key="id"):
        if not is_id(row.get(key)):
            raise self._error(section, number, f"has the {key} {shown(row.get(key))}; give a whole number or a text")
        if row[key] in known:
            raise self._error(section, number, f"has the {key} {shown(row[key])} a second time; keep one")

    def _error(self, section, number, words):
        return UserError(f"{self.path}: entry {number} of {section!r} {words}")


class COCOPanopticImage(AnnotatedImage):
    """One image of a `COCOPanopticDataset`. Objects are the segments of things, in file order."""

    dataset: "COCOPanopticDataset"

    @cached_property
    def segments(self) -> Segments:
        """What the file lists, of an image that is annotated."""
        return self.dataset.file.segments(self.image_id)

    @property
    def has_objects(self) -> bool:
        return self.image_id in self.dataset.file.pictures

    @property
    def has_masks(self) -> bool:
        return self.has_objects

    @cached_property
    def places(self) -> np.ndarray:
        """int32 [H, W]: k + 1 of the pixels of segment k, 0 of void."""
        path = self.dataset.file.folder / self.dataset.file.pictures[self.image_id]
        places, unlisted = numbered(ids_of_colours(read_colours(path, self.size)), self.segments.ids.tolist())
        if unlisted is not None:
            raise UserError(
                f"{path} has pixels of the segment {unlisted}, which {self.dataset.file.path} does not list; take both "
                "from the same release"
            )
        return places

    @cached_property
    def records(self) -> list[tuple[int, tuple[slice, slice]]]:
        """(place among the segments, window that holds it) of each segment of a thing that has a pixel."""
        wanted = self.dataset.labels[self.segments.classes] > 0
        if not self.dataset.keep_crowd:
            wanted &= ~self.segments.is_crowd
        windows = find_objects(self.places, len(wanted))
        return [(k, windows[k]) for k in np.flatnonzero(wanted).tolist() if windows[k] is not None]

    @cached_property
    def objects(self) -> BoxList | None:
        if not self.has_objects:
            return None
        corners = [(x.start, y.start, x.stop - 1, y.stop - 1) for _, (y, x) in self.records]
        chosen = [k for k, _ in self.records]
        objects = BoxList(torch.tensor(corners, dtype=torch.float32).reshape(-1, 4), self.size)
        objects.add_field("labels", torch.from_numpy(self.dataset.labels[self.segments.classes[chosen]]))
        objects.add_field("iscrowd", torch.from_numpy(self.segments.is_crowd[chosen]))
        return objects

    @cached_property
    def masks(self) -> SegmentationMask | None:
        if not self.has_objects:
            return None
        pixels, windows = [np.empty(0, np.uint8)], []
        for k, (y, x) in self.records:
            left, top, width, height = enclosing_window(x.start, y.start, x.stop - x.start, y.stop - y.start, self.size)
            patch = self.places[top : top + height, left : left + width] == k + 1
            pixels.append(patch.view(np.uint8).reshape(-1))
            windows.append((left, top, width, height))
        return SegmentationMask.of_windows(MaskWindows(torch.from_numpy(np.concatenate(pixels)), windows, self.size))

    @property
    def semantic(self) -> np.ndarray | None:
        """uint8 [H, W]: the place of the category, of things, crowds and stuff, `IGNORE_INDEX` where void."""
        if not self.has_objects:
            return None
        return np.append(np.uint8(IGNORE_INDEX), self.segments.classes)[self.places]


class COCOPanopticDataset(AnnotatedDataset):
    """Images of COCO panoptic, or of any data set in its format.

    Attributes:
        file: the `COCOPanopticFile`.
        ids: image ids, ascending.
        labels: int64 [C], of each category its label as a thing, from 1 on in file order, 0 of stuff.
        vocabulary: the categories that are things, and all of them as semantic classes.
    """

    layout = "coco_panoptic"
    image_class = COCOPanopticImage

    def __init__(
        self,
        ann_file: str | os.PathLike,
        root: str | os.PathLike | None,
        panoptic_dir: str | os.PathLike | None = None,
        transforms: Callable | None = None,
        tasks: Iterable[str] | None = None,
        keep_crowd: bool = False,
    ) -> None:
        """Open a data set.

        Args:
            ann_file: the JSON file, such as panoptic_val2017.json.
            root: folder of the images, or None if only annotations are wanted.
            panoptic_dir: folder of the PNGs; by default that beside the file under its name without suffix.
            transforms: called as `transforms(image, annotations)`, or None.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; None wants all that the layout has.
            keep_crowd: for testing: keep crowds among the objects; training leaves them out.
        """
        self.root = None if root is None else Path(root)
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"no such folder of images: {self.root}")
        path = Path(ann_file).absolute()
        folder = path.with_suffix("") if panoptic_dir is None else Path(panoptic_dir).absolute()
        self.file = _open(path, folder, path.stat().st_mtime_ns if path.is_file() else None)
        self.transforms = transforms
        self.keep_crowd = keep_crowd
        rows = self.file.categories
        is_thing = np.array([row["isthing"] for row in rows.values()], np.int64)
        self.labels = np.cumsum(is_thing) * is_thing
        self.vocabulary = Vocabulary(
            tuple(row["name"] for row in rows.values() if row["isthing"]), tuple(row["name"] for row in rows.values())
        )
        self.ids = sorted(self.file.images, key=lambda image_id: (isinstance(image_id, str), image_id))
        if not self.ids:
            raise UserError(f"{self.file.path} lists no image; is it the whole file?")
        self.open_readers(tasks)

    def get_img_info(self, index: int) -> dict[str, Any]:
        """The image's row of the file, with {"height", "width" in pixels, "file_name", "id"} and "image_id"."""
        return {**self.file.images[self.ids[index]], "image_id": self.ids[index]}

    def object_labels(self, index: int) -> np.ndarray | None:
        """As the file lists them, without a look at the PNG."""
        segments = self.file.segments(self.ids[index])
        if not self._region_tasks or segments is None:
            return None
        labels = self.labels[segments.classes[~segments.is_crowd]]
        return labels[labels > 0]

    def leave_out_empty(self) -> int:
        """Drop the images without an object to learn from, in training. Returns how many."""
        kept = [index for index in range(len(self)) if self._has_object(self.file.segments(self.ids[index]))]
        number = len(self) - len(kept)
        if not kept:
            raise UserError(f"{self.file.path}: none of its {number} images has an object to learn from")
        self._keep(kept)
        return number

    def category_ids(self) -> dict[int, Any]:
        return {label: key for label, key in zip(self.labels.tolist(), self.file.categories) if label}

    def class_ids(self) -> dict[str, Any]:
        return {row["name"]: key for key, row in self.file.categories.items()}

    def _has_object(self, segments):
        return segments is not None and bool((self.labels[segments.classes[~segments.is_crowd]] > 0).any())


@lru_cache(maxsize=4)  # training and test file, each perhaps of two parts
def _open(path, folder, modified):
    return COCOPanopticFile(path, folder)
