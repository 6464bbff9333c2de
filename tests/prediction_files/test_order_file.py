"""The list of orders of occlusion, from what is stored to a file and back."""

import json

import numpy as np
import pytest

from maskrcnn_benchmark.prediction_files.reader import PredictionReader
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.occlusion_order import OcclusionOrder
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

TASK = TASKS["occlusion_order"]


SIZE = 6, 4


class Images:
    """Two images, of which the first is annotated."""

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
        return {TASK.key} if index == 0 else set()


def order():
    masks = np.zeros((2, SIZE[1], SIZE[0]), bool)
    masks[0, :, :3], masks[1, 1:, 2:] = True, True
    votes = np.array([[0.0, 0.0], [2.25, 0.0]])
    return OcclusionOrder(np.array([4, 7]), np.array([2, 1]), np.array([0.75, 0.5]), masks, votes, votes > 0)


def stored():
    outputs = {TASK.key: Computed(order, SIZE)}
    return TASK.encode(ImagePrediction(SIZE, outputs=outputs), Images.vocabulary)


def write(folder, held):
    with PredictionWriter(folder, Images(), [TASK]) as writer:
        writer.write(0, {TASK.key: held})
        writer.finish()
    return folder / "occlusion_order.json"


def read(path):
    return PredictionReader(Images(), {TASK.key: path}, [TASK]).read(0)[TASK.key]


def test_what_is_stored_comes_back_from_a_file(tmp_path):
    path = write(tmp_path, stored())
    (row,) = json.loads(path.read_text())
    assert row["image_id"] == 70 and row["order"] == [[1, 0, 2.25]]
    assert [each["category_id"] for each in row["objects"]] == [18, 17]
    assert read(path) == stored()
    decoded = TASK.decode(read(path), SIZE, Images.vocabulary).value
    expected = order()
    assert decoded.objects.tolist() == [0, 1]
    for name in ("labels", "scores", "masks", "votes", "in_front"):
        np.testing.assert_array_equal(getattr(decoded, name), getattr(expected, name))


def test_an_image_without_objects_has_an_entry(tmp_path):
    nothing = {"objects": [], "order": []}
    path = write(tmp_path, nothing)
    assert read(path) == nothing and TASK.decode(nothing, SIZE, Images.vocabulary).value.size == SIZE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": [[0, 2, 1.0]]}, r"entry 0 has \[0, 2, 1.0\] in its order; .* two of its 2 objects"),
        ({"order": [[1, 1, 1.0]]}, "in its order"),
        ({"order": [[0, 1]]}, r"it must be \[i, j, votes\]"),
        ({"order": [[0, 1, 0]]}, "a number above 0"),
        ({"order": [[0, 1, 1], [0, 1, 2]]}, r"\[0, 1\] in its order twice"),
        ({"order": {}}, "has the order .* must be a list"),
        ({"objects": [3]}, "its object 0 is 3; it must be an object"),
        ({"objects": [{"category_id": 5, "score": 1}]}, "object 0 has the category_id 5"),
        ({"objects": [{"category_id": 17, "score": 1}]}, "object 0 has no 'segmentation'"),
        ({"objects": [{"category_id": 17, "score": "high"}]}, "its object 0 has the score"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, change, message):
    path = write(tmp_path, stored())
    (row,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**row, **change}]))
    with pytest.raises(UserError, match=message):
        read(path)


def test_run_lengths_must_fill_the_image(tmp_path):
    path = write(tmp_path, stored())
    (row,) = json.loads(path.read_text())
    row["objects"][0]["segmentation"] = {"size": [4, 6], "counts": [3, 4]}
    path.write_text(json.dumps([row]))
    with pytest.raises(UserError, match="entry 0"):
        read(path)
