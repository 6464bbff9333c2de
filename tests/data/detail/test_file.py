"""Opening PASCAL in Detail's layout: indexes that are made, found and shared, and what is missing or damaged."""

import logging
import pickle
import threading

import pytest
import torch
from detail_sets import damaged, opened

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.tasks.task import annotated_tasks, tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail


def cut_off(folder, content):
    text = (folder / "annotations.json").read_text()
    (folder / "annotations.json").write_text(text[:-40])


def without_file(folder, content):
    (folder / "annotations.json").unlink()


def without_images(folder, content):
    (folder / "images").rename(folder / "photos")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_off, r"annotations\.json: .* is not valid JSON .* byte \d+\); the file is cut off or damaged"),
        (without_file, r"no such annotation file: .*annotations\.json"),
        (without_images, r"no such folder of images: .*images"),
    ],
)
def test_missing_or_damaged_data_set_is_one_clear_line(tiny, content, spoil, message):
    spoil(tiny, content)
    with pytest.raises(UserError, match=message):
        opened(tiny)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE segmentation SET counts = '0' WHERE id = 2", "segmentation annotation 2 of image 11.*does not decode"),
        (
            "UPDATE segmentation SET category_id = 77 WHERE id = 2",
            "annotation 2 of image 11 has category 77, which 'categories'",
        ),
        (
            "UPDATE part_masks SET part_id = 78 WHERE part_id = 34",
            "annotation 1 of image 11 has part 78, which 'parts'",
        ),
        (
            "UPDATE part_masks SET counts = '0' WHERE part_id = 21",
            "annotation 1 of image 11, part 21: its run-length code does not decode",
        ),
        (
            "UPDATE joints SET keypoints = zeroblob(24)",
            "joint annotation 1 of image 11 has 3 numbers in 'keypoints', not 42",
        ),
        (
            "UPDATE occlusion SET labels = x'01000000'",
            "occlusion annotation of image 11 cannot be read: ",
        ),
    ],
)
def test_an_index_that_does_not_hold_together_is_an_error_that_names_the_record(tiny, statement, message):
    with pytest.raises(UserError, match=message):
        damaged(tiny, statement).get_annotations(0)


def test_a_damaged_record_is_left_out_and_told_of(tiny, content, caplog):
    content["annos_segmentation"][1]["segmentation"]["counts"] = "0"
    with caplog.at_level(logging.WARNING):
        annotations = opened(tiny, content).get_annotations(0)
    assert annotations.classes.tolist() == [0, 1, 1, 0, 0]
    assert "mask does not decode, 1 time, such as annos_segmentation 2 of image 11; left out" in caplog.text


def test_file_without_the_expected_tables_is_an_error(tiny):
    with pytest.raises(UserError, match="has no section 'categories'"):
        opened(tiny, {"images": []})


def test_an_image_without_a_size_is_left_out_and_told_of(tiny, content, caplog):
    del content["images"][1]["width"]
    with caplog.at_level(logging.WARNING):
        assert opened(tiny, content).ids == [11, 13]
    assert "image entry without a usable width and height, 1 time, such as image 12; left out" in caplog.text


def test_split_without_images_says_what_there_is(tiny, content):
    content["images"] = content["images"][:3]
    with pytest.raises(UserError, match=r"no image of split 'val'; name another \(its images: 3 of phase 'train'"):
        opened(tiny, content, split="val")


def test_missing_image_is_an_error_that_names_it(tiny):
    (tiny / "images" / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"no such image: .*a\.jpg"):
        opened(tiny)[0]


def test_records_of_unlisted_images_are_reported(tiny, content, caplog):
    content["annos_boundary"][0]["image_id"] = 999
    with caplog.at_level(logging.WARNING):
        dataset = opened(tiny, content)
    assert "image_id is not in 'images', 1 time, such as 1 entry of annos_boundary with image_id 999" in caplog.text
    assert "boundary" not in dataset.tasks_of(0)


def test_a_file_that_changed_is_read_again_and_splits_share_one(tiny, content):
    first = opened(tiny)
    assert opened(tiny, split="val").file is first.file
    content["images"][0]["image_id"] = 1100
    assert opened(tiny, content).ids[0] == 1100


def test_annotations_alone_need_no_images(tiny):
    dataset = DetailDataset(tiny / "annotations.json", None, "train")
    assert annotated_tasks(dataset.get_annotations(0)) >= set(TASKS)
    with pytest.raises(UserError, match=r"annotations.json was opened without a folder of images"):
        dataset[0]


def test_an_index_is_opened_in_its_files_place(tiny):
    expected = opened(tiny).get_annotations(0)
    (tiny / "annotations.json").rename(tiny / "elsewhere.json")
    dataset = DetailDataset(tiny / "annotations.index.sqlite", tiny / "images", "train")
    assert torch.equal(dataset.get_annotations(0).semantic.labels, expected.semantic.labels)
    assert dataset.file.path == tiny / "annotations.index.sqlite"


def test_the_first_use_makes_an_index_and_says_so(tiny, caplog):
    with caplog.at_level(logging.INFO):
        opened(tiny)
    assert "is read for the first time: its index is written to" in caplog.text and "index.sqlite" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        opened(tiny)
    assert "first time" not in caplog.text


def test_where_nothing_can_be_written_the_index_goes_to_the_cache(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny.chmod(0o555)
    try:
        first = opened(tiny)
        (index,) = (tmp_path / "cache" / "maskrcnn_benchmark").iterdir()
        assert first.file.index == index and first.get_annotations(0).instances is not None
        assert not (tiny / "annotations.index.sqlite").exists()
    finally:
        tiny.chmod(0o755)


def test_a_data_set_survives_pickling_forks_and_threads(tiny):
    dataset = opened(tiny)
    expected = dataset.get_annotations(0).semantic.labels
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again.get_annotations(0).semantic.labels, expected)
    found = []
    thread = threading.Thread(target=lambda: found.append(dataset.get_annotations(0).semantic.labels))
    thread.start()
    thread.join()
    assert torch.equal(found[0], expected)
    loader = torch.utils.data.DataLoader(dataset, None, num_workers=2, multiprocessing_context="fork")
    assert [annotations.image_id for _, annotations, _ in loader] == dataset.ids
