"""Ground truth as labels of PASCAL Panoptic Parts, and such labels as a data set of PASCAL in Detail's layout."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER
from maskrcnn_benchmark.data.detail.dataset import DetailDataset
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.prediction_files.part_panoptic_maps import encode_codes, read_scene
from maskrcnn_benchmark.structures.part_codes import PartCodes
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

TOOLS = Path(__file__).parents[2] / "tools"


def tool(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    tool(name).main()


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    return write_mini_detail(tmp_path_factory.mktemp("data") / "mini_detail", 4, 4, seed=5)


def opened(folder, split, **sets):
    return DetailDataset(folder / "annotations.json", None, split, tasks=["part_panoptic"], **sets)


def scenes(dataset):
    """{name of an image: its `PartPanopticMap`} of those that are annotated."""
    classes = PartClasses.of(dataset.vocabulary)
    indices = [index for index in range(len(dataset)) if dataset.tasks_of(index)]
    names = [dataset.get_img_info(index)["file_name"] for index in indices]
    return {
        name: PartPanopticMap.of_annotations(dataset.get_annotations(index), classes)
        for name, index in zip(names, indices)
    }


def described(scene, names):
    """Of each pixel the name of its class, whether it is of a crowd, and its part."""
    segments = scene.segments
    kinds = np.array(["void", *(names[kind] for kind in segments.classes)])
    return kinds[segments.ids], np.append(False, segments.is_crowd)[segments.ids], scene.parts


def assert_same(one, other, names, other_names):
    for own, theirs in zip(described(one, names), described(other, other_names)):
        assert np.array_equal(own, theirs)
    pairs = set(zip(one.segments.ids.ravel().tolist(), other.segments.ids.ravel().tolist()))
    assert len(pairs) == len(one.segments.areas) + (one.segments.ids == 0).any()


@pytest.mark.parametrize("parts", ["ppp57", "person6", "all"])
def test_written_ground_truth_reads_back_to_the_same_segments_and_parts(mini, tmp_path, monkeypatch, parts):
    run("detail_to_ppp", monkeypatch, "--annotations", mini / "annotations.json", "--out", tmp_path, "--parts", parts)
    dataset = opened(mini, "val", parts=parts)
    codes, found = PartCodes.of(dataset.vocabulary), scenes(dataset)
    assert len(found) == len(list((tmp_path / "part_panoptic").iterdir())) > 0
    for name, scene in found.items():
        path = tmp_path / "part_panoptic" / f"{Path(name).stem}.tif"
        again = read_scene(path, scene.size, codes, annotated=True)
        assert_same(scene, again, codes.classes.names, codes.classes.names)
    rows = json.loads((tmp_path / "classes.json").read_text())["part_panoptic"]
    assert {"sid": 15, "name": "person"} in rows


def test_published_labels_become_a_data_set(mini, tmp_path, monkeypatch, capsys):
    """Written in the published numbers of parts, and made a data set again: the same segments and parts."""
    for split, folder in (("train", "training"), ("val", "validation")):
        arguments = ["--annotations", mini / "annotations.json", "--split", split, "--numbers", "published"]
        run("detail_to_ppp", monkeypatch, *arguments, "--out", tmp_path / split)
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / split / "part_panoptic").rename(tmp_path / "labels" / folder)
    run(
        "ppp_to_detail",
        monkeypatch,
        "--labels",
        tmp_path / "labels",
        "--out",
        tmp_path / "ppp",
        "--images",
        mini / "images",
    )
    assert (tmp_path / "ppp" / "images").is_dir()
    for split in ("train", "val"):
        own, theirs = (
            opened(mini, split, parts="ppp57"),
            opened(tmp_path / "ppp", split, parts="ppp57", classes="context59"),
        )
        found, again = scenes(own), scenes(theirs)
        assert found.keys() == again.keys() and found
        for name, scene in found.items():
            assert_same(scene, again[name], own.vocabulary.semantic_names, theirs.vocabulary.semantic_names)
    assert "image" in capsys.readouterr().out and theirs.tasks == {"part_panoptic"}


def test_published_labels_are_read_by_the_names_of_their_parts(tmp_path, monkeypatch, capsys):
    codes = np.zeros((4, 6), np.int32)
    # person 1 with hair and an arm of no known number, a crowd of persons, a road, and a class beyond the 59
    codes[0], codes[1], codes[2], codes[3, :3], codes[3, 3:] = 1500110, 1500199, 15, 74, 22
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "2008_000008.tif").write_bytes(encode_codes(codes))
    run("ppp_to_detail", monkeypatch, "--labels", tmp_path, "--out", tmp_path / "ppp")
    said = capsys.readouterr().out
    assert "1 image, 3 regions" in said and "1 regions of other classes" in said and "1 parts of numbers" in said
    dataset = DetailDataset(tmp_path / "ppp" / "annotations.json", None, "train", parts="person24")
    assert dataset.ids == [2008000008] and dataset.tasks_of(0) >= {"detection", "instance", "part", "semantic"}
    assert "keypoint" not in dataset.tasks_of(0)
    objects = dataset.get_annotations(0).instances
    assert sorted(objects.get_field("iscrowd").tolist()) == [False, True]
    labels = objects.get_field("parts").labels[~objects.get_field("iscrowd")][0]
    hair = dataset.vocabulary.parts.label_of("person", "hair")
    assert (labels[0] == hair).all() and not labels[1:].any()
    assert OFFICIAL_ORDER.index("road") in dataset.get_annotations(0).semantic.labels


def test_what_cannot_be_converted_is_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"has no training/\*\.tif and no validation/\*\.tif"):
        run("ppp_to_detail", monkeypatch, "--labels", tmp_path, "--out", tmp_path / "ppp")
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "a.tif").write_bytes(encode_codes(np.full((2, 2), 500, np.int32)))
    with pytest.raises(UserError, match=r"a\.tif holds the number 500, which is no label"):
        run("ppp_to_detail", monkeypatch, "--labels", tmp_path, "--out", tmp_path / "ppp")
    few = PartSet.from_names("all", {"dog": ["head", "lfhopa"]})
    chosen_codes = tool("detail_to_ppp").chosen_codes
    with pytest.raises(UserError, match="published has none for the part 'dog/lfhopa' of dog; choose --parts ppp57"):
        chosen_codes(Vocabulary(("dog",), ("dog",), parts=few), "published")
    with pytest.raises(UserError, match="published has none for the class 'unicorn'; choose --classes context59"):
        chosen_codes(Vocabulary(("unicorn",), ("dog",), parts=few), "published")
    with pytest.raises(UserError, match=r"there are 100 classes.*; choose other --classes or --parts"):
        chosen_codes(Vocabulary((), tuple(f"class {k}" for k in range(100)), parts=few), "evaluation")
