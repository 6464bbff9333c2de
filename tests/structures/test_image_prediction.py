"""Coarse, padded scores become one value per pixel of the image."""

import math

import pytest
import torch
import torch.nn.functional as F

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap, label_probability


def test_scores_without_padding_are_resized_bilinearly():
    scores = torch.randn(5, 6, 8)
    resized = ScoreMap(scores, (32, 24), 4).resize((50, 37))
    expected = F.interpolate(scores[None], (37, 50), mode="bilinear", align_corners=False)[0]
    assert resized.size == (50, 37) and resized.stride == 1
    assert torch.allclose(resized.scores, expected, atol=1e-5)


def test_padding_has_no_influence_on_whole_cells():
    scores = torch.randn(2, 6, 8)
    padded = F.pad(scores, (0, 3, 0, 5), value=1e6)
    assert torch.equal(
        ScoreMap(padded, (32, 24), 4).resize((64, 48)).scores, ScoreMap(scores, (32, 24), 4).resize((64, 48)).scores
    )


def test_a_size_that_is_no_multiple_of_the_stride_keeps_places():
    # Scores that grow by 1 per input pixel, sampled at the centres of cells of 4: pixel x has the value x + 0.5
    ramp = (torch.arange(5.0) * 4 + 2).expand(1, 1, 5)
    resized = ScoreMap(ramp, (17, 1), 4).resize((17, 1)).scores[0, 0]
    assert torch.allclose(resized[2:], torch.arange(2.0, 17) + 0.5)
    doubled = ScoreMap(ramp, (17, 1), 4).resize((34, 1)).scores[0, 0]
    assert torch.allclose(doubled[4:-2], torch.arange(4.0, 32) / 2 + 0.25)


def test_scores_at_the_right_resolution_stay_as_they_are():
    scores = torch.randn(1, 3, 4)
    assert torch.equal(ScoreMap(F.pad(scores, (0, 2, 0, 2)), (4, 3)).resize((4, 3)).scores, scores)


def test_scores_must_cover_the_image():
    with pytest.raises(ValueError, match="do not cover"):
        ScoreMap(torch.zeros(1, 6, 8), (33, 24), 4)
    with pytest.raises(ValueError, match="C, h, w"):
        ScoreMap(torch.zeros(6, 8), (8, 6))


def test_a_prediction_resizes_all_its_answers():
    boxes = BoxList([[1, 2, 3, 4]], (32, 24))
    prediction = ImagePrediction(
        (32, 24),
        instances=boxes,
        semantic=ScoreMap(torch.randn(3, 8, 8), (32, 24), 4),
        occlusion=ScoreMap(torch.randn(3, 16, 16), (32, 24), 2),
        classes=torch.tensor([0.3, 0.7]),
        image_id=7,
    )
    resized = prediction.resize((64, 48)).to("cpu")
    assert resized.instances.bbox.tolist() == [[2, 4, 6, 8]] and resized.size == (64, 48) and resized.image_id == 7
    assert resized.semantic.scores.shape == (3, 48, 64) and resized.occlusion.scores.shape == (3, 48, 64)
    assert resized.boundary is None and resized.part_map is None
    assert resized.classes.tolist() == prediction.classes.tolist()


def test_boxes_alone_are_a_prediction():
    boxes = BoxList([[1, 2, 3, 4]], (32, 24))
    prediction = ImagePrediction.of(boxes)
    assert (
        prediction.instances is boxes and prediction.size == (32, 24) and ImagePrediction.of(prediction) is prediction
    )
    with pytest.raises(TypeError, match="list"):
        ImagePrediction.of([])


def test_further_answers_are_resized_and_moved_along():
    scores, scene = ScoreMap(torch.arange(4.0).reshape(1, 2, 2), (8, 8), 4), torch.tensor([0.25, 0.75])
    prediction = ImagePrediction((8, 8), outputs={"saliency": scores, "scene": scene, "depth": None})
    resized = prediction.resize((4, 4)).to("cpu")
    assert set(resized.outputs) == {"saliency", "scene"} and "saliency" in repr(resized)
    assert torch.equal(resized.outputs["saliency"].scores, scores.resize((4, 4)).scores)
    assert torch.equal(resized.outputs["scene"], scene)


def test_labels_of_a_resized_map_are_the_argmax_of_its_scores():
    scores = torch.randn(5, 8, 8, generator=torch.Generator().manual_seed(0))
    coarse = ScoreMap(scores, (30, 29), 4)
    assert torch.equal(coarse.labels.long(), scores.argmax(dim=0))
    resized = coarse.resize((75, 40))
    expected = resized.scores.argmax(dim=0)
    assert torch.equal(coarse.resize((75, 40)).labels.long(), expected)
    assert torch.equal(resized.to("cpu").resize((75, 40)).labels.long(), expected)
    again = resized.resize((20, 20))
    assert torch.equal(again.labels.long(), again.scores.argmax(dim=0))


def test_the_probability_of_a_label_is_its_softmax():
    logits = ScoreMap(torch.tensor([[[0.0, 3.0]], [[0.0, 1.0]]]), (2, 1))
    assert torch.allclose(label_probability(logits), torch.tensor([[0.5, 1 / (1 + math.exp(-2))]]))
