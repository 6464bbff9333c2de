"""Joints: names and partners, how they move, and the cells that they fall in."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.structures.keypoint import (
    COCO_JOINTS,
    DETAIL_JOINTS,
    DetailKeypoints,
    JointSet,
    Keypoints,
    PersonKeypoints,
    keypoints_to_heat_map,
)
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("joints", [DETAIL_JOINTS, COCO_JOINTS])
def test_partners_exchange_left_and_right(joints):
    flips = joints.flip_indices
    assert [flips[k] for k in flips] == list(range(len(joints)))
    for name, partner in zip(joints.names, (joints.names[k] for k in flips)):
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        if joints is DETAIL_JOINTS and name not in ("head", "neck"):
            swapped = {"l": "r", "r": "l"}[name[0]] + name[1:]
        assert partner == swapped
    assert len(joints.sigmas) == len(joints.names)
    assert [joints.sigmas[k] for k in flips] == list(joints.sigmas)
    assert all(a != b and max(a, b) < len(joints) for a, b in joints.skeleton)


def test_an_occluded_joint_has_the_code_of_its_set():
    assert (DETAIL_JOINTS.occluded_code, COCO_JOINTS.occluded_code) == (2, 1)


def test_joint_sets_survive_being_plain_lists():
    assert JointSet.from_dict(DETAIL_JOINTS.to_dict()) == DETAIL_JOINTS


def test_person_keypoints_keep_the_original_tables():
    assert PersonKeypoints.NAMES[:3] == ["nose", "left_eye", "right_eye"]
    assert PersonKeypoints.FLIP_MAP["left_ankle"] == "right_ankle" and len(PersonKeypoints.FLIP_MAP) == 8
    assert list(PersonKeypoints.FLIP_INDS) == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    assert len(PersonKeypoints.CONNECTIONS) == 15


def test_the_mirror_of_joints_worked_by_hand():
    joints = torch.zeros(1, 14, 3)
    joints[0, 0] = torch.tensor([3.0, 4, 1])
    joints[0, 4] = torch.tensor([1.5, 6, 2])
    mirrored = DetailKeypoints(joints, (10, 20)).transpose(FLIP_LEFT_RIGHT).keypoints[0]
    assert mirrored[0].tolist() == [6, 4, 1]
    assert mirrored[10].tolist() == [7.5, 6, 2]
    assert mirrored[[k for k in range(14) if k not in (0, 10)]].abs().sum() == 0
    upside_down = DetailKeypoints(joints, (10, 20)).transpose(FLIP_TOP_BOTTOM).keypoints[0]
    assert upside_down[0].tolist() == [3, 15, 1] and upside_down[10].tolist() == [1.5, 13, 2]


@settings(max_examples=50)
@given(
    arrays("int32", (2, 14, 3), elements=st.integers(-(2**20), 2**20)),
    st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM]),
)
def test_flipping_twice_gives_every_bit_of_annotated_joints_back(same_bits, numbers, method):
    joints = torch.from_numpy(numbers) / 1024  # a mirror rounds none of these
    joints[..., 2] = torch.from_numpy(numbers[..., 2]) % 3
    joints[joints[..., 2] == 0] = 0
    keypoints = DetailKeypoints(joints, (333, 500))
    assert same_bits(keypoints.transpose(method).transpose(method).keypoints, keypoints.keypoints)
    one = keypoints.transpose(method)[torch.tensor([1])].to("cpu").transpose(method)
    assert same_bits(one.keypoints, keypoints.keypoints[1:])


def test_fields_with_an_entry_per_joint_are_mirrored_too():
    keypoints = PersonKeypoints(torch.ones(2, 17, 3), (10, 10))
    keypoints.add_field("logits", torch.arange(34).reshape(2, 17))
    keypoints.add_field("scores", torch.tensor([0.1, 0.2]))
    mirrored = keypoints.transpose(FLIP_LEFT_RIGHT)
    assert mirrored.get_field("logits")[0, :3].tolist() == [0, 2, 1]
    assert mirrored[1].get_field("logits")[0, :3].tolist() == [17, 19, 18]
    assert mirrored.get_field("scores").tolist() == keypoints.get_field("scores").tolist()
    with pytest.raises(KeyError, match=r"labels.*logits"):
        keypoints.get_field("labels")
    assert keypoints.has_field("logits") and not keypoints.has_field("labels")


def test_joints_of_an_unknown_set_cannot_be_mirrored():
    with pytest.raises(ValueError, match="joints="):
        Keypoints(torch.ones(1, 5, 3), (10, 10)).transpose(FLIP_LEFT_RIGHT)
    assert Keypoints(torch.ones(1, 14, 3), (10, 10), joints=DETAIL_JOINTS).transpose(0).joints is DETAIL_JOINTS


def test_resize_scales_places_but_not_visibility():
    keypoints = Keypoints([[[2.0, 3, 2], [0, 0, 0]]], (10, 10)).resize((20, 5))
    assert keypoints.size == (20, 5) and keypoints.keypoints.tolist() == [[[4, 1.5, 2], [0, 0, 0]]]


def test_crop_marks_what_is_outside_as_not_annotated():
    keypoints = Keypoints([[[2.0, 3, 2], [1.9, 3, 1], [4, 3, 1], [3.9, 4.9, 1], [3, 5, 1]]], (10, 10)).crop(
        (2, 3, 4, 5)
    )
    assert keypoints.size == (2, 2)
    expected = torch.tensor([[0.0, 0, 2], [0, 0, 0], [0, 0, 0], [1.9, 1.9, 1], [0, 0, 0]])
    assert torch.allclose(keypoints.keypoints[0], expected)


def test_padding_changes_only_the_size():
    keypoints = Keypoints([[[2.0, 3, 2]]], (10, 10)).pad((20, 20))
    assert keypoints.size == (20, 20) and keypoints.keypoints.tolist() == [[[2, 3, 2]]]


def test_flat_joints_and_no_joints_are_accepted_and_wrong_counts_are_not():
    assert DetailKeypoints([[1.0] * 42], (10, 10)).keypoints.shape == (1, 14, 3)
    assert DetailKeypoints([], (10, 10)).keypoints.shape == (0, 14, 3)
    assert len(DetailKeypoints(torch.zeros(0, 14, 3), (10, 10)).transpose(0).crop((0, 0, 3, 3))) == 0
    with pytest.raises(ValueError, match="14 keypoints"):
        DetailKeypoints(torch.ones(1, 17, 3), (10, 10))
    with pytest.raises(ValueError, match="shape"):
        Keypoints(torch.ones(1, 4), (10, 10))


def test_heat_map_cells_worked_by_hand():
    rois = torch.tensor([[10.0, 20, 30, 60]])
    joints = torch.tensor([[[10.0, 20, 1], [30, 60, 2], [19.9, 40, 1], [31, 40, 1], [9.9, 40, 1], [20, 30, 0]]])
    cells, valid = keypoints_to_heat_map(joints, rois, 4)
    # Cells are 5 wide and 10 high; the far corner belongs to the last one
    assert cells.tolist() == [[0, 15, 2 * 4 + 1, 0, 0, 0]]
    assert valid.tolist() == [[1, 1, 1, 0, 0, 0]]
    assert cells.dtype == torch.int64 and valid.dtype == torch.int64


def test_no_regions_and_regions_without_extent_are_fine():
    cells, valid = keypoints_to_heat_map(torch.zeros(0, 14, 3), torch.zeros(0, 4), 56)
    assert cells.shape == (0, 14) and valid.shape == (0, 14)
    cells, valid = keypoints_to_heat_map(torch.tensor([[[5.0, 5, 1], [7, 7, 1]]]), torch.tensor([[5.0, 5, 5, 5]]), 56)
    assert valid.tolist() == [[1, 0]] and cells.tolist() == [[56 * 56 - 1, 0]]
