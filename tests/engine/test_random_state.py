"""Random numbers: seeded, saved, restored."""

import random

import numpy as np
import torch
from task_weights import of_tasks

from maskrcnn_benchmark.engine.random_state import (
    get_random_state,
    seed_everything,
    set_random_state,
    untouched_random_state,
)
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS


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


def test_the_state_of_the_gpu_of_the_process_goes_along_and_no_other_is_asked(monkeypatch):
    states = {torch.device("cuda", 1): torch.arange(16, dtype=torch.uint8)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", states.__getitem__)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({device: state}))
    state = get_random_state("cuda:1")
    with untouched_random_state("cuda:1"):
        states[torch.device("cuda", 1)] = torch.zeros(16, dtype=torch.uint8)
    assert states[torch.device("cuda", 1)].tolist() == list(range(16))
    set_random_state(state)  # resumed on the processor
    set_random_state(state, "cuda:0")
    assert torch.equal(states[torch.device("cuda", 0)], state["cuda"]) and len(states) == 2


def test_a_process_on_the_cpu_leaves_cuda_alone(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("CUDA was started")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("_lazy_init", "get_rng_state", "set_rng_state", "current_device"):
        monkeypatch.setattr(torch.cuda, name, refuse)
    seed_everything(3)
    with untouched_random_state():
        draw()
    set_random_state({**get_random_state(), "cuda": torch.zeros(16, dtype=torch.uint8)})
    combiner = LossCombiner(of_tasks({"semantic": 1.0, "part": 1.0}), WEIGHTINGS["random"](["semantic", "part"]))
    combiner.begin()
    combiner.backward({"loss_semantic": torch.ones((), requires_grad=True)})
    combiner.finish()


def test_what_a_block_draws_changes_nothing_outside():
    seed_everything(0)
    expected = draw()
    seed_everything(0)
    with untouched_random_state():
        draw()
    assert draw() == expected
