"""The network that the demo of these tests shows, and the demo as a command."""

import contextlib
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 360  # seconds, of a machine that does other things as well
FEWER = (
    *("MODEL.MASK_ON", False, "MODEL.KEYPOINT_ON", False, "MODEL.PART_ON", False, "MODEL.OCCLUSION_ON", False),
    *("MODEL.PANOPTIC_ON", False, "MODEL.PART_PANOPTIC_ON", False, "MODEL.OCCLUSION_ORDER_ON", False),
    *("INPUT.MIN_SIZE_TEST", 64),
)


@pytest.fixture(scope="session")
def small(save_small_network, tmp_path_factory):
    """A network of few tasks, which a page shows sooner, as `save_small_network` returns it."""
    return save_small_network(tmp_path_factory.mktemp("small_demo"), *FEWER)


@dataclass
class Served:
    """A demo that runs.

    Attributes:
        process: its process.
        link: the address with the token.
        address: the address without.
        said: the lines that it printed.
        folder: where it is, and where its temporary files lie.
    """

    process: subprocess.Popen
    link: str
    said: list
    folder: Path

    @property
    def address(self):
        return self.link.partition("?")[0]


@pytest.fixture(scope="session")
def serve(small):
    """`serve(folder, *options)`: a context manager of a `Served`, which is killed at the end if it still runs.

    Its `first` is Python code to run before the tool.
    """

    @contextlib.contextmanager
    def serve(folder, *options, first=""):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
        code = f"{first}\nimport runpy; runpy.run_path({str(ROOT / 'tools' / 'demo.py')!r}, run_name='__main__')"
        command = [sys.executable, "-c", code, str(small.checkpoint), "--device", "cpu", *options]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        guard = threading.Timer(PATIENCE, process.kill)
        guard.start()
        try:
            yield Served(process, *until_it_listens(process), folder)
        finally:
            guard.cancel()
            process.kill()
            process.communicate()

    return serve


def until_it_listens(process):
    """(the link, the lines that were printed so far) of a demo."""
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://\S+", line):
            return found[0], said
    return pytest.fail("".join(said))
