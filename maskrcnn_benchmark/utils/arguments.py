"""Numbers of a command line with their ranges, as types for `argparse`, which names the argument in its one line."""

import argparse
from collections.abc import Callable
from typing import Any

from maskrcnn_benchmark.utils.ranges import Integer, Number, shown


def in_range(of: Number) -> Callable[[str], int | float]:
    """The type of an argument that takes a number of a range, an integer where the range is one of integers.

    `in_range(Integer(0, 512))("-1")` raises `argparse.ArgumentTypeError`, "'-1' is not an integer from 0 to 512".
    """
    read = int if isinstance(of, Integer) else float

    def parse(text: str) -> Any:
        try:
            value = read(text)
        except ValueError:  # no number, or one of more digits than Python reads
            value = None
        if not of.holds(value):
            raise argparse.ArgumentTypeError(f"{shown(text)} is not {of.words}")
        return value

    return parse


natural = in_range(Integer(0, 10**9))
positive = in_range(Integer(1, 10**9))
seed = in_range(Integer(0, 2**32 - 1))
# Processes that help, where 0 has the main process work alone, and processes side by side
workers = in_range(Integer(0, 512))
jobs = in_range(Integer(1, 512))
