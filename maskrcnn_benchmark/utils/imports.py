"""Import a Python file that is in no package."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from maskrcnn_benchmark.utils.errors import UserError


def import_file(module_name: str, file_path: str | os.PathLike, make_importable: bool = False) -> ModuleType:
    """Run the file at `file_path` as the module `module_name` and return it.

    Args:
        module_name: the name that the module gets.
        file_path: a Python file.
        make_importable: also let `import module_name` find it from now on.

    Raises `UserError` for a file that is missing, or in an encoding that is neither UTF-8 nor declared.
    """
    if not Path(file_path).is_file():
        raise UserError(f"no such Python file: {file_path}")
    spec: Any = importlib.util.spec_from_file_location(module_name, file_path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError:
        try:
            importlib.util.decode_source(Path(file_path).read_bytes())
        except (SyntaxError, UnicodeDecodeError):
            raise UserError(f"{file_path} is not UTF-8 and declares no other encoding; save it as UTF-8") from None
        raise
    if make_importable:
        sys.modules[module_name] = module
    return module
