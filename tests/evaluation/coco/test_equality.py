"""Every number of COCO-style evaluation against pycocotools on awkward random rows: ties, crowds, borders, id 0."""

import contextlib
import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator
from maskrcnn_benchmark.evaluation.coco.style import DetectionEvaluator, InstanceEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.detection import DETECTION
from maskrcnn_benchmark.tasks.instance import INSTANCE
from maskrcnn_benchmark.tasks.keypoint import KEYPOINT

SIZE = (160, 120)
CLASSES = ("dog", "cat", "car")
KINDS = ("bbox", "segm", "keypoints")


def draw(kind, seed, images=7):
    """(a COCO file's content, results): few distinct boxes and scores, so that overlaps and scores often tie."""
    rng = np.random.default_rng(seed)
    annotations, results = [], []
    for image in range(images, 0, -1):
        rows = [_row(rng, kind, image) for _ in range(rng.integers(0, 6))]
        for row in rows:
            row.update(id=len(annotations), iscrowd=int(rng.random() < 0.2))
            row["area"] = float(rng.choice([32**2, 96**2, 32**2 - 0.5, row["bbox"][2] * row["bbox"][3]]))
            annotations.append(row)
        for _ in range(130 if image == 2 else rng.integers(0, 12)):
            row = _row(rng, kind, image)
            if rows and rng.random() < 0.6:
                source = rows[rng.integers(len(rows))]
                row = {key: copy.deepcopy(source[key]) for key in row}
            if kind == "keypoints":
                moved = np.array(row["keypoints"]).reshape(-1, 3)
                moved[:, :2] += rng.integers(-3, 4, (1, 2)) * (rng.random() < 0.7)
                row["keypoints"] = moved.reshape(-1).tolist()
            row.pop("bbox" if kind != "bbox" else "segmentation")
            if kind == "segm" and isinstance(row["segmentation"], list):
                row["segmentation"] = _run_length(row["segmentation"])
            row.pop("num_keypoints", None)
            results.append({**row, "score": float(rng.integers(1, 6)) / 8})
    infos = [{"id": image, "width": SIZE[0], "height": SIZE[1]} for image in range(1, images + 1)]
    categories = [{"id": label} for label in range(1, 1 + (1 if kind == "keypoints" else len(CLASSES)))]
    return {"images": infos, "annotations": annotations, "categories": categories}, results


def _row(rng, kind, image):
    x, y = rng.integers(0, 4, 2) * 10
    w, h = rng.integers(1, 9, 2) * 12
    row = {"image_id": image, "category_id": int(rng.integers(1, len(CLASSES) + 1)), "bbox": [x, y, w, h]}
    row["bbox"] = [float(v) for v in row["bbox"]]
    row["segmentation"] = [[float(v) for v in (x, y, x + w, y, x + w, y + h, x + w / 2, y + h)]]
    if rng.random() < 0.3:
        row["segmentation"] = _run_length(row["segmentation"])
    if kind == "keypoints":
        joints = np.concatenate([rng.uniform([x, y], [x + w, y + h], (14, 2)), rng.integers(0, 3, (14, 1))], 1)
        joints *= rng.random() < 0.8
        row.update(category_id=1, keypoints=joints.reshape(-1).tolist(), num_keypoints=int((joints[:, 2] > 0).sum()))
        row.pop("segmentation")
    return row


def _run_length(polygons):
    return rle.merge(rle.frPyObjects(polygons, SIZE[1], SIZE[0]))


def by_pycocotools(content, results, kind, change=lambda params: None):
    """A COCOeval that has accumulated."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(content)
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), kind)
        evaluation.params.kpt_oks_sigmas = np.array(DETAIL_JOINTS.sigmas)
        change(evaluation.params)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def ours(evaluator, content, results, split=None):
    """The evaluator after the rows; with `split`, images up to it were seen by another process."""
    other = copy.deepcopy(evaluator)
    for info in content["images"]:
        image = info["id"]
        rows = [row for row in content["annotations"] if row["image_id"] == image]
        boxes = BoxList(torch.tensor([row["bbox"] for row in rows]).reshape(-1, 4), SIZE, mode="xywh").convert("xyxy")
        boxes.add_field("labels", torch.tensor([row["category_id"] for row in rows], dtype=torch.int64))
        boxes.add_field("coco_records", rows)
        target = ImageAnnotations(SIZE, boxes, boxes, image_id=image)
        answer = {evaluator.task.key: [row for row in results if row["image_id"] == image]}
        (other if split and image <= split else evaluator).process([answer], [target])
    evaluator.merge([pickle.loads(pickle.dumps(other.state()))])
    evaluator.evaluate()
    return evaluator


def evaluator_of(kind, protocol="coco"):
    if kind == "keypoints":
        return KeypointEvaluator(KEYPOINT, Vocabulary(thing_names=("person",), joints=DETAIL_JOINTS))
    make, task = {"bbox": (DetectionEvaluator, DETECTION), "segm": (InstanceEvaluator, INSTANCE)}[kind]
    return make(task, Vocabulary(thing_names=CLASSES), protocol)


def assert_same_tables(evaluator, reference):
    tables = evaluator.accumulate(list(evaluator.records().values()))
    for name in ("precision", "recall", "scores"):
        np.testing.assert_array_equal(getattr(tables, name), reference.eval[name], err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6))
def test_every_number_is_pycocotools(kind, seed):
    content, results = draw(kind, seed)
    if not content["annotations"] or not results:
        return
    evaluator, reference = ours(evaluator_of(kind), content, results), by_pycocotools(content, results, kind)
    assert_same_tables(evaluator, reference)
    with contextlib.redirect_stdout(io.StringIO()) as text:
        reference.summarize()
    if evaluator.scores.text:
        assert evaluator.scores.text == text.getvalue().rstrip()
    for name, place in evaluator.stats.items():
        expected = reference.stats[place] if reference.stats[place] >= 0 else np.nan
        assert evaluator.scores.metrics[name] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("seed", range(4))
def test_details_protocol_has_one_range_of_areas_and_any_number_of_detections(kind, seed):
    def change(params):
        params.areaRng, params.areaRngLbl, params.maxDets = [[0, 1e10]], ["all"], [1, 10, 100, 10**6]

    content, results = draw(kind, seed)
    evaluator = ours(evaluator_of(kind, "detail"), content, results)
    reference = by_pycocotools(content, results, kind, change)
    assert_same_tables(evaluator, reference)
    precision, recall = reference.eval["precision"], reference.eval["recall"]
    mean = {"AP": precision[..., -1], "AP50": precision[0, ..., -1], "AP75": precision[5, ..., -1]}
    mean |= {"AR": recall[..., 3], "AR@1": recall[..., 0], "AR@10": recall[..., 1], "AR@100": recall[..., 2]}
    expected = {name: values[values > -1].mean() for name, values in mean.items()}
    assert evaluator.scores.metrics == pytest.approx(expected, abs=1e-12)
    assert 0 < expected["AR@1"] < expected["AR"]


@pytest.mark.parametrize("kind", KINDS)
def test_images_seen_by_two_processes_in_any_order_give_the_same(kind):
    content, results = draw(kind, 3)
    whole, parts = ours(evaluator_of(kind), content, results), ours(evaluator_of(kind), content, results, split=4)
    assert parts.scores.metrics == pytest.approx(whole.scores.metrics, abs=0, nan_ok=True)
    assert_same_tables(parts, by_pycocotools(content, results, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_alone_has_the_average_precision_of_a_data_set_of_that_image(kind):
    content, results = draw(kind, 5)
    scores = ours(evaluator_of(kind), content, results).image_scores()
    compared = 0
    for info in content["images"]:
        alone = {
            **content,
            "images": [info],
            "annotations": [row for row in content["annotations"] if row["image_id"] == info["id"]],
        }
        found = [row for row in results if row["image_id"] == info["id"]]
        if alone["annotations"] and found:
            precision = by_pycocotools(alone, found, kind).eval["precision"][:, :, :, 0, -1]
            if (precision > -1).any():
                assert scores[info["id"]] == pytest.approx(precision[precision > -1].mean(), abs=1e-12)
                compared += 1
    assert compared >= 3


def test_details_own_similarity_is_pycocotools_with_its_sigma_and_areas_of_boxes():
    content, results = draw("keypoints", 1)
    evaluator = ours(evaluator_of("keypoints"), content, results)
    for row in content["annotations"]:
        row["area"] = row["bbox"][2] * row["bbox"][3]
    reference = by_pycocotools(
        content, results, "keypoints", lambda params: setattr(params, "kpt_oks_sigmas", np.full(14, 0.5))
    )
    precision = reference.eval["precision"][:, :, 0, 0, 0]
    metrics = evaluator.scores.metrics
    assert metrics["AP-detail-OKS"] == pytest.approx(precision.mean(), abs=1e-12)
    assert metrics["AP50-detail-OKS"] == pytest.approx(precision[0].mean(), abs=1e-12)
    assert metrics["AP75-detail-OKS"] == pytest.approx(precision[5].mean(), abs=1e-12)
    assert metrics["AP"] < metrics["AP-detail-OKS"] < 1
