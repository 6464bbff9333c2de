"""Runs as one table in the field's order, beside published figures that were measured alike, and no others."""

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.engine.evaluation_report import RESULTS
from maskrcnn_benchmark.engine.image_subset import LISTED
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.evaluation.protocols import named_protocol
from maskrcnn_benchmark.experiments.run_folder import CONFIG, read_run
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.yaml_file import read_yaml

PUBLISHED = Path(__file__).with_name("published.yaml")


@dataclass(frozen=True)
class Column:
    """A task's column.

    Attributes:
        title: its head.
        metric: what stands there; of saliency the protocol says which.
        scale: of a metric in `results.json` to what is printed.
        digits: behind the point, as published tables have them.
        higher_is_better: its direction.
    """

    title: str
    metric: str
    scale: float = 100
    digits: int = 2
    higher_is_better: bool = True


COLUMNS = {
    "semantic": Column("Semseg", "mIoU"),
    "part": Column("Parts", "mIoU"),
    "depth": Column("Depth", "RMSE", 1, 4, False),
    "saliency": Column("Saliency", "maxF"),
    "normals": Column("Normals", "mean-error", 1, 2, False),
    "boundary": Column("Boundary", "ODS-F"),
}
DELTA_M = Column("Delta_m", "%")
_UNITS = {"RMSE": "RMSE m", "mean-error": "mErr °", "ODS-F": "odsF"}
# Words in which a result's protocol states the tolerance; PASCAL's and NYUD's
_TOLERANCE = "tolerance {:g} of the diagonal"
# Likewise of means over classes, and of test-time augmentation
_ALL_CLASSES = "those that never occur as 0"
_VIEWS = re.compile(r"averaged over (\d+) views")


@dataclass(frozen=True)
class Benchmark:
    """A data set's tasks in the field's order, its name in the catalog, and the tolerance of its boundaries."""

    title: str
    tasks: tuple[str, ...]
    data_set: str
    max_distance: float


BENCHMARKS = {
    "pascal_context": Benchmark(
        "PASCAL-Context", ("semantic", "part", "saliency", "normals", "boundary"), "pascal_context_mtl_val", 0.0075
    ),
    "nyud": Benchmark("NYUD-v2", ("semantic", "depth", "normals", "boundary"), "nyud_mtl_val", 0.011),
}


@dataclass(frozen=True)
class Run:
    """One run's results.

    Attributes:
        name: what its row is called.
        results: {task: {metric: ...}} as `engine.results.read_results` returns it.
        data_set: that they are of, "" where nothing tells.
        backbone: of its config, "" where there is none.
    """

    name: str
    results: Mapping[str, Mapping[str, Any]]
    data_set: str = ""
    backbone: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table: {task or "delta_m": value as printed}, tasks that it lacks left out."""

    method: str
    backbone: str
    values: Mapping[str, float]
    source: str


@dataclass
class Block:
    """Rows that can be compared.

    Attributes:
        title: what they have in common, in one line.
        tasks: their columns.
        saliency: the metric that stands for saliency.
        rows: runs first, then published rows.
    """

    title: str
    tasks: tuple[str, ...]
    saliency: str
    rows: list[Row] = field(default_factory=list)


@dataclass
class BenchmarkTable:
    """The blocks of a table and lines that a reader has to know."""

    blocks: list[Block]
    notes: list[str]


def read_benchmark_run(words: str, data_set: str = "") -> Run:
    """The `Run` that a word of a command line names.

    Args:
        words: path of an OUTPUT_DIR, of a folder with a results.json or of such a file; or NAME=PATH. Of an OUTPUT_DIR
            what its last test on a benchmark's data set has left, which may be younger than the training's results.
        data_set: that results are of whose folder does not tell.

    Raises:
        UserError: there are no results.
    """
    name, path = "", words
    if "=" in words and not Path(words).exists():
        name, _, path = words.partition("=")
    tested_last = (Path(path) / "inference" / benchmark.data_set / RESULTS for benchmark in BENCHMARKS.values())
    own = Path(path) / RESULTS if Path(path).is_dir() else Path(path)
    file = next((file for file in tested_last if file.is_file()), own)
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; name a run's OUTPUT_DIR after its test, or a {RESULTS}")
    folder = file.parent
    is_of_one_set = folder.parent.name == "inference"
    home = folder.parent.parent if is_of_one_set else folder
    options: Mapping[str, Any] = (read_run(home).options or {}) if (home / CONFIG).is_file() else {}
    tested = options.get("DATASETS.TEST") or [data_set]
    return Run(
        name or home.resolve().name,
        read_results(file),
        folder.name if is_of_one_set else str(tested[0]),
        str(options.get("MODEL.BACKBONE.CONV_BODY", "")),
    )


def benchmark_of(runs: Iterable[Run]) -> str:
    """The key of `BENCHMARKS` that runs are of: by their data set, else by their tasks."""
    runs = list(runs)
    for key, benchmark in BENCHMARKS.items():
        if any(run.data_set == benchmark.data_set for run in runs):
            return key
    return "nyud" if any("depth" in run.results for run in runs) else "pascal_context"


def make_table(
    runs: Sequence[Run],
    benchmark: str,
    protocols: Sequence[str] = (),
    single_task: Sequence[Run] = (),
    everything: bool = False,
) -> BenchmarkTable:
    """The table of runs.

    A block has the rows of one protocol: the runs that were measured by it, and what is published. A run that was
    measured by none has a block of its own, without published rows.

    Args:
        runs: rows, in this order.
        benchmark: a key of `BENCHMARKS`.
        protocols: names of the protocols of `published.yaml` that are shown; () shows those that a run was measured by.
        single_task: runs of one task or of several, which Delta_m is taken over; of a task in several the last.
        everything: whether published rows of other protocols are shown too, in blocks of their own.
    """
    known, rows = _published()
    unknown = [name for name in protocols if name not in known]
    if unknown:
        raise UserError(f"there is no protocol {unknown[0]!r}; there are {', '.join(known)}")
    lacking = {name: {run.name: _lacks(run, benchmark, known[name]) for run in runs} for name in known}
    shown = list(protocols) or [name for name in known if any(not why for why in lacking[name].values())]
    others = [name for name in known if name not in shown]
    table, base = BenchmarkTable([], []), {task: run for run in single_task for task in run.results}
    for name in [*shown, *(others if everything else ())]:
        ours = [run for run in runs if not lacking[name][run.name]] if name in shown else []
        block = _block(benchmark, name, known[name], ours, base)
        block.rows += [row for kind, of, row in rows if (kind, of) == (benchmark, name)]
        table.blocks += [block] if block.rows else []
    strangers = [run for run in runs if all(lacking[name][run.name] for name in shown)]
    if strangers:
        headlines = {"boundary": "", "list_images": {}, "saliency": COLUMNS["saliency"].metric, "about": ""}
        block = _block(benchmark, "", headlines, strangers, base)
        table.blocks.append(block)
        for run in strangers:
            reasons = dict.fromkeys(lacking[name][run.name] for name in shown or known)
            table.notes.append(f"{run.name} is comparable with no published row: {'; '.join(reasons)}")
    hidden = [of for kind, of, _ in rows if kind == benchmark and of in others]
    if hidden and not everything:
        names = ", ".join(dict.fromkeys(hidden))
        table.notes.append(f"{len(hidden)} published rows were measured by other protocols ({names}) and are left out")
    if single_task:
        table.notes.append(
            "Delta_m: mean relative gain over single-task runs in percent, above 0 is better, by the metrics of the "
            "block; in brackets over how many tasks, where not all"
        )
        for run in runs:
            for task in [task for task in BENCHMARKS[benchmark].tasks if task in base and task in run.results]:
                why = _differs(run, base[task], task)
                table.notes += (
                    [f"Delta_m of {run.name} is without {task}: {base[task].name} was scored {why}"] if why else []
                )
    return table


def _block(benchmark, name, protocol, runs, base):
    """The `Block` of a protocol with the rows of these runs."""
    about = BENCHMARKS[benchmark]
    count = protocol["list_images"].get(benchmark, 0)
    if name:
        images = f"the {count:,} images of test_new" if count else "all images of val"
        saliency = f", saliency {protocol['saliency']}" if "saliency" in about.tasks else ""
        title = f"{about.title}, protocol {name} ({protocol['about']}): boundary {protocol['boundary']} on {images}"
        title += saliency
    else:
        title = f"{about.title}, no known protocol: not comparable with published figures"
    block = Block(title, about.tasks, protocol["saliency"])
    for run in runs:
        values = _values(run, about.tasks, protocol["saliency"], count)
        row = {task: COLUMNS[task].scale * value for task, value in values.items()}
        gains = _gains(run, values, base, protocol["saliency"], count)
        if gains:
            row["delta_m"] = 100 * sum(gains) / len(gains)
            row["delta_m_tasks"] = len(gains)
        views = _VIEWS.search(" ".join(str(result.get("protocol", "")) for result in run.results.values()))
        method = f"{run.name} ({views[1]} views)" if views else run.name
        block.rows.append(Row(method, run.backbone, row, "this run"))
    return block


def _values(run, tasks, saliency, count):
    """{task: value as in results.json} of what a run measured."""
    values = {}
    for task in tasks:
        result = run.results.get(task, {})
        on_list = task == "boundary" and count
        metrics = (result.get(LISTED, {}) if on_list else result).get("metrics", {})
        value = metrics.get(saliency if task == "saliency" else COLUMNS[task].metric, math.nan)
        if not math.isnan(value):
            values[task] = value
    return values


def _gains(run, values, base, saliency, count):
    """The relative gains over the single-task runs, of the tasks that both have and that were measured alike."""
    gains = []
    for task, value in values.items():
        is_alike = task in base and not _differs(run, base[task], task)
        single = _values(base[task], (task,), saliency, count).get(task) if is_alike else None
        if single:
            gains.append((value - single) / single * (1 if COLUMNS[task].higher_is_better else -1))
    return gains


def _differs(run, single, task):
    """In what the measurement of a task differs between a run and a single-task one, in words; "" for nothing."""
    if run.data_set != single.data_set:
        return f"on {single.data_set or 'an unknown data set'}, not on {run.data_set or 'an unknown data set'}"
    texts = [each.results[task].get("protocol", "") for each in (single, run)]
    return "" if texts[0] == texts[1] else f"by '{texts[0]}', not by '{texts[1]}'"


def _lacks(run, benchmark, protocol):
    """Why a run was not measured by a protocol, in words; "" if it was."""
    about = BENCHMARKS[benchmark]
    if run.data_set != about.data_set:
        return f"tested on {run.data_set or 'an unknown data set'}, not on {about.data_set}"
    for task in ("semantic", "part"):
        if task in run.results and _ALL_CLASSES not in run.results[task].get("protocol", ""):
            return f"means over the classes of {task} that occur, not over all (TEST.CLASS_MEAN)"
    result = run.results.get("boundary")
    if result is None:
        return "" if any(task in run.results for task in about.tasks) else "none of the benchmark's tasks"
    text = result.get("protocol", "")
    name = named_protocol(text)
    if name != protocol["boundary"]:
        return f"boundaries by {name or 'no named protocol'} (TEST.BOUNDARY_PROTOCOL), not by {protocol['boundary']}"
    if _TOLERANCE.format(about.max_distance) not in text:
        return f"boundaries with another tolerance than {about.max_distance:g} (TEST.EDGE_MAX_DISTANCE)"
    count = protocol["list_images"].get(benchmark, 0)
    if count and result.get(LISTED, {}).get("images") != count:
        return f"no boundary score on the {count:,} images of seism's test_new (TEST.IMAGE_LIST)"
    return ""


def format_markdown(table: BenchmarkTable) -> str:
    """The table as Markdown: a heading and a table for each block, then the notes."""
    parts = []
    for block in table.blocks:
        head, *rows = _cells(block)
        marks = ["---", "---", *["---:"] * (len(head) - 3), "---"]
        lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in (head, marks, *rows)]
        parts.append(f"### {block.title}\n\n" + "\n".join(lines))
    parts.append("\n".join(f"- {note}." for note in table.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def format_latex(table: BenchmarkTable) -> str:
    """The table as LaTeX with booktabs: a tabular for each block, what it is and the notes as comments before it."""
    parts = []
    for block in table.blocks:
        head, *rows = _cells(block)
        lines = [f"% {block.title}", f"\\begin{{tabular}}{{ll{'r' * (len(head) - 3)}l}}", "\\toprule"]
        lines += [_latex_row(head), "\\midrule"]
        published = False
        for row, cells in zip(block.rows, rows):
            if row.source != "this run" and not published and row is not block.rows[0]:
                lines.append("\\midrule")
            published = published or row.source != "this run"
            lines.append(_latex_row(cells))
        parts.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]))
    parts.append("\n".join(f"% {note}." for note in table.notes))
    return "\n\n".join(part for part in parts if part) + "\n"


_LATEX = {**{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": "\\textbackslash{}", "~": "\\textasciitilde{}"}
_LATEX |= {"^": "\\textasciicircum{}", "↑": "$\\uparrow$", "↓": "$\\downarrow$", "°": "$^\\circ$"}


def _latex_row(cells):
    texts = ("".join(_LATEX.get(sign, sign) for sign in cell) for cell in cells)
    return " & ".join(texts).replace("Delta\\_m", "$\\Delta_m$") + " \\\\"


def _cells(block):
    """Head and rows of a block as text; tasks that a row lacks are "-"."""
    columns = {task: COLUMNS[task] for task in block.tasks}
    if any("delta_m" in row.values for row in block.rows):
        columns["delta_m"] = DELTA_M
    head = ["method", "backbone"]
    for task, column in columns.items():
        metric = block.saliency if task == "saliency" else column.metric
        head.append(f"{column.title} {_UNITS.get(metric, metric)} {'↑' if column.higher_is_better else '↓'}")
    rows = [
        [row.method, row.backbone or "-", *(_cell(row, task, block) for task in columns), row.source]
        for row in block.rows
    ]
    return [[*head, "source"], *rows]


def _cell(row, task, block):
    value = row.values.get(task, math.nan)
    if math.isnan(value):
        return "-"
    if task != "delta_m":
        return f"{value:.{COLUMNS[task].digits}f}"
    count = row.values.get("delta_m_tasks", len(block.tasks))
    return f"{value:+.2f}" + (f" ({count})" if count < len(block.tasks) else "")


@cache
def _published() -> tuple[dict[str, dict[str, Any]], list[tuple[str, str, Row]]]:
    """({name: protocol}, list of (benchmark, protocol's name, `Row`)) of `published.yaml`."""
    content: Any = read_yaml(PUBLISHED)
    rows = [
        (row["benchmark"], row["protocol"], Row(row["method"], row["backbone"], row["values"], row["source"]))
        for row in content["rows"]
    ]
    return content["protocols"], rows


def write_table(text: str, path: str | os.PathLike) -> None:
    """Write the text of a table."""
    with atomic_write(path) as file:
        file.write(text.encode())
