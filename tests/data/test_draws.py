"""How often images are drawn: by how rare their classes are, and by the ratios of data sets."""

import logging
from collections import Counter

import numpy as np
import pytest

from maskrcnn_benchmark.data.build import build_datasets, make_data_loader
from maskrcnn_benchmark.data.draws import class_amounts, expected_draws, factors_by_class, repeat_factors
from maskrcnn_benchmark.data.mapped_dataset import MappedDataset
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError


def only(cfg, *keys):
    for task in TASKS.values():
        cfg.MODEL[task.switch] = task.key in keys
    return cfg


def test_factors_by_hand():
    # of 4 annotated images class 0 is in all, 2 in two, 5 in one: shares 1, 1/2, 1/4
    found = [np.array(classes) for classes in ([0], [0, 2], [0, 2, 5], [0])] + [None, np.zeros(0, np.int64)]
    annotated = 5  # the last is annotated, and has nothing
    expected = [1, 1.2, 1.2 * 2**0.5, 1, 1, 1]
    assert factors_by_class(found, 1.44 * 2 / annotated).tolist() == pytest.approx(expected)
    assert factors_by_class(found, 0.2).tolist() == [1] * 6


@pytest.mark.parametrize(
    ("keys", "rare"),
    [(("detection", "semantic"), True), (("semantic",), True), (("classification", "boundary"), True)],
)
def test_classes_are_those_of_objects_or_else_of_pixels_or_image_labels(tiny_cfg, keys, rare):
    tiny_cfg.DATASETS.TRAIN = ("tiny_train", "tiny_val")
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    dataset = build_datasets(only(tiny_cfg, *keys))[0]
    factors = repeat_factors(tiny_cfg, dataset, enabled_tasks(tiny_cfg))
    names = [dataset.get_img_info(i)["file_name"] for i in range(len(dataset))]
    found = dict(zip(names, factors.tolist()))
    if keys[0] == "detection":
        # annotated are a, b, d and e; person is in a and d, dog and zebra in b, e has nothing
        assert found == pytest.approx({"a.jpg": 2**0.5, "b.jpg": 2, "d.jpg": 2**0.5, "e.jpg": 1})
    else:  # sky is in a and e, wall in a
        assert found == pytest.approx({"a.jpg": 2, "b.jpg": 2, "d.jpg": 2**0.5, "e.jpg": 2**0.5})


def test_without_classes_it_is_refused(tiny_cfg):
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 0.01
    dataset = build_datasets(only(tiny_cfg, "boundary"))[0]
    with pytest.raises(UserError, match=r"REPEAT_THRESHOLD is 0.01, but no task that is on has classes.*set it to 0"):
        repeat_factors(tiny_cfg, dataset, enabled_tasks(tiny_cfg))


def test_an_epoch_is_as_long_as_the_factors_together_and_divided_by_the_ratios(tiny_cfg):
    tiny_cfg.DATASETS.TRAIN = ("tiny_train", "tiny_val")
    dataset = build_datasets(tiny_cfg)[0]
    tasks = enabled_tasks(tiny_cfg)
    assert expected_draws(tiny_cfg, dataset, tasks).tolist() == [1] * 4
    tiny_cfg.DATASETS.RATIOS = (3.0, 1.0)
    assert expected_draws(tiny_cfg, dataset, tasks).tolist() == [1.5, 1.5, 0.5, 0.5]
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD = 1.0
    draws = expected_draws(tiny_cfg, dataset, tasks)
    total = 2**0.5 + 2 + 2**0.5 + 1
    expected = [total * 0.75 * f / (2**0.5 + 2) for f in (2**0.5, 2)] + [
        total / 4 * f / (2**0.5 + 1) for f in (2**0.5, 1)
    ]
    assert draws.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("ratios", [(), (1.0, 1.0)])
def test_the_loader_draws_by_the_factors_and_says_so(tiny_cfg, caplog, ratios):
    tiny_cfg.DATASETS.TRAIN, tiny_cfg.DATASETS.RATIOS = ("tiny_train", "tiny_val"), ratios
    only(tiny_cfg, "detection", "semantic")
    tiny_cfg.DATALOADER.REPEAT_THRESHOLD, tiny_cfg.DATALOADER.ASPECT_RATIO_GROUPING = 1.0, False
    tiny_cfg.SOLVER.MAX_ITER = 300
    with caplog.at_level(logging.INFO):
        loader = make_data_loader(tiny_cfg)
    assert (
        "REPEAT_THRESHOLD 1 by the classes of detection: 3 of 4 images are drawn more than once in an epoch, up to 2 "
        "times; an epoch has 6 images" in caplog.text
    )
    drawn = Counter(index for batch in loader.batch_sampler for index, _ in batch)
    draws = expected_draws(tiny_cfg, loader.dataset, enabled_tasks(tiny_cfg))
    for index, expected in enumerate(600 * draws / draws.sum()):
        assert drawn[index] == pytest.approx(expected, rel=0.12)


def test_labels_of_objects_are_those_of_the_annotations(tiny_cfg):
    dataset = build_datasets(tiny_cfg)[0]
    mapped = MappedDataset(dataset, Vocabulary(thing_names=("horse", "person")))
    for index in range(len(dataset)):
        for each in (dataset, mapped):
            expected = each.get_annotations(index).instances.get_field("labels").tolist()
            assert each.object_labels(index).tolist() == expected
    assert class_amounts(mapped, 0, TASKS["detection"]).tolist() == [0, 1]
    nothing = MappedDataset(dataset, Vocabulary(thing_names=("horse",)))
    assert nothing.object_labels(0) is None and class_amounts(nothing, 0, TASKS["detection"]) is None
