"""The processes of a run must agree before anything is built: on the options, the code, the data, where they go on.

Processes that differ would each do their own: wait for messages of another size, or train on without a word.
"""

import hashlib
import json
import os
from pathlib import Path

import torch

from maskrcnn_benchmark import __version__
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.utils.collect_env import collect_environment
from maskrcnn_benchmark.utils.comm import all_gather, get_world_size
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.processes import this_process

# What may differ: a place on each machine's own disk, or how fast a process gets its part of the batches
OWN_OPTIONS = (
    "MODEL.DEVICE",
    "MODEL.WEIGHT",
    "DATASETS.DATA_DIR",
    "DATALOADER.NUM_WORKERS",
    "OUTPUT_DIR",
    "PATHS_CATALOG",
)
PACKAGES = ("torchvision", "numpy")  # beside PyTorch: what computes batches and networks

_PACKAGE = Path(__file__).resolve().parents[1]
_MOST_NAMED = 3


def check_same_command(cfg: ConfigNode, device: torch.device) -> None:
    """Raise `UserError` in all processes unless they have the same options, code, versions and kind of device.

    Options that name a place on a machine's own disk, or say how fast it loads, are left out (`OWN_OPTIONS`). The
    processes of one machine must have numbers of their own there (LOCAL_RANK). A single process is not looked at.
    """
    if get_world_size() == 1:
        return
    _check_places()
    options = {key: cfg.value_of(key) for key in cfg.keys_of_options() if key not in OWN_OPTIONS}
    environment = collect_environment(torch.device("cpu"))
    versions = {package: environment["packages"][package] for package in PACKAGES}
    check_same(
        {
            "the version": __version__,
            "PyTorch": environment["pytorch"],
            **versions,
            "the kind of device": device.type,
            **options,
            **source_digests(),
        },
        "start all processes with the same command, code and packages",
    )


def check_same(facts: dict, remedy: str) -> None:
    """Raise `UserError` in all processes, with one line of what differs, unless they hold the same facts.

    Args:
        facts: {name: value}; names may be missing in some processes.
        remedy: what to do.
    """
    if get_world_size() == 1:
        return
    words = {name: repr(value) for name, value in facts.items()}
    if len(set(all_gather(digest(words)))) == 1:
        return
    first, *others = all_gather(words)
    rank, other = next((rank, other) for rank, other in enumerate(others, 1) if other != first)
    names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
    parts = [f"{name} {_shown(other, name)}, rank 0 {_shown(first, name)}" for name in names[:_MOST_NAMED]]
    more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    raise UserError(f"rank {rank} has {'; '.join(parts)}{more}: {remedy}")


def digest(value: object) -> str:
    """Some letters and digits that stand for what JSON can hold; the order of a dictionary does not matter."""
    return _digest(json.dumps(value, sort_keys=True).encode())


def source_digests() -> dict:
    """{"maskrcnn_benchmark/engine/step.py": digest of its bytes, ...} of the package's code; some 15 ms."""
    files = sorted(_PACKAGE.rglob("*.py"))
    return {path.relative_to(_PACKAGE.parent).as_posix(): _digest(path.read_bytes()) for path in files}


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:16]


def _shown(words, name):
    return words.get(name, "none")


def _check_places():
    here = this_process()
    place = here["host"], here["namespace"], int(os.environ.get("LOCAL_RANK", "0"))
    places = all_gather(place)
    for rank, place in enumerate(places):
        if place in places[:rank]:
            raise UserError(
                f"rank {places.index(place)} and rank {rank} both have LOCAL_RANK {place[2]} on {place[0]}: start all "
                "processes of a machine with torchrun"
            )
