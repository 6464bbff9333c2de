"""COCO panoptic as objects, masks, a semantic map and segments: from a drawn set, and what is refused of it."""

import json
import pickle
import re

import numpy as np
import pytest
from PIL import Image
from toy_panoptic import IDS, content, save

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.coco.file import CocoFile
from maskrcnn_benchmark.data.datasets import COCOPanopticDataset
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

VOID, SKY, PERSON, CAR = 255, 3, 0, 2
SEMANTIC = [
    [VOID, SKY, SKY, SKY, SKY, SKY],
    [SKY, PERSON, PERSON, PERSON, SKY, SKY],
    [SKY, PERSON, PERSON, PERSON, CAR, CAR],
]


@pytest.fixture
def path(tmp_path):
    return save(tmp_path, content())


def test_the_vocabulary_is_that_of_the_categories(path):
    dataset = COCOPanopticDataset(path, path.parent / "images")
    assert dataset.vocabulary.thing_names == ("person", "car")
    assert dataset.vocabulary.semantic_names == ("person", "tree-merged", "car", "sky-other-merged")
    assert dataset.category_ids() == {1: 1, 2: 3}
    assert dataset.class_ids() == {"person": 1, "tree-merged": 184, "car": 3, "sky-other-merged": 187}
    assert dataset.ids == [7, 12, 30] and dataset.tasks >= {"detection", "instance", "semantic", "panoptic"}


def test_things_are_objects_with_masks_and_all_is_in_the_semantic_map(path):
    found = COCOPanopticDataset(path, None, keep_crowd=True).get_annotations(1)
    objects = found.instances
    assert objects.bbox.tolist() == [[2, 1, 3, 2], [4, 2, 5, 2], [1, 1, 2, 2]]
    assert objects.get_field("labels").tolist() == [1, 2, 1]
    assert objects.get_field("iscrowd").tolist() == [False, True, False]
    masks = objects.get_field("masks").get_mask_tensor().numpy()
    assert [mask.astype(bool).tolist() for mask in masks] == [(key == IDS).tolist() for key in (300, 5, 70_000)]
    assert found.semantic.labels.tolist() == SEMANTIC and found.image_id == 12


def test_training_leaves_crowds_out_of_the_objects_alone(path):
    dataset = COCOPanopticDataset(path, None)
    found = dataset.get_annotations(1)
    assert found.instances.get_field("labels").tolist() == [1, 1] and found.semantic.labels.tolist() == SEMANTIC
    assert dataset.object_labels(1).tolist() == [1, 1] and dataset.object_labels(2) is None


def test_an_image_without_an_entry_is_not_annotated_and_one_of_stuff_has_no_object(path):
    dataset = COCOPanopticDataset(path, None)
    assert not dataset.tasks_of(2) and dataset.get_annotations(2).labels == {}
    found = dataset.get_annotations(0)
    assert len(found.instances) == 0 and (found.semantic.labels == 1).all()


@pytest.mark.parametrize("keep_crowd", [True, False])
def test_the_segments_are_those_of_the_file(path, keep_crowd):
    dataset = COCOPanopticDataset(path, None, tasks=["panoptic"], keep_crowd=keep_crowd)
    classes = PanopticClasses.of(dataset.vocabulary)
    found = PanopticMap.of_annotations(dataset.get_annotations(1), classes)
    pixels = {(classes.names[kind], bool(crowd)): set() for kind, crowd in zip(found.classes, found.is_crowd)}
    for k, (kind, crowd) in enumerate(zip(found.classes, found.is_crowd), 1):
        pixels[classes.names[kind], bool(crowd)].add(tuple(map(tuple, np.argwhere(found.ids == k).tolist())))
    where = {key: tuple(map(tuple, np.argwhere(key == IDS).tolist())) for key in (9, 300, 5, 70_000)}
    assert pixels == {
        ("sky-other-merged", False): {where[9]},
        ("person", False): {where[300], where[70_000]},
        ("car", True): {where[5]},
    }


def test_a_segment_without_a_pixel_is_no_object(tmp_path):
    changed = content()
    changed["annotations"][1]["segments_info"].append({"id": 2, "category_id": 1})
    assert len(COCOPanopticDataset(save(tmp_path, changed), None).get_annotations(0).instances) == 0


def test_sections_may_come_in_any_order_and_copies_travel(tmp_path):
    changed = dict(reversed(content().items()))
    dataset = pickle.loads(pickle.dumps(COCOPanopticDataset(save(tmp_path, changed), None)))
    assert dataset.get_annotations(1).semantic.labels.tolist() == SEMANTIC


def test_a_config_opens_it_by_name_and_by_content(tmp_path, monkeypatch):
    root = tmp_path / "drawn"
    root.mkdir()
    save(root, content())
    cfg = default_cfg.clone()
    cfg.MODEL.SEMANTIC_ON = cfg.MODEL.MASK_ON = True
    cfg.DATASETS.DATA_DIR = str(tmp_path)
    entry = {"img_dir": "drawn/images", "ann_file": "drawn/panoptic.json", "panoptic_dir": "drawn/panoptic"}
    monkeypatch.setitem(DatasetCatalog.DATASETS, "drawn_panoptic", entry)
    dataset = build_dataset(cfg, "drawn_panoptic", None, is_train=True)
    assert isinstance(dataset, COCOPanopticDataset) and dataset.ids == [7, 12]
    cfg.MODEL.SEMANTIC_ON = False
    assert build_dataset(cfg, "drawn_panoptic", None, is_train=True).ids == [12]
    (root / "panoptic.json").rename(root / "annotations.json")
    (root / "panoptic").rename(root / "annotations")
    dataset = build_dataset(cfg, "drawn_val", None, is_train=False)
    assert isinstance(dataset, COCOPanopticDataset) and dataset.keep_crowd


def test_the_catalog_has_cocos_names():
    entry = DatasetCatalog.DATASETS["coco_2017_val_panoptic"]
    assert entry == {
        "img_dir": "coco/val2017",
        "ann_file": "coco/annotations/panoptic_val2017.json",
        "panoptic_dir": "coco/annotations/panoptic_val2017",
    }


def broken(change):
    made = content()
    change(made)
    return made


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["annotations"].append(c["annotations"][0]), "'annotations' has the image_id 12 a second time"),
        (lambda c: c["annotations"][0].update(image_id=13), "has the image 13, which the file does not list"),
        (lambda c: c["annotations"][0].update(image_id="12"), "has the image '12', which the file does not list"),
        (lambda c: c["annotations"][0].update(file_name="13.png"), "lacks 1 PNG of 2, such as 13.png"),
        (
            lambda c: c["annotations"][0].update(segments_info=None),
            "entry 0 of 'annotations' has the segments_info None",
        ),
        (
            lambda c: c["annotations"][0]["segments_info"][1].update(category_id=2),
            "an annotation has the category 2, which the file does not list",
        ),
        (lambda c: c["annotations"][0]["segments_info"][1].update(id=5), "has the segment 5; ids are different"),
        (lambda c: c["annotations"][0]["segments_info"][1].pop("category_id"), "give it a category_id"),
        (lambda c: c.update(categories=[{"id": 1, "name": "person"}]), "'categories' has the isthing None; it must be"),
        (lambda c: c["categories"].append({"id": 4, "name": "car", "isthing": 1}), "two of its 'categories' have the"),
        (lambda c: c["images"][0].update(width=None), "entry 0 of 'images' has the width None; write its size"),
        (lambda c: c.pop("categories"), "has no section 'categories'"),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, change, words):
    path = save(tmp_path, broken(change))
    with pytest.raises(UserError, match=re.escape(words)):
        COCOPanopticDataset(path, None)


def test_pixels_that_the_file_does_not_list_are_one_line(tmp_path):
    path = save(tmp_path, broken(lambda c: c["annotations"][0]["segments_info"].pop()))
    with pytest.raises(UserError, match=r"12.png has pixels of the segment 70000, which .*panoptic.json does not list"):
        COCOPanopticDataset(path, None).get_annotations(1)


@pytest.mark.parametrize(("mode", "words"), [("P", "12.png has the mode P, but its numbers are colours of 8 bits")])
def test_a_picture_of_another_kind_is_one_line(path, mode, words):
    Image.open(path.parent / "panoptic" / "12.png").convert(mode).save(path.parent / "panoptic" / "12.png")
    with pytest.raises(UserError, match=words):
        COCOPanopticDataset(path, None).get_annotations(1)


def test_other_layouts_are_named(path, tmp_path):
    with pytest.raises(UserError, match="in COCO's panoptic layout; name it with --layout coco_panoptic"):
        CocoFile(path)
    other = {**content(), "annotations": [{"id": 1, "image_id": 12, "category_id": 1, "bbox": [0, 0, 1, 1]}]}
    (tmp_path / "panoptic.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="is in COCO's layout, not the panoptic one; name it with --layout coco"):
        COCOPanopticDataset(path, None)
    with pytest.raises(UserError, match=r"has its segments in PNGs, but there is no folder .*none"):
        COCOPanopticDataset(path, None, tmp_path / "none")


def test_a_perfect_prediction_through_files_scores_one(path, tmp_path):
    from maskrcnn_benchmark.engine.inference import Evaluation
    from maskrcnn_benchmark.engine.score_files import score_files
    from maskrcnn_benchmark.prediction_files.reader import PredictionReader

    dataset = COCOPanopticDataset(path, None, tasks=["panoptic"], keep_crowd=True)
    predictions = PredictionReader(dataset, {"panoptic": path}, [TASKS["panoptic"]])
    metrics = score_files(Evaluation([TASKS["panoptic"]]), dataset, predictions)["panoptic"].scores.metrics
    assert metrics["PQ"] == metrics["SQ-things"] == metrics["RQ-stuff"] == 1
