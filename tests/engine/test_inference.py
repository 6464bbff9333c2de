"""The inference loop and the trivial predictor's figures, on one task whose figures can be told by hand."""

import json
import math
from dataclasses import replace

import pytest
import torch

from maskrcnn_benchmark.data.collate_batch import BBoxAugCollator
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork, inference, predict
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.engine.trivial_baseline import kept_metrics, trivial_metrics
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.classification import CLASSIFICATION
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

LABELS_ALONE = Evaluation([CLASSIFICATION])
LABELS = [[1, 0], [0, 1], [1, 1], None]


class Labelled(torch.utils.data.Dataset):
    """Four images of 8x6 pixels; the last one was not annotated."""

    vocabulary = Vocabulary(image_label_names=("cat", "dog"), thing_names=("cat",))

    def __len__(self):
        return 4

    def get_img_info(self, index):
        return {"width": 8, "height": 6, "file_name": f"{index}.jpg", "image_id": index + 100}

    def get_annotations(self, index):
        classes = None if LABELS[index] is None else torch.tensor(LABELS[index], dtype=torch.float32)
        return ImageAnnotations((8, 6), classes=classes, image_id=index + 100)

    def __getitem__(self, index):
        return torch.full((3, 3, 4), float(index)), self.get_annotations(index), index


class Oracle(torch.nn.Module):
    """Knows each image's labels by its colour; answers in the network's input pixels, 4x3."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        assert not self.training and not torch.is_grad_enabled()
        self.seen.append(len(images.image_sizes))
        labels = [LABELS[int(tensor[0, 0, 0])] or [0, 0] for tensor in images.tensors]
        return [
            ImagePrediction((4, 3), classes=torch.tensor(row, dtype=torch.float32), boundary=ScoreMap(m, (4, 3)))
            for row, m in zip(labels, images.tensors[:, :1])
        ]


def loader():
    def collate(batch):
        images, annotations, indices = zip(*batch)
        return to_image_list(images), list(annotations), list(indices)

    return torch.utils.data.DataLoader(Labelled(), batch_size=3, collate_fn=collate)


def test_results_are_the_evaluators_and_written_down(tmp_path):
    model = Oracle()
    results = LABELS_ALONE.run(InferenceNetwork(model, "cpu"), loader(), "labelled", tmp_path, {})
    result = results["classification"]
    assert (result["headline"], result["trivial"]) == ("mAP", {})
    assert result["metrics"] == {"mAP": 1.0, "mAP-things": 1.0}
    assert read_results(tmp_path / "results.json")["classification"]["metrics"] == result["metrics"]
    assert model.seen == [3, 1]


def test_predictions_come_in_input_pixels_with_their_indices():
    batches = list(predict(InferenceNetwork(Oracle(), "cpu"), loader()))
    assert [indices for _, indices in batches] == [[0, 1, 2], [3]]
    assert batches[0][0][0].size == (4, 3) and batches[0][0][0].resize((8, 6)).boundary.scores.shape == (1, 6, 8)


def test_names_that_no_task_has_are_refused():
    with pytest.raises(UserError, match="iou_types: 'boxes' is unknown; there are bbox, segm, keypoints"):
        inference(Oracle(), loader(), "labelled", ("bbox", "boxes"), device="cpu")


def test_images_as_they_were_stored_need_test_time_augmentation():
    stored = torch.utils.data.DataLoader(Labelled(), batch_size=2, collate_fn=BBoxAugCollator())
    with pytest.raises(UserError, match="call inference with bbox_aug=True"):
        LABELS_ALONE.run(InferenceNetwork(Oracle(), "cpu"), stored, "labelled")


def test_images_of_joined_data_sets_count_each_even_if_they_share_an_id(monkeypatch):
    alike = ImageAnnotations((8, 6), classes=torch.tensor([1.0, 0.0]), image_id=7)
    other = ImageAnnotations((8, 6), classes=torch.tensor([0.0, 1.0]), image_id=7)
    monkeypatch.setattr(Labelled, "get_annotations", lambda self, index: other if index == 1 else alike)
    # image 0 is found as annotated, image 1, too, images 2 and 3 are not
    results = LABELS_ALONE.run(InferenceNetwork(Oracle(), "cpu"), loader(), "labelled")
    assert 0 < results["classification"]["metrics"]["mAP"] < 1


def test_a_missed_expectation_is_logged_as_an_error(caplog):
    evaluation = replace(LABELS_ALONE, expected_results=[["labelled", "classification", "mAP", 0.5, 0.01]])
    evaluation.run(InferenceNetwork(Oracle(), "cpu"), loader(), "labelled")
    assert any("mAP = 1.0000, expected 0.4600..0.5400" in r.getMessage() for r in caplog.records)


def test_trivial_figures_are_computed_once_and_kept(tmp_path):
    path = tmp_path / "trivial.json"
    made = []

    def train_set():
        made.append(None)
        return Labelled()

    def figures(key):
        return trivial_metrics(LABELS_ALONE, train_set, Labelled(), path, {"train": key})

    first = figures("a")
    # both labels occur on two of three images, so all scores are equal and precision is 2/3 at any recall
    assert first == {"classification": {"mAP": pytest.approx(2 / 3), "mAP-things": pytest.approx(2 / 3)}}
    assert figures("a") == first and len(made) == 1
    figures("b")
    assert len(made) == 2
    path.write_text("{")
    assert figures("b") == first and len(made) == 3


def test_kept_trivial_figures_are_those_of_the_same_data_set_and_protocol(tmp_path):
    path, key = tmp_path / "trivial.json", {"test": "labelled_val"}
    figures = trivial_metrics(LABELS_ALONE, Labelled, Labelled(), path, key)
    count = len(Labelled())
    assert kept_metrics(path, "labelled_val", count, Protocols()) == figures
    assert kept_metrics(path, "other_val", count, Protocols()) == {}
    assert kept_metrics(path, "labelled_val", count + 1, Protocols()) == {}
    assert kept_metrics(path, "labelled_val", count, Protocols(detection="detail")) == {}
    assert kept_metrics(tmp_path / "none.json", "labelled_val", count, Protocols()) == {}


def test_a_figure_that_could_not_be_computed_survives_the_file(tmp_path):
    class Unlabelled(Labelled):
        def get_annotations(self, index):
            return ImageAnnotations((8, 6), image_id=index)

    figures = [
        trivial_metrics(LABELS_ALONE, Labelled, Unlabelled(), tmp_path / "t.json", {})["classification"]["mAP"]
        for _ in range(2)
    ]
    assert all(math.isnan(figure) for figure in figures)


class Scenes(torch.utils.data.Dataset):
    """Two images of 4x2 pixels: a cat on the left half in the sky; on the second nothing is annotated."""

    vocabulary = Vocabulary(image_label_names=("cat", "sky"), thing_names=("cat",), semantic_names=("sky", "cat"))

    def __len__(self):
        return 2

    def get_img_info(self, index):
        return {"width": 4, "height": 2, "image_id": index}

    def get_annotations(self, index):
        if index:
            return ImageAnnotations((4, 2), image_id=index)
        cats = BoxList([[0.0, 0, 1, 1]], (4, 2))
        cats.add_field("labels", torch.ones(1, dtype=torch.int64))
        left = (torch.arange(4) < 2).to(torch.uint8).repeat(2, 1)
        cats.add_field("masks", SegmentationMask(left[None], (4, 2), mode="mask"))
        labels = torch.tensor([1.0, 0])  # nobody mentions the sky
        return ImageAnnotations((4, 2), cats, semantic=SemanticMap(left), classes=labels, image_id=index)

    def __getitem__(self, index):
        return torch.full((3, 2, 4), float(index)), self.get_annotations(index), index


class CatsWithoutMap(torch.nn.Module):
    """Finds the cat, but takes everything for sky."""

    def forward(self, images):
        found = []
        for _ in images.image_sizes:
            cats = BoxList([[0.0, 0, 1, 1]], (4, 2))
            cats.add_field("labels", torch.ones(1, dtype=torch.int64))
            cats.add_field("scores", torch.tensor([0.9]))
            cats.add_field("mask", (torch.arange(4) < 2).float().repeat(2, 1)[None, None])
            semantic = torch.stack([torch.ones(2, 4), torch.zeros(2, 4)])
            found.append(ImagePrediction((4, 2), cats, ScoreMap(semantic, (4, 2)), classes=torch.tensor([0.9, 0.8])))
        return found


def test_contradictions_of_both_sides_are_written_where_there_are_segments(tmp_path):
    def collate(batch):
        images, annotations, indices = zip(*batch)
        return to_image_list(images), list(annotations), list(indices)

    scenes = torch.utils.data.DataLoader(Scenes(), batch_size=2, collate_fn=collate)
    network = InferenceNetwork(CatsWithoutMap(), "cpu")
    Evaluation([TASKS["classification"]]).run(network, scenes, "scenes", tmp_path / "without", {})
    assert not (tmp_path / "without" / "consistency.json").exists()
    evaluation = Evaluation([TASKS["classification"], TASKS["panoptic"]])
    results = evaluation.run(network, scenes, "scenes", tmp_path / "with", {})
    assert list(results) == ["classification", "panoptic"]
    told = json.loads((tmp_path / "with" / "consistency.json").read_text())
    means = {row["name"]: (row["prediction"], row["ground_truth"]) for row in told["figures"]}
    assert told["images"] == 2
    assert means["objects off semantic map"] == (1.0, 0.0)
    assert means["objects without semantic pixel"] == (1.0, 0.0)
    assert means["segments without label"] == (0.0, 1.0)
    assert means["occlusion cycles"] == (None, None)
