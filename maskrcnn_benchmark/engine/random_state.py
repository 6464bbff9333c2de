"""The state of every random number generator that a training draws from: set, saved, restored, left alone."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch on all devices with the non-negative integer `seed`; no GPU is opened for that."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_random_state(device: str | torch.device = "cpu") -> dict:
    """The state of all generators of a process that works on `device`, as values and tensors for a checkpoint.

    The generator of another GPU is left out: asking for it would open that GPU.
    """
    device = torch.device(device)
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_state(state: dict, device: str | torch.device = "cpu") -> None:
    """Put all generators of a process that works on `device` back to what `get_random_state` returned."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    device = torch.device(device)
    if state["cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)


@contextlib.contextmanager
def untouched_random_state(device: str | torch.device = "cpu") -> Iterator[None]:
    """What is drawn inside the block changes nothing outside: an evaluation must not alter the training around it.

    `device` is that of the process, whose generator is among them.
    """
    state = get_random_state(device)
    try:
        yield
    finally:
        set_random_state(state, device)
