"""What is mended in a file in COCO's layout: read the same, and told the same, by every way of opening it."""

import copy
import json
from functools import partial

import pytest
from PIL import Image

from maskrcnn_benchmark.data.coco import opening
from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.coco.repairs import mend_category, mend_image, mend_record
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.tasks.task import annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=CocoContent)

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]
WHOLE = {"size": [8, 10], "counts": [0, 80]}
NAN = float("nan")


def annotation(number, image_id, **more):
    row = {"id": number, "image_id": image_id, "category_id": 1, "bbox": [1, 1, 4, 4], "iscrowd": 0, "area": 16}
    return {**row, "segmentation": SQUARE, **more}


@pytest.fixture
def content():
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 10, "height": 8} for i in (1, 2)],
        "categories": [{"id": 1, "name": "crate"}, {"id": 2, "name": "barrel"}],
        "annotations": copy.deepcopy([annotation(1, 1), annotation(2, 1), annotation(3, 2)]),
    }


@pytest.fixture(params=["the file", "its index", "a prepared index"])
def opened(tmp_path, request, monkeypatch):
    """Open `content` in one of three ways, with images on disk: function -> `COCODataset`."""
    images = tmp_path / "pictures"
    images.mkdir()
    for name in ("1.png", "2.png"):
        Image.new("RGB", (10, 8)).save(images / name)

    def opened(content, train=True):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        if request.param == "its index":
            monkeypatch.setattr(opening, "SMALL", 0)
        if request.param == "a prepared index":
            prepare(path, images=images)
        return COCODataset(path, images, False, keep_crowd=not train)

    return opened


def told(dataset):
    """{what: (action, number, first)} of a data set's file."""
    return {what: rest for what, *rest in dataset.file.problems()}


def objects(dataset, index=0):
    return dataset.get_annotations(index).instances


WITHOUT = "segmentation encloses nothing, so its object has a box and no mask"


@pytest.mark.parametrize(
    "empty", [[], [[]], [[1, 2, 3, 4]], [[20, 1, 25, 1, 25, 5]], {"size": [8, 10], "counts": [80]}]
)
def test_an_object_whose_segmentation_encloses_nothing_has_a_box_and_no_mask(content, opened, empty):
    content["annotations"][0]["segmentation"] = empty
    dataset = opened(content)
    assert told(dataset) == {WITHOUT: ["kept", 1, "annotation 1 of image 1"]}
    assert objects(dataset).bbox.shape == (2, 4)
    assert objects(dataset).get_field("has_mask").tolist() == [False, True]
    assert not objects(dataset, 1).has_field("has_mask")
    dataset[0], dataset[1]


@pytest.mark.parametrize("empty", ["", {}, {"size": [8, 10], "counts": ""}, {"size": [8, 10], "counts": None}])
def test_what_stands_for_no_segmentation_is_one_that_encloses_nothing(content, opened, empty):
    content["annotations"][2]["segmentation"] = empty
    dataset = opened(content)
    assert set(told(dataset)) == {WITHOUT, "segmentation is empty, and neither a list nor a run-length code"}
    assert annotated_tasks(dataset.get_annotations(1)) == {"detection"}  # nobody drew a mask there
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection", "instance"}


def test_without_any_segmentation_that_encloses_something_nobody_drew_masks(content, opened):
    for row in content["annotations"]:
        row["segmentation"] = []
    dataset = opened(content)
    assert not dataset.file.has_masks and annotated_tasks(dataset.get_annotations(0)) == {"detection"}
    assert told(dataset)[WITHOUT] == ["kept", 3, "annotation 1 of image 1"]


def test_objects_without_a_segmentation_among_others_are_told_of(content, opened):
    del content["annotations"][1]["segmentation"]
    content["annotations"][2]["segmentation"] = None
    dataset = opened(content)
    ((action, number, first),) = told(dataset).values()
    assert (action, number, first) == ("kept", 1, "annotation 2 of image 1 and 1 more")
    assert objects(dataset).get_field("has_mask").tolist() == [True, False]


@pytest.mark.parametrize(
    ("crowd", "is_crowd"),
    [("0", 0), ("1", 1), (False, 0), (True, 1), (None, 0), (0.0, 0), (1.0, 1), ("false", 0), (2, 0), (NAN, 0), ([], 0)],
)
def test_iscrowd_of_another_type_is_what_it_says(content, opened, crowd, is_crowd):
    content["annotations"][0]["iscrowd"] = crowd
    dataset = opened(content, train=False)
    assert objects(dataset).get_field("iscrowd").tolist() == [bool(is_crowd), False]
    assert told(dataset)["iscrowd is not 0 or 1"][:2] == ["repaired", 1]


@pytest.mark.parametrize(
    ("section", "change", "what"),
    [
        ("annotations", {"id": 1.0, "image_id": 1.0, "category_id": 1.0}, "id is written as a decimal fraction"),
        ("images", {"id": 1.0}, "id is written as a decimal fraction"),
        ("categories", {"id": 1.0}, "id is written as a decimal fraction"),
        ("images", {"width": 10.0, "height": "8"}, "width or height is not written as a whole number"),
        ("annotations", {"area": "16"}, "area is no number of pixels"),
        ("annotations", {"area": NAN}, "area is no number of pixels"),
        ("annotations", {"area": -1}, "area is no number of pixels"),
        ("annotations", {"area": None}, "area is no number of pixels"),
        (
            "annotations",
            {"segmentation": {"size": ["8", 10.0], "counts": [0, 80]}},
            "size of a run-length code is not written in whole numbers",
        ),
    ],
)
def test_numbers_of_another_type_are_numbers(content, opened, section, change, what):
    content[section][0].update(change)
    dataset = opened(content)
    assert [(kind, *rest[:1]) for kind, rest in told(dataset).items()] == [(what, "repaired")]
    assert dataset.ids == [1, 2] and [type(key) for key in dataset.categories] == [int, int]
    assert objects(dataset).bbox.tolist() == [[1, 1, 4, 4]] * 2
    assert objects(dataset).get_field("labels").tolist() == [1, 1]
    assert dataset.image_sizes().tolist() == [[10, 8], [10, 8]]


def test_areas_that_are_none_are_gone_and_text_is_its_number():
    rows = [annotation(1, 1, area=area) for area in ("16.5", "big", -1, float("inf"), True, 10**400)]
    found = [mend_record(row) for row in rows]
    assert [row.get("area") for row in rows] == [16.5, None, None, None, None, None] and all(found)


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [(SQUARE, [1, 1, 4, 4]), ([[2, 1, 5.5, 3, 2, 7], [0, 2, 1, 3, 0, 3]], [0, 1, 5.5, 6]), (WHOLE, [0, 0, 10, 8])],
)
def test_an_object_without_a_box_has_that_of_its_mask(content, opened, segmentation, box):
    content["annotations"][2] = annotation(3, 2, segmentation=segmentation)
    del content["annotations"][2]["bbox"]
    dataset = opened(content, train=False)
    assert objects(dataset, 1).get_field("coco_records")[0]["bbox"] == box
    action, number, first = told(dataset)["bbox is missing, so that of the mask is taken"]
    assert (action, number) == ("repaired", 1) and first.startswith("annotation 3 of image 2")


def test_what_is_sound_is_not_touched():
    for row in (annotation(1, 1), annotation("a", "b", area=0.5, segmentation=None), {"id": 1}):
        before = copy.deepcopy(row)
        assert mend_record(row) == [] and row == before
    row = {"id": 1, "file_name": "a.png", "width": 1, "height": 2}
    assert mend_image(dict(row)) == [] and mend_category({"id": 7, "name": "a"}) == []


@pytest.mark.parametrize("key", [1.5, NAN, True, None, 1e300])
def test_an_id_that_is_no_whole_number_is_refused(tmp_path, content, key):
    content["annotations"][0]["id"] = key
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"entry 0 of 'annotations' has the id .*; give a whole number"):
        COCODataset(path, None, False)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("pictures\\1.png", "backslashes"),
        ("C:\\data\\pictures\\1.png", "a path on Windows"),
        ("http://images.example.org/pictures/1.png", "an address"),
        ("pictures/1.png", None),
        ("{folder}/1.png", None),
        ("./1.png", None),
    ],
)
def test_a_file_name_means_the_same_however_the_file_is_opened(tmp_path, content, opened, name, what):
    content["images"][0]["file_name"] = name.format(folder=tmp_path / "pictures")
    dataset = opened(content)
    assert dataset[0][0].size == (10, 8) and dataset.image_path(0).samefile(tmp_path / "pictures" / "1.png")
    kinds = [kind for kind in told(dataset) if kind.startswith("file name")]
    assert (what in kinds[0]) if what else kinds == []


def test_two_categories_of_one_name_are_named(content, opened):
    content["categories"].insert(0, {"id": 0, "name": "crate ", "supercategory": "none"})
    content["categories"][1]["supercategory"] = "crate "
    found = told(opened(content))
    assert found["categories have the same name, and are two classes"] == [
        "kept",
        1,
        "categories 0 and 1, both 'crate'; 0 has no annotation: remove it",
    ]
    (root,) = (rest for what, rest in found.items() if "supercategory" in what)
    assert root[2].startswith("category 0, 'crate ', as Roboflow writes its root")


@pytest.mark.parametrize("name", [None, "", "  ", 5, ["crate"], "\ud800"])
def test_a_category_without_a_name_is_one_line(tmp_path, content, name):
    content["categories"][1]["name"] = name
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"instances\.json: category 2 has the name .*; give it a text"):
        COCODataset(path, None, False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_id": "1"}, "'images' does not list that image .it is '1' here and 1 there"),
        ({"category_id": "1"}, "has category '1', which 'categories' does not list .it is '1' here and 1 there"),
        ({"bbox": [10**400, 1, 2, 3]}, r"annotation 1 of image 1 has the bbox \[.*mend or remove the entry"),
        ({"segmentation": {"size": [10, 8], "counts": [0, 80]}}, "its mask is .8, 10. pixels .w, h., but its image is"),
        ({"segmentation": {"size": [8, 10], "counts": [0, 70]}}, "its run-length code does not decode"),
        ({"segmentation": {"size": [8, 10], "counts": "123"}}, "its run-length code does not decode"),
    ],
)
def test_what_cannot_be_mended_is_one_line_at_opening(tmp_path, content, monkeypatch, change, words):
    content["annotations"][0].update(change)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    for small in (0, 4 << 20):
        monkeypatch.setattr(opening, "SMALL", small)
        with pytest.raises(UserError, match=words) as caught:
            COCODataset(path, None, False)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
