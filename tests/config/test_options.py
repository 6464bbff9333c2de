"""Ranges take what they say, and say in words what they take; an option's record joins them to a key and a default."""

import math

import pytest

from maskrcnn_benchmark.config.options import Option, section, show_default
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Choice, Either, Flag, Integer, Number, Row, Sequence, Text, shown

NAN, INFINITY = math.nan, math.inf


@pytest.mark.parametrize(
    ("range_", "inside", "outside"),
    [
        (Number(0, 1), [0, 1, 0.5, 1.0], [-0.1, 1.1, NAN, INFINITY, -INFINITY, True, "0.5", None, 1j, [0.5]]),
        (Number(0, 1, above=True, below=True), [0.5, 1e-300], [0, 1, 0.0, 1.0, NAN]),
        (Number(), [-1e300, 0, 10**300], [NAN, INFINITY, -INFINITY, 10**400]),
        (Number(0), [0, 1e300], [-1e-300, INFINITY]),
        (Integer(-1, 4), [-1, 0, 4], [-2, 5, 2.0, True, "2", NAN, 10**400]),
        (Flag(), [True, False], [0, 1, "True", None]),
        (Choice("a", "b", ""), ["a", ""], ["c", "A", 1, None]),
        (Choice(1, 2), [1, 2], [True, 1.0, "1", 3]),
        (Text(4), ["abcd", "é ü"], ["", "abcde", "a\nb", "a\0", "\x1b[m", "\ud800", 1, None, ["a"]]),
        (Text(empty=True), ["", "a"], ["a" * 257]),
        (Text(pattern=r"cpu|cuda(:\d+)?", what="cpu or cuda"), ["cpu", "cuda:3"], ["cpus", "", "cuda:", "cuda:1\n"]),
        (Sequence(Integer(1, 9), 1, 3), [(1,), [1, 9, 3]], [(), (1, 2, 3, 4), (0,), (1, 2.0), 5, "12", {1: 2}, None]),
        (Either(Integer(1, 2), Sequence(Flag(), 1)), [1, (True,)], [3, (1,), ()]),
        (Row(("name", Text()), ("number", Number())), [("a", 1), ["a", 0.5]], [("a",), ("a", 1, 2), (1, "a"), "a1"]),
    ],
)
def test_a_range_tells_values_inside_from_values_outside(range_, inside, outside):
    assert [value for value in inside if range_.problem(value) is not None] == []
    for value in outside:
        assert not range_.holds(value)
        assert range_.problem(value).startswith("must be ")


@pytest.mark.parametrize(
    ("range_", "words", "short"),
    [
        (Number(0, 1), "a number from 0 to 1", "0 … 1"),
        (Number(0, above=True), "a number above 0", "> 0"),
        (Number(0.5), "a number of at least 0.5", "≥ 0.5"),
        (Number(0, 1000, above=True), "a number above 0 and at most 1,000", "> 0, ≤ 1,000"),
        (Number(0, 1, below=True), "a number of at least 0 and below 1", "≥ 0, < 1"),
        (Number(), "a finite number", "finite"),
        (Integer(-1, 2**14), "an integer from -1 to 16,384", "-1 … 16,384"),
        (Flag(), "True or False", "True, False"),
        (Choice("a", "b"), "one of a, b", "a, b"),
        (Choice("only"), "only", "only"),
        (Text(9), "text of at most 9 characters without control characters", "text"),
        (
            Text(9, empty=True, what="a path"),
            'a path of at most 9 characters without control characters or ""',
            'a path or ""',
        ),
        (Text(pattern="a|b", what="a or b"), "a or b", "a or b"),
        (Sequence(Flag(), 4, 4), "4 elements, each True or False", "True, False; 4 of them"),
        (Sequence(Integer(1, 9), 1, 3), "1 to 3 elements, each an integer from 1 to 9", "1 … 9; 1 to 3 of them"),
        (Row(("name", Text()), ("number", Number())), "[name, number]", "[name, number]"),
        (Either(Integer(1, 2), Flag()), "an integer from 1 to 2, or True or False", "(1 … 2) or (True, False)"),
    ],
)
def test_a_range_in_words(range_, words, short):
    assert (range_.words, range_.short) == (words, short)


def test_a_sequence_names_its_wrong_element():
    assert Sequence(Number(0, 1), 0, 3).problem((0.5, NAN)) == (
        "must be a tuple of 0 to 3 elements, each a number from 0 to 1; element 1 is nan"
    )


def test_a_record_says_in_one_line_what_is_wrong_where_and_what_to_do():
    option = Option("SOLVER.RATE", 0.1, Number(0, 1), "How fast")
    assert option.problem(0.2) is None
    with pytest.raises(UserError) as error:
        option.check(NAN, "a.yaml")
    assert str(error.value) == (
        "a.yaml: SOLVER.RATE is nan, but must be a number from 0 to 1; correct it, or leave it out for the default, 0.1"
    )


def test_a_section_takes_options_and_groups_of_options():
    one, two, three = (Option(key, 1, Integer(0, 9), "") for key in ("A", "B", "C"))
    made = section("Part", one, (each for each in (two, three)))
    assert [(option.key, option.section) for option in made] == [("A", "Part"), ("B", "Part"), ("C", "Part")]


@pytest.mark.parametrize("value", ["x" * 10_000, [16**5000], "line\nline", {1: [2] * 1000}])
def test_a_value_is_shown_in_one_short_line(value):
    assert len(shown(value)) <= 80
    assert "\n" not in shown(value)


def test_a_default_is_shown_as_it_is_typed():
    assert show_default((0.5, 1.0, 2.0)) == "(0.5, 1.0, 2.0)"
    assert show_default("float32") == '"float32"'
    assert show_default(False) == "False"
