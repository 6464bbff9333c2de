"""A result's answers are those that the evaluation scores, and its files are read by it."""

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
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.predict.result import THRESHOLDS
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

EVERYTHING = dict.fromkeys(("detection", "instance", "keypoint", "part"), 0.0)


@pytest.fixture(scope="module")
def predictor(small):
    return Predictor(small.checkpoint, device="cpu", thresholds=EVERYTHING)


@pytest.fixture(scope="module")
def result(small, predictor):
    return predictor(small.images[0])


def test_answers_have_the_shapes_that_are_documented(small, result):
    width, height = Image.open(small.images[0]).size
    count, joints = len(result.detection), len(small.vocabulary.joints)
    assert count == 6 and result.size == (width, height)
    assert result.detection.boxes.shape == (6, 4) and result.detection.scores.shape == (6,)
    assert result.detection.boxes[:, 2::2].max() <= width - 1 and result.detection.boxes[:, 3::2].max() <= height - 1
    assert result.detection.names == [small.vocabulary.thing_names[k - 1] for k in result.detection.labels.tolist()]
    assert result.instance.masks.shape == (6, height, width) and result.instance.masks.dtype == torch.bool
    people = result.detection.names.count("person")
    assert result.keypoint.keypoints.shape == (people, joints, 3)
    assert result.part.shape == result.semantic.shape == result.boundary.shape == (height, width)
    assert result.part.dtype == result.semantic.dtype == torch.uint8
    assert result.occlusion.shape == (3, height, width)
    assert result.classification.shape == (len(small.vocabulary.image_label_names),)
    assert result["semantic"] is result.semantic
    with pytest.raises(KeyError, match="there is no task 'depth'"):
        result["depth"]


def test_answers_are_those_that_are_scored(result):
    answers = result.with_thresholds({"part": SCORE_THRESHOLD}).answers
    best_first = sorted(answers["detection"], key=lambda row: -row["score"])
    boxes = torch.tensor([row["bbox"] for row in best_first])
    ours = result.detection.boxes
    torch.testing.assert_close(torch.cat([ours[:, :2], ours[:, 2:] - ours[:, :2] + 1], 1), boxes)
    assert [row["score"] for row in best_first] == result.instance.scores.tolist()
    for row, mask in zip(sorted(answers["instance"], key=lambda row: -row["score"]), result.instance.masks):
        assert np.array_equal(coco_mask.decode(row["segmentation"]), mask.numpy())
    assert np.array_equal(answers["semantic"], result.semantic.numpy())
    assert np.array_equal(answers["part"].labels, result.with_thresholds({"part": SCORE_THRESHOLD}).part.numpy())
    assert np.abs(answers["boundary"] / 255 - result.boundary.numpy()).max() <= 0.5 / 255 + 1e-6
    assert answers["classification"].tolist() == result.classification.tolist()


def test_saved_results_score_as_the_network_itself_does(small, predictor, tmp_path):
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


def test_a_folder_of_other_classes_or_damaged_is_refused(small, result, tmp_path):
    result.save(tmp_path / "a")
    (tmp_path / "a" / "bbox.json").write_text("[1, 2")
    with pytest.raises(UserError, match=r"bbox.json is damaged"):
        result.save(tmp_path / "a")
    result.save(tmp_path / "b")
    classes = json.loads((tmp_path / "b" / "classes.json").read_text())
    classes["things"] = classes["things"][::-1]
    (tmp_path / "b" / "classes.json").write_text(json.dumps(classes))
    with pytest.raises(UserError, match="numbered in another way; choose another folder"):
        result.save(tmp_path / "b")


def test_json_holds_what_the_files_hold(small, result, tmp_path):
    result.save(tmp_path)
    tree = json.loads(result.to_json())
    assert (tree["image_id"], tree["width"], tree["height"]) == (small.images[0].stem, *result.size)
    assert tree["answers"]["detection"] == json.loads((tmp_path / "bbox.json").read_text())
    assert tree["answers"]["parts"] == json.loads((tmp_path / "parts.json").read_text())
    for folder in ("part", "semantic", "boundary", "occlusion", "occlusion_direction"):
        image = Image.open(io.BytesIO(base64.b64decode(tree["maps"][folder])))
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(tmp_path / folder / f"{result.name}.png")))
    assert tree["classes"] == json.loads((tmp_path / "classes.json").read_text())


def test_thresholds_choose_without_the_network(result, small, monkeypatch):
    scores = result.detection.scores
    middle = float(scores[2] + scores[3]) / 2
    fewer = result.with_thresholds({"detection": middle})
    assert len(fewer.detection) == 3 and len(result.detection) == 6 and len(fewer.instance) == 6
    strict = result.with_thresholds({"semantic": 1.0})
    assert (strict.semantic == 255).all() and (result.semantic < 255).all()
    assert result.thresholds == THRESHOLDS | EVERYTHING


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [({"depth": 0.5}, "is for a task of detection.*not for 'depth'"), ({"part": 1.5}, "from 0 to 1, not 1.5")],
)
def test_thresholds_that_make_no_sense(result, thresholds, message):
    with pytest.raises(UserError, match=message):
        result.with_thresholds(thresholds)


def test_pictures(result):
    one = result.draw("boundary")
    grid = result.draw()
    assert one.mode == grid.mode == "RGB" and grid.width > 2.5 * one.width and grid.height > 2.5 * one.height
    two = result.draw(["detection", "semantic"])
    assert two.height < grid.height / 2
    none = result.draw("detection", thresholds={"detection": 1.0})
    assert np.any(np.asarray(none) != np.asarray(result.draw("detection")))
    with pytest.raises(UserError, match="task 'depth' is not answered; there are detection"):
        result.draw("depth")
