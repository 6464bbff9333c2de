"""Indexes of files in COCO's layout: a data set reads from one what it reads from the file, but for what is damaged."""

import contextlib
import copy
import json
import pickle
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.coco.index import CocoIndex
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.data.preparation.index_file import connect
from maskrcnn_benchmark.data.preparation.summary import summarize
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=CocoContent)

SQUARE = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]]
STRIP = {"size": [8, 10], "counts": [2, *([1, 7] * 9), 1, 5]}
JOINTS = [2.0, 3.0, 2] * 10 + [0, 0, 0] * 7


@pytest.fixture
def content():
    def annotation(number, image_id, category_id, box, segmentation, **more):
        row = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": box, "iscrowd": 0, "area": 16.0}
        return {**row, "segmentation": segmentation, **more}

    content = {
        "info": {"year": 2017},
        "licenses": [],
        "images": [{"id": i, "file_name": f"{i}.png", "width": 10, "height": 8, "license": 3} for i in (30, 10, 20)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            annotation(1, 10, 18, [1.0, 1.0, 4.0, 4.0], SQUARE),
            annotation(4, 20, 1, [1.0, 1.0, 4.0, 4.0], SQUARE, keypoints=JOINTS, num_keypoints=10),
            annotation(2, 10, 1, [0.0, 2.0, 10.0, 1.0], STRIP, iscrowd=1),
            annotation(3, 20, 1, [6.0, 3.0, 0.5, 3.0], SQUARE, score=0.5),
        ],
    }
    return copy.deepcopy(content)


def written(folder, content):
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def problems_of(index):
    with contextlib.closing(connect(index)) as connection:
        return connection.execute("SELECT what, place, action FROM problems ORDER BY position").fetchall()


def assert_same(path, index, folder):
    """Both ways of reading agree in every image, row, box, mask and joint."""
    for remove in (False, True):
        for options in ({}, {"keep_crowd": True}):
            ours, file = COCODataset(index, folder, remove, **options), COCODataset(path, folder, remove, **options)
            assert isinstance(ours.file, CocoIndex) and not isinstance(file.file, CocoIndex)
            assert ours.ids == file.ids and ours.vocabulary == file.vocabulary
            assert ours.file.category_rows == file.file.category_rows
            for idx in range(len(file)):
                assert ours.get_img_info(idx) == file.get_img_info(idx)
                one, two = ours.get_annotations(idx), file.get_annotations(idx)
                for name in ("instances", "people"):
                    assert_same_boxes(getattr(one, name), getattr(two, name))
    assert ours.coco.dataset == file.coco.dataset


def assert_same_boxes(one, two):
    assert (one is None) == (two is None)
    if one is None:
        return
    assert torch.equal(one.bbox, two.bbox) and one.fields() == two.fields()
    for field in one.fields():
        ours, theirs = one.get_field(field), two.get_field(field)
        if field == "masks":
            ours, theirs = ours.get_mask_tensor(), theirs.get_mask_tensor()
        elif field == "keypoints":
            ours, theirs = ours.keypoints, theirs.keypoints
        assert torch.equal(ours, theirs) if isinstance(ours, torch.Tensor) else ours == theirs


def test_a_data_set_reads_the_same_from_the_index(tmp_path, content):
    path = written(tmp_path, content)
    index, made = prepare(path, tmp_path / "elsewhere.sqlite")
    assert made and problems_of(index) == []
    assert_same(path, index, tmp_path)
    lines = [line.split() for line in summarize(index).splitlines()]
    assert (
        ["listed", "3"] in lines and ["with", "annotations", "2"] in lines and ["person", "2", "2", "1", "17"] in lines
    )


def test_the_index_beside_a_file_is_taken_until_the_file_changes(tmp_path, content):
    path = written(tmp_path, content)
    assert not isinstance(COCODataset(path, None, False).file, CocoIndex)
    assert prepare(path)[1] and not prepare(path)[1]
    dataset = COCODataset(path, None, False)
    assert isinstance(dataset.file, CocoIndex) and dataset.file.path == path
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again.get_annotations(0).instances.bbox, dataset.get_annotations(0).instances.bbox)
    content["images"].pop(0)
    assert not isinstance(COCODataset(written(tmp_path, content), None, False).file, CocoIndex)


def test_an_index_of_another_layout_is_refused(tmp_path):
    row = {"image_id": 1, "width": 4, "height": 4, "file_name": "a.png", "phase": "val"}
    path = written(tmp_path, {"images": [row], "categories": []})
    index, _ = build_index.prepare(path, tmp_path / "detail.sqlite", content=DetailContent)
    with pytest.raises(UserError, match="is the index of a file in the layout 'detail', not 'coco'"):
        COCODataset(index, None, False)


def test_a_list_of_test_images_is_not_annotated(tmp_path, content):
    del content["annotations"]
    index, _ = prepare(written(tmp_path, content))
    assert COCODataset(index, None, False).get_annotations(0).instances is None


@pytest.mark.parametrize(
    ("change", "what", "where"),
    [
        (lambda c: c["annotations"][0].update(image_id=99), "image_id is not in 'images'", "1 entry of annotations"),
        (lambda c: c["annotations"][0].update(category_id=5), "annotation cannot be used", "annotation 1 of image 10"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "annotation cannot be used", "annotation 1 of image 10"),
        (lambda c: c["annotations"][0].pop("id"), "annotation cannot be used", "annotation entry 0 of image 10"),
        (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3]]), "annotation cannot be used", "annotation 1"),
        (lambda c: c["annotations"][2]["segmentation"].update(counts="0"), "mask does not decode", "annotation 2"),
        (lambda c: c["annotations"][2]["segmentation"].update(size=[9, 9]), "mask does not decode", "annotation 2"),
        (
            lambda c: c["annotations"][1].update(keypoints=[1, 2]),
            "keypoints cannot be used, unlike their object",
            "annotation 4 of image 20",
        ),
        (lambda c: c["annotations"][2].update(id=1), "record is repeated", "annotation 1 of image 10"),
        (lambda c: c["annotations"][3].update(id=1), "id occurs in several images", "annotations 1 of image 20"),
        (lambda c: c["annotations"][0].update(bbox=[7, 1, 9, 4]), "bbox reaches outside the image", "annotation 1"),
        (lambda c: c["images"][0].pop("width"), "table entry cannot be used", "images 30"),
        (lambda c: c["images"].append(c["images"][0]), "id occurs twice in a table", "images entry 3"),
        (lambda c: c["images"][0].update(file_name="\ud800.png"), "table entry cannot be used", "images 30"),
        (lambda c: c["annotations"].append(5), "entry is not an object", "entry 4 of annotations"),
    ],
)
def test_what_is_damaged_is_told_of(tmp_path, content, change, what, where):
    change(content)
    index, _ = prepare(written(tmp_path, content))
    assert any(found[0] == what and found[1].startswith(where) for found in problems_of(index))
    dataset = COCODataset(index, None, False, keep_crowd=True)
    for idx in range(len(dataset)):
        dataset.get_annotations(idx)


def test_images_are_looked_at_on_request(tmp_path, content):
    for number in (10, 20):
        Image.new("RGB", (10, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "20.png").write_bytes((tmp_path / "20.png").read_bytes()[:40])
    index, _ = prepare(written(tmp_path, content), images=tmp_path)
    assert sorted(what for what, *_ in problems_of(index)) == ["image file cannot be read", "image file is missing"]
    assert COCODataset(index, tmp_path, False).ids == [10]


def all_places(tree, place=()):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from all_places(value, (*place, key))


junk = st.sampled_from([None, True, -1, 0, 3.5, 2**70, float("nan"), float("inf"), "", "x", [], [1], [[]], {}, 10, 30])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.data())
def test_a_damaged_value_never_crashes_it(tmp_path, content, data):
    content = json.loads(json.dumps(content))
    place = data.draw(st.sampled_from(list(all_places(content))))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = data.draw(junk)
    try:
        index, _ = prepare(written(tmp_path, content))
        dataset = COCODataset(index, None, False, keep_crowd=True)
        for idx in range(len(dataset)):
            dataset.get_annotations(idx)
    except UserError as error:
        assert "instances" in str(error) and "\n" not in str(error)


def test_real_files_read_the_same_from_their_index(real_data, tmp_path):
    folder = real_data / "coco_mini"
    for name in ("instances_val2017", "person_keypoints_val2017"):
        path = folder / "annotations" / f"{name}.json"
        index, _ = prepare(path, tmp_path / f"{name}.sqlite", folder / "val2017")
        assert problems_of(index) == []
        assert_same(path, index, folder / "val2017")
