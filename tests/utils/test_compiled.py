"""Compiled functions work wherever they lie, and whatever their cache holds."""

import importlib.util

import numpy as np

from maskrcnn_benchmark.utils.compiled import compiled

MODULE = """
from maskrcnn_benchmark.utils.compiled import compiled

@compiled
def total(values):
    found = 0
    for value in values:
        found += value
    return found
"""


def load(path):
    spec = importlib.util.spec_from_file_location("summing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_function_that_can_be_cached_nowhere_is_compiled():
    there = {}
    exec("def twice(values):\n    return 2 * values.sum()", there)  # of no file, so that no folder is beside it
    assert compiled(there["twice"])(np.arange(4)) == 12


def test_a_damaged_cache_is_made_anew(tmp_path):
    path = tmp_path / "summing.py"
    path.write_text(MODULE)
    for damage in (None, b"", b"garbage", None):
        for file in () if damage is None else (tmp_path / "__pycache__").glob("summing.total*"):
            file.write_bytes(damage)
        assert load(path).total(np.arange(5)) == 10
    assert list((tmp_path / "__pycache__").glob("summing.total*.nbc"))
