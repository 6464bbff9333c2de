"""Indexes of annotation files: what is wrong with a file is told, and the summary counts what is there."""

import contextlib
import csv
import json
import os
from functools import partial

import pytest
from detail_files import DOG, by_image, of_file, problems_of, read_back, region, written

from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.detail.index import DetailIndex
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.data.preparation.index_file import connect, index_path_of
from maskrcnn_benchmark.data.preparation.summary import summarize
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=DetailContent)


def test_workers_write_the_same_index(tmp_path, content):
    image = content["images"][0]
    for number in range(100, 160):
        content["images"].append({**image, "image_id": number})
        content["annos_segmentation"].append(region(number, content["images"][-1], DOG, (0, 0, number % 9, 3)))
    path = written(tmp_path, content)
    alone, _ = prepare(path, tmp_path / "alone.sqlite")
    together, _ = prepare(path, tmp_path / "together.sqlite", workers=2)
    with contextlib.closing(connect(alone)) as one, contextlib.closing(connect(together)) as two:
        tables = [name for (name,) in one.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in set(tables) - {"meta"}:
            assert list(one.execute(f"SELECT * FROM {table}")) == list(two.execute(f"SELECT * FROM {table}"))
    assert len(tables) == 11 and read_back(together, content) == by_image(content)


def change(section, number, **values):
    return lambda content: content[section][number].update(values)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            change("annos_segmentation", 1, image_id=99),
            ("image_id is not in 'images'", "1 entry of annos_segmentation with image_id 99", "left out", 99),
        ),
        (
            lambda c: c["annos_boundary"][0].pop("image_id"),
            ("no image_id", "entry 0 of annos_boundary", "left out", None),
        ),
        (
            change("annos_boundary", 0, image_id=[30]),
            ("image_id is neither number nor text", "entry 0 of annos_boundary", "left out", None),
        ),
        (
            change("annos_segmentation", 1, id=1),
            ("id occurs in several images", "annos_segmentation 1 of image 10", "kept", 10),
        ),
        (
            change("images", 0, width=None),
            ("records of an image that is left out", "image 30"),
        ),
        (
            lambda c: c["annos_joints"].append(7),
            ("entry is not an object", "entry 1 of annos_joints", "left out", None),
        ),
        (lambda c: c.update(licenses=[{}]), ("unknown section", "'licenses'", "left out", None)),
        (lambda c: c.update(annos_boundary=None), ("section is not a list", "'annos_boundary'", "left out", None)),
        (
            change("annos_segmentation", 0, score=1),
            ("unknown key", "'score' of 1 entries of annos_segmentation", "left out", None),
        ),
        (
            lambda c: c["annos_occlusion"][1]["edges"].update(indices=[[0, 1], [107, 108]]),
            (
                "occlusion chains are numbered from 0 and from 1",
                "annos_occlusion",
                "kept: all are read as from 0",
                None,
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_a_row(tmp_path, content, spoil, problem):
    content = json.loads(json.dumps(content))
    spoil(content)
    index, _ = prepare(written(tmp_path, content))
    assert problem in [found[: len(problem)] for found in problems_of(index)]


def test_sections_that_occur_twice_are_read_both_and_told_of(tmp_path, content):
    boundary = content["annos_boundary"][0]
    text = json.dumps(content)[:-1] + ', "annos_boundary": ' + json.dumps([{**boundary, "image_id": 10}]) + "}"
    index, _ = prepare(written(tmp_path, text))
    assert ("section occurs twice", "'annos_boundary'", "kept: its entries are added", None) in problems_of(index)
    assert len(DetailIndex(index).records("annos_boundary", 10)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must hold an object with sections such as 'images', but begins with '\\['"),
        ("", "is empty"),
        ('{"images": []}', r"has no section 'categories' \(it holds: images\)"),
        ('{"images": {}, "categories": []}', "section 'images' is not a list"),
        ('{"images": [], "categories": []} {', "goes on after its end at byte 33"),
    ],
)
def test_what_is_no_annotation_file_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        prepare(written(tmp_path, text))
    assert os.listdir(tmp_path) == ["annotations.json"]


def test_strict_names_the_first_problem_and_leaves_no_index(tmp_path, content):
    content["annos_joints"] = []
    assert prepare(written(tmp_path, content), strict=True)[1]
    content["licenses"], content["annos_boundary"][0]["image_id"] = [], 8
    path = written(tmp_path, content, "other.json")
    with pytest.raises(UserError, match=r"other\.json: 2 problems, the first: unknown section, 'licenses'"):
        prepare(path, strict=True, problems_csv=tmp_path / "problems.csv")
    assert not index_path_of(path).exists()
    with open(tmp_path / "problems.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["what"] for row in rows] == ["unknown section", "image_id is not in 'images'"]
    assert rows[1]["image_id"] == "8" and rows[1]["action"] == "left out"
    prepare(path)
    with pytest.raises(UserError, match="2 problems"):
        prepare(path, strict=True)


@pytest.mark.parametrize(("shift", "base"), [(0, 0), (1, 1)])
def test_the_first_pixels_number_is_found_over_the_whole_file(tmp_path, content, shift, base):
    content["annos_occlusion"][1]["edges"]["indices"] = [[number + shift for number in (106, 107)], [40]]
    content["annos_occlusion"][0]["edges"]["indices"] = [[79]] if shift else [[0]]
    assert DetailIndex(prepare(written(tmp_path, content))[0]).occlusion_base == base


def test_records_without_a_sure_place_in_memory_are_left_out_and_told_of(tmp_path, content):
    content["annos_boundary"][0]["boundary_mask"] = None
    content["annos_joints"][0]["keypoints"] = "none"
    index, _ = prepare(written(tmp_path, content))
    file = DetailIndex(index)
    assert file.records("annos_boundary", 30) == file.records("annos_joints", 30) == []
    assert len([action for *_, action, _ in of_file(problems_of(index)) if action.startswith("left out")]) == 2


def test_uncompressed_run_lengths_become_compressed_ones(tmp_path, content):
    compressed = content["annos_segmentation"][1]["segmentation"]
    runs = [0, 4, 6, 4, 6, 4, 6, 4, 46]  # columns of ten pixels, of which four are set in the first four
    content["annos_segmentation"][1]["segmentation"] = {"size": [10, 8], "counts": runs}
    index, _ = prepare(written(tmp_path, content))
    assert DetailIndex(index).records("annos_segmentation", 10)[0]["segmentation"] == compressed


def test_the_summary_counts_images_annotations_and_problems(tmp_path, content):
    content["annos_segmentation"][1]["image_id"] = 99
    lines = [line.split() for line in summarize(prepare(written(tmp_path, content))[0]).splitlines()]
    assert ["train", "2"] in lines and ["val", "1"] in lines
    assert ["objects", "1", "2"] in lines and ["regions", "1", "3"] in lines and ["part", "masks", "1", "2"] in lines
    assert ["persons", "with", "joints", "1", "1"] in lines
    assert ["boundary", "maps", "1", "1"] in lines and ["occlusion", "chains", "2", "2"] in lines
    assert ["person", "1", "2", "0", "2", "1"] in lines and ["sky", "1", "0", "1", "0", "0"] in lines
    assert any(line[:6] == ["image_id", "is", "not", "in", "'images'", "left"] for line in lines)
