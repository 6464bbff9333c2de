"""The records of one image as rows of the index."""

from typing import TYPE_CHECKING

import numpy as np

from maskrcnn_benchmark.data.detail.joint_links import link_persons, link_problems
from maskrcnn_benchmark.data.preparation.schema import SECTION_TABLES

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.detail.checks import Tables

PERSON = "person"


class ImageRows:
    """The rows of one image.

    Args:
        position: the image's place in the file, from 0.
        image: its row of "images".
        records: {section: records in file order}, as `checks.check_image` returned them.
        tables: `checks.Tables`.

    Attributes:
        rows: {table: list of tuples in the order of `schema.COLUMNS`}; "images" has one row, with the pairs of category
            and part that occur in the place of their numbers.
        problems: list of `Problem`: joints without one certain person.
    """

    def __init__(self, position: int, image: dict, records: dict[str, list[dict]], tables: "Tables") -> None:
        image_id = image["image_id"]
        size = width, height = int(image["width"]), int(image["height"])
        regions, joints = records["annos_segmentation"], records["annos_joints"]
        persons = [i for i, region in enumerate(regions) if _is_person(region, tables)]
        links, self.problems = _tie(joints, regions, persons, size)
        rows = {
            "annos_segmentation": map(_region, regions),
            "annos_boundary": (_mask(record["boundary_mask"]) for record in records["annos_boundary"]),
            "annos_occlusion": map(_occlusion, records["annos_occlusion"]),
            "annos_joints": map(_joints, joints, links),
        }
        self.rows = {
            SECTION_TABLES[section]: [(image_id, number, *row) for number, row in enumerate(found)]
            for section, found in rows.items()
        }
        self.rows["part_masks"] = [
            (image_id, owner, number, part["part_id"], *_mask(part["segmentation"]))
            for owner, region in enumerate(regions)
            for number, part in enumerate(region.get("parts") or ())
        ]
        pairs = {(regions[owner]["category_id"], part_id) for _, owner, _, part_id, *_ in self.rows["part_masks"]}
        boundaries = [(row[3], row[2]) for row in self.rows["boundary"]]
        self.rows["images"] = [
            (
                *(image_id, position, image["file_name"], width, height, image["phase"]),
                *(len(regions), len(persons), len(joints), len(boundaries), len(boundaries) - boundaries.count(size)),
                *(len(records["annos_occlusion"]), sorted(pairs, key=str)),
            )
        ]


def _is_person(region, tables):
    return tables.categories[region["category_id"]]["name"] == PERSON


def _tie(joints, regions, persons, size):
    """The (position, id, ambiguous) of each joint record's region, position and id None without one; and problems."""
    persons = [i for i in persons if not regions[i].get("iscrowd", 0)]
    single = [regions[i] for i in persons]
    links = link_persons(joints, single, size) if joints else []
    problems = link_problems(joints, single, links, has_segmentation=bool(regions))
    positions = [None if link.instance is None else persons[link.instance] for link in links]
    ids = [None if position is None else regions[position].get("id") for position in positions]
    return [(*pair, int(link.ambiguous)) for *pair, link in zip(positions, ids, links)], problems


def _region(record):
    has_parts = int(isinstance(record.get("parts"), list))
    values = (record.get(key) for key in ("id", "category_id", "iscrowd", "area"))
    return (*values, *record["bbox"], has_parts, *_mask(record["segmentation"]))


def _mask(encoding):
    height, width = encoding["size"]
    return int(height), int(width), encoding["counts"]


def _occlusion(record):
    edges, (height, width) = record["edges"], record["imsize"]
    chains = [np.array(chain, "<i4") for chain in edges["indices"]]
    arrays = (
        np.concatenate(chains) if chains else np.zeros(0, "<i4"),
        np.array([len(chain) for chain in chains], "<i4"),
        np.array(edges["edgelabel"], "<i4"),
    )
    return (record["ne"], int(height), int(width), *(array.tobytes() for array in arrays))


def _joints(record, link):
    values = (record.get(key) for key in ("person_id", "category_id"))
    keypoints = np.array(record["keypoints"], "<f8").tobytes()
    return (*values, *record["bbox"], record["num_keypoints"], keypoints, *link)
