"""Weights of classes from the tiny data set, whose pixels and objects are known."""

import logging

import numpy as np
import pytest

from maskrcnn_benchmark.data import class_weights
from maskrcnn_benchmark.data.build import bind_vocabulary, build_datasets, load_vocabulary
from maskrcnn_benchmark.data.class_weights import (
    Frequencies,
    bind_class_weights,
    count_classes,
    weights_by_rule,
)
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError


def bind(cfg):
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    opened = []

    def datasets():
        opened.append(build_datasets(cfg, is_train=True)[0])
        return opened[0]

    bind_class_weights(cfg, vocabulary, enabled_tasks(cfg), datasets)
    return len(opened)


def test_rules_by_hand():
    found = Frequencies(np.array([400.0, 100.0, 25.0]), np.array([500.0, 500.0, 250.0]))
    # 1/20, 1/10, 1/5, whose mean over 525 objects is (20 + 10 + 5) / 525
    assert weights_by_rule("inverse_sqrt", found).tolist() == pytest.approx([0.75, 1.5, 3.0])
    # frequencies 0.8, 0.2, 0.1: weights 0.25, 1, 2, whose mean over 525 pixels is 250 / 525
    assert weights_by_rule("median_frequency", found).tolist() == pytest.approx([0.525, 2.1, 4.2])
    effective = np.array([0.001 / (1 - 0.999**n) for n in (400, 100, 25)])
    expected = effective * 525 / (effective * [400, 100, 25]).sum()
    assert weights_by_rule("effective_number", found).tolist() == pytest.approx(expected)


def test_weights_are_capped_and_a_class_that_does_not_occur_weighs_as_the_heaviest():
    found = Frequencies(np.array([1e8, 1e4, 1e4, 0.0, 1.0]), np.ones(5))
    weights = weights_by_rule("inverse_sqrt", found)
    assert weights / weights[1] == pytest.approx([0.1, 1, 1, 10, 10])
    assert (weights * found.amounts).sum() / found.amounts.sum() == pytest.approx(1)


def test_pixels_and_objects_are_counted_in_the_images_that_training_sees(tiny_cfg):
    dataset = build_datasets(tiny_cfg)[0]
    names = TASKS["semantic"].class_names(dataset.vocabulary)
    found, looked, gone = count_classes(TASKS["semantic"], dataset, np.ones(len(dataset)))
    assert looked == gone == len(dataset) == 2
    pixels = dict(zip(names, found.amounts.tolist()))
    # image a: person 54 pixels less 12 of the wall painted over it, wall 80, sky 20; b: dog 110 and zebra 35, of which
    # 5 x 2 of the dog are the zebra's
    assert pixels == {"sky": 20, "zebra": 35, "person": 42, "wall": 80, "dog": 100}
    assert dict(zip(names, found.surroundings.tolist())) == {**dict.fromkeys(names, 142), "zebra": 135, "dog": 135}
    objects, _, _ = count_classes(TASKS["detection"], dataset, np.array([1.0, 3.0]))
    assert dict(zip(dataset.vocabulary.thing_names, objects.amounts.tolist())) == {"zebra": 3, "person": 1, "dog": 3}


def test_maps_are_read_up_to_a_number_and_stand_for_all(tiny_cfg, monkeypatch):
    monkeypatch.setattr(class_weights, "MOST_MAPS", 1)
    dataset = build_datasets(tiny_cfg)[0]
    found, looked, gone = count_classes(TASKS["semantic"], dataset, np.ones(len(dataset)))
    assert (looked, gone) == (1, 1) and found.amounts.sum() in (2 * 142, 2 * 135)
    again, _, _ = count_classes(TASKS["semantic"], dataset, np.ones(len(dataset)))
    assert again.amounts.tolist() == found.amounts.tolist()


def test_rules_become_weights_in_the_config(tiny_cfg, caplog):
    tiny_cfg.merge_from_list(["MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS", "median_frequency"])
    tiny_cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS", "inverse_sqrt"])
    tiny_cfg.freeze()
    with caplog.at_level(logging.INFO):
        assert bind(tiny_cfg) == 1
    assert tiny_cfg.MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS == ("inverse_sqrt", ("dog", 1), ("person", 1), ("zebra", 1))
    rule, *pairs = tiny_cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS
    frequencies = {"sky": 20 / 142, "zebra": 35 / 135, "person": 42 / 142, "wall": 80 / 142, "dog": 100 / 135}
    weights = dict(pairs)
    assert rule == "median_frequency" and list(weights) == sorted(frequencies)
    for name, share in frequencies.items():
        assert weights[name] * share == pytest.approx(weights["sky"] * frequencies["sky"], rel=1e-3)
    assert tiny_cfg.is_frozen() and "counted on 2 annotated images; from the most frequent" in caplog.text
    assert bind(tiny_cfg) == 0  # nothing is left to count
    again = tiny_cfg.clone()
    again.defrost()
    again.merge_from_list(["MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS", "inverse_sqrt"])
    tree = {"MODEL": {"SEMANTIC_HEAD": {"CLASS_WEIGHTS": tiny_cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS}}}
    again.merge_from_other_cfg(tree)
    assert again.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS == tiny_cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS


def test_weights_by_hand_are_checked_and_nothing_is_opened(tiny_cfg):
    tiny_cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS = (("cow", 2.0),)
    with pytest.raises(UserError, match="names 'cow', which is none of the classes"):
        bind(tiny_cfg)
    tiny_cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS = (("dog", 2.0),)
    assert bind(tiny_cfg) == 0
