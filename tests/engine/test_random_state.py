"""Random numbers: seeded, saved, restored."""

import random

import numpy as np
import torch

from maskrcnn_benchmark.engine.random_state import (
    get_random_state,
    seed_everything,
    set_random_state,
    untouched_random_state,
)


def draw():
    return random.random(), np.random.rand(), np.random.randn(), random.gauss(0, 1), torch.rand(1).item()


def test_a_seed_fixes_all_generators():
    seed_everything(5)
    first = draw()
    seed_everything(5)
    assert draw() == first
    seed_everything(6)
    assert all(a != b for a, b in zip(draw(), first))


def test_a_state_goes_through_a_file_and_continues_exactly(tmp_path):
    seed_everything(2**40)
    draw()  # leaves a second Gaussian number waiting in Python and NumPy
    torch.save(get_random_state(), tmp_path / "state.pth")
    expected = [draw() for _ in range(3)]
    set_random_state(torch.load(tmp_path / "state.pth", weights_only=True))
    assert [draw() for _ in range(3)] == expected


def test_what_a_block_draws_changes_nothing_outside():
    seed_everything(0)
    expected = draw()
    seed_everything(0)
    with untouched_random_state():
        draw()
    assert draw() == expected
