"""What comes before a run: the processes, the device, the output folder, the log, the data that can be made."""

import logging
import os
from pathlib import Path

import torch
import torch.distributed as dist

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.engine.determinism import fix_cublas_workspace
from maskrcnn_benchmark.utils.collect_env import collect_env_info
from maskrcnn_benchmark.utils.comm import all_gather, get_rank, get_world_size, run_once, synchronize
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.miscellaneous import mkdir

logger = logging.getLogger(__name__)


def start_run(cfg):
    """Join the other processes of this run, if torchrun started several, and prepare the output folder and the log.

    Returns:
        `torch.device` of this process, on CUDA with its index; it is PyTorch's current device from now on.
    """
    check_options(cfg)
    device = resolve_device(cfg.MODEL.DEVICE)
    if cfg.SOLVER.DETERMINISTIC:
        fix_cublas_workspace()  # before a handle is made, which reads it
    if device.type == "cuda":
        torch.cuda.set_device(device)  # first: whatever is asked for without naming a device must mean this one
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        # objects travel by gloo, so that gathering an evaluation's records takes no GPU memory
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    run_once(lambda: mkdir(cfg.OUTPUT_DIR), on_each_machine=True)
    setup_logger("maskrcnn_benchmark", cfg.OUTPUT_DIR, get_rank())
    logger.info("%d process(es), this one on %s\n%s", get_world_size(), device, collect_env_info(device))
    return device


def end_run():
    """Leave the other processes, after a run that went well, when all have come here."""
    synchronize()
    if dist.is_initialized():
        dist.destroy_process_group()


def drawn_seed(cfg):
    """SOLVER.SEED, or a seed drawn by rank 0 for all processes where that is negative."""
    seed = cfg.SOLVER.SEED
    if seed < 0:
        seed = all_gather(int.from_bytes(os.urandom(4), "big"))[0]
        logger.info("drew the seed %d", seed)
    return seed


def make_missing_mini_detail(cfg):
    """Generate the embedded data set if the config names it and it is not there."""
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, cfg.DATASETS.VOCABULARY]
    folder = Path(cfg.DATASETS.DATA_DIR) / "mini_detail"
    if any(name.startswith("mini_detail_") for name in names):
        run_once(lambda: None if folder.exists() else write_mini_detail(folder), on_each_machine=True)
