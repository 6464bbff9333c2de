"""Puts what the fault suite asks for into a fresh interpreter, before anything else is imported."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("faults_inside", Path(__file__).parents[1] / "inside.py")
_module = importlib.util.module_from_spec(_spec)
__import__("sys").modules[_spec.name] = _module
_spec.loader.exec_module(_module)
_module.enter_by_environment()
