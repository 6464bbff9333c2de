"""Text files of any editor: Unicode is read, a byte order mark is no character, another encoding is said to be one."""

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text_file import read_text_file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_without_its_mark(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("caf\u00e9\n", encoding=encoding)
    assert read_text_file(tmp_path / "a.txt").splitlines() == ["caf\u00e9"]


def test_big_endian_is_known_by_its_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeff\u00e9".encode("utf-16-be"))
    assert read_text_file(tmp_path / "a.txt") == "\u00e9"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"caf\xe9\n", r"a\.txt is not UTF-8 \(byte 0xE9 at offset 3\); save it as UTF-8$"),
        (b"a\0b\0", r"a\.txt is not UTF-8 text, it holds bytes that are 0 as UTF-16 does; save it as UTF-8$"),
        (b"\xff\xfea", r"a\.txt is not UTF-16-LE \(byte 0x61 at offset 2\); save it as UTF-8$"),
    ],
)
def test_another_encoding_is_named_with_its_place(tmp_path, data, message):
    (tmp_path / "a.txt").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_text_file(tmp_path / "a.txt")


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none\.txt: No such file"):
        read_text_file(tmp_path / "none.txt")
