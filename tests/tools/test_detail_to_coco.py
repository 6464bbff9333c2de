"""PASCAL in Detail as COCO JSON: what is written is what was there, for pycocotools and for our own reader."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from maskrcnn_benchmark.data.datasets import COCODataset, DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.utils.errors import UserError

TOOL = Path(__file__).parents[2] / "tools" / "detail_to_coco.py"
TASKS = {"detection", "instance", "keypoint", "semantic"}


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("detail_to_coco", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return write_mini_detail(tmp_path_factory.mktemp("data") / "mini_detail", 10, 4, seed=5)


def run(tool, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["detail_to_coco.py", *map(str, arguments)])
    tool.main()


def assert_same_instances(root, out, split):
    """Every image's objects, read by both data sets and by pycocotools, agree in every number and pixel."""
    detail = DetailDataset(root / "annotations.json", root / "images", split, tasks=TASKS)
    exported = COCODataset(out / f"instances_{split}.json", root / "images", False, keep_crowd=True)
    coco = COCO(out / f"instances_{split}.json")
    assert exported.vocabulary.thing_names == detail.vocabulary.thing_names
    place = {image_id: idx for idx, image_id in enumerate(detail.ids)}
    annotated = {i for i in detail.ids if detail.get_annotations(place[i]).instances is not None}
    assert set(exported.ids) == annotated and annotated
    for idx, image_id in enumerate(exported.ids):
        ours, theirs = exported.get_annotations(idx).instances, detail.get_annotations(place[image_id]).instances
        assert torch.equal(ours.bbox, theirs.bbox) and len(ours) == len(theirs)
        assert torch.equal(ours.get_field("labels"), theirs.get_field("labels"))
        masks = theirs.get_field("masks").get_mask_tensor()
        assert torch.equal(ours.get_field("masks").get_mask_tensor(), masks)
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        masks = masks.numpy().reshape(len(theirs), *masks.shape[-2:])
        for row, mask, label in zip(rows, masks, theirs.get_field("labels").tolist()):
            assert np.array_equal(coco.annToMask(row), mask) and row["area"] == mask.sum()
            assert coco.cats[row["category_id"]]["name"] == detail.vocabulary.thing_names[label - 1]
    return exported


def test_mini_detail_comes_back_in_every_number_and_pixel(tool, mini, tmp_path, monkeypatch):
    arguments = ("--annotations", mini / "annotations.json", "--images", mini / "images")
    run(tool, monkeypatch, *arguments, "--out", tmp_path, "--what", "instances", "keypoints", "semantic")
    for split in ("train", "val"):
        assert_same_instances(mini, tmp_path, split)
    detail = DetailDataset(mini / "annotations.json", mini / "images", "train", tasks=TASKS)
    people = COCODataset(tmp_path / "person_keypoints_train.json", mini / "images", False, keep_crowd=True)
    assert people.vocabulary.joints == DETAIL_JOINTS and people.vocabulary.thing_names == ("person",)
    place = {image_id: idx for idx, image_id in enumerate(detail.ids)}
    semantic_file = json.loads((tmp_path / "semantic_train.json").read_text())
    pictures = {row["id"]: row["semantic_file_name"] for row in semantic_file["images"]}
    number = 0
    for idx, image_id in enumerate(people.ids):
        ours, theirs = people.get_annotations(idx).people, detail.get_annotations(place[image_id]).people
        assert torch.equal(ours.bbox, theirs.bbox)
        assert torch.equal(ours.get_field("keypoints").keypoints, theirs.get_field("keypoints").keypoints)
        number += len(ours)
        semantic = detail.get_annotations(place[image_id]).semantic
        if semantic is not None:
            labels = np.array(Image.open(tmp_path / pictures[image_id]))
            assert np.array_equal(labels, semantic.labels.numpy())
    assert number > 3
    categories = semantic_file["categories"]
    assert tuple(row["name"] for row in categories) == detail.vocabulary.semantic_names
    assert [row["value"] for row in categories] == list(range(len(categories)))


def test_visibility_and_skeleton_are_in_cocos_meaning(tool, mini, tmp_path, monkeypatch):
    run(tool, monkeypatch, "--annotations", mini / "annotations.json", "--out", tmp_path, "--split", "trainval")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "instances_trainval.json",
        "person_keypoints_trainval.json",
    ]
    content = json.loads((tmp_path / "person_keypoints_trainval.json").read_text())
    (category,) = content["categories"]
    assert category["keypoints"][0] == "head" and [1, 2] in category["skeleton"]
    source = json.loads((mini / "annotations.json").read_text())["annos_joints"]
    assert len(content["annotations"]) == len(source)
    codes = np.array([row["keypoints"][2::3] for row in content["annotations"]])
    known = np.array([row["keypoints"][2::3] for row in source])
    assert set(np.unique(known)) == {0, 1, 2}
    assert np.array_equal(codes, np.choose(known, [0, 2, 1]))
    assert [row["num_keypoints"] for row in content["annotations"]] == (known > 0).sum(1).tolist()
    assert [row["id"] for row in content["annotations"]] == list(range(1, len(source) + 1))


def test_images_that_nobody_annotated_are_left_out_and_told(tool, mini, tmp_path, monkeypatch, capsys):
    source = json.loads((mini / "annotations.json").read_text())
    without = {source["images"][0]["image_id"]}
    for section in ("annos_segmentation", "annos_joints"):
        source[section] = [row for row in source[section] if row["image_id"] not in without]
    (tmp_path / "file.json").write_text(json.dumps(source))
    run(tool, monkeypatch, "--annotations", tmp_path / "file.json", "--out", tmp_path / "out", "--split", "train")
    listed = {row["id"] for row in json.loads((tmp_path / "out/instances_train.json").read_text())["images"]}
    segmented = {row["image_id"] for row in source["annos_segmentation"]}
    assert not listed & without and listed <= segmented
    text = capsys.readouterr().out
    assert f"instances_train.json: {len(listed)} images" in text and "images without segmentation" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["annos_joints"][0]["keypoints"].pop(), "keypoints are not the numbers of 14 joints"),
        (lambda c: c["annos_joints"][0]["keypoints"].__setitem__(2, 5), "visibility of a joint is not 0, 1 or 2"),
        (lambda c: c["annos_joints"][0]["bbox"].__setitem__(0, float("nan")), "bbox of joints is missing, odd"),
        (lambda c: c["annos_segmentation"][0].pop("segmentation"), "mask is missing"),
        (lambda c: c["annos_segmentation"][0].update(category_id=7777), "category is unknown"),
    ],
)
def test_nonsense_is_told_and_not_exported(tool, mini, tmp_path, monkeypatch, caplog, change, message):
    content = json.loads((mini / "annotations.json").read_text())
    change(content)
    (tmp_path / "bad.json").write_text(json.dumps(content))
    run(tool, monkeypatch, "--annotations", tmp_path / "bad.json", "--out", tmp_path / "out")
    assert message in caplog.text
    for path in (tmp_path / "out").glob("*.json"):
        rows = json.loads(path.read_text(), parse_constant=pytest.fail)["annotations"]
        assert all(row["category_id"] != 7777 and set(row.get("keypoints", [])[2::3]) <= {0, 1, 2} for row in rows)


def test_a_file_without_a_split_is_one_line(tool, mini, tmp_path, monkeypatch):
    content = json.loads((mini / "annotations.json").read_text())
    for row in content["images"]:
        row["phase"] = "test"
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="no image of phase 'train' or 'val'"):
        run(tool, monkeypatch, "--annotations", tmp_path / "bad.json", "--out", tmp_path / "out")


def test_a_missing_image_is_told_when_images_are_to_be_checked(tool, mini, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such image"):
        arguments = ("--annotations", mini / "annotations.json", "--out", tmp_path)
        run(tool, monkeypatch, *arguments, "--images", tmp_path)


def test_real_voc_images_come_back_in_every_number_and_pixel(tool, real_data, tmp_path, monkeypatch):
    root = real_data / "detail_real8"
    run(tool, monkeypatch, "--annotations", root / "annotations.json", "--out", tmp_path)
    number = 0
    for split in ("train", "val"):
        exported = assert_same_instances(root, tmp_path, split)
        number += sum(len(exported.get_annotations(idx).instances) for idx in range(len(exported)))
    assert number == 15
