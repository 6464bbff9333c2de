"""Indexes of random files: valid ones are read back as they are, damaged ones never crash and lose nothing silently."""

import json
import os
from functools import partial

import pytest
from detail_files import (
    CATEGORIES,
    DOG,
    PARTS,
    PERSON,
    SKY,
    by_image,
    of_file,
    person,
    problems_of,
    read_back,
    rectangle,
    region,
    written,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.detail.index import SECTIONS, DetailIndex
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.data.preparation.summary import summarize
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=DetailContent)


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
    with pytest.raises(UserError, match=r"annotations\.json.* (byte|begins|is empty)") as caught:
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
