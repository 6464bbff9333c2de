"""Reading small JSON files that may come from anybody: results, records of runs, tables of classes.

What comes back is plain: finite numbers of at most 64 bits, text that can be printed, few levels. Whoever reads it has
to look at types only. Files of any size are read by `utils.json_stream`.
"""

import json
import math
import os

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import decode_text, not_unicode, printable_lines

MOST_BYTES = 32 << 20
DEEPEST = 32
_LARGEST = 2**64


def read_small_json(path: str | os.PathLike, remedy: str = "remove it") -> object:
    """The value that the JSON file at `path` holds.

    Characters of texts and keys that would steer a terminal come back as their escapes, such as "\\x1b".

    Args:
        path: the file.
        remedy: the last words of an error.

    Raises:
        UserError: the file cannot be read, has more than `MOST_BYTES`, is no JSON in UTF-8, nests more than `DEEPEST`
            levels, has a key twice in one object, or holds NaN, an infinity or a whole number of more than 64 bits.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise UserError(f"{path} is damaged: it has {size} bytes, more than any file of its kind; {remedy}")
    try:
        return parse_small_json(data)
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; {remedy}") from None


def parse_small_json(data: bytes) -> object:
    """The value of JSON in bytes, see `read_small_json`. Raises `ValueError` with what is wrong with it in words."""
    try:
        value = json.loads(
            decode_text(data),
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it {not_unicode(error)}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON ({error.msg} at character {error.pos})") from None
    except RecursionError:
        raise ValueError(f"it nests more than {DEEPEST} levels") from None
    return _plain(value, DEEPEST)


def _integer(text):
    if len(text) > 20 or not -_LARGEST < int(text) < _LARGEST:
        raise ValueError(f"it holds a whole number of {len(text)} digits")
    return int(text)


def _float(text):
    value = float(text) if len(text) < 400 else math.inf
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text[:20]}, which is beyond all others")
    return value


def _refuse_constant(text):
    raise ValueError(f"it holds {text}, which is no number of JSON")


def _object(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _plain(value, levels):
    if isinstance(value, str):
        return printable_lines(value)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise ValueError(f"it nests more than {DEEPEST} levels")
    if isinstance(value, list):
        return [_plain(item, levels - 1) for item in value]
    return {printable_lines(key): _plain(item, levels - 1) for key, item in value.items()}
