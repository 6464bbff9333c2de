"""Reading PASCAL in Detail's layout: every value of a file whose pixels are known, and the real files."""

import json
import logging

import numpy as np
import pytest
import torch
from detail_sets import damaged, opened
from PIL import Image

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER, in_official_order
from maskrcnn_benchmark.tasks.task import annotated_tasks, tasks_of_layout

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

DOG, PERSON, SKY, WALL, ZEBRA = range(5)


def test_vocabulary_is_in_official_order_with_unknown_names_last(tiny):
    vocabulary = opened(tiny).vocabulary
    assert vocabulary.semantic_names == ("dog", "person", "sky", "wall", "zebra")
    assert vocabulary.image_label_names == vocabulary.semantic_names
    assert vocabulary.thing_names == ("dog", "person", "zebra")
    assert vocabulary.parts.name == "person6" and len(vocabulary.parts) == 6
    assert len(vocabulary.joints.names) == 14
    assert opened(tiny, split="val").vocabulary == vocabulary


def test_official_order_is_the_published_one():
    assert len(OFFICIAL_ORDER) == len(set(OFFICIAL_ORDER)) == 59
    assert OFFICIAL_ORDER[14] == "person" and OFFICIAL_ORDER[40:43] == ("mouse", "curtain", "platform")
    assert in_official_order(["b", "wall", "a", "cat"]) == ["cat", "wall", "b", "a"]


def test_splits_follow_the_phase_of_each_image(tiny):
    assert opened(tiny, split="train").ids == [11, 12, 13]
    assert opened(tiny, split="val").ids == [14, 15]
    assert opened(tiny, split="trainval").ids == [11, 12, 13, 14, 15]
    assert opened(tiny, split="val").get_img_info(1) == {
        "height": 10,
        "width": 16,
        "file_name": "e.jpg",
        "image_id": 15,
    }


def test_a_task_is_annotated_where_its_section_has_a_record(tiny):
    expected = {
        11: set(TASKS),
        12: {
            "detection",
            "instance",
            "semantic",
            "classification",
            "boundary",
            "keypoint",
        },  # no person: no joint to find
        13: {"keypoint"},
        14: {"detection", "instance", "semantic", "classification"},  # a person without joint records
        15: {"detection", "instance", "semantic", "classification", "keypoint", "occlusion"},
    }
    dataset = opened(tiny, split="trainval")
    for idx, image_id in enumerate(dataset.ids):
        annotations = dataset.get_annotations(idx)
        assert annotations.image_id == image_id
        assert annotated_tasks(annotations) == dataset.tasks_of(idx)
        assert dataset.tasks_of(idx).intersection(TASKS) == expected[image_id]


def test_not_annotated_is_none_and_nothing_there_is_empty(tiny):
    dataset = opened(tiny, split="trainval")
    nobody_looked = dataset.get_annotations(2)
    assert nobody_looked.instances is None and nobody_looked.semantic is None and nobody_looked.boundary is None
    assert nobody_looked.occlusion is None and nobody_looked.classes is None and len(nobody_looked.people) == 0
    only_sky = dataset.get_annotations(4)
    assert len(only_sky.instances) == 0 and only_sky.instances.get_field("masks").get_mask_tensor().shape == (0, 10, 16)
    assert not only_sky.occlusion.edges.any() and only_sky.occlusion.size == (16, 10)


def test_semantic_map_is_painted_in_file_order_and_ignores_the_rest(tiny):
    labels = opened(tiny).get_annotations(0).semantic.labels
    expected = torch.full((12, 20), 255, dtype=torch.uint8)
    expected[1:10, 2:8] = PERSON
    expected[8:12, :] = WALL
    expected[0:2, 10:20] = SKY
    assert torch.equal(labels, expected)


def test_image_labels_are_the_categories_that_occur(tiny):
    dataset = opened(tiny)
    assert dataset.get_annotations(0).classes.tolist() == [0, 1, 1, 1, 0]
    assert dataset.get_annotations(1).classes.tolist() == [1, 0, 0, 0, 1]


def test_instances_are_the_categories_that_are_not_only_semantic(tiny):
    instances = opened(tiny).get_annotations(1).instances
    assert instances.get_field("labels").tolist() == [1, 3]
    assert instances.bbox.tolist() == [[1, 5, 10, 15], [4, 0, 8, 6]]
    masks = instances.get_field("masks").get_mask_tensor()
    assert masks.sum((1, 2)).tolist() == [110, 35]
    assert masks[1, 0:7, 4:9].all()


def test_crowds_are_marked_and_left_out_of_training(tiny):
    instances = opened(tiny, split="val").get_annotations(0).instances
    assert instances.get_field("iscrowd").tolist() == [False, True]
    training = opened(tiny, split="val", keep_crowd=False).get_annotations(0)
    assert training.instances.bbox.tolist() == [[0, 0, 3, 3]]
    assert (training.semantic.labels == PERSON).sum() == 16 + 64


def test_missing_box_is_taken_from_the_mask(tiny, content):
    del content["annos_segmentation"][3]["bbox"]
    content["annos_segmentation"][4]["bbox"] = [4, 0, 0, 0]
    instances = opened(tiny, content, tasks={"detection"}).get_annotations(1).instances
    assert instances.bbox.tolist() == [[1, 5, 10, 15], [4, 0, 8, 6]]


def test_parts_keep_small_over_large_and_skip_the_silhouette(tiny):
    parts = opened(tiny, parts="person").get_annotations(0).instances.get_field("parts")
    head, leye = (parts.part_set.label_of("person", name) for name in ("head", "leye"))
    assert set(parts.part_set.labels) == {"head", "leye", "reye", "ruarm"}  # two are only listed
    expected = torch.zeros(12, 20, dtype=torch.uint8)
    expected[1:4, 2:8] = head
    expected[2, 3] = leye
    assert torch.equal(parts.labels[0], expected)
    assert parts.annotated.tolist() == [True]


def test_what_is_of_no_part_is_one_where_the_part_set_says_so(tiny, content):
    """In "ppp57" a bicycle's unlabelled pixels are its body, and a chair is one part as a whole."""
    names = {7: "bicycle", 3: "chair"}
    content["categories"] = [
        {**row, "name": names.get(row["category_id"], row["name"])} for row in content["categories"]
    ]
    content["parts"] = [{**row, "name": "fwheel" if row["name"] == "head" else row["name"]} for row in content["parts"]]
    dataset = opened(tiny, content, parts="ppp57")
    bicycle = dataset.get_annotations(0).instances.get_field("parts")
    expected = torch.zeros(12, 20, dtype=torch.uint8)
    expected[1:10, 2:8] = bicycle.part_set.label_of("bicycle", "saddle")
    expected[1:4, 2:8] = bicycle.part_set.label_of("bicycle", "fwheel")
    assert torch.equal(bicycle.labels[0], expected) and bicycle.annotated.tolist() == [True]
    chair = dataset.get_annotations(1).instances
    assert chair.get_field("labels").tolist()[0] == dataset.thing_labels["chair"]
    parts = chair.get_field("parts")
    assert parts.labels[0].unique().tolist() == [0, parts.part_set.rest_of("chair")]
    assert torch.equal(parts.labels[0] > 0, chair.get_field("masks").get_mask_tensor()[0].bool())
    assert [("part" in dataset.tasks_of(index)) for index in range(3)] == [True, True, False]
    assert dataset.get_annotations(2).instances is None


def test_parts_of_one_person_only_are_annotated_for_that_one(tiny, content):
    record = json.loads(json.dumps(content["annos_segmentation"][0]))
    content["annos_segmentation"].append({**record, "id": 99, "parts": record["parts"][2:]})
    instances = opened(tiny, content).get_annotations(0).instances
    assert instances.get_field("parts").annotated.tolist() == [True, False]
    assert not instances.get_field("parts").labels[1].any()


def test_joints_keep_details_visibility_codes(tiny):
    people = opened(tiny).get_annotations(0).people
    assert people.bbox.tolist() == [[2, 1, 7, 9]] and people.get_field("labels").tolist() == [1]
    joints = people.get_field("keypoints").keypoints[0]
    assert joints[0].tolist() == [3.0, 2.0, 1] and joints[2].tolist() == [4.0, 4.5, 2]
    assert joints[1].tolist() == [0, 0, 0] and joints[13].tolist() == [5.0, 8.0, 1]


def test_boundary_of_another_size_is_resized_and_counted(tiny, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = opened(tiny)
    assert "1 boundary masks are not of their image's size" in caplog.text
    exact = dataset.get_annotations(0).boundary.edges
    assert exact.sum() == 12 and exact[:, 10].all()
    resized = dataset.get_annotations(1).boundary
    assert resized.size == (12, 20) and resized.edges.nonzero()[:, 0].unique().tolist() == [8, 9]


def test_several_boundary_records_of_an_image_are_several_annotators(tiny, content):
    assert len(opened(tiny).get_annotations(0).boundary.annotators) == 1
    second = {**content["annos_boundary"][1], "image_id": 11}  # of another size: resized like the first of image 12
    content["annos_boundary"].append(second)
    boundary = opened(tiny, content).get_annotations(0).boundary
    assert boundary.annotators.shape == (2, 12, 20)
    assert boundary.annotators[0, :, 10].all() and boundary.annotators[0].sum() == 12
    assert boundary.annotators[1].any()
    assert torch.equal(boundary.edges, boundary.annotators.amax(dim=0))


def test_occlusion_directions_have_the_occluder_on_the_left(tiny):
    occlusion = opened(tiny).get_annotations(0).occlusion
    assert occlusion.edges.nonzero().tolist() == [[y, 10] for y in range(1, 6)] + [
        [6, x] for x in (10, *range(13, 19))
    ] + [[7, 10], [8, 10]]
    assert occlusion.direction[:, 4, 10].tolist() == [1, 0]  # downwards, occluder to the right in the image
    assert occlusion.direction[:, 6, 15].tolist() == [0, -1]  # label 2 turned it around: leftwards, occluder below


@pytest.mark.parametrize("proof", [0, 1])
def test_the_first_pixels_number_is_found_from_the_file(tiny, content, proof):
    chains = content["annos_occlusion"][0]["edges"]["indices"]
    chains[0] = [index + proof for index in chains[0]]
    chains[1] = [index + proof for index in chains[1]]
    chains.append([20 * 12 - 1 + proof] if proof else [0])
    content["annos_occlusion"][0]["edges"]["edgelabel"].append(1)
    edges = opened(tiny, content).get_annotations(0).occlusion.edges
    assert edges[1:9, 10].all() and edges[6, 13:19].all()
    assert edges[11, 19] if proof else edges[0, 0]


def test_only_the_wanted_tasks_are_decoded(tiny):
    broken = "UPDATE segmentation SET counts = 'broken'"
    dataset = damaged(tiny, broken, tasks={"detection", "keypoint", "boundary"})
    annotations = dataset.get_annotations(0)
    assert annotated_tasks(annotations) == {"detection", "keypoint", "boundary"}
    assert not annotations.instances.has_field("masks") and not annotations.instances.has_field("parts")
    assert annotated_tasks(damaged(tiny, broken, tasks={"boundary"}).get_annotations(0)) == {"boundary"}


def test_images_that_teach_nothing_are_left_out(tiny):
    dataset = opened(tiny, split="trainval")
    assert dataset.leave_out_unannotated() == 1 and dataset.ids == [11, 12, 14, 15]
    dataset = opened(tiny, split="trainval", tasks={"occlusion"})
    assert dataset.leave_out_unannotated() == 3 and dataset.ids == [11, 15]


def test_item_is_image_annotations_index(tiny):
    image, annotations, idx = opened(tiny)[1]
    assert idx == 1 and image.size == annotations.size == (12, 20)
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(tiny / "images" / "b.jpg")))
    image, annotations, _ = opened(tiny, transforms=lambda image, annotations: ("image", annotations.size))[0]
    assert (image, annotations) == ("image", (20, 12))


def test_absent_sections_are_nobody_looked(tiny, content):
    for section in ("annos_boundary", "annos_occlusion", "annos_joints", "parts"):
        del content[section]
    for record in content["annos_segmentation"]:
        record.pop("parts", None)
    content["categories"][2].pop("parts")
    dataset = opened(tiny, content)
    assert dataset.tasks_of(0) == {"detection", "instance", "semantic", "classification", "panoptic"}


def test_real_voc_images_carry_masks_and_parts(real_data):
    dataset = opened(real_data / "detail_real8", split="trainval", parts="all")
    assert len(dataset) == 8 and dataset.vocabulary.semantic_names == OFFICIAL_ORDER
    assert dataset.vocabulary.thing_names == OFFICIAL_ORDER[:20]
    annotations = dataset.get_annotations(dataset.ids.index(2008000008))
    horse_rider = [dataset.vocabulary.thing_names[k - 1] for k in annotations.instances.get_field("labels")]
    assert sorted(set(horse_rider)) == ["horse", "person"]
    for idx in range(len(dataset)):
        image, annotations, _ = dataset[idx]
        instances = annotations.instances
        assert image.size == annotations.size
        masks = instances.get_field("masks").instances.masks
        records = [r for r in dataset.file.records("annos_segmentation", dataset.ids[idx]) if not r["iscrowd"]]
        assert masks.sum((1, 2)).tolist() == [record["area"] for record in records]
        parts = instances.get_field("parts")
        assert parts.annotated.all()
        inside = ((parts.labels > 0) & (masks > 0)).sum() / (parts.labels > 0).sum()
        assert inside > 0.9  # Pascal-Part's own outlines differ a little


def test_real_coco_photographs_in_details_layout_are_read_whole(real_data):
    dataset = opened(real_data / "detail_real_mini", split="trainval")
    assert len(dataset) == 287
    counts = dict.fromkeys(TASKS, 0)
    for idx in range(len(dataset)):
        annotations = dataset.get_annotations(idx)
        assert annotated_tasks(annotations) == dataset.tasks_of(idx)
        for task in annotated_tasks(annotations):
            counts[task] += 1
        if annotations.people is not None and len(annotations.people):
            joints = annotations.people.get_field("keypoints").keypoints
            assert set(joints[..., 2].unique().tolist()) <= {0, 1, 2}
    assert counts["semantic"] == counts["detection"] == counts["classification"] == 247
    assert counts["boundary"] == 100 and counts["occlusion"] == counts["part"] == 0
    assert sum(len(dataset.file.records("annos_joints", image_id)) for image_id in dataset.ids) == 154


def test_labels_go_back_to_the_files_categories(tiny):
    dataset = opened(tiny)
    rows = {
        row["name"]: row["category_id"] for row in json.loads((tiny / "annotations.json").read_text())["categories"]
    }
    assert dataset.class_ids() == rows
    things = dataset.vocabulary.thing_names
    assert dataset.category_ids() == {k: rows[name] for k, name in enumerate(things, 1)}
    assert dataset.category_ids() == dataset.contiguous_category_id_to_json_id
    assert dataset.part_ids() == {21: "head", 34: "leye", 59: "reye", 40: "ruarm", 255: "silh"}
