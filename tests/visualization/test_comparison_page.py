"""The page of a comparison is one file that holds its tables, curves and records; texts of runs are no HTML in it."""

import re

from maskrcnn_benchmark.visualization.comparison_page import Cell, RunEntry, Table, write_comparison_page
from maskrcnn_benchmark.visualization.learning_curves import Series, draw_learning_curves

RUNS = [
    RunEntry(
        "A", "<lr>", [("folder", "out/<lr>"), ("state", "finished")], [("command", "train <x>"), ("git", "a\nb & c")]
    ),
    RunEntry("B", "other", [("folder", "out/other")]),
]
RESULTS = Table(
    "Results", [("semantic & co", [Cell("50.0"), Cell("60.0", 0.2, True)]), ("part", [Cell("-"), Cell("1.0", -0.1)])]
)


def page(tmp_path, tables=(RESULTS,), curves=(), runs=RUNS, notes=()):
    return write_comparison_page(
        tmp_path / "new" / "c.html", "2 runs", runs, notes, tables, curves, "smoothed"
    ).read_text()


def test_it_is_one_file_with_everything_in_it(tmp_path):
    curve = draw_learning_curves("total loss", "loss", [Series(0, [1, 2], [2.0, 1.0])], ["A", "B"], ["a", "b"])
    folded = Table("semantic", [("mIoU", ["50.0", "60.0"])], folded=True)
    text = page(
        tmp_path, (RESULTS, folded), [("total loss", curve)], notes=[("problem", "gone: no <folder>"), ("note", "n")]
    )
    assert not re.search(r'(src|href)="(?!data:|#)', text) and text.count("data:image/png") == 1
    assert [entry.name for entry in (tmp_path / "new").iterdir()] == ["c.html"]
    for words in (
        "out/&lt;lr&gt;",
        "semantic &amp; co",
        "train &lt;x&gt;",
        "<pre>a\nb &amp; c</pre>",
        "no &lt;folder&gt;",
    ):
        assert words in text
    assert "<lr>" not in text and "<x>" not in text
    assert text.index("total loss") < text.index("<summary>semantic</summary>")
    assert text.count('<dl class="record">') == 1  # B has none


def test_gains_have_a_sign_and_the_best_is_bold(tmp_path):
    text = page(tmp_path)
    assert '<b>60.0</b> <span class="up">+20.0</span>' in text
    assert '1.0 <span class="down">-10.0</span>' in text
    assert "<td>50.0</td>" in text and "<td>-</td>" in text


def test_columns_of_groups_and_tables_without_rows(tmp_path):
    tables = (Table("Over seeds", [("mIoU", ["1 ± 2"])], "how", ["A, B"]), Table("Options", [], "None differ."))
    text = page(tmp_path, tables)
    assert "<th>A, B</th>" in text and "1 ± 2" in text and "None differ." in text
    assert "No run has logged any." in text


def test_each_run_is_marked_as_in_the_diagrams(tmp_path):
    text = page(tmp_path, runs=[RunEntry(str(number), f"r{number}") for number in range(10)], tables=())
    assert (
        ".run0 { border-bottom: 4px solid #0072b2; }" in text and ".run8 { border-bottom: 4px dashed #0072b2; }" in text
    )
