"""JSON files in pieces: every value is as json reads it, whatever the layout, and every error names its place."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.json_stream import MAX_BYTES, JsonStream

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def opened(text, **options):
    return JsonStream("file.json", io.BytesIO(text if isinstance(text, bytes) else text.encode()), **options)


def sections_of(text):
    """An object of lists, element by element."""
    stream = opened(text)
    content = {
        key: [value for _, _, value in stream.elements(lambda number, key=key: f"entry {number} of {key!r}")]
        for key in stream.members("the file")
    }
    assert stream.character() == ""
    return content


@given(
    st.dictionaries(st.text(), st.lists(values, max_size=6), max_size=5),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
def test_an_object_of_lists_is_read_as_json_reads_it(content, ascii_only, indent):
    text = json.dumps(content, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert sections_of(text) == json.loads(text)


@given(st.lists(values, min_size=1, max_size=6))
def test_a_place_and_a_length_are_those_of_the_value_in_the_file(content):
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    found = list(opened(text).elements(str))
    assert [json.loads(text[start : start + length]) for start, length, _ in found] == content


@given(st.dictionaries(st.sampled_from("abc"), st.lists(values, min_size=1, max_size=3), min_size=1), st.data())
def test_a_file_that_is_cut_off_anywhere_is_an_error_of_one_line(content, data):
    text = json.dumps(content).encode()
    end = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(UserError, match="cut off or damaged") as caught:
        sections_of(text[:end])
    assert "\n" not in str(caught.value) and "file.json" in str(caught.value)


def test_values_longer_than_what_is_read_at_once():
    rows = ['é\\"]},' * (number * 97 % 4000) for number in range(700)]
    rows[300] = "x" * (3 << 20)
    assert sections_of(json.dumps({"rows": rows}, ensure_ascii=False)) == {"rows": rows}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [1, 2], "b": [1 2]}', r"is not valid JSON in the list before entry 1 of 'b': byte 22 should be ','"),
        ('{"a": [1, {"x": }]}', r"entry 1 of 'a' is not valid JSON \(Expecting value, at byte 16\)"),
        ('{"a": [1, 2]', "in the file: byte 12 should be ',', but there is its end"),
        ('{"a" [1]}', "in the file: byte 5 should be ':'"),
        ("{a: [1]}", """in the file: byte 1 should be '"', but there is 'a'"""),
        ('{"a": 7}', r"byte 6 should be '\[', but there is '7'"),
        ("[1]", "byte 0 should be '{'"),
    ],
)
def test_an_error_names_the_byte_and_the_section(text, message):
    with pytest.raises(UserError, match=message):
        sections_of(text)


def test_a_place_beyond_the_first_window_counts_from_the_start_of_the_file():
    text = json.dumps({"rows": ["x" * 1000] * 5000})
    with pytest.raises(UserError, match=f"byte {len(text) - 1}"):
        sections_of(text[:-1])


@given(values, values)
def test_what_is_skipped_leaves_the_next_value(skipped, kept):
    stream = opened(json.dumps([skipped, kept]))
    stream.take("[")
    stream.skip("the first")
    stream.take(",")
    assert stream.value("the second")[2] == kept


def test_a_list_longer_than_a_value_may_be_is_skipped():
    stream = opened(b"[" + b",".join([b'"' + b"x" * (1 << 20) + b'"'] * 20) + b"] 5")
    stream.skip("a long list")
    assert stream.value("what follows")[2] == 5


def test_a_value_that_never_ends_is_not_read_to_its_end():
    read = []
    stream = opened(b'["' + b"x" * (3 * MAX_BYTES), on_read=lambda piece: read.append(len(piece)))
    with pytest.raises(UserError, match="entry 0 is not valid JSON, or takes more than 16 MiB, at byte 1"):
        list(stream.elements(lambda number: f"entry {number}"))
    assert sum(read) < 3 * MAX_BYTES


def test_the_reader_of_pieces_sees_the_whole_file_once():
    text = json.dumps({"rows": ["é" * 1000] * 3000}, ensure_ascii=False).encode()
    pieces = []
    stream = opened(text, on_read=pieces.append)
    stream.skip("everything")
    assert stream.character() == "" and b"".join(pieces) == text
