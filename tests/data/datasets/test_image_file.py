"""Reading photographs: damaged, missing and oversized files end in one clear line."""

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.datasets.image_file import read_image
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return path


def test_grey_palette_and_transparent_images_become_rgb(tmp_path):
    for mode in ("L", "P", "RGBA", "CMYK"):
        path = tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (5, 4)).save(path)
        assert read_image(path, (5, 4)).mode == "RGB"


def test_truncated_jpeg_is_an_error_that_names_the_file(jpeg):
    jpeg.write_bytes(jpeg.read_bytes()[:700])
    with pytest.raises(UserError, match=r"photo\.jpg cannot be decoded.*truncated or damaged"):
        read_image(jpeg)


def test_missing_file_and_other_content_are_errors(tmp_path, jpeg):
    with pytest.raises(UserError, match=r"no such image: .*absent\.jpg"):
        read_image(tmp_path / "absent.jpg")
    jpeg.write_text("a page of html")
    with pytest.raises(UserError, match=r"photo\.jpg is not an image"):
        read_image(jpeg)


def test_image_of_another_size_than_annotated_is_an_error(jpeg):
    assert read_image(jpeg, (60, 40)).size == (60, 40)
    with pytest.raises(UserError, match="60x40 pixels, but its annotations are for 40x60"):
        read_image(jpeg, (40, 60))


@pytest.mark.parametrize("limit", [2000, 1000])  # PIL itself warns above the limit and refuses above twice that
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_decompression_bomb_is_refused(jpeg, monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UserError, match=r"photo\.jpg.*make it smaller"):
        read_image(jpeg)
