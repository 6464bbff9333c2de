"""Which head each task builds: its name, its place, and when it draws its random weights."""

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.utils import build_heads
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.part import owners_of_parts, part_labels
from maskrcnn_benchmark.tasks.task import TASKS, Task, enabled_tasks

PARTS = PartSet.from_names("person", {"person": ["head", "torso"]})
CHANNELS = {"pyramid": 8, "dense": 8, "fine": 8}


def config(*options):
    """All tasks on, on a small pyramid."""
    made = cfg.clone()
    made.merge_from_file("configs/detail/mini_R_18_FPN.yaml")
    made.merge_from_list(["MODEL.DEVICE", "cpu", *options])
    return made


def test_heads_keep_the_names_and_the_order_of_checkpoints():
    with torch.device("meta"):
        model = build_detection_model(config())
        whole = build_detection_model(config("MODEL.PART_HEAD", "fpn"))
    assert list(model.roi_heads) == ["box", "mask", "keypoint", "part"]
    assert list(model.fpn_heads.heads) == ["semantic", "boundary", "occlusion", "classes"]
    assert list(whole.roi_heads) == ["box", "mask", "keypoint"]
    assert list(whole.fpn_heads.heads) == ["semantic", "part_map", "boundary", "occlusion", "classes"]
    assert whole.fpn_heads.keys["part_map"] == "part" and whole.fpn_heads.keys["classes"] == "classification"


def test_outputs_are_called_by_the_task_and_not_by_the_head():
    model = build_detection_model(config("MODEL.PART_HEAD", "fpn", "MODEL.KEYPOINT_ON", False)).eval()
    with torch.no_grad():
        (prediction,) = model(torch.zeros(1, 3, 64, 96))
    keys = {"detection", "semantic", "part", "boundary", "occlusion", "classification"}
    assert set(prediction.outputs) == keys and prediction.part_map is prediction.outputs["part"]


def test_without_the_head_that_it_comes_behind_a_head_has_its_place_in_the_registry():
    heads = build_heads(config("MODEL.PART_HEAD", "fpn"), [TASKS["part"], TASKS["boundary"]], CHANNELS, None)
    assert list(heads) == ["part_map", "boundary"]


def test_tasks_whose_heads_have_one_name_are_refused():
    class First(Task):
        key = "first"

        def build_head(self, cfg, in_channels, vocabulary):
            return nn.Identity()

    class Second(First):
        key = "second"

        def head_name(self, cfg):
            return "first"

    class Headless(Task):
        key = "headless"

    assert list(build_heads(cfg, [First(), Headless()], CHANNELS, None)) == ["first"]
    with pytest.raises(ValueError, match="'first' and 'second' both call their head 'first'"):
        build_heads(cfg, [First(), Second()], CHANNELS, None)


def test_the_vocabulary_says_who_has_joints_and_parts():
    made = config("MODEL.ROI_PART_HEAD.NUM_CLASSES", 3)
    vocabulary = Vocabulary(thing_names=("dog", "person"), parts=PARTS, joints=DETAIL_JOINTS)
    assert owners_of_parts(vocabulary) == ((2,), (2,)) and owners_of_parts(None) is None
    assert TASKS["keypoint"].build_head(made, 8, vocabulary).keypoint_labels == {2}
    nobody = Vocabulary(thing_names=("dog", "cat"), parts=PARTS, joints=DETAIL_JOINTS)
    assert TASKS["keypoint"].build_head(made, 8, nobody).keypoint_labels == {1, 2}
    assert TASKS["part"].build_head(made, 8, vocabulary).part_labels == {2}


def test_a_map_of_parts_ignores_objects_whose_parts_nobody_drew():
    maps = torch.zeros(2, 4, 6, dtype=torch.uint8)
    maps[0, 1, 2] = 2
    instances = BoxList(torch.tensor([[1.0, 0, 3, 3], [4, 0, 5, 3]]), (6, 4))
    assert part_labels(ImageAnnotations((6, 4), instances=instances)) is None
    instances.add_field("parts", PartMask(maps, torch.tensor([True, False]), (6, 4), PARTS))
    assert part_labels(ImageAnnotations((6, 4), instances=instances)).nonzero().tolist() == [[1, 2]]
    instances.add_field("parts", PartMask(maps, torch.tensor([False, False]), (6, 4), PARTS))
    assert part_labels(ImageAnnotations((6, 4), instances=instances)) is None


def test_a_task_finds_its_label_among_the_labels_or_in_the_objects():
    instances = BoxList(torch.zeros(1, 4), (6, 4))
    instances.add_field("masks", "the masks")
    semantic = SemanticMap(torch.zeros(4, 6, dtype=torch.uint8))
    annotations = ImageAnnotations((6, 4), instances=instances, semantic=semantic)
    assert TASKS["detection"].label_of(annotations) is instances and TASKS["keypoint"].label_of(annotations) is None
    assert TASKS["instance"].label_of(annotations) == "the masks" and TASKS["part"].label_of(annotations) is None
    assert TASKS["semantic"].label_of(annotations) is semantic and TASKS["boundary"].label_of(annotations) is None


def test_every_enabled_task_says_what_its_head_reads():
    reads = {task.key: task.reads(cfg) for task in enabled_tasks(config())}
    assert {key for key, read in reads.items() if read == "maps"} == {"detection", "instance", "keypoint", "part"}
    assert reads["semantic"] == "dense" and reads["classification"] == "pyramid"
    assert reads["boundary"] == reads["occlusion"] == "fine"
    assert TASKS["part"].reads(config("MODEL.PART_HEAD", "fpn")) == "dense"
