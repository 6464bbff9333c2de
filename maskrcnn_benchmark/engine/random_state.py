"""The state of every random number generator that a training draws from: set, saved, restored, left alone."""

import contextlib
import random

import numpy as np
import torch


def seed_everything(seed):
    """Seed Python, NumPy and PyTorch on all devices with the non-negative integer `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def get_random_state():
    """The state of all generators of this process, as plain values and tensors that a checkpoint can hold."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state):
    """Put all generators back to what `get_random_state` returned."""
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


@contextlib.contextmanager
def untouched_random_state():
    """What is drawn inside the block changes nothing outside: an evaluation must not alter the training around it."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)
