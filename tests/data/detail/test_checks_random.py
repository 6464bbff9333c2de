"""Checks of random records: what is sound is left alone, what is damaged never raises and is named when it is lost."""

import copy
import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.detail.checks import Tables, check_image, check_tables

CATEGORIES = [
    {"category_id": 284, "name": "person", "supercategory": "animal", "onlysemantic": False, "parts": [21, 79]},
    {"category_id": 59, "name": "car", "supercategory": "object", "onlysemantic": False, "parts": [80]},
    {"category_id": 360, "name": "sky", "supercategory": "background", "onlysemantic": True, "parts": []},
    {"category_id": 440, "name": "wall", "supercategory": "object", "onlysemantic": True, "parts": []},
]
PARTS = [{"part_id": number, "name": name} for number, name in ((21, "head"), (79, "torso"), (80, "wheel"))]
NAMES = {row["part_id"]: row["name"] for row in PARTS}


def encode(mask):
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}


def scene(seed):
    """(row of the image, records by section, first pixel number of the chains) of a random image without a fault."""
    generator = np.random.default_rng(seed)
    width, height = generator.integers(2, 40, 2).tolist()
    row = {"image_id": 7, "file_name": "a.jpg", "width": width, "height": height, "phase": "val"}
    base = int(generator.integers(2))
    regions = [_region(generator, width, height, category) for category in generator.choice([284, 59], 4)]
    regions += [_region(generator, width, height, category) for category in (360, 440)]
    kept = [region for region in regions if generator.random() < 0.7]
    chains = [_walk(generator, width, height, base) for _ in range(generator.integers(0, 4))]
    records = {
        "annos_segmentation": [{"id": number, **region} for number, region in enumerate(kept, 1)],
        "annos_boundary": [
            {"image_id": 7, "boundary_mask": encode(generator.random((height, width)) < 0.2)}
            for _ in range(generator.integers(0, 3))
        ],
        "annos_occlusion": [
            {
                "image_id": 7,
                "ne": len(chains),
                "imsize": [height, width],
                "edges": {"indices": chains, "edgelabel": generator.integers(1, 3, len(chains)).tolist()},
            }
        ][: generator.integers(0, 2)],
        "annos_joints": [
            _joints(generator, width, height, number) for number in range(1, generator.integers(1, 4).item())
        ],
    }
    return row, records, base


def _region(generator, width, height, category):
    mask = generator.random((height, width)) < generator.random()
    mask[generator.integers(height), generator.integers(width)] = True
    code = encode(mask)
    onlysemantic = category in (360, 440)
    numbers = [] if onlysemantic or generator.random() < 0.4 else {284: [21, 79, 255], 59: [80]}[int(category)]
    places = np.argwhere(mask)
    parts = []
    for number in numbers:
        part = np.zeros_like(mask)
        part[tuple(places[generator.random(len(places)) < 0.5].T)] = True
        part[tuple(places[0])] = True
        parts.append({"part_id": number, "segmentation": encode(part)})
    return {
        "image_id": 7,
        "category_id": int(category),
        "segmentation": code,
        "area": int(mask.sum()),
        "bbox": [int(edge) for edge in coco_mask.toBbox(code)],
        "iscrowd": int(onlysemantic),
        "parts": parts,
    }


def _walk(generator, width, height, base):
    steps = generator.integers(-1, 2, (generator.integers(0, 30), 2)).cumsum(0)
    columns, rows = np.clip(steps + generator.integers([width, height]), 0, [width - 1, height - 1]).T
    return (columns * height + rows + base).tolist()


def _joints(generator, width, height, number):
    visible = generator.integers(0, 3, 14)
    places = (generator.random((14, 2)) * [width, height]).round(1) * (visible > 0)[:, None]
    return {
        "image_id": 7,
        "person_id": number,
        "category_id": 284,
        "bbox": [0.0, 0.0, width / 2, float(height)],
        "num_keypoints": int((visible > 0).sum()),
        "keypoints": [value for place, v in zip(places.tolist(), visible.tolist()) for value in (*place, v)],
    }


def tables(base):
    (_, categories, _), problems = check_tables([], CATEGORIES, PARTS)
    assert problems == []
    return Tables(categories, NAMES, base)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_sound_records_come_back_without_a_problem(seed):
    row, records, base = scene(seed)
    before = copy.deepcopy(records)
    kept, problems = check_image(row, records, tables(base))
    assert problems == [] and kept == before == records


ODD = (
    *(None, True, False, 0, -1, 1, 2, 3, 7.5, 80, 284, 440, 2**31, 2**63, -(2**70), 10**400, 1e308, -0.0),
    *(float("nan"), float("inf"), "", "0", "284", "PPYo0", "\ud800", "é", "o" * 30, [], {}, [[]], [None], [1, 2]),
    *([1, 1, 1, 1], [-1, 2, 400, 1], [1.5, 0, 0, 1], {"size": [1, 1]}, {"size": [1, 1], "counts": "01"}),
)


def damaged(seed):
    """A random scene of which one to four values were changed, taken away, doubled, shortened or swapped."""
    row, records, base = scene(seed)
    generator = np.random.default_rng([seed, 1])
    for _ in range(generator.integers(1, 5)):
        holder, key = _some_value(records, generator)
        kind = generator.choice(["odd", "number", "gone", "double", "text", "other"])
        if kind == "gone" and holder is not records:
            del holder[key]
        elif kind == "double" and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif kind == "text" and isinstance(holder[key], str):
            holder[key] = _damaged_text(holder[key], generator)
        elif kind == "number" and isinstance(holder[key], int | float):
            holder[key] += generator.integers(-3, 4).item() * generator.choice([1, 1, 100]).item()
        elif kind == "other":
            other, place = _some_value(records, generator)
            holder[key] = copy.deepcopy(other[place])
        else:
            holder[key] = copy.deepcopy(ODD[generator.integers(len(ODD))])
    return row, records, base


def _some_value(records, generator):
    """(holder, key) of a value anywhere in the records; whole sections seldom."""
    holder, key = records, generator.choice([section for section in records if records[section]] or list(records))
    stop = 0.02
    while isinstance(holder[key], dict | list) and holder[key] and generator.random() > stop:
        holder, stop = holder[key], 0.1
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = keys[generator.integers(len(keys))]
    return holder, key


def _damaged_text(text, generator):
    cut = generator.integers(0, len(text) + 1)
    choices = [text[:cut], text[cut:], text[:cut] + "~" + text[cut:], text[:cut] + text[cut + 1 :]]
    return choices[generator.integers(len(choices))]


SEEDS = st.integers(0, 2**32)


def _marked(records):
    """Number records and parts under a key of no meaning, which stays on those that are kept."""
    for section in records.values():
        for place, record in enumerate(section if isinstance(section, list) else ()):
            if isinstance(record, dict):
                record["mark"] = place
                parts = record.get("parts")
                for inner, part in enumerate(parts if isinstance(parts, list) else ()):
                    if isinstance(part, dict):
                        part["mark"] = inner


def _named(record, place, section):
    """The words in which a lost record must be named."""
    key = {"annos_segmentation": "id", "annos_joints": "person_id"}.get(section)
    number = record.get(key) if isinstance(record, dict) and key else None
    return {f"{section} {number} of image 7", f"{section} entry {place} of image 7"}


@settings(max_examples=800, deadline=None)
@given(SEEDS)
def test_damage_never_raises_and_what_is_lost_is_named(seed):
    row, records, base = damaged(seed)
    _marked(records)
    before = repr(records)
    kept, problems = check_image(row, records, tables(base))
    assert repr(records) == before
    lost = Counter(problem.where.split(" (entry")[0] for problem in problems if problem.action.startswith("left out"))
    for section, found in records.items():
        if not isinstance(found, list):
            assert kept[section] == [] and lost[f"{section} of image 7"] == 1
            continue
        marks = {record["mark"]: record for record in kept[section]}
        assert sorted(marks) == [record["mark"] for record in kept[section]]  # none twice, in the order of the file
        for place, record in enumerate(found):
            names = _named(record, place, section)
            if place not in marks:
                assert any(lost[name] for name in names)
            elif isinstance(record.get("parts"), list):
                remaining = {part["mark"] for part in marks[place]["parts"]}
                for inner, part in enumerate(record["parts"]):
                    words = {inner_name for name in names for inner_name in _part_names(part, inner, name)}
                    assert inner in remaining or any(lost[name] for name in words)
            elif section == "annos_segmentation" and record.get("parts") is not None:
                assert marks[place]["parts"] == [] and any(lost[name] for name in names)
            elif section == "annos_occlusion":
                chains = record["edges"]["indices"], marks[place]["edges"]["indices"]
                named = [name for name in lost if name.startswith("chain ")]
                assert len(chains[0]) - len(chains[1]) == len(named)
    assert all(problem.image_id == 7 and problem.what and problem.where for problem in problems)


def _part_names(part, inner, name):
    number = part.get("part_id") if isinstance(part, dict) else None
    return f"part {number} of {name}", f"part entry {inner} of {name}"


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_what_was_kept_is_sound(seed):
    row, records, base = damaged(seed)
    once, _ = check_image(row, records, tables(base))
    twice, problems = check_image(row, once, tables(base))
    assert twice == once
    assert [p for p in problems if not p.action.startswith("kept")] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("random")


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS)
def test_what_was_kept_can_be_read(folder, seed):
    row, records, base = damaged(seed)
    kept, _ = check_image(row, records, tables(base))
    kept = {section: [{**record, "image_id": 7} for record in found] for section, found in kept.items()}
    path = folder / f"{seed}.json"
    path.write_text(json.dumps({"images": [row], "categories": CATEGORIES, "parts": PARTS, **kept}))
    annotations = DetailDataset(path, None, "val", parts="all").get_annotations(0)
    assert annotations.size == (row["width"], row["height"])
    path.unlink()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.floats(0, 1), changes=st.integers(0, 20))
def test_damaged_image_file_never_raises(folder, seed, cut, changes):
    generator = np.random.default_rng(seed)
    path = folder / f"a.{generator.choice(['jpg', 'png'])}"
    Image.fromarray(generator.integers(0, 256, (12, 20, 3), np.uint8)).save(path)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[generator.integers(0, len(content), changes)] = generator.integers(0, 256, changes)
    path.write_bytes(content[: int(cut * len(content))].tobytes())
    row = {"image_id": 7, "file_name": path.name, "width": 20, "height": 12, "phase": "val"}
    kept, problems = check_image(row, {}, tables(0), folder)
    assert (kept is None) == (len(problems) == 1)
    assert all(problem.action.startswith("left out") for problem in problems)


ANY_JSON = st.recursive(
    st.sampled_from(ODD) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
)
SECTIONS = ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints")


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), ANY_JSON), ANY_JSON, ANY_JSON, ANY_JSON, ANY_JSON)
def test_any_json_in_any_place_never_raises(records, image, images, categories, parts):
    check_image(image, records, tables(0))
    row = {"image_id": 7, "file_name": "a.jpg", "width": 20, "height": 12, "phase": "val"}
    kept, problems = check_image(row, records, tables(0))
    entries = sum(len(found) for found in records.values() if isinstance(found, list))
    assert not any(kept.values()) and len(problems) >= entries
    for rows in (images, categories, parts):
        as_list = rows if isinstance(rows, list) else [rows]
        found, problems = check_tables(as_list, as_list, as_list)
        assert len(problems) >= sum(len(as_list) - len(table) for table in found)
    check_tables(images, categories, parts)
