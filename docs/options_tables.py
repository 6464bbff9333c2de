"""Writes the tables of docs/options.md, of the records of all options: `python docs/options_tables.py`."""

import re
from collections.abc import Sequence
from pathlib import Path

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.config.options import Option, show_default
from maskrcnn_benchmark.utils.files import atomic_write

PAGE = Path(__file__).with_name("options.md")
MARKER = "<!-- options: what follows is written by docs/options_tables.py -->\n"

_NAME_IN_COMMENT = re.compile(r"(?<![\w.])[A-Z][A-Z0-9]*(?:[._][A-Z0-9_]+)+\b")


def page() -> str:
    """The page as it should be: what it says today before its marker, and the tables."""
    return PAGE.read_text(encoding="utf-8").partition(MARKER)[0] + MARKER + tables(cfg.records())


def tables(options: Sequence[Option]) -> str:
    """Markdown of options: a heading for each section and each group of options, and its table."""
    sections: dict[str, dict[str, list[Option]]] = {}
    for option in options:  # a task's options come after all others, and stand under the same headings
        sections.setdefault(option.section, {}).setdefault(option.key.rpartition(".")[0], []).append(option)
    text = ""
    for section, groups in sections.items():
        text += f"\n## {section}\n"
        for group, members in groups.items():
            heading = f"\n### {group}\n" if group else ""
            rows = "".join(_row(option) for option in members)
            text += f"{heading}\n| option | default | range | |\n|---|---|---|---|\n{rows}"
    return text


def _row(option: Option) -> str:
    comment = re.sub(r"docs/(\w+\.md)", r"[\1](\1)", _NAME_IN_COMMENT.sub(r"`\g<0>`", option.comment))
    cells = f"`{option.key}`", f"`{show_default(option.default)}`", option.range.short, comment
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    with atomic_write(PAGE) as file:
        file.write(page().encode())
