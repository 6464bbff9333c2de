"""The command line of comparisons."""

import json
import sys
from pathlib import Path

import pytest

from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.imports import import_file

ROOT = Path(__file__).parents[2]
compare_runs = import_file("compare_runs", ROOT / "tools" / "compare_runs.py")


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """call(word, ...) -> (exit code, screen, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tool", *words])
        with pytest.raises(SystemExit) as caught:
            run_tool(compare_runs.main)
        return caught.value.code, *capsys.readouterr()

    return run


def make_run(name, score):
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text("DATASETS: {TEST: [mini_detail_val]}")
    result = {"headline": "mIoU", "metrics": {"mIoU": score}, "trivial": {}, "protocol": "", "per_class": {}}
    (folder / "results.json").write_text(json.dumps({"semantic": result}))


def test_two_runs(call):
    make_run("a", 0.4)
    make_run("b", 0.5)
    code, screen, errors = call("a", "b", "--json", "figures.json")
    assert (code, errors) == (0, "")
    assert "40.0" in screen and "50.0 (+25.0)" in screen
    assert screen.endswith("written: comparison.html\nwritten: figures.json\n")
    assert Path("comparison.html").is_file()
    assert json.loads(Path("figures.json").read_text())["runs"][1]["delta_m"] == pytest.approx(0.25)


def test_the_page_can_be_elsewhere_or_nowhere(call):
    make_run("a", 0.4)
    assert call("a", "--output", "new/page.html")[0] == 0 and Path("new/page.html").is_file()
    assert call("a", "--output", "")[0] == 0 and not Path("comparison.html").exists()


def test_the_width_of_the_terminal_is_kept(call, monkeypatch):
    for number in range(9):
        make_run(f"runs/{number}", 0.5)
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, call("runs", "--output", "")[1].splitlines())) <= 60


def test_what_is_no_run_is_one_line_and_the_others_are_compared(call):
    make_run("a", 0.4)
    make_run("b", 0.5)
    Path("b/results.json").write_text("{")
    code, screen, errors = call("a", "gone", "b", "--output", "")
    assert code == 1 and "40.0" in screen
    assert errors.splitlines() == [
        "error: gone: there is no such folder",
        "error: b/results.json is damaged: it is not valid JSON (Expecting property name enclosed in double quotes at "
        "character 1); remove it and run again to evaluate anew",
    ]


def test_no_run_at_all(call):
    code, _, errors = call("gone")
    assert code == 2 and errors == "error: gone: there is no such folder\n"
