"""How often a training step launches something on a device, and how often the host waits for it."""

import json
from pathlib import Path

import pytest
import torch
from pycocotools import mask as coco_mask
from toy_coco import YAML, write_coco

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary, make_data_loader
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks

FULL_SIZE = Path(__file__).parents[2] / "configs" / "detail" / "e2e_multitask_R_50_FPN_1x.yaml"
# As many operations on as many regions, but each of them small
NARROW = (
    *("MODEL.WEIGHT", "", "MODEL.DEVICE", "cpu", "MODEL.BACKBONE.CONV_BODY", "R-18-FPN"),
    *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.DENSE_TRUNK.CHANNELS", 16),
    *("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 16, "MODEL.ROI_MASK_HEAD.CONV_LAYERS", (8,) * 4),
    *("MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS", (8,) * 8, "MODEL.ROI_PART_HEAD.CONV_LAYERS", (8,) * 4),
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_mini_detail(folder / "mini_detail", num_train=32, num_val=1, seed=0)
    return folder


@pytest.fixture
def count_step(device_counter):
    """A function that counts a config's second step on its first batch; the first step makes what is kept."""

    def count(cfg):
        torch.manual_seed(0)
        vocabulary = load_vocabulary(cfg)
        bind_vocabulary(cfg, vocabulary)
        batch = next(iter(make_data_loader(cfg)))[:2]
        model = build_detection_model(cfg, vocabulary).train()
        combiner = build_loss_combiner(cfg, enabled_tasks(cfg))
        step = TrainingStep(model, combiner, make_optimizer(cfg, model, combiner), "cpu", cfg.DTYPE)
        step(*batch, list)
        with device_counter() as counter:
            step(*batch, list)
        return counter

    return count


@pytest.fixture
def counted_step(data_dir, count_step):
    """A function that counts a step of the full-size network on small images."""

    def count(images, *options):
        cfg = default_cfg.clone()
        cfg.merge_from_file(FULL_SIZE)
        cfg.merge_from_list(
            [
                *("DATASETS.TRAIN", ("mini_detail_train",), "DATASETS.TEST", (), "DATASETS.DATA_DIR", str(data_dir)),
                *("INPUT.MIN_SIZE_TRAIN", (96,), "INPUT.MAX_SIZE_TRAIN", 160, "SOLVER.IMS_PER_BATCH", images),
                *("SOLVER.SEED", 0, "DATALOADER.NUM_WORKERS", 0, *NARROW, *options),
            ]
        )
        return count_step(cfg)

    return count


@pytest.fixture
def counted_coco_step(tmp_path, count_step):
    """A function that counts a step of a Mask R-CNN on objects with polygons, or run lengths where `is_crowd` says."""

    def count(images, is_crowd=lambda row: False):
        data_dir = write_coco(tmp_path, num_train=images + 1)
        path = tmp_path / "coco" / "annotations" / "instances_train2017.json"
        content = json.loads(path.read_text())
        sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
        for row in filter(is_crowd, content["annotations"]):
            runs = coco_mask.merge(coco_mask.frPyObjects(row["segmentation"], *sizes[row["image_id"]]))
            row["segmentation"] = {"size": runs["size"], "counts": runs["counts"].decode()}
        path.write_text(json.dumps(content))
        cfg = default_cfg.clone()
        (tmp_path / "toy.yaml").write_text(YAML)
        cfg.merge_from_file(tmp_path / "toy.yaml")
        cfg.merge_from_list(
            [
                *("DATASETS.DATA_DIR", data_dir, "SOLVER.IMS_PER_BATCH", images, "SOLVER.SEED", 0),
                *("DATALOADER.ASPECT_RATIO_GROUPING", False),
            ]
        )
        return count_step(cfg)

    return count


def only(*keys):
    return [word for key, task in TASKS.items() for word in (f"MODEL.{task.switch}", key in keys)]


# Limits are what was counted and a few: a wait for each image or for each field of a target, a constant that is made
# anew in every step, and a loop over images are what they are to notice. On a GPU it is less than on a CPU, where
# suppression is a call for each level of each image, and ROIAlign is made of many operations.
@pytest.mark.parametrize("images, waits, calls", [(2, 28, 2550), (8, 64, 3150)])
def test_a_step_of_eight_tasks_rarely_waits_for_the_device(counted_step, images, waits, calls):
    counter = counted_step(images)
    assert counter.waits.total() <= waits, counter.report()
    assert counter.calls.total() <= calls, counter.calls.most_common(20)


def test_a_step_of_mask_rcnn_rarely_waits_for_the_device(counted_step):
    counter = counted_step(2, *only("detection", "instance"))
    assert counter.waits.total() <= 22, counter.report()
    assert counter.calls.total() <= 1400, counter.calls.most_common(20)


def in_masks(counter):
    """Waits of the masks' code."""
    return sum(times for (_, place), times in counter.waits.items() if "structures/mask_" in place)


@pytest.mark.parametrize("images", [2, 6])
def test_polygons_of_a_batch_are_drawn_after_one_wait(counted_coco_step, images):
    counter = counted_coco_step(images)
    assert 0 < in_masks(counter) <= 4, counter.report()
    assert counter.waits.total() <= 14 + 5 * images, counter.report()


def test_images_with_run_lengths_do_not_slow_down_those_with_polygons(counted_coco_step):
    counter = counted_coco_step(6, is_crowd=lambda row: row["id"] in (1, 5))
    assert 0 < in_masks(counter) <= 5, counter.report()
