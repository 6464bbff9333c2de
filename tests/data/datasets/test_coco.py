"""Reading COCO: boxes, masks of every encoding, keypoints, and which images are left out."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.tasks.task import annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError

SQUARE = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]]


def annotation(number, image_id, category_id, box, segmentation=None, **more):
    record = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": box, "iscrowd": 0, **more}
    return record if segmentation is None else {**record, "segmentation": segmentation}


@pytest.fixture
def content():
    strip = np.zeros((8, 10), np.uint8)
    strip[2, :] = 1
    uncompressed = {"size": [8, 10], "counts": [2, *([1, 7] * 9), 1, 5]}
    assert np.array_equal(coco_mask.decode(coco_mask.frPyObjects(uncompressed, 8, 10)), strip)
    return {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 10, "height": 8} for i in (30, 10, 20)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            annotation(1, 10, 18, [1.0, 1.0, 4.0, 4.0], SQUARE),
            annotation(2, 10, 1, [0.0, 2.0, 10.0, 1.0], uncompressed, iscrowd=1),
            annotation(3, 20, 1, [6.0, 3.0, 0.5, 3.0], SQUARE),
        ],
    }


def opened(folder, content, remove=False, **options):
    (folder / "instances.json").write_text(json.dumps(content))
    for image in content["images"]:
        Image.new("RGB", (image["width"], image["height"])).save(folder / image["file_name"])
    return COCODataset(folder / "instances.json", folder, remove, **options)


def test_labels_are_contiguous_in_the_order_of_the_table_of_categories(tmp_path, content):
    dataset = opened(tmp_path, content)
    assert dataset.json_category_id_to_contiguous_id == {18: 1, 1: 2}
    assert dataset.contiguous_category_id_to_json_id == {1: 18, 2: 1}
    assert dataset.categories == {1: "person", 18: "dog"}
    assert dataset.id_to_img_map == {0: 10, 1: 20, 2: 30}
    assert dataset.vocabulary.thing_names == ("dog", "person") and dataset.vocabulary.joints is None


def test_labels_of_objects_are_read_without_their_boxes_and_without_crowds(tmp_path, content):
    dataset = opened(tmp_path, content, keep_crowd=True)
    assert [dataset.object_labels(index).tolist() for index in range(3)] == [[1], [2], []]
    assert opened(tmp_path, content, tasks=("semantic",)).object_labels(0) is None


def test_boxes_are_inclusive_and_crowds_kept_only_on_request(tmp_path, content):
    instances = opened(tmp_path, content).get_annotations(0).instances
    assert instances.bbox.tolist() == [[1, 1, 4, 4]] and instances.get_field("labels").tolist() == [1]
    instances = opened(tmp_path, content, keep_crowd=True).get_annotations(0).instances
    assert instances.bbox.tolist() == [[1, 1, 4, 4], [0, 2, 9, 2]]
    assert instances.get_field("iscrowd").tolist() == [False, True]
    assert instances.get_field("masks").get_mask_tensor().sum((1, 2)).tolist() == [16, 10]


def test_an_image_without_records_holds_nothing_and_was_looked_at(tmp_path, content):
    annotations = opened(tmp_path, content).get_annotations(2)
    assert len(annotations.instances) == 0 and annotations.people is None and annotations.semantic is None
    assert annotated_tasks(annotations) == {"detection", "instance"}


def test_images_without_a_box_of_some_area_are_removed_on_request(tmp_path, content):
    assert opened(tmp_path, content, remove=True).ids == [10]
    content["annotations"] = content["annotations"][2:]
    with pytest.raises(UserError, match="none of its 3 images has an annotation"):
        opened(tmp_path, content, remove=True)


def test_people_carry_keypoints_and_need_ten_to_be_useful(tmp_path, content):
    joints = [[2.0, 3.0, 2]] * 10 + [[0, 0, 0]] * 7
    flat = [number for joint in joints for number in joint]
    content["annotations"] = [
        annotation(1, 10, 1, [1.0, 1.0, 4.0, 4.0], SQUARE, keypoints=flat, num_keypoints=10),
        annotation(2, 20, 1, [1.0, 1.0, 4.0, 4.0], SQUARE, keypoints=[0] * 3 + flat[3:], num_keypoints=9),
    ]
    content["categories"] = content["categories"][1:]
    dataset = opened(tmp_path, content, remove=True)
    assert dataset.ids == [10] and len(dataset.vocabulary.joints.names) == 17
    people = dataset.get_annotations(0).people
    keypoints = people.get_field("keypoints").keypoints
    assert people.bbox.tolist() == [[1, 1, 4, 4]] and keypoints.shape == (1, 17, 3)
    assert keypoints[0, 0].tolist() == [2, 3, 2] and keypoints[0, 16].tolist() == [0, 0, 0]
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection", "instance", "keypoint"}


def test_only_wanted_tasks_are_read(tmp_path, content):
    dataset = opened(tmp_path, content, tasks={"detection", "semantic"})
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection"}


def test_unknown_category_and_damaged_mask_name_the_annotation(tmp_path, content):
    content["annotations"][1]["segmentation"]["counts"] = [3, 4]
    with pytest.raises(UserError, match="annotation 2 of image 10: its run-length code does not decode"):
        opened(tmp_path, content, keep_crowd=True)


def test_testing_has_the_rows_of_the_file_and_drops_none(tmp_path, content):
    content["annotations"] += [
        annotation(4, 10, 1, [3.0, 3.0, 0.0, 2.0], SQUARE),
        annotation(5, 10, 1, [2, 2, 3, 3], SQUARE),
    ]
    del content["annotations"][4]["iscrowd"]
    dataset = opened(tmp_path, content, keep_crowd=True)
    instances = dataset.get_annotations(0).instances
    rows = [row for row in content["annotations"] if row["image_id"] == 10]
    assert instances.get_field("coco_records") == rows and len(rows) == 4
    picked = instances[instances.get_field("labels") == 2]
    assert [row["id"] for row in picked.get_field("coco_records")] == [2, 4, 5]
    assert not opened(tmp_path, content).get_annotations(0).instances.has_field("coco_records")
    assert len(opened(tmp_path, content).get_annotations(0).instances) == 2
    info = dataset.get_img_info(0)
    assert info["id"] == info["image_id"] == 10


def test_pycocotools_index_of_the_file_is_at_hand(tmp_path, content):
    dataset = opened(tmp_path, content)
    assert dataset.coco.loadAnns([1]) == content["annotations"][:1]
    assert dataset.coco.annToMask(dataset.coco.anns[1]).sum() == 16
    assert dataset.coco.getCatIds() == [18, 1]


def test_boxes_without_masks_are_not_annotated_for_instance_segmentation(tmp_path, content):
    del content["annotations"][2]["segmentation"]
    dataset = opened(tmp_path, content)
    assert annotated_tasks(dataset.get_annotations(0)) == {"detection", "instance"}
    assert annotated_tasks(dataset.get_annotations(1)) == {"detection"}


def test_polygons_that_enclose_nothing_are_empty_masks_beside_run_lengths(tmp_path, content):
    content["annotations"][0]["segmentation"] = [[1.0, 1.0, 5.0, 5.0]]
    instances = opened(tmp_path, content, keep_crowd=True).get_annotations(0).instances
    assert instances.get_field("masks").get_mask_tensor().sum((1, 2)).tolist() == [0, 10]


def test_a_list_of_test_images_knows_nothing_of_them(tmp_path, content):
    del content["annotations"]
    dataset = opened(tmp_path, content, keep_crowd=True)
    assert len(dataset) == 3 and annotated_tasks(dataset.get_annotations(0)) == set()


def test_images_of_any_colours_and_folders_are_read_as_rgb(tmp_path, content):
    content["images"][0] |= {"file_name": "deep/grey.jpg"}
    content["images"][1] = {"id": 10, "width": 10, "height": 8, "coco_url": "http://images.example.org/val/cmyk.jpg"}
    (tmp_path / "deep").mkdir()
    (tmp_path / "instances.json").write_text(json.dumps(content))
    Image.new("L", (10, 8), 77).save(tmp_path / "deep" / "grey.jpg")
    Image.new("CMYK", (10, 8), (0, 0, 0, 0)).save(tmp_path / "cmyk.jpg")
    dataset = COCODataset(tmp_path / "instances.json", tmp_path, False)
    assert np.array(dataset[2][0]).tolist() == np.full((8, 10, 3), 77).tolist()
    assert np.array(dataset[0][0]).min() == 255 and dataset[0][0].mode == "RGB"


@pytest.mark.parametrize(
    ("names", "flips"),
    [
        (["nose", "left_hand", "right_hand"], ((1, 2),)),
        (["L_Eye", "R_Eye", "Tail"], ((0, 1),)),
        (["paw_l", "lear", "rear", "paw_r"], ((0, 3), (1, 2))),
    ],
)
def test_joints_are_those_that_the_category_names(tmp_path, content, names, flips):
    content["categories"][1] |= {"keypoints": names, "skeleton": [[1, 2], [2, 99]]}
    flat = [number for k in range(len(names)) for number in (k, k + 1, 2)]
    content["annotations"] = [annotation(1, 10, 1, [1.0, 1.0, 4.0, 4.0], keypoints=flat, num_keypoints=len(names))]
    dataset = opened(tmp_path, content)
    joints = dataset.vocabulary.joints
    assert joints.names == tuple(names) and joints.flip_pairs == flips and joints.skeleton == ((0, 1),)
    keypoints = dataset.get_annotations(0).people.get_field("keypoints")
    assert keypoints.keypoints.flatten().tolist() == flat
    assert keypoints.transpose(0).keypoints.shape == (1, len(names), 3)


def test_joints_of_detail_get_details_visibility(tmp_path, content):
    content["categories"][1] |= {"keypoints": list(DETAIL_JOINTS.names)}
    flat = [5.0, 6.0, 1, 7.0, 3.0, 2, *[0] * 36]
    content["annotations"] = [annotation(1, 10, 1, [1.0, 1.0, 4.0, 4.0], keypoints=flat, num_keypoints=2)]
    dataset = opened(tmp_path, content)
    assert dataset.vocabulary.joints == DETAIL_JOINTS
    keypoints = dataset.get_annotations(0).people.get_field("keypoints").keypoints
    assert keypoints[0, :3].tolist() == [[5, 6, 2], [7, 3, 1], [0, 0, 0]]


def _bad(path, value):
    def change(content):
        *way, last = path
        for key in way:
            content = content[key]
        if value is None:
            del content[last]
        else:
            content[last] = value

    return change


RECORD = ("annotations", 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda content: [content["annotations"][0].pop(key) for key in ("bbox", "segmentation")],
            "annotation 1 of image 10 has no 'bbox'",
        ),
        (_bad((*RECORD, "bbox"), [1, 2, 3]), r"annotation 1 of image 10 has the bbox \[1, 2, 3\]"),
        (_bad((*RECORD, "bbox"), [1, 2, float("nan"), 4]), "annotation 1 of image 10 has the bbox .*nan"),
        (_bad((*RECORD, "bbox"), [float("inf"), 2, 3, 4]), "annotation 1 of image 10 has the bbox .*inf"),
        (_bad((*RECORD, "bbox"), [1, 2, -3, 4]), "annotation 1 of image 10 has the bbox .*-3"),
        (_bad((*RECORD, "bbox"), "1 2 3 4"), "annotation 1 of image 10 has the bbox '1 2 3 4'"),
        (_bad((*RECORD, "image_id"), 99), "annotation 1 of image 99: 'images' does not list that image"),
        (_bad((*RECORD, "image_id"), [99]), r"entry 0 of 'annotations' has the image_id \[99\]"),
        (
            _bad((*RECORD, "category_id"), 5),
            "annotation 1 of image 10 has category 5, which 'categories' does not list",
        ),
        (_bad((*RECORD, "id"), None), "entry 0 of 'annotations' has no 'id'"),
        (_bad((*RECORD, "id"), 2), "id 2 occurs twice in 'annotations'"),
        (_bad((*RECORD, "segmentation"), "abc"), "annotation 1 .*: its segmentation is a str"),
        (
            _bad((*RECORD, "segmentation"), [1, 1, 5, 1, 5, 5]),
            "annotation 1 .*: its segmentation is not a list of polygons",
        ),
        (_bad((*RECORD, "segmentation"), [[1, 1, 5, 1, 5, 5, 2]]), "annotation 1 .* an odd number of coordinates, 7"),
        (_bad((*RECORD, "segmentation"), [[1, 1, 5, 1, 5, float("nan")]]), "annotation 1 .* is not finite"),
        (_bad((*RECORD, "segmentation"), [[1, 1, 5, 1, 5, -(2**70)]]), "the coordinate -1.18059e.21, beyond any image"),
        (_bad((*RECORD, "segmentation"), {"size": [8, 10]}), "annotation 1 .* without 'size' or 'counts'"),
        (_bad(RECORD, 7), "entry 0 of 'annotations' must be an object, not an int"),
        (_bad(("annotations",), 7), "'annotations' must be a list, not an int"),
        (_bad(("images", 0, "width"), None), "image 30 has the width None; write its size"),
        (_bad(("images", 0, "height"), 10**8), "image 30 has 10x100000000 pixels, more than PIL's limit"),
        (_bad(("images", 0, "file_name"), None), "image 30 has no 'file_name'"),
        (_bad(("images", 0, "id"), 10), "id 10 occurs twice in 'images'"),
        (_bad(("categories", 0, "name"), None), "entry 0 of 'categories' has no 'name'"),
        (_bad(("categories", 0, "id"), 1), "id 1 occurs twice in 'categories'"),
    ],
)
def test_bad_rows_are_one_line_that_names_file_and_record(tmp_path, content, change, message):
    change(content)
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        COCODataset(tmp_path / "bad.json", tmp_path, False)
    assert str(error.value).startswith(str(tmp_path / "bad.json")) and "\n" not in str(error.value)


def test_data_sets_on_one_file_share_it_until_it_changes(tmp_path, content):
    first, second = opened(tmp_path, content), opened(tmp_path, content, remove=True)
    content["annotations"] = content["annotations"][:1]
    third = opened(tmp_path, content)
    assert len(third.get_annotations(1).instances) == 0 and len(first.file.records(20)) == 1
    assert len(second) == 1


def test_real_coco_files_are_read_whole(real_data):
    folder = real_data / "coco_mini"
    dataset = COCODataset(folder / "annotations/instances_val2017.json", folder / "val2017", False, keep_crowd=True)
    assert len(dataset) == 79 and len(dataset.vocabulary.thing_names) == 80
    records = json.loads((folder / "annotations/instances_val2017.json").read_text())["annotations"]
    found = [row for i in range(79) for row in dataset.get_annotations(i).instances.get_field("coco_records")]
    assert sorted(found, key=lambda row: row["id"]) == sorted(records, key=lambda row: row["id"])
    image, annotations, idx = dataset[5]
    assert image.size == annotations.size and idx == 5
    dataset = COCODataset(folder / "annotations/person_keypoints_val2017.json", folder / "val2017", True)
    assert 0 < len(dataset) < 79
    assert all(len(dataset.get_annotations(i).people) > 0 for i in range(len(dataset)))
