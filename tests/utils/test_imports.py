"""Importing a file by path."""

import importlib

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file


def test_a_file_becomes_a_module(tmp_path):
    (tmp_path / "catalog.py").write_text("ANSWER = 42")
    assert import_file("a_catalog", tmp_path / "catalog.py").ANSWER == 42
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("a_catalog")


def test_it_can_be_made_importable(tmp_path, monkeypatch):
    (tmp_path / "catalog.py").write_text("ANSWER = 43")
    monkeypatch.setattr("sys.modules", dict(importlib.sys.modules))
    import_file("b_catalog", tmp_path / "catalog.py", make_importable=True)
    assert importlib.sys.modules["b_catalog"].ANSWER == 43


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no such Python file: .*gone\.py"):
        import_file("gone", tmp_path / "gone.py")
