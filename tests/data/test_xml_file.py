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
