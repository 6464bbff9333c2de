"""Text of strangers: read whatever Unicode it is in, shown without what would steer a terminal or mislead a reader."""

import codecs
import re

# Control characters, ends of lines of Unicode, characters that turn the direction of writing, and lone halves of a
# pair, which can be neither printed nor written
_UNPRINTABLE = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ON_ONE_LINE = re.compile(f"[{_UNPRINTABLE}]")
_ON_LINES = re.compile(rf"(?![\n\t])[{_UNPRINTABLE}]")

# A byte order mark is no character. That of UTF-32 begins with that of UTF-16
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes) -> str:
    """The text of a file: UTF-8, with or without a byte order mark, or UTF-16 or UTF-32 with one.

    Raises `UnicodeDecodeError` for other encodings; `not_unicode` says so in words.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    return data.decode("utf-8-sig")


def not_unicode(error: UnicodeDecodeError) -> str:
    """What `decode_text` found, such as "is not UTF-8 (byte 0xE9 at offset 3)"."""
    encoding = error.encoding.upper().removesuffix("-SIG").removesuffix("_SIG")
    offset = error.start
    return f"is not {encoding} (byte 0x{error.object[offset]:02X} at offset {offset})"


def printable(text: str, longest: int = 200) -> str:
    """`text` on one line, with escapes such as "\\x1b" for controls, cut off after `longest` characters."""
    safe = _ON_ONE_LINE.sub(_escape, text[:longest])
    return safe if len(text) <= longest else f"{safe}..."


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun: "1 image", "3 images", "2 processes" with the `plural` that is no noun with an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def an(noun: str) -> str:
    """A noun with its indefinite article, by its first letter: "an int", "a list"."""
    return f"{'an' if noun[:1] in tuple('aeiouAEIOU') else 'a'} {noun}"


def printable_lines(text: str) -> str:
    """The whole of `text` with escapes for controls; ends of lines and tabulators, as those of a table, stay."""
    return _ON_LINES.sub(_escape, text)


def is_text(text: str, multiline: bool = False) -> bool:
    """Whether a text is free of controls; `multiline` allows the end of a line and the tabulator."""
    return not (_ON_LINES if multiline else _ON_ONE_LINE).search(text)


def _escape(found):
    return found[0].encode("unicode_escape").decode()
