"""Descriptions of values from files: what they take, what they say, and that no value makes them work or talk long."""

import math

import pytest
import torch

from maskrcnn_benchmark.utils.ranges import Choice, Flag, Integer, Number, Text
from maskrcnn_benchmark.utils.schema import TEXT, Fixed, ListOf, Maybe, Record, Tensor, Unfit, all_finite, check

COUNT = Integer(0, 2**63 - 1)

TREE = Record({"step": Integer(0, 9), "pair": Fixed((Number(), Flag()))}, {"names": ListOf(Text(5), 0, 2)})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Integer(1, 3), 3),
        (Number(), 5),
        (Number(0, 1, above=True), 0.5),
        (TEXT, "Zürich — 東京 👩‍🚀"),
        (Text(multiline=True), "a: 1\n\tb"),
        (Choice(3, "x"), "x"),
        (Maybe(Flag()), None),
        (Tensor(torch.int64, (2,), 0, 5), torch.tensor([0, 5])),
        (Tensor(), torch.zeros(0)),
        (TREE, {"step": 3, "pair": (1.0, True), "more": object()}),
    ],
)
def test_what_fits_is_taken(kind, value):
    check(kind, value)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Integer(1, 3), 4, "it is 4, but must be an integer from 1 to 3"),
        (COUNT, True, "it is True, but"),
        (COUNT, 2.0, "it is 2.0, but"),
        pytest.param(COUNT, 10**5000, "it is an integer of 16610 bits", id="5001 digits"),
        (Number(), math.nan, "it is nan, but must be a finite number"),
        (Number(), 10**400, "finite number"),
        (Number(0, above=True), 0, "above 0"),
        (Text(3), "abcd", "at most 3 characters"),
        (TEXT, "a\nb", r"it is 'a\\nb', but must be text"),
        (TEXT, "a\u202eb", "without control characters"),
        (TEXT, "\udc80", "text"),
        (Choice(1, "x"), True, "one of 1, x"),
        (ListOf(COUNT, 1, 2), [], "a list of 0, but must be a list of 1 to 2"),
        (ListOf(Integer(0, 5), 1, 2), [1, 7], r"\[1\] is 7, but"),
        (Tensor(torch.int64), torch.zeros(2), "a tensor of float32 and shape \\[2\\], but must be a tensor of int64"),
        (Tensor(shape=(2, 2)), torch.zeros(2), "shape \\[2, 2\\]"),
        (Tensor(), torch.tensor([1.0, math.inf]), "not finite"),
        (
            Tensor(torch.uint8, None, 0, 3),
            torch.tensor([4], dtype=torch.uint8),
            "from 4 to 4, but they must lie from 0 to 3",
        ),
        (TREE, {"step": 3}, "it has no 'pair'"),
        (TREE, {"step": 3, "pair": (1.0, 1)}, r"pair\[1\] is 1, but must be True or False"),
        (TREE, {"step": 3, "pair": (1.0, True), "names": ["abc", 5]}, r"names\[1\] is 5"),
        (Record(closed=True), {"a": 1}, "it has 'a', which nothing here has"),
        (Record(), [1] * 10**6, "a list of 1000000, but must be a dictionary"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(kind, value, message):
    with pytest.raises(Unfit, match=message) as caught:
        check(kind, value)
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable()


def test_a_value_that_holds_itself_is_no_endless_work():
    value = {"step": 1, "pair": (1.0, True)}
    value["names"] = [value, value]
    with pytest.raises(Unfit, match=r"names\[0\] is a dict of 3"):
        TREE.check(value)


def test_sums_beyond_the_range_of_floats_are_finite_numbers():
    assert all_finite(torch.full((10,), 3e38)) and not all_finite(torch.tensor([math.inf, -math.inf]))
