"""Runs side by side: options that differ, gains by hand, chance over seeds, and what is not compared."""

import json
import math
import re

import pytest
from fake_runs import make_run, result_of
from torch.utils.tensorboard import SummaryWriter

from maskrcnn_benchmark.experiments.comparison import compare_folders, option_text
from maskrcnn_benchmark.experiments.comparison_files import smoothing_width, write_comparison
from maskrcnn_benchmark.experiments.comparison_report import explanations, format_text, to_dict
from maskrcnn_benchmark.utils.errors import UserError


def compare(*folders):
    return compare_folders([str(folder) for folder in folders])


def test_gains_and_delta_m_by_hand(tmp_path):
    a = make_run(tmp_path / "a", {"detection": 0.4, "semantic": 0.5})
    b = make_run(tmp_path / "b", {"detection": 0.5, "semantic": 0.4})
    comparison = compare(a, b)
    assert comparison.gains == [{}, pytest.approx({"detection": 0.25, "semantic": -0.2})]
    assert math.isnan(comparison.delta_m[0]) and comparison.delta_m[1] == pytest.approx(0.025)
    assert (comparison.labels, comparison.names, comparison.tasks) == (
        ["A", "B"],
        ["a", "b"],
        ["detection", "semantic"],
    )
    text = format_text(comparison)
    rows = [line.split() for line in text.splitlines()]
    assert ["detection", "AP", "40.0", "50.0", "(+25.0)"] in rows and ["Delta_m", "to", "A", "-", "+2.5"] in rows


def test_tasks_that_one_of_them_lacks_are_left_out_and_named(tmp_path):
    a = make_run(tmp_path / "a", {"detection": 0.4, "semantic": 0.5, "boundary": 0.0})
    b = make_run(tmp_path / "b", {"detection": 0.5, "boundary": 0.7, "classification": 0.9})
    comparison = compare(a, b)
    assert comparison.delta_m[1] == pytest.approx(0.25) and set(comparison.gains[1]) == {"detection"}
    assert comparison.left_out[1] == {
        "semantic": "not measured in both",
        "classification": "not measured in both",
        "boundary": "the first scores 0, and a gain over that has no meaning",
    }
    (note,) = comparison.notes
    assert note.startswith("Delta_m of B is over 1 tasks, without semantic, classification (not measured in both)")


def test_a_figure_that_is_missing_in_a_result_is_not_measured(tmp_path):
    a = make_run(tmp_path / "a", {"detection": None, "semantic": 0.5})
    b = make_run(tmp_path / "b", {"detection": 0.5, "semantic": 0.5})
    comparison = compare(a, b)
    assert comparison.left_out[1] == {"detection": "not measured in both"} and comparison.delta_m[1] == 0


def test_only_options_that_differ_are_shown_and_older_configs_have_the_default(tmp_path):
    a = make_run(tmp_path / "a", options={"SOLVER.BASE_LR": 0.01, "SOLVER.STEPS": [10, 20], "PATHS_CATALOG": "x"})
    b = make_run(tmp_path / "b", options={"SOLVER.BASE_LR": 0.01, "SOLVER.STEPS": [30000], "SOLVER.MAX_ITER": 40000})
    c = make_run(tmp_path / "c", options={"SOLVER.BASE_LR": 0.02, "OF_OLD": 3})
    comparison = compare(a, b, c)
    # SOLVER.STEPS is (30000,) by default, SOLVER.MAX_ITER 40000
    assert comparison.options == {
        "SOLVER.BASE_LR": [0.01, 0.01, 0.02],
        "SOLVER.STEPS": [[10, 20], [30000], [30000]],
        "OF_OLD": [None, None, 3],
    }
    assert [line.split() for line in format_text(comparison).splitlines() if "STEPS" in line] == [
        ["SOLVER.STEPS", "(10,", "20)", "(30000,)", "(30000,)"]
    ]
    assert option_text("") == "''" and option_text(["a", 1]) == "('a', 1)"


def test_a_run_without_a_config_differs_from_nothing(tmp_path):
    folders = [
        make_run(tmp_path / name, options={"SOLVER.SEED": seed}) for name, seed in (("a", 1), ("b", 2), ("c", 1))
    ]
    (folders[1] / "config.yml").write_text("[")
    comparison = compare(*folders)
    assert comparison.options == {} and len(comparison.problems) == 1
    (folders[2] / "config.yml").write_text("SOLVER: {SEED: 5}")
    assert compare(*folders).options["SOLVER.SEED"] == [1, "?", 5]


def test_runs_tested_on_other_data_are_shown_but_not_held_against_the_first(tmp_path):
    a = make_run(tmp_path / "a", {"semantic": 0.5})
    b = make_run(tmp_path / "b", {"semantic": 0.6}, test_set="detail_val")
    comparison = compare(a, b)
    assert comparison.gains == [{}, {}] and math.isnan(comparison.delta_m[1])
    assert comparison.notes == ["B is not compared with A: it was tested on detail_val, A on mini_detail_val"]
    text = format_text(comparison)
    assert "tested on" in text and "60.0" in text and "(+" not in text
    c = make_run(tmp_path / "c", {"semantic": 0.6}, {"DATASETS.DATA_DIR": "/elsewhere"})
    assert any(note.startswith("DATASETS.DATA_DIR differs") for note in compare(a, c).notes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": "seism"}, "measured by other definitions"),
        ({"per_class": {"IoU": {"person": 0.5}}}, "measured on other classes"),
    ],
)
def test_a_task_that_was_measured_otherwise_is_not_compared(tmp_path, change, reason):
    base = {"per_class": {"IoU": {"person": 0.5, "sky": 0.5}}}
    others = result_of("boundary", 0.5)
    a = make_run(tmp_path / "a", results={"semantic": result_of("semantic", 0.5, **base), "boundary": others})
    b = make_run(
        tmp_path / "b", results={"semantic": result_of("semantic", 0.5, **{**base, **change}), "boundary": others}
    )
    comparison = compare(a, b)
    assert comparison.left_out[1] == {"semantic": reason} and set(comparison.gains[1]) == {"boundary"}


def test_runs_that_differ_in_their_seeds_alone_have_a_mean_and_a_spread(tmp_path):
    scores = {(0.01, 1): 0.4, (0.01, 2): 0.6, (0.02, 1): 0.6, (0.02, 2): 0.6}
    for (rate, seed), score in scores.items():
        make_run(tmp_path / f"{rate}-{seed}", {"semantic": score}, {"SOLVER.BASE_LR": rate, "SOLVER.SEED": seed})
    comparison = compare(tmp_path)
    first, second = comparison.groups
    assert (first.subset, second.subset) == ("A, B", "C, D")
    assert comparison.group_options == [{"SOLVER.BASE_LR": 0.01}, {"SOLVER.BASE_LR": 0.02}]
    assert first.score("semantic").mean == pytest.approx(0.5)
    # gains over the mean 0.5: -20 % and +20 %; +20 % twice
    assert first.delta_m(comparison.base).deviation == pytest.approx(0.2 * 2**0.5)
    assert second.delta_m(comparison.base).mean == pytest.approx(0.2)
    rows = [line.split() for line in format_text(comparison).splitlines()]
    assert ["semantic", "segmentation", "mIoU", "50.0", "±", "14.1", "60.0", "±", "0.0"] in rows
    assert ["Delta_m", "+0.0", "±", "28.3", "+20.0", "±", "0.0"] in rows
    assert "chance" in explanations(comparison)[-1]


def test_a_seed_that_is_repeated_counts_once(tmp_path):
    for name, seed in (("a", 1), ("b", 2), ("c", 1)):
        make_run(tmp_path / name, {"semantic": 0.5}, {"SOLVER.SEED": seed})
    comparison = compare(tmp_path)
    assert [group.subset for group in comparison.groups] == ["A, B"]
    assert "C repeats A, options and seed: it is not counted over seeds" in comparison.notes


def test_tasks_that_not_all_seeds_have_are_left_out_of_delta_m(tmp_path):
    make_run(tmp_path / "a", {"semantic": 0.5, "boundary": 0.5}, {"SOLVER.SEED": 1})
    make_run(tmp_path / "b", {"semantic": 0.5, "boundary": None}, {"SOLVER.SEED": 2})
    comparison = compare(tmp_path)
    assert comparison.base == {"semantic": 0.5}
    assert any(note.startswith("Delta_m over seeds is without boundary") for note in comparison.notes)


def test_a_task_that_the_table_does_not_know_is_shown_alone(tmp_path):
    a = make_run(tmp_path / "a", {"semantic": 0.5, "focus": 0.5})
    b = make_run(tmp_path / "b", {"semantic": 0.5, "focus": 0.6})
    comparison = compare(a, b)
    assert comparison.left_out[1] == {"focus": "not in the table of tasks"}
    assert ["focus", "score", "50.0", "60.0"] in [line.split() for line in format_text(comparison).splitlines()]


def test_runs_of_other_code_are_told_apart(tmp_path):
    for name, commit, dirty in (("a", "a" * 40, False), ("b", "b" * 40, True)):
        start = {"git": {"commit": commit, "dirty": dirty}, "training_seconds": 61}
        record = {"state": "finished", "error": None, "iteration": 5, "max_iteration": 5, "starts": [start]}
        make_run(tmp_path / name, {"semantic": 0.5}, {"SOLVER.MAX_ITER": 5}, record)
    text = format_text(compare(tmp_path))
    rows = [line.split() for line in text.splitlines()]
    assert ["commit", "a" * 10, "b" * 10 + "+"] in rows and "different commits" in text
    assert ["training", "time", "1", "min", "01", "s", "1", "min", "01", "s"] in rows and [
        "iteration",
        "5",
        "5",
    ] in rows


def test_a_run_that_went_on_with_other_options_says_so(tmp_path):
    changed = {"SOLVER.BASE_LR": [0.01, 0.02], "SOLVER.STEPS": [[3], [4, 5]], "MODEL.DEVICE": ["cpu", "cuda"]}
    starts = [{"from_iteration": 0, "changed_options": {}}, {"from_iteration": 7, "changed_options": changed}]
    a = make_run(tmp_path / "a", {"semantic": 0.5}, record={"state": "finished", "starts": starts})
    words = "SOLVER.BASE_LR 0.01 -> 0.02, SOLVER.STEPS (3,) -> (4, 5)"
    assert compare(a).notes == [f"A went on from iteration 7 with other options: {words}"]


def test_problems_are_lines_and_the_others_are_compared(tmp_path):
    a = make_run(tmp_path / "a", {"semantic": 0.5})
    b = make_run(tmp_path / "b", {"semantic": 0.6})
    (tmp_path / "empty").mkdir()
    comparison = compare(a, tmp_path / "empty", tmp_path / "gone", b, a)
    assert [run.folder for run in comparison.runs] == [a, b] and len(comparison.problems) == 2
    with pytest.raises(UserError, match="empty is no run"):
        compare(tmp_path / "empty")


def test_a_first_run_without_results_is_said(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", {"semantic": 0.6})
    comparison = compare(a, b)
    assert comparison.notes == ["A has no results, so there are no gains over it"]
    assert "60.0" in format_text(comparison)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("count", [1, 2, 8, 30])
def test_the_table_fits_the_terminal_and_loses_no_run(tmp_path, width, count):
    for number in range(count):
        options = {
            "SOLVER.SEED": number,
            "MODEL.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO": number,
            "SOLVER.STEPS": [1, 2] * 9,
        }
        make_run(
            tmp_path / f"{number:02d}",
            {"semantic": (40 + number) / 100},
            {**options, "DATASETS.PARTS": f"p{number}" * 20},
        )
    text = format_text(compare(tmp_path), width)
    table = text.split("\n\n", 1)[1]
    assert max(map(len, table.splitlines())) <= width
    assert all(f"{40 + number}.0" in text for number in range(count))
    if count <= 2 and width >= 120:
        assert text.count("semantic segmentation mIoU") == 1


def test_figures_for_programs(tmp_path):
    a = make_run(tmp_path / "a", {"semantic": 0.5}, {"SOLVER.SEED": 1})
    b = make_run(tmp_path / "b", {"semantic": 0.6}, {"SOLVER.SEED": 2})
    comparison = compare(a, b)
    page, figures = write_comparison(comparison, tmp_path / "out" / "c.html", tmp_path / "out" / "c.json")
    content = json.loads(figures.read_text())
    assert content["runs"][1]["gain"] == pytest.approx({"semantic": 0.2}) and content["runs"][0]["delta_m"] is None
    assert [run["options"] for run in content["runs"]] == [{"SOLVER.SEED": 1}, {"SOLVER.SEED": 2}]
    assert content["over_seeds"][0]["headline"]["semantic"]["mean"] == pytest.approx(0.55)
    assert content["over_seeds"][0]["runs"] == ["A", "B"]
    assert to_dict(comparison)["runs"][0]["label"] == "A"
    assert "2 runs side by side" in page.read_text() and smoothing_width(comparison.runs) == 1
    assert write_comparison(comparison, "", "") == []


def test_curves_of_all_runs_are_in_one_diagram_each(tmp_path):
    tags = {"total": 4.0, "lr": 0.1, "loss/loss_semantic": 1.0}
    for name, test in (("a", True), ("b", False)):
        folder = make_run(tmp_path / name, {"semantic": 0.5})
        with SummaryWriter(str(folder / "tensorboard")) as writer:
            for step in (30, 60):
                for tag, value in tags.items():
                    writer.add_scalar(f"train/{tag}", value / step, step)
            if test:
                writer.add_scalar("val/semantic/mIoU", 0.3, 30)
    comparison = compare(tmp_path)
    page, _ = write_comparison(comparison, tmp_path / "c.html", tmp_path / "c.json")
    titles = re.findall(r'data:image/png;base64,[^"]+" alt="([^"]+)"', page.read_text())
    assert titles == ["total loss", "semantic segmentation: loss", "learning rate", "semantic segmentation: tests"]
    assert smoothing_width(comparison.runs) == 4 and "within 4 iterations" in page.read_text()


def test_a_run_whose_curves_are_in_its_log_alone_is_named(tmp_path):
    folder = make_run(tmp_path / "a", {"semantic": 0.5})
    (folder / "log.txt").write_text(
        "2026-11-24 22:43:45,780 maskrcnn_benchmark.engine.progress INFO: iteration 20/60  eta 0:05:42  loss 28.5  "
        "semantic 9.572  lr 0.001759  28.8 images/s\n"
    )
    assert compare(folder).notes == ["A has no TensorBoard log; its log.txt gives total loss and learning rate"]
