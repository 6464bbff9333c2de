"""The task that says which objects are in front of which: made of masks and edges, drawn, and shown to users."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import derive_outputs
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.visualization.order import contact_of

TASK = TASKS["occlusion_order"]
VOCABULARY = Vocabulary(thing_names=("cat", "dog"))
SIZE = WIDTH, HEIGHT = 40, 30


def prediction(strength=0.75, pasted=True, scores=(0.4, 0.2, 0.9)):
    """A dog on the left behind a cat on the right, and a doubtful cat all over the image."""
    boxes = BoxList(torch.tensor([[0.0, 0, 19, 29], [0, 0, 39, 29], [20, 0, 39, 29]]), SIZE)
    boxes.add_field("labels", torch.tensor([2, 1, 1]))
    boxes.add_field("scores", torch.tensor(scores))
    masks = torch.zeros(3, 1, HEIGHT, WIDTH)
    masks[0, :, :, :20], masks[1], masks[2, :, :, 20:] = 1, 1, 1
    boxes.add_field("mask", masks if pasted else torch.ones(3, 1, 28, 28))
    edges = torch.zeros(3, HEIGHT, WIDTH)
    edges[0, :, 20], edges[1, :, 20] = strength, 1.0
    return ImagePrediction(SIZE, boxes, occlusion=ScoreMap(edges, SIZE))


def derived(made, *options):
    config = cfg.clone()
    config.merge_from_list(list(options))
    return derive_outputs(made, [TASK], VOCABULARY, config).outputs["occlusion_order"].value


def test_it_is_made_of_objects_that_are_good_enough():
    order = derived(prediction())
    assert order.objects.tolist() == [0, 2] and order.labels.tolist() == [2, 1]
    np.testing.assert_allclose(order.scores, [0.4, 0.9], rtol=1e-6)
    assert order.in_front.tolist() == [[False, False], [True, False]]
    assert order.votes[1, 0] == pytest.approx(0.75 * HEIGHT) and order.size == SIZE
    # masks in boxes are pasted before
    np.testing.assert_array_equal(derived(prediction(pasted=False)).in_front, order.in_front)


def test_options_decide():
    assert len(derived(prediction(), "TEST.OCCLUSION_ORDER.SCORE_THRESH", 0.1)) == 3
    assert not derived(prediction(), "TEST.OCCLUSION_ORDER.STRENGTH_THRESH", 0.8).votes.any()
    assert not derived(prediction(), "TEST.OCCLUSION_ORDER.LENGTH", 0.46).in_front.any()  # 22.5 of a diagonal of 50
    assert derived(prediction(), "TEST.OCCLUSION_ORDER.LENGTH", 0.44).in_front.any()
    # the contact is right beside the edge, whatever the reach
    assert derived(prediction(), "TEST.OCCLUSION_ORDER.REACH", 0.0).votes[1, 0] == pytest.approx(0.75 * HEIGHT)


def test_without_masks_or_objects():
    bare = prediction()
    bare.instances.extra_fields.pop("mask")
    assert "occlusion_order" not in derive_outputs(bare, [TASK], VOCABULARY).outputs
    assert derived(prediction(scores=(0.1, 0.1, 0.1))).votes.shape == (0, 0)


def test_a_user_gets_the_objects_best_first():
    made = derive_outputs(prediction(), [TASK], VOCABULARY)
    ordered = TASK.view(made, VOCABULARY, 0.3)
    assert ordered.names == ["cat", "dog"] and ordered.pairs() == [(0, 1)]
    assert ordered.boxes.tolist() == [[20, 0, 39, 29], [0, 0, 19, 29]] and ordered.masks.shape == (2, HEIGHT, WIDTH)
    assert TASK.view(made, VOCABULARY, 0.5).names == ["cat"]
    assert TASK.view(prediction(), VOCABULARY, 0.5) is None


def test_an_arrow_leads_from_what_is_in_front():
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    made = derive_outputs(prediction(), [TASK], VOCABULARY)
    with_arrow = TASK.draw(image, made, VOCABULARY, 0.3, scale=10)
    made.outputs["occlusion_order"].value.in_front[:] = False
    without = TASK.draw(image, made, VOCABULARY, 0.3, scale=10)
    rows, columns = np.nonzero((with_arrow != without).any(axis=2))
    # in the middle of the contact, and its head, which is broader, on the left
    assert abs(rows.mean() - 145) < 15 and abs(columns.mean() - 195) < 15
    height = [np.ptp(rows[columns == column]) for column in (columns.min() + 12, columns.max() - 6)]
    assert height[0] > height[1]
    assert TASK.draw(image, prediction(), VOCABULARY, scale=10).shape == (300, 400, 3)  # not predicted


def test_the_contact_of_objects_apart_lies_between_them():
    first, second = np.zeros((2, 20, 30), bool)
    first[5:15, 2:10], second[5:15, 14:20] = True, True
    (x, y), way = contact_of(first, second, 3.0)
    assert 9 <= x <= 14 and abs(y - 9.5) <= 1 and way == pytest.approx([1, 0], abs=1e-6)
    assert contact_of(second, first, 3.0)[1] == pytest.approx([-1, 0], abs=1e-6)
    assert contact_of(first, first, 3.0)[1] == pytest.approx([1, 0])
    assert contact_of(first, np.zeros_like(first), 3.0) is None
