"""Opening files in COCO's layout: large ones get an index at first use, which says exactly what the file says."""

import copy
import json
import logging
import multiprocessing
import os
import resource
import sqlite3
import threading
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.data.coco import opening as coco_opening
from maskrcnn_benchmark.data.coco.as_it_is import SoundContent
from maskrcnn_benchmark.data.coco.content import CocoContent
from maskrcnn_benchmark.data.coco.file import CocoFile
from maskrcnn_benchmark.data.coco.index import CocoIndex
from maskrcnn_benchmark.data.coco.opening import open_coco_file
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.data.preparation import build_index
from maskrcnn_benchmark.data.preparation.summary import summarize
from maskrcnn_benchmark.utils.errors import UserError

prepare = partial(build_index.prepare, content=CocoContent)

SQUARE = [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 1.0, 5.0]]
STRIP = {"size": [8, 10], "counts": [2, *([1, 7] * 9), 1, 5]}
INDEX = "instances.index.sqlite"


def annotation(number, image_id, category_id, segmentation, **more):
    row = {"id": number, "image_id": image_id, "category_id": category_id, "bbox": [1, 1.0, 4.5, 4], "iscrowd": 0}
    return {**row, "area": 16.0, "segmentation": segmentation, **more}


@pytest.fixture
def content():
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"id": 30, "file_name": "deep/ü 30.png", "width": 10, "height": 8, "license": 3},
            {"id": "b", "coco_url": "http://images.example.org/b.png", "width": 10, "height": 8},
            {"id": 10, "file_name": "10.png", "width": 20, "height": 8},
            {"id": 20, "file_name": "20.png", "width": 10, "height": 18},
        ],
        "annotations": [
            annotation(7, 20, 18, SQUARE, note="grün"),
            annotation(1, 10, 18, SQUARE, score=0.25),
            annotation("x", "b", 1, STRIP, iscrowd=1),
            annotation(2, 20, 1, SQUARE, keypoints=[2.0, 3.0, 2] * 10 + [0, 0, 0] * 7, num_keypoints=10),
            annotation(3, 10, 1, [[0, 0, 3, 0, 3, 3]], bbox=[6.0, 3.0, 0.5, 3.0]),
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person", "supercategory": "all"}],
    }


@pytest.fixture
def none_is_small(monkeypatch):
    monkeypatch.setattr(coco_opening, "SMALL", 0)


def written(folder, content, **options):
    path = folder / "instances.json"
    path.write_text(json.dumps(content, **options), encoding="utf-8")
    return path


def facts(file):
    """All that one knows who has opened a file, as text, in which even numbers that are none are equal."""
    ids = file.ordered_ids()
    return repr(
        [
            (ids, list(file.images.items()), file.category_rows, file.categories, file.annotated, file.has_masks),
            (file.keypoints, file.uses_of(ids).tolist(), file.sizes_of(ids).tolist()),
            [file.records(image_id) for image_id in [*ids, "nobody's"]],
        ]
    )


def outcome(opened, path):
    """What opening a file comes to: its facts, or the error's words."""
    try:
        return facts(opened(path))
    except UserError as error:
        return str(error)


def assert_opens_alike(path):
    expected = outcome(CocoFile, path)
    assert outcome(open_coco_file, path) == expected  # while the index is made
    assert outcome(open_coco_file, path) == expected  # from it
    assert not [name for name in os.listdir(path.parent) if name.endswith((".tmp", ".lock"))]


@pytest.mark.parametrize("options", [{}, {"indent": 2, "ensure_ascii": False}])
def test_the_index_says_what_the_file_says(tmp_path, content, none_is_small, options):
    path = written(tmp_path, content, **options)
    assert_opens_alike(path)
    assert isinstance(open_coco_file(path), CocoIndex) and (tmp_path / INDEX).is_file()


def test_sections_in_another_order_and_of_other_kinds_are_no_matter(tmp_path, content, none_is_small):
    content = dict(sorted(content.items()), segments=[{"a": [1, {"b": 2}]}])
    content["annotations"] = content["annotations"][::-1]
    assert_opens_alike(written(tmp_path, content))
    assert isinstance(open_coco_file(tmp_path / "instances.json"), CocoIndex)


@pytest.mark.parametrize("gone", ["annotations", "images", "categories", "segmentation"])
def test_what_a_file_lacks_its_index_lacks(tmp_path, content, none_is_small, gone):
    content.pop(gone, None)
    for row in content.get("annotations", ()):
        row.pop(gone, None)
    assert_opens_alike(written(tmp_path, content))


def all_places(tree, place=()):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*place, key)
        yield from all_places(value, (*place, key))


junk = st.sampled_from(
    [
        *(None, True, False, -1, 0, 3.5, 1.0, 10, 20, 2**31, 2**63, 2**70, 1e300, float("nan"), float("inf")),
        *("", "x", "b", "\ud800", "ü", [], [1], [[]], [[[1]]], [""], [{}], {}, {"size": 1, "counts": 2}),
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_file_it_opens_alike_or_is_refused_in_the_same_words(
    tmp_path, content, none_is_small, data
):
    content = json.loads(json.dumps(content))
    for _ in range(data.draw(st.integers(1, 2))):
        inner = content
        *way, last = data.draw(st.sampled_from(list(all_places(content))))
        for key in way:
            inner = inner[key]
        if data.draw(st.booleans()):
            inner[last] = copy.deepcopy(data.draw(junk))  # a later round may change what is within
        else:
            del inner[last]
    (tmp_path / INDEX).unlink(missing_ok=True)
    assert_opens_alike(written(tmp_path, content))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.data())
def test_a_text_that_is_no_json_is_refused_in_the_same_words(tmp_path, content, none_is_small, data):
    text = json.dumps(content).encode()
    place = data.draw(st.integers(0, len(text)))
    path = tmp_path / "instances.json"
    path.write_bytes(text[:place] + data.draw(st.sampled_from([b"", b",", b"]", b"}", b"\xff", b"\x00", b'"'])))
    if data.draw(st.booleans()):
        path.write_bytes(path.read_bytes() + text[place:])
    (tmp_path / INDEX).unlink(missing_ok=True)
    assert_opens_alike(path)


numbers = st.floats(-1e5, 1e5) | st.integers(-100, 10000)
polygons = st.lists(st.lists(st.tuples(numbers, numbers), max_size=6).map(lambda p: [x for xy in p for x in xy]))
starts = st.tuples(st.integers(0, 40), st.integers(0, 40))
runs = starts.map(lambda two: {"size": [8, 10], "counts": [*two, 80 - sum(two)]})
extents = st.floats(0, 100) | st.integers(0, 2)
keypoints = st.lists(st.tuples(numbers, numbers, st.integers(0, 2)), min_size=17, max_size=17)
records = st.fixed_dictionaries(
    {
        "image_id": st.sampled_from([30, "b", 10, 20]),
        "category_id": st.sampled_from([18, 1]),
        "bbox": st.tuples(numbers, numbers, extents, extents),
    },
    optional={
        "segmentation": st.none() | polygons | runs,
        "iscrowd": st.integers(0, 1),
        "area": st.floats(0, 1e6),
        "keypoints": st.none() | keypoints.map(lambda joints: [x for joint in joints for x in joint]),
        "text": st.text(max_size=5),
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(rows=st.lists(records, max_size=12), ascii_only=st.booleans())
def test_random_annotations_are_the_same_from_the_index(tmp_path, content, none_is_small, rows, ascii_only):
    for row in rows:
        if isinstance(row.get("segmentation"), dict):
            row["image_id"] = 30  # which is of that size
    content["annotations"] = [{**row, "id": number} for number, row in enumerate(rows)]
    (tmp_path / INDEX).unlink(missing_ok=True)
    try:
        path = written(tmp_path, content, ensure_ascii=ascii_only)
    except UnicodeEncodeError:  # half a character is only written as an escape
        path = written(tmp_path, content)
    assert_opens_alike(path)
    assert isinstance(open_coco_file(path), CocoIndex)


def test_a_data_set_is_the_same_from_the_index(tmp_path, content, monkeypatch):
    for remove in (False, True):
        for keep_crowd in (False, True):
            monkeypatch.setattr(coco_opening, "SMALL", 2**20)
            plain = COCODataset(written(tmp_path, content), None, remove, keep_crowd=keep_crowd)
            assert isinstance(plain.file, CocoFile)
            monkeypatch.setattr(coco_opening, "SMALL", 0)
            ours = COCODataset(tmp_path / "instances.json", None, remove, keep_crowd=keep_crowd)
            assert isinstance(ours.file, CocoIndex)
            assert (ours.ids, ours.id_to_img_map) == (plain.ids, plain.id_to_img_map)
            assert ours.json_category_id_to_contiguous_id == plain.json_category_id_to_contiguous_id
            assert np.array_equal(ours.image_sizes(), plain.image_sizes())
            assert ours.coco.dataset == plain.coco.dataset
            for index in range(len(plain)):
                assert ours.get_img_info(index) == plain.get_img_info(index)
                one, two = (each.get_annotations(index) for each in (ours, plain))
                assert torch.equal(one.instances.bbox, two.instances.bbox)
                masks = (each.instances.get_field("masks").get_mask_tensor() for each in (one, two))
                assert torch.equal(*masks)
            (tmp_path / INDEX).unlink()


def test_its_summary_is_that_of_the_tools_index(tmp_path, content, none_is_small):
    content["annotations"][0]["iscrowd"] = 1
    path = written(tmp_path, content)
    ours = summarize(open_coco_file(path).index).splitlines()[:-1]
    index, _ = prepare(path, tmp_path / "other.sqlite")
    assert ours == summarize(index).splitlines()[:-1]
    assert ["dog", "2", "1", "1", "0"] in [line.split() for line in ours]


def test_a_small_file_is_read_and_nothing_is_written(tmp_path, content):
    assert isinstance(open_coco_file(written(tmp_path, content)), CocoFile)
    assert os.listdir(tmp_path) == ["instances.json"]


def test_the_first_use_says_so_and_the_next_is_silent(tmp_path, content, none_is_small, caplog):
    path = written(tmp_path, content)
    with caplog.at_level(logging.INFO):
        first = open_coco_file(path)
    (line,) = caplog.messages
    assert line == f"{path} is read for the first time: its index is written to {tmp_path / INDEX}"
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert open_coco_file(path) is first
    assert not caplog.messages


def test_a_file_that_changed_gets_a_new_index(tmp_path, content, none_is_small, caplog):
    open_coco_file(written(tmp_path, content))
    caplog.clear()
    del content["annotations"][0]
    with caplog.at_level(logging.INFO):
        file = open_coco_file(written(tmp_path, content))
    assert len(file.records(20)) == 1 and len(caplog.messages) == 1
    assert "is read again, since its index is out of date or damaged" in caplog.text
    os.utime(file.path, ns=(5, 5))  # as copying does, which changes nothing else
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert len(open_coco_file(file.path).records(20)) == 1
    assert not caplog.messages and sorted(os.listdir(tmp_path)) == [INDEX, "instances.json"]


def cut_off(index):
    index.write_bytes(index.read_bytes()[:-4096])


def of_zeros_inside(index):
    data = bytearray(index.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    index.write_bytes(data)


def of_another_program(index):
    index.unlink()
    with sqlite3.connect(index) as connection:
        connection.execute("CREATE TABLE meta (a)")
    connection.close()


def of_a_lost_column(index):
    with sqlite3.connect(index) as connection:
        connection.execute("DELETE FROM columns WHERE name = 'sizes'")
    connection.close()


def no_database(index):
    index.write_text("an index")


def empty(index):
    index.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut_off, of_zeros_inside, of_another_program, of_a_lost_column, no_database, empty])
def test_an_index_that_is_damaged_or_none_is_made_again(tmp_path, content, none_is_small, caplog, spoil):
    path = written(tmp_path, content)
    expected = facts(open_coco_file(path))
    spoil(tmp_path / INDEX)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        again = open_coco_file(path)
    assert facts(again) == expected and open_coco_file(path) is again
    (line,) = caplog.messages
    assert "is read again, since its index is out of date or damaged" in line


def test_where_nothing_can_be_written_the_index_goes_to_the_cache_or_there_is_none(
    tmp_path, content, none_is_small, monkeypatch, caplog
):
    folder, cache = tmp_path / "data", tmp_path / "cache"
    folder.mkdir()
    path = written(folder, content)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    folder.chmod(0o555)
    try:
        cache.write_text("no folder")
        with caplog.at_level(logging.WARNING):
            assert isinstance(open_coco_file(path), CocoFile)
        assert f"{path} has no index (cannot make the folder {cache}/maskrcnn_benchmark: " in caplog.messages[0]
        assert "every process reads the whole file at every start, some 0 s and 0 MiB" in caplog.messages[0]
        caplog.clear()
        assert isinstance(open_coco_file(path), CocoFile) and not caplog.messages
        cache.unlink()
        os.utime(path)  # as if another process came
        file = open_coco_file(path)
        assert file.index.parent == cache / "maskrcnn_benchmark" and facts(file) == facts(CocoFile(path))
        assert os.listdir(folder) == ["instances.json"]
    finally:
        folder.chmod(0o755)


def test_on_a_full_disk_the_file_is_read_without_an_index(tmp_path, content, none_is_small, caplog):
    path = written(tmp_path, content)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))
    try:
        with caplog.at_level(logging.WARNING):
            file = open_coco_file(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(file, CocoFile) and os.listdir(tmp_path) == ["instances.json"]
    (line,) = caplog.messages
    assert f"{path} has no index (cannot write {tmp_path / INDEX}: " in line and "is there room on the disk?" in line


def _open_and_die(path):
    SoundContent.rows_of = lambda *_: os._exit(9)
    open_coco_file(path)


def test_a_process_that_is_killed_leaves_no_half_index(tmp_path, content, none_is_small):
    path = written(tmp_path, content)
    process = multiprocessing.get_context("fork").Process(target=_open_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 9 and not (tmp_path / INDEX).exists()
    assert facts(open_coco_file(path)) == facts(CocoFile(path))
    assert sorted(os.listdir(tmp_path)) == [INDEX, "instances.json"]


def test_an_interruption_leaves_nothing(tmp_path, content, none_is_small, monkeypatch):
    path = written(tmp_path, content)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SoundContent, "rows_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_coco_file(path)
    assert os.listdir(tmp_path) == ["instances.json"]


def test_of_several_that_start_at_once_one_makes_the_index(tmp_path, content, none_is_small, caplog):
    path = written(tmp_path, content)
    found, start = [], threading.Barrier(5)

    def run():
        start.wait()
        found.append(facts(open_coco_file(path)))

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [facts(CocoFile(path))] * 5
    assert sorted(os.listdir(tmp_path)) == [INDEX, "instances.json"]


def test_the_tool_checks_what_the_first_use_did_not(tmp_path, content, none_is_small, caplog):
    content["annotations"][2]["bbox"] = [1, 1, 14.5, 4]
    path = written(tmp_path, content)
    assert open_coco_file(path).problems() == []
    assert prepare(path)[1] and not prepare(path)[1]
    with caplog.at_level(logging.WARNING):
        open_coco_file(path)
    assert "bbox reaches outside the image, 1 time, such as annotation x of image b; kept" in caplog.text


def test_a_mask_that_does_not_decode_is_refused_until_the_tool_has_left_it_out(tmp_path, content, none_is_small):
    content["annotations"][2]["segmentation"] = {"size": [8, 10], "counts": "0"}
    path = written(tmp_path, content)
    with pytest.raises(UserError, match="annotation x of image b: its run-length code does not decode"):
        open_coco_file(path)
    prepare(path)
    assert open_coco_file(path).records("b") == []


def test_workers_read_from_the_index(tmp_path, content, none_is_small):
    dataset = COCODataset(written(tmp_path, content), None, False)
    for method in ("fork", "spawn"):
        loader = torch.utils.data.DataLoader(_Annotations(dataset), None, num_workers=2, multiprocessing_context=method)
        assert list(loader) == [len(dataset.get_annotations(index).instances) for index in range(4)]


class _Annotations(torch.utils.data.Dataset):
    """How many objects each image of a data set has."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __getitem__(self, index):
        return len(self.dataset.get_annotations(index).instances)

    def __len__(self):
        return len(self.dataset)
