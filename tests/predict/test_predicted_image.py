"""What is predicted on an image is what the evaluation scores, and its files are read by it."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.build import make_data_loader
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.evaluation.parts.part import SCORE_THRESHOLD
from maskrcnn_benchmark.predict.predicted_image import PredictedImage
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.task import RESERVED_KEYS, tasks_of_layout
from maskrcnn_benchmark.tasks.task import TASKS as ALL_TASKS
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

EVERYTHING = dict.fromkeys(("detection", "instance", "keypoint", "part"), 0.0)


@pytest.fixture(scope="module")
def predictor(small):
    return Predictor(small.checkpoint, device="cpu", thresholds=EVERYTHING)


@pytest.fixture(scope="module")
def predicted(small, predictor):
    return predictor(small.images[0])


def test_views_have_the_shapes_that_are_documented(small, predicted):
    width, height = Image.open(small.images[0]).size
    found, joints = predicted.detection, len(small.vocabulary.joints)
    assert len(found) == 6 and predicted.size == (width, height)
    assert found.boxes.shape == (6, 4) and found.scores.shape == (6,)
    assert found.boxes[:, 2::2].max() <= width - 1 and found.boxes[:, 3::2].max() <= height - 1
    assert found.names == [small.vocabulary.thing_names[k - 1] for k in found.labels.tolist()]
    assert predicted.instance.masks.shape == (6, height, width) and predicted.instance.masks.dtype == torch.bool
    persons = found.names.count("person")
    assert predicted.keypoint.keypoints.shape == (persons, joints, 3)
    assert predicted.part.shape == predicted.semantic.shape == predicted.boundary.shape == (height, width)
    assert predicted.part.dtype == predicted.semantic.dtype == torch.uint8
    assert predicted.occlusion.shape == (3, height, width)
    assert predicted.classification.shape == (len(small.vocabulary.image_label_names),)
    assert predicted["semantic"] is predicted.semantic
    with pytest.raises(KeyError, match="there is no task 'flow'"):
        predicted["flow"]
    with pytest.raises(AttributeError, match="a predicted image has no 'flow'; its tasks are detection, instance"):
        predicted.flow  # noqa: B018


def test_an_output_that_cannot_be_resized_is_named_by_its_own_error(predicted):
    strange = ImagePrediction(predicted.size, outputs={"semantic": "no map"})
    strange = PredictedImage(predicted.image, strange, predicted.vocabulary, ["semantic"])
    with pytest.raises(AttributeError, match="'str' object has no attribute 'resize'"):
        strange.semantic  # noqa: B018


def test_the_plain_prediction_is_at_hand_whatever_the_thresholds_are(predicted):
    outputs = predicted.with_thresholds({"detection": 1.0, "semantic": 1.0}).prediction.outputs
    assert len(outputs["detection"]) == 6 and outputs["detection"].size == predicted.size
    assert outputs["semantic"].scores.argmax(0).equal(predicted.semantic.long())
    width, height = predicted.size
    assert predicted.nbytes > width * height * 4 * len(predicted.vocabulary.semantic_names)


def test_views_are_what_is_scored(predicted):
    stored = predicted.stored
    best_first = sorted(stored["detection"], key=lambda row: -row["score"])
    boxes = torch.tensor([row["bbox"] for row in best_first])
    ours = predicted.detection.boxes
    torch.testing.assert_close(torch.cat([ours[:, :2], ours[:, 2:] - ours[:, :2] + 1], 1), boxes)
    assert [row["score"] for row in best_first] == predicted.instance.scores.tolist()
    for row, mask in zip(sorted(stored["instance"], key=lambda row: -row["score"]), predicted.instance.masks):
        assert np.array_equal(coco_mask.decode(row["segmentation"]), mask.numpy())
    assert np.array_equal(stored["semantic"], predicted.semantic.numpy())
    assert np.array_equal(stored["part"].labels, predicted.with_thresholds({"part": SCORE_THRESHOLD}).part.numpy())
    assert np.abs(stored["boundary"] / 255 - predicted.boundary.numpy()).max() <= 0.5 / 255 + 1e-6
    assert stored["classification"].tolist() == predicted.classification.tolist()


def test_saved_predictions_score_as_the_network_itself_does(small, predictor, tmp_path):
    (loader,) = make_data_loader(small.cfg, is_train=False)
    evaluation = Evaluation(list(TASKS.values()))
    direct = evaluation.run(InferenceNetwork(small.model, "cpu"), loader, "mini_detail_val")
    dataset = loader.dataset
    for index in range(len(dataset)):
        predictor(dataset.root / dataset.get_img_info(index)["file_name"]).save(tmp_path)
    reader = PredictionReader(dataset, find_predictions(tmp_path, evaluation.tasks), evaluation.tasks)
    evaluators = score_files(evaluation, dataset, reader)
    for task in TASKS:
        for name, value in direct[task]["metrics"].items():
            # the predictor folds batch norms: a pixel near a threshold may fall on its other side
            assert evaluators[task].scores.metrics[name] == pytest.approx(value, abs=1e-4, nan_ok=True), (task, name)


def test_a_folder_keeps_other_images_and_replaces_its_own(small, predictor, tmp_path):
    first, second = (predictor(path) for path in small.images[:2])
    first.save(tmp_path)
    second.save(tmp_path)
    before = json.loads((tmp_path / "bbox.json").read_text())
    assert [row["image_id"] for row in before] == [second.name] * 6 + [first.name] * 6
    first.save(tmp_path)
    after = json.loads((tmp_path / "bbox.json").read_text())
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert {path.stem for path in (tmp_path / "semantic").iterdir()} == {first.name, second.name}


def test_a_folder_of_other_classes_or_damaged_is_refused(small, predicted, tmp_path):
    predicted.save(tmp_path / "a")
    (tmp_path / "a" / "bbox.json").write_text("[1, 2")
    with pytest.raises(UserError, match=r"bbox.json is damaged"):
        predicted.save(tmp_path / "a")
    predicted.save(tmp_path / "b")
    classes = json.loads((tmp_path / "b" / "classes.json").read_text())
    classes["things"] = classes["things"][::-1]
    (tmp_path / "b" / "classes.json").write_text(json.dumps(classes))
    with pytest.raises(UserError, match="numbered in another way; choose another folder"):
        predicted.save(tmp_path / "b")


def test_json_holds_what_the_files_hold(small, predicted, tmp_path):
    predicted.save(tmp_path)
    tree = json.loads(predicted.to_json())
    assert (tree["image_id"], tree["width"], tree["height"]) == (small.images[0].stem, *predicted.size)
    assert tree["answers"]["detection"] == json.loads((tmp_path / "bbox.json").read_text())
    assert tree["answers"]["parts"] == json.loads((tmp_path / "parts.json").read_text())
    for folder in ("part", "semantic", "boundary", "occlusion", "occlusion_direction"):
        image = Image.open(io.BytesIO(base64.b64decode(tree["maps"][folder])))
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / folder / f"{predicted.name}.png")))
    assert tree["classes"] == json.loads((tmp_path / "classes.json").read_text())


def test_json_of_a_large_image_has_masks_and_maps_of_its_shrunk_image(predicted):
    full, tree = predicted.to_dict(largest=None), predicted.to_dict(largest=32)
    width, height = tree["map_width"], tree["map_height"]
    assert max(width, height) == 32 and "map_width" not in full and full == predicted.to_dict()
    assert (tree["width"], tree["height"]) == predicted.size
    for task in ("detection", "keypoint", "classification"):  # in pixels of the image, or without any
        assert tree["answers"][task] == full["answers"][task]
    for row, same in zip(tree["answers"]["instance"], full["answers"]["instance"]):
        assert row["segmentation"]["size"] == [height, width] and row["score"] == same["score"]
        share, true = (
            coco_mask.area(mask["segmentation"]) / np.prod(mask["segmentation"]["size"]) for mask in (row, same)
        )
        assert share == pytest.approx(true, abs=0.02)
    for data in tree["maps"].values():
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (width, height)


def test_thresholds_choose_without_the_network(predicted, small, monkeypatch):
    scores = predicted.detection.scores
    middle = float(scores[2] + scores[3]) / 2
    fewer = predicted.with_thresholds({"detection": middle})
    assert len(fewer.detection) == 3 and len(predicted.detection) == 6 and len(fewer.instance) == 6
    assert fewer.instance is predicted.instance  # what depends on other thresholds is not made anew
    strict = predicted.with_thresholds({"semantic": 1.0})
    assert (strict.semantic == 255).all() and (predicted.semantic < 255).all()
    assert predicted.thresholds == {key: task.threshold for key, task in ALL_TASKS.items()} | EVERYTHING


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [({"flow": 0.5}, "is for a task of detection.*not for 'flow'"), ({"part": 1.5}, "from 0 to 1, not 1.5")],
)
def test_thresholds_that_make_no_sense(predicted, thresholds, message):
    with pytest.raises(UserError, match=message):
        predicted.with_thresholds(thresholds)


def test_pictures(predicted):
    one = predicted.draw("boundary")
    grid = predicted.draw()
    assert one.mode == grid.mode == "RGB" and grid.width > 2.5 * one.width and grid.height > 2.5 * one.height
    two = predicted.draw(["detection", "semantic"])
    assert two.height < grid.height / 2
    none = predicted.draw("detection", thresholds={"detection": 1.0})
    assert np.any(np.asarray(none) != np.asarray(predicted.draw("detection")))
    with pytest.raises(UserError, match="task 'flow' is not predicted; there are detection"):
        predicted.draw("flow")


def test_no_added_task_can_hide_a_member(predicted):
    members = {name for name in (*dir(type(predicted)), *vars(predicted)) if not name.startswith("_")}
    assert members - RESERVED_KEYS == set()
