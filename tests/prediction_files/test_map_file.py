"""Maps as PNG: every number comes back, whoever wrote the file, and what is no such map is refused before decoding."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from maskrcnn_benchmark.prediction_files.map_file import (
    encode_map,
    read_labels,
    read_picture,
    read_strength,
    voc_palette,
    write_map,
)
from maskrcnn_benchmark.utils.errors import UserError

SIZE = 5, 3
VALUES = np.arange(15).reshape(3, 5)


def png(width, height, depth, colour, rows, palette=b""):
    """A PNG written by hand: rows are bytes, as the format packs them."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    table = chunk(b"PLTE", palette) if palette else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + table + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def put(tmp_path, content):
    (tmp_path / "map.png").write_bytes(content)
    return tmp_path / "map.png"


@pytest.mark.parametrize("palette", [None, voc_palette()])
def test_labels_come_back_from_grey_and_from_a_palette(tmp_path, palette):
    write_map(tmp_path / "a.png", encode_map((VALUES * 17).astype(np.uint8), palette))
    read = read_labels(tmp_path / "a.png", SIZE, 0, 238, "")
    assert read.dtype == np.uint8 and (read == VALUES * 17).all()


def test_sixteen_bits_of_direction_come_back(tmp_path):
    write_map(tmp_path / "a.png", encode_map((VALUES * 4681).astype(np.uint16)))
    read = read_picture(tmp_path / "a.png", SIZE, np.dtype("uint16"), 1, "directions")
    assert read.dtype == np.uint16 and (read == VALUES * 4681).all()


def test_labels_of_few_bits_keep_their_numbers(tmp_path):
    rows = [bytes([0b00011011, 0b01000000])] * 3  # two bits each: 0 1 2 3 1
    assert read_labels(put(tmp_path, png(5, 3, 2, 0, rows)), SIZE, 0, 3, "").tolist() == [[0, 1, 2, 3, 1]] * 3
    coloured = png(5, 3, 2, 3, rows, bytes(range(12)))
    assert read_labels(put(tmp_path, coloured), SIZE, 0, 3, "").tolist() == [[0, 1, 2, 3, 1]] * 3
    four = [bytes([0x0F, 0x5A, 0x10])] * 3
    assert read_labels(put(tmp_path, png(5, 3, 4, 0, four)), SIZE, 0, 15, "").tolist() == [[0, 15, 5, 10, 1]] * 3
    one = [bytes([0b01101000])] * 3
    assert read_labels(put(tmp_path, png(5, 3, 1, 0, one)), SIZE, 0, 1, "").tolist() == [[0, 1, 1, 0, 1]] * 3


def test_labels_of_sixteen_bits_are_taken_where_they_fit(tmp_path):
    Image.fromarray(VALUES.astype(np.uint16)).save(tmp_path / "a.png")
    assert (read_labels(tmp_path / "a.png", SIZE, 0, 14, "") == VALUES).all()


def test_strengths_span_the_whole_range_at_any_depth(tmp_path):
    Image.fromarray(np.uint16([[0, 257, 65535, 128, 129]] * 3)).save(tmp_path / "a.png")
    assert read_strength(tmp_path / "a.png", SIZE).tolist() == [[0, 1, 255, 0, 1]] * 3
    one = png(5, 3, 1, 0, [bytes([0b01101000])] * 3)
    assert read_strength(put(tmp_path, one), SIZE).tolist() == [[0, 255, 255, 0, 255]] * 3
    write_map(tmp_path / "b.png", encode_map((VALUES * 17).astype(np.uint8)))
    assert (read_strength(tmp_path / "b.png", SIZE) == VALUES * 17).all()


def grey(width=5, height=3, depth=8):
    return png(width, height, depth, 0, [bytes(width * depth // 8)] * height)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a PNG"),
        (b"\xff\xd8\xff\xe0 a JPEG that is long enough to have a header", "is not a PNG"),
        (grey(6, 3), "is 6x3 pixels, but its image is 5x3"),
        (png(60000, 60000, 8, 0, [b""]), "is 60000x60000 pixels"),  # 3.6 GB, were it decoded
        (png(5, 3, 8, 2, [bytes(15)] * 3), "holds colours"),
        (grey()[:-30], "cannot be decoded"),
        (png(5, 3, 8, 3, [bytes(5)] * 3, bytes(3)), "has a palette; an edge map is grey"),
    ],
)
def test_what_is_no_edge_map_is_one_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_strength(put(tmp_path, content), SIZE)
    assert "\n" not in str(caught.value) and "map.png" in str(caught.value)


def test_labels_beyond_the_classes_are_named(tmp_path):
    write_map(tmp_path / "a.png", encode_map(VALUES.astype(np.uint8)))
    with pytest.raises(UserError, match=r"a\.png holds the value 14, but classes are 0 to 13"):
        read_labels(tmp_path / "a.png", SIZE, 0, 13, "classes are 0 to 13")
    with pytest.raises(UserError, match=r"a\.png holds the value 0, but classes are 1 to 14"):
        read_labels(tmp_path / "a.png", SIZE, 1, 14, "classes are 1 to 14")


def test_directions_of_eight_bits_are_refused(tmp_path):
    with pytest.raises(UserError, match="has 8 bits per pixel; directions are PNGs of 16 bits"):
        read_picture(put(tmp_path, grey()), SIZE, np.dtype("uint16"), 1, "directions")


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.png"):
        read_strength(tmp_path / "absent.png", SIZE)
