"""Stage: processes that train together: NCCL, or gloo on a CPU, alone, with all GPUs, and a step beside one process."""

import datetime
import os
import socket
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from benchmarks.multitask import Network, training_batches
from benchmarks.timing import wait_for
from checks.networks import MINI, NOTHING_DRAWN, TINY, read_config
from checks.precision import use_tf32
from checks.stage import Findings, Setting, Skipped
from maskrcnn_benchmark.engine.data_parallel import broadcast_state
from maskrcnn_benchmark.structures.image_list import ImageList

BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # as training chooses them
SECONDS = 60  # for processes to find one another
MESSAGE_MIB = 100
ROUNDS = 5
# Two processes with an image each beside one that adds up two images, relative to the weights' movement
APART = 1e-3
LARGEST = 1e-5


def check(setting: Setting, findings: Findings) -> None:
    """A world of one, then one of all GPUs (of two processes on a CPU)."""
    if setting.on_cuda and not dist.is_nccl_available():
        raise Skipped("this PyTorch is built without NCCL")
    cuda = setting.on_cuda
    worlds = [1, *([torch.cuda.device_count()] if cuda and torch.cuda.device_count() > 1 else [] if cuda else [2])]
    mib = 4 if setting.small else MESSAGE_MIB
    for world in worlds:
        name = f"{'NCCL' if cuda else 'gloo'}, {world} process{'es' if world > 1 else ''}"
        found = run_together(setting, world, _communicate, mib)
        for rank, seen in enumerate(found):
            for what, holds in seen["right"].items():
                if not holds:
                    findings.require(f"{name}: {what} on rank {rank}", False, "a wrong sum")
        findings.require(
            f"{name}: sum, broadcast, barrier, objects", all(all(seen["right"].values()) for seen in found)
        )
        findings.note(f"{name}: start-up", max(seen["start"] for seen in found), "s")
        findings.note(f"{name}: sum of {mib} MiB", 1000 * max(seen["sum"] for seen in found), "ms")
        if world > 1:
            moved = 2 * (world - 1) / world * mib * 2**20 / max(seen["sum"] for seen in found)
            findings.note(f"{name}: bandwidth per process", moved / 1e9, "GB/s")
    if worlds[-1] > 1:
        _compare_steps(setting, findings)


def run_together(setting: Setting, world: int, function, *arguments) -> list:
    """What `function(rank, device, *arguments)` returns in each of `world` processes that have joined, by rank."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = Path(setting.folder) / f"rank_{port}"
    kind = torch.device(setting.device).type
    first = torch.device(setting.device).index if world == 1 else 0
    mp.start_processes(
        _join, (world, port, kind, first, str(results), function, arguments), nprocs=world, start_method="spawn"
    )
    return [torch.load(f"{results}_{rank}", weights_only=False) for rank in range(world)]


def _join(rank, world, port, kind, first, results, function, arguments):
    """What one of the processes runs."""
    start = time.perf_counter()
    os.environ.update(LOCAL_RANK=str(rank))
    use_tf32(False)
    device = torch.device(kind, first + rank) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(1)
    dist.init_process_group(
        BACKENDS[kind],
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=SECONDS),
    )
    found = function(rank, device, *arguments)
    torch.save({"start": time.perf_counter() - start, **found}, f"{results}_{rank}")
    dist.destroy_process_group()


def _communicate(rank, device, mib):
    """Each collective that training uses: whether it was right, and the seconds of a large sum."""
    start, world = time.perf_counter(), dist.get_world_size()
    number = torch.full((3,), rank + 1.0, device=device)
    dist.all_reduce(number)
    sent = torch.full((3,), float(rank), device=device)
    dist.broadcast(sent, world - 1)
    dist.barrier()
    objects = [None] * world
    dist.all_gather_object(objects, {"rank": rank})
    ready = time.perf_counter() - start
    message = torch.ones(mib * 2**18, device=device)
    seconds = []
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
        "large sum": message[::4096].eq(float(world) ** ROUNDS).all().item(),
    }
    return {"right": right, "first": ready, "sum": min(seconds)}


def _compare_steps(setting, findings):
    """A step of two processes with an image each, beside one of a single process that adds up both images."""
    options = (
        *TINY,
        *NOTHING_DRAWN,
        "SOLVER.OPTIMIZER",
        "SGD",
        "SOLVER.BASE_LR",
        0.01,
        "SOLVER.CLIP_GRADIENT_NORM",
        0.0,
    )
    cfg, vocabulary = read_config(setting, MINI, options)
    ((batch,), _) = training_batches(cfg, 1, own_data=True)
    alone = cfg.clone()
    alone.SOLVER.ACCUMULATE_STEPS = 2
    network = Network(alone, vocabulary)
    before = _parameters(network)
    network.train_step(batch)
    images, targets = batch
    halves = [
        (ImageList(images.tensors[index : index + 1].cpu(), images.image_sizes[index : index + 1]), [target.to("cpu")])
        for index, target in enumerate(targets)
    ]
    found = run_together(setting, 2, _step, cfg, vocabulary, halves)
    together = [seen["parameters"] for seen in found]
    expected = _parameters(network)
    findings.require("two processes hold the same weights", all(a.equal(b) for a, b in zip(*together)))
    apart = max((a - b).abs().max().item() for a, b in zip(expected, together[0]))
    moved = max((a - b).abs().max().item() for a, b in zip(expected, before))
    findings.require("the step moves weights", moved > LARGEST, f"by {moved:.3g}")
    findings.limit("two processes beside one, largest difference of a weight", apart, LARGEST)


def _step(rank, device, cfg, vocabulary, halves):
    cfg = cfg.clone()
    cfg.MODEL.DEVICE = str(device)
    network = Network(cfg, vocabulary)
    broadcast_state(network.model, network.step.loss_combiner)
    images, targets = halves[rank]
    network.train_step((images.to(device), [target.to(device) for target in targets]))
    return {"parameters": _parameters(network)}


def _parameters(network):
    """All weights, on the CPU."""
    return [p.detach().cpu().clone() for p in network.model.parameters()]
