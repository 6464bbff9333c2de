"""A data set that a command line names by its file."""

import argparse
import json

import pytest
from PIL import Image

from maskrcnn_benchmark.experiments.dataset_arguments import add_dataset_arguments
from maskrcnn_benchmark.experiments.open_dataset import open_dataset


@pytest.mark.parametrize(("exif", "corner"), [((), 0), (("--exif", "apply"), 255), (("--exif", "ignore"), 0)])
@pytest.mark.parametrize("layout", ["coco", "detail"])
def test_the_command_line_decides_about_photographs_whose_size_does_not_tell(tmp_path, layout, exif, corner):
    picture = Image.new("L", (4, 4))
    picture.putpixel((0, 0), 255)
    turned = Image.Exif()
    turned[0x0112] = 3
    picture.save(tmp_path / "a.png", exif=turned)
    row = {"id": 1, "image_id": 1, "file_name": "a.png", "width": 4, "height": 4, "phase": "train"}
    content = {"images": [row], "categories": [], "annotations": [], "parts": [], "annos_segmentation": []}
    (tmp_path / "a.json").write_text(json.dumps(content), encoding="utf-8")
    parser = argparse.ArgumentParser()
    add_dataset_arguments(parser, "train", "to look at")
    arguments = ("--annotations", tmp_path / "a.json", "--images", tmp_path, "--layout", layout, *exif)
    dataset = open_dataset(parser.parse_intermixed_args(map(str, arguments)), None, ("detection",))
    assert dataset.open_image(0).getpixel((3, 3)) == (corner, corner, corner)
