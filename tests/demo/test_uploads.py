"""What strangers send: every kind of file becomes an RGB image or a sentence."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.demo import uploads
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.utils.errors import UserError

RED = (200, 30, 10)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_an_ordinary_photograph_is_read_as_it_is(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    upload = read_upload(saved(tmp_path / "my photo.png", Image.fromarray(pixels)))
    assert (np.asarray(upload.image) == pixels).all()
    assert upload.name == "my photo" and upload.notes == []


def test_a_suffix_is_not_believed(tmp_path):
    saved(tmp_path / "photo.png", Image.new("RGB", (8, 8), RED)).rename(tmp_path / "photo.jpg")
    assert read_upload(tmp_path / "photo.jpg").image.getpixel((0, 0)) == RED


def test_a_photograph_is_turned_as_its_camera_was(tmp_path):
    image = Image.new("RGB", (30, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by a quarter to the right
    assert read_upload(saved(tmp_path / "a.jpg", image, exif=exif)).image.size == (20, 30)


def test_the_first_frame_of_an_animation_is_taken_and_said(tmp_path):
    frames = [Image.new("RGB", (9, 9), colour) for colour in (RED, "blue", "green")]
    upload = read_upload(saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:]))
    assert upload.image.mode == "RGB" and upload.image.getpixel((4, 4)) == RED
    assert upload.notes == ["Of its frames, the first is shown."]


def test_print_colours_become_rgb_and_it_is_said(tmp_path):
    upload = read_upload(saved(tmp_path / "a.tif", Image.new("CMYK", (5, 5), (0, 255, 255, 0))))
    assert upload.image.getpixel((2, 2)) == (255, 0, 0)
    assert "CMYK" in upload.notes[0]


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path):
    values = np.array([[0, 0x80FF, 0xFFFF]], dtype=np.uint16)
    upload = read_upload(saved(tmp_path / "a.png", Image.fromarray(values)))
    assert np.asarray(upload.image)[0, :, 0].tolist() == [0, 0x80, 255]
    assert upload.notes == ["It has more than 8 bits per channel: its 0 became black and its 65535 white."]


def test_floating_point_values_are_stretched(tmp_path):
    values = np.array([[-1.0, 0.0, np.nan, 3.0]], dtype=np.float32)
    upload = read_upload(saved(tmp_path / "a.tiff", Image.fromarray(values)))
    assert np.asarray(upload.image)[0, :, 1].tolist() == [0, 64, 64, 255]


def test_a_transparent_image_is_laid_on_white(tmp_path):
    image = Image.new("RGBA", (4, 4), (*RED, 0))
    image.putpixel((1, 1), (*RED, 255))
    upload = read_upload(saved(tmp_path / "a.png", image))
    assert upload.image.getpixel((0, 0)) == (255, 255, 255) and upload.image.getpixel((1, 1)) == RED
    assert "transparent" in upload.notes[0]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_grey_and_palette_images_are_read(tmp_path, mode):
    assert read_upload(saved(tmp_path / "a.png", Image.new(mode, (6, 4)))).image.mode == "RGB"


def test_a_large_image_is_shrunk_and_it_is_said(tmp_path):
    upload = read_upload(saved(tmp_path / "a.png", Image.new("L", (3000, 2000))))
    width, height = upload.image.size
    assert 0.98 * uploads.KEPT_PIXELS < width * height <= uploads.KEPT_PIXELS
    assert width / height == pytest.approx(1.5, rel=0.01)
    assert f"from 3000x2000 to {width}x{height}" in upload.notes[0]


def truncated_jpeg():
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, "JPEG")
    return buffer.getvalue()[:700]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b"dear reader, this is no picture", "is no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image"),  # would be run by another program
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "is no image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64), "is a HEIC photograph"),
        (truncated_jpeg(), "is truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x09", "truncated or damaged"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence_without_a_folder(tmp_path, content, words):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_upload(path)
    assert str(caught.value).startswith("photo.jpg") and str(tmp_path) not in str(caught.value)


def test_an_oversized_image_is_refused_before_it_is_decoded(tmp_path):
    path = saved(tmp_path / "a.png", Image.new("1", (2000, 1000)))
    with pytest.raises(UserError, match=r"a.png has 2000x1000 pixels, 2.0 million; at most 1.5 million"):
        read_upload(path, most_pixels=1_500_000)
    path.write_bytes(path.read_bytes()[:60])  # its size is known, the rest is gone
    with pytest.raises(UserError, match=r"at most 1\.5 million"):
        read_upload(path, most_pixels=1_500_000)


def test_a_large_file_is_refused_before_it_is_opened(tmp_path):
    (tmp_path / "a.jpg").write_bytes(bytes(3_000_000))
    with pytest.raises(UserError, match=r"a\.jpg has 3 MB; at most 1 MB are read"):
        read_upload(tmp_path / "a.jpg", most_bytes=1_000_000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are those of POSIX")
def test_what_may_never_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "device.jpg", "folder.jpg"):
        with pytest.raises(UserError, match=f"{name} is no file of bytes"):
            read_upload(tmp_path / name)


def test_a_strip_is_refused(tmp_path):
    with pytest.raises(UserError, match="a strip"):
        read_upload(saved(tmp_path / "a.png", Image.new("L", (2000, 3))))
