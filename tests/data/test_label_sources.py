"""Labels of added tasks come from where their source says, in every data set of the package."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.data.datasets import CityScapesDataset, COCODataset, ConcatDataset, PascalVOCDataset
from maskrcnn_benchmark.data.label_sources import LABEL_SOURCES, read_annotations
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks

LABELLED = {"2", "000002", "aachen_000002_000019"}  # as the data sets below call an image


def label(dataset, index):
    info = dataset.get_img_info(index)
    if str(info["image_id"]) not in LABELLED:
        return None
    return SemanticMap(torch.ones(info["height"], info["width"], dtype=torch.uint8))


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """A task `scene` that no data set has labels for, and `depth`, which every one has for one image."""
    for key in ("scene", "depth"):
        monkeypatch.setitem(TASKS, key, type(key.title(), (Task,), {"key": key})())
    monkeypatch.setitem(LABEL_SOURCES, "scene", lambda dataset: None)
    monkeypatch.setitem(LABEL_SOURCES, "depth", lambda dataset: label)


def save(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (12, 8)).save(path)


def write_coco(folder):
    box = {"bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0, "segmentation": [[1, 1, 4, 1, 4, 4]]}
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 12, "height": 8} for i in (1, 2, 3)],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **box}],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    (folder / "images.json").write_text(json.dumps({"images": content["images"], "categories": content["categories"]}))
    return folder


def test_coco_reads_what_is_wanted_and_keeps_images_with_a_label(tmp_path):
    folder = write_coco(tmp_path)
    dataset = COCODataset(folder / "instances.json", None, True, tasks=("detection", "depth", "scene"))
    assert dataset.tasks == {"detection", "depth"} and dataset.ids == [1, 2]
    assert [annotated_tasks(dataset.get_annotations(i)) for i in (0, 1)] == [{"detection"}, {"detection", "depth"}]
    assert dataset.get_annotations(1).labels["depth"].labels.sum() == 96
    assert COCODataset(folder / "instances.json", None, True, tasks=("detection",)).ids == [1]


@pytest.mark.parametrize("file", ["instances.json", "images.json"])
def test_coco_alone_for_an_added_task_reads_no_objects(tmp_path, file):
    dataset = COCODataset(write_coco(tmp_path) / file, None, True, tasks=("depth",))
    assert dataset.ids[-1] == 2
    annotations = dataset.get_annotations(len(dataset) - 1)
    assert annotations.instances is None and annotated_tasks(annotations) == {"depth"}


def write_voc(root):
    xml = "<size><width>12</width><height>8</height></size>"
    names = ("000001", "000002")
    for name in names:
        save(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{xml}</annotation>")
    (root / "ImageSets" / "Main").mkdir(parents=True)
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(names))
    return root


def test_voc_leaves_out_what_no_wanted_task_is_annotated_on(tmp_path):
    dataset = PascalVOCDataset(write_voc(tmp_path), "train", tasks=("depth", "semantic"))
    assert annotated_tasks(dataset.get_annotations(1)) == {"depth"}
    assert dataset.leave_out_unannotated() == 1 and dataset.ids == ["000002"]
    with_boxes = PascalVOCDataset(tmp_path, "train", tasks=("depth", "detection"))
    assert with_boxes.leave_out_unannotated() == 0


def test_cityscapes_and_joined_data_sets_have_them_too(tmp_path):
    for number in (1, 2):
        name = f"aachen_{number:06d}_000019"
        save(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{name}_leftImg8bit.png")
        save(tmp_path / "gtFine" / "train" / "aachen" / f"{name}_gtFine_instanceIds.png", "I")
    dataset = CityScapesDataset(tmp_path / "leftImg8bit", tmp_path / "gtFine", "train", tasks=("depth",))
    assert dataset.tasks == {"depth"}
    joined = ConcatDataset([dataset, dataset])
    found = [annotated_tasks(joined.get_annotations(i)) for i in range(4)]
    assert found == [set(), {"depth"}, set(), {"depth"}]


def test_a_source_reads_other_annotations_than_those_wanted(tmp_path):
    dataset = COCODataset(write_coco(tmp_path) / "instances.json", Path(tmp_path), False, tasks=("depth",))
    annotations = read_annotations(dataset, 0, {"instance"})
    assert annotations.instances.has_field("masks") and "depth" not in annotated_tasks(annotations)
    assert dataset.get_annotations(0).instances is None
