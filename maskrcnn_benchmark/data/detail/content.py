"""What an annotation file of PASCAL in Detail holds, on its way into an index."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.detail.checks import Tables, check_image, check_tables
from maskrcnn_benchmark.data.detail.record_rows import ImageRows
from maskrcnn_benchmark.data.preparation.check_values import is_size
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.scan import Scan
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES


class DetailScan(Scan):
    """The first pass over a file of PASCAL in Detail, see `Scan`.

    Attributes:
        categories: {category_id: {"name", "supercategory", "onlysemantic", "parts": [part_id, ...]}} in file order.
        parts: {part_id: {"name", "superpart"}} in file order.
        number_of_records: how many records name an image.
        occlusion_base: 0 or 1, the number of the first pixel in the occlusion chains.
    """

    LAYOUT = "detail"
    TABLES = ("images", "categories", "parts")
    SECTIONS = tuple(SECTION_TABLES)
    KEYS = {
        "images": {"image_id", "file_name", "width", "height", "phase", "date_captured"},
        "categories": {"category_id", "name", "supercategory", "onlysemantic", "parts"},
        "parts": {"part_id", "name", "superpart"},
        "annos_segmentation": {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "parts"},
        "annos_boundary": {"image_id", "boundary_mask"},
        "annos_occlusion": {"image_id", "ne", "imsize", "edges"},
        "annos_joints": {"image_id", "person_id", "category_id", "bbox", "num_keypoints", "keypoints"},
    }
    ID_KEYS = {"annos_segmentation": "id", "annos_joints": "person_id"}

    def __init__(self, path: str | os.PathLike, progress: bool = False) -> None:
        self.number_of_records = 0
        self._chains: list[tuple] = []  # (image_id, smallest, largest, imsize) of each occlusion record
        super().__init__(path, progress)

    def read_tables(self, rows: Mapping[str, list]) -> None:
        (self.images, self.categories, self.parts), problems = check_tables(*(rows[name] for name in self.TABLES))
        self.problems += problems
        self.occlusion_base = self._find_occlusion_base()
        del self._chains

    def note(self, section: str, record: dict[str, Any]) -> None:
        self.number_of_records += 1
        if section == "annos_occlusion":
            self._chains.append((record["image_id"], *_range_of(record), record.get("imsize")))

    def _find_occlusion_base(self):
        """0 or 1: the number of the first pixel in the chains.

        The format does not say. An index of 0 proves the one, an index of height * width the other; without proof it
        is 0, as the official API reads it.
        """
        proofs = set()
        for image_id, smallest, largest, size in self._chains:
            image = self.images.get(image_id)
            if image is None or smallest is None:
                continue
            size = size or [image.get("height"), image.get("width")]
            if not is_size(size):
                continue  # the checks of image and record say what is wrong with them
            pixels = size[0] * size[1]
            if smallest == 0:
                proofs.add(0)
            if largest == pixels:
                proofs.add(1)
        if len(proofs) == 2:
            what = "occlusion chains are numbered from 0 and from 1"
            self.tell(what, "annos_occlusion", "kept: all are read as from 0")
        return 1 if proofs == {1} else 0


class DetailContent:
    """The rows of an index of PASCAL in Detail.

    Args:
        source: the JSON file.
        images: folder of the images, to check them, or None.
        progress: show a bar while the file is scanned.

    Attributes:
        scan: the `DetailScan`.
    """

    layout = "detail"

    def __init__(self, source: Path, images: Path | None, progress: bool) -> None:
        self.scan = DetailScan(source, progress)
        self._images = images
        names = {key: part["name"] for key, part in self.scan.parts.items()}
        self._tables = Tables(self.scan.categories, names, self.scan.occlusion_base)
        self._positions = {image_id: position for position, image_id in enumerate(self.scan.images)}
        self._pairs: dict[Any, int] = {}
        self._image_rows: list[tuple] = []
        self._has_records = False

    def rows_of(self, ids: list[Any]) -> tuple[dict[str, list], list[Problem]]:
        """({table: rows}, list of `Problem`) of several images, for `completed`."""
        rows: dict[str, list] = {}
        problems: list[Problem] = []
        with open(self.scan.path, "rb") as file:
            for image_id in ids:
                image = self.scan.images[image_id]
                records, found = check_image(image, self.scan.records(file, image_id), self._tables, self._images)
                problems += found
                if records is None:
                    continue
                made = ImageRows(self._positions[image_id], image, records, self._tables)
                problems += made.problems
                for table, more in made.rows.items():
                    rows.setdefault(table, []).extend(more)
        return rows, problems

    def completed(self, rows: dict[str, list]) -> dict[str, list]:
        """`rows` but for those of "images", which are kept back so that opening an index reads them in one go."""
        self._image_rows += [(*row[:-1], self._numbers(row[-1])) for row in rows.pop("images", ())]
        self._has_records |= any(rows.values())
        return rows

    def tables(self) -> dict[str, list]:
        """{table: rows} of the tables, once all images are completed."""
        categories = [
            (key, i, row["name"], row["supercategory"], int(row["onlysemantic"]), json.dumps(row["parts"]))
            for i, (key, row) in enumerate(self.scan.categories.items())
        ]
        parts = [(key, i, row["name"], row["superpart"]) for i, (key, row) in enumerate(self.scan.parts.items())]
        pairs = [(number, *pair) for pair, number in self._pairs.items()]
        return {"images": self._image_rows, "categories": categories, "parts": parts, "category_parts": pairs}

    def nothing_left(self) -> str | None:
        """What is wrong with a file of which nothing can be used, in words, or None."""
        if not self._image_rows:
            return "no image of it can be used"
        if self.scan.number_of_records and not self._has_records:
            return f"none of its {self.scan.number_of_records} records can be used"
        return None

    def meta(self) -> dict[str, Any]:
        """What the table "meta" holds beside that of every layout."""
        return {"occlusion_base": self.scan.occlusion_base}

    def _numbers(self, pairs):
        numbers = [self._pairs.setdefault(pair, len(self._pairs)) for pair in pairs]
        return np.array(numbers, "<u4").tobytes()


def _range_of(record):
    """(smallest, largest) pixel number of an occlusion record's chains, None for one that has none or is damaged."""
    try:
        chains = [chain for chain in record["edges"]["indices"] if chain]
        return (min(map(min, chains)), max(map(max, chains))) if chains else (None, None)
    except (TypeError, KeyError):
        return None, None
