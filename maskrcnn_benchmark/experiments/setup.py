"""What comes before a run: the processes, the device, the output folder, the log, the data that can be made."""

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from yacs.config import CfgNode

from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.data.build_dataset import check_files
from maskrcnn_benchmark.data.mini_detail import EMBEDDED
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.delta_m import read_single_task
from maskrcnn_benchmark.engine.determinism import fix_cublas_workspace
from maskrcnn_benchmark.engine.rank_agreement import check_same_command
from maskrcnn_benchmark.experiments.run_lock import run_lock
from maskrcnn_benchmark.utils.collect_env import collect_env_info
from maskrcnn_benchmark.utils.comm import (
    all_gather,
    get_rank,
    get_world_size,
    is_of_others,
    run_once,
    synchronize,
    wait_for_others,
)
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import mkdir
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.model_zoo import is_fetched, local_file
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.utils.weights.weight_file import read_checkpoint

WORLD_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # as torchrun sets them

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def start_run(cfg: ConfigNode) -> Iterator[torch.device]:
    """Join the other processes of this run, if torchrun started several, take the output folder, and open the log.

    The folder is this run's until the block ends: see `experiments.run_lock`.

    Yields:
        `torch.device` of this process, on CUDA with its index; it is PyTorch's current device from now on.

    Raises:
        UserError: the device or a precision does not exist, the processes do not agree or cannot meet, or the folder
            cannot be written into or is in use. Nothing was made then but the folder.
    """
    check_options(cfg)
    processes = 1 if dist.is_initialized() else world_size_of_environment()
    device = resolve_device(cfg.MODEL.DEVICE)
    if cfg.SOLVER.DETERMINISTIC:
        fix_cublas_workspace()  # before a handle is made, which reads it
    if device.type == "cuda":
        torch.cuda.set_device(device)  # first: whatever is asked for without naming a device must mean this one
    if processes > 1:
        join_processes(device)
    check_same_command(cfg, device)
    run_once(lambda: mkdir(cfg.OUTPUT_DIR), on_each_machine=True)
    with run_lock(cfg.OUTPUT_DIR) as taken_from:
        setup_logger("maskrcnn_benchmark", cfg.OUTPUT_DIR, get_rank())
        logger.info(
            "%s, this one on %s\n%s",
            *(counted(get_world_size(), "process", "processes"), device, collect_env_info(device)),
        )
        if taken_from:
            logger.info("took %s over from %s, which was killed", cfg.OUTPUT_DIR, taken_from)
        yield device


def check_inputs(cfg: CfgNode, weights: str | os.PathLike, names: Iterable[str], is_tested: bool = True) -> None:
    """Raise `UserError` for what a run will read and cannot; nothing is drawn, indexed, fetched or written before.

    Args:
        cfg: the config.
        weights: a path, an address or a name of the catalog; "" for none.
        names: of the data sets that will be opened.
        is_tested: whether the run ends in a test.
    """
    check_options(cfg)
    if weights and not is_fetched(str(weights), cfg.PATHS_CATALOG):
        read_checkpoint(local_file(str(weights), cfg.PATHS_CATALOG), "; correct the path", mapped=True)
    if is_tested and cfg.TEST.SINGLE_TASK_RESULTS:
        read_single_task(cfg.TEST.SINGLE_TASK_RESULTS, cfg.TEST.DELTA_M_METRICS)
    check_files(cfg, dict.fromkeys(name for name in names if name))


def check_training_inputs(cfg: CfgNode, is_begun: bool, skip_test: bool = False) -> None:
    """`check_inputs` of a training; one that has begun reads no weights but its checkpoint's."""
    names = [cfg.DATASETS.VOCABULARY, *cfg.DATASETS.TRAIN, *(() if skip_test else cfg.DATASETS.TEST)]
    check_inputs(cfg, "" if is_begun else cfg.MODEL.WEIGHT, names, not skip_test)


def join_processes(device: torch.device) -> None:
    """Make the group of the processes that torchrun's variables speak of; raises `UserError` if they cannot meet."""
    # objects travel by gloo, so that gathering an evaluation's records takes no GPU memory
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        wait_for_others(dist.init_process_group, backend)
    except RuntimeError as error:
        if not is_of_others(error):
            raise
        where = ", ".join(f"{name} {os.environ[name]}" for name in WORLD_VARIABLES)
        raise UserError(f"the processes of this run cannot meet ({where}): {' '.join(str(error).split())}") from None


def world_size_of_environment() -> int:
    """The number of processes by torchrun's variables, 1 without them; raises `UserError` if they are incomplete."""
    given = {name: os.environ[name] for name in WORLD_VARIABLES if name in os.environ}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        if not os.environ.get(name, "0").isdecimal():
            raise UserError(f"the environment variable {name} is {os.environ[name]!r}, but must be a number")
    size, rank = (int(given.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("RANK", "0")))
    if size <= 1 and rank == 0:
        return 1
    missing = [name for name in WORLD_VARIABLES if name not in given]
    if missing:
        raise UserError(
            f"{', '.join(given)} say that this is one of several processes, but {', '.join(missing)} is missing in the "
            "environment: start them all with torchrun"
        )
    if rank >= size:
        raise UserError(f"RANK is {rank}, but WORLD_SIZE {size}: start all processes with torchrun")
    return size


def end_run() -> None:
    """Leave the other processes, after a run that went well, when all have come here."""
    synchronize()
    if dist.is_initialized():
        dist.destroy_process_group()


def drawn_seed(cfg: CfgNode) -> int:
    """SOLVER.SEED, or a seed drawn by rank 0 for all processes where that is negative."""
    seed = cfg.SOLVER.SEED
    if seed < 0:
        seed = all_gather(int.from_bytes(os.urandom(4), "big"))[0]
        logger.info("drew the seed %d", seed)
    return seed


def make_missing_mini_detail(cfg: CfgNode) -> None:
    """Generate the embedded data set, or the one with maps, if the config names it and it is not there."""
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST, cfg.DATASETS.VOCABULARY]
    for name, options in EMBEDDED.items():
        folder = Path(cfg.DATASETS.DATA_DIR) / name
        if any(each.startswith(f"{name}_") for each in names):
            run_once(partial(_draw_missing, folder, options), on_each_machine=True)


def _draw_missing(folder: Path, options: dict[str, bool]) -> None:
    if not folder.exists():
        write_mini_detail(folder, **options)
