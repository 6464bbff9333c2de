"""The tables of an ablation say what its figures are."""

import json
import math

import pytest

from maskrcnn_benchmark.engine.results import write_results
from maskrcnn_benchmark.experiments.ablation_report import Ablation, format_markdown, format_text, table_rows, to_dict
from maskrcnn_benchmark.experiments.seed_statistics import Network


def network(subset, method, **values):
    tasks = tuple(values)
    seeds = range(len(values[tasks[0]]))
    return Network(subset, method, tasks, {seed: {task: values[task][seed] for task in tasks} for seed in seeds})


def ablation(**more):
    return Ablation(
        [
            network("semantic", "alone", semantic=[0.4, 0.6]),
            network("boundary", "alone", boundary=[0.5]),
            network("semantic+boundary", "fixed", semantic=[0.55], boundary=[0.45]),
        ],
        {"config": "a.yaml"},
        **more,
    )


def test_the_table_has_a_row_for_the_single_tasks_and_one_for_each_other_network():
    head, alone, pair = table_rows(ablation())
    assert head == ["tasks", "method", "seeds", "semantic mIoU", "boundary ODS-F", "delta_m", "spread"]
    # only one seed has both single tasks: semantic 40 instead of 50, boundary as ever
    assert alone == ["each alone", "", "1", "40.0", "50.0", "-10.0", "-"]
    assert pair == ["semantic+boundary", "fixed", "1", "55.0", "45.0", "+0.0", "-"]


def test_text_has_the_matrix_the_base_and_what_is_missing():
    text = format_text(ablation(missing={"all/fixed/seed0": "error: no luck"}))
    lines = [line.split() for line in text.splitlines()]
    assert ["semantic", "-", "+10.0"] in lines and ["boundary", "-10.0", "-"] in lines
    assert "single-task networks (means over seeds of those above): semantic 50.0, boundary 50.0." in text
    assert "No results of all/fixed/seed0: error: no luck" in text


def test_a_task_that_is_left_out_is_named():
    given = ablation(baseline={"semantic": 0.5, "boundary": 0.0})
    assert "Delta_m is without boundary: its single-task network scores 0" in format_text(given)
    assert table_rows(given)[2][-2] == "+10.0"


def test_without_single_tasks_the_columns_are_not_there():
    pair = Ablation([network("semantic+boundary", "fixed", semantic=[0.55, 0.56], boundary=[0.45, 0.45])])
    assert table_rows(pair)[1] == ["semantic+boundary", "fixed", "2", "55.5 ± 0.7", "45.0 ± 0.0"]
    assert "No Delta_m" in format_text(pair) and "trained with" not in format_text(pair)


def test_nothing_finished_is_a_table_too():
    assert format_text(Ablation([], {}, {"all/fixed/seed0": "not finished"})).startswith("tasks  method  seeds")


def test_markdown_has_tables_of_equal_width():
    page = format_markdown(ablation(), "ablation.png")
    tables = [line.count("|") for line in page.splitlines() if line.startswith("|")]
    assert tables == [8] * 4 + [4] * 4
    assert "- config: a.yaml" in page and "](ablation.png)" in page


def test_the_dictionary_has_every_seed_and_can_be_written(tmp_path):
    given = ablation()
    figures = to_dict(given)
    assert figures["networks"]["semantic/alone"]["seeds"]["1"] == {
        "scores": {"semantic": 0.6},
        "delta_m": pytest.approx(0.2),
    }
    semantic = figures["networks"]["semantic+boundary/fixed"]["tasks"]["semantic"]
    assert semantic["metric"] == "mIoU" and semantic["gain"]["mean"] == pytest.approx(0.1)
    assert math.isnan(semantic["deviation"])
    assert figures["each_alone"]["delta_m"]["mean"] == pytest.approx(-0.1)
    write_results(figures, tmp_path / "ablation.json")
    read = json.loads((tmp_path / "ablation.json").read_text())
    assert read["networks"]["semantic+boundary/fixed"]["tasks"]["semantic"]["deviation"] is None
