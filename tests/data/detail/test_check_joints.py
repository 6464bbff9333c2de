"""Checks of joint records: each kind of problem by the smallest record that has it."""

import pytest
from sound_records import changed, check, sound


def changed_joints(**values):
    return changed("annos_joints", **values)


JOINTS = sound()["annos_joints"][0]["keypoints"]


@pytest.mark.parametrize(
    "keypoints",
    [JOINTS[:-3], [*JOINTS, 0], [*JOINTS[:-1], "0"], [*JOINTS[:-1], float("nan")], [*JOINTS[:-1], True], None, ...],
)
def test_joints_that_are_not_42_numbers_are_left_out(keypoints):
    kept, problems = check(changed_joints(keypoints=keypoints))
    assert kept["annos_joints"] == []
    assert [p[:2] for p in problems] == [
        ("keypoints are not the numbers of 14 joints", "annos_joints 1 of image 7"),
    ]


def test_joint_outside_the_image_is_kept():
    records = changed_joints(keypoints=[4.5, -3.0, 2, 4.5, 3.9, 2, *([0] * 36)])
    assert check(records) == (
        records,
        [("joint lies outside the image", "annos_joints 1 of image 7", "kept: head")],
    )
    assert check(changed_joints(keypoints=[20.0, 12.0, 1, *JOINTS[3:]]))[1] == []
    # the first pixel begins half a pixel before its centre
    assert check(changed_joints(keypoints=[-0.5, 3.0, 1, *JOINTS[3:]]))[1] == []


def test_joint_of_odd_visibility_counts_as_not_annotated():
    kept, problems = check(changed_joints(keypoints=[4.5, 2.0, 3, *JOINTS[3:]]))
    assert kept == changed_joints(keypoints=[0, 0, 0, *JOINTS[3:]], num_keypoints=1)
    assert [p[0] for p in problems] == ["visibility of a joint is not 0, 1 or 2"]
    assert problems[0][2] == "repaired: head with 3 count as not annotated"


@pytest.mark.parametrize("number", [3, 0, None, "2", True, ...])
def test_number_of_joints_becomes_that_of_the_labelled(number):
    kept, problems = check(changed_joints(num_keypoints=number))
    assert kept == sound()
    assert [p[0] for p in problems] == ["num_keypoints differs from the joints"]


@pytest.mark.parametrize("box", [None, [2, 1, 0, 9], [2, 1, 6], [200, 1, 6, 9], [2, "1", 6, 9], ...])
def test_box_of_joints_that_tells_nothing_becomes_their_extent(box):
    kept, problems = check(changed_joints(bbox=box))
    assert kept["annos_joints"][0]["bbox"] == [4.5, 2.0, 1, pytest.approx(1.9)]
    assert [p[0] for p in problems] == ["bbox of joints is missing, odd, without extent or outside the image"]
    nobody = changed_joints(bbox=box, keypoints=[0] * 42, num_keypoints=0)
    kept, problems = check(nobody)
    assert kept["annos_joints"] == []
    assert [p[0] for p in problems] == ["neither bbox nor joints tell where a person is"]


def test_box_of_joints_that_reaches_outside_is_kept():
    records = changed_joints(bbox=[-2.5, 1, 12, 9])
    kept, problems = check(records)
    assert kept == records and [p[0] for p in problems] == ["bbox of joints reaches outside the image"]


def test_category_of_joints():
    for category in (None, ..., [284], 1, "284"):
        kept, problems = check(changed_joints(category_id=category))
        assert kept == sound() and [p[0] for p in problems] == ["category of joints is unknown"]
    kept, problems = check(changed_joints(category_id=59))
    assert kept == changed_joints(category_id=59)
    assert problems == [
        ("category of joints is not person", "annos_joints 1 of image 7", "kept: 'car'; read as a person's"),
    ]
