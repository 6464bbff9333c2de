"""Everything about one image moves together; not annotated stays not annotated."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import PersonKeypoints
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.task import annotated_tasks, tasks_of_layout

DERIVED = {"panoptic", "part_panoptic", "occlusion_order"}
TASKS = {*tasks_of_layout("detail"), *DERIVED}  # the eight of PASCAL in Detail, and those made of them

# Coordinates of which a mirror rounds none
FRACTIONS = st.integers(-(2**20), 2**20).map(lambda number: number / 1024)


def grid(*shape):
    return st.lists(FRACTIONS, min_size=torch.Size(shape).numel(), max_size=torch.Size(shape).numel()).map(
        lambda numbers: torch.tensor(numbers).reshape(shape).tolist()
    )


@settings(max_examples=25)
@given(st.integers(0, 1000), grid(4, 4), grid(2, 14, 3), st.sampled_from([(0, 0), (1, 1), (0, 1, 0, 1), (1, 0, 0, 1)]))
def test_flipping_twice_gives_every_bit_of_every_task_back(
    full_annotations, tensors_of, same_bits, seed, boxes, joints, methods
):
    joints = torch.tensor(joints)
    joints[..., 2] = 1  # a joint that is not annotated has no coordinates to give back
    annotations = full_annotations(seed, boxes, joints.tolist())
    flipped = annotations
    for method in methods:
        flipped = flipped.transpose(method)
    before, after = tensors_of(annotations), tensors_of(flipped)
    assert {name for name in before if not same_bits(before[name], after[name])} == set()


def test_a_mirror_reaches_every_task(full_annotations, tensors_of, same_bits):
    annotations = full_annotations()
    before, after = tensors_of(annotations), tensors_of(annotations.transpose(0))
    unchanged = {name for name in before if same_bits(before[name], after[name])}
    assert unchanged == {"labels", "parts annotated", "classes"}
    assert annotations.transpose(0).image_id == annotations.image_id


def test_resize_crop_and_pad_reach_every_task(full_annotations):
    annotations = full_annotations()
    for changed, size in (
        (annotations.resize((30, 40)), (30, 40)),
        (annotations.crop((2, 1, 12, 9)), (10, 8)),
        (annotations.pad((20, 30)), (20, 30)),
    ):
        members = [changed.instances, changed.people, changed.semantic, changed.boundary, changed.occlusion]
        members += [changed.instances.get_field(name) for name in ("masks", "parts", "outlines")]
        members.append(changed.people.get_field("keypoints"))
        assert {tuple(member.size) for member in (changed, *members)} == {size}
        assert annotated_tasks(changed) == set(TASKS)


def test_a_crop_drops_the_boxes_that_it_leaves_nothing_of():
    instances = BoxList([[0, 0, 3, 3], [3.5, 0, 4.5, 9], [5, 5, 9, 9], [4, 4, 4, 4]], (10, 10))
    instances.add_field("labels", torch.tensor([1, 2, 3, 4]))
    cropped = ImageAnnotations((10, 10), instances=instances).crop((4, 0, 8, 5))
    assert cropped.instances.get_field("labels").tolist() == [2, 4]
    assert cropped.instances.bbox.tolist() == [[0, 0, 0.5, 4], [0, 4, 0, 4]]
    empty = ImageAnnotations((10, 10), instances=instances[:1]).crop((8, 8, 10, 10))
    assert empty.instances is not None and len(empty.instances) == 0


def test_a_crop_drops_objects_whose_pixels_are_all_outside():
    masks = torch.zeros(3, 10, 10, dtype=torch.uint8)
    masks[0, :5, :5] = 1
    masks[1, 5:, 5:] = 1
    instances = BoxList([[0, 0, 9, 9]] * 3, (10, 10))
    instances.add_field("labels", torch.tensor([1, 2, 3]))
    instances.add_field("masks", SegmentationMask(masks, (10, 10), "mask"))
    cropped = ImageAnnotations((10, 10), instances=instances).crop((5, 5, 10, 10))
    # The third never had a pixel, so none was lost
    assert cropped.instances.get_field("labels").tolist() == [2, 3]


def test_a_window_outside_the_image_and_a_smaller_padding_are_refused():
    annotations = ImageAnnotations((10, 10))
    for window in ((-1, 0, 5, 5), (0, 0, 11, 5), (5, 5, 5, 6)):
        with pytest.raises(ValueError, match="window"):
            annotations.crop(window)
    with pytest.raises(ValueError, match="padded"):
        annotations.pad((9, 20))


def test_what_nobody_annotated_stays_none():
    annotations = ImageAnnotations((10, 10), semantic=SemanticMap(torch.zeros(10, 10, dtype=torch.uint8)))
    changed = annotations.resize((20, 20)).transpose(0).crop((0, 0, 5, 5)).pad((6, 6)).to("cpu")
    assert annotated_tasks(changed) == {"semantic"}
    assert [changed.instances, changed.people, changed.boundary, changed.occlusion, changed.classes] == [None] * 5


def test_the_tasks_that_count_as_annotated(full_annotations):
    annotations = full_annotations()
    assert annotated_tasks(annotations) == set(TASKS)
    annotations.instances.get_field("parts").annotated[:] = False
    assert annotated_tasks(annotations) == set(TASKS) - {"part"}
    empty = ImageAnnotations((10, 10), instances=BoxList([], (10, 10)), people=BoxList([], (10, 10)))
    assert annotated_tasks(empty) == {"detection", "keypoint"}
    assert annotated_tasks(ImageAnnotations((10, 10))) == set()


def test_a_boxlist_of_the_original_library_becomes_instances_and_people():
    boxes = BoxList([[0, 0, 5, 5], [1, 1, 2, 2]], (10, 10))
    boxes.add_field("labels", torch.tensor([1, 3]))
    plain = ImageAnnotations.of(boxes)
    assert plain.instances is boxes and plain.people is None and ImageAnnotations.of(plain) is plain
    boxes.add_field("keypoints", PersonKeypoints(torch.ones(2, 17, 3), (10, 10)))
    people = ImageAnnotations.of(boxes).people
    assert people.get_field("labels").tolist() == [1, 1] and len(people.get_field("keypoints")) == 2
    with pytest.raises(TypeError, match="dict"):
        ImageAnnotations.of({})


def test_members_must_be_for_the_same_image():
    with pytest.raises(ValueError, match="detection is for an image of"):
        ImageAnnotations((10, 10), instances=BoxList([], (10, 11)))


def test_known_labels_go_wherever_the_image_goes():
    known = torch.tensor([True, False, True])
    annotations = ImageAnnotations((10, 8), classes=torch.ones(2), known_labels=known)
    changes = [
        annotations.resize((5, 4)),
        annotations.transpose(0),
        annotations.crop((1, 1, 4, 4)),
        annotations.pad((20, 20)),
        annotations.to("cpu"),
    ]
    assert all(torch.equal(changed.known_labels, known) for changed in changes)
    assert annotations.to("meta").known_labels.device.type == "meta"
    assert ImageAnnotations((10, 8)).transpose(0).known_labels is None


def test_a_label_of_the_whole_image_is_kept_as_it_is_and_one_of_its_pixels_is_not():
    scene, maps = torch.tensor(3), SemanticMap(torch.tensor([[0, 1, 2]], dtype=torch.uint8))
    annotations = ImageAnnotations((3, 1), labels={"scene": scene, "saliency": maps, "depth": None})
    assert set(annotations.labels) == {"scene", "saliency"}
    changed = annotations.transpose(0).crop((0, 0, 2, 1)).to("cpu")
    assert changed.labels["scene"] == 3 and changed.labels["saliency"].labels.tolist() == [[2, 1]]
    with pytest.raises(ValueError, match=r"saliency is for an image of \(3, 1\), not \(4, 1\)"):
        ImageAnnotations((4, 1), labels={"saliency": maps})


def test_a_label_that_could_not_follow_its_image_is_refused():
    with pytest.raises(TypeError, match="the label 'depth' of image 7 is a ndarray without 'crop'; give a structure"):
        ImageAnnotations((6, 4), image_id=7, labels={"depth": torch.zeros(4, 6).numpy()})
    with pytest.raises(TypeError, match=r"is a tensor \[1, 4, 6\], but a tensor says something of the image"):
        ImageAnnotations((6, 4), labels={"depth": torch.zeros(1, 4, 6)})
    assert ImageAnnotations((6, 4), labels={"scene": torch.zeros(6)}).labels["scene"].shape == (6,)
