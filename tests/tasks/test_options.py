"""Class counts, requirements and what a head costs, of each task of the package."""

import pytest

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, region_heads

REGIONS = {"instance": "ROI_MASK_HEAD", "keypoint": "ROI_KEYPOINT_HEAD", "part": "ROI_PART_HEAD"}
VOCABULARY = Vocabulary(("cat", "dog"), ("sky", "sea", "cat"), ("dog",), joints=COCO_JOINTS)


def everything_on(*options):
    config = cfg.clone()
    for task in TASKS.values():
        config.MODEL[task.switch] = True
    config.merge_from_list(list(options))
    return config


@pytest.mark.parametrize(
    ("key", "counts"),
    [
        ("detection", {"MODEL.ROI_BOX_HEAD.NUM_CLASSES": 3, "MODEL.RETINANET.NUM_CLASSES": 3}),
        ("instance", {}),
        ("keypoint", {"MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": 17}),
        ("part", {"MODEL.ROI_PART_HEAD.NUM_CLASSES": 0}),
        ("semantic", {"MODEL.SEMANTIC_HEAD.NUM_CLASSES": 3}),
        ("boundary", {}),
        ("occlusion", {}),
        ("classification", {"MODEL.CLASSIFICATION_HEAD.NUM_CLASSES": 1}),
    ],
)
def test_a_vocabulary_decides_on_numbers_of_classes(key, counts):
    found = TASKS[key].class_counts(VOCABULARY)
    assert {each.option: each.count for each in found} == counts
    assert {each.count for each in TASKS[key].class_counts(Vocabulary())} <= {0}
    for each in found:  # within what a config that comes along with weights may say
        assert TASKS[key].bounds()[each.option].holds(each.count) == bool(each.count)


def test_heads_on_regions_have_groups_of_options():
    config = everything_on()
    groups = {task.key: group for task, group in region_heads(config)}
    assert groups.pop("detection") is config.MODEL.ROI_BOX_HEAD
    assert groups == {key: config.MODEL[group] for key, group in REGIONS.items()}
    per_image = everything_on("MODEL.PART_HEAD", "fpn")
    assert [task.key for task, _ in region_heads(per_image)] == ["detection", "instance", "keypoint"]
    for switch in ("RPN_ONLY", "RETINANET_ON"):
        assert region_heads(everything_on(f"MODEL.{switch}", True)) == []


def test_parts_per_region_need_detection_and_those_per_image_the_dense_features():
    part, roi, fpn = TASKS["part"], everything_on(), everything_on("MODEL.PART_HEAD", "fpn")
    assert (part.requirements(roi), part.dense_features(roi)) == (("detection",), set())
    assert (part.requirements(fpn), part.dense_features(fpn)) == ((), {"dense"})
    assert part.chosen_by(fpn) == 'MODEL.PART_ON with MODEL.PART_HEAD "fpn"'


def test_each_head_per_image_says_which_features_it_reads():
    found = {key: task.dense_features(everything_on()) for key, task in TASKS.items() if task.per == "image"}
    assert found == {
        "semantic": {"dense"},
        "boundary": {"fine"},
        "occlusion": {"fine"},
        "classification": {"pyramid"},
        "saliency": {"dense"},
        "normals": {"dense"},
        "depth": {"dense"},
    }
