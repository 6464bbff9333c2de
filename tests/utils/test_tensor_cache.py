"""Kept tensors are ordinary ones, whoever asked for them first."""

import copy
import pickle

import pytest
import torch
from torch._subclasses import FakeTensor, FakeTensorMode

from maskrcnn_benchmark.layers import FrozenBatchNorm2d
from maskrcnn_benchmark.layers.nms import levels_apart
from maskrcnn_benchmark.modeling.roi_heads.regions import has_label
from maskrcnn_benchmark.modeling.rpn.anchor_generator import AnchorGenerator
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_list import ImageSizes
from maskrcnn_benchmark.utils.tensor_cache import TensorCache

CPU = torch.device("cpu")


def anchors():
    generator = AnchorGenerator(sizes=(32,), aspect_ratios=(1.0,), anchor_strides=(16,))
    # the buffers of a traced network are traced tensors as well
    return lambda make: generator.to(make(1).device).grid([make(1, 1, 2, 3)]).every


def norm():
    frozen = FrozenBatchNorm2d(2)
    return lambda make: frozen(make(1, 2, 1, 1))


def sizes():
    of_images = ImageSizes([(3, 4)])
    return lambda make: of_images.on(make(1).device)


def labels():
    return lambda make: has_label(make(4).long(), {1, 5, 77})


def levels():
    return lambda make: levels_apart(make(3, 4), (1, 2))


def resized():
    return lambda make: SemanticMap(make(13, 17).to(torch.uint8)).resize((29, 31)).labels


@pytest.mark.parametrize("user", [anchors, norm, sizes, labels, levels, resized])
def test_a_traced_call_leaves_later_ones_right(user):
    expected = user()(torch.ones)
    traced_first = user()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert isinstance(traced_first(torch.ones), FakeTensor)
    found = traced_first(torch.ones)
    assert type(found) is torch.Tensor and torch.equal(found, expected)


def test_what_is_kept_is_not_made_again_and_serves_training():
    cache, made = TensorCache(maxsize=2), []
    with torch.inference_mode():
        kept = cache.get("a", lambda: made.append("a") or torch.ones(1))
    assert cache.get("a", lambda: made.append("again")) is kept and made == ["a"] and not kept.is_inference()


def test_the_oldest_gives_way_and_copies_are_empty():
    cache = TensorCache(maxsize=2)
    for key in "abc":
        cache.get(key, lambda: torch.ones(1))
    assert len(cache) == 2 and cache.get("a", lambda: torch.zeros(1)).item() == 0
    assert [len(copied) for copied in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache)))] == [0, 0]
    cache.clear()
    assert len(cache) == 0


def test_traced_tensors_are_not_kept_wherever_they_come_from():
    mode, cache = FakeTensorMode(), TensorCache(maxsize=2)
    traced = mode.from_tensor(torch.ones(1))
    assert cache.get("a", lambda: [(traced, torch.ones(1))])[0][0] is traced and len(cache) == 0
    with mode:
        cache.get("a", lambda: torch.ones(1))
    assert len(cache) == 0
