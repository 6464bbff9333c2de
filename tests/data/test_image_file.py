"""Reading photographs: damaged, missing and oversized files end in one clear line."""

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.data import image_file
from maskrcnn_benchmark.data.image_file import image_size, read_image, read_labels
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.once import OncePerRun


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


def test_labels_are_the_numbers_of_palettes_and_of_deep_pixels(tmp_path):
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = Image.fromarray(labels)
    palette.putpalette([7] * 768)
    assert palette.mode == "P"
    palette.save(tmp_path / "palette.png")
    Image.fromarray(labels.astype(np.uint16) * 5000).save(tmp_path / "deep.png")
    assert np.array_equal(read_labels(tmp_path / "palette.png", (4, 3)), labels)
    deep = read_labels(tmp_path / "deep.png")
    assert np.array_equal(deep, labels.astype(np.int32) * 5000) and deep.dtype == np.int32
    assert image_size(tmp_path / "deep.png") == (4, 3)


def test_colours_are_no_labels(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "colours.png")
    with pytest.raises(UserError, match=r"colours\.png holds colours \(mode RGB\), not one label per pixel"):
        read_labels(tmp_path / "colours.png")
    with pytest.raises(UserError, match=r"no such image: .*absent\.png"):
        image_size(tmp_path / "absent.png")


@pytest.fixture
def told(monkeypatch, caplog):
    """Has as `messages` what is logged, of a run in which nothing was told yet."""
    monkeypatch.setattr(image_file, "notices", OncePerRun(*image_file.NOTICES))
    return caplog


def photograph(path, orientation, size=(60, 40)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_a_turned_photograph_is_read_as_the_size_of_its_annotations_says(tmp_path, told):
    path = photograph(tmp_path / "a.jpg", 6)
    assert read_image(path, (40, 60)).size == (40, 60)
    assert read_image(path, (60, 40)).size == (60, 40)
    assert told.messages == [
        f"{path} has the EXIF orientation 6 and is turned upright, as the size of its annotations says; further such "
        "images are not named"
    ]
    with pytest.raises(UserError, match=r"60x40 pixels, but its annotations are for 30x20; take image and annotations"):
        read_image(path, (30, 20))


def test_the_option_decides_where_the_size_does_not_tell(tmp_path, told):
    path = photograph(tmp_path / "a.png", 3, (4, 4))
    white = Image.open(path)
    white.putpixel((0, 0), (255, 255, 255))
    exif = white.getexif()
    exif[0x0112] = 3
    white.save(path, exif=exif)
    for exif, corner in (("auto", (0, 0)), ("ignore", (0, 0)), ("apply", (3, 3))):
        assert read_image(path, (4, 4), exif).getpixel(corner) == (255, 255, 255)
    assert len(told.messages) == 1 and told.messages[0].startswith(
        f'{path} has the EXIF orientation 3 and is left as stored (INPUT.EXIF "auto"), since the size of its '
        "annotations does not tell whether they are for the upright picture"
    )


def test_the_option_is_followed_against_the_size_and_that_is_an_error(tmp_path):
    path = photograph(tmp_path / "a.jpg", 8)
    assert read_image(path, (40, 60), "apply").size == image_size(path, "apply") == (40, 60)
    assert image_size(path) == image_size(path, "ignore") == (60, 40)
    for exif, size in (("apply", (60, 40)), ("ignore", (40, 60))):
        with pytest.raises(UserError, match=r'its EXIF orientation is 8: try INPUT\.EXIF "auto"'):
            read_image(path, size, exif)


def test_a_picture_of_more_than_8_bits_is_told_once(tmp_path, told):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((2, 3), 30000, np.uint16)).save(tmp_path / name)
        assert read_image(tmp_path / name, (3, 2)).getpixel((0, 0)) == (117, 117, 117)
    path = tmp_path / "a.png"
    assert told.messages == [
        f"{path} has more than 8 bits per channel: its 0 became black and its 65535 white; further such images are not "
        "named"
    ]


def test_of_several_frames_the_first_is_taken_and_that_is_told(tmp_path, told):
    frames = [Image.new("L", (3, 2), grey) for grey in (9, 200)]
    for name in ("a.gif", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert read_image(tmp_path / name).getpixel((0, 0)) == (9, 9, 9)
    words = "has several frames, of which the first is taken; further such images are not named"
    assert told.messages == [f"{tmp_path / 'a.gif'} {words}"]
