"""Class sets: the same classes under the same numbers, whatever else a file labels."""

import json

import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER
from maskrcnn_benchmark.data.detail.class_sets import CLASS_SETS, choose_classes
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.utils.errors import UserError

VOC20 = OFFICIAL_ORDER[:20]
DOG, PERSON = VOC20.index("dog"), VOC20.index("person")
SKY, WALL = OFFICIAL_ORDER.index("sky"), OFFICIAL_ORDER.index("wall")


def rows(names, things=VOC20):
    return [{"name": name, "onlysemantic": name not in things} for name in names]


@pytest.fixture
def whole(tiny):
    """The tiny data set with every official category in its table, in no order; zebra is a thing beyond them."""
    content = json.loads((tiny / "annotations.json").read_text())
    known = {row["name"]: row for row in content["categories"]}
    for number, name in enumerate(reversed(OFFICIAL_ORDER)):
        content["categories"].append({"category_id": 100 + number, "name": name, "onlysemantic": name not in VOC20})
    content["categories"] = [r for r in content["categories"] if known.get(r["name"], r) is r]
    (tiny / "annotations.json").write_text(json.dumps(content))
    return tiny


def opened(folder, classes, split="trainval"):
    return DetailDataset(folder / "annotations.json", folder / "images", split, classes=classes)


def test_the_sets_are_the_official_ones_in_official_order():
    assert list(CLASS_SETS) == ["all", "voc20", "context59"]
    shuffled = [*reversed(OFFICIAL_ORDER), "zebra", "truck"][:-1]
    assert choose_classes("voc20", rows(shuffled), "f") == (VOC20, VOC20)
    assert choose_classes("context59", rows(shuffled), "f") == (OFFICIAL_ORDER, VOC20)
    assert choose_classes("all", rows(shuffled, [*VOC20, "zebra"]), "f") == (
        (*OFFICIAL_ORDER, "zebra"),
        (*VOC20, "zebra"),
    )


def test_things_of_a_named_set_are_the_twenty_whatever_the_file_says_of_others():
    names, things = choose_classes("context59", rows(OFFICIAL_ORDER, (*VOC20, "truck")), "f")
    assert names == OFFICIAL_ORDER and things == VOC20


def test_a_file_that_lacks_classes_is_refused_by_their_names_but_for_all():
    few = rows(["dog", "person", "sky"])
    with pytest.raises(UserError, match=r"^f\.json lacks 18 of the 20 categories of class set 'voc20': aeroplane, bic"):
        choose_classes("voc20", few, "f.json")
    no_wood = rows(OFFICIAL_ORDER[:-1])
    with pytest.raises(UserError, match=r"lacks 1 of the 59 categories of class set 'context59': wood; .*'all'"):
        choose_classes("context59", no_wood, "f.json")
    assert choose_classes("voc20", no_wood, "f.json") == (VOC20, VOC20)
    assert choose_classes("all", few, "f.json") == (("dog", "person", "sky"), ("dog", "person"))


def test_a_thing_without_instances_and_an_unknown_set_are_refused():
    with pytest.raises(UserError, match=r"f marks bird, cow 'onlysemantic', but 'voc20' needs instances"):
        choose_classes("voc20", rows(OFFICIAL_ORDER, set(VOC20) - {"bird", "cow"}), "f")
    with pytest.raises(ValueError, match="all, voc20, context59, not 'voc21'"):
        choose_classes("voc21", rows(OFFICIAL_ORDER), "f")


def test_labels_of_the_twenty_classes_worked_by_hand(whole):
    dataset = opened(whole, "voc20")
    vocabulary = dataset.vocabulary
    assert vocabulary.thing_names == vocabulary.semantic_names == vocabulary.image_label_names == VOC20
    assert set(dataset.contiguous_category_id_to_json_id) == set(range(1, 21))
    assert dataset.contiguous_category_id_to_json_id[PERSON + 1] == 7
    a = dataset.get_annotations(0)  # a person with a wall painted over its feet, and sky
    assert a.instances.get_field("labels").tolist() == [PERSON + 1]
    semantic = a.semantic.labels
    assert semantic[5, 4] == PERSON
    assert (semantic[8:] == IGNORE_INDEX).all()  # the wall hides the person although it is no class
    assert set(semantic.unique().tolist()) == {PERSON, IGNORE_INDEX}
    assert a.classes.shape == (20,) and a.classes.nonzero().flatten().tolist() == [PERSON]
    b = dataset.get_annotations(1)  # a dog, and a zebra, which is no class, over a part of it
    assert b.instances.get_field("labels").tolist() == [DOG + 1]
    assert b.classes.nonzero().flatten().tolist() == [DOG]
    assert b.semantic.labels[10, 5] == DOG and b.semantic.labels[5, 5] == IGNORE_INDEX
    e = dataset.get_annotations(4)  # nothing but sky: annotated, and nothing of the twenty is there
    assert len(e.instances) == 0 and not e.classes.any() and (e.semantic.labels == IGNORE_INDEX).all()


def test_labels_of_the_59_classes_worked_by_hand(whole):
    dataset = opened(whole, "context59")
    assert dataset.vocabulary.semantic_names == OFFICIAL_ORDER and dataset.vocabulary.thing_names == VOC20
    a = dataset.get_annotations(0)
    assert set(a.semantic.labels.unique().tolist()) == {PERSON, WALL, SKY, IGNORE_INDEX}
    assert a.classes.nonzero().flatten().tolist() == sorted([PERSON, WALL, SKY])
    b = dataset.get_annotations(1)
    assert b.instances.get_field("labels").tolist() == [DOG + 1] and b.semantic.labels[5, 5] == IGNORE_INDEX


def test_all_takes_whatever_the_file_lists(whole):
    dataset = opened(whole, "all")
    assert dataset.vocabulary.semantic_names == (*OFFICIAL_ORDER, "zebra")
    assert dataset.get_annotations(1).instances.get_field("labels").tolist() == [DOG + 1, 21]
    assert torch.equal(
        dataset.get_annotations(0).semantic.labels, opened(whole, "context59").get_annotations(0).semantic.labels
    )


def test_the_config_names_the_set(whole):
    cfg = default_cfg.clone()
    cfg.DATASETS.DATA_DIR = str(whole.parent)
    assert len(build_dataset(cfg, "tiny_train", None, True).vocabulary.semantic_names) == 60
    cfg.DATASETS.CLASSES = "voc20"
    assert build_dataset(cfg, "tiny_train", None, True).vocabulary.semantic_names == VOC20


def test_real_voc_images_have_every_class_of_the_sets(real_data):
    for name, count in (("voc20", 20), ("context59", 59)):
        dataset = opened(real_data / "detail_real8", name)
        assert len(dataset.vocabulary.semantic_names) == count
        for idx in range(len(dataset)):
            labels = dataset.get_annotations(idx).semantic.labels
            assert labels[labels != IGNORE_INDEX].max() < count
