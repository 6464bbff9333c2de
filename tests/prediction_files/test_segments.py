"""Segments in COCO's panoptic format: what is written, what anybody's files may look like, and what is refused."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.prediction_files.layout import FileNames
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

PANOPTIC = TASKS["panoptic"]
SIZE = 6, 4
CATEGORIES = {284: ("person", False), 420: ("sky", True), 98: ("dog", False)}
IDS = np.zeros((4, 6), np.int32)
IDS[:, 2:4], IDS[3, 4:], IDS[0, 0] = 1, 2, 3


@pytest.fixture
def dataset(tmp_path):
    """Two images of 6x4 pixels without a picture."""
    images = [
        {"image_id": key, "file_name": f"2008_{key}.jpg", "width": 6, "height": 4, "phase": "val"} for key in (7, 9)
    ]
    categories = [
        {"category_id": key, "name": name, "onlysemantic": stuff, "parts": []}
        for key, (name, stuff) in CATEGORIES.items()
    ]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": images, "categories": categories, "parts": []}))
    return DetailDataset(path, None, "val")


def segments(dataset):
    """Sky, a dog and a person."""
    names = PanopticClasses.of(dataset.vocabulary).names
    kinds = [names.index(name) for name in ("sky", "dog", "person")]
    return PanopticMap.of_rows(IDS, list(zip(kinds, (-1,) * 3, (1.0, 1 / 3, 0.75), (False,) * 3)))


def write(dataset, folder):
    empty = PanopticMap.of_rows(np.zeros((4, 6), np.int32), [])
    with PredictionWriter(folder, dataset, [PANOPTIC]) as writer:
        writer.write(1, {"panoptic": empty})
        writer.write(0, {"panoptic": segments(dataset)})
        writer.finish()
    return folder


def read(dataset, path, index=0):
    return PredictionReader(dataset, {"panoptic": path}, [PANOPTIC]).read(index)["panoptic"]


def assert_same(one, other):
    for name in ("ids", "classes", "objects", "scores", "is_crowd"):
        left, right = getattr(one, name), getattr(other, name)
        assert left.dtype == right.dtype and left.tolist() == right.tolist(), name


def test_what_is_written_comes_back_as_it_was(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out")
    found = find_predictions(folder, TASKS.values())
    assert found == {"panoptic": folder / "panoptic.json"}
    assert_same(read(dataset, found["panoptic"]), segments(dataset))
    assert len(read(dataset, found["panoptic"], 1)) == 0


def test_the_file_is_in_cocos_form(dataset, tmp_path):
    folder = write(dataset, tmp_path / "out")
    content = json.loads((folder / "panoptic.json").read_text())
    named = {row["id"]: (row["name"], row["isthing"]) for row in content["categories"]}
    assert named == {284: ("person", 1), 420: ("sky", 0), 98: ("dog", 1)}
    assert content["images"][0] == {"id": 7, "file_name": "2008_7.jpg", "width": 6, "height": 4}
    first, second = content["annotations"]
    assert first["image_id"] == 7 and first["file_name"] == "2008_7.png" and second["segments_info"] == []
    assert first["segments_info"] == [
        {"id": 1, "category_id": 420, "isthing": 0, "score": 1.0, "area": 8, "bbox": [2, 0, 2, 4]},
        {"id": 2, "category_id": 98, "isthing": 1, "score": 1 / 3, "area": 2, "bbox": [4, 3, 2, 1]},
        {"id": 3, "category_id": 284, "isthing": 1, "score": 0.75, "area": 1, "bbox": [0, 0, 1, 1]},
    ]
    pixels = np.asarray(Image.open(folder / "panoptic" / "2008_7.png"))
    assert pixels.shape == (4, 6, 3) and (pixels[..., 0] == IDS).all() and not pixels[..., 1:].any()


def test_the_names_of_a_file_go_before_the_numbers_of_the_data_set(dataset, tmp_path):
    rows = [{"id": 1, "category_id": 284}, {"id": 70_000, "category_id": 5}]
    content = {"annotations": [theirs(rows)], "categories": [{"id": 284, "name": "dog"}, {"id": 5, "name": "sky"}]}
    found = read(dataset, save(tmp_path, content, [[0, 1, 70_000, 0, 0, 0]] * 4))
    names = PanopticClasses.of(dataset.vocabulary).names
    assert [names[kind] for kind in found.classes] == ["dog", "sky"]
    assert found.ids[0].tolist() == [0, 1, 2, 0, 0, 0] and found.scores.tolist() == [1.0, 1.0]


def test_without_names_the_numbers_are_the_data_sets_and_the_list_may_stand_alone(dataset, tmp_path):
    found = read(dataset, save(tmp_path, [theirs([{"id": 3, "category_id": 98}])], [[3] * 6] * 4))
    assert PanopticClasses.of(dataset.vocabulary).names[found.classes[0]] == "dog"


@pytest.mark.parametrize("move", ["file", "folder", "beside", "together"])
def test_the_file_or_its_folder_can_be_named(dataset, tmp_path, move):
    folder = write(dataset, tmp_path / "out")
    path = {"file": folder / "panoptic.json", "folder": folder / "panoptic"}.get(move)
    if path is None:
        path = folder / "panoptic"
        (folder / "panoptic.json").rename(path / "predictions.json")
        path = path / "predictions.json" if move == "beside" else path
    assert_same(read(dataset, path), segments(dataset))


def test_a_class_that_a_data_set_does_not_number_gets_a_free_number(dataset):
    names = FileNames(dataset)
    assert names.class_ids == {"person": 284, "dog": 98, "sky": 420}
    dataset.class_ids = lambda: {"person": 4}
    assert FileNames(dataset).class_ids == {"person": 4, "dog": 5, "sky": 6}


def theirs(segments_info, **more):
    return {"image_id": 7, "file_name": "7.png", "segments_info": segments_info, **more}


def save(tmp_path, content, ids, mode="RGB"):
    """The path of a JSON file with a PNG beside it."""
    (tmp_path / "theirs").mkdir()
    ids = np.array(ids)
    rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    Image.fromarray(rgb).convert(mode).save(tmp_path / "theirs" / "7.png")
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(content))
    return path


ONE = [{"id": 1, "category_id": 98}]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"id": 1, "category_id": 7}], "entry 0 has the category_id 7, which is none of the 3 categories"),
        ([{"id": 1, "category_id": "98"}], "entry 0 has the category_id '98', which is text, but the data set's are"),
        ([{"id": 0, "category_id": 98}], "entry 0 has the segment 0; ids are whole numbers from 1 to 16777215"),
        ([{"category_id": 98}], "entry 0 has no 'id'"),
        (ONE * 2, "entry 0 has the segment 1 a second time; keep one"),
        ([{"id": 1, "category_id": 98, "score": "high"}], "entry 0 has the score 'high' of segment 1; it must be"),
        (7, "entry 0 has the segments_info 7; it must be a list of objects"),
        ([{"id": 2, "category_id": 98}], "has pixels of the segment 1, which segments_info of entry 0 in"),
        ([*ONE, {"id": 5, "category_id": 98}], "entry 0 lists the segment 5, which has no pixel in"),
    ],
)
def test_wrong_segments_are_one_line(dataset, tmp_path, rows, words):
    path = save(tmp_path, [theirs(rows)], [[0, 0, 1, 1, 1, 1]] * 4)
    with pytest.raises(UserError, match=re.escape(words)):
        read(dataset, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([theirs(ONE), theirs(ONE)], "entry 1 predicts image 7 a second time; keep one"),
        ([theirs(ONE, file_name="8.png")], "entry 0 has the PNG 8.png, which is not in"),
        ([theirs(ONE, file_name="../7.png")], "entry 0 has the file_name '../7.png'; give the name of a PNG in"),
        ([theirs(ONE, image_id=8)], "entry 0 has the image_id 8, which no image of the data set has"),
        (
            {"categories": [{"id": 98, "name": "moon"}], "annotations": [theirs(ONE)]},
            "entry 0 has the category_id 98 ('moon'), which is no class of the data set",
        ),
        ({"categories": [{"id": 98}], "annotations": []}, "'categories' has {'id': 98}; each must have"),
        ({"categories": [], "pred": [], "annotations": 7}, "should be '['"),
    ],
)
def test_wrong_files_are_one_line(dataset, tmp_path, content, words):
    if isinstance(content, dict) and content["annotations"] == 7:
        path = tmp_path / "theirs.json"
        path.write_text(json.dumps(content))
    else:
        path = save(tmp_path, content, [[1] * 6] * 4)
    with pytest.raises(UserError, match=re.escape(words)):
        read(dataset, path)


@pytest.mark.parametrize(
    ("ids", "mode", "words"),
    [
        ([[1] * 5] * 4, "RGB", "7.png is 5x4 pixels, but its image is 6x4"),
        ([[1] * 6] * 4, "P", "7.png holds places of a palette; save three numbers per pixel, as an RGB PNG"),
        ([[1] * 6] * 4, "L", "7.png holds one number per pixel; save three"),
    ],
)
def test_wrong_pictures_are_one_line(dataset, tmp_path, ids, mode, words):
    with pytest.raises(UserError, match=re.escape(words)):
        read(dataset, save(tmp_path, [theirs(ONE)], ids, mode=mode))


def test_a_folder_without_a_file_is_one_line(dataset, tmp_path):
    (tmp_path / "maps").mkdir()
    with pytest.raises(UserError, match=r"maps has no segments_info: neither .*maps.json is there nor one JSON file"):
        read(dataset, tmp_path / "maps")
