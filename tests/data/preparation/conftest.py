"""A small valid annotation file."""

import pytest
from detail_files import CATEGORIES, DOG, PARTS, PERSON, SKY, person, rectangle, region


@pytest.fixture
def content():
    """A valid file of three images; its records of one image do not lie together."""
    images = [
        {"image_id": 30, "file_name": "c.jpg", "width": 12, "height": 9, "phase": "train"},
        {"image_id": 10, "file_name": "a.jpg", "width": 8, "height": 10, "phase": "val"},
        {"image_id": 20, "file_name": "b.jpg", "width": 7, "height": 7, "phase": "train"},
    ]
    c, a, _ = images
    return {
        "info": {"version": "3.0"},
        "images": images,
        "categories": CATEGORIES,
        "parts": PARTS,
        "annos_segmentation": [
            region(1, c, PERSON, (1, 1, 6, 7), [(1, (1, 1, 6, 3)), (2, (2, 2, 2, 2))]),
            region(2, a, DOG, (0, 0, 3, 3), []),
            region(3, c, SKY, (0, 0, 11, 0), None, iscrowd=1),
            region(4, c, PERSON, (7, 1, 11, 8), []),
        ],
        "annos_boundary": [{"image_id": 30, "boundary_mask": rectangle((9, 12), (4, 0, 4, 8))}],
        "annos_occlusion": [
            {"image_id": 10, "ne": 0, "imsize": [10, 8], "edges": {"indices": [], "edgelabel": []}},
            {
                "image_id": 30,
                "ne": 2,
                "imsize": [9, 12],
                "edges": {"indices": [[20, 21, 22], [40]], "edgelabel": [1, 2]},
            },
        ],
        "annos_joints": [person(1, c, (1, 1, 6, 7))],
    }
