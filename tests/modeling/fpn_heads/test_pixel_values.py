"""Heads with numbers per pixel: losses worked by hand, unlabelled images and pixels, and what is predicted."""

import math

import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures
from maskrcnn_benchmark.modeling.fpn_heads.pixel_values import balanced_cross_entropy, metre_loss, unit_vector_loss
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, DepthMap, NormalMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import DepthScores
from maskrcnn_benchmark.tasks.task import TASKS

KEYS = ("saliency", "normals", "depth")
SIZES = [(32, 48), (24, 40)]  # height, width


def label_of(key, size):
    height, width = size
    if key == "saliency":
        return SemanticMap((torch.arange(width) < 15).expand(height, width).to(torch.uint8))
    if key == "depth":
        return DepthMap(torch.full((height, width), 2.5))
    vectors = torch.stack((torch.linspace(-1, 1, width), torch.zeros(width), torch.ones(width)))
    return NormalMap(F.normalize(vectors, dim=0)[:, None].repeat(1, height, 1))


def annotated(key, size, label=True):
    labels = {key: label_of(key, size)} if label else {}
    return ImageAnnotations(size[::-1], labels=labels)


@pytest.fixture
def features():
    torch.manual_seed(0)
    dense = torch.randn(2, 8, 8, 12)
    dense[:, 0] = torch.linspace(-3, 3, 12)  # where a cell lies
    return DenseFeatures([torch.zeros(2, 8, 8, 12)], SIZES, dense=dense)


@pytest.fixture(params=KEYS)
def key(request):
    return request.param


@pytest.fixture
def head(key):
    torch.manual_seed(1)
    return TASKS[key].build_head(cfg, 8, None)


def test_an_output_covers_each_image_in_the_range_that_the_task_promises(head, key, features):
    outputs, losses = head(features)
    assert losses == {} and [output.size for output in outputs] == [(48, 32), (40, 24)]
    resized = outputs[1].resize((80, 48)).scores
    assert resized.shape == ({"normals": 3}.get(key, 1), 48, 80)
    scores = head.scores(features)
    if key == "saliency":
        assert scores.min() > 0 and scores.max() < 1
    elif key == "normals":
        length = scores.norm(dim=1)
        assert torch.allclose(length[length > 0], torch.tensor(1.0), atol=1e-5) and (length > 0).float().mean() > 0.9
    else:
        assert scores.min() > 0 and isinstance(outputs[0], DepthScores)
        own = outputs[1].resize((40, 24)).scores
        assert resized.mean().item() == pytest.approx(own.mean().item() / 2, rel=1e-4)


def test_images_and_batches_without_a_label_add_no_loss(head, key, features):
    assert head(features, None, [annotated(key, size, False) for size in SIZES]) == (None, {})
    one = head(features, None, [annotated(key, SIZES[0]), annotated(key, SIZES[1], False)])[1]
    assert list(one) == [f"loss_{key}"]
    alone = DenseFeatures([features.pyramid[0][:1]], SIZES[:1], dense=features.dense[:1])
    expected = head(alone, None, [annotated(key, SIZES[0])])[1][f"loss_{key}"]
    assert one[f"loss_{key}"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_batch_is_learnt_by_heart(head, key, features):
    targets = [annotated(key, size) for size in SIZES]
    optimizer = torch.optim.Adam(head.parameters(), 0.02)
    losses = []
    for _ in range(40):
        loss = head(features, None, targets)[1][f"loss_{key}"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_loss_compares_at_the_stride_that_is_asked_for(features):
    config = cfg.clone()
    seen = []
    for stride in (1, 2, 4):
        config.MODEL.DENSE_TRUNK.LOSS_STRIDE = stride
        head = TASKS["depth"].build_head(config, 8, None)
        head.loss = lambda values, labels: seen.append((tuple(values.shape), tuple(labels.shape))) or values.sum()
        head(features, None, [annotated("depth", size) for size in SIZES])
    assert seen == [((2, 1, 32 // s, 48 // s), (2, 32 // s, 48 // s)) for s in (1, 2, 4)]


def test_saliency_weighs_each_class_by_the_share_of_the_other():
    logits = torch.tensor([[[[0.0, 2.0, -1.0, 5.0]]]])
    labels = torch.tensor([[[1, 0, 0, IGNORE_INDEX]]], dtype=torch.uint8)
    terms = [2 / 3 * math.log(2), 1 / 3 * math.log(1 + math.exp(2)), 1 / 3 * math.log(1 + math.exp(-1))]
    assert balanced_cross_entropy(logits, labels).item() == pytest.approx(sum(terms) / 3)
    assert balanced_cross_entropy(logits, torch.full_like(labels, IGNORE_INDEX)).item() == 0
    assert balanced_cross_entropy(logits, torch.ones_like(labels)).item() == 0


def test_one_logit_is_the_softmax_of_two():
    one = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = (torch.arange(18).view(2, 3, 3) % 4 == 0).to(torch.uint8)
    share = labels.float().mean()
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    each = F.cross_entropy(two, labels.long(), torch.stack([share, 1 - share]), reduction="none")
    assert balanced_cross_entropy(one, labels).item() == pytest.approx(each.mean().item())


def test_normals_are_compared_as_unit_vectors_where_they_are_labelled():
    vectors = torch.tensor([[0.0, 0.0, 5.0], [3.0, 4.0, 0.0], [1.0, 1.0, 1.0]]).t()[None, :, None]
    normals = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]).t()[None, :, None]
    assert unit_vector_loss(vectors, normals).item() == pytest.approx((0 + abs(0.6 - 1) + 0.8) / 2)
    assert unit_vector_loss(vectors, torch.zeros_like(normals)).item() == 0


def test_depth_is_compared_in_metres_where_it_is_known():
    values = torch.tensor([[[[0.0, 10.0, -3.0]]]])
    depth = torch.tensor([[[2.0, 0.0, 1.0]]])
    expected = (abs(math.log(2) - 2) + abs(math.log(1 + math.exp(-3)) - 1)) / 2
    assert metre_loss(values, depth).item() == pytest.approx(expected)
    assert metre_loss(values, torch.zeros(1, 1, 3)).item() == 0


def test_the_scale_of_a_depth_prediction_is_that_of_both_sides():
    scores = DepthScores(torch.full((1, 4, 6), 3.0), (24, 16), 4)
    assert scores.resize((24, 16)).scores.eq(3).all()
    squashed = scores.resize((96, 16))
    assert torch.allclose(squashed.scores, torch.tensor(1.5)) and squashed.size == (96, 16)
    assert torch.allclose(squashed.to("cpu").resize((24, 16)).scores, torch.tensor(3.0))
