"""Scores from files: the same, to the last digit, as from memory, with and without worker processes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.trivial import TrivialPredictor
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.tasks.boundary import BOUNDARY
from maskrcnn_benchmark.tasks.detection import DETECTION
from maskrcnn_benchmark.tasks.occlusion import OcclusionPrediction
from maskrcnn_benchmark.tasks.part import PartPrediction
from maskrcnn_benchmark.tasks.task import tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

QUICK = Evaluation(list(TASKS.values()), Protocols(EdgeProtocol(thresholds=5)))


def reader_of(dataset, folder):
    return PredictionReader(dataset, find_predictions(folder, QUICK.tasks), QUICK.tasks)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = write_mini_detail(tmp_path_factory.mktemp("data") / "mini", num_train=0, num_val=6)
    return DetailDataset(root / "annotations.json", None, "val", parts="person")


def disturbed(dataset, index, rng):
    """Random answers of every task that are right in places."""
    truth = dataset.get_annotations(index)
    (width, height), names = truth.size, dataset.vocabulary
    boxes, masks, people, bodies = [], [], [], []
    bitmaps = truth.instances.get_field("masks").get_mask_tensor().numpy().reshape(-1, height, width)
    for bitmap, label in zip(
        bitmaps.repeat(2, axis=0), truth.instances.get_field("labels").repeat_interleave(2).tolist()
    ):
        code = coco_mask.encode(np.asfortranarray(np.roll(bitmap, rng.integers(-4, 5, 2), (0, 1))))
        score = float(rng.random(dtype=np.float32))
        box = (coco_mask.toBbox(code) + rng.normal(0, 1, 4)).clip(0).tolist()
        row = {"category_id": label, "score": score}
        boxes.append({**row, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        masks.append({**row, "segmentation": code, "area": float(coco_mask.area(code)), "iscrowd": 0})
        if names.thing_names[label - 1] == "person":
            bodies.append({**row, "parts": [{"part": k, "segmentation": code} for k in (1, 3)]})
    person = names.thing_names.index("person") + 1
    for joints in [] if truth.people is None else truth.people.get_field("keypoints").keypoints.double().numpy():
        joints = joints + rng.normal(0, 6, joints.shape)
        low, extent = joints[:, :2].min(0), np.ptp(joints[:, :2], axis=0)
        around = {"bbox": [*low.tolist(), *extent.tolist()], "area": float(extent.prod()), "iscrowd": 0}
        people.append(
            {"category_id": person, "keypoints": joints.reshape(-1).tolist(), "score": rng.random(), **around}
        )

    def noise(high, dtype=np.uint8):
        return rng.integers(0, high, (height, width), dtype=dtype)

    semantic = np.where(noise(2) > 0, truth.semantic.labels.numpy(), noise(len(names.semantic_names)))
    edges = 0 if truth.boundary is None else truth.boundary.edges.numpy()
    return {
        "detection": boxes,
        "instance": masks,
        "keypoint": people,
        "part": PartPrediction(noise(len(names.parts) + 1), bodies),
        "semantic": np.where(semantic == 255, 0, semantic).astype(np.uint8),
        "boundary": np.maximum(noise(100), edges * np.uint8(200)),
        "occlusion": OcclusionPrediction(np.maximum(noise(100), edges * np.uint8(150)), noise(65536, np.uint16)),
        "classification": rng.random(len(names.image_label_names)),
    }


@pytest.fixture(scope="module")
def scored(dataset, tmp_path_factory):
    """(folder with random answers of all tasks, evaluators that were given the same answers in memory)."""
    folder, rng = tmp_path_factory.mktemp("predictions"), np.random.default_rng(0)
    evaluators = build_evaluators(QUICK.tasks, dataset.vocabulary, QUICK.protocols)
    with PredictionWriter(folder, dataset, QUICK.tasks) as writer:
        for index in range(len(dataset)):
            target = dataset.get_annotations(index)
            stored = disturbed(dataset, index, rng)
            writer.write(index, stored)
            for evaluator in evaluators.values():
                evaluator.process([stored], [target], [index])
        writer.finish()
    for evaluator in evaluators.values():
        evaluator.evaluate()
    return folder, evaluators


@pytest.mark.parametrize("workers", [0, 2])
def test_every_metric_of_every_task_is_equal_from_memory_and_from_files(dataset, scored, workers):
    folder, from_memory = scored
    from_files = score_files(replace(QUICK, workers=workers), dataset, reader_of(dataset, folder))
    assert list(from_files) == list(TASKS)
    for task, evaluator in from_memory.items():
        metrics = from_files[task].scores.metrics
        # repr, so that nan equals nan and every digit counts
        assert repr(metrics) == repr(evaluator.scores.metrics), task
        assert any(0 < value < 1 for value in metrics.values()), task
        assert repr(from_files[task].image_scores()) == repr(evaluator.image_scores()), task


def test_a_tested_networks_results_and_those_of_the_files_it_leaves_are_equal(dataset, tmp_path):
    annotations = map(dataset.get_annotations, range(len(dataset)))
    predictor = TrivialPredictor(TASKS.values(), dataset.vocabulary).fit(annotations)

    class Network(torch.nn.Module):
        def forward(self, images):
            return [predictor.predict((width, height)) for height, width in images.image_sizes]

    class Pictures(torch.utils.data.Dataset):
        vocabulary = dataset.vocabulary

        def __getattr__(self, name):
            return getattr(dataset, name)

        def __len__(self):
            return len(dataset)

        def __getitem__(self, index):
            info = dataset.get_img_info(index)
            # the network sees the image at another size than that in which it is judged
            return torch.zeros(3, info["height"] // 2, info["width"] // 2), dataset.get_annotations(index), index

    def collate(batch):
        images, targets, indices = zip(*batch)
        return to_image_list(images), targets, indices

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=4, collate_fn=collate)
    results = QUICK.run(InferenceNetwork(Network(), "cpu"), loader, "mini", tmp_path)
    evaluators = score_files(QUICK, dataset, reader_of(dataset, tmp_path))
    assert list(results) == list(evaluators) == list(TASKS)
    for task, result in results.items():
        assert repr(result["metrics"]) == repr(evaluators[task].scores.metrics), task
    # an image on which a task is not annotated has its answer in the files, too
    assert not all("part" in dataset.tasks_of(index) for index in range(len(dataset)))
    assert len(list((tmp_path / "part").iterdir())) == len(dataset)


def test_only_the_tasks_that_are_wanted_are_read(dataset, scored):
    folder, from_memory = scored
    sources = {"detection": folder / "bbox.json", "boundary": folder / "boundary"}
    evaluation = Evaluation([DETECTION])
    evaluators = score_files(evaluation, dataset, PredictionReader(dataset, sources, evaluation.tasks))
    assert list(evaluators) == ["detection"]
    assert evaluators["detection"].scores.metrics == from_memory["detection"].scores.metrics


def test_a_bad_map_in_a_worker_is_the_users_error(dataset, scored, tmp_path):
    folder, _ = scored
    (tmp_path / "boundary").mkdir()
    for path in (folder / "boundary").iterdir():
        (tmp_path / "boundary" / path.name).write_bytes(path.read_bytes()[:-40])
    reader = PredictionReader(dataset, {"boundary": tmp_path / "boundary"}, [BOUNDARY])
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"boundary/2008_\d+.png cannot be decoded"):
            score_files(Evaluation([BOUNDARY], workers=workers), dataset, reader)
