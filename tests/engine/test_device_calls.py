"""How often a training step launches something on a device, and how often the host waits for it."""

from pathlib import Path

import pytest
import torch

from device_counter import DeviceCounter
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary, make_data_loader
from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.tasks import TASKS
from maskrcnn_benchmark.solver import make_optimizer

FULL_SIZE = Path(__file__).parents[2] / "configs" / "detail" / "e2e_multitask_R_50_FPN_1x.yaml"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_mini_detail(folder / "mini_detail", num_train=32, num_val=1, seed=0)
    return folder


def counted_step(data_dir, images, *options):
    """A `DeviceCounter` of the second step of the full-size network on small images; the first makes what is kept."""
    torch.manual_seed(0)
    cfg = default_cfg.clone()
    cfg.merge_from_file(FULL_SIZE)
    cfg.merge_from_list(
        [
            *("DATASETS.TRAIN", ("mini_detail_train",), "DATASETS.TEST", (), "DATASETS.DATA_DIR", str(data_dir)),
            *("MODEL.WEIGHT", "", "MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TRAIN", (160,), "INPUT.MAX_SIZE_TRAIN", 240),
            *("SOLVER.IMS_PER_BATCH", images, "SOLVER.SEED", 0, "DATALOADER.NUM_WORKERS", 0, *options),
        ]
    )
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    batches = iter(make_data_loader(cfg))
    model = build_detection_model(cfg, vocabulary).train()
    combiner = build_loss_combiner(cfg)
    step = TrainingStep(model, combiner, make_optimizer(cfg, model, combiner), "cpu", cfg.DTYPE)
    batch = next(batches)[:2]
    step(*batch, lambda: [])
    with DeviceCounter() as counter:
        step(*batch, lambda: [])
    return counter


def only(*keys):
    return [word for key, task in TASKS.items() for word in (f"MODEL.{task.switch}", key in keys)]


# Limits are what was counted when these tests were written, and a few. A wait for each image or for each field of a
# target, and a constant made anew in every step, are what they are to notice.
@pytest.mark.parametrize("images, waits", [(2, 60), (8, 120)])
def test_a_step_of_eight_tasks_rarely_waits_for_the_device(data_dir, images, waits):
    counter = counted_step(data_dir, images)
    assert counter.waits.total() <= waits, counter.report()


def test_a_step_of_mask_rcnn_rarely_waits_for_the_device(data_dir):
    counter = counted_step(data_dir, 2, *only("detection", "instance"))
    assert counter.waits.total() <= 40, counter.report()
