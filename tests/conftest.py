"""Fixtures that many tests share."""

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import settings

from maskrcnn_benchmark.utils.imports import import_file

sys.path.insert(0, str(Path(__file__).parent / "helpers"))  # what several folders of tests import

# No deadline: the first example of a test pays for what torch loads late, and a busy machine for its neighbours. The
# same examples in every run, so that a change is judged by itself; `--hypothesis-profile=search` draws new ones.
settings.register_profile("repeatable", deadline=None, max_examples=40, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=400, derandomize=False)
settings.load_profile("repeatable")


def pytest_configure(config):
    # cuBLAS reads it once, at the first product of the process, whichever test that is in
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    lacking = pytest.mark.skip(reason="needs a CUDA device, and PyTorch finds none here")
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(lacking)


@pytest.fixture(scope="session")
def fuzzing():
    """The module of seeded damage, `fuzzing.py`."""
    return import_file("fuzzing", Path(__file__).with_name("fuzzing.py"))


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data sets that DETAIL_REAL_DATA names; the test is skipped where there is none."""
    folder = os.environ.get("DETAIL_REAL_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set DETAIL_REAL_DATA to a folder of real data sets to run this test")
    return Path(folder)


@pytest.fixture(scope="session")
def save_small_network():
    """`small_network.save_small_network`."""
    return import_file("small_network", Path(__file__).with_name("small_network.py")).save_small_network


@pytest.fixture(scope="session")
def device_counter():
    """`device_counter.DeviceCounter`."""
    return import_file("device_counter", Path(__file__).with_name("device_counter.py")).DeviceCounter


@pytest.fixture(scope="session")
def small(save_small_network, tmp_path_factory):
    """A small network of all eight tasks, as `save_small_network` returns it."""
    return save_small_network(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def in_two_processes():
    """Runs `main(rank, port, *args)` in two processes, which meet at a port of this machine, and waits for them."""

    def run(main, *args, start_method="spawn"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        mp.start_processes(main, (port, *args), nprocs=2, start_method=start_method)

    return run


@pytest.fixture(scope="session")
def end_of():
    """Function of a function: (exit code, standard error) of running it as a tool in a process of its own."""
    return import_file("forked", Path(__file__).with_name("forked.py")).end_of
