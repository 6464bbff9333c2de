"""The records of one image as rows of the index, and what of them cannot be a row."""

import math

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.preparation.joint_links import Link, link_people
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES
from maskrcnn_benchmark.utils.errors import UserError

PERSON = "person"
_ID_KEYS = ("id", "person_id")


def record_name(section, record):
    """The words by which a finding names a record: "annos_segmentation 12 of image 2008000002"."""
    number = next((record[key] for key in _ID_KEYS if key in record), None)
    return f"{section}{'' if number is None else f' {number}'} of image {record.get('image_id')}"


class ImageRows:
    """The rows of one image.

    Args:
        position: the image's place in the file, from 0.
        image: its row of "images".
        records: {section: records in file order}, already checked.
        tables: `checks.Tables`.

    Attributes:
        rows: {table: list of tuples in the order of `schema.COLUMNS`}; "images" has one row, with the pairs of category
            and part that occur in the place of their numbers.
        problems: list of `Problem`: records that fit no row, and people without one certain region.
    """

    def __init__(self, position, image, records, tables):
        self.image_id = image["image_id"]
        self.rows = {table: [] for table in (*SECTION_TABLES.values(), "part_masks")}
        self.problems = []
        self._tables = tables
        size = (image["height"], image["width"])
        kept = {
            section: [record for record in records.get(section, ()) if self._add(section, encode, record)]
            for section, encode in (
                ("annos_segmentation", self._add_region),
                ("annos_boundary", self._add_boundary),
                ("annos_occlusion", self._add_occlusion),
                ("annos_joints", self._add_joints),
            )
        }
        self._link(kept["annos_joints"], kept["annos_segmentation"], (image["width"], image["height"]))
        people = sum(self._is_person(record) for record in kept["annos_segmentation"])
        resized = sum((height, width) != size for _, _, height, width, _ in self.rows["boundary"])
        category_of = {row[1]: row[3] for row in self.rows["segmentation"]}
        pairs = sorted({(category_of[row[1]], row[3]) for row in self.rows["part_masks"]}, key=str)
        counts = [len(self.rows[table]) for table in ("segmentation", "joints", "boundary", "occlusion")]
        self.rows["images"] = [
            (
                *(self.image_id, position, image["file_name"], image["width"], image["height"], image.get("phase")),
                *(counts[0], people, counts[1], counts[2], resized, counts[3], pairs),
            )
        ]

    def _add(self, section, encode, record):
        """Add a record by `encode(position, record)`; whether it could be."""
        rows = self.rows[SECTION_TABLES[section]]
        try:
            rows.append((self.image_id, len(rows), *encode(len(rows), record)))
        except (TypeError, ValueError, OverflowError, KeyError, AttributeError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else error
            self._tell("a record cannot be read", f"{record_name(section, record)}: {reason}", "left out")
            return False
        return True

    def _add_region(self, position, record):
        mask, category_id = _mask(record["segmentation"]), _plain(record["category_id"], "category_id")
        where = record_name("annos_segmentation", record)
        self._add_parts(position, record, where)
        box = record.get("bbox")
        if box is not None and not _is_box(box):
            self._tell("bbox is not four numbers", where, "repaired: left out; the mask's box stands in for it")
            box = None
        number, crowd, area = (self._optional(record, key, where) for key in ("id", "iscrowd", "area"))
        return (
            number,
            category_id,
            crowd,
            area,
            *(box or [None] * 4),
            int(isinstance(record.get("parts"), list)),
            *mask,
        )

    def _add_parts(self, position, record, where):
        parts = record.get("parts")
        if parts is not None and not isinstance(parts, list):
            self._tell("parts are not a list", where, "left out")
            return
        rows = self.rows["part_masks"]
        number = 0
        for part in parts or ():
            try:
                row = (_plain(part["part_id"], "part_id"), *_mask(part["segmentation"]))
            except (TypeError, ValueError, OverflowError, KeyError) as error:
                reason = f"has no {error}" if isinstance(error, KeyError) else error
                self._tell("a part cannot be read", f"{where}: {reason}", "left out")
                continue
            rows.append((self.image_id, position, number, *row))
            number += 1

    def _add_boundary(self, position, record):
        return _mask(record["boundary_mask"])

    def _add_occlusion(self, position, record):
        edges = record["edges"]
        chains, labels = edges["indices"], _integers(edges["edgelabel"], "edgelabel")
        if not isinstance(chains, list):
            raise ValueError(f"its chains are a {type(chains).__name__}, not a list")
        chains = [_integers(chain, "a chain") for chain in chains]
        where = record_name("annos_occlusion", record)
        size = (None, None)
        if record.get("imsize") is not None:
            try:
                size = _size(record["imsize"])
            except (TypeError, ValueError, OverflowError):
                self._tell("imsize is not two numbers", where, "repaired: left out; the image's size stands in for it")
        lengths = np.array([len(chain) for chain in chains], "<i4")
        joined = np.concatenate(chains) if chains else np.zeros(0, "<i4")
        ne = self._optional(record, "ne", where)
        return (ne, *size, joined.tobytes(), lengths.tobytes(), labels.tobytes())

    def _add_joints(self, position, record):
        where = record_name("annos_joints", record)
        if not _is_box(record["bbox"]):
            raise ValueError("its bbox is not four numbers")
        if not isinstance(record["keypoints"], list) or not all(map(_is_number, record["keypoints"])):
            raise ValueError("its keypoints are not a list of finite numbers")
        keypoints = np.array(record["keypoints"], "<f8")
        ids = [self._optional(record, key, where) for key in ("person_id", "category_id")]
        number = self._optional(record, "num_keypoints", where)
        return (*ids, *record["bbox"], number, keypoints.tobytes())

    def _link(self, joints, regions, size):
        """Complete the rows of joints by the region of their person."""
        positions = [i for i, r in enumerate(regions) if self._is_person(r) and not r.get("iscrowd", 0)]
        try:
            links = link_people(joints, [regions[i] for i in positions], size) if joints else []
        except UserError as error:
            self._tell("joints are not tied to people", f"image {self.image_id}: {error}", "kept")
            links = [Link(None)] * len(joints)
        for number, (record, link) in enumerate(zip(joints, links)):
            where = record_name("annos_joints", record)
            position = None if link.instance is None else positions[link.instance]
            region = None if position is None else self.rows["segmentation"][position][2]
            if position is None:
                self._tell("joints without a matching person", where, "kept: tied to no region")
            elif link.ambiguous:
                self._tell("joints that match several people", where, f"kept: tied to annos_segmentation {region}")
            self.rows["joints"][number] += (position, region, int(link.ambiguous))

    def _is_person(self, record):
        return self._tables.categories.get(record["category_id"], {}).get("name") == PERSON

    def _optional(self, record, key, where):
        """`record[key]` where it is there and fits a column, else None."""
        try:
            return None if record.get(key) is None else _plain(record[key], key)
        except ValueError as error:
            self._tell(f"{key} is not a number", f"{where}: {error}", f"repaired: {key} left out")
            return None

    def _tell(self, what, where, action):
        self.problems.append(Problem(what, where, action, self.image_id))


def is_plain(value):
    """Whether a value can be an id: a text or a finite number of at most 64 bits."""
    if isinstance(value, bool | int):
        return -(2**63) <= value < 2**63
    return isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))


def _plain(value, key):
    if not is_plain(value):
        raise ValueError(f"its {key} is {repr(value)[:40]}")
    return value


def _is_number(value):
    return isinstance(value, int | float) and is_plain(value)


def _is_box(box):
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _mask(encoding):
    """(height, width, counts as text) of a run-length code. Raises `ValueError` for what is none."""
    try:
        (height, width), counts = _size(encoding["size"]), encoding["counts"]
    except (TypeError, KeyError, ValueError, OverflowError):
        expected = '{"size": [h, w], "counts": "..."}'
        raise ValueError(f"its mask is not {expected} but {repr(encoding)[:40]}") from None
    if isinstance(counts, list):
        if not all(isinstance(run, int) and 0 <= run < 2**32 for run in counts):
            raise ValueError("its mask has runs that are not numbers from 0")
        counts = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"].decode()
    if not isinstance(counts, str):
        raise ValueError(f"the counts of its mask are a {type(counts).__name__}")
    if not counts.isascii():
        raise ValueError("the counts of its mask are not ASCII text")
    return height, width, counts


def _size(sides):
    """(height, width) as int. Raises an error for anything but two numbers that can be the size of an image."""
    height, width = (int(side) for side in sides)
    if [height, width] != list(sides) or min(height, width) < 0 or max(height, width) >= 2**31:
        raise ValueError(f"its size is {repr(sides)[:40]}")
    return height, width


def _integers(values, name):
    """A list of whole numbers as int32. Raises `ValueError` for anything else."""
    if not isinstance(values, list):
        raise ValueError(f"{name} is a {type(values).__name__}, not a list")
    if not values:
        return np.zeros(0, "<i4")
    array = np.array(values)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or (array != np.floor(array)).any():
        raise ValueError(f"{name} is not a list of whole numbers")
    if array.min() < -(2**31) or array.max() >= 2**31:
        raise ValueError(f"{name} has a number beyond 32 bits")
    return array.astype("<i4")
