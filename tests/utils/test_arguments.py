"""Numbers of a command line are in their range or named in one line."""

import argparse

import pytest

from maskrcnn_benchmark.utils.arguments import in_range
from maskrcnn_benchmark.utils.cli import ToolParser
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Number


def test_a_number_is_of_the_type_of_its_range():
    assert [in_range(Integer(0, 9))("7"), in_range(Number(0, 9))("7")] == [7, 7.0]
    assert isinstance(in_range(Integer(0, 9))("7"), int) and isinstance(in_range(Number(0, 9))("7"), float)


@pytest.mark.parametrize("text", ["-1", "10", "1.0", "1e0", "nan", "inf", "x", "", "²", "9" * 5000, "0x1"])
def test_no_integer_of_the_range(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not an integer from 0 to 9$") as error:
        in_range(Integer(0, 9))(text)
    assert len(str(error.value)) < 120


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "inf", "1e999", "x", "", "9" * 5000])
def test_no_number_of_the_range(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a number from 0 to 1$"):
        in_range(Number(0, 1))(text)


def test_a_tool_ends_with_the_line_that_names_the_argument():
    parser = ToolParser("What it does.")
    parser.add_argument("--jobs", type=in_range(Integer(1, 8)))
    assert parser.parse_args(["--jobs", "3"]).jobs == 3
    with pytest.raises(UserError, match=r"^argument --jobs: '0' is not an integer from 1 to 8; --help says more$"):
        parser.parse_args(["--jobs", "0"])
