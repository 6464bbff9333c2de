"""Reading a text file that anybody may have written, with any editor and in any locale."""

import os

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import read_at_most
from maskrcnn_benchmark.utils.text import decode_text, not_unicode

MOST_BYTES = 256 << 20


def read_text_file(path: str | os.PathLike) -> str:
    """The text of a file in UTF-8, or in UTF-16 or UTF-32 that its byte order mark tells; the mark is left out.

    Raises `UserError` for a file that cannot be read, is larger than any list, or is in another encoding.
    """
    data = read_at_most(path, MOST_BYTES, "file of its kind", "make it smaller")
    try:
        text = decode_text(data)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} {not_unicode(error)}; save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{path} is not UTF-8 text, it holds bytes that are 0 as UTF-16 does; save it as UTF-8")
    return text
