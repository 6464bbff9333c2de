"""Cityscapes as COCO JSON: the same boxes and pixels, found under the names of the original's configs."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog
from maskrcnn_benchmark.data.datasets import CityScapesDataset, COCODataset

TOOL = Path(__file__).parents[2] / "tools" / "cityscapes_to_coco.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("cityscapes_to_coco", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    """One frame: a ragged car, a person in two pieces with a hole, a caravan and a group of bicycles."""
    rng = np.random.default_rng(0)
    ids = np.full((40, 60), 7, np.uint16)
    ids[5:25, 8:40] = np.where(rng.random((20, 32)) < 0.7, 26003, 7)
    ids[28:38, 2:12], ids[30:34, 4:8], ids[30:38, 20:24] = 24001, 11, 24001
    ids[1:4, 50:58], ids[30:39, 40:59] = 29000, 33
    for folder, name, picture in (
        ("leftImg8bit", "leftImg8bit", Image.new("RGB", (60, 40))),
        ("gtFine", "gtFine_instanceIds", Image.fromarray(ids)),
    ):
        (tmp_path / "cityscapes" / folder / "val" / "ulm").mkdir(parents=True)
        picture.save(tmp_path / "cityscapes" / folder / "val" / "ulm" / f"ulm_000000_000019_{name}.png")
    return tmp_path / "cityscapes"


@pytest.mark.parametrize("masks", ["polygons", "rle"])
@pytest.mark.parametrize("groups", [False, True])
def test_objects_come_back_in_every_pixel(tool, root, masks, groups):
    assert tool.convert(root, "val", masks, groups).endswith(f"1 image, {2 + groups} objects")
    entry = DatasetCatalog.get("cityscapes_fine_instanceonly_seg_val_cocostyle", root.parent)
    exported = COCODataset(**entry["args"], remove_images_without_annotations=True, keep_crowd=groups)
    own = CityScapesDataset(
        root / "leftImg8bit", root / "gtFine", "val", "mask", keep_crowd=groups, evaluated_only=True
    )
    assert exported.vocabulary.thing_names == own.vocabulary.thing_names and len(own.vocabulary.thing_names) == 8
    image, annotations, _ = exported[0]
    ours, theirs = annotations.instances, own.get_annotations(0).instances
    assert image.size == (60, 40)
    assert torch.equal(ours.bbox, theirs.bbox)
    for field in ("labels", "iscrowd"):
        assert torch.equal(ours.get_field(field), theirs.get_field(field))
    assert torch.equal(ours.get_field("masks").get_mask_tensor(), theirs.get_field("masks").get_mask_tensor())
    rows = json.loads(Path(entry["args"]["ann_file"]).read_text())["annotations"]
    assert [row["area"] for row in rows] == theirs.get_field("masks").get_mask_tensor().sum((1, 2)).tolist()


def test_running_twice_is_fine(tool, root):
    assert tool.convert(root, "val") == tool.convert(root, "val")
    assert (root / "images" / "ulm_000000_000019_leftImg8bit.png").is_file()
