"""Segments in COCO's panoptic format: a PNG of ids per image, and a JSON file that says what each id is.

The format is that of https://cocodataset.org/#format-results ("Panoptic Segmentation"): an id is R + 256 G + 256^2 B.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from maskrcnn_benchmark.prediction_files.layout import FileNames
from maskrcnn_benchmark.prediction_files.lists import (
    ListFile,
    PredictionList,
    Rows,
    is_number,
    kind_of,
    known_key,
    member,
    of_other_type,
)
from maskrcnn_benchmark.prediction_files.map_file import encode_map, read_picture
from maskrcnn_benchmark.prediction_files.maps import MapFile, check_array
from maskrcnn_benchmark.prediction_files.row_file import shown
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.panoptic_map import (
    MOST_IDS,
    NO_OBJECT,
    PanopticClasses,
    PanopticMap,
    colours_of_ids,
    ids_of_colours,
    numbered,
)
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import JsonStream

ANNOTATIONS, CATEGORIES = "annotations", "categories"


class IdMaps(MapFile):
    """Ids of segments, int32 [H, W], in RGB PNGs."""

    def check(self, array: Any, size: tuple[int, int] | None) -> None:
        check_array(array, size, np.dtype(np.int32), 1)

    def encode(self, array: np.ndarray) -> bytes:
        return encode_map(colours_of_ids(array))

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        return ids_of_colours(read_picture(path, size, np.dtype(np.uint8), 3, "panoptic maps").transpose(1, 2, 0))


class SegmentFile(ListFile):
    """Segments that do not overlap: {"images", "categories", "annotations": [{"image_id", "file_name",
    "segments_info": [{"id", "category_id", "isthing", "score", "area", "bbox": [x, y, width, height]}]}]}.

    The PNGs are in the folder that is called as the file without suffix. Stored and held are a `PanopticMap` of which
    each segment has a pixel and none an object or a crowd, of which files know nothing. Of files of others an entry
    needs image_id, file_name and of its segments id and category_id.
    """

    metavar = "FILE_OR_DIR"
    has_size = True
    is_one_per_image = True
    section = ANNOTATIONS

    def __init__(self, key: str, name: str = "", **more: Any) -> None:
        super().__init__(key, name, **more)
        self.maps = IdMaps(key, Path(self.name).stem)

    def open(self, path: str | os.PathLike, names: FileNames, all_classes: bool = False) -> PredictionList:
        return SegmentList(self, path, names)

    def folders(self, folder: Path) -> list[tuple[MapFile, Path]]:
        return [(self.maps, folder.with_suffix(""))]

    def layers(self, held: PanopticMap) -> list[tuple[MapFile, str, np.ndarray]]:
        return [(self.maps, self.maps.name, held.ids)]

    def around(self, names: FileNames, images: Sequence[Mapping]) -> tuple[str, str]:
        classes = PanopticClasses.of(names.vocabulary)
        categories = [
            {"id": names.class_ids[name], "name": name, "isthing": int(is_thing)}
            for name, is_thing in zip(classes.names, classes.is_thing)
        ]
        head = json.dumps({"images": list(images), CATEGORIES: categories}, separators=(",", ":"))
        return f'{head[:-1]},"{ANNOTATIONS}": [', "]}"

    def hold(self, output: Computed[PanopticMap]) -> PanopticMap:
        found = output.value.without_empty()
        unknown = np.full(len(found), NO_OBJECT), np.zeros(len(found), bool)
        return PanopticMap(found.ids, found.classes, unknown[0], found.scores, unknown[1])

    def rows(self, image: int | str, held: PanopticMap, names: FileNames) -> list[dict]:
        if not isinstance(held, PanopticMap):
            raise ValueError(f"is {kind_of(held)}, but its file holds a PanopticMap; see the task's `encode`")
        if len(held) >= MOST_IDS:
            raise ValueError(f"has {len(held)} segments, but files hold fewer than {MOST_IDS}")
        classes = PanopticClasses.of(names.vocabulary)
        segments = []
        for k, (y, x) in enumerate(find_objects(held.ids, len(held))):
            kind = int(held.classes[k])
            segment = {
                "id": k + 1,
                "category_id": names.class_ids[classes.names[kind]],
                "isthing": int(classes.is_thing[kind]),
                "score": float(held.scores[k]),
                "area": int(held.areas[k]),
                "bbox": [x.start, y.start, x.stop - x.start, y.stop - y.start],
            }
            segments.append(segment)
        return [{"image_id": image, "segments_info": segments}]

    def check(self, row: Mapping, index: int, opened: PredictionList) -> None:
        assert isinstance(opened, SegmentList)
        opened.check_row(row)

    def read(self, rows: Rows, index: int, opened: PredictionList) -> PanopticMap | None:
        """None for an image without an entry, which is one that is not annotated for the task."""
        assert isinstance(opened, SegmentList)
        return opened.read_row(*rows[0], opened.names.sizes[index]) if rows else None

    def decode(self, held: PanopticMap, size: tuple[int, int], vocabulary: Vocabulary) -> Computed[PanopticMap]:
        return Computed(lambda: held, size)


class SegmentList(PredictionList):
    """A file of segments, opened on the images of a data set.

    Args:
        kind: what the file is.
        path: the JSON file, whose PNGs are in the folder of its name or beside it; or the folder, whose JSON file is
            beside it under its name, or the only one in it.
        names: what files call the images and classes of the data set. Categories that the file names itself go by
            these names, others by the data set's numbers.

    Raises:
        UserError: for the first entry that is not as it must be, or whose PNG is missing.
    """

    def __init__(self, kind: SegmentFile, path: str | os.PathLike, names: FileNames) -> None:
        path = _file_at(Path(path))
        self._maps = kind.maps
        self.folder = path.with_suffix("") if path.with_suffix("").is_dir() else path.parent
        classes = PanopticClasses.of(names.vocabulary)
        self._places = {name: place for place, name in reversed(list(enumerate(classes.names)))}
        own = _own_categories(path)
        self._names = {names.class_ids[name]: name for name in classes.names} if own is None else own
        super().__init__(kind, path, names)

    def check_row(self, row: Mapping) -> None:
        """Raise `ValueError` for an entry that is not as it must be."""
        name = member(row, "file_name")
        if not isinstance(name, str) or not name or set(name) & set("/\\\0"):
            raise ValueError(f"has the file_name {shown(name)}; give the name of a PNG in {self.folder}")
        if not (self.folder / name).is_file():
            raise ValueError(f"has the PNG {name}, which is not in {self.folder}; put it there")
        segments = member(row, "segments_info")
        if not isinstance(segments, list) or not all(isinstance(segment, dict) for segment in segments):
            raise ValueError(f"has the segments_info {shown(segments)}; it must be a list of objects")
        ids = set[int]()
        for segment in segments:
            key = member(segment, "id")
            if type(key) is not int or not 0 < key < MOST_IDS:
                raise ValueError(f"has the segment {shown(key)}; ids are whole numbers from 1 to {MOST_IDS - 1}")
            if key in ids:
                raise ValueError(f"has the segment {key} a second time; keep one")
            ids.add(key)
            self._class(segment)
            if not is_number(segment.get("score", 1)):
                raise ValueError(f"has the score {shown(segment['score'])} of segment {key}; it must be a number")

    def read_row(self, number: int, row: Mapping, size: tuple[int, int]) -> PanopticMap:
        """The segments of an entry that was checked, of an image of (width, height)."""
        path, segments = self.folder / row["file_name"], row["segments_info"]
        ids = self._maps.read(path, size, self.names.vocabulary)
        places, unlisted = numbered(ids, [segment["id"] for segment in segments])
        if unlisted is not None:
            raise UserError(
                f"{path} has pixels of the segment {unlisted}, which segments_info of entry {number} in "
                f"{self.file.path} does not list; add it, or make them 0"
            )
        rows = [(self._class(each), NO_OBJECT, float(each.get("score", 1)), False) for each in segments]
        found = PanopticMap.of_rows(places, rows)
        if not found.areas.all():
            lost = segments[int(np.argmin(found.areas))]["id"]
            raise self.file.error(number, f"lists the segment {lost}, which has no pixel in {path}; remove it")
        return found

    def _class(self, segment):
        """The place of a segment's class."""
        value = member(segment, "category_id")
        key = known_key(value, self._names)
        if key is None:
            words = of_other_type(value, self._names) or f"which is none of the {len(self._names)} categories"
            raise ValueError(f"has the category_id {shown(value)}, {words}")
        name = self._names[key]
        if name not in self._places:
            raise ValueError(f"has the category_id {shown(value)} ({shown(name)}), which is no class of the data set")
        return self._places[name]


def _file_at(path: Path) -> Path:
    """The JSON file of `SegmentList`'s path."""
    if not path.is_dir():
        return path
    beside, within = path.parent / f"{path.name}.json", sorted(path.glob("*.json"))
    if not beside.is_file() and len(within) != 1:
        raise UserError(
            f"{path} has no segments_info: neither {beside} is there nor one JSON file in it; name the file"
        )
    return beside if beside.is_file() else within[0]


def _own_categories(path: Path) -> dict[int | str, str] | None:
    """{category id: name} of a file's own section; None where it has none."""
    if not path.is_file():
        return None  # the list says so
    with open(path, "rb") as file:
        stream = JsonStream(path, file)
        if stream.character() != "{":
            return None
        for section in stream.members("the file"):
            if section == CATEGORIES:
                return dict(_named(path, stream.value(f"{section!r}")[2]))
            stream.skip(f"{section!r}")
    return None


def _named(path: Path, rows: Any) -> Iterator[tuple[int | str, str]]:
    for row in rows if isinstance(rows, list) else [rows]:
        key, name = (row.get("id"), row.get("name")) if isinstance(row, dict) else (None, None)
        if not isinstance(key, int | str) or not isinstance(name, str):
            raise UserError(f"{path}: {CATEGORIES!r} has {shown(row)}; each must have an 'id' and a 'name'")
        yield key, name
