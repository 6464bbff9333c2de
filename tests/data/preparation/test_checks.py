"""Checks of PASCAL in Detail: each kind of problem by the smallest record that has it."""

import copy
import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets.detail_index import SECTIONS
from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.data.preparation.check_kinds import KINDS
from maskrcnn_benchmark.data.preparation.checks import Tables, check_image, check_tables

WIDTH, HEIGHT = 20, 12
ROW = {"image_id": 7, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT, "phase": "train"}
TABLES = Tables(
    categories={
        284: {"name": "person", "supercategory": "animal", "onlysemantic": False, "parts": []},
        59: {"name": "car", "supercategory": "object", "onlysemantic": False, "parts": []},
        360: {"name": "sky", "supercategory": "background", "onlysemantic": True, "parts": []},
    },
    parts={21: "head", 79: "torso"},
    occlusion_base=0,
)


def encode(x1, y1, x2, y2, size=(WIDTH, HEIGHT)):
    """Run-length code of a rectangle, last row and column included."""
    mask = np.zeros((size[1], size[0]), np.uint8, order="F")
    mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    code = coco_mask.encode(mask)
    return {"size": [size[1], size[0]], "counts": code["counts"].decode()}


def part(part_id, *box):
    return {"part_id": part_id, "segmentation": encode(*box)}


def pixel(column, row):
    return column * HEIGHT + row


def sound():
    """The records of one image without a fault."""
    return {
        "annos_segmentation": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 284,
                "segmentation": encode(2, 1, 7, 10),
                "area": 60,
                "bbox": [2, 1, 6, 10],
                "iscrowd": 0,
                "parts": [part(21, 3, 1, 5, 3), part(79, 2, 4, 7, 8), part(255, 2, 1, 7, 10)],
            },
            {
                "id": 2,
                "image_id": 7,
                "category_id": 360,
                "segmentation": encode(10, 0, 19, 2),
                "area": 30,
                "bbox": [10, 0, 10, 3],
                "iscrowd": 1,
                "parts": [],
            },
        ],
        "annos_boundary": [{"image_id": 7, "boundary_mask": encode(2, 1, 2, 10)}],
        "annos_occlusion": [
            {
                "image_id": 7,
                "ne": 2,
                "imsize": [HEIGHT, WIDTH],
                "edges": {
                    "indices": [[pixel(3, 2), pixel(4, 3), pixel(4, 4)], [pixel(0, 0), pixel(19, 11)][:1]],
                    "edgelabel": [1, 2],
                },
            }
        ],
        "annos_joints": [
            {
                "image_id": 7,
                "person_id": 1,
                "category_id": 284,
                "bbox": [2.0, 1.0, 6.0, 9.5],
                "num_keypoints": 2,
                "keypoints": [4.5, 2.0, 1, 4.5, 3.9, 2, *([0] * 36)],
            }
        ],
    }


def check(records, **changes):
    """(records kept, [(what, where, action)]) of the image; what goes in is not changed."""
    before = copy.deepcopy(records)
    kept, problems = check_image({**ROW, **changes}, records, TABLES)
    assert records == before
    assert all(problem.image_id == 7 for problem in problems)
    return kept, [(problem.what, problem.where, problem.action) for problem in problems]


def changed(section, position=0, **values):
    """The sound records with some values of one of them replaced; `...` removes a key."""
    records = sound()
    record = {**records[section][position], **values}
    records[section][position] = {key: value for key, value in record.items() if value is not ...}
    return records


def changed_region(position=0, **values):
    return changed("annos_segmentation", position, **values)


PERSON = "annos_segmentation 1 of image 7"


def test_sound_records_come_back_as_they_are():
    records = sound()
    kept, problems = check_image(ROW, records, TABLES)
    assert problems == [] and kept == sound()
    assert all(one is other for section in records for one, other in zip(kept[section], records[section]))


def test_sections_that_an_image_lacks_are_empty():
    kept, problems = check({"annos_boundary": sound()["annos_boundary"]})
    assert problems == [] and kept["annos_boundary"] and kept["annos_joints"] == []
    assert set(kept) == set(sound())


def test_every_kind_has_words_of_its_own():
    assert len({kind.what for kind in KINDS}) == len(KINDS) > 50
    assert {kind.action for kind in KINDS} == {"left out", "repaired", "kept"}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"width": None}, "image entry without a usable width and height"),
        ({"height": "12"}, "image entry without a usable width and height"),
        ({"width": 0}, "image entry without a usable width and height"),
        ({"width": 10**6, "height": 10**6}, "image entry without a usable width and height"),
        ({"file_name": "../a.jpg"}, "image entry without a usable file name"),
        ({"file_name": "/etc/passwd"}, "image entry without a usable file name"),
        ({"file_name": "C:\\a.jpg"}, "image entry without a usable file name"),
        ({"file_name": "b\\..\\..\\a.jpg"}, "image entry without a usable file name"),
        ({"file_name": "a\0.jpg"}, "image entry without a usable file name"),
        ({"file_name": "\ud800.jpg"}, "image entry without a usable file name"),
        ({"file_name": "é" * 200}, "image entry without a usable file name"),
        ({"file_name": ["a.jpg"]}, "image entry without a usable file name"),
        ({"file_name": ""}, "image entry without a usable file name"),
        ({"phase": None}, "image entry without a phase"),
        ({"phase": ["train"]}, "image entry without a phase"),
    ],
)
def test_image_whose_entry_is_of_no_use_is_left_out_with_its_records(changes, what):
    kept, problems = check(sound(), **changes)
    assert kept is None
    assert [(p[0], p[1], p[2].split(":")[0]) for p in problems] == [
        (what, "image 7", "left out"),
        ("records of an image that is left out", "image 7", "left out"),
    ]
    expected = "2 of annos_segmentation, 1 of annos_boundary, 1 of annos_occlusion, 1 of annos_joints"
    assert problems[1][2] == f"left out: {expected}"


def test_image_without_an_id_is_left_out():
    for entry in (None, [7], {**ROW, "image_id": True}, {**ROW, "image_id": 2**70}):
        kept, problems = check_image(entry, {}, TABLES)
        assert kept is None and [p.what for p in problems] == ["image entry without a usable id"]
        assert problems[0].image_id is None


def test_image_of_a_phase_of_its_own_and_in_a_folder_is_kept():
    kept, problems = check(sound(), phase="testing", file_name="b/a.jpg")
    assert kept == sound()
    assert [(p[0], p[2].split(":")[0]) for p in problems] == [("phase of the image is unknown", "kept")]


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT * 10, WIDTH * 10, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


LARGE = {**ROW, "width": WIDTH * 10, "height": HEIGHT * 10}


def test_image_file_is_looked_up_by_path_or_in_a_folder(jpeg):
    for path in (jpeg, jpeg.parent, str(jpeg.parent)):
        assert check_image(LARGE, {}, TABLES, path)[1] == []


def test_image_without_a_readable_file_of_its_size_is_left_out(jpeg):
    def kinds(row, path=jpeg.parent):
        kept, problems = check_image(row, {}, TABLES, path)
        assert kept is None
        return [(p.what, p.where) for p in problems]

    where = f"{jpeg} of image 7"
    assert kinds({**LARGE, "width": 3}) == [("image file is of another size than its entry", where)]
    content = jpeg.read_bytes()
    jpeg.write_bytes(content[: len(content) * 2 // 3])
    assert kinds(LARGE) == [("image file cannot be read", where)]
    jpeg.write_bytes(b"")
    assert kinds(LARGE) == [("image file cannot be read", where)]
    jpeg.unlink()
    assert kinds(LARGE, jpeg) == kinds(LARGE) == [("image file is missing", where)]


@pytest.mark.parametrize("section", list(sound()))
@pytest.mark.parametrize("value", [None, 3, "x", [1], float("nan"), True])
def test_record_of_another_type_is_left_out(section, value):
    records = sound()
    records[section].insert(0, value)
    kept, problems = check(records)
    assert kept == sound()
    assert [p[:2] for p in problems] == [("record is no object", f"{section} entry 0 of image 7")]


def test_section_of_another_type_is_left_out():
    kept, problems = check({**sound(), "annos_joints": {"a": 1}})
    assert kept == {**sound(), "annos_joints": []}
    assert problems == [("records of a section are no list", "annos_joints of image 7", "left out: {'a': 1}")]


@pytest.mark.parametrize("category", [1000, None, ..., "284", True, [284], float("nan"), 1e300])
def test_region_of_an_unknown_category_is_left_out_and_its_parts_are_counted(category):
    kept, problems = check(changed_region(category_id=category))
    assert kept["annos_segmentation"] == sound()["annos_segmentation"][1:]
    assert [p[:2] for p in problems] == [("category is unknown", PERSON)]
    assert problems[0][2].startswith("left out: ") and problems[0][2].endswith("; 3 parts with it")


GOOD = encode(2, 1, 7, 10)


@pytest.mark.parametrize(
    ("mask", "what"),
    [
        (..., "missing or no run-length code"),
        (None, "missing or no run-length code"),
        ([[1, 1, 5, 1, 5, 5]], "missing or no run-length code"),
        ({"size": [12], "counts": "0"}, "missing or no run-length code"),
        ({"size": "12", "counts": "0"}, "missing or no run-length code"),
        ({"size": [12, 20], "counts": 5}, "missing or no run-length code"),
        ({"size": [10**9, 10**9], "counts": "0"}, "missing or no run-length code"),
        (encode(2, 1, 7, 10, (12, 20)), "of another size than its image"),
        ({**GOOD, "counts": GOOD["counts"][:-1]}, "does not decode"),
        ({**GOOD, "counts": ""}, "does not decode"),
        ({**GOOD, "counts": "é"}, "does not decode"),
        ({**GOOD, "counts": "o" * 20}, "does not decode"),
        ({**GOOD, "counts": "o" * 100000}, "does not decode"),
        ({**GOOD, "counts": GOOD["counts"] + "\x7f"}, "does not decode"),
        ({**GOOD, "counts": [100, 41, 100]}, "does not decode"),
        ({**GOOD, "counts": [100, "40", 100]}, "does not decode"),
        ({**GOOD, "counts": [340, -100]}, "does not decode"),
    ],
)
def test_damaged_mask_loses_its_region_or_its_part_alone(mask, what):
    kept, problems = check(changed_region(segmentation=mask))
    assert kept["annos_segmentation"] == sound()["annos_segmentation"][1:]
    [(found, where, action)] = problems
    assert (found, where) == (f"mask {'is ' * (what[0] != 'd')}{what}", PERSON)
    assert action.startswith("left out: ") and action.endswith("3 parts with it")

    records = sound()
    damaged = {key: value for key, value in {"part_id": 79, "segmentation": mask}.items() if value is not ...}
    records["annos_segmentation"][0]["parts"][1] = damaged
    kept, problems = check(records)
    expected = sound()
    del expected["annos_segmentation"][0]["parts"][1]
    assert kept == expected
    assert [p[:2] for p in problems] == [(f"part mask {'is ' * (what[0] != 'd')}{what}", f"part 79 of {PERSON}")]


def test_mask_as_a_list_of_numbers_is_compressed():
    plain = {"size": [HEIGHT, WIDTH], "counts": coco_counts(2, 1, 7, 10)}
    kept, problems = check(changed_region(segmentation=plain))
    assert kept == sound()
    assert [p[0] for p in problems] == ["mask is an uncompressed run-length code"]


def coco_counts(x1, y1, x2, y2):
    mask = np.zeros((WIDTH, HEIGHT), bool)
    mask[x1 : x2 + 1, y1 : y2 + 1] = True
    steps = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=not mask[-1, -1]))
    return np.diff(steps, prepend=0).tolist()


def test_region_without_pixels_is_left_out():
    empty = {"size": [HEIGHT, WIDTH], "counts": coco_mask.encode(np.zeros((12, 20), np.uint8, order="F"))["counts"]}
    empty["counts"] = empty["counts"].decode()
    kept, problems = check(changed_region(segmentation=empty))
    assert len(kept["annos_segmentation"]) == 1
    assert problems == [("mask has no pixels", PERSON, "left out: 3 parts with it")]
    kept, problems = check(changed_region(parts=[{"part_id": 21, "segmentation": empty}]))
    assert len(kept["annos_segmentation"][0]["parts"]) == 1
    assert problems == [("part mask has no pixels", f"part 21 of {PERSON}", "kept")]


@pytest.mark.parametrize(
    ("box", "expected", "what"),
    [
        ([2.4, 1.0, 6.0, 10.0], None, None),
        ([3, 1, 5, 10], None, "bbox differs from the mask"),
        ([2, 1, 7, 10], None, "bbox differs from the mask"),
        ([-1, 1, 9, 10], [0, 1, 8, 10], "bbox reaches outside the image"),
        ([2, 1, 6, 90], [2, 1, 6, 11], "bbox reaches outside the image"),
        ([1.5, 0.5, 6.5, 11.5], None, "bbox differs from the mask"),
        ([12, 1, 6, 10], [2, 1, 6, 10], "bbox holds no pixel of the mask"),
        ([8, 1, 3, 3], [2, 1, 6, 10], "bbox holds no pixel of the mask"),
        ([100, 100, 5, 5], [2, 1, 6, 10], "bbox holds no pixel of the mask"),
        ([2, 1, 0, 10], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        ([2, 1, 6, -10], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        ([2, 1, 6], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        ([2, True, 6, 10], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        ([2, 1, 6, float("nan")], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        ([2, 1, 6, 10**400], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        (["2", 1, 6, 10], [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        ("2 1 6 10", [2, 1, 6, 10], "bbox is missing, odd or without extent"),
        (..., [2, 1, 6, 10], "bbox is missing, odd or without extent"),
    ],
)
def test_box(box, expected, what):
    kept, problems = check(changed_region(bbox=box))
    assert kept["annos_segmentation"][0]["bbox"] == (box if expected is None else expected)
    assert [p[0] for p in problems[:1]] == ([what] if what else [])
    assert all(p[1] == PERSON for p in problems)
    if what:
        assert problems[0][2].startswith("kept" if expected is None else "repaired")


def test_box_in_a_hole_of_its_mask_holds_nothing_of_it():
    mask = np.ones((HEIGHT, WIDTH), np.uint8, order="F")
    mask[3:9, 5:15] = 0
    code = coco_mask.encode(mask)
    ring = {"size": [HEIGHT, WIDTH], "counts": code["counts"].decode()}
    values = {"segmentation": ring, "area": 180, "iscrowd": 0, "parts": []}
    kept, problems = check(changed_region(bbox=[5, 3, 10, 6], **values))
    assert [p[0] for p in problems] == ["bbox holds no pixel of the mask"]
    assert kept["annos_segmentation"][0]["bbox"] == [0, 0, 20, 12]
    assert [p[0] for p in check(changed_region(bbox=[5, 3, 11, 6], **values))[1]] == ["bbox differs from the mask"]


@pytest.mark.parametrize("area", [61, 59.5, 0, None, "60", True, ..., float("inf")])
def test_area_becomes_the_masks(area):
    kept, problems = check(changed_region(area=area))
    assert kept == sound()
    what = "area differs from the mask" if type(area) in (int, float) and area < 100 else "area is missing or odd"
    assert [p[0] for p in problems] == [what] and problems[0][2].endswith("now 60")
    assert problems[0][2].startswith("repaired")


def test_iscrowd_that_says_nothing_follows_the_category():
    for crowd in (None, 2, "1", ..., float("nan"), [1]):
        for position in (0, 1):
            kept, problems = check(changed_region(position, iscrowd=crowd))
            assert kept == sound()
            assert [p[0] for p in problems] == ["iscrowd is missing or odd"]


def test_iscrowd_that_contradicts_the_category_is_kept():
    kept, problems = check(changed_region(iscrowd=1))
    assert kept == changed_region(iscrowd=1)
    assert problems == [("crowd of a category that has instances", PERSON, "kept: a person")]
    kept, problems = check(changed_region(1, iscrowd=0))
    assert kept == changed_region(1, iscrowd=0)
    assert [p[0] for p in problems] == ["region of an onlysemantic category is no crowd"]


def test_several_regions_of_an_onlysemantic_category_are_kept():
    records = sound()
    more = {**records["annos_segmentation"][1], "segmentation": encode(0, 0, 0, 0), "area": 1, "bbox": [0, 0, 1, 1]}
    records["annos_segmentation"] += [{**more, "id": 3}, {**more, "id": 4}]
    kept, problems = check(records)
    assert kept == records
    assert problems == [
        (
            "several regions of an onlysemantic category in an image",
            "annos_segmentation 3 of image 7",
            "kept: 3 regions of sky in image 7",
        )
    ]


def test_unknown_part_is_left_out():
    for part_id in (22, None, "21", [21], True):
        records = changed_region(parts=[{**part(21, 3, 1, 5, 3), "part_id": part_id}, part(79, 2, 4, 7, 8)])
        kept, problems = check(records)
        assert kept["annos_segmentation"][0]["parts"] == [part(79, 2, 4, 7, 8)]
        assert [p[:2] for p in problems] == [("part id is unknown", f"part entry 0 of {PERSON}")]


def test_parts_of_another_type_are_left_out():
    kept, problems = check(changed_region(parts={"21": 1}))
    assert kept == changed_region(parts=[]) and [p[:2] for p in problems] == [("parts are no list", PERSON)]
    kept, problems = check(changed_region(parts=[5, part(79, 2, 4, 7, 8)]))
    assert kept == changed_region(parts=[part(79, 2, 4, 7, 8)])
    assert [p[:2] for p in problems] == [("part is no object", f"part entry 0 of {PERSON}")]
    assert check(changed_region(parts=None)) == (changed_region(parts=None), [])


def test_part_that_occurs_twice_is_kept_since_numbered_parts_were_merged():
    records = changed_region(parts=[part(21, 3, 1, 3, 3), part(21, 5, 1, 5, 3)])
    kept, problems = check(records)
    assert kept == records
    assert problems == [("part id occurs again in its object", f"part entry 1 of {PERSON}", "kept: part 21")]


def test_part_outside_its_object_is_kept_and_its_share_reported():
    parts = [part(21, 3, 1, 5, 3), part(79, 5, 4, 9, 7)]  # of the columns 5 to 9, 8 and 9 are outside
    kept, problems = check(changed_region(parts=parts))
    assert kept == changed_region(parts=parts)
    words = "kept: 40 % of its 20 pixels"
    assert problems == [("part reaches outside its object's mask", f"part 79 of {PERSON}", words)]
    assert check(changed_region(parts=[part(79, 2, 1, 7, 11)]))[1] == []  # 6 of 66 pixels


def test_record_that_is_there_twice_is_left_out_and_another_of_its_id_kept():
    records = sound()
    again = sound()["annos_segmentation"][0]
    records["annos_segmentation"] += [again, {**again, "category_id": 59}, {**again, "parts": []}]
    kept, problems = check(records)
    assert kept["annos_segmentation"] == [records["annos_segmentation"][i] for i in (0, 1, 3, 4)]
    assert [(what, where, action.split(":")[0]) for what, where, action in problems] == [
        ("record is repeated", f"{PERSON} (entry 2)", "left out"),
        ("id of a record occurs again in its image", f"{PERSON} (entry 3)", "kept"),
        ("id of a record occurs again in its image", f"{PERSON} (entry 4)", "kept"),
    ]


def test_id_that_is_none_is_dropped():
    for number in ([1], True, 1.5, 2**64, float("nan"), ""):
        kept, problems = check(changed_region(id=number))
        assert kept == changed_region(id=None)
        assert [p[:2] for p in problems] == [("id of a record is no number", "annos_segmentation entry 0 of image 7")]
    assert check(changed_region(id=...)) == (changed_region(id=...), [])


def test_boundary_of_another_size_is_kept_and_a_damaged_one_left_out():
    where = "annos_boundary entry 0 of image 7"
    other = changed("annos_boundary", boundary_mask=encode(1, 1, 1, 5, (10, 6)))
    assert check(other) == (
        other,
        [
            (
                "boundary mask is of another size than its image",
                where,
                "kept: 10x6 on an image of 20x12; the reader resizes it",
            )
        ],
    )
    plain = {"size": [HEIGHT, WIDTH], "counts": coco_counts(2, 1, 2, 10)}
    kept, problems = check(changed("annos_boundary", boundary_mask=plain))
    assert kept == sound() and [p[0] for p in problems] == ["boundary mask is an uncompressed run-length code"]
    for mask, what in [
        ({**GOOD, "counts": GOOD["counts"][:-2]}, "boundary mask does not decode"),
        (None, "boundary mask is missing or no run-length code"),
        ({**GOOD, "size": [0, 0]}, "boundary mask is missing or no run-length code"),
    ]:
        kept, problems = check(changed("annos_boundary", boundary_mask=mask))
        assert kept["annos_boundary"] == [] and [p[:2] for p in problems] == [(what, where)]


def changed_joints(**values):
    return changed("annos_joints", **values)


JOINTS = sound()["annos_joints"][0]["keypoints"]


@pytest.mark.parametrize(
    "keypoints",
    [JOINTS[:-3], [*JOINTS, 0], [*JOINTS[:-1], "0"], [*JOINTS[:-1], float("nan")], [*JOINTS[:-1], True], None, ...],
)
def test_joints_that_are_not_42_numbers_are_left_out(keypoints):
    kept, problems = check(changed_joints(keypoints=keypoints))
    assert kept["annos_joints"] == []
    assert [p[:2] for p in problems] == [
        ("keypoints are not the numbers of 14 joints", "annos_joints 1 of image 7"),
    ]


def test_joint_outside_the_image_is_kept():
    records = changed_joints(keypoints=[4.5, -3.0, 2, 4.5, 3.9, 2, *([0] * 36)])
    assert check(records) == (
        records,
        [("joint lies outside the image", "annos_joints 1 of image 7", "kept: head")],
    )
    assert check(changed_joints(keypoints=[20.0, 12.0, 1, *JOINTS[3:]]))[1] == []
    # the first pixel begins half a pixel before its centre
    assert check(changed_joints(keypoints=[-0.5, 3.0, 1, *JOINTS[3:]]))[1] == []


def test_joint_of_odd_visibility_counts_as_not_annotated():
    kept, problems = check(changed_joints(keypoints=[4.5, 2.0, 3, *JOINTS[3:]]))
    assert kept == changed_joints(keypoints=[0, 0, 0, *JOINTS[3:]], num_keypoints=1)
    assert [p[0] for p in problems] == ["visibility of a joint is not 0, 1 or 2"]
    assert problems[0][2] == "repaired: head with 3 count as not annotated"


@pytest.mark.parametrize("number", [3, 0, None, "2", True, ...])
def test_number_of_joints_becomes_that_of_the_labelled(number):
    kept, problems = check(changed_joints(num_keypoints=number))
    assert kept == sound()
    assert [p[0] for p in problems] == ["num_keypoints differs from the joints"]


@pytest.mark.parametrize("box", [None, [2, 1, 0, 9], [2, 1, 6], [200, 1, 6, 9], [2, "1", 6, 9], ...])
def test_box_of_joints_that_tells_nothing_becomes_their_extent(box):
    kept, problems = check(changed_joints(bbox=box))
    assert kept["annos_joints"][0]["bbox"] == [4.5, 2.0, 1, pytest.approx(1.9)]
    assert [p[0] for p in problems] == ["bbox of joints is missing, odd, without extent or outside the image"]
    nobody = changed_joints(bbox=box, keypoints=[0] * 42, num_keypoints=0)
    kept, problems = check(nobody)
    assert kept["annos_joints"] == []
    assert [p[0] for p in problems] == ["neither bbox nor joints tell where a person is"]


def test_box_of_joints_that_reaches_outside_is_kept():
    records = changed_joints(bbox=[-2.5, 1, 12, 9])
    kept, problems = check(records)
    assert kept == records and [p[0] for p in problems] == ["bbox of joints reaches outside the image"]


def test_category_of_joints():
    for category in (None, ..., [284], 1, "284"):
        kept, problems = check(changed_joints(category_id=category))
        assert kept == sound() and [p[0] for p in problems] == ["category of joints is unknown"]
    kept, problems = check(changed_joints(category_id=59))
    assert kept == changed_joints(category_id=59)
    assert problems == [
        ("category of joints is not person", "annos_joints 1 of image 7", "kept: 'car'; read as a person's"),
    ]


def changed_edges(**values):
    return changed("annos_occlusion", edges={**sound()["annos_occlusion"][0]["edges"], **values})


CHAINS = sound()["annos_occlusion"][0]["edges"]["indices"]
OCCLUSION = "annos_occlusion entry 0 of image 7"


@pytest.mark.parametrize(
    ("chain", "what"),
    [
        ([239, 240], "occlusion chain leaves the image"),
        ([-1, 0], "occlusion chain leaves the image"),
        ([10**400], "occlusion chain leaves the image"),
        (["5"], "occlusion chain is no list of pixel numbers"),
        ([5.5], "occlusion chain is no list of pixel numbers"),
        ([True], "occlusion chain is no list of pixel numbers"),
        ([float("nan")], "occlusion chain is no list of pixel numbers"),
        ([[5]], "occlusion chain is no list of pixel numbers"),
        (5, "occlusion chain is no list of pixel numbers"),
    ],
)
def test_chain_that_is_none_is_left_out(chain, what):
    kept, problems = check(changed_edges(indices=[chain, CHAINS[1]]))
    assert kept["annos_occlusion"] == [
        {**sound()["annos_occlusion"][0], "ne": 1, "edges": {"indices": CHAINS[1:], "edgelabel": [2]}}
    ]
    assert [p[:2] for p in problems] == [(what, f"chain 0 of {OCCLUSION}")]


def test_chains_count_from_where_the_file_counts():
    from_one = Tables(TABLES.categories, TABLES.parts, 1)
    records = changed_edges(indices=[[239, 240], [1]])
    assert check_image(ROW, records, from_one) == (records, [])
    records = changed_edges(indices=[[1, 0], [1]])
    kept, problems = check_image(ROW, records, from_one)
    assert kept["annos_occlusion"][0]["edges"]["indices"] == [[1]]
    assert [p.what for p in problems] == ["occlusion chain leaves the image"]


@pytest.mark.parametrize("label", [0, 3, None, "1", True, float("nan"), [1]])
def test_chain_of_another_label_is_left_out(label):
    kept, problems = check(changed_edges(edgelabel=[1, label]))
    assert kept["annos_occlusion"] == [
        {**sound()["annos_occlusion"][0], "ne": 1, "edges": {"indices": CHAINS[:1], "edgelabel": [1]}}
    ]
    assert [p[:2] for p in problems] == [("label of an occlusion chain is not 1 or 2", f"chain 1 of {OCCLUSION}")]


def test_chains_with_gaps_are_kept_and_counted():
    # from the foot of a column to the head of the next, numbers follow each other, but the pixels are far apart
    chains = [[pixel(3, 11), pixel(4, 0), pixel(5, 1)], [], [pixel(9, 9), pixel(9, 9)], [pixel(0, 0), pixel(2, 0)]]
    records = changed("annos_occlusion", ne=4, edges={"indices": chains, "edgelabel": [1, 1, 2, 2]})
    assert check(records) == (
        records,
        [("occlusion chains are not 8-connected", OCCLUSION, "kept: 2 gaps in 2 of 4 chains")],
    )


def test_other_faults_of_occlusion_records():
    kept, problems = check(changed("annos_occlusion", ne=5))
    assert kept == sound() and [p[0] for p in problems] == ["ne differs from the number of chains"]
    kept, problems = check(changed_edges(edgelabel=[1]))
    assert kept["annos_occlusion"] == []
    assert [p[0] for p in problems] == ["occlusion record has not as many labels as chains"]
    for edges in (None, [], {"indices": []}, {"indices": {}, "edgelabel": []}, ...):
        kept, problems = check(changed("annos_occlusion", edges=edges))
        assert kept["annos_occlusion"] == []
        assert [p[0] for p in problems] == ["occlusion record without lists of chains and labels"]
    for imsize in (None, [12], "12", [0, 5], ...):
        kept, problems = check(changed("annos_occlusion", imsize=imsize))
        assert kept == sound() and [p[0] for p in problems] == ["imsize of an occlusion record is missing or odd"]
    records = sound()
    records["annos_occlusion"].append(sound()["annos_occlusion"][0])
    kept, problems = check(records)
    assert kept == sound()
    assert [p[:2] for p in problems] == [
        ("second occlusion record of an image", "annos_occlusion entry 1 of image 7"),
    ]


def test_chains_are_held_against_their_own_imsize():
    records = changed("annos_occlusion", imsize=[24, 40])
    records["annos_occlusion"][0]["edges"]["indices"] = [[24 * 40 - 1, 24 * 40 - 2], [0]]
    kept, problems = check(records)
    assert kept == records
    assert [p[0] for p in problems] == ["imsize of an occlusion record is not the image's size"]


def test_whole_numbers_with_a_point_are_whole_numbers():
    kept, problems = check(json.loads(json.dumps(sound()).replace("[38, 51, 52]", "[38.0, 51.0, 52.0]")))
    assert kept == sound() and problems == []


def test_tables_that_are_sound():
    images = [ROW, {**ROW, "image_id": "2008_000002", "file_name": "b.jpg"}]
    categories = [
        {"category_id": 284, "name": "person", "supercategory": "animal", "onlysemantic": "false", "parts": [21, 255]},
        {"category_id": 360, "name": "sky", "onlysemantic": 1, "parts": [{"id": 79, "name": "torso"}]},
    ]
    parts = [{"part_id": 21, "name": "head", "superpart": "none"}, {"part_id": 79, "name": "torso"}]
    tables, problems = check_tables(images, categories, parts)
    assert problems == []
    assert tables == (
        {7: images[0], "2008_000002": images[1]},
        {
            284: {"name": "person", "supercategory": "animal", "onlysemantic": False, "parts": [21, 255]},
            360: {"name": "sky", "supercategory": "none", "onlysemantic": True, "parts": [79]},
        },
        {21: {"name": "head", "superpart": "none"}, 79: {"name": "torso", "superpart": "none"}},
    )


def test_faults_of_tables():
    images = [ROW, 5, {"file_name": "b.jpg"}, {**ROW, "image_id": 8}, {**ROW, "file_name": "c.jpg"}]
    categories = [
        {"category_id": 1, "name": None, "onlysemantic": "perhaps", "supercategory": 3, "parts": [21, 22, [1]]},
        {"category_id": 2, "name": "sky", "parts": 4},
        {"category_id": 3, "name": "sky"},
    ]
    parts = [{"part_id": 21}, {"part_id": None, "name": "x"}, {"part_id": 21, "name": "y"}]
    (rows, named, known), problems = check_tables(images, categories, parts)
    assert list(rows) == [7, 8] and rows[7] is ROW
    assert known == {21: {"name": "part 21", "superpart": "none"}}
    assert named[1] == {"name": "category 1", "supercategory": "none", "onlysemantic": False, "parts": [21]}
    assert named[2]["parts"] == [] and named[3]["name"] == "sky"
    assert [(p.what, p.where, p.action.split(":")[0]) for p in problems] == [
        ("table entry is no object", "images entry 1", "left out"),
        ("table entry without a usable id", "images entry 2", "left out"),
        ("id occurs twice in a table", "images entry 4", "left out"),
        ("file name occurs twice", "images", "kept"),
        ("table entry without a usable id", "parts entry 1", "left out"),
        ("id occurs twice in a table", "parts entry 2", "left out"),
        ("table entry without a usable name", "parts 21", "repaired"),
        ("table entry without a usable name", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 1", "repaired"),
        ("table entry with an odd value", "categories 2", "repaired"),
        ("name occurs twice in a table", "categories", "kept"),
    ]
    assert check_tables(None, 5, "x")[0] == ({}, {}, {})


def kinds_in(folder):
    """{(what, first word of the action): number} of a data set with its images."""
    content = json.loads((folder / "annotations.json").read_text())
    (images, categories, parts), problems = check_tables(*(content[key] for key in ("images", "categories", "parts")))
    file_tables = Tables(categories, {key: part["name"] for key, part in parts.items()}, 0)
    found = Counter(problem.what for problem in problems)
    by_image = {section: defaultdict(list) for section in SECTIONS}
    for section in SECTIONS:
        for record in content[section]:
            by_image[section][record["image_id"]].append(record)
    for image_id, row in images.items():
        records = {section: by_image[section][image_id] for section in SECTIONS}
        kept, problems = check_image(row, records, file_tables, folder / "images")
        assert problems or kept == records
        found.update((problem.what, problem.action.split(":")[0]) for problem in problems)
    return found


def test_drawn_scenes_have_no_problem(tmp_path):
    assert kinds_in(write_mini_detail(tmp_path / "mini", 6, 2)) == {}


@pytest.mark.skipif("DETAIL_REAL_DATA" not in os.environ, reason="set DETAIL_REAL_DATA to a folder of real data sets")
def test_real_records_lose_nothing():
    real = Path(os.environ["DETAIL_REAL_DATA"])
    # two wheels and two windows of one car: numbered parts that lost their numbers
    assert kinds_in(real / "detail_real8") == {("part id occurs again in its object", "kept"): 2}
    assert kinds_in(real / "detail_real_mini") == {}
