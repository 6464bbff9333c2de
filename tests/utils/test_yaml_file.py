"""Yaml is read within bounds, and whatever is wrong with it is one line that names the file and the line in it."""

import math
import os
import random
import threading
import tracemalloc
from pathlib import Path

import pytest
import yaml

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.yaml_file import MAX_BYTES, MAX_DEPTH, MAX_NODES, parse_yaml, read_yaml

ROOT = Path(__file__).resolve().parents[2]


def laughs(levels, names=9):
    """A list of lists of ... of which each level is `names` aliases of the one before."""
    lines = ["l0: &l0 [lol, lol]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * names)}]" for i in range(1, levels)]
    return "\n".join(lines)


def merges(levels):
    """The same with merge keys."""
    lines = ["l0: &l0 {a: 1, b: 2}"]
    lines += [f"l{i}: &l{i} {{<<: [{', '.join([f'*l{i - 1}'] * 9)}]}}" for i in range(1, levels)]
    return "\n".join(lines)


def test_plain_values_come_out_as_they_are():
    text = "A: {B: [1, 0x10, 1.5, .inf, true, no, ~, text, '1']}\n2: \"é\"\nC: (1, 2)\nD: {}\n"
    assert parse_yaml(text, "a") == {
        "A": {"B": [1, 16, 1.5, math.inf, True, False, None, "text", "1"]},
        2: "é",
        "C": "(1, 2)",
        "D": {},
    }
    assert parse_yaml("", "a") is None


def test_a_date_is_text():
    assert parse_yaml("[2021-01-01, 2021-99-99, 2001-12-14t21:59:43.10-05:00]", "a") == [
        *("2021-01-01", "2021-99-99", "2001-12-14t21:59:43.10-05:00")
    ]


def test_aliases_and_merge_keys_are_followed():
    assert parse_yaml("A: &a {x: 1}\nB: *a\nC: {<<: *a, y: 2}", "a") == {
        "A": {"x": 1},
        "B": {"x": 1},
        "C": {"x": 1, "y": 2},
    }


def test_what_a_config_dumps_is_read_back():
    assert parse_yaml(cfg.dump(), "a") == yaml.safe_load(cfg.dump())


def test_every_config_of_the_repository_is_read_as_before():
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    assert files
    for file in files:
        assert read_yaml(file) == yaml.safe_load(file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A: 1\nB: {", "line 2: while parsing a flow node: expected the node content"),
        ("A: 1\nB: 2\nA: 3", "line 3: the key A is there twice"),
        ("A:\n  B: 1\n  C: 2\n  B: 3", "line 4: the key B is there twice"),
        ("[1, 2]: 3", "line 1: a list or a dictionary cannot be a key"),
        ("{a: 1}: 3", "line 1: a list or a dictionary cannot be a key"),
        ("A: 1\nB: !!int abc", "line 2: found the tag tag:yaml.org,2002:int; write the value without one"),
        ("!!python/object/apply:os.system ['true']", "line 1: found the tag .*os.system"),
        ("A: !!binary aGVsbG8", "found the tag"),
        ("A: !!timestamp x", "found the tag"),
        ("A: !!set {a, b}", "found the tag"),
        ("A: ! x", "found the tag !;"),
        (f"A: 1\nB: {'7' * 5000}", "line 2: found a number of 5000 characters"),
        (f"A: 0x{'f' * 5000}", "found a number of 5002 characters"),
        (f"A: 1{'0' * 400}.0", "found a number of 403 characters"),
        ("A: 0b_", "0b_ is not a number"),
        ('A: "\\U99999999"', "a number or a character code out of range"),
        (f"%YAML {'1' * 5000}.1\n---\nA: 1", "a number or a character code out of range"),
        ("A: *a", "line 1: found undefined alias"),
        ("A: &a 1\nB: &a 2", "line 2: .*duplicate"),
        ("A: &a [1, *a]", r"line 1: the alias \*a stands within what it is a name of"),
        ("A: &a {B: {C: *a}}", r"the alias \*a stands within"),
        ("&a [*a]", r"the alias \*a stands within"),
        ("[" * 1000, f"nested more than {MAX_DEPTH} deep"),
        ("- " * 1000 + "1", f"nested more than {MAX_DEPTH} deep"),
        ("? " * 1000 + "1", f"nested more than {MAX_DEPTH} deep"),
        (
            "A: &a " + "[" * 20 + "]" * 20 + "\nB: " + "[" * 20 + "*a" + "]" * 20,
            f"line 2: .*more than {MAX_DEPTH} deep",
        ),
        ("[" + "1," * MAX_NODES + "]", f"more than {MAX_NODES} values"),
        ("A: 1\x00", r"line 1: the character U\+0000 cannot be in it"),
        ("A: 1\nB: \x1b[31m", r"line 2: the character U\+001B"),
        ("A: 1\n---\nB: 2", "line 2: expected a single document in the stream: but found another"),
        ("A: =", "line 1: could not determine a constructor"),
        ("<<: 1", "expected a mapping"),
        ("A: 1\n\tB: 2", "line 2: .*found character"),
        ("a" * (MAX_BYTES + 1), "more than 256 KiB"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_place_and_the_remedy(text, message):
    with pytest.raises(UserError, match=message) as error:
        parse_yaml(text, "a.yaml", remedy="mend it")
    said = str(error.value)
    assert said.startswith("a.yaml is not valid yaml")
    assert said.endswith("; mend it")
    assert "\n" not in said
    assert len(said) < 400


@pytest.mark.parametrize("bomb", [laughs(10), laughs(40, 2), laughs(5000, 1), merges(10), merges(40)])
def test_aliases_that_expand_without_end_cost_little(bomb):
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"more than 10000 values|nested more than 32 deep"):
            parse_yaml(bomb, "a.yaml")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"A: 1\nB: \xff\n", r"line 2 is not UTF-8 \(byte 0xFF at offset 8\); save it as UTF-8"),
        ("A: 1\n".encode("utf-16")[:-1], r"line 1 is not UTF-16-LE"),
        (b"A: 1\n" * MAX_BYTES, "more than 256 KiB"),
    ],
)
def test_bytes_that_are_no_text_name_the_file_and_the_line(tmp_path, data, message):
    file = tmp_path / "a.yaml"
    file.write_bytes(data)
    with pytest.raises(UserError, match=rf"a\.yaml is not valid yaml.*{message}"):
        read_yaml(file)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("A: é", encoding="utf-16")
    assert read_yaml(file) == {"A": "é"}
    file.write_text("A: é", encoding="utf-8-sig")
    assert read_yaml(file) == {"A": "é"}


def test_a_device_is_not_read():
    with pytest.raises(UserError, match=r"cannot read /dev/zero: it is not a regular file"):
        read_yaml("/dev/zero")


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    said = []

    def read():
        with pytest.raises(UserError) as error:
            read_yaml(pipe)
        said.append(str(error.value))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(10)
    assert said and "not a regular file" in said[0]


@pytest.mark.parametrize("name", ["gone.yaml", ".", "n" * 300])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(UserError, match="cannot read "):
        read_yaml(tmp_path / name)


def test_damaged_configs_end_in_one_line_or_in_values():
    files = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "configs" / "detail").glob("*.yaml"))[:5]]
    files.append('A: &a [1.5, "x\\x41", 0x1f, !!str y]\nB: {<<: {c: *a}, d: 2021-01-02}\n? |\n  text\n: >-\n  more\n')
    draw = random.Random(7)
    letters = "\0\x01\x85\ufeff\ud800:-?,[]{}#&*!|>'\"%@`\\ \n\tae019_.~<="
    for _ in range(600):
        text = list(draw.choice(files))
        for _ in range(draw.randint(1, 12)):
            place = draw.randrange(len(text))
            text[place : place + draw.choice((0, 1, 1, 3))] = draw.choices(letters, k=draw.choice((0, 1, 1, 4)))
        try:
            parse_yaml("".join(text), "a.yaml")
        except UserError as error:
            assert "\n" not in str(error)
