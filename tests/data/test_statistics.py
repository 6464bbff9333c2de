"""Counts of the tiny data set, of which every pixel is known, and the laws of histograms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.statistics import (
    DatasetCounts,
    count_image,
    histogram_of_numbers,
    histogram_of_ratios,
    histogram_of_shares,
    histogram_of_values,
    nice_step,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, tasks_of_layout

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

PHASES = ["train", "train", "train", "val", "val"]


@pytest.fixture
def dataset(tiny):
    return DetailDataset(tiny / "annotations.json", None, "trainval")


@pytest.fixture
def counts(dataset):
    tasks = list(TASKS.values())
    images = [count_image(dataset.get_annotations(i), dataset.vocabulary, tasks) for i in range(len(dataset))]
    return DatasetCounts(images, dataset.vocabulary, tasks, PHASES)


def column(counts, name):
    return dict(zip(counts.class_names, counts.per_class()[name].tolist()))


def test_images_are_counted_by_task_and_phase(counts, dataset):
    expected = [[key in dataset.tasks_of(i) for key in TASKS] for i in range(5)]
    assert counts.task_table.tolist() == expected
    phases = counts.images_by_phase()
    assert list(phases) == ["train", "val"]
    assert [number for number, _ in phases.values()] == [3, 2]
    boundary = list(TASKS).index("boundary")
    assert [int(tasks[boundary]) for _, tasks in phases.values()] == [2, 0]
    assert counts.sizes.tolist() == [[20, 12], [12, 20], [20, 12], [16, 16], [16, 10]]


def test_objects_are_counted_without_crowds_and_without_images_nobody_looked_at(counts):
    assert [len(labels) for labels in counts.each("detection", "labels")] == [1, 2, 1, 0]
    assert len(counts.joined("detection", "crowds")) == 1
    assert counts.joined("detection", "sizes").tolist() == pytest.approx(np.sqrt([6 * 9, 10 * 11, 5 * 7, 4 * 4]))
    assert counts.joined("detection", "ratios").tolist() == pytest.approx([6 / 9, 10 / 11, 5 / 7, 1])
    assert counts.joined("detection", "centres")[0].tolist() == pytest.approx([(2 + 6 / 2) / 20, (1 + 9 / 2) / 12])
    assert counts.joined("instance", "filled").tolist() == [1, 1, 1, 1]  # rectangles
    assert TASKS["detection"].tiles(counts) == [("objects", 4), ("crowds", 1)]


def test_a_masks_code_is_as_long_as_the_files(counts, tiny_records):
    lengths = [len(r["segmentation"]["counts"]) for r in tiny_records if r["category_id"] in (1, 3, 7)]
    lengths.pop()  # a crowd
    assert counts.joined("instance", "bytes").tolist() == lengths


@pytest.fixture
def tiny_records(dataset):
    records = [dataset.file.records("annos_segmentation", image_id) for image_id in dataset.ids]
    return [record for of_image in records for record in of_image]


def test_classes_have_objects_images_pixels_and_sizes(counts):
    labelled = 122 + 100 + 35 + 80 + 100
    assert column(counts, "objects") == {"person": 2, "dog": 1, "zebra": 1, "sky": -1, "wall": -1}
    assert column(counts, "crowds") == {"person": 1, "dog": 0, "zebra": 0, "sky": -1, "wall": -1}
    assert column(counts, "images") == {"person": 2, "dog": 1, "zebra": 1, "sky": 2, "wall": 1}
    shares = {"person": 122, "dog": 100, "zebra": 35, "wall": 80, "sky": 100}  # later regions cover earlier ones
    assert column(counts, "pixels") == pytest.approx({name: n / labelled for name, n in shares.items()})
    sizes = column(counts, "size")
    assert sizes["person"] == pytest.approx((np.sqrt(54) + 4) / 2) and np.isnan(sizes["sky"])
    labelled = [pixels[:-1].sum() / pixels.sum() for pixels in counts.each("semantic", "pixels")]
    assert labelled == pytest.approx([142 / 240, 135 / 240, 80 / 256, 80 / 160])


def test_joints_parts_labels_and_edges_are_counted(counts):
    joints = counts.total("keypoint", "joints", (14, 3))
    assert joints.sum(0).tolist() == [11, 2, 1] and joints[2].tolist() == [0, 0, 1]
    assert TASKS["keypoint"].tiles(counts) == [("persons with keypoints", 1), ("labelled keypoints", 3)]
    head = counts.vocabulary.parts.labels.index("head")
    assert counts.total("part", "objects", 6).tolist() == [int(k == head) for k in range(6)]
    assert counts.total("part", "pixels", 6)[head] == 18 and counts.total("part", "owners", 3).sum() == 1
    assert TASKS["part"].tiles(counts) == [("parts on objects", 1)]
    assert [len(names) for names in counts.each("classification", "classes")] == [3, 2, 1, 1]
    # the second mask is half as large as its image
    assert counts.each("boundary", "edge pixels") == [12, 24] and counts.each("occlusion", "edge pixels") == [14, 0]


def test_pairs_count_the_images_that_have_both(counts):
    pairs, names = counts.class_pairs(), counts.class_names
    assert pairs[names.index("person"), names.index("sky")] == 1
    assert pairs[names.index("dog"), names.index("zebra")] == 1
    assert pairs[names.index("dog"), names.index("person")] == 0
    assert np.array_equal(pairs, pairs.T) and np.array_equal(pairs.diagonal(), counts.class_table.sum(0))
    table = counts.task_table.astype(int)
    assert np.array_equal(counts.task_pairs(), table.T @ table)


def test_nothing_annotated_gives_empty_arrays():
    vocabulary = Vocabulary(thing_names=("dog",), semantic_names=("sky",))
    tasks = list(TASKS.values())
    counts = DatasetCounts([count_image(ImageAnnotations((8, 6)), vocabulary, tasks)], vocabulary, tasks)
    assert counts.images[0].counts == {} and counts.each("detection", "labels") == []
    assert counts.joined("instance", "bytes", np.int64).dtype == np.int64 and not len(counts.joined("part", "any"))
    assert counts.total("part", "objects", 3).tolist() == [0, 0, 0] and counts.images_by_phase() == {}
    assert all(number == 0 for task in tasks for _, number in task.tiles(counts))
    assert column(counts, "objects") == {"dog": 0, "sky": -1} and np.isnan(counts.per_class()["pixels"]).all()
    assert len(DatasetCounts([], vocabulary, tasks).sizes) == 0


class Plain(Task):
    """A task that leaves the page to the defaults."""

    key = "plain"
    title = "plain labels"


@pytest.mark.parametrize(
    ("label", "count", "fact"),
    [
        (torch.tensor([2.5]), {"value": 2.5}, "value 2.5"),
        (torch.tensor([1.0, 0.0]), {"mean": 0.5}, "mean 0.5"),
        (
            SemanticMap(torch.tensor([[0, 1, IGNORE_INDEX, 0]], dtype=torch.uint8)),
            {"share of labelled pixels": 0.75},
            "share of labelled pixels 0.75",
        ),
        (BoundaryMap(torch.tensor([[0, 1, 0, 1]], dtype=torch.uint8)), {"edge pixels": 2}, "2 edge pixels"),
    ],
)
def test_a_task_that_says_nothing_is_counted_by_the_kind_of_its_label(label, count, fact):
    image = count_image(ImageAnnotations((4, 1), labels={"plain": label}), Vocabulary(), [Plain()])
    assert image.counts == {"plain": count}
    assert Plain().facts(count, Vocabulary()) == [("plain", fact)]


def test_a_field_of_objects_is_counted_by_its_objects():
    class PerObject(Plain):
        per = "region"

    objects = BoxList([[0, 0, 1, 1], [0, 0, 2, 2]], (4, 4))
    objects.add_field("labels", torch.tensor([1, 1]))
    bare = ImageAnnotations((4, 4), objects)
    assert count_image(bare, Vocabulary(("dog",)), [PerObject()]).counts == {}
    objects.add_field("plain", torch.tensor([0.1, 0.2]))
    assert count_image(bare, Vocabulary(("dog",)), [PerObject()]).counts == {"plain": {"objects": 2}}
    assert count_image(bare, Vocabulary(), [PerObject()]).counts == {"plain": {}}  # it has no names for them


def brute_force(values, edges, open_end):
    """How many values lie in each bin, one by one."""
    result = [0] * (len(edges) - 1)
    for value in values:
        place = max(i for i, edge in enumerate(edges[:-1]) if value >= edge)
        assert open_end or value < edges[place + 1]
        result[place] += 1
    return result


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60))
def test_every_whole_number_is_in_its_bin(values):
    histogram = histogram_of_numbers(values)
    assert histogram.counts.tolist() == brute_force(values, histogram.edges, histogram.open_end)
    assert len(histogram.counts) <= 32 and set(np.diff(histogram.edges)) == {np.diff(histogram.edges)[0]}


def test_a_far_outlier_shares_the_last_bin():
    histogram = histogram_of_numbers([1, 2, 3] * 100 + [4000])
    assert histogram.open_end and histogram.edges.tolist() == [0, 1, 2, 3, 4]
    assert histogram.counts.tolist() == [0, 100, 100, 101]


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=60))
def test_every_ratio_is_in_its_bin_and_the_outer_bins_are_used(values):
    histogram = histogram_of_ratios(values)
    assert histogram.counts.sum() == len(values) and histogram.counts[0] and histogram.counts[-1]
    # an edge may itself be off by a rounding
    assert histogram.edges[0] * (1 - 1e-8) <= min(values) and max(values) < histogram.edges[-1] * (1 + 1e-8)
    assert np.allclose(np.diff(np.log2(histogram.edges)), 0.25)


def test_powers_of_two_begin_a_bin():
    histogram = histogram_of_ratios([1, 2, 3.9, 4, 8, -1, 0], per_octave=1)
    assert histogram.edges.tolist() == [1, 2, 4, 8, 16] and histogram.counts.tolist() == [1, 2, 1, 1]


def test_shares_include_one():
    assert histogram_of_shares([0, 0.5, 1, 1], bins=4).counts.tolist() == [1, 0, 1, 2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_every_value_is_in_one_of_few_equal_bins(values):
    histogram = histogram_of_values(values)
    assert histogram.counts.sum() == len(values) and len(histogram.counts) <= 32
    assert np.allclose(np.diff(histogram.edges), histogram.edges[1] - histogram.edges[0], rtol=1e-3)


@given(st.floats(1e-3, 1e6), st.integers(1, 50))
def test_a_step_is_round_and_the_least_that_suffices(span, most):
    step = nice_step(0, span, most)
    digits = f"{step:.6e}"
    assert float(digits.split("e")[0]) in (1, 2, 5)
    assert span / step <= most * (1 + 1e-6)
    smaller = step / (2.5 if digits.startswith("5") else 2)
    assert span / smaller > most * (1 - 1e-6)
