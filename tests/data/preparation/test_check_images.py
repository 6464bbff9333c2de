"""Checks of images: rows of no use, and files that are missing, unreadable or of another size."""

import numpy as np
import pytest
from PIL import Image
from sound_records import HEIGHT, ROW, TABLES, WIDTH, check, sound

from maskrcnn_benchmark.data.detail.checks import check_image
from maskrcnn_benchmark.data.preparation.check_kinds import IMAGE_BACKSLASH


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"width": None}, "image entry without a usable width and height"),
        ({"height": "12"}, "image entry without a usable width and height"),
        ({"width": 0}, "image entry without a usable width and height"),
        ({"width": 10**6, "height": 10**6}, "image entry without a usable width and height"),
        ({"file_name": "../a.jpg"}, "image entry without a usable file name"),
        ({"file_name": "/etc/passwd"}, "image entry without a usable file name"),
        ({"file_name": "C:\\a.jpg"}, "image entry without a usable file name"),
        ({"file_name": "b\\..\\..\\a.jpg"}, "image entry without a usable file name"),
        ({"file_name": "a\0.jpg"}, "image entry without a usable file name"),
        ({"file_name": "\ud800.jpg"}, "image entry without a usable file name"),
        ({"file_name": "é" * 200}, "image entry without a usable file name"),
        ({"file_name": ["a.jpg"]}, "image entry without a usable file name"),
        ({"file_name": ""}, "image entry without a usable file name"),
        ({"phase": None}, "image entry without a phase"),
        ({"phase": ["train"]}, "image entry without a phase"),
    ],
)
def test_image_whose_entry_is_of_no_use_is_left_out_with_its_records(changes, what):
    kept, problems = check(sound(), **changes)
    assert kept is None
    assert [(p[0], p[1], p[2].split(":")[0]) for p in problems] == [
        (what, "image 7", "left out"),
        ("records of an image that is left out", "image 7", "left out"),
    ]
    expected = "2 of annos_segmentation, 1 of annos_boundary, 1 of annos_occlusion, 1 of annos_joints"
    assert problems[1][2] == f"left out: {expected}"


def test_image_without_an_id_is_left_out():
    for entry in (None, [7], {**ROW, "image_id": True}, {**ROW, "image_id": 2**70}):
        kept, problems = check_image(entry, {}, TABLES)
        assert kept is None and [p.what for p in problems] == ["image entry without a usable id"]
        assert problems[0].image_id is None


def test_image_of_a_phase_of_its_own_and_in_a_folder_is_kept():
    kept, problems = check(sound(), phase="testing", file_name="b/a.jpg")
    assert kept == sound()
    assert [(p[0], p[2].split(":")[0]) for p in problems] == [("phase of the image is unknown", "kept")]


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT * 10, WIDTH * 10, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


LARGE = {**ROW, "width": WIDTH * 10, "height": HEIGHT * 10}


def test_image_file_is_looked_up_by_path_or_in_a_folder(jpeg):
    for path in (jpeg, jpeg.parent, str(jpeg.parent)):
        assert check_image(LARGE, {}, TABLES, path)[1] == []


@pytest.mark.parametrize(("name", "times"), [("b\\a.jpg", 1), ("images\\b\\a.jpg", 1), ("images/b/a.jpg", 0)])
def test_backslashes_and_the_folders_own_name_are_read_and_told(tmp_path, name, times):
    folder = tmp_path / "images"
    (folder / "b").mkdir(parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "b" / "a.jpg")
    kept, problems = check_image({**ROW, "file_name": name}, sound(), TABLES, folder)
    assert kept is not None and [p.what for p in problems].count(IMAGE_BACKSLASH.what) == times == len(problems)


def test_image_without_a_readable_file_of_its_size_is_left_out(jpeg):
    def kinds(row, path=jpeg.parent):
        kept, problems = check_image(row, {}, TABLES, path)
        assert kept is None
        return [(p.what, p.where) for p in problems]

    where = f"{jpeg} of image 7"
    assert kinds({**LARGE, "width": 3}) == [("image file is of another size than its entry", where)]
    content = jpeg.read_bytes()
    jpeg.write_bytes(content[: len(content) * 2 // 3])
    assert kinds(LARGE) == [("image file cannot be read", where)]
    jpeg.write_bytes(b"")
    assert kinds(LARGE) == [("image file cannot be read", where)]
    jpeg.unlink()
    assert kinds(LARGE, jpeg) == kinds(LARGE) == [("image file is missing", where)]


def test_turned_and_deep_image_files_are_kept_and_counted(tmp_path):
    def problems(orientation, size, values=None):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = Image.new("RGB", size) if values is None else Image.fromarray(np.full(size[::-1], 9, values))
        picture.save(tmp_path / "a.jpg", "PNG", exif=exif)
        kept, found = check_image(LARGE, {}, TABLES, tmp_path)
        assert kept is not None
        return [(p.what, p.action) for p in found]

    wide, high = (LARGE["width"], LARGE["height"]), (LARGE["height"], LARGE["width"])
    by_size = "image file has an EXIF orientation, read as the size of its entry says"
    assert problems(6, high) == [(by_size, "kept: orientation 6, turned upright")]
    assert problems(6, wide) == [(by_size, "kept: orientation 6, read as it is stored")]
    untold = "image file has an EXIF orientation, of which the size of its entry does not tell"
    assert problems(2, wide) == [(untold, "kept: orientation 2, INPUT.EXIF decides")]
    deep = "image file has more than 8 bits per channel"
    assert problems(1, wide, np.uint16) == [(deep, "kept: its values are scaled to 8 bits")]
