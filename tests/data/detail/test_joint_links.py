"""Ties of joints to people: cases worked by hand, drawn and real people whose ties are known, and damaged records."""

import json
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from scipy.ndimage import distance_transform_edt

from maskrcnn_benchmark.data.detail.joint_links import (
    NO_MASK,
    SEVERAL_FIT,
    Link,
    fit_persons,
    link_persons,
    link_problems,
    mask_distances,
)
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.structures.run_length import RunLengths

SIZE = (60, 40)
PERSON = 284


def encode(mask):
    code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in code["size"]], "counts": code["counts"].decode()}


def person(number, x1, y1, x2, y2):
    """A filled rectangle, last row and column included."""
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return {"id": number, "image_id": 7, "category_id": PERSON, "segmentation": encode(mask)}


def joints(*points, box=None, number=1):
    """A record of (x, y, visibility); the other joints are absent."""
    keypoints = [value for point in points for value in point]
    record = {"image_id": 7, "person_id": number, "keypoints": keypoints + [0] * (42 - len(keypoints))}
    return record if box is None else {**record, "bbox": box}


LEFT, RIGHT = person(1, 5, 5, 14, 34), person(2, 40, 5, 49, 34)


def test_the_fit_worked_by_hand():
    # three of four visible joints on the mask; the box's IoU with it is 150 / 300; the occluded joint does not count
    record = joints((6, 6, 1), (7, 7, 1), (14, 34, 1), (30, 20, 1), (44, 20, 2), box=[5, 5, 10, 15])
    expected = 0.7 * 0.75 + 0.3 * 0.5
    assert fit_persons([record], [LEFT, RIGHT], SIZE) == pytest.approx(np.array([[expected, 0.0]]))
    # no joint is visible: the boxes alone
    occluded = joints((6, 6, 2), box=[5, 5, 10, 15])
    assert fit_persons([occluded], [LEFT, RIGHT], SIZE) == pytest.approx(np.array([[0.5, 0.0]]))
    # without a box, that of the labelled joints, last pixel included: (6..10) x (6..15) of 300 pixels
    bare = joints((6, 6, 1), (10, 15, 2))
    assert fit_persons([bare], [LEFT], SIZE) == pytest.approx(np.array([[0.7 + 0.3 * 50 / 300]]))


def test_a_joint_beside_its_mask_counts_up_to_two_pixels_or_two_percent():
    near, far = joints((16, 20, 1), box=[5, 5, 10, 30]), joints((16.5, 20, 1), box=[5, 5, 10, 30])
    assert fit_persons([near, far], [LEFT], SIZE) == pytest.approx(np.array([[1.0], [0.3]]))
    wide = (600, 400)
    mask = np.zeros((400, 600), bool)
    mask[:, :400] = True  # 2 % of 400 pixels are 8
    big = {"id": 1, "segmentation": encode(mask)}
    fits = fit_persons([joints((x, 20, 1), box=[0, 0, 400, 400]) for x in (407, 407.5)], [big], wide)
    assert fits == pytest.approx(np.array([[1.0], [0.3]]))


def test_ties_are_one_to_one_and_of_the_largest_sum():
    both = [joints((6, 6, 1), (7, 30, 1)), joints((41, 6, 1), (48, 30, 1))]
    assert link_persons(both, [LEFT, RIGHT], SIZE) == [Link(0), Link(1)]
    assert link_persons(both, [RIGHT, LEFT], SIZE) == [Link(1), Link(0)]
    assert link_persons(both, [RIGHT], SIZE) == [Link(None), Link(0)]
    # the first fits both of two people, the second one of them alone: the first gets the other
    front, whole = person(1, 5, 5, 14, 14), person(2, 5, 5, 14, 34)
    either, tall = joints((6, 6, 1), box=[5, 5, 10, 14]), joints((6, 6, 1), (6, 33, 1), box=[5, 5, 10, 30])
    assert [link.instance for link in link_persons([either, tall], [whole, front], SIZE)] == [1, 0]


def test_what_fits_no_one_has_no_tie():
    stray = joints((30, 20, 1), box=[25, 10, 10, 20])
    half = joints((6, 6, 1), (30, 20, 1), (31, 20, 1), box=[5, 5, 10, 15])  # 0.7 / 3 + 0.3 * 0.5 < 0.4
    assert link_persons([stray, half], [LEFT, RIGHT], SIZE) == [Link(None), Link(None)]
    assert link_persons([], [LEFT], SIZE) == [] and link_persons([stray], [], SIZE) == [Link(None)]


def test_a_tie_that_another_would_replace_nearly_as_well_is_ambiguous():
    twin = person(3, 5, 5, 14, 33)
    record = joints((6, 6, 1), (7, 30, 1), box=[5, 5, 10, 30])
    assert link_persons([record], [LEFT, twin], SIZE) == [Link(0, ambiguous=True)]
    # two records of one person: one is left over, and which one is nearly a toss-up
    double = joints((6, 7, 1), (7, 30, 1), box=[5, 5, 10, 29])
    assert link_persons([record, double], [LEFT], SIZE) == [Link(0, ambiguous=True), Link(None)]
    # with a record that only one of the twins can be, nothing is left to chance
    lower = person(4, 5, 12, 14, 34)
    assert link_persons([record, joints((6, 33, 1), (7, 20, 1), box=[5, 12, 10, 23])], [LEFT, lower], SIZE) == [
        Link(0),
        Link(1),
    ]


def test_problems_name_the_record_and_what_was_done():
    records = [joints((30, 20, 1), number=8), joints((6, 6, 1), number=9), joints((41, 6, 1), number=10), "?"]
    links = [Link(None), Link(0, ambiguous=True), Link(1), Link(None)]
    assert link_problems(records, [LEFT, RIGHT], links) == [
        Problem(NO_MASK, "annos_joints 8 of image 7", "kept, tied to no object", 7),
        Problem(SEVERAL_FIT, "annos_joints 9 of image 7", "kept, tied to annos_segmentation 1, which fits best", 7),
        Problem(NO_MASK, "annos_joints entry 3 of image None", "kept, tied to no object", None),
    ]
    assert link_problems(records[:1], [], links[:1], has_segmentation=False) == []


@given(
    arrays(bool, (2, 9, 7)),
    st.lists(st.tuples(st.floats(-5, 12), st.floats(-5, 14)), min_size=1, max_size=4),
)
def test_distances_from_runs_are_those_from_pixels(masks, points):
    runs = RunLengths([encode(mask) for mask in masks], (7, 9), str)
    found = mask_distances(np.array(points), runs)
    for k, mask in enumerate(masks):
        rows, columns = np.nonzero(mask)
        for i, (x, y) in enumerate(points):
            # along a column, anywhere between the centres of neighbouring pixels is inside
            between = [((r, r + 1) if r + 1 < 9 and mask[r + 1, c] else (r, r)) for r, c in zip(rows, columns)]
            gaps = [max(low - y, y - high, 0) for low, high in between]
            expected = min((np.hypot(x - c, gap) for c, gap in zip(columns, gaps)), default=np.inf)
            assert found[i, k] == pytest.approx(expected)


def test_distances_at_pixels_are_those_of_the_distance_transform():
    mask = np.random.default_rng(3).random((30, 50)) < 0.02
    runs = RunLengths([encode(mask), encode(np.zeros_like(mask))], (50, 30), str)
    y, x = np.mgrid[:30, :50]
    found = mask_distances(np.stack([x.ravel(), y.ravel()], axis=1), runs)
    assert found[:, 0].reshape(30, 50) == pytest.approx(distance_transform_edt(~mask))
    assert np.isinf(found[:, 1]).all()


JUNK = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    st.lists(st.one_of(st.none(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=2)), max_size=5),
    st.just({"size": [40, 60], "counts": "cut o"}),
    st.just({"size": [40, 60], "counts": [-1, 2**70]}),
    st.just({"size": [40, 60], "counts": [2400.5, None]}),
    st.just({"size": [4, 6], "counts": [24]}),
    st.just({"size": [40], "counts": {}}),
)
DAMAGED = st.one_of(
    JUNK, st.fixed_dictionaries({}, optional=dict.fromkeys(("bbox", "keypoints", "segmentation"), JUNK))
)


@given(st.lists(DAMAGED, max_size=3), st.lists(DAMAGED, max_size=3), st.randoms(use_true_random=False))
def test_damaged_records_have_no_tie_and_hinder_no_other(bad_joints, bad_people, random):
    good = [joints((6, 6, 1), (7, 30, 1)), joints((41, 6, 1), (48, 30, 1))]
    records, people = [*good, *bad_joints], [LEFT, RIGHT, *bad_people]
    random.shuffle(records)
    random.shuffle(people)
    links = link_persons(records, people, SIZE)
    for record, link in zip(records, links):
        expected = {0: LEFT, 1: RIGHT}.get(next((k for k, each in enumerate(good) if each is record), None))
        found = None if link.instance is None else people[link.instance]
        assert found is expected and not link.ambiguous
    assert len(link_problems(records, people, links)) == len(bad_joints)


@pytest.mark.parametrize("keep_boxes", [True, False])
def test_drawn_people_get_their_own_joints_back(tmp_path_factory, keep_boxes):
    folder = write_mini_detail(tmp_path_factory.getbasetemp() / "mini_of_links", 40, 0, seed=1)
    right, ambiguous = tally((folder / "annotations.json").read_text(), keep_boxes, equal_boxes)
    assert sum(right) == len(right) >= 30 and not any(ambiguous)


@pytest.mark.parametrize("keep_boxes", [True, False])
def test_real_people_get_their_own_joints_back(real_data, keep_boxes):
    """Photographs of which the same annotators outlined the people and marked the joints."""
    path = real_data / "detail_real_mini" / "annotations.json"
    right, ambiguous = tally(path.read_text(), keep_boxes, close_boxes)
    # without boxes four have no labelled joint, and five occluded ones alone, which reach over little of their person
    assert (len(right), sum(right)) == ((154, 154) if keep_boxes else (150, 145)) and not any(ambiguous)


def equal_boxes(one, other):
    return one == other


def close_boxes(one, other):
    return np.abs(np.array(one) - other).max() < max(3, 0.1 * max(one[2:]))


def tally(text, keep_boxes, same):
    """Whether each record with a known person is tied to it, and whether it is ambiguous: two lists of bool.

    The person is known by its box, which is the joint record's; it is taken from that before ties are made if boxes
    are not kept.
    """
    content = json.loads(text)
    images = {image["image_id"]: image for image in content["images"]}
    records, people = defaultdict(list), defaultdict(list)
    for record in content["annos_joints"]:
        records[record["image_id"]].append(record)
    for record in content["annos_segmentation"]:
        if record["category_id"] == PERSON and not record["iscrowd"]:
            people[record["image_id"]].append(record)
    right, ambiguous = [], []
    for image_id in records.keys() & people.keys():
        size = (images[image_id]["width"], images[image_id]["height"])
        given = [dict(record) for record in records[image_id]]
        for record in given if not keep_boxes else ():
            del record["bbox"]
        for record, mine, link in zip(records[image_id], given, link_persons(given, people[image_id], size)):
            if keep_boxes or any(mine["keypoints"]):
                found = None if link.instance is None else people[image_id][link.instance]
                right.append(found is not None and same(record["bbox"], found["bbox"]))
                ambiguous.append(link.ambiguous)
    return right, ambiguous
