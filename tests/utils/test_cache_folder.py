"""Where caches lie without a home that can be written to."""

import os
import tempfile
from pathlib import Path

import pytest

from maskrcnn_benchmark.utils.cache_folder import choose_cache_folder

VARIABLES = ("XDG_CACHE_HOME", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR")


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back, whatever is done to it
        monkeypatch.delenv(name)
    (tmp_path / "home").write_text("a file, below which no folder can be made, not even by the superuser")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"maskrcnn_benchmark-{os.getuid()}"


def chosen():
    choose_cache_folder()
    return {name: Path(os.environ[name]) for name in VARIABLES if name in os.environ}


def test_without_a_home_caches_lie_in_a_private_temporary_folder(places):
    expected = dict(zip(VARIABLES, (places, places / "matplotlib", places / "inductor")))
    assert chosen() == expected and places.stat().st_mode & 0o777 == 0o700
    assert chosen() == expected  # a later process finds it again


def test_a_home_and_a_chosen_folder_stand(places, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert chosen() == {"XDG_CACHE_HOME": tmp_path / "mine"}
    monkeypatch.delenv("XDG_CACHE_HOME")
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    assert chosen() == {} and not places.exists()


def test_a_folder_of_somebody_else_is_not_trusted(places, tmp_path):
    places.mkdir(mode=0o700)
    places.chmod(0o777)  # anybody may put code there
    assert chosen() == {}
    places.rmdir()
    (tmp_path / "theirs").mkdir(mode=0o700)
    places.symlink_to(tmp_path / "theirs")
    assert chosen() == {}


def test_pytorch_gets_a_folder_that_is_there_where_nothing_can_be_written(monkeypatch):
    def refuse():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert chosen()["TORCHINDUCTOR_CACHE_DIR"].is_dir()
