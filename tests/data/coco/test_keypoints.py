"""Keypoints of files in COCO's layout: whose they are, what is mended in them and what is left out, by every way in."""

import json
from functools import partial

import pytest

from maskrcnn_benchmark.data.coco import opening
from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.coco.index import CocoIndex
from maskrcnn_benchmark.data.coco.keypoints import problem_of_keypoints
from maskrcnn_benchmark.data.coco.opening import open_coco_file
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=CocoContent)
FOUR = [3, 4, 2, 5, 6, 1, 0, 0, 0, 7, 8, 2]
HUGE = 10**400


@pytest.fixture
def content():
    """Two images, a crate with four keypoints on each; a barrel without any on the second."""
    crate = {"category_id": 1, "bbox": [1, 1, 8, 9], "area": 72, "iscrowd": 0}
    return {
        "images": [{"id": k, "file_name": f"{k}.png", "width": 20, "height": 20} for k in (1, 2)],
        "categories": [
            {"id": 1, "name": "crate", "keypoints": ["nw", "ne", "se", "sw"], "skeleton": [[1, 2], [2, 3], [3, 4]]},
            {"id": 2, "name": "barrel"},
        ],
        "annotations": [
            {**crate, "id": 11, "image_id": 1, "keypoints": list(FOUR), "num_keypoints": 3},
            {**crate, "id": 12, "image_id": 2, "keypoints": list(FOUR), "num_keypoints": 3},
            {**crate, "id": 13, "image_id": 2, "category_id": 2},
        ],
    }


@pytest.fixture(params=["file", "prepared", "opened"])
def read(request, tmp_path, monkeypatch):
    """Function (content) -> the file opened: read whole, from the tool's index, and from that of the first opening."""

    def read(content):
        path = tmp_path / "crates.json"
        path.write_text(json.dumps(content))
        if request.param == "prepared":
            return CocoIndex(prepare(path, tmp_path / "crates.sqlite")[0])
        if request.param == "opened":
            monkeypatch.setattr(opening, "SMALL", 0)
        return open_coco_file(path)

    return read


def objects(file, image_id=1):
    return [file.keypoints.of(record) for record in file.records(image_id)]


@pytest.mark.parametrize("keypoints", [[], [[]], [[], []], [[0, 0, 0]] * 4, [0] * 12])
def test_lists_that_label_nothing_are_no_keypoints_of_theirs(read, content, keypoints):
    del content["categories"][0]["keypoints"]
    for annotation in content["annotations"]:
        annotation["keypoints"] = keypoints
    assert not read(content).keypoints.are_labelled


def found(file):
    return {what: (action, first) for what, action, _, first in file.problems()}


@pytest.mark.parametrize(
    ("skeleton", "links", "what", "where"),
    [
        (
            [[0, 1], [1, 2], [0, 3]],
            ((0, 1), (1, 2), (0, 3)),
            "skeleton counts keypoints from 0",
            "all 3 links",
        ),
        ([[1, 2], [3, 9], [-1, 2]], ((0, 1),), "skeleton joins keypoints that are not there", "2 of 3 links left out"),
        ([[1, float("inf")], [1], 7, ["1", 2.0]], ((0, 1),), "skeleton joins keypoints that are not there", "3 of 4"),
        (5, (), "skeleton joins keypoints that are not there", "1 of 1 links left out"),
        ([["nw", "se"]], ((0, 2),), None, None),
        (None, (), None, None),
    ],
)
def test_a_skeleton_joins_what_it_means_and_is_never_a_reason_to_refuse(read, content, skeleton, links, what, where):
    content["categories"][0]["skeleton"] = skeleton
    file = read(content)
    assert file.keypoints.joints.skeleton == links
    assert what is None or where in found(file)[what][1]
    assert objects(file) == [FOUR]


@pytest.mark.parametrize(
    ("names", "read_as"),
    [
        (["a", "a", "b", None], ("a (1)", "a (2)", "b", "keypoint 4")),
        ([0, 1, 2, 3], ("0", "1", "2", "3")),
        (4, ("keypoint 1", "keypoint 2", "keypoint 3", "keypoint 4")),
        (None, ("keypoint 1", "keypoint 2", "keypoint 3", "keypoint 4")),
        ([], ("keypoint 1", "keypoint 2", "keypoint 3", "keypoint 4")),
    ],
)
def test_keypoints_have_names_that_differ_whatever_the_file_calls_them(read, content, names, read_as):
    content["categories"][0]["keypoints"] = names
    file = read(content)
    assert file.keypoints.joints.names == read_as and file.keypoints.categories == {1}
    assert bool(found(file)) == (names != 4)  # a number says that there are no names


@pytest.mark.parametrize(
    ("keypoints", "read_as", "what", "where"),
    [
        ([], [0] * 12, None, None),
        (None, [0] * 12, None, None),
        ([[3, 4, 2], [5, 6, 1], [0, 0, 0], [7, 8, 2]], FOUR, "keypoints are nested lists or text", "12 in one list"),
        ([3, 4, "2", "5", 6, "1", 0, 0, "0", 7, 8, 2], FOUR, "keypoints are nested lists or text", "read as numbers"),
        ([3, 4, 5, 6, 0, 0, 7, 8], [3, 4, 2, 5, 6, 2, 0, 0, 0, 7, 8, 2], "keypoints have no visibility", "taken for 2"),
        (
            [3, 4, 3, 5, 6, 0.4, 0, 0, 3, 7, 8, -1],
            [3, 4, 2, 5, 6, 2, 0, 0, 0, 0, 0, 0],
            "visibility of a keypoint is not 0, 1 or 2",
            "annotation 11 of image 1 (3 is taken for 2)",
        ),
        (
            [3, 4, True, 5, 6, False, 0, 0, None, 7, 8, 2],
            [3, 4, 2, 0, 0, 0, 0, 0, 0, 7, 8, 2],
            "visibility of a keypoint is not 0, 1 or 2",
            "True is taken for 2",
        ),
        (
            [3, 4, 2, float("nan"), 6, 0, None, None, 0, 7, 8, 2],
            [3, 4, 2, 0, 0, 0, 0, 0, 0, 7, 8, 2],
            "keypoint without a label has odd coordinates",
            "annotation 11 of image 1 (now 0, 0)",
        ),
        ([1, 2, 2], [0] * 12, "keypoints cannot be used, unlike their object", "not 12 numbers"),
        ([1, 2, 2] * 17, [0] * 12, "keypoints cannot be used, unlike their object", "of 4 keypoints, but 51"),
        ([1e9, *FOUR[1:]], [0] * 12, "keypoints cannot be used, unlike their object", "beyond any image"),
        ([float("inf"), *FOUR[1:]], [0] * 12, "keypoints cannot be used, unlike their object", "not finite"),
        ("3 4 2", [0] * 12, "keypoints cannot be used, unlike their object", "but str"),
        ({"nw": [3, 4]}, [0] * 12, "keypoints cannot be used, unlike their object", "but dict"),
    ],
)
def test_keypoints_are_mended_or_not_annotated_and_their_object_stays(read, content, keypoints, read_as, what, where):
    content["annotations"][0].update(keypoints=keypoints, num_keypoints=None)
    file = read(content)
    assert objects(file) == [read_as] and objects(file, 2) == [FOUR, None]
    assert file.records(1)[0]["bbox"] == [1, 1, 8, 9]
    assert where in found(file)[what][1] if what else not found(file)


def test_num_keypoints_that_differs_is_told_and_does_not_count(read, content):
    content["annotations"][0]["num_keypoints"] = 0
    del content["annotations"][1]["num_keypoints"]
    file = read(content)
    what = "num_keypoints differs from the keypoints, which count"
    assert found(file) == {what: ("kept", "annotation 11 of image 1 (0, not 3)")}
    assert objects(file) == [FOUR]


def test_keypoints_of_a_category_that_names_none_are_left_out(read, content):
    content["annotations"][2]["keypoints"] = list(FOUR)
    file = read(content)
    assert "1 object of category 'barrel'" in found(file)["keypoints of a category that does not name any"][1]
    assert objects(file, 2) == [FOUR, None]


def test_seventeen_keypoints_without_names_are_cocos(read, content):
    del content["categories"][0]["keypoints"]
    for record in content["annotations"][:2]:
        record.update(keypoints=[1, 2, 2] * 17, num_keypoints=17)
    assert read(content).keypoints.joints == COCO_JOINTS


def two_kinds(content):
    content["categories"][1].update(keypoints=["top", "bottom"], skeleton=[[1, 2]])


def test_a_category_whose_keypoints_nobody_labelled_stands_in_nobodys_way(read, content):
    two_kinds(content)
    file = read(content)
    assert file.keypoints.joints.names == ("nw", "ne", "se", "sw") and file.keypoints.categories == {1}
    assert objects(file, 2) == [FOUR, None]


def test_of_two_kinds_of_keypoints_none_is_read_and_their_objects_stay(read, content):
    two_kinds(content)
    content["annotations"][2].update(keypoints=[1, 2, 2, 3, 4, 2], num_keypoints=2)
    file = read(content)
    assert file.keypoints.joints is None and [len(file.records(k)) for k in (1, 2)] == [1, 2]
    assert "'crate' (4) and 'barrel' (2)" in next(first for _, first in found(file).values())
    dataset = COCODataset(file.path, None, True)
    assert [len(dataset.get_annotations(k).instances) for k in (0, 1)] == [1, 2]
    assert dataset.get_annotations(0).people is None


def test_categories_share_one_kind_of_keypoints(read, content):
    content["categories"][1].update(keypoints=["nw", "ne", "se", "sw"])
    file = read(content)
    assert file.keypoints.categories == {1, 2} and objects(file, 2) == [FOUR, [0] * 12]
    vocabulary = COCODataset(file.path, None, False).vocabulary
    assert vocabulary.keypoint_names == ("crate", "barrel") and vocabulary.keypoint_labels == (1, 2)


def test_names_that_are_no_list_are_refused_with_the_category(tmp_path, content):
    content["categories"][0]["keypoints"] = {"0": "nw"}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"a.json: the keypoints of category 'crate' are .*, not a list of names; mend"):
        open_coco_file(tmp_path / "a.json")


def test_images_need_a_share_of_the_skeleton_only_where_keypoints_are_learned(read, content):
    content["annotations"][0].update(keypoints=[3, 4, 2, 5, 6, 2] + [0] * 6, num_keypoints=2)  # 10/17 of 4 is 2.4
    path = read(content).path
    learned = COCODataset(path, None, True, tasks=("detection", "keypoint"))
    assert learned.ids == [2] and learned.left_out == "1 with fewer than 3 labelled keypoints (10/17 of an object's 4)"
    others = COCODataset(path, None, True, tasks=("detection",))
    assert others.ids == [1, 2] and others.left_out == ""


def test_where_no_image_has_enough_the_reason_and_the_option_are_named(read, content):
    for record in content["annotations"][:2]:
        record.update(keypoints=[0] * 12, num_keypoints=0)
    with pytest.raises(UserError, match=r"2 with fewer than 3 labelled .*DATALOADER.FILTER_EMPTY_ANNOTATIONS False"):
        COCODataset(read(content).path, None, True, tasks=("keypoint",))


@pytest.mark.parametrize(
    ("keypoints", "words"),
    [
        ([1, 2, 2017], "have the visibility 2017, which is not 0, 1 or 2"),
        ([562738.0, 2, 2], "have the coordinate 562738.0, beyond any image"),
        ([float("nan"), 2, 2], "have a coordinate that is not finite"),
        ([HUGE, 2, 2], "have the coordinate a huge number, beyond any image"),
        ([True, 2, 2], "are not all numbers"),
        (["1", 2, 2], "are not all numbers"),
    ],
)
def test_keypoints_that_cannot_be(keypoints, words):
    assert problem_of_keypoints(keypoints, 3) == words
    assert problem_of_keypoints([1, -2.5, 2], 3) is None
