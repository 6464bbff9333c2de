"""Figures, text and result files on a file in COCO's layout: the same as pycocotools' on that file."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator
from maskrcnn_benchmark.evaluation.coco.summaries import write_summary
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, PersonKeypoints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.detection import DETECTION
from maskrcnn_benchmark.tasks.instance import INSTANCE
from maskrcnn_benchmark.tasks.keypoint import KEYPOINT

PERSON = 2  # label of the category that has joints in the drawn file


def keypoint(label):
    """The evaluator where persons have a label."""
    names = (*(f"thing {k}" for k in range(1, label)), "person")
    return KeypointEvaluator(KEYPOINT, Vocabulary(thing_names=names, joints=COCO_JOINTS))


def draw_file(seed=0):
    """A small file with all that is awkward: ids out of order, boxes beyond the image, crowds, an empty image."""
    rng = np.random.default_rng(seed)
    categories, images, rows = [7, 40, 90], [], []
    for image_id in (900, 23, 100, 8, 77, 250):
        width, height = int(rng.integers(120, 200)), int(rng.integers(90, 160))
        images.append({"id": image_id, "width": width, "height": height, "file_name": f"{image_id}.jpg"})
        if image_id == 77:
            continue  # nothing annotated: what is found there is false
        for _ in range(7):
            x, y = rng.uniform(-10, 90, 2).round(2).tolist()
            w, h = rng.uniform(8, 100, 2).round(2).tolist()
            crowd = int(rng.random() < 0.15)
            code = [[x, y, x + w, y, x + w, y + h, x + 0.3 * w, y + h]]
            if crowd:
                bitmap = np.zeros((height, width), dtype=np.uint8, order="F")
                bitmap[max(0, int(y)) : int(y + h), max(0, int(x)) : int(x + w)] = 1
                code = rle.encode(bitmap)
                code = {"size": code["size"], "counts": code["counts"].decode()}
            joints = np.concatenate(
                [rng.uniform([x, y], [x + w, y + h], (17, 2)), rng.integers(0, 3, (17, 1))], 1
            ) * rng.integers(0, 2)
            rows.append(
                {
                    "id": 5000 - len(rows),
                    "image_id": image_id,
                    "category_id": int(rng.choice(categories)),
                    "bbox": [x, y, w, h],
                    "area": 0.6 * w * h,
                    "iscrowd": crowd,
                    "segmentation": code,
                    "keypoints": joints.reshape(-1).tolist(),
                    "num_keypoints": int((joints[:, 2] > 0).sum()),
                }
            )
    return {
        "info": {},
        "images": images,
        "annotations": rows,
        "categories": [{"id": k, "name": str(k)} for k in categories],
    }


class OfFile(AnnotatedDataset):
    """The parts of a data set that evaluation asks for, on a file in COCO's layout."""

    layout = "coco"

    def __init__(self, content, person=None):
        self.content = content
        self.infos = sorted(content["images"], key=lambda row: row["id"])
        self.ids = [row["id"] for row in self.infos]
        ids = sorted(row["id"] for row in content["categories"])
        self.categories = dict(enumerate(ids, 1))
        self.label = {category: label for label, category in enumerate(ids, 1)}
        self.person = person
        self.vocabulary = Vocabulary(thing_names=tuple(row["name"] for row in content["categories"]))

    def get_img_info(self, index):
        return self.infos[index]

    def category_ids(self):
        return self.categories

    def get_annotations(self, index):
        info = self.infos[index]
        size = info["width"], info["height"]
        rows = [row for row in self.content["annotations"] if row["image_id"] == info["id"]]
        people = [row for row in rows if self.person and self.label[row["category_id"]] == self.person]
        return ImageAnnotations(size, self._boxes(rows, size), self._boxes(people, size), image_id=info["id"])

    def _boxes(self, rows, size):
        boxes = BoxList(torch.tensor([row["bbox"] for row in rows]).reshape(-1, 4), size, mode="xywh").convert("xyxy")
        boxes.add_field("labels", torch.tensor([self.label[row["category_id"]] for row in rows], dtype=torch.int64))
        boxes.add_field("coco_records", rows)
        return boxes


def imagine(dataset, seed=0, joints=False):
    """A prediction per image: what is annotated, moved, twice, and with scores that often tie across images."""
    rng = torch.Generator().manual_seed(seed)
    answers = []
    for index, info in enumerate(dataset.infos):
        size = info["width"], info["height"]
        truth = dataset.get_annotations(index).instances
        boxes = truth.bbox.repeat(2, 1)
        boxes = torch.cat([boxes, torch.tensor([[10.0, 10, 60, 60]])])
        boxes = boxes + torch.randn(boxes.shape, generator=rng) * 3
        boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2])
        instances = BoxList(boxes, size).clip_to_image(remove_empty=False)
        labels = torch.cat([truth.get_field("labels").repeat(2), torch.tensor([1])])
        instances.add_field("labels", labels)
        instances.add_field("scores", torch.randint(1, 8, (len(boxes),), generator=rng) / 8.0)
        instances.add_field("mask", torch.rand(len(boxes), 1, 28, 28, generator=rng) * 0.6 + 0.3)
        if joints:
            found = [row["keypoints"] for row in truth.get_field("coco_records")] * 2 + [[30.0] * 51]
            found = torch.tensor(found).reshape(-1, 17, 3) + torch.randn(len(boxes), 17, 3, generator=rng) * 2
            instances.add_field("keypoints", PersonKeypoints(found, size))
        answers.append(ImagePrediction(size, instances=instances))
    return answers


def write_files(evaluators, dataset, answers, folder):
    with PredictionWriter(folder, dataset, [evaluator.task for evaluator in evaluators.values()]) as writer:
        for index, prediction in enumerate(answers):
            writer.write(index, {key: e.task.encode(prediction, e.vocabulary) for key, e in evaluators.items()})
        writer.finish()


def by_pycocotools(path, results, kind):
    """(COCOeval, text) of pycocotools on files alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        evaluation = COCOeval(truth, truth.loadRes(str(results)), kind)
        evaluation.evaluate()
        evaluation.accumulate()
    with contextlib.redirect_stdout(io.StringIO()) as text:
        evaluation.summarize()
    return evaluation, text.getvalue().rstrip()


def assert_equal_to_pycocotools(evaluators, dataset, answers, path, folder):
    keys = list(range(len(answers)))
    for evaluator in evaluators.values():
        order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(1)).tolist()
        for k in order:  # as several processes would bring them
            evaluator.process([answers[k]], [dataset.get_annotations(k)], [k])
    values = {task: evaluator.evaluate() for task, evaluator in evaluators.items()}
    write_files(evaluators, dataset, answers, folder)
    write_summary(evaluators, folder)
    written = (folder / "coco_summary.txt").read_text()
    for task, evaluator in evaluators.items():
        reference, text = by_pycocotools(path, folder / f"{evaluator.iou_type}.json", evaluator.iou_type)
        stats = reference.stats
        assert evaluator.scores.text == text and f"{evaluator.iou_type}\n{text}\n" in written
        assert len(evaluator.stats) == len(stats)
        for name, place in evaluator.stats.items():
            expected = np.nan if stats[place] < 0 else stats[place]
            assert values[task][name] == pytest.approx(expected, abs=1e-9, nan_ok=True), (task, name)
        assert 0.02 < values[task]["AP"] < 0.9, task
        tables = evaluator.accumulate(list(evaluator.records().values()))
        for name in ("precision", "recall", "scores"):
            # theirs have a class for each category of the file
            expected = np.take(reference.eval[name], tables.labels - 1, axis=-3)
            np.testing.assert_allclose(getattr(tables, name), expected, rtol=0, atol=1e-9, err_msg=name)
    return values


@pytest.mark.parametrize("seed", range(3))
def test_boxes_and_masks_of_a_drawn_file(tmp_path, seed):
    content = draw_file(seed)
    (tmp_path / "truth.json").write_text(json.dumps(content))
    dataset = OfFile(content)
    evaluators = build_evaluators([DETECTION, INSTANCE], Vocabulary())
    assert_equal_to_pycocotools(evaluators, dataset, imagine(dataset, seed), tmp_path / "truth.json", tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_joints_of_a_drawn_file(tmp_path, seed):
    content = draw_file(seed)
    people = [row for row in content["annotations"] if row["category_id"] == 40]
    (tmp_path / "truth.json").write_text(json.dumps({**content, "annotations": people}))
    dataset = OfFile(content, person=PERSON)
    evaluators = {"keypoint": keypoint(PERSON)}
    answers = imagine(dataset, seed, joints=True)
    assert_equal_to_pycocotools(evaluators, dataset, answers, tmp_path / "truth.json", tmp_path)


@pytest.mark.parametrize("kind", ["instances", "person_keypoints"])
def test_real_coco(real_data, tmp_path, kind):
    path = real_data / "coco_mini" / "annotations" / f"{kind}_val2017.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    joints = kind == "person_keypoints"
    content = json.loads(path.read_text())
    content["images"] = content["images"][:24]
    chosen = {row["id"] for row in content["images"]}
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] in chosen]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    dataset = OfFile(content, person=1 if joints else None)
    evaluators = build_evaluators([DETECTION, INSTANCE], Vocabulary())
    if joints:
        evaluators = {**build_evaluators([DETECTION], Vocabulary()), "keypoint": keypoint(1)}
    assert_equal_to_pycocotools(evaluators, dataset, imagine(dataset, joints=joints), path, tmp_path)


def test_result_files_speak_of_the_files_own_images_and_categories(tmp_path):
    content = draw_file()
    dataset = OfFile(content)
    evaluators = build_evaluators([DETECTION, INSTANCE], Vocabulary())
    answers = imagine(dataset)
    write_files(evaluators, dataset, answers, tmp_path)
    boxes = json.loads((tmp_path / "bbox.json").read_text())
    masks = json.loads((tmp_path / "segm.json").read_text())
    assert {row["image_id"] for row in boxes} == {8, 23, 77, 100, 250, 900}
    assert {row["category_id"] for row in boxes} == {7, 40, 90}
    assert all(set(row) == {"image_id", "category_id", "bbox", "score"} for row in boxes)
    assert len(masks) == len(boxes) and all(isinstance(row["segmentation"]["counts"], str) for row in masks)
    x1, y1, x2, y2 = answers[0].instances.bbox[0].double().tolist()
    assert boxes[0]["bbox"] == [x1, y1, x2 - x1 + 1, y2 - y1 + 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bbox.json", "classes.json", "segm.json"]


class WithoutIds(AnnotatedDataset):
    """A data set whose file has no numbers for its classes."""

    vocabulary = Vocabulary(thing_names=("cat", "dog", "person"))
    ids = tuple(f"2008_{index:06d}" for index in range(5))

    def get_img_info(self, index):
        return {"image_id": self.ids[index], "width": 20, "height": 20}


def test_a_data_set_without_ids_of_its_own_is_written_with_labels(tmp_path):
    instances = BoxList([[0.0, 0, 9, 9]], (20, 20))
    instances.add_field("labels", torch.tensor([3]))
    instances.add_field("scores", torch.tensor([0.5]))
    stored = DETECTION.encode(ImagePrediction((20, 20), instances=instances), WithoutIds.vocabulary)
    with PredictionWriter(tmp_path, WithoutIds(), [DETECTION]) as writer:
        writer.write(4, {"detection": stored})
        writer.finish()
    expected = {"image_id": "2008_000004", "category_id": 3, "bbox": [0.0, 0.0, 10.0, 10.0], "score": 0.5}
    assert json.loads((tmp_path / "bbox.json").read_text()) == [expected]
