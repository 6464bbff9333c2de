"""Annotations in the names of another data set: what is mapped, what is dropped, and what no longer counts as known."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.data.same_names import SAME_JOINT, match_joints
from maskrcnn_benchmark.data.vocabulary_map import VocabularyMap
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS, DETAIL_JOINTS, JointSet, Keypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks

SIZE = (6, 4)
COCO = Vocabulary(("person", "giraffe", "tv", "Couch"), joints=COCO_JOINTS)
DETAIL = Vocabulary(
    thing_names=("bottle", "person", "sofa", "tvmonitor"),
    semantic_names=("bottle", "person", "sky"),
    image_label_names=("person", "sky"),
    joints=DETAIL_JOINTS,
)


def mapping_of(source, target):
    return VocabularyMap(source, target, TASKS.values())


def objects(*labels, **fields):
    instances = BoxList([[k, 0, k + 1, 2] for k in range(len(labels))], SIZE)
    instances.add_field("labels", torch.tensor(labels, dtype=torch.int64))
    for name, value in fields.items():
        instances.add_field(name, value)
    return instances


def people(joints, joint_set):
    boxes = BoxList([[0, 0, 5, 3]] * len(joints), SIZE)
    boxes.add_field("labels", torch.ones(len(joints), dtype=torch.int64))
    boxes.add_field("keypoints", Keypoints(torch.tensor(joints), SIZE, joints=joint_set))
    return boxes


def joints_of(annotations):
    return annotations.people.get_field("keypoints").keypoints


def test_objects_take_the_label_of_their_name_and_others_are_dropped_with_all_their_fields():
    masks = torch.zeros(4, SIZE[1], SIZE[0], dtype=torch.uint8)
    masks[torch.arange(4), 0, torch.arange(4)] = 1
    instances = objects(
        *(4, 2, 1, 3), masks=SegmentationMask(masks, SIZE, "mask"), iscrowd=torch.tensor([False, False, True, False])
    )
    mapped = mapping_of(COCO, DETAIL)(ImageAnnotations(SIZE, instances=instances, image_id=7))
    assert mapped.image_id == 7 and mapped.size == SIZE
    assert mapped.instances.get_field("labels").tolist() == [3, 2, 4]
    assert mapped.instances.bbox[:, 0].tolist() == [0, 2, 3]
    assert mapped.instances.get_field("iscrowd").tolist() == [False, True, False]
    assert mapped.instances.get_field("masks").get_mask_tensor()[:, 0].argmax(1).tolist() == [0, 2, 3]
    assert mapped.known_labels.tolist() == [True, False, True, True, True]
    assert instances.get_field("labels").tolist() == [4, 2, 1, 3]


def test_a_data_set_that_knows_every_class_says_nothing_of_known_labels():
    everything = Vocabulary(("tv", "person", "couch", "bottle", "zebra"))
    mapped = mapping_of(everything, DETAIL)(ImageAnnotations(SIZE, instances=objects(5)))
    assert mapped.known_labels is None and len(mapped.instances) == 0


def test_a_task_of_which_nothing_is_known_is_not_annotated():
    source = Vocabulary(("zebra",), ("grass",), ("grass",), None, JointSet.from_names(("tail", "mane")))
    annotations = ImageAnnotations(
        SIZE,
        instances=objects(1),
        people=people([[[1.0, 1, 2], [2, 2, 2]]], source.joints),
        semantic=SemanticMap(torch.zeros(SIZE[::-1], dtype=torch.uint8)),
        boundary=BoundaryMap(torch.zeros(SIZE[::-1], dtype=torch.uint8)),
        classes=torch.ones(1),
    )
    mapping = mapping_of(source, DETAIL)
    mapped = mapping(annotations)
    assert annotated_tasks(mapped) == {"boundary"} and mapped.known_labels is None
    assert mapping.tasks() == {"boundary", "occlusion", "saliency", "normals", "depth"}


def test_what_was_not_annotated_stays_so():
    mapped = mapping_of(COCO, DETAIL)(ImageAnnotations(SIZE))
    assert annotated_tasks(mapped) == set() and mapped.known_labels is None


def test_coco_joints_become_details_with_its_codes_and_without_head_and_neck():
    given_joints = [[[float(k), k + 0.5, k % 3] for k in range(17)]]
    joints = joints_of(mapping_of(COCO, DETAIL)(ImageAnnotations(SIZE, people=people(given_joints, COCO_JOINTS))))
    assert joints.shape == (1, 14, 3) and joints[0, :2].abs().sum() == 0
    # left: shoulder 5, elbow 7, wrist 9, hip 11, knee 13, ankle 15; COCO's occluded 1 and visible 2 turn to 2 and 1
    assert joints[0, 2:8].tolist() == [
        [5, 5.5, 1],
        [7, 7.5, 2],
        [9, 9.5, 0],
        [11, 11.5, 1],
        [13, 13.5, 2],
        [15, 15.5, 0],
    ]
    assert joints[0, 8:, 0].tolist() == [6, 8, 10, 12, 14, 16]


def test_detail_joints_become_cocos():
    given_joints = [[[float(k), k + 0.5, 1 + k % 2] for k in range(14)]]
    annotations = ImageAnnotations(SIZE, people=people(given_joints, DETAIL_JOINTS))
    mapped = mapping_of(DETAIL, COCO)(annotations)
    joints = joints_of(mapped)
    assert joints.shape == (1, 17, 3) and joints[0, :5].abs().sum() == 0
    assert joints[0, 5:11].tolist() == [
        *([2, 2.5, 2], [8, 8.5, 2], [3, 3.5, 1], [9, 9.5, 1], [4, 4.5, 2], [10, 10.5, 2])
    ]
    assert mapped.people.get_field("keypoints").joints == COCO_JOINTS


@pytest.mark.parametrize(("source", "target"), [(COCO, DETAIL), (DETAIL, COCO)])
@given(data=st.data())
def test_joints_there_and_back_are_those_of_the_limbs(source, target, data):
    numbers = st.floats(0, 5, width=32)
    joint = st.tuples(numbers, numbers, st.integers(0, 2).map(float))
    count = len(source.joints)
    joints = data.draw(st.lists(st.lists(joint, min_size=count, max_size=count), min_size=1, max_size=3))
    annotations = ImageAnnotations(SIZE, people=people(joints, source.joints))
    there = mapping_of(source, target)
    back = joints_of(mapping_of(target, source)(there(annotations)))
    limbs = [k for k, name in enumerate(source.joints.names) if any(name in row for row in SAME_JOINT)]
    others = [k for k in range(count) if k not in limbs]
    assert len(limbs) == len(match_joints(source, target)) == 12
    assert torch.equal(back[:, limbs], torch.tensor(joints)[:, limbs]) and back[:, others].abs().sum() == 0


def test_a_mirror_and_a_change_of_names_may_change_places():
    given_joints = [[[float(k % 6), float(k % 4), 1.0] for k in range(17)]]
    annotations = ImageAnnotations(SIZE, people=people(given_joints, COCO_JOINTS))
    mapping = mapping_of(COCO, DETAIL)
    assert torch.equal(joints_of(mapping(annotations).transpose(0)), joints_of(mapping(annotations.transpose(0))))


def test_pixels_of_classes_that_the_target_lacks_are_ignored():
    source = Vocabulary(semantic_names=("background", "tvmonitor", "person"))
    target = Vocabulary(semantic_names=("person", "sky", "tv"))
    labels = torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8)
    mapped = mapping_of(source, target)(ImageAnnotations((4, 1), semantic=SemanticMap(labels)))
    assert mapped.semantic.labels.tolist() == [[255, 2, 0, 255]] and mapped.semantic.labels.dtype == torch.uint8


def test_image_labels_need_every_class_of_the_target():
    source = Vocabulary(image_label_names=("sky", "dog", "person"))
    annotations = ImageAnnotations(SIZE, classes=torch.tensor([1.0, 0.0, 0.5]))
    assert mapping_of(source, DETAIL)(annotations).classes.tolist() == [0.5, 1.0]
    assert mapping_of(DETAIL, source)(ImageAnnotations(SIZE, classes=torch.ones(2))).classes is None


def parts_of(names, **parts):
    return Vocabulary(names, parts=PartSet.from_names("all", parts))


def with_parts(vocabulary, *labels, values):
    maps = torch.tensor(values, dtype=torch.uint8).reshape(len(labels), 1, 1).expand(-1, SIZE[1], SIZE[0])
    annotated = torch.ones(len(labels), dtype=torch.bool)
    return ImageAnnotations(
        SIZE, instances=objects(*labels, parts=PartMask(maps.clone(), annotated, SIZE, vocabulary.parts))
    )


def test_parts_are_known_class_by_class():
    # labels of the source: dog/leg 1, dog/tail 2, person/head 3, person/torso 4
    source = parts_of(("dog", "person"), dog=["leg", "tail"], person=["head", "torso"])
    # labels of the target: cow/horn 1, dog/ear 2, dog/leg 3, dog/tail 4, person/head 5, person/torso 6
    target = parts_of(("cow", "person", "dog"), cow=["horn"], dog=["ear", "leg", "tail"], person=["head", "torso"])
    mapped = mapping_of(source, target)(with_parts(source, 1, 2, values=[2, 4]))
    parts = mapped.instances.get_field("parts")
    assert mapped.instances.get_field("labels").tolist() == [3, 2]
    assert parts.annotated.tolist() == [False, True] and parts.part_set == target.parts
    assert parts.labels[1].unique().tolist() == [6]
    only_dogs = mapping_of(source, target)(with_parts(source, 1, values=[2]))
    assert not only_dogs.instances.has_field("parts") and len(only_dogs.instances) == 1


def test_fine_parts_become_coarse_ones_but_not_the_other_way_round():
    fine = PartSet.from_names("person24", {"person": [part for group in PERSON6_MEMBERS for part in group]})
    coarse = PartSet.from_names("person6", {})
    fine, coarse = (Vocabulary(("person",), parts=parts) for parts in (fine, coarse))
    value = fine.parts.labels.index("rlarm") + 1
    parts = mapping_of(fine, coarse)(with_parts(fine, 1, values=[value])).instances.get_field("parts")
    assert parts.labels.unique().tolist() == [coarse.parts.labels.index("lower_arms") + 1]
    assert not mapping_of(coarse, fine)(with_parts(coarse, 1, values=[1])).instances.has_field("parts")
    assert "part" in mapping_of(fine, coarse).tasks() and "part" not in mapping_of(coarse, fine).tasks()


PERSON6_MEMBERS = PartSet.from_names("person6", {}).members


@given(st.permutations(["dog", "cat", "tv", "sofa", "cow"]), st.integers(0, 5), st.integers(0, 5))
def test_every_object_keeps_its_name(names, first, second):
    source, target = Vocabulary(("couch", "cow", "tv", "dog")), Vocabulary(tuple(names[min(first, second) :]))
    mapping = mapping_of(source, target)
    mapped = mapping(ImageAnnotations(SIZE, instances=objects(1, 2, 3, 4)))
    wanted = [name for name in ("sofa", "cow", "tv", "dog") if name in target.thing_names]
    if not wanted:
        assert mapped.instances is None
        return
    labels = mapped.instances.get_field("labels").tolist()
    assert [target.thing_names[label - 1] for label in labels] == wanted
    known = mapping.known_labels[1:].tolist()
    assert [name for name, is_known in zip(target.thing_names, known) if is_known] == [
        name for name in target.thing_names if name != "cat"
    ]


class Weight(Task):
    """A number for every object."""

    key = "weight"
    per = "region"


class ForgottenWeight(Weight):
    def rename(self, source, target):
        return None


def test_a_field_of_an_added_task_stays_with_its_objects():
    annotations = ImageAnnotations(SIZE, objects(4, 2, 1, weight=torch.tensor([1.0, 2.0, 3.0])))
    mapping = VocabularyMap(COCO, DETAIL, [TASKS["detection"], Weight()])
    mapped = mapping(annotations)
    assert mapped.instances.get_field("weight").tolist() == [1, 3] and mapping.tasks() == {"detection", "weight"}
    assert annotated_tasks(mapped) == {"detection"} and Weight().is_annotated(mapped)
    none_left = VocabularyMap(COCO, Vocabulary(("zebra",)), [TASKS["detection"], Weight()])
    assert none_left(annotations).instances is None and none_left.tasks() == set()


def test_a_field_that_keeps_none_of_its_names_is_dropped_alone():
    annotations = ImageAnnotations(SIZE, objects(4, 1, weight=torch.tensor([1.0, 3.0])))
    mapping = VocabularyMap(COCO, DETAIL, [TASKS["detection"], ForgottenWeight()])
    mapped = mapping(annotations)
    assert mapped.instances.fields() == ["labels"] and mapped.instances.get_field("labels").tolist() == [3, 2]
    assert mapping.tasks() == {"detection"} and annotations.instances.has_field("weight")


def test_names_and_what_needs_them():
    no_names, weight = Vocabulary(), Weight()
    own = {key: task for key, task in TASKS.items() if task.per != "derived"}
    needs_names = {key for key, task in own.items() if not task.has_names(no_names)}
    assert needs_names == {"detection", "instance", "keypoint", "part", "semantic", "classification"}
    assert not weight.has_names(no_names) and weight.has_names(COCO)
    assert weight.names(COCO) == TASKS["instance"].names(COCO) == {"classes of objects": COCO.thing_names}
    assert TASKS["keypoint"].names(DETAIL)["keypoints"] == DETAIL_JOINTS.names and TASKS["boundary"].names(DETAIL) == {}
