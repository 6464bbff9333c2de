"""Reading COCO: boxes, masks of every encoding, keypoints, and which images are left out."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.data.datasets import COCODataset
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


def test_labels_are_contiguous_in_the_order_of_category_ids(tmp_path, content):
    dataset = opened(tmp_path, content)
    assert dataset.json_category_id_to_contiguous_id == {1: 1, 18: 2}
    assert dataset.contiguous_category_id_to_json_id == {1: 1, 2: 18}
    assert dataset.categories == {1: "person", 18: "dog"}
    assert dataset.id_to_img_map == {0: 10, 1: 20, 2: 30}
    assert dataset.vocabulary.thing_names == ("person", "dog") and dataset.vocabulary.joints is None


def test_boxes_are_inclusive_and_crowds_kept_only_on_request(tmp_path, content):
    instances = opened(tmp_path, content).get_annotations(0).instances
    assert instances.bbox.tolist() == [[1, 1, 4, 4]] and instances.get_field("labels").tolist() == [2]
    instances = opened(tmp_path, content, keep_crowd=True).get_annotations(0).instances
    assert instances.bbox.tolist() == [[1, 1, 4, 4], [0, 2, 9, 2]]
    assert instances.get_field("iscrowd").tolist() == [False, True]
    assert instances.get_field("masks").get_mask_tensor().sum((1, 2)).tolist() == [16, 10]


def test_an_image_without_records_holds_nothing_and_was_looked_at(tmp_path, content):
    annotations = opened(tmp_path, content).get_annotations(2)
    assert len(annotations.instances) == 0 and annotations.people is None and annotations.semantic is None
    assert annotations.annotated_tasks() == {"detection", "instance"}


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
    assert dataset.get_annotations(0).annotated_tasks() == {"detection", "instance", "keypoint"}


def test_only_wanted_tasks_are_read(tmp_path, content):
    dataset = opened(tmp_path, content, tasks={"detection", "semantic"})
    assert dataset.get_annotations(0).annotated_tasks() == {"detection"}


def test_unknown_category_and_damaged_mask_name_the_annotation(tmp_path, content):
    content["annotations"][1]["segmentation"]["counts"] = [3, 4]
    with pytest.raises(UserError, match="annotation 2: its run-length code does not decode"):
        opened(tmp_path, content, keep_crowd=True).get_annotations(0)
    content["annotations"][0]["category_id"] = 5
    with pytest.raises(UserError, match="annotation 1 of image 10 has category 5"):
        opened(tmp_path, content).get_annotations(0)


def test_real_coco_files_are_read_whole(real_data):
    folder = real_data / "coco_mini"
    dataset = COCODataset(folder / "annotations/instances_val2017.json", folder / "val2017", False, keep_crowd=True)
    assert len(dataset) == 79 and len(dataset.vocabulary.thing_names) == 80
    records = json.loads((folder / "annotations/instances_val2017.json").read_text())["annotations"]
    assert sum(len(dataset.get_annotations(i).instances) for i in range(79)) == len(records)
    image, annotations, idx = dataset[5]
    assert image.size == annotations.size and idx == 5
    dataset = COCODataset(folder / "annotations/person_keypoints_val2017.json", folder / "val2017", True)
    assert 0 < len(dataset) < 79
    assert all(len(dataset.get_annotations(i).people) > 0 for i in range(len(dataset)))
