"""Keeping freed memory."""

import resource
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource, sys
from maskrcnn_benchmark.utils.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
before = 0
for turn in range(6):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(20 << 20) for _ in range(4)]
    for block in blocks:
        ctypes.memset(block, 1, 20 << 20)
    for block in blocks:
        libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is the GNU C library's")
def test_memory_that_is_freed_and_taken_again_costs_no_page_faults():
    faults = {}
    for how in ("keep", "default"):
        output = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True)
        faults[how] = int(output.stdout)
    pages = 5 * 4 * (20 << 20) // resource.getpagesize()
    assert faults["keep"] < pages / 100
    assert faults["keep"] <= faults["default"]
