"""Checks of regions: each kind of problem by the smallest record that has it."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from sound_records import GOOD, HEIGHT, PERSON, WIDTH, changed_region, check, coco_counts, encode, part, sound


@pytest.mark.parametrize("category", [1000, None, ..., "284", True, [284], float("nan"), 1e300])
def test_region_of_an_unknown_category_is_left_out_and_its_parts_are_counted(category):
    kept, problems = check(changed_region(category_id=category))
    assert kept["annos_segmentation"] == sound()["annos_segmentation"][1:]
    as_text = " (it is '284' here and 284 there: make both numbers or both texts)" if category == "284" else ""
    assert [p[:2] for p in problems] == [("category is unknown", PERSON)]
    assert problems[0][2].startswith("left out: ") and problems[0][2].endswith(f"{as_text}; 3 parts with it")


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
