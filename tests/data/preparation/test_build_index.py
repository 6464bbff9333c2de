"""Indexes of annotation files: what a file says is read back, what is wrong is told, and none is half written."""

import contextlib
import csv
import json
import multiprocessing
import os
import sqlite3
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets.detail_index import SECTIONS, DetailIndex
from maskrcnn_benchmark.data.preparation import detail_content
from maskrcnn_benchmark.data.preparation.build_index import prepare
from maskrcnn_benchmark.data.preparation.index_file import connect, index_path_of, replacing
from maskrcnn_benchmark.data.preparation.joint_links import NO_MASK, SEVERAL_FIT
from maskrcnn_benchmark.data.preparation.summary import summarize
from maskrcnn_benchmark.utils.errors import UserError

PERSON, DOG, SKY = 284, "d", 7  # ids may be texts
CATEGORIES = [
    {"category_id": PERSON, "name": "person", "supercategory": "animal", "onlysemantic": False, "parts": [1, 255]},
    {"category_id": DOG, "name": "dog", "supercategory": "animal", "onlysemantic": 0},
    {"category_id": SKY, "name": "sky", "supercategory": "background", "onlysemantic": True, "parts": []},
]
PARTS = [
    {"part_id": 1, "name": "head", "superpart": "none"},
    {"part_id": 2, "name": "leye", "superpart": "head"},
    {"part_id": 255, "name": "silh", "superpart": "none"},
]


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


def rectangle(size, box):
    x1, y1, x2, y2 = box
    mask = np.zeros(size, np.uint8, order="F")
    mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    return {"size": list(size), "counts": coco_mask.encode(mask)["counts"].decode()}


def region(number, image, category_id, box, parts=(), iscrowd=0):
    size = (image["height"], image["width"])
    x1, y1, x2, y2 = box
    record = {
        "id": number,
        "image_id": image["image_id"],
        "category_id": category_id,
        "segmentation": rectangle(size, box),
        "area": (x2 - x1 + 1) * (y2 - y1 + 1),
        "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
        "iscrowd": iscrowd,
    }
    if parts is not None:
        record["parts"] = [{"part_id": part_id, "segmentation": rectangle(size, inner)} for part_id, inner in parts]
    return record


def person(number, image, box):
    x1, y1, x2, y2 = box
    joints = [x1 + 0.5, y1, 1, 0, 0, 0, x2, y2, 2, *([0] * 33)]
    size = [x2 - x1 + 1, y2 - y1 + 1]
    return {
        "image_id": image["image_id"],
        "person_id": number,
        "category_id": PERSON,
        "bbox": [x1, y1, *size],
        "num_keypoints": 2,
        "keypoints": joints,
    }


def written(folder, content, name="annotations.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read_back(index, content):
    """{section: records of all images of the file in file order}, with chains as lists."""
    file = DetailIndex(index)
    found = {section: [] for section in SECTIONS}
    for section in SECTIONS:
        for image_id in file.images:
            for record in file.records(section, image_id):
                if section == "annos_occlusion":
                    record["edges"]["indices"] = [chain.tolist() for chain in record["edges"]["indices"]]
                found[section].append(record)
    return found


def by_image(content):
    """The sections of a file, with the records of an image together."""
    ids = [image["image_id"] for image in content["images"]]
    return {
        section: sorted(content.get(section, []), key=lambda record: ids.index(record["image_id"]))
        for section in SECTIONS
    }


def problems_of(index):
    with contextlib.closing(connect(index)) as connection:
        return connection.execute("SELECT what, place, action, image_id FROM problems ORDER BY position").fetchall()


def of_file(problems):
    """Problems other than those of tying joints to people."""
    return [problem for problem in problems if problem[0] not in (NO_MASK, SEVERAL_FIT)]


def kinds_of(index):
    return {what for what, *_ in of_file(problems_of(index))}


@st.composite
def boxes(draw, width, height):
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return x1, y1, draw(st.integers(x1, width - 1)), draw(st.integers(y1, height - 1))


@st.composite
def valid_files(draw):
    """Valid files: sections in any order and some of them missing, ids of both kinds, records in any order."""
    ids = draw(st.lists(st.integers(0, 2**40) | st.text("abc0_é", min_size=1), min_size=1, max_size=4, unique=True))
    images = [
        {
            "image_id": image_id,
            "file_name": f"{number}.jpg",
            "width": draw(st.integers(4, 12)),
            "height": draw(st.integers(4, 12)),
            "phase": draw(st.sampled_from(["train", "val", "test"])),
        }
        for number, image_id in enumerate(ids)
    ]
    sections = {section: [] for section in SECTIONS}
    for number, image in enumerate(draw(st.lists(st.sampled_from(images), max_size=6)), 1):
        box = draw(boxes(image["width"], image["height"]))
        category, parts = draw(st.sampled_from([PERSON, DOG, SKY])), []
        others = [row["category_id"] for row in sections["annos_segmentation"] if row["image_id"] == image["image_id"]]
        if category == SKY and SKY in others:
            continue  # stuff is one region of an image
        if category == PERSON:
            parts = [(part, box) for part in draw(st.sets(st.sampled_from([1, 2]), max_size=2))]
        sections["annos_segmentation"].append(region(number, image, category, box, parts, int(category == SKY)))
        if category == PERSON and draw(st.booleans()):
            sections["annos_joints"].append(person(number, image, box))
    for image in draw(st.lists(st.sampled_from(images), unique_by=lambda image: image["file_name"])):
        size = (image["height"], image["width"])
        mask = rectangle(size, draw(boxes(image["width"], image["height"])))
        sections["annos_boundary"].append({"image_id": image["image_id"], "boundary_mask": mask})
        lengths = draw(st.lists(st.integers(1, 4), max_size=3))
        chains = [list(range(number * size[0], number * size[0] + length)) for number, length in enumerate(lengths)]
        edges = {"indices": chains, "edgelabel": [draw(st.sampled_from([1, 2])) for _ in chains]}
        record = {"image_id": image["image_id"], "ne": len(chains), "imsize": list(size), "edges": edges}
        sections["annos_occlusion"].append(record)
    content = {"info": {}, "images": images, "categories": CATEGORIES, "parts": PARTS, **sections}
    for section in SECTIONS:
        if not content[section] and draw(st.booleans()):
            del content[section]
    return {key: content[key] for key in draw(st.permutations(list(content)))}


@given(valid_files(), st.booleans())
def test_a_valid_file_is_read_back_as_it_is(tmp_path_factory, content, ascii_only):
    folder = tmp_path_factory.mktemp("valid")
    path = folder / "annotations.json"
    path.write_text(json.dumps(content, ensure_ascii=ascii_only), encoding="utf-8")
    index, made = prepare(path)
    assert made and of_file(problems_of(index)) == []
    file = DetailIndex(index)
    assert list(file.images.items()) == [(image["image_id"], image) for image in content["images"]]
    assert file.parts == {1: "head", 2: "leye", 255: "silh"} and file.superparts[2] == "head"
    assert list(file.categories) == [PERSON, DOG, SKY] and file.categories[SKY]["onlysemantic"] is True
    assert read_back(index, content) == by_image(content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_is_cut_off_is_one_line_and_leaves_nothing(tmp_path, content, data):
    text = json.dumps(content)
    path = written(tmp_path, text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(UserError, match=r"annotations\.json.* (byte|begins)") as caught:
        prepare(path)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["annotations.json"]


def all_places(tree, place=()):
    """Every place in a tree of lists and dictionaries, but not in its tables of categories and parts."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        if key not in ("categories", "parts") or place:
            yield (*place, key)
            yield from all_places(value, (*place, key))


junk = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        3.5,
        2**70,
        float("nan"),
        float("inf"),
        "",
        "x",
        [],
        [1],
        [[]],
        {},
        {"size": [3, 3]},
        10,
        30,
        [0] * 42,
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_a_damaged_value_is_told_of_or_is_still_there(tmp_path, content, data):
    content = json.loads(json.dumps(content))
    place = data.draw(st.sampled_from(list(all_places(content))))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = data.draw(junk)
    path = written(tmp_path, content)
    try:
        index, _ = prepare(path)
    except UserError as error:
        assert "annotations.json" in str(error) and "\n" not in str(error)
        return
    told = of_file(problems_of(index))
    rewritten = place[-1] == "counts" and isinstance(inner["counts"], list)  # runs are stored compressed
    if not told and place[0] in SECTIONS and not rewritten:
        expected, found = by_image(content), read_back(index, content)
        assert found == without_nulls(expected)


def without_nulls(tree):
    return json.loads(
        json.dumps(tree), object_hook=lambda row: {key: value for key, value in row.items() if value is not None}
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.data())
def test_damaged_bytes_never_crash_it(tmp_path, content, data):
    text = bytearray(json.dumps(content).encode())
    for place in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=3)):
        text[place] = data.draw(st.integers(0, 255))
    (tmp_path / "annotations.json").write_bytes(text)
    try:
        summarize(prepare(tmp_path / "annotations.json")[0])
    except UserError as error:
        assert "annotations.json" in str(error)


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


def test_a_second_run_does_nothing_and_a_changed_file_is_noticed(tmp_path, content):
    path = written(tmp_path, content)
    index, made = prepare(path)
    before = index.read_bytes(), index.stat().st_ino
    assert made and index == tmp_path / "annotations.index.sqlite" == index_path_of(path)
    assert prepare(path) == (index, False)
    assert (index.read_bytes(), index.stat().st_ino) == before
    content["images"][0]["width"] = 13  # of the same length, and so is the file
    written(tmp_path, content)
    assert prepare(path) == (index, True)
    assert DetailIndex(index).images[30]["width"] == 13


def test_a_copied_file_with_another_time_keeps_its_index(tmp_path, content):
    path = written(tmp_path, content)
    index, _ = prepare(path)
    os.utime(path, ns=(1, 1))
    assert prepare(path) == (index, False)
    with contextlib.closing(connect(index)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'mtime_ns'").fetchone() == (1,)
    assert read_back(index, content) == by_image(content)
    assert sorted(os.listdir(tmp_path)) == ["annotations.index.sqlite", "annotations.json"]


def test_an_index_of_another_version_or_a_broken_one_is_made_again(tmp_path, content):
    path = written(tmp_path, content)
    index, _ = prepare(path)
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'schema_version'")
    with pytest.raises(UserError, match="is no index of version"):
        DetailIndex(index)
    assert prepare(path) == (index, True)
    index.write_bytes(index.read_bytes()[:5000])
    assert prepare(path) == (index, True)
    assert read_back(index, content) == by_image(content)


def test_an_index_without_a_look_at_the_images_is_not_enough_for_one_with(tmp_path, content):
    path = written(tmp_path, content)
    (tmp_path / "images").mkdir()
    assert prepare(path)[1]
    assert prepare(path, images=tmp_path / "images")[1]
    assert not prepare(path, images=tmp_path / "images")[1] and not prepare(path)[1]
    with pytest.raises(UserError, match=r"no such folder of images: .*nowhere"):
        prepare(path, images=tmp_path / "nowhere")


class Killed(BaseException):
    """What an interruption looks like from inside."""


def test_images_that_were_missing_are_looked_at_again(tmp_path, content):
    path, folder = written(tmp_path, content), tmp_path / "images"
    folder.mkdir()
    index, _ = prepare(path, images=folder)
    assert list(DetailIndex(index).images) == [] and "image file is missing" in kinds_of(index)
    for row in content["images"]:
        Image.new("RGB", (row["width"], row["height"])).save(folder / row["file_name"])
    assert prepare(path, images=folder) == (index, True)
    assert list(DetailIndex(index).images) == [30, 10, 20] and of_file(problems_of(index)) == []
    (folder / "notes.txt").touch()
    assert prepare(path, images=folder) == (index, False)


def test_an_interruption_leaves_neither_an_index_nor_a_part_of_one(tmp_path, content, monkeypatch):
    path = written(tmp_path, content)
    seen = []

    def interrupted(image, records, tables, path):
        seen.append(image["image_id"])
        if len(seen) == 2:
            assert "annotations.index.sqlite.partial" in os.listdir(tmp_path)
            raise Killed
        return records, []

    monkeypatch.setattr(detail_content, "check_image", interrupted)
    with pytest.raises(Killed):
        prepare(path)
    assert os.listdir(tmp_path) == ["annotations.json"]


def _prepare_and_die(path):
    detail_content.check_image = lambda *_: os._exit(9)
    prepare(path)


def test_what_a_killed_process_left_is_written_anew(tmp_path, content):
    path = written(tmp_path, content)
    process = multiprocessing.get_context("fork").Process(target=_prepare_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 9 and not index_path_of(path).exists() and len(os.listdir(tmp_path)) == 2
    index, made = prepare(path)
    assert made and read_back(index, content) == by_image(content)
    assert sorted(os.listdir(tmp_path)) == ["annotations.index.sqlite", "annotations.json"]


def test_of_several_that_start_at_once_one_makes_the_index(tmp_path, content):
    path = written(tmp_path, content)
    results, start = [], threading.Barrier(6)

    def run():
        start.wait()
        results.append(prepare(path))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made for _, made in results) == [False] * 5 + [True]
    assert sorted(os.listdir(tmp_path)) == ["annotations.index.sqlite", "annotations.json"]


def test_a_file_that_takes_the_place_of_another_does_so_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file"]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, content, monkeypatch):
    path = written(tmp_path, content)

    def touching(image, records, tables, _):
        os.utime(path, ns=(5, 5))
        return records, []

    monkeypatch.setattr(detail_content, "check_image", touching)
    with pytest.raises(UserError, match="was changed while it was read"):
        prepare(path)
    assert os.listdir(tmp_path) == ["annotations.json"]


def change(section, number, **values):
    return lambda content: content[section][number].update(values)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (
            change("annos_segmentation", 1, image_id=99),
            ("image_id is not in 'images'", "1 entries of annos_segmentation with image_id 99", "left out", 99),
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
        ("", "begins with ''"),
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
    assert ["detection,", "instance", "1", "2", "objects"] in lines
    assert ["semantic,", "classification", "1", "3", "regions"] in lines
    assert ["part", "1", "2", "part", "masks"] in lines and ["keypoint", "1", "1", "people"] in lines
    assert ["boundary", "1", "1", "maps"] in lines and ["occlusion", "2", "2", "chains"] in lines
    assert ["person", "1", "2", "0", "2", "1"] in lines and ["sky", "1", "0", "1", "0", "0"] in lines
    assert any(line[:6] == ["image_id", "is", "not", "in", "'images'", "left"] for line in lines)
