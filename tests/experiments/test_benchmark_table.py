"""Runs in the field's order, published rows beside those that were measured alike, and never beside others."""

import json
import math
import shutil

import pytest

from maskrcnn_benchmark.evaluation.protocols import BOUNDARY_PROTOCOLS, EdgeProtocol, named_protocol
from maskrcnn_benchmark.experiments.benchmark_table import (
    BENCHMARKS,
    COLUMNS,
    PUBLISHED,
    Run,
    benchmark_of,
    format_latex,
    format_markdown,
    make_table,
    read_benchmark_run,
)
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.yaml_file import read_yaml

VAL = "pascal_context_mtl_val"
ALL_CLASSES = "means over all classes, those that never occur as 0"


def entry(metrics, protocol=ALL_CLASSES, listed=None):
    headline = next(iter(metrics))
    listed = {} if listed is None else {"listed": listed}
    return {"headline": headline, "metrics": metrics, "trivial": {}, "protocol": protocol, "per_class": {}, **listed}


def results(boundary=BOUNDARY_PROTOCOLS["seism"], on_list=2498, **metrics):
    """Results of all five tasks, boundaries 0.74 on val and 0.75 on a list of so many images."""
    values = {"semantic": 0.80, "part": 0.70, "maxF": 0.85, "normals": 14.0, "boundary": 0.74, **metrics}
    listed = {"name": "test_new", "images": on_list, "metrics": {"ODS-F": values["boundary"] + 0.01}}
    saliency = {"maxF": values["maxF"], "maxF-invpt": values["maxF"] - 0.005, "max-mIoU": values["maxF"] - 0.2}
    return {
        "semantic": entry({"mIoU": values["semantic"]}),
        "part": entry({"mIoU": values["part"]}),
        "saliency": entry(saliency),
        "normals": entry({"mean-error": values["normals"]}),
        "boundary": entry({"ODS-F": values["boundary"]}, f"{boundary}, thinned", listed if on_list else None),
    }


def cells(table, method):
    """The cells of the first line of a Markdown table that begins with a method."""
    line = next(line for line in format_markdown(table).splitlines() if line.startswith(f"| {method} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_run_stands_beside_the_rows_of_its_protocols_with_their_metrics():
    table = make_table([Run("ours", results(), VAL, "R-50-FPN")], "pascal_context")
    assert [block.title.split()[2] for block in table.blocks] == ["invpt", "atrc", "astmt"]
    invpt, atrc, astmt = table.blocks
    assert invpt.rows[0].values == pytest.approx(
        {"semantic": 80, "part": 70, "saliency": 84.5, "normals": 14, "boundary": 75}
    )
    assert atrc.rows[0].values["saliency"] == pytest.approx(85) and atrc.rows[0].values["boundary"] == pytest.approx(74)
    assert astmt.rows[0].values["saliency"] == pytest.approx(65)
    assert [row.method for row in atrc.rows] == ["ours", "ATRC"] and "ATRC" not in [row.method for row in invpt.rows]
    assert cells(table, "ours") == ["ours", "R-50-FPN", "80.00", "70.00", "84.50", "14.00", "75.00", "this run"]
    assert cells(table, "InvPT (re-run)")[2:7] == ["79.91", "68.54", "84.38", "13.90", "72.90"]
    assert "2 published rows were measured by other protocols (mtdp) and are left out." in format_markdown(table)


def test_rows_of_other_protocols_are_in_blocks_of_their_own():
    table = make_table([Run("ours", results(), VAL)], "pascal_context", ["invpt"], everything=True)
    methods = {block.title.split()[2]: [row.method for row in block.rows] for block in table.blocks}
    assert "ours" in methods.pop("invpt") and not any("ours" in others for others in methods.values())
    assert methods["mtdp"] == ["PGT", "TIT"]


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (Run("odd", results(), "mini_detail_val"), f"tested on mini_detail_val, not on {VAL}"),
        (Run("odd", results()), f"tested on an unknown data set, not on {VAL}"),
        (
            Run("odd", results(EdgeProtocol(conventions="seism")), VAL),
            "boundaries by no named protocol (TEST.BOUNDARY_PROTOCOL), not by seism",
        ),
        (Run("odd", results(BOUNDARY_PROTOCOLS["mti_net"], 0), VAL), "no boundary score on the 2,498 images"),
        (
            Run("odd", results(EdgeProtocol(max_distance=0.011)), VAL),
            "boundaries by no named protocol",
        ),
    ],
)
def test_a_run_of_no_known_protocol_is_named_so_and_stands_alone(run, reason):
    table = make_table([run], "pascal_context")
    (block,) = table.blocks
    assert "no known protocol: not comparable" in block.title and [row.method for row in block.rows] == ["odd"]
    assert any(note.startswith("odd is comparable with no published row: ") and reason in note for note in table.notes)


def test_another_tolerance_or_another_list_is_another_protocol():
    wide = {**results(), "boundary": entry({"ODS-F": 0.9}, "protocol seism: tolerance 0.011 of the diagonal")}
    (note, *_) = make_table([Run("wide", wide, VAL)], "pascal_context").notes
    assert "boundaries with another tolerance than 0.0075 (TEST.EDGE_MAX_DISTANCE)" in note
    table = make_table([Run("short", results(on_list=100), VAL)], "pascal_context")
    assert [block.title.split()[2] for block in table.blocks] == ["atrc", "astmt"]


def test_tasks_that_a_run_lacks_are_dashes():
    few = {key: value for key, value in results().items() if key in ("semantic", "boundary")}
    few["semantic"] = entry({"mIoU": math.nan})
    table = make_table([Run("few", few, VAL)], "pascal_context", ["invpt"])
    assert cells(table, "few")[2:7] == ["-", "-", "-", "-", "75.00"]


def test_delta_m_is_the_mean_gain_over_single_tasks_by_the_metrics_of_the_block():
    single = [Run("alone", {key: value}, VAL) for key, value in results(semantic=0.64, normals=16.0).items()]
    table = make_table([Run("ours", results(), VAL)], "pascal_context", ["invpt", "astmt"], single)
    # semantic gains a quarter, normals lose an eighth of their error, the others stay
    expected = 100 * (0.25 + 0.125) / 5
    assert table.blocks[0].rows[0].values["delta_m"] == pytest.approx(expected, abs=1e-9)
    assert cells(table, "ours")[7] == f"{expected:+.2f}" and cells(table, "InvPT (re-run)")[7] == "-"
    assert cells(table, "ASTMT")[7] == "-0.04"
    fewer = make_table([Run("ours", results(), VAL)], "pascal_context", ["invpt"], single[:1])
    assert cells(fewer, "ours")[7] == "+25.00 (1)"


def test_means_over_fewer_classes_are_another_protocol():
    for task in ("semantic", "part"):
        few = {**results(), task: entry({"mIoU": 0.9}, "means over the classes that occur")}
        table = make_table([Run("few", few, VAL)], "pascal_context")
        assert [row.method for block in table.blocks for row in block.rows] == ["few"]
        assert f"means over the classes of {task} that occur, not over all (TEST.CLASS_MEAN)" in table.notes[0]


def test_delta_m_leaves_out_single_tasks_that_were_scored_otherwise():
    values = results(semantic=0.64)
    values["boundary"] = results(BOUNDARY_PROTOCOLS["mti_net"])["boundary"]
    single = [Run(f"{key} alone", {key: value}, "other" if key == "part" else VAL) for key, value in values.items()]
    table = make_table([Run("ours", results(), VAL)], "pascal_context", ["atrc"], single)
    assert cells(table, "ours")[7] == "+8.33 (3)"  # semantic gains a quarter, saliency and normals nothing
    notes = "\n".join(table.notes)
    assert "Delta_m of ours is without part: part alone was scored on other, not on" in notes
    assert "Delta_m of ours is without boundary: boundary alone was scored by 'protocol mti_net" in notes


def test_outputs_averaged_over_views_are_named():
    averaged = results()
    averaged["normals"] = entry({"mean-error": 13.0}, "angles; outputs averaged over 12 views of each image")
    table = make_table([Run("ours", averaged, VAL), Run("plain", results(), VAL)], "pascal_context", ["atrc"])
    assert [row.method for row in table.blocks[0].rows] == ["ours (12 views)", "plain", "ATRC"]


def test_the_last_test_of_a_run_goes_before_the_results_of_its_training(tmp_path):
    write_run(tmp_path / "joint")
    place = tmp_path / "joint" / "inference" / VAL
    place.mkdir(parents=True)
    (place / "results.json").write_text(json.dumps(results(on_list=7)))
    assert read_benchmark_run(str(tmp_path / "joint")).results["boundary"]["listed"]["images"] == 7
    of_training = str(tmp_path / "joint" / "results.json")
    assert read_benchmark_run(of_training).results["boundary"]["listed"]["images"] == 2498


def test_nyud_has_its_own_columns_and_one_set_of_images():
    depth = {"semantic": entry({"mIoU": 0.5}), "depth": entry({"RMSE": 0.51}), "normals": entry({"mean-error": 19.0})}
    protocol = str(BOUNDARY_PROTOCOLS["seism"]).replace("0.0075", "0.011")
    run = Run("ours", {**depth, "boundary": entry({"ODS-F": 0.77}, protocol)}, "nyud_mtl_val")
    assert benchmark_of([run]) == "nyud" and benchmark_of([Run("x", results())]) == "pascal_context"
    table = make_table([run], "nyud", ["invpt"])
    assert cells(table, "ours")[2:6] == ["50.00", "0.5100", "19.00", "77.00"]
    assert cells(table, "MLoRE")[2:6] == ["55.96", "0.5076", "18.33", "78.43"]
    head = format_markdown(table).splitlines()[2]
    assert (
        head == "| method | backbone | Semseg mIoU ↑ | Depth RMSE m ↓ | Normals mErr ° ↓ | Boundary odsF ↑ | source |"
    )


def test_latex_has_a_tabular_for_each_block_and_escapes_names():
    table = make_table([Run("50%_more", results(), VAL, "R_50")], "pascal_context", ["atrc"])
    lines = format_latex(table).splitlines()
    assert lines[1:3] == ["\\begin{tabular}{llrrrrrl}", "\\toprule"]
    assert lines[5] == "50\\%\\_more & R\\_50 & 80.00 & 70.00 & 85.00 & 14.00 & 74.00 & this run \\\\"
    assert lines[6] == "\\midrule" and lines[7].startswith("ATRC & HRNet48 & 67.67 & 62.93 & 82.29 & 14.24 & 72.42 &")
    assert lines[3].endswith("Normals mErr $^\\circ$ $\\downarrow$ & Boundary odsF $\\uparrow$ & source \\\\")


def write_run(folder, place=""):
    (folder / place).mkdir(parents=True)
    (folder / "config.yml").write_text(f"DATASETS: {{TEST: [{VAL}]}}\nMODEL: {{BACKBONE: {{CONV_BODY: R-50-FPN}}}}\n")
    (folder / place / "results.json").write_text(json.dumps(results()))


@pytest.mark.parametrize("place", ["", "inference/nyud_mtl_val"])
def test_a_runs_folder_tells_its_data_set_and_backbone(tmp_path, place):
    write_run(tmp_path / "joint", place)
    run = read_benchmark_run(str(tmp_path / "joint" / place))
    assert (run.name, run.data_set, run.backbone) == ("joint", "nyud_mtl_val" if place else VAL, "R-50-FPN")
    assert run.results["boundary"]["listed"]["images"] == 2498
    named = read_benchmark_run(f"ours={tmp_path / 'joint' / place / 'results.json'}")
    assert named.name == "ours" and named.results == run.results


def test_results_without_a_config_are_of_the_data_set_that_is_named(tmp_path):
    write_run(tmp_path / "theirs")
    (tmp_path / "theirs" / "config.yml").unlink()
    assert read_benchmark_run(str(tmp_path / "theirs")).data_set == ""
    assert read_benchmark_run(str(tmp_path / "theirs"), VAL).data_set == VAL
    shutil.rmtree(tmp_path / "theirs")
    with pytest.raises(UserError, match="there is no such file; name a run's OUTPUT_DIR after its test"):
        read_benchmark_run(f"x={tmp_path / 'theirs'}")


def test_a_protocol_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="there is no protocol 'invtp'; there are invpt, atrc"):
        make_table([Run("ours", results(), VAL)], "pascal_context", ["invtp"])


def test_published_rows_are_whole_and_plausible():
    content = read_yaml(PUBLISHED)
    for protocol in content["protocols"].values():
        assert named_protocol(str(BOUNDARY_PROTOCOLS[protocol["boundary"]])) == protocol["boundary"]
        assert protocol["saliency"] in ("maxF", "maxF-invpt", "max-mIoU") and set(protocol["list_images"]) == set(
            BENCHMARKS
        )
    for row in content["rows"]:
        assert row["protocol"] in content["protocols"] and row["source"] and row["method"]
        assert set(row["values"]) - {"delta_m"} == set(BENCHMARKS[row["benchmark"]].tasks)
        for task in BENCHMARKS[row["benchmark"]].tasks:
            low, high = {"depth": (0.4, 0.7), "normals": (12, 20)}.get(task, (50, 90))
            assert low < row["values"][task] < high, (row["method"], task)
            assert task in COLUMNS
