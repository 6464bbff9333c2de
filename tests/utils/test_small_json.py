"""Small JSON files of strangers: plain values come back, or one line that names the file."""

import copy
import json

import pytest

from maskrcnn_benchmark.engine.results import read_interactions, read_results, write_results
from maskrcnn_benchmark.experiments.run_record import read_record
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import read_small_json

RESULTS = {
    "semantic": {
        "headline": "mIoU",
        "metrics": {"mIoU": 0.5, "acc": None},
        "trivial": {"mIoU": 0.1},
        "protocol": "p",
        "reason": "",
        "per_class": {"IoU": {"dog": 0.25, "cat": None}},
    },
    "interactions": {"tasks": ["semantic"], "looks": [3], "norm": [1.0], "cosine": [[1]], "conflict": [[0]]},
}
START = {"started": "2026-11-30T01:02:03", "git": {"commit": "4adc", "diff_stat": ["a | 1"]}, "process": {"id": 7}}
RECORD = {"state": "finished", "error": None, "iteration": 6, "training_seconds": 2.0, "starts": [START]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not valid JSON"),
        (b"[1, 2", "it is not valid JSON"),
        (b"\xff{}", r"it is not UTF-8 \(byte 0xFF at offset 0\)"),
        (b"[" * 100_000, "it nests more than 32 levels"),
        (b"[" * 40 + b"]" * 40, "it nests more than 32 levels"),
        (b"9" * 5000, "it holds a whole number of 5000 digits"),
        (b"[18446744073709551616]", "it holds a whole number of 20 digits"),
        (b"[1e999]", "it holds the number 1e999, which is beyond all others"),
        (b"[NaN]", "it holds NaN, which is no number of JSON"),
        (b"[-Infinity]", "it holds -Infinity"),
        (b'{"a": 1, "a": 2}', "an object has a key twice"),
    ],
)
def test_what_no_small_file_holds_is_one_line(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"a\\.json is damaged: {words}.*; do this$"):
        read_small_json(path, "do this")


def test_what_is_missing_or_too_large_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*absent\.json: No such file"):
        read_small_json(tmp_path / "absent.json")
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match=r"a\.json is damaged: it has 1099511627776 bytes"):
        read_small_json(tmp_path / "a.json")


def test_plain_values_come_back_and_nothing_steers_a_terminal(tmp_path):
    value = {"a": [1, -2.5, None, True, "x\ty"], "größe": {}}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    assert read_small_json(path) == value
    path.write_text(json.dumps({"\x1b[2J": "a\x00\x9b\u202e\ud800"}))
    assert read_small_json(path) == {"\\x1b[2J": "a\\x00\\x9b\\u202e\\ud800"}
    path.write_text(json.dumps("two\nlines"))
    assert read_small_json(path) == "two\nlines"


@pytest.mark.parametrize(("name", "sound"), [("results.json", RESULTS), ("run.json", RECORD)])
def test_damaged_results_and_records_are_sound_or_one_line(tmp_path, fuzzing, name, sound):
    path, refused = tmp_path / name, 0
    for rng in fuzzing.seeds(name, 300):
        damaged = copy.deepcopy(sound)
        fuzzing.damage_tree(rng, damaged)
        path.write_text(json.dumps(damaged))
        try:
            if name == "run.json":
                record = read_record(path)
                assert record["state"] == "finished" and all(isinstance(start, dict) for start in record["starts"])
                continue
            for result in read_results(path).values():
                assert type(result["metrics"][result["headline"]]) in (int, float)
            read_interactions(path)
        except UserError as error:
            refused += 1
            assert name in str(error)
    assert refused > 100


def test_results_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(RESULTS))
    results, interactions = read_results(path), read_interactions(path)
    write_results(results, tmp_path / "again.json", interactions)
    assert json.loads((tmp_path / "again.json").read_text()) == RESULTS
