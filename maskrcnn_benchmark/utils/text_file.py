"""Reading a text file that anybody may have written, with any editor and in any locale."""

import os

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import decode_text, not_unicode

MOST_BYTES = 256 << 20


def read_text_file(path: str | os.PathLike) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 that its byte order mark tells; the mark is left out.

    Raises `UserError` for a file that cannot be read, is larger than any list, or is in another encoding.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} has more than {MOST_BYTES >> 20} MiB, more than any file of its kind; make it smaller")
    try:
        text = decode_text(data)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} {not_unicode(error)}; save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path} is not UTF-8 text, it holds bytes that are 0 as UTF-16 does; save it as UTF-8")
    return text
