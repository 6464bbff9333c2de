"""Checks of PASCAL in Detail: what holds for records of every kind, boundary masks, and whole data sets."""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from sound_records import GOOD, HEIGHT, ROW, TABLES, WIDTH, changed, check, coco_counts, encode, sound

from maskrcnn_benchmark.data.detail.checks import Tables, check_image, check_tables
from maskrcnn_benchmark.data.detail.index import SECTIONS
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.data.preparation.check_kinds import KINDS


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


def test_whole_numbers_with_a_point_are_whole_numbers():
    kept, problems = check(json.loads(json.dumps(sound()).replace("[38, 51, 52]", "[38.0, 51.0, 52.0]")))
    assert kept == sound() and problems == []


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
