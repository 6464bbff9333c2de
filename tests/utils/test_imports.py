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


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_said_to_be_one(tmp_path, encoding):
    (tmp_path / "catalog.py").write_text("ANSWER = 'caf\u00e9'", encoding=encoding)
    with pytest.raises(UserError, match=r"catalog\.py is not UTF-8 and declares no other encoding; save it as UTF-8"):
        import_file("other", tmp_path / "catalog.py")
    (tmp_path / "catalog.py").write_text("# coding: latin-1\nANSWER = 'caf\u00e9'", encoding="latin-1")
    assert import_file("other", tmp_path / "catalog.py").ANSWER == "caf\u00e9"
    (tmp_path / "catalog.py").write_text("ANSWER =", encoding="utf-8")
    with pytest.raises(SyntaxError):
        import_file("other", tmp_path / "catalog.py")
