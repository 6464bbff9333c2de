"""XML from strangers."""

import pytest

from maskrcnn_benchmark.data.xml_file import MAX_BYTES, read_xml
from maskrcnn_benchmark.utils.errors import UserError

BOMB = """<?xml version="1.0"?>
<!DOCTYPE laugh [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<annotation>&c;</annotation>"""


def test_elements_and_text_are_read(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text("<?xml version='1.0' encoding='utf-8'?>\n<a><b>x &amp; y</b><b>z</b></a>", encoding="utf-8")
    assert [element.text for element in read_xml(path).findall("b")] == ["x & y", "z"]


def test_entities_are_not_expanded(tmp_path):
    path = tmp_path / "bomb.xml"
    path.write_text(BOMB)
    with pytest.raises(UserError, match=r"bomb\.xml declares a document type"):
        read_xml(path)
    path.write_text("<annotation>&c;</annotation>")
    with pytest.raises(UserError, match=r"bomb\.xml is not valid XML"):
        read_xml(path)


def test_missing_and_oversized_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such annotation file"):
        read_xml(tmp_path / "none.xml")
    with open(tmp_path / "large.xml", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match="more than 16777216 bytes"):
        read_xml(tmp_path / "large.xml")


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", None),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "utf-16"),
        ("utf-32", None),
        ("utf-8", "utf-16"),  # as .NET writes into a stream of UTF-8
        ("gbk", "gbk"),
        ("gbk", "GB2312"),
        ("gb18030", "gb2312"),
        ("big5", "Big5"),
        ("cp936", "cp936"),
    ],
)
def test_an_annotation_is_read_by_the_encoding_that_it_declares(tmp_path, encoding, declared):
    path = tmp_path / "a.xml"
    head = f"<?xml version='1.0' encoding='{declared}'?>" if declared else ""
    path.write_bytes(f"{head}<a><b>中 dog</b></a>".encode(encoding))
    assert read_xml(path).findtext("b") == "中 dog"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("latin-1", "é"), ("cp1252", "€"), ("shift_jis", "犬"), ("euc-kr", "개"), ("koi8-r", "д")],
)
def test_other_character_sets_are_known(tmp_path, encoding, text):
    path = tmp_path / "a.xml"
    path.write_bytes(f'\r\n<?xml version="1.0" encoding="{encoding}" ?>\r\n<a>{text}</a>'.encode(encoding))
    assert read_xml(path).text == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<a>caf\xe9</a>", r"a\.xml is not UTF-8 \(byte 0xE9 at offset 6\); save it as UTF-8"),
        (b'<?xml version="1.0" encoding="utf-8"?><a>\xe9</a>', r"is not UTF-8 \(byte 0xE9 at offset 41\)"),
        (b'<?xml version="1.0" encoding="gbk"?><a>\xff\xff</a>', r"is not GB18030 \(byte 0xFF at offset 39\)"),
        (
            b'<?xml version="1.0" encoding="klingon"?><a/>',
            "declares the encoding klingon, which is not known; save it as",
        ),
        (b'<?xml version="1.0" encoding="punycode"?><a/>', "declares the encoding punycode, which is not known"),
        (b'<?xml version="1.0" encoding="unicode_escape"?><a/>', "declares the encoding unicode_escape, which is not"),
        (b'<?xml version="1.0" encoding="zlib"?><a/>', "declares the encoding zlib, which is not known"),
        (BOMB.replace("?>", " encoding='gbk'?>", 1).encode("gbk"), "declares a document type"),
        (BOMB.encode("utf-16"), "declares a document type"),
    ],
)
def test_what_cannot_be_read_by_its_encoding_is_said(tmp_path, data, message):
    (tmp_path / "a.xml").write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_xml(tmp_path / "a.xml")
