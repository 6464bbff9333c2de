"""Decoding pictures of strangers: whatever a decoder raises is one line, and errors of our own code are not."""

import io
import random

import numpy as np
import pytest
from PIL import Image, ImageFile

from maskrcnn_benchmark.data.image_file import decode_image, decoded_facts, read_image, read_labels
from maskrcnn_benchmark.demo.uploads import read_upload
from maskrcnn_benchmark.predict.sources import frames_of
from maskrcnn_benchmark.utils.errors import Interrupted, UserError
from maskrcnn_benchmark.utils.pictures import NoPicture, decoding, opened_picture

ERRORS = (OSError, SyntaxError, ValueError, IndexError, TypeError, EOFError, RuntimeError, OverflowError, MemoryError)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ERRORS)
def test_whatever_a_decoder_raises_names_the_file(tmp_path, monkeypatch, kind):
    path = tmp_path / "photo.png"
    Image.new("RGB", (5, 4)).save(path)

    def fail(image):
        raise kind("out of\nluck")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for read in (read_image, read_labels if kind is OSError else decoded_facts, read_upload):
        with pytest.raises(UserError, match=r"photo\.png (cannot be decoded \(out of luck\)|holds colours)"):
            read(path)


def test_an_error_of_the_disk_is_not_said_to_be_the_pictures():
    with pytest.raises(UserError, match=r"^a\.png cannot be read: Input/output error$"), decoding("a.png"):
        raise OSError(5, "Input/output error")


def test_a_wish_to_stop_is_not_taken_for_a_damaged_file():
    with pytest.raises(Interrupted), decoding("a.png"):
        raise Interrupted("asked to stop")


def test_an_error_of_our_own_code_keeps_its_trace(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (5, 4)).save(path)
    with pytest.raises(ZeroDivisionError), opened_picture(path, path):
        _ = 1 // 0
    with pytest.raises(ZeroDivisionError):
        for frame in frames_of([path, path], skipped=lambda *_: pytest.fail("it is not the picture's fault")):
            _ = frame.image.width // 0


def test_sound_pictures_of_every_kind_are_read(fuzzing):
    for name, data in fuzzing.pictures(random.Random(0)).items():
        assert decode_image(data, name).size == ((32, 32) if name == "plain.ico" else (48, 36)), name


def test_damaged_pictures_of_every_kind_are_one_line_that_names_them(tmp_path, fuzzing):
    sound = {**fuzzing.pictures(random.Random(0)), **fuzzing.bombs()}
    refused = 0
    for rng in fuzzing.seeds("pictures", 250):
        name = rng.choice(sorted(sound))
        path = tmp_path / f"x.{rng.choice(('jpg', 'png'))}"
        path.write_bytes(fuzzing.damage_bytes(rng, sound[name])[0])
        for read in (read_image, read_labels, decoded_facts, read_upload):
            try:
                read(path)
            except UserError as error:
                refused += 1
                assert path.name in str(error) and "\n" not in str(error)
    assert refused > 250


def test_a_damaged_avif_is_passed_over_whatever_it_is_called(tmp_path):
    Image.init()
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    data = encoded(Image.new("RGB", (40, 30), "red"), "AVIF", speed=10)
    place = data.index(b"iloc")
    (tmp_path / "a.jpg").write_bytes(data[:place] + b"XXXX" + data[place + 4 :])
    Image.new("RGB", (5, 4)).save(tmp_path / "b.jpg")
    skipped = []
    frames = list(frames_of(tmp_path, lambda path, reason: skipped.append(reason)))
    assert [frame.name for frame in frames] == ["b"]
    assert len(skipped) == 1 and "a.jpg cannot be decoded" in skipped[0]


def test_what_would_start_another_program_is_no_picture(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(NoPicture, match=r"photo\.jpg is not an image that can be read \(JPEG, PNG"):
        read_image(path)


def test_a_jpeg_of_countless_scans_is_refused_before_it_is_decoded():
    data = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    assert decode_image(data, "a.jpg").size == (4000, 4000)
    with pytest.raises(UserError, match=r"a\.jpg has 306 scans over 16000000 pixels"):
        decode_image(data[:-2] + 300 * last + data[-2:], "a.jpg")


def test_damaged_exif_data_keep_nobody_from_reading(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (5, 4)), "JPEG", exif=exif)
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    assert next(frames_of(path)).image.size == (4, 5)
    path.write_bytes(data.replace(b"Exif\0\0MM\0\x2a", b"Exif\0\0MX\0\x2a"))
    assert next(frames_of(path)).image.size == read_image(path, (5, 4)).size == read_upload(path).image.size == (5, 4)


def test_a_picture_with_several_frames_gives_its_first(tmp_path):
    frames = [Image.fromarray(np.full((4, 5, 3), value, np.uint8)) for value in (0, 100, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(decode_image(data, "a.gif")).max() == 0
