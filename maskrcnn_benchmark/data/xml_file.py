"""Reading an XML annotation, which may come from anyone: no entities, and errors that say what is wrong with it."""

import codecs
import os
import re
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import decode_text, not_unicode

MAX_BYTES = 16 * 2**20  # an annotation of a thousand objects has a quarter of one

_DECLARED = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']""")
# What files are written in, of Python's codecs; others of them (punycode, unicode_escape, ...) are no character sets
_CHARACTER_SETS = re.compile(
    r"ascii|utf-8|iso8859-\d+|iso2022_\w+|cp\d+|gb2312|gbk|gb18030|hz|big5\w*|shift_ji\w+|euc_\w+|johab|koi8-\w|mac-\w+"
    r"|tis-620|kz1048|ptcp154|hp-roman8"
)
_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
}  # programs declare the small set and write characters of the large one


def read_xml(path: str | os.PathLike) -> Element:
    """The root `Element` of the XML file at `path`, read by the encoding that it declares.

    Raises `UserError` for a missing, oversized or malformed file, one in another encoding than it declares, and one
    that declares a document type: only there can entities be declared, whose expansion fills the memory of whoever
    reads the file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such annotation file: {path}")
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES} bytes, too many for the annotation of an image; remove it")

    def refuse(*declaration):
        raise UserError(
            f"{path} declares a document type (<!DOCTYPE ...>), which no annotation needs; remove that line"
        )

    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    parser.CharacterDataHandler = tree.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(_text_of(path.read_bytes(), path).lstrip(), True)  # of a text, expat ignores the declaration
    except expat.ExpatError as error:
        raise UserError(f"{path} is not valid XML ({error}); it is cut off or damaged, fetch it again") from None
    return tree.close()


def _text_of(data, path):
    declared = _DECLARED.match(data)
    try:
        if data[:4] in (b"<\0?\0", b"\0<\0?"):
            return data.decode("utf-16-le" if data[0] else "utf-16-be")
        # a declaration that can be read says nothing with these: they are written by programs that save as UTF-8 then
        if declared is None or data[0] > 0x7F or declared[1].lower().startswith((b"utf-16", b"utf-32", b"ucs")):
            return decode_text(data)
        return data.decode(_codec(declared[1].decode(), path))
    except UnicodeDecodeError as error:
        raise UserError(f"{path} {not_unicode(error)}; save it as UTF-8") from None


def _codec(name, path):
    """The codec of a character set that a file declares."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        codec = ""
    if not _CHARACTER_SETS.fullmatch(codec):
        raise UserError(f"{path} declares the encoding {name}, which is not known; save it as UTF-8")
    return _LARGER.get(codec, codec)
