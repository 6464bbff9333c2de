"""Reading an annotation file, with errors that say what is wrong with it."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import not_utf8, refuse_no_json


def read_json(
    path: str | os.PathLike, required: Iterable[str], object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> dict[str, Any]:
    """The object that the JSON file at `path` holds: dict.

    Args:
        path: the file.
        required: keys that it must have.
        object_hook: called with each inner object as it is parsed; what it returns takes the object's place.

    Raises `UserError` for a missing file, one that is cut off or no JSON, and one that lacks a key of `required`.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no such annotation file: {path}")
    data = path.read_bytes()
    refuse_no_json(path, data[:4096])
    try:
        content = json.loads(data, object_hook=object_hook)
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    except ValueError as error:
        if not isinstance(error, json.JSONDecodeError):  # Python does not read a number of thousands of digits
            raise UserError(f"{path} holds a number that cannot be read ({error}); mend it") from None
        raise UserError(f"{path} is not valid JSON ({error}); it is cut off or damaged, fetch it again") from None
    except RecursionError:
        raise UserError(f"{path} nests more deeply than any annotation file; it is damaged, fetch it again") from None
    missing = [key for key in required if not isinstance(content, dict) or key not in content]
    if missing:
        found = ", ".join(list(content)[:8]) if isinstance(content, dict) else type(content).__name__
        raise UserError(f"{path} has no section {missing[0]!r} (it holds: {found}); is it another kind of file?")
    return content
