"""How much each portion of a batch counts: as its fraction of the images that carry a task's labels."""

import pytest
import torch

from maskrcnn_benchmark.multitask import loss_normalizers as module
from maskrcnn_benchmark.multitask.loss_normalizers import LossNormalizer, normalizers_of, whole
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.tasks.task import TASKS as registry

SIZE = (4, 3)
TASKS = ["detection", "semantic"]
TRAINED = [registry[key] for key in TASKS]


def image(*tasks):
    boxes = BoxList(torch.zeros(0, 4), SIZE)  # nobody is there, but somebody looked
    semantic = SemanticMap(torch.zeros(3, 4, dtype=torch.uint8))
    return ImageAnnotations(
        SIZE,
        instances=boxes if "detection" in tasks else None,
        semantic=semantic if "semantic" in tasks else None,
    )


def test_a_batch_in_one_portion_counts_wholly():
    normalizers = normalizers_of([[image("detection"), image("semantic"), image("semantic")]], TRAINED)
    assert (
        normalizers
        == [whole(TASKS)]
        == [LossNormalizer({"detection": 1.0, "semantic": 1.0}, {"detection": 1.0, "semantic": 1.0}, 1.0)]
    )


def test_portions_count_by_their_annotated_images():
    portions = [[image("semantic"), image("semantic", "detection")], [image("detection"), image()], [image("semantic")]]
    normalizers = normalizers_of(portions, TRAINED)
    assert [normalizer.of_step for normalizer in normalizers] == [
        {"detection": 0.5, "semantic": 2 / 3},
        {"detection": 0.5, "semantic": 0.0},
        {"detection": 0.0, "semantic": 1 / 3},
    ]
    assert all(normalizer.of_rank == normalizer.of_step for normalizer in normalizers)
    assert [normalizer.images for normalizer in normalizers] == [0.4, 0.4, 0.2]


def test_a_task_that_no_image_claims_is_shared_by_images():
    normalizers = normalizers_of([[image("semantic")], [image("semantic"), image(), image()]], TRAINED)
    assert [normalizer.of_step["detection"] for normalizer in normalizers] == [0.25, 0.75]


def test_upstreams_boxes_carry_detection_and_an_empty_portion_nothing():
    normalizers = normalizers_of([[], [BoxList(torch.zeros(1, 4), SIZE)]], TRAINED)
    nothing = dict.fromkeys(TASKS, 0.0)
    assert normalizers == [LossNormalizer(nothing, nothing, 0.0), whole(TASKS)]


def test_targets_of_another_kind_are_counted():
    normalizers = normalizers_of([["a", "b", "c"], ["d"]], TRAINED)
    assert [normalizer.of_step for normalizer in normalizers] == [
        dict.fromkeys(TASKS, 0.75),
        dict.fromkeys(TASKS, 0.25),
    ]


def test_no_image_at_all_counts_nothing():
    normalizers = normalizers_of([[], []], TRAINED)
    assert normalizers == [LossNormalizer(dict.fromkeys(TASKS, 0.0), dict.fromkeys(TASKS, 0.0), 0.0)] * 2


def test_over_processes_the_mean_of_the_weighted_losses_is_that_over_all_images(monkeypatch):
    """Two processes with 1 and 3 semantic images: their means 5 and 1 of the losses belong to (5 + 3 * 1) / 4 = 2."""
    portions = {0: [[image("semantic"), image("detection")]], 1: [[image("semantic")] * 2, [image("semantic")]]}
    counts = {0: [1.0, 1.0, 2.0], 1: [0.0, 3.0, 3.0]}  # detection, semantic, images

    def average(tensors):
        tensors[0].copy_(torch.tensor([counts[0], counts[1]], dtype=torch.float64).mean(0))

    monkeypatch.setattr(module, "get_world_size", lambda: 2)
    monkeypatch.setattr(module, "average_over_ranks", average)
    first, second = (normalizers_of(portions[rank], TRAINED) for rank in (0, 1))
    assert first[0].of_step == {"detection": 2.0, "semantic": 0.5}
    assert [normalizer.of_step["semantic"] for normalizer in second] == [1.0, 0.5]
    losses = 5 * first[0].of_step["semantic"], sum(normalizer.of_step["semantic"] for normalizer in second)
    assert sum(losses) / 2 == pytest.approx(2)
    # what each process reports is of its own images
    assert first[0].of_rank == {"detection": 1.0, "semantic": 1.0}
    assert [normalizer.of_rank["semantic"] for normalizer in second] == [2 / 3, 1 / 3]
