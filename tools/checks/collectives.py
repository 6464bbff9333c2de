"""Stage: processes that train together: NCCL, or gloo on a CPU, alone, with all GPUs, and a step beside one process."""

import datetime
import socket
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks.multitask import Network
from benchmarks.timing import wait_for
from checks.networks import MINI, NOTHING_DRAWN, TINY, first_batches, precision_options, read_config
from checks.stage import Findings, Setting, Skipped
from maskrcnn_benchmark.engine.data_parallel import broadcast_state
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.precision import set_float32_precision as use_tf32

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # as training chooses them
SECONDS = 60  # for processes to find one another
MESSAGE_MIB = 100
ROUNDS = 5
LARGEST = 1e-5  # difference of a weight after a step of several processes, and of one
# A plain step, without momentum's and AdamW's ways to make much of little
PLAIN = ("SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 0.01, "SOLVER.CLIP_GRADIENT_NORM", 0.0)
PLAIN += precision_options("float32", False)


def check(setting: Setting, findings: Findings) -> None:
    """A world of one; then one of all GPUs, or of two processes on a CPU, and their step beside that of one process."""
    if setting.on_cuda and not dist.is_nccl_available():
        raise Skipped("this PyTorch is built without NCCL")
    mib = 4 if setting.small else MESSAGE_MIB
    _report(findings, setting, [_join(0, 1, free_port(), torch.device(setting.device), _communicate, mib)], mib)
    most = torch.cuda.device_count() if setting.on_cuda else 2
    if most == 1:
        findings.note("several processes", "there is one GPU, and NCCL wants one for each process")
        return
    cfg, vocabulary, images, alone, before = _alone(setting, most)
    found = run_together(setting, most, _communicate_and_step, mib, cfg, vocabulary, images)
    _report(findings, setting, found, mib)
    weights = [seen["weights"] for seen in found]
    same = all(torch.equal(one, other) for others in weights[1:] for one, other in zip(weights[0], others))
    findings.require("all processes hold the same weights after a step", same)
    findings.require("the step moves weights", largest_difference(alone, before) > LARGEST)
    difference = largest_difference(alone, weights[0])
    findings.limit(f"{most} processes beside one, largest difference of a weight", difference, LARGEST)


def _report(findings, setting, found, mib):
    """What each rank of a world said."""
    world = len(found)
    name = f"{'NCCL' if setting.on_cuda else 'gloo'}, {world} process{'es' if world > 1 else ''}"
    for what in found[0]["right"]:
        wrong = [str(rank) for rank, seen in enumerate(found) if not seen["right"][what]]
        findings.require(f"{name}: {what}", not wrong, f"wrong on rank {', '.join(wrong)}" if wrong else "right")
    slowest = max(seen["sum_seconds"] for seen in found)
    findings.note(f"{name}: start-up and first messages", max(seen["start_seconds"] for seen in found), "s")
    findings.note(f"{name}: sum of {mib} MiB", 1000 * slowest, "ms")
    if world > 1:  # a ring sends and receives nearly all of it twice
        findings.note(f"{name}: bandwidth", 2 * (world - 1) / world * mib * 2**20 / slowest / 1e9, "GB/s")


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run_together(setting: Setting, world: int, function, *arguments) -> list[dict]:
    """What `function(rank, device, *arguments)` returns in each of `world` new processes that have joined, by rank."""
    folder = Path(setting.folder) / f"world_{free_port()}"
    folder.mkdir()
    kind = torch.device(setting.device).type
    mp.start_processes(
        _work, (world, free_port(), kind, folder, function, arguments), nprocs=world, start_method="spawn"
    )
    return [torch.load(folder / f"{rank}.pth", weights_only=False) for rank in range(world)]


def _work(rank, world, port, kind, folder, function, arguments):
    """What one of the processes runs."""
    use_tf32(False)
    if kind == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(1)
    device = torch.device(kind, rank) if kind == "cuda" else torch.device(kind)
    torch.save(_join(rank, world, port, device, function, *arguments), folder / f"{rank}.pth")


def _join(rank, world, port, device, function, *arguments):
    """Join a process group for the time of a function; what it returns, with the seconds until it could begin."""
    start = time.perf_counter()
    dist.init_process_group(
        BACKENDS[device.type],
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=SECONDS),
    )
    try:
        dist.barrier()  # NCCL connects at the first message
        wait_for(device)
        started = time.perf_counter() - start
        return {"start_seconds": started, **function(rank, device, *arguments)}
    finally:
        dist.destroy_process_group()


def _communicate(rank, device, mib):
    """Each collective that training uses, whether it was right, and the seconds of a large sum."""
    world = dist.get_world_size()
    number = torch.full((3,), rank + 1.0, device=device)
    dist.all_reduce(number)
    sent = torch.full((3,), float(rank), device=device)
    dist.broadcast(sent, world - 1)
    objects = [None] * world
    dist.all_gather_object(objects, {"rank": rank})
    message, seconds = torch.ones(mib * 2**18, device=device), []
    for _ in range(ROUNDS):
        wait_for(device)
        begin = time.perf_counter()
        dist.all_reduce(message)
        wait_for(device)
        seconds.append(time.perf_counter() - begin)
    right = {
        "sum": number.tolist() == [world * (world + 1) / 2] * 3,
        "broadcast": sent.tolist() == [world - 1.0] * 3,
        "objects": objects == [{"rank": each} for each in range(world)],
        "large sum": bool(message.eq(float(world) ** ROUNDS).all()),
    }
    return {"right": right, "sum_seconds": min(seconds)}


def _alone(setting, count):
    """A step of one process that adds up as many images as there will be processes.

    Returns:
        the config of one of these processes, `Vocabulary`, each one's batch, and all weights after the step and before.
    """
    options = (*TINY, *NOTHING_DRAWN, *PLAIN, "SOLVER.IMS_PER_BATCH", count, "SOLVER.ACCUMULATE_STEPS", count)
    cfg, vocabulary = read_config(setting, MINI, options)
    ((images, targets),) = first_batches(cfg, 1)
    network = Network(cfg, vocabulary)
    before = _weights(network)
    network.train_step((images, targets))
    cfg.SOLVER.ACCUMULATE_STEPS = 1
    shares = [
        (ImageList(images.tensors[i : i + 1].cpu(), images.image_sizes[i : i + 1]), [target.to("cpu")])
        for i, target in enumerate(targets)
    ]
    return cfg, vocabulary, shares, _weights(network), before


def _communicate_and_step(rank, device, mib, cfg, vocabulary, shares):
    """What `_communicate` returns, and all weights after a training step on this rank's image."""
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = str(device)
    found = _communicate(rank, device, mib)
    network = Network(cfg, vocabulary)
    broadcast_state(network.model, network.step.loss_combiner)
    images, targets = shares[rank]
    network.train_step((images.to(device), [target.to(device) for target in targets]))
    return {**found, "weights": _weights(network)}


def largest_difference(one: list, other: list) -> float:
    """Of two lists of tensors of the same shapes."""
    return max((a - b).abs().max().item() for a, b in zip(one, other))


def _weights(network):
    """All weights, on the CPU."""
    return [p.detach().cpu().clone() for p in network.model.parameters()]
