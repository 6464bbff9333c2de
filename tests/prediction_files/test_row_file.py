"""Lists of answers in JSON: found image by image whatever the layout of the text, and refused where they are none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.prediction_files.row_file import MAX_BYTES, RowFile
from maskrcnn_benchmark.utils.errors import UserError


def by_image(row):
    if "image" not in row:
        raise ValueError("has no image")
    return row["image"]


def opened(tmp_path, text):
    path = tmp_path / "rows.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return RowFile(path, by_image)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
entries = st.lists(st.tuples(st.integers(0, 4), values), max_size=12)


@given(entries, st.booleans(), st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_any_list_is_read_as_json_reads_it(tmp_path_factory, rows, wrapped, ascii_only, indent):
    rows = [{"image": image, "value": value} for image, value in rows]
    content = {"info": {"pred": 1}, "pred": rows, "rest": []} if wrapped else rows
    text = json.dumps(content, ensure_ascii=ascii_only, indent=indent)
    file = opened(tmp_path_factory.mktemp("rows"), text.encode("utf-8", "surrogatepass"))
    assert len(file) == len(rows) and file.images() == {row["image"] for row in rows}
    for image in range(5):
        expected = [(number, row) for number, row in enumerate(rows) if row["image"] == image]
        assert file.rows(image) == expected


def test_a_list_longer_than_what_is_read_at_once(tmp_path):
    # entries of very different lengths, one of several MiB, so that pieces end anywhere
    rows = [{"image": number % 7, "text": 'é\\"]},' * (number * 97 % 4000)} for number in range(700)]
    rows[300]["text"] = "x" * (3 << 20)
    file = opened(tmp_path, json.dumps(rows, ensure_ascii=False))
    for image in range(7):
        assert file.rows(image) == [(number, row) for number, row in enumerate(rows) if row["image"] == image]


def test_a_byte_order_mark_is_passed_over(tmp_path):
    assert opened(tmp_path, "\ufeff" + ' \n[{"image": 3}]\n').rows(3) == [(0, {"image": 3})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rows.json is empty"),
        ("7", "begins with '7'"),
        ("<html>", "is HTML or XML, not JSON"),
        ('{"annotations": [], "images": []}', r"it holds \['annotations', 'images'\]"),
        ('{"pred": {"image": 1}}', r"byte 9 should be '\[', but there is '{'"),
        ('[{"image": 1}', "byte 13 should be ',', but there is its end"),
        ('[{"image": 1} {"image": 2}]', "byte 14 should be ','"),
        ('[{"image": 1}, {"ima', "entry 1 is not valid JSON"),
        ('[{"image": 1},]', "entry 1 is not valid JSON"),
        ('[{"image": 1}] [', "goes on after its list of 1 predictions"),
        ('[{"image": 1}, [2]]', r"entry 1 is \[2\]; each must be an object"),
        ('[{"image": 1}, {"other": 2}]', "entry 1 has no image"),
        ('[{"image": ' + "9" * 5000 + "}]", "entry 0 is not valid JSON"),
        ("[" * 200_000, "entry 0 nests too deeply"),
        (b'[{"image": 1, "name": "\xff"}]', "is not UTF-8 .byte 23 is 0xff."),
    ],
)
def test_what_is_no_list_of_answers_is_one_line_that_says_where(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        opened(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_an_entry_that_never_ends_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "rows.json"
    with open(path, "wb") as file:
        file.write(b'[{"image": 1, "name": "')
        file.truncate(40 * MAX_BYTES)  # a hole on disk: zeros, of which JSON allows none
    with pytest.raises(UserError, match="entry 0 is not valid JSON, or takes more than 16 MiB"):
        RowFile(path, by_image)


def test_an_image_with_more_answers_than_memory_is_refused(tmp_path):
    row = json.dumps({"image": 1, "text": "x" * (1 << 20)})
    file = opened(tmp_path, f"[{','.join([row] * 17)}]")
    with pytest.raises(UserError, match="17 predictions on one image take more than 16 MiB"):
        file.rows(1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no such file: .*absent.json"):
        RowFile(tmp_path / "absent.json", by_image)
