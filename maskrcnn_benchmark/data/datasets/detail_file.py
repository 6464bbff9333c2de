"""The annotation file of PASCAL in Detail: its tables, and its records by image."""

import logging
from collections import defaultdict
from functools import cached_property, lru_cache
from pathlib import Path

from maskrcnn_benchmark.data.datasets.json_file import read_json
from maskrcnn_benchmark.utils.errors import UserError

SECTIONS = ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints")


class DetailFile:
    """One annotation file, opened. Everything that reads the file goes through this class.

    Attributes:
        path: Path of the file.
        images: {image_id: {"file_name", "width", "height", "phase", ...}} in file order.
        categories: {category_id: {"name": str, "supercategory": str, "onlysemantic": bool, "parts": [part_id, ...]}} in
            file order.
        parts: {part_id: name} in file order.
        superparts: {part_id: name of the part that it belongs to, "none" without one}.
    """

    def __init__(self, path):
        self.path = Path(path)
        content = read_json(self.path, required=("images", "categories"))
        self.images = self._table(content, "images", "image_id", ("file_name", "width", "height"))
        self.categories = {
            key: {
                "name": row["name"],
                "supercategory": row.get("supercategory", "none"),
                "onlysemantic": _truth(row.get("onlysemantic", False)),
                "parts": [part["id"] if isinstance(part, dict) else part for part in row.get("parts") or ()],
            }
            for key, row in self._table(content, "categories", "category_id", ("name",)).items()
        }
        parts = self._table(content, "parts", "part_id", ("name",))
        self.parts = {key: row["name"] for key, row in parts.items()}
        self.superparts = {key: row.get("superpart") or "none" for key, row in parts.items()}
        self._records = {section: self._index(content, section) for section in SECTIONS}

    def records(self, section, image_id):
        """The records of one image in a section of `SECTIONS`, in file order: a list, empty if nobody annotated it."""
        return self._records[section].get(image_id, [])

    def field(self, record, key, kind):
        """`record[key]`. Raises `UserError` that names the record, a `kind` of annotation, if it has no such key."""
        if key not in record:
            raise UserError(f"{self.name_of(record, kind)} has no {key!r}")
        return record[key]

    def name_of(self, record, kind):
        """The words by which an error names a record: "FILE: KIND annotation 12 of image 2008000002"."""
        number = record.get("id", record.get("person_id"))
        return f"{self.path}: {kind} annotation {'' if number is None else f'{number} '}of image {record['image_id']}"

    def occlusion_size(self, record):
        """(width, height) of the image that an occlusion record's pixel numbers refer to."""
        image = self.images[record["image_id"]]
        height, width = record.get("imsize") or (image["height"], image["width"])
        return int(width), int(height)

    @cached_property
    def occlusion_base(self):
        """0 or 1: the number of the first pixel in the occlusion chains.

        The format does not say. An index of 0 proves the one, an index of height * width the other; without proof it
        is 0, as the official API reads it.
        """
        for records in self._records["annos_occlusion"].values():
            for record in records:
                chains = [chain for chain in self.field(record, "edges", "occlusion").get("indices", ()) if chain]
                if any(min(chain) == 0 for chain in chains):
                    return 0
                width, height = self.occlusion_size(record)
                if any(max(chain) == height * width for chain in chains):
                    return 1
        return 0

    @cached_property
    def parts_of_things(self):
        """{category name: [part names]} that the category table lists or that occur on an instance, in table order."""
        found = defaultdict(set)
        for category in self.categories.values():
            found[category["name"]].update(category["parts"])
        for records in self._records["annos_segmentation"].values():
            for record in records:
                if record.get("parts") and record["category_id"] in self.categories:
                    name = self.categories[record["category_id"]]["name"]
                    found[name].update(part["part_id"] for part in record["parts"])
        return {
            name: [part for key, part in self.parts.items() if key in keys and not is_silhouette(key, part)]
            for name, keys in found.items()
        }

    def _table(self, content, section, key, required):
        """The rows of a table by their id. Raises `UserError` for a row that lacks a key."""
        rows = content.get(section, [])
        for i, row in enumerate(rows):
            for name in (key, *required):
                if name not in row:
                    raise UserError(f"{self.path}: entry {i} of {section!r} has no {name!r}")
        return {row[key]: row for row in rows}

    def _index(self, content, section):
        by_image = defaultdict(list)
        for i, record in enumerate(content.get(section, [])):
            if "image_id" not in record:
                raise UserError(f"{self.path}: entry {i} of {section!r} has no 'image_id'")
            by_image[record["image_id"]].append(record)
        strangers = [image_id for image_id in by_image if image_id not in self.images]
        if strangers:
            logging.getLogger(__name__).warning(
                "%s: %s has records for %d images that 'images' does not list (such as %s); they are left out",
                *(self.path, section, len(strangers), strangers[0]),
            )
            for image_id in strangers:
                del by_image[image_id]
        return dict(by_image)


def open_detail_file(path):
    """The `DetailFile` at `path`; splits of one file share it, and a file that changed is read again."""
    path = Path(path).absolute()
    if not path.is_file():
        raise UserError(f"no such annotation file: {path}")
    status = path.stat()
    return _open(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)
def _open(path, modified, size):
    return DetailFile(path)


def is_silhouette(part_id, name):
    """Whether a part is `silh`, the whole silhouette: it says nothing about parts and is skipped everywhere."""
    return part_id == 255 or name == "silh"


def _truth(value):
    return value.strip().lower() in ("1", "true", "yes") if isinstance(value, str) else bool(value)
