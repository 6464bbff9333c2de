"""One device for a process, with its index, or one line that says what is wrong."""

import pytest
import torch

from maskrcnn_benchmark.utils.devices import names_cuda, resolve_device
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def machine(monkeypatch):
    """Makes this a machine with so many GPUs, and this process the one of torchrun's variables."""

    def become(gpus, **variables):
        for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)

    return become


def test_a_gpu_always_has_its_index(machine):
    machine(2)
    names = ("cuda", "cuda:1", "auto", "cpu", "cpu:0", torch.device("cuda"))
    assert [str(resolve_device(name)) for name in names] == ["cuda:0", "cuda:1", "cuda:0", "cpu", "cpu", "cuda:0"]


def test_what_somebody_made_the_current_gpu_is_taken(machine, monkeypatch):
    machine(2)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert resolve_device("cuda") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_each_process_takes_the_gpu_of_its_number(machine, name):
    machine(2, WORLD_SIZE="4", LOCAL_RANK="1")
    assert resolve_device(name) == torch.device("cuda", 1)
    machine(2, WORLD_SIZE="4", LOCAL_RANK="2")
    with pytest.raises(UserError, match="cuda:2 is asked for, but there are 2 CUDA devices; start at most 2 processes"):
        resolve_device(name)


def test_a_world_of_one_takes_the_gpu_that_is_named(machine):
    machine(2, WORLD_SIZE="1", LOCAL_RANK="0")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device("cuda") == torch.device("cuda", 0)


def test_without_a_gpu_auto_is_the_processor_and_cuda_an_error(machine, monkeypatch):
    machine(0)
    assert resolve_device("auto") == torch.device("cpu") and not names_cuda("auto") and names_cuda("cuda:3")
    with pytest.raises(UserError, match=r"--device is cuda, but PyTorch finds no CUDA device here.*add --device cpu"):
        resolve_device("cuda", "--device")
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(UserError, match=r"no CUDA device here \(this PyTorch was built without CUDA\)"):
        resolve_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "", "mps", "meta"])
def test_a_malformed_name_is_the_users_error(machine, name):
    machine(1)
    with pytest.raises(UserError, match=f"MODEL.DEVICE is '{name}', but must be auto, cpu, cuda or cuda:NUMBER"):
        resolve_device(name)
    with pytest.raises(UserError, match=f"MODEL.DEVICE is '{name}'"):
        names_cuda(name)


def test_an_index_that_is_too_high_names_the_last(machine):
    machine(1)
    with pytest.raises(UserError, match="cuda:1 is asked for, but there is 1 CUDA device; the last is cuda:0"):
        resolve_device("cuda:1")
