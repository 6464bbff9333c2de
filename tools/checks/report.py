"""What the check prints and writes: a line and the rows of each stage as it ends, a table of all, and a JSON file."""

from collections import Counter
from collections.abc import Sequence

from checks.stage import FAIL, MISS, PASS, SKIP, Result, Row

INDENT = " " * 6


def format_result(result: Result, width: int) -> str:
    """A stage's line and below it what it found; `width` is that of the longest name."""
    lines = [_line(result, width)]
    if result.reason:
        lines.append(f"{INDENT}{result.reason}")
    return "\n".join(lines + [f"{INDENT}{line}" for line in format_rows(result.rows)])


def format_rows(rows: Sequence[Row]) -> list[str]:
    """Lines of text: rows without a group one below the other, then those with groups as a table."""
    plain = [row for row in rows if not row.group]
    width = max((len(row.name) for row in plain), default=0)
    lines = [f"{row.name:{width}}  {_cell(row)}".rstrip() for row in plain]
    return lines + _tables([row for row in rows if row.group])


def format_summary(results: Sequence[Result], seconds: float) -> str:
    """The table of all stages, with what failed and which goals were missed, and the last line."""
    width = max((len(result.stage.name) for result in results), default=0)
    lines = []
    for result in results:
        lines.append(_line(result, width))
        lines += [f"{INDENT}{result.reason}"] if result.reason else []
        missed = [row for row in result.rows if row.verdict == MISS]
        lines += [f"{INDENT}{row.name}{f', {row.group}' if row.group else ''}: {_cell(row)}" for row in missed]
    counts = Counter(result.verdict for result in results)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (PASS, FAIL, SKIP) if counts[verdict])
    return "\n".join([*lines, f"{said or 'nothing was run'} in {seconds:.0f} s"])


def verdict_of(results: Sequence[Result]) -> str:
    """FAIL if any stage is, else PASS."""
    return FAIL if any(result.verdict == FAIL for result in results) else PASS


def _line(result, width):
    return f"{result.verdict:4}  {result.stage.name:{width}}  {result.seconds:6.1f} s  {result.stage.summary}"


def _tables(rows):
    """Lines of tables, names down and groups across; groups that have no name in common are in tables of their own."""
    tables = []
    for group in dict.fromkeys(row.group for row in rows):
        cells = {row.name: _cell(row) for row in rows if row.group == group}
        if not tables or not any(cells.keys() & other.keys() for other in tables[-1].values()):
            tables.append({})
        tables[-1][group] = cells
    return [line for table in tables for line in _table(table)]


def _table(columns):
    names = dict.fromkeys(name for cells in columns.values() for name in cells)
    lines = [["", *columns], *([name, *(cells.get(name, "") for cells in columns.values())] for name in names)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]


def _cell(row):
    text = "" if row.value is None else row.value if isinstance(row.value, str) else _number(row.value)
    unit = f" {row.unit}" if row.unit else ""
    limit = "" if row.limit is None else f" of {_number(row.limit)}"
    verdict = f" {row.verdict}" if row.verdict in (FAIL, MISS) else ""
    return f"{text}{limit}{unit}{verdict}"


def _number(value):
    if isinstance(value, int):
        return f"{value}"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
