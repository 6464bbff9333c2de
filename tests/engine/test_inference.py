"""The inference loop and the trivial predictor's figures, on one task whose figures can be told by hand."""

import math
from dataclasses import replace

import pytest
import torch

from maskrcnn_benchmark.data.collate_batch import BBoxAugCollator
from maskrcnn_benchmark.engine.inference import Evaluation, InferenceNetwork, inference, predict
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.engine.trivial_baseline import kept_metrics, trivial_metrics
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.classification import CLASSIFICATION
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
