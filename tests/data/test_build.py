"""Loaders from a config: what comes in which batch, resumed or not, with or without workers, and class counts."""

import json
import logging
import random

import pytest
import torch

from maskrcnn_benchmark.data import build as build_module
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.build import bind_vocabulary, build_datasets, load_vocabulary
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.target_batch import HostTargets, TargetBatch
from maskrcnn_benchmark.structures.tensors import map_tensors
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError


def batches_of(cfg, **options):
    return list(make_data_loader(cfg, is_train=True, **options))


def same_batch(first, second):
    images, annotations, ids = first
    other_images, other_annotations, other_ids = second
    return (
        ids == other_ids
        and torch.equal(images.tensors, other_images.tensors)
        and images.image_sizes == other_images.image_sizes
        and all(torch.equal(a.instances.bbox, b.instances.bbox) for a, b in zip(annotations, other_annotations))
        and all(torch.equal(a.semantic.labels, b.semantic.labels) for a, b in zip(annotations, other_annotations))
    )


@pytest.fixture
def augmented_cfg(tiny_cfg):
    """Training with every kind of chance."""
    tiny_cfg.INPUT.SCALE_JITTER = (0.6, 1.5)
    tiny_cfg.INPUT.BRIGHTNESS = tiny_cfg.INPUT.HUE = 0.3
    tiny_cfg.INPUT.VERTICAL_FLIP_PROB_TRAIN = 0.5
    tiny_cfg.DATALOADER.SIZE_DIVISIBILITY = 8
    return tiny_cfg


def test_training_batches_are_padded_and_transformed_alike(augmented_cfg):
    batches = batches_of(augmented_cfg)
    assert len(batches) == augmented_cfg.SOLVER.MAX_ITER
    for images, annotations, ids in batches:
        assert isinstance(images, ImageList) and len(images) == len(annotations) == len(ids)
        assert images.tensors.shape[2] % 8 == images.tensors.shape[3] % 8 == 0
        assert [(h, w) for h, w in images.image_sizes] == [a.size[::-1] for a in annotations]
        assert images.tensors.dtype == torch.uint8 and images.tensors.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_targets_of_a_batch_lie_in_one_buffer(augmented_cfg, workers):
    augmented_cfg.DATALOADER.NUM_WORKERS = workers
    for images, targets, _ in batches_of(augmented_cfg):
        assert isinstance(targets, TargetBatch)
        found = []
        map_tensors(dict(enumerate(targets)), lambda tensor, found=found: found.append(tensor) or tensor)
        assert len(found) > 5 * len(targets)
        place = targets.buffer.untyped_storage().data_ptr()
        assert all(tensor.untyped_storage().data_ptr() == place for tensor in found)
        assert all(each.is_shared() == (workers > 0) for each in (images.tensors, targets.buffer))


def test_images_of_different_shape_do_not_share_a_batch(tiny_cfg):
    assert {tuple(ids) for _, _, ids in batches_of(tiny_cfg)} == {(0, 0), (1, 1)}
    tiny_cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    assert {tuple(sorted(ids)) for _, _, ids in batches_of(tiny_cfg)} == {(0, 1)}


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_training_gets_the_batches_of_an_uninterrupted_run(augmented_cfg, workers):
    whole = batches_of(augmented_cfg)
    augmented_cfg.DATALOADER.NUM_WORKERS = workers
    random.seed(workers)
    torch.manual_seed(workers)
    resumed = batches_of(augmented_cfg, start_iter=3)
    assert len(whole) == 7 and len(resumed) == 4
    assert all(same_batch(a, b) for a, b in zip(resumed, whole[3:]))


@pytest.mark.parametrize("start", [0, 3])
def test_two_processes_together_train_on_what_one_does(augmented_cfg, monkeypatch, start):
    alone = batches_of(augmented_cfg, start_iter=start)
    monkeypatch.setattr(build_module, "get_world_size", lambda: 2)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(build_module, "get_rank", lambda rank=rank: rank)
        parts.append(batches_of(augmented_cfg, start_iter=start, is_distributed=True))
    assert len(alone) == len(parts[0]) == len(parts[1]) == 7 - start
    for (images, annotations, ids), *both in zip(alone, *parts):
        assert [index for _, _, own in both for index in own] == ids
        for i, (own, (own_annotation,), _) in enumerate(both):
            height, width = images.image_sizes[i]
            assert torch.equal(own.tensors[0, :, :height, :width], images.tensors[i, :, :height, :width])
            assert torch.equal(own_annotation.instances.bbox, annotations[i].instances.bbox)


def test_another_seed_gives_other_batches_and_an_unresolved_seed_is_an_error(augmented_cfg):
    first = batches_of(augmented_cfg)
    augmented_cfg.SOLVER.SEED = 1
    assert not all(same_batch(a, b) for a, b in zip(first, batches_of(augmented_cfg)))
    augmented_cfg.SOLVER.SEED = -1
    with pytest.raises(ValueError, match=r"SOLVER\.SEED is -1"):
        make_data_loader(augmented_cfg)


def test_images_without_any_wanted_annotation_are_left_out_of_training_and_counted(tiny_cfg, caplog):
    with caplog.at_level(logging.INFO):
        (dataset,) = build_datasets(tiny_cfg, is_train=True)
    assert dataset.ids == [11, 12]
    assert "tiny_train: 2 images; 1 more are not annotated for any enabled task and are left out" in caplog.text
    tiny_cfg.MODEL.DETECTION_ON = tiny_cfg.MODEL.SEMANTIC_ON = tiny_cfg.MODEL.CLASSIFICATION_ON = False
    tiny_cfg.MODEL.MASK_ON = tiny_cfg.MODEL.BOUNDARY_ON = tiny_cfg.MODEL.OCCLUSION_ON = tiny_cfg.MODEL.PART_ON = False
    assert build_datasets(tiny_cfg, is_train=True)[0].ids == [11]  # keypoints only


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_testing_gives_each_image_once_over_all_processes(tiny_cfg, monkeypatch, processes):
    tiny_cfg.DATASETS.TEST = ("tiny_trainval", "tiny_val")
    tiny_cfg.TEST.IMS_PER_BATCH = processes
    monkeypatch.setattr(build_module, "get_world_size", lambda: processes)
    seen = {0: [], 1: []}
    for rank in range(processes):
        monkeypatch.setattr(build_module, "get_rank", lambda rank=rank: rank)
        for number, loader in enumerate(make_data_loader(tiny_cfg, is_train=False, is_distributed=True)):
            for _, annotations, ids in loader:
                assert [loader.dataset.ids[i] for i in ids] == [a.image_id for a in annotations]
                seen[number] += [a.image_id for a in annotations]
    assert sorted(seen[0]) == [11, 12, 13, 14, 15] and sorted(seen[1]) == [14, 15]


def test_testing_leaves_annotations_in_original_pixels_and_keeps_crowds(tiny_cfg):
    (loader,) = make_data_loader(tiny_cfg, is_train=False)
    found = {a.image_id: (a, size) for images, batch, _ in loader for a, size in zip(batch, images.image_sizes)}
    annotations, size = found[14]
    assert annotations.size == (16, 16) and tuple(size) == (24, 24)
    assert annotations.instances.get_field("iscrowd").tolist() == [False, True]


@pytest.mark.parametrize("augmented", [False, True])
def test_annotations_of_test_images_are_delivered_and_stay_unpinned(tiny_cfg, augmented):
    tiny_cfg.TEST.BBOX_AUG.ENABLED = augmented
    (loader,) = make_data_loader(tiny_cfg, is_train=False)
    for _, targets, ids in loader:
        assert isinstance(targets, HostTargets) and targets.pin_memory() is targets
        for target, index in zip(targets, ids):
            assert target.instances.bbox.equal(loader.dataset[index][1].instances.bbox)


def test_one_loader_over_all_test_sets_for_evaluation_in_training(tiny_cfg):
    tiny_cfg.DATASETS.TEST = ("tiny_val", "tiny_train")
    loader = make_data_loader(tiny_cfg, is_train=False, is_for_period=True)
    assert sorted(i for _, _, ids in loader for i in ids) == [0, 1, 2, 3, 4]
    assert loader.dataset.get_img_info(2)["file_name"] == "a.jpg"


def test_test_time_augmentation_gets_the_images_themselves(tiny_cfg):
    tiny_cfg.TEST.BBOX_AUG.ENABLED = True
    (loader,) = make_data_loader(tiny_cfg, is_train=False)
    assert sorted(image.size for images, _, _ in loader for image in images) == [(16, 10), (16, 16)]


def test_batch_must_divide_among_the_processes(tiny_cfg, monkeypatch):
    monkeypatch.setattr(build_module, "get_world_size", lambda: 3)
    with pytest.raises(UserError, match=r"SOLVER\.IMS_PER_BATCH 2 must be a multiple.*3"):
        make_data_loader(tiny_cfg, is_distributed=True)


def test_class_counts_come_from_the_data_set(tiny_cfg):
    vocabulary = load_vocabulary(tiny_cfg)
    tiny_cfg.freeze()
    bind_vocabulary(tiny_cfg, vocabulary)
    model = tiny_cfg.MODEL
    assert model.ROI_BOX_HEAD.NUM_CLASSES == model.RETINANET.NUM_CLASSES == 4
    assert model.ROI_KEYPOINT_HEAD.NUM_CLASSES == 14 and model.ROI_PART_HEAD.NUM_CLASSES == 7
    assert model.SEMANTIC_HEAD.NUM_CLASSES == model.CLASSIFICATION_HEAD.NUM_CLASSES == 5
    assert tiny_cfg.is_frozen()


def test_a_count_that_contradicts_the_data_set_is_an_error_that_names_both(tiny_cfg):
    vocabulary = load_vocabulary(tiny_cfg)
    tiny_cfg.merge_from_list(["MODEL.SEMANTIC_HEAD.NUM_CLASSES", 59])
    message = r"MODEL\.SEMANTIC_HEAD\.NUM_CLASSES is set to 59, but data set tiny_train has 5 \(semantic classes\)"
    with pytest.raises(UserError, match=message):
        bind_vocabulary(tiny_cfg, vocabulary)
    tiny_cfg.MODEL.SEMANTIC_ON = False
    bind_vocabulary(tiny_cfg, vocabulary)
    tiny_cfg.MODEL.SEMANTIC_ON = True
    tiny_cfg.merge_from_list(["MODEL.SEMANTIC_HEAD.NUM_CLASSES", 5, "MODEL.ROI_BOX_HEAD.NUM_CLASSES", 4])
    bind_vocabulary(tiny_cfg, vocabulary)


def test_a_task_for_which_the_data_set_has_no_classes_is_an_error(tiny_cfg):
    with pytest.raises(UserError, match=r"MODEL\.KEYPOINT_ON is on, but data set tiny_train has no keypoints"):
        bind_vocabulary(tiny_cfg, Vocabulary(thing_names=("dog",)))


def test_unknown_data_set_and_part_set_are_one_clear_line(tiny_cfg):
    tiny_cfg.DATASETS.TRAIN = ("tiny_trian",)
    with pytest.raises(UserError, match=r"unknown data set 'tiny_trian'; did you mean tiny_train\?"):
        make_data_loader(tiny_cfg)
    tiny_cfg.DATASETS.TRAIN = ()
    with pytest.raises(UserError, match=r"DATASETS\.TRAIN is empty"):
        make_data_loader(tiny_cfg)
    tiny_cfg.DATASETS.TRAIN, tiny_cfg.DATASETS.PARTS = ("tiny_train",), "person7"
    names = "person6, person24, person, superparts, ppp57, all"
    with pytest.raises(UserError, match=rf"DATASETS\.PARTS is 'person7', but must be one of {names}"):
        make_data_loader(tiny_cfg)
    tiny_cfg.DATASETS.PARTS, tiny_cfg.DATASETS.CLASSES = "superparts", "voc21"
    with pytest.raises(UserError, match=r"DATASETS\.CLASSES is 'voc21', but must be one of all, voc20, context59"):
        make_data_loader(tiny_cfg)


def test_a_data_set_without_any_wanted_annotation_is_an_error(tiny_cfg, tiny):
    content = json.loads((tiny / "annotations.json").read_text())
    for section in ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints"):
        content[section] = []
    (tiny / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="tiny_train: none of its 3 images is annotated for boundary, classification"):
        make_data_loader(tiny_cfg)


def test_real_photographs_train_with_workers(tiny_cfg, real_data):
    tiny_cfg.DATASETS.DATA_DIR, tiny_cfg.DATASETS.TRAIN = str(real_data), ("detail_real_mini_train",)
    tiny_cfg.DATALOADER.NUM_WORKERS = 2
    tiny_cfg.SOLVER.MAX_ITER, tiny_cfg.SOLVER.IMS_PER_BATCH = 6, 4
    tiny_cfg.INPUT.MIN_SIZE_TRAIN, tiny_cfg.INPUT.MAX_SIZE_TRAIN = (96, 128), 200
    tiny_cfg.INPUT.SCALE_JITTER = (0.5, 2.0)
    batches = batches_of(tiny_cfg)
    assert len(batches) == 6
    assert all(
        a.size == (w, h) for images, annotations, _ in batches for a, (h, w) in zip(annotations, images.image_sizes)
    )
    tiny_cfg.DATALOADER.NUM_WORKERS = 0
    assert all(torch.equal(a[0].tensors, b[0].tensors) for a, b in zip(batches, batches_of(tiny_cfg)))
