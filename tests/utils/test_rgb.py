"""Pixels of any depth, transparency and orientation become one RGB image, whichever way it is read."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data.image_file import decode_image, decoded_facts, read_image
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.predict.sources import frames_of
from maskrcnn_benchmark.utils.pictures import opened_picture
from maskrcnn_benchmark.utils.rgb import in_rgb, orientation_of, turned_size, upright

RAMP = np.arange(65536).reshape(256, 256)
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
RIGHT = {  # what to do with the pixels as they are stored, for each orientation of EXIF
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.transpose(1, 0, 2), 2),
    8: lambda a: np.rot90(a, 1),
}


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def read(path):
    """The pixels, which are the same at every entry point."""
    images = [read_image(path, exif="apply"), decode_image(path.read_bytes(), "a", "apply"), read_upload(path).image]
    images += [frame.image for source in (path, Image.open(path)) for frame in frames_of(source)]
    pixels = [np.asarray(image) for image in images]
    for others in pixels[:-1]:
        assert np.array_equal(others, pixels[0])
    return pixels[0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a.png", RAMP.astype(np.uint16)),
        ("a.tif", RAMP.astype(np.uint16)),
        ("a.tif", RAMP.astype(">u2")),
        ("a.tif", RAMP.astype(np.int32)),
        ("a.tif", (RAMP * 1000 - 7).astype(np.int32)),
        ("a.tif", (RAMP / 65535).astype(np.float32)),
        ("a.tif", (RAMP / 9 - 100).astype(np.float32)),
        ("a.png", (RAMP // 16).astype(np.uint16)),  # 12 bits of a camera in a file of 16
        ("a.tif", (RAMP // 4).astype(np.float32)),
    ],
)
def test_a_ramp_of_more_than_8_bits_becomes_the_ramp_of_8(tmp_path, name, values):
    Image.fromarray(values).save(tmp_path / name)
    pixels = read(tmp_path / name)
    assert pixels.min() == 0 and pixels.max() == 255 and pixels.mean() == pytest.approx(127.5, abs=0.01)
    assert decoded_facts(tmp_path / name).is_deep


@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_colours_are_scaled_as_deep_grey_is(tmp_path, name, shift):
    cv2.imwrite(str(tmp_path / name), np.dstack([RAMP, RAMP[::-1], RAMP]).astype(np.uint16) >> shift)
    pixels = read(tmp_path / name)
    assert decoded_facts(tmp_path / name).is_deep
    assert pixels[[0, -1], [0, -1]].tolist() == [pytest.approx([0, 255, 0], abs=1), pytest.approx([255, 0, 255], abs=1)]
    assert pixels.mean() == pytest.approx(127.5, abs=0.5)


def test_what_has_8_bits_stays_as_it_is_however_it_is_stored(tmp_path):
    values = RAMP[:2] % 200
    for name, kind in (("a.png", np.uint16), ("a.tif", np.int32), ("a.tif", np.float32)):
        Image.fromarray(values.astype(kind)).save(tmp_path / name)
        with opened_picture(tmp_path / name, "a") as image:
            image, change = in_rgb(image, "a")
        assert np.array_equal(np.asarray(image)[..., 0], values) and change is None


def test_what_is_no_number_has_a_place_in_the_range(tmp_path):
    values = np.array([[-1.0, 0.0, np.nan, 3.0, np.inf, -np.inf]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 64, 64, 255, 255, 0]
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif").max() == 0


def test_transparent_pictures_are_laid_on_white(tmp_path):
    image = Image.new("RGBA", (3, 1), (200, 30, 10, 255))
    image.putpixel((1, 0), (200, 30, 10, 0))
    image.save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0].tolist() == [[200, 30, 10], [255, 255, 255], [200, 30, 10]]
    Image.merge("LA", [Image.new("L", (3, 1), 7), image.getchannel("A")]).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png")[0, :, 0].tolist() == [7, 255, 7]
    palette = Image.new("P", (3, 1))
    palette.putpalette([9, 8, 7, 1, 2, 3])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "a.png", transparency=1)
    assert read(tmp_path / "a.png")[0].tolist() == [[9, 8, 7], [255, 255, 255], [9, 8, 7]]
    Image.new("RGBA", (3, 1), (200, 30, 10, 255)).save(tmp_path / "a.png")
    with opened_picture(tmp_path / "a.png", "a") as opaque:
        assert in_rgb(opaque, "a")[1] is None


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("1", 1, [255] * 3), ("L", 9, [9] * 3), ("CMYK", (0, 255, 255, 0), [255, 0, 0])],
)
def test_other_colours_become_rgb(tmp_path, mode, colour, expected):
    Image.new(mode, (3, 2), colour).save(tmp_path / "a.tif")
    assert read(tmp_path / "a.tif")[1, 2].tolist() == expected


@pytest.mark.parametrize("orientation", RIGHT)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "lzw.tif", "a.webp"])
def test_every_orientation_is_turned_upright_and_can_be_left(tmp_path, name, orientation):
    options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {"lossless": True} if "webp" in name else {}
    path = tmp_path / name
    Image.fromarray(PIXELS).save(path, exif=turned(orientation), **options)
    expected = RIGHT[orientation](PIXELS)
    assert np.array_equal(read(path), expected)
    assert np.array_equal(np.asarray(read_image(path, exif="ignore")), PIXELS)
    facts = decoded_facts(path)
    assert facts.size == (6, 4) and facts.orientation == orientation
    assert facts.upright_size == turned_size((6, 4), orientation) == expected.shape[1::-1]


def test_orientations_that_there_are_not_turn_nothing():
    for value in (0, 9, 77):
        data = io.BytesIO()
        Image.fromarray(PIXELS).save(data, "PNG", exif=turned(value))
        with Image.open(data) as image:
            assert orientation_of(image) == 1
    assert upright(Image.fromarray(PIXELS), 1).size == (6, 4)
