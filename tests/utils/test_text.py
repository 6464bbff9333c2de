"""Text of strangers is shown without what would steer a terminal."""

import pytest

from maskrcnn_benchmark.utils.text import an, counted, is_text, printable, printable_lines


def test_text_is_shown_on_one_line():
    assert printable("a\nb\x00\u202e\u2028") == "a\\nb\\x00\\u202e\\u2028" and printable("x" * 300, 5) == "xxxxx..."


def test_lines_and_tabulators_of_a_table_stay():
    assert printable_lines("two\n\tlines\r\x1b[2J\ud800") == "two\n\tlines\\r\\x1b[2J\\ud800"
    assert len(printable_lines("x" * 1000)) == 1000


@pytest.mark.parametrize("text", ["", "Zürich — 東京 👩‍🚀", "C:\\new"])
def test_text_of_any_script_is_shown_as_it_is(text):
    assert is_text(text) and printable(text) == printable_lines(text) == text


@pytest.mark.parametrize("control", ["\x1b", "\x7f", "\x9b", "\u2066", "\u202e", "\u2029", "\udfff"])
def test_controls_are_no_text(control):
    assert not is_text(f"a{control}") and not is_text(f"a{control}", multiline=True)


def test_the_end_of_a_line_is_text_of_several_lines_only():
    assert is_text("a\n\tb", multiline=True) and not is_text("a\nb") and not is_text("a\r\n", multiline=True)


def test_one_is_no_plural():
    assert [counted(n, "object") for n in (0, 1, 2)] == ["0 objects", "1 object", "2 objects"]
    assert (counted(1, "process", "processes"), counted(3, "process", "processes")) == ("1 process", "3 processes")
    assert [an(noun) for noun in ("int", "str", "ImageList")] == ["an int", "a str", "an ImageList"]
