"""The made-up set of full size: its layout, its counts and its codes, in small."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as run_length

from maskrcnn_benchmark.utils.errors import UserError

TOOL = Path(__file__).parents[2] / "tools" / "make_full_size.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("make_full_size_tool", TOOL)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TOOL.parent))
        spec.loader.exec_module(module)
    return module


def make(tool, folder, images=8, unique=3):
    tool.main(["--out", str(folder), "--images", str(images), "--unique", str(unique)])
    return folder


@pytest.fixture(scope="module")
def made(tool, tmp_path_factory):
    return make(tool, tmp_path_factory.mktemp("made") / "set")


@pytest.fixture(scope="module")
def content(made):
    return json.loads((made / "annotations.json").read_text())


def test_sections_are_those_of_the_real_file(content):
    sections = ["info", "images", "categories", "parts"]
    assert list(content) == sections + [f"annos_{name}" for name in ("segmentation", "boundary", "occlusion", "joints")]
    assert len(content["categories"]) == 59 and len(content["parts"]) == 82
    assert sum(bool(row["parts"]) for row in content["categories"]) == 16
    assert {row["part_id"] for row in content["parts"]} == {*range(1, 82), 255}
    assert [row["phase"] for row in content["images"]] == ["train", "val"] * 4
    assert len(content["annos_boundary"]) == len(content["annos_occlusion"]) == 8


def test_ids_count_up_and_objects_come_before_stuff(content):
    rows = content["annos_segmentation"]
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["iscrowd"] for row in rows] == sorted(row["iscrowd"] for row in rows)
    people = content["annos_joints"]
    assert [row["person_id"] for row in people] == list(range(1, len(people) + 1))
    images = {row["image_id"] for row in content["images"]}
    assert {row["image_id"] for row in rows} == images


def test_masks_areas_boxes_and_classes_agree(content):
    categories = {row["category_id"]: row for row in content["categories"]}
    for row in content["annos_segmentation"]:
        category = categories[row["category_id"]]
        assert category["onlysemantic"] == bool(row["iscrowd"])
        assert {part["part_id"] for part in row["parts"]} <= set(category["parts"])
        assert row["segmentation"]["size"] == [375, 500]
        assert run_length.area(row["segmentation"]) == row["area"] > 0
        assert run_length.toBbox(row["segmentation"]).tolist() == row["bbox"]
        for part in row["parts"]:
            inside = run_length.merge([part["segmentation"], row["segmentation"]], intersect=True)
            assert run_length.area(inside) == run_length.area(part["segmentation"])


def test_chains_and_joints_lie_in_the_image(content):
    for row in content["annos_occlusion"]:
        chains = row["edges"]["indices"]
        assert row["ne"] == len(chains) == len(row["edges"]["edgelabel"])
        for chain in chains:
            steps = np.abs(np.diff(np.divmod(chain, 375), axis=1)).max(0)
            assert min(chain) >= 0 and max(chain) < 375 * 500 and (steps == 1).all()
    for row in content["annos_joints"]:
        joints = np.reshape(row["keypoints"], (14, 3))
        assert row["num_keypoints"] == (joints[:, 2] > 0).sum() > 0
        assert (joints[:, :2] >= 0).all() and (joints[:, :2] <= (499, 374)).all()
        assert not joints[joints[:, 2] == 0].any()


def test_codes_are_as_long_as_those_of_real_masks(content, real_data):
    real = json.loads((real_data / "detail_real8" / "annotations.json").read_text())
    assert _lengths(content) == pytest.approx(_lengths(real), rel=0.35)


def _lengths(content):
    """Mean characters of the codes of objects, stuff and parts."""
    rows = content["annos_segmentation"]
    objects, stuff = ([len(r["segmentation"]["counts"]) for r in rows if r["iscrowd"] == kind] for kind in (0, 1))
    parts = [len(part["segmentation"]["counts"]) for row in rows for part in row["parts"]]
    return [float(np.mean(each)) for each in (objects, stuff, parts)]


def test_pictures_are_photographs_in_size_and_repeat(made, content):
    files = [made / "images" / row["file_name"] for row in content["images"]]
    with Image.open(files[0]) as image:
        assert image.size == (500, 375) and image.format == "JPEG"
    assert 50_000 < files[0].stat().st_size < 200_000
    assert files[3].read_bytes() == files[0].read_bytes() != files[1].read_bytes()
    repeated = [row for row in content["annos_boundary"] if row["image_id"] in (2008000001, 2008000004)]
    assert repeated[0]["boundary_mask"] == repeated[1]["boundary_mask"]


def test_the_same_seed_gives_the_same_bytes_and_a_whole_set_is_left_alone(tool, made, tmp_path):
    again = make(tool, tmp_path / "again")
    assert (again / "annotations.json").read_bytes() == (made / "annotations.json").read_bytes()
    before = (again / "annotations.json").stat().st_mtime_ns
    assert (make(tool, again) / "annotations.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="holds something else"):
        make(tool, again, images=9)


def test_an_interruption_leaves_nothing(tool, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.full_size._write_sections", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(tool, tmp_path / "set", images=1)
    assert list(tmp_path.iterdir()) == []
