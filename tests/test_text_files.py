"""No text is read or written in the encoding of a locale: on another machine it would be another text."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("maskrcnn_benchmark", "tools", "tests/helpers") for path in (ROOT / folder).rglob("*.py")]


def calls_without_encoding(source):
    """Lines of calls that read or write text as the locale has it."""
    lines = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        named = {keyword.arg for keyword in call.keywords}
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if isinstance(call.func, ast.Name) and name == "open":
            modes = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
            is_text = not any("b" in str(getattr(mode, "value", "")) for mode in modes)
        else:
            is_text = name in ("read_text", "write_text") or (
                "text" in named and name in ("run", "Popen", "check_output")
            )
        if is_text and "encoding" not in named:
            lines.append(call.lineno)
    return lines


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("open(p)", 1),
        ("open(p, 'w')", 1),
        ("open(p, mode='rb')", 0),
        ("open(p, 'w', encoding='utf-8')", 0),
        ("p.read_text(errors='replace')", 1),
        ("p.write_text('a', encoding='utf-8')", 0),
        ("subprocess.run(c, text=True)", 1),
    ],
)
def test_what_counts(source, number):
    assert len(calls_without_encoding(source)) == number


def test_every_text_file_has_its_encoding_named():
    found = [f"{path.relative_to(ROOT)}:{line}" for path in FILES for line in calls_without_encoding(path.read_bytes())]
    assert found == []
