"""Indexes as files: made once, noticed to be out of date, and never half written."""

import contextlib
import multiprocessing
import os
import pickle
import sqlite3
import threading
from functools import partial

import pytest
from detail_files import by_image, kinds_of, of_file, problems_of, read_back, written
from PIL import Image
from torch._utils import ExceptionWrapper

from maskrcnn_benchmark.data.detail import content as detail_content
from maskrcnn_benchmark.data.detail.content import DetailContent
from maskrcnn_benchmark.data.detail.file import open_detail_file
from maskrcnn_benchmark.data.detail.index import SECTIONS, DetailIndex
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.data.preparation.index_file import DamagedIndex, connect, index_path_of, replacing, seal
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=DetailContent)


def test_a_second_run_does_nothing_and_a_changed_file_is_noticed(tmp_path, content):
    path = written(tmp_path, content)
    index, made = prepare(path)
    before = index.read_bytes(), index.stat().st_ino
    assert made and index == tmp_path / "annotations.index.sqlite" == index_path_of(path)
    assert prepare(path) == (index, False)
    assert (index.read_bytes(), index.stat().st_ino) == before
    content["images"][0]["width"] = 13  # of the same length, and so is the file
    written(tmp_path, content)
    assert prepare(path) == (index, True)
    assert DetailIndex(index).images[30]["width"] == 13


def test_a_copied_file_with_another_time_keeps_its_index(tmp_path, content):
    path = written(tmp_path, content)
    index, _ = prepare(path)
    os.utime(path, ns=(1, 1))
    assert prepare(path) == (index, False)
    with contextlib.closing(connect(index)) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key = 'mtime_ns'").fetchone() == (1,)
    assert read_back(index, content) == by_image(content)
    assert sorted(os.listdir(tmp_path)) == ["annotations.index.sqlite", "annotations.json"]


def test_an_index_of_another_version_or_a_broken_one_is_made_again(tmp_path, content):
    path = written(tmp_path, content)
    index, _ = prepare(path)
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("UPDATE meta SET value = 0 WHERE key = 'schema_version'")
    with pytest.raises(UserError, match="is no index of version"):
        DetailIndex(index)
    assert prepare(path) == (index, True)
    index.write_bytes(index.read_bytes()[:5000])
    assert prepare(path) == (index, True)
    assert read_back(index, content) == by_image(content)


def test_an_index_without_a_look_at_the_images_is_not_enough_for_one_with(tmp_path, content):
    path = written(tmp_path, content)
    (tmp_path / "images").mkdir()
    save_image(tmp_path / "images", content["images"][0])
    assert prepare(path)[1]
    assert prepare(path, images=tmp_path / "images")[1]
    assert not prepare(path, images=tmp_path / "images")[1] and not prepare(path)[1]
    with pytest.raises(UserError, match=r"no such folder of images: .*nowhere"):
        prepare(path, images=tmp_path / "nowhere")


def save_image(folder, row):
    Image.new("RGB", (row["width"], row["height"])).save(folder / row["file_name"])


class Killed(BaseException):
    """What an interruption looks like from inside."""


def test_images_that_were_missing_are_looked_at_again(tmp_path, content):
    path, folder = written(tmp_path, content), tmp_path / "images"
    folder.mkdir()
    with pytest.raises(UserError, match="no image of it can be used; 5 problems, the first: image file is missing"):
        prepare(path, images=folder)
    save_image(folder, content["images"][0])
    index, _ = prepare(path, images=folder)
    assert list(DetailIndex(index).images) == [30] and "image file is missing" in kinds_of(index)
    for row in content["images"]:
        save_image(folder, row)
    assert prepare(path, images=folder) == (index, True)
    assert list(DetailIndex(index).images) == [30, 10, 20] and of_file(problems_of(index)) == []
    (folder / "notes.txt").touch()
    assert prepare(path, images=folder) == (index, False)


def test_an_interruption_leaves_neither_an_index_nor_a_part_of_one(tmp_path, content, monkeypatch):
    path = written(tmp_path, content)
    seen = []

    def interrupted(image, records, tables, path):
        seen.append(image["image_id"])
        if len(seen) == 2:
            assert any(name.endswith(".tmp") for name in os.listdir(tmp_path))
            raise Killed
        return records, []

    monkeypatch.setattr(detail_content, "check_image", interrupted)
    with pytest.raises(Killed):
        prepare(path)
    assert os.listdir(tmp_path) == ["annotations.json"]


def _prepare_and_die(path):
    detail_content.check_image = lambda *_: os._exit(9)
    prepare(path)


def test_what_a_killed_process_left_is_written_anew(tmp_path, content):
    path = written(tmp_path, content)
    process = multiprocessing.get_context("fork").Process(target=_prepare_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 9 and not index_path_of(path).exists()
    assert len(os.listdir(tmp_path)) == 3  # the file, a part of the index, and its lock
    index, made = prepare(path)
    assert made and read_back(index, content) == by_image(content)
    assert sorted(os.listdir(tmp_path)) == ["annotations.index.sqlite", "annotations.json"]


def test_of_several_that_start_at_once_one_makes_the_index(tmp_path, content):
    path = written(tmp_path, content)
    results, start = [], threading.Barrier(6)

    def run():
        start.wait()
        results.append(prepare(path))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made for _, made in results) == [False] * 5 + [True]
    assert sorted(os.listdir(tmp_path)) == ["annotations.index.sqlite", "annotations.json"]


def test_a_file_that_takes_the_place_of_another_does_so_at_the_end(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file"]


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path, content, monkeypatch):
    path = written(tmp_path, content)

    def touching(image, records, tables, _):
        os.utime(path, ns=(5, 5))
        return records, []

    monkeypatch.setattr(detail_content, "check_image", touching)
    with pytest.raises(UserError, match="was changed while it was read"):
        prepare(path)
    assert os.listdir(tmp_path) == ["annotations.json"]


def test_whatever_was_written_into_an_index_it_is_made_again(tmp_path, content, fuzzing):
    path = written(tmp_path, content)
    index, _ = prepare(path)
    sound = read_back(index, content)
    for rng in fuzzing.seeds("index", 25):
        fuzzing.damage_database(rng, index)
        assert read_back(open_detail_file(path).index, content) == sound


def test_an_index_that_a_stranger_sealed_is_read_or_named(tmp_path, content, fuzzing):
    index, _ = prepare(written(tmp_path, content))
    good, refused = index.read_bytes(), 0
    for rng in fuzzing.seeds("sealed", 60):
        other = tmp_path / "other.sqlite"
        other.write_bytes(good)
        fuzzing.damage_database(rng, other)
        with contextlib.suppress(sqlite3.Error, TypeError):
            seal(other)
        try:
            file = DetailIndex(other)
            for image_id in file.images:
                for section in SECTIONS:
                    file.records(section, image_id)
        except UserError as error:
            refused += 1
            assert "other.sqlite" in str(error)
    assert refused > 10


def test_an_index_that_is_cut_short_while_it_is_read_is_one_line(tmp_path, content):
    index, _ = prepare(written(tmp_path, content))
    file = DetailIndex(index)
    with open(index, "r+b") as opened:
        opened.truncate(4096)
    with pytest.raises(
        DamagedIndex, match=r"annotations\.index\.sqlite is damaged .*; remove it, and it is made again"
    ):
        file.records("annos_segmentation", 10)


def test_a_copied_index_is_known_by_its_checksum(tmp_path, content):
    index, _ = prepare(written(tmp_path, content))
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(index.read_bytes())
    os.utime(copy, ns=(7, 7))
    assert list(DetailIndex(copy).images) == [30, 10, 20]
    assert copy.stat().st_mtime_ns == index.stat().st_mtime_ns  # so that it is not read as a whole again
    with open(copy, "r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(b"?")
    with pytest.raises(UserError, match=r"copy\.sqlite is no index of version 1, or is damaged; remove it"):
        DetailIndex(copy)


def test_a_damaged_index_is_told_from_a_worker_as_it_is_here(tmp_path):
    error = DamagedIndex.of(tmp_path / "a.index.sqlite", "its rows are gone")
    (there,) = pickle.loads(pickle.dumps([error]))
    assert type(there) is DamagedIndex and str(there) == str(error)
    try:
        raise error
    except DamagedIndex:
        wrapped = ExceptionWrapper(where="in a worker")
    with pytest.raises(DamagedIndex, match="its rows are gone"):
        wrapped.reraise()
