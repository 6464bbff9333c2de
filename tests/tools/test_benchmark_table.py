"""The command line of the benchmark's table."""

import json
from pathlib import Path

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.imports import import_file

benchmark_table = import_file("benchmark_table", Path(__file__).parents[2] / "tools" / "benchmark_table.py")


@pytest.fixture
def run(tmp_path):
    protocol = "protocol seism: 101 thresholds, tolerance 0.0075 of the diagonal"
    result = {"headline": "ODS-F", "metrics": {"ODS-F": 0.7345}, "trivial": {}, "protocol": protocol, "per_class": {}}
    (tmp_path / "results.json").write_text(json.dumps({"boundary": result}))
    return str(tmp_path)


def test_markdown_is_shown_and_latex_written(run, capsys, tmp_path):
    words = [f"ours={run}", "--dataset", "pascal_context_mtl_val", "--protocol", "atrc"]
    benchmark_table.main(words)
    shown = capsys.readouterr().out
    assert "| ours | - | - | - | - | - | 73.45 | this run |" in shown and "| ATRC | HRNet48 |" in shown
    path = tmp_path / "table.tex"
    benchmark_table.main([*words, "--format", "latex", "--output", str(path)])
    assert capsys.readouterr().out == f"written: {path}\n"
    assert "ours & - & - & - & - & - & 73.45 & this run \\\\" in path.read_text()


def test_a_folder_without_results_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no such file; name a run's OUTPUT_DIR"):
        benchmark_table.main([str(tmp_path)])
