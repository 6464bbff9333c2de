"""Lists of added tasks: a value per object and a vector per image, from what is stored to a file and back."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.prediction_files.as_prediction import to_prediction
from maskrcnn_benchmark.prediction_files.lists import Box, ObjectFile, Plain, VectorFile
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task
from maskrcnn_benchmark.utils.errors import UserError

SIZE = 6, 4


class Images:
    """Two images, of which the first is annotated for every task."""

    vocabulary = Vocabulary(thing_names=("cat", "dog"))
    layout = "coco"

    def __len__(self):
        return 2

    def get_img_info(self, index):
        return {"image_id": 70 + index, "file_name": f"{'ab'[index]}.jpg", "width": 6, "height": 4}

    def image_id(self, index):
        return 70 + index

    def category_ids(self):
        return {1: 17, 2: 18}

    def class_ids(self):
        return {"cat": 17, "dog": 18}

    def part_ids(self):
        return {}

    def tasks_of(self, index):
        return {"pose", "scene"} if index == 0 else set()


class Pose(Task):
    """A value per object."""

    key = "pose"
    per = "region"

    def __init__(self, value=None):
        self.value = value

    def files(self):
        if self.value is None:
            return super().files()
        return (ObjectFile(self.key, fields={"bbox": Box(), "pose": self.value}),)


class Scene(Task):
    """A vector per image."""

    key = "scene"

    def __init__(self, **declared):
        self.declared = declared

    def files(self):
        return (VectorFile(self.key, **self.declared),)


def written(folder, task, stored):
    with PredictionWriter(folder, Images(), [task]) as writer:
        writer.write(0, {task.key: stored})
        writer.finish()
    return folder


def read_back(folder, task, index=0):
    return PredictionReader(Images(), find_predictions(folder, [task]), [task]).read(index)[task.key]


numbers = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
rows = st.lists(
    st.fixed_dictionaries(
        {
            "category_id": st.integers(1, 2),
            "score": st.floats(0, 1),
            "bbox": st.lists(st.floats(0, 100), min_size=4, max_size=4),
            "pose": numbers | st.lists(numbers, max_size=4),
        }
    ),
    max_size=4,
)


@given(rows)
def test_any_number_and_any_list_of_numbers_of_an_object_comes_back(tmp_path_factory, stored):
    folder = written(tmp_path_factory.mktemp("lists"), Pose(), stored)
    read = read_back(folder, Pose())
    assert [{key: row[key] for key in ("category_id", "score", "bbox", "pose")} for row in read] == stored
    assert read_back(folder, Pose(), 1) == []


def pose(value, score=0.5):
    return {"category_id": 2, "score": score, "bbox": [1.0, 0.0, 2.0, 3.0], "pose": value}


def test_rows_are_plain_json_with_the_files_own_numbers(tmp_path):
    folder = written(tmp_path, Pose(), [pose([0.25, 3])])
    row = {"image_id": 70, "category_id": 18, "score": 0.5, "bbox": [1.0, 0.0, 2.0, 3.0], "pose": [0.25, 3]}
    assert json.loads((folder / "pose.json").read_text()) == [row]


def test_run_lengths_of_an_object_come_back_and_are_checked(tmp_path):
    mask = np.zeros((4, 6), np.uint8, order="F")
    mask[1:3, 2:5] = 1
    code = coco_mask.encode(mask)
    folder = written(tmp_path, Pose(), [pose(1.5), pose(code)])
    assert [row["pose"] for row in read_back(folder, Pose())] == [1.5, code]
    content = json.loads((folder / "pose.json").read_text())
    content[1]["pose"]["counts"] = content[1]["pose"]["counts"][:-1]
    (folder / "pose.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"pose\.json: entry 1, its pose: its run-length code does not decode"):
        read_back(folder, Pose())
    content[1]["pose"]["size"] = [6, 4]
    (folder / "pose.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"entry 1 has a pose of the size \[6, 4\], but its image is \[4, 6\]"):
        read_back(folder, Pose())


@pytest.mark.parametrize(
    ("value", "stored", "message"),
    [
        (None, float("nan"), "has the pose nan; it must be a finite number, a list of them, or run lengths"),
        (None, [1, float("inf")], "it must be a finite number"),
        (None, np.float32(0.5), "it must be a finite number"),
        (None, np.zeros(3), "it must be a finite number"),
        (None, True, "has the pose True"),
        (None, "left", "has the pose 'left'"),
        (None, {"size": [4, 6]}, "has the pose"),
        (Plain(3), [1, 2], r"has the pose \[1, 2\]; it must be a list of 3 finite numbers"),
    ],
)
def test_a_value_that_json_cannot_hold_is_refused_at_the_door(tmp_path, value, stored, message):
    with pytest.raises(UserError, match="pose: the prediction on image 70 .*" + message) as caught:
        written(tmp_path, Pose(value), [pose(stored)])
    assert "\n" not in str(caught.value)


def test_a_score_that_is_no_number_is_refused_at_the_door(tmp_path):
    with pytest.raises(UserError, match=r"pose\.json: the prediction on image 70 holds nan or infinity"):
        written(tmp_path, Pose(), [pose(1, score=float("nan"))])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": [1, 2]}, r"entry 0 has the pose \[1, 2\]; it must be a list of 3 finite numbers"),
        ({"pose": {"size": [4, 6], "counts": ""}}, "it must be a list of 3 finite numbers"),
        ({"bbox": [0, 0, -1, 1]}, r"has the bbox \[0, 0, -1, 1\]"),
        ({"score": None}, "has the score None"),
        ({"category_id": 3}, "has the category_id 3"),
        ({"image_id": 3}, "has the image_id 3"),
    ],
)
def test_rows_of_others_are_checked(tmp_path, change, message):
    folder = written(tmp_path, Pose(Plain(3)), [pose([1, 2, 3])])
    (row,) = json.loads((folder / "pose.json").read_text())
    (folder / "pose.json").write_text(json.dumps([{**row, **change}]))
    with pytest.raises(UserError, match=message):
        read_back(folder, Pose(Plain(3)))


def test_objects_of_a_network_are_stored_written_read_and_drawn(tmp_path):
    boxes = BoxList(torch.tensor([[1.0, 0, 2, 2], [0, 1, 5, 3]]), SIZE)
    boxes.add_field("labels", torch.tensor([2, 1]))
    boxes.add_field("scores", torch.tensor([0.25, 0.75]))
    boxes.add_field("pose", torch.tensor([[0.5, 1], [2, 3]]))
    prediction = ImagePrediction(SIZE, instances=boxes)
    stored = read_back(written(tmp_path, Pose(), Pose().encode(prediction, Images.vocabulary)), Pose())
    drawn = to_prediction({"pose": stored}, SIZE, Images.vocabulary, [Pose()]).instances
    assert drawn.bbox.tolist() == [[0, 1, 5, 3], [1, 0, 2, 2]] and drawn.get_field("labels").tolist() == [1, 2]
    assert drawn.get_field("pose").tolist() == [[2, 3], [0.5, 1]]


@given(st.data(), st.sampled_from(["float64", "float32", "int64"]))
def test_a_vector_comes_back_as_it_was(tmp_path_factory, data, dtype):
    elements = st.integers(-(10**9) + 1, 10**9 - 1) if dtype == "int64" else st.floats(-1e8, 1e8, width=32)
    stored = data.draw(arrays(dtype, st.integers(0, 5), elements=elements))
    task = Scene(dtype=dtype)
    read = read_back(written(tmp_path_factory.mktemp("lists"), task, stored), task)
    assert read.dtype == stored.dtype and np.array_equal(read, stored)


def test_vectors_are_one_row_an_image(tmp_path):
    folder = written(tmp_path, Scene(), np.array([0.5, 1 / 3]))
    assert json.loads((folder / "scene.json").read_text()) == [{"image_id": 70, "scene": [0.5, 1 / 3]}]
    drawn = to_prediction({"scene": read_back(folder, Scene())}, SIZE, Images.vocabulary, [Scene()])
    assert drawn.outputs["scene"].tolist() == pytest.approx([0.5, 1 / 3])
    held = Scene(dtype="float32").files()[0].hold(torch.tensor([0.5]))
    assert held.dtype == np.float32 and held.tolist() == [0.5]


@pytest.mark.parametrize(
    ("declared", "stored", "message"),
    [
        ({}, np.zeros(2, np.float32), r"is float32 \[2\], but its list holds float64 \[L\]"),
        ({}, np.zeros((2, 2)), r"is float64 \[2, 2\], but its list holds float64 \[L\]"),
        ({}, [0.5], "is a list, but its list holds"),
        ({}, np.array([np.nan]), "must have any finite numbers as scene, not 1 of them"),
        ({"length": 3}, np.zeros(2), "must have 3 finite numbers as scene, not 2 of them"),
    ],
)
def test_a_vector_that_does_not_fit_is_refused_at_the_door(tmp_path, declared, stored, message):
    with pytest.raises(UserError, match="scene: the prediction on image 70 " + message):
        written(tmp_path, Scene(**declared), stored)


@pytest.mark.parametrize(
    ("declared", "content", "message"),
    [
        ({}, [{"image_id": 71, "scene": [1]}], "has no entry for 1 images that are annotated for scene: first 70"),
        ({}, [{"image_id": 70, "scene": [1]}] * 2, "entry 1 predicts image 70 a second time"),
        ({}, [{"image_id": 70}], "entry 0 has no 'scene'"),
        ({}, [{"image_id": 70, "scene": 1}], "must have any finite numbers as scene, not 1"),
        ({"length": 2}, [{"image_id": 70, "scene": [1]}], "must have 2 finite numbers as scene, not 1 of them"),
        ({"dtype": "int64"}, [{"image_id": 70, "scene": [1.5]}], r"must have whole numbers as scene, not \[1\.5\]"),
    ],
)
def test_vectors_of_others_are_checked(tmp_path, declared, content, message):
    (tmp_path / "scene.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_back(tmp_path, Scene(**declared))
