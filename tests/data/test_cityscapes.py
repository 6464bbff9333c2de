"""Cityscapes: objects from bitmaps and from polygons, groups, the semantic map, and files that are missing or bad."""

import json

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.datasets import CityScapesDataset
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.tasks.task import annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (32, 16)
ALL_TEN = ["person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"]


def rectangle(x1, y1, x2, y2):
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def write_frame(root, split, city, number, objects, size=SIZE):
    """One frame; objects are (label, number of it or None for a group, value of a group, corners)."""
    name = f"{city}_{number:06d}_000019"
    for folder in ("leftImg8bit", "gtFine"):
        (root / folder / split / city).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 60)).save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
    ids = np.full((size[1], size[0]), 7, np.int32)
    labels = np.full((size[1], size[0]), 7, np.uint8)
    polygons = []
    for label, value, instance, (x1, y1, x2, y2) in objects:
        ids[y1 : y2 + 1, x1 : x2 + 1] = value if instance is None else 1000 * value + instance
        labels[y1 : y2 + 1, x1 : x2 + 1] = value
        polygons.append({"label": label, "polygon": rectangle(x1, y1, x2, y2)})
    base = root / "gtFine" / split / city / f"{name}_gtFine_"
    Image.fromarray(ids.astype(np.uint16)).save(f"{base}instanceIds.png")
    Image.fromarray(labels).save(f"{base}labelIds.png")
    content = {"imgWidth": size[0], "imgHeight": size[1], "objects": polygons}
    (base.parent / f"{base.name}polygons.json").write_text(json.dumps(content))
    return name


@pytest.fixture
def root(tmp_path):
    """Two cities in train: a frame with five objects and a group, and one without any object."""
    objects = [
        ("sky", 23, None, (0, 0, 31, 1)),
        ("bicycle", 33, 0, (2, 4, 6, 9)),
        ("car", 26, 0, (10, 4, 20, 12)),
        ("car", 26, 1, (18, 6, 25, 14)),
        ("caravan", 29, 0, (27, 2, 30, 6)),
        ("persongroup", 24, None, (0, 11, 5, 15)),
        ("motorcycle", 32, 0, (28, 10, 28, 14)),
    ]
    write_frame(tmp_path, "train", "aachen", 1, objects)
    write_frame(tmp_path, "train", "bochum", 2, [("road", 7, None, (0, 0, 31, 15))])
    return tmp_path


def opened(root, mode="mask", split="train", **options):
    return CityScapesDataset(root / "leftImg8bit", root / "gtFine", split, mode, **options)


def test_classes_are_the_originals_ten_or_the_evaluated_eight(root):
    dataset = opened(root)
    assert dataset.CLASSES[1:] == ALL_TEN and dataset.name_to_id["bicycle"] == 10
    assert dataset.vocabulary.thing_names == tuple(ALL_TEN) and len(dataset.vocabulary.semantic_names) == 19
    eight = opened(root, evaluated_only=True)
    assert eight.vocabulary.thing_names == tuple(name for name in ALL_TEN if name not in ("caravan", "trailer"))
    assert eight.get_annotations(0).instances.get_field("labels").tolist() == [3, 3, 8]


def test_bitmaps_give_what_is_visible_in_the_order_of_numbers(root):
    instances = opened(root).get_annotations(0).instances
    assert instances.get_field("labels").tolist() == [3, 3, 6, 10]
    assert instances.bbox.tolist() == [[10, 4, 20, 12], [18, 6, 25, 14], [27, 2, 30, 6], [2, 4, 6, 9]]
    masks = instances.get_field("masks").get_mask_tensor()
    assert masks.sum((1, 2)).tolist() == [11 * 9 - 3 * 7, 8 * 9, 4 * 5, 5 * 6]
    assert masks[0, 6, 18] == 0 and masks[1, 6, 18] == 1


def test_polygons_give_whole_outlines_in_the_order_of_drawing(root):
    instances = opened(root, "poly").get_annotations(0).instances
    assert instances.get_field("labels").tolist() == [10, 3, 3, 6]
    assert instances.bbox.tolist() == [[2, 4, 6, 9], [10, 4, 20, 12], [18, 6, 25, 14], [27, 2, 30, 6]]
    polygons = instances.get_field("masks").instances.polygons
    assert polygons[1][0].tolist() == [10, 4, 20, 4, 20, 12, 10, 12]


@pytest.mark.parametrize("mode", ["mask", "poly"])
def test_testing_keeps_groups_as_crowds_and_objects_without_area(root, mode):
    instances = opened(root, mode, keep_crowd=True).get_annotations(0).instances
    crowds = instances[instances.get_field("iscrowd")]
    assert crowds.get_field("labels").tolist() == [1] and crowds.bbox.tolist() == [[0, 11, 5, 15]]
    assert 9 in instances.get_field("labels").tolist() and len(instances) == 6
    masks = instances.get_field("masks").get_mask_tensor()
    assert len(masks) == 6


def test_small_objects_are_left_out_on_request(root):
    assert len(opened(root, min_area=21).get_annotations(0).instances) == 2
    assert len(opened(root, min_area=20).get_annotations(0).instances) == 3


def test_semantic_map_has_nineteen_classes_and_ignores_the_rest(root):
    labels = opened(root).get_annotations(0).semantic.labels
    assert labels[0, 0] == 10 and labels[15, 31] == 0 and labels[4, 10] == 13 and labels[2, 27] == 255
    (label_file,) = (root / "gtFine/train/aachen").glob("*labelIds.png")
    label_file.unlink()
    assert annotated_tasks(opened(root).get_annotations(0)) == {"detection", "instance"}


@pytest.mark.parametrize("mode", ["mask", "poly"])
def test_images_without_objects_hold_nothing_and_can_be_left_out(root, mode):
    dataset = opened(root, mode)
    assert dataset.ids == ["aachen_000001_000019", "bochum_000002_000019"]
    assert len(dataset.get_annotations(1).instances) == 0
    assert dataset.leave_out_empty() == 1 and dataset.ids == ["aachen_000001_000019"]
    for path in (root / "gtFine/train").glob("*/*polygons.json"):
        path.unlink()
    if mode == "mask":
        dataset = opened(root)
        assert dataset.leave_out_empty() == 1 and len(dataset) == 1


def test_an_item_is_image_annotations_and_index(root):
    dataset = opened(root)
    image, annotations, idx = dataset[1]
    assert image.size == annotations.size == SIZE and idx == 1
    info = dataset.get_img_info(1)
    assert info["file_name"] == "bochum/bochum_000002_000019_leftImg8bit.png" and info["height"] == 16
    assert info["ann_path"].endswith("bochum_000002_000019_gtFine_instanceIds.png")


def test_mini_takes_images_from_all_over(tmp_path):
    for number in range(9):
        write_frame(tmp_path, "val", f"city{number}", number, [])
    mini = opened(tmp_path, split="val", mini=3)
    assert [name[:5] for name in mini.ids] == ["city0", "city4", "city8"]


def test_missing_and_bad_files_are_one_line(root):
    with pytest.raises(UserError, match=r"no image .*val/CITY/\*_leftImg8bit\.png"):
        opened(root, split="val")
    (path,) = (root / "gtFine/train/aachen").glob("*polygons.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "imgWidth": 9}))
    with pytest.raises(UserError, match=r"polygons\.json is for an image of 9x16 pixels, but the image has 32x16"):
        opened(root, "poly").get_annotations(0)
    content["objects"][1]["polygon"] = [[1, 2], [3]]
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="object 1 needs a 'label' and a 'polygon'"):
        opened(root, "poly").get_annotations(0)
    path.unlink()
    with pytest.raises(UserError, match=r"has no annotation .*aachen_000001_000019_gtFine_polygons\.json"):
        opened(root, "poly")


def test_deleted_polygons_and_numbers_out_of_range_are_passed_over(root):
    (path,) = (root / "gtFine/train/aachen").glob("*polygons.json")
    content = json.loads(path.read_text())
    content["objects"][1]["deleted"] = 1
    path.write_text(json.dumps(content))
    assert opened(root, "poly").get_annotations(0).instances.get_field("labels").tolist() == [3, 3, 6]
    (path,) = (root / "gtFine/train/bochum").glob("*instanceIds.png")
    Image.fromarray(np.full((16, 32), 65535, np.uint16)).save(path)
    assert len(opened(root).get_annotations(1).instances) == 0


def test_segments_are_objects_stuff_and_groups_as_crowds(root):
    dataset = opened(root, keep_crowd=True)
    classes = PanopticClasses.of(dataset.vocabulary)
    found = PanopticMap.of_annotations(dataset.get_annotations(0), classes)
    named = [classes.names[kind] for kind in found.classes]
    areas = sorted(zip(named, found.is_crowd.tolist(), found.areas.tolist()))
    assert areas == [
        ("bicycle", False, 5 * 6),
        ("car", False, 8 * 9),
        ("car", False, 11 * 9 - 3 * 7),
        ("caravan", False, 4 * 5),  # which the semantic map ignores
        ("motorcycle", False, 5),
        ("person", True, 6 * 5),
        ("road", False, 32 * 16 - 299),
        ("sky", False, 32 * 2),
    ]
    assert classes.is_thing[found.classes].tolist() == [name not in ("sky", "road") for name in named]
    learnt = opened(root, evaluated_only=True)
    classes = PanopticClasses.of(learnt.vocabulary)
    found = PanopticMap.of_annotations(learnt.get_annotations(0), classes)
    crowds = {classes.names[kind] for kind in found.classes[found.is_crowd]}
    assert crowds == {"person", "motorcycle"} and "caravan" not in classes.names
