"""Every option with its default and its comment, read from the source of `config/defaults.py`."""

import ast
import io
import tokenize
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_benchmark.utils.imports import import_file

DEFAULTS = Path(__file__).with_name("defaults.py")
_ROOT = "_C"


@dataclass(frozen=True)
class OptionInfo:
    """One option.

    Attributes:
        key: its name, such as "SOLVER.BASE_LR".
        default: its value where nobody sets it.
        comment: what the file says of it, in one line; several options in a row may share a comment.
        section: the heading that it stands under.
    """

    key: str
    default: object
    comment: str
    section: str


def options(path=DEFAULTS):
    """The options of a file like `config/defaults.py`, in its order: list of `OptionInfo`.

    A comment is that of the option below it and of those that follow without a blank line or a comment between.
    One above a group (`_C.MODEL.FPN = CN()`) goes on to the options below the group in the same way, and is that of
    options that a loop fills in. A heading is a line of words between two lines of dashes. Options that were added to
    the global config since it was made are not in the file, and not here.
    """
    source = Path(path).read_text()
    root = import_file("maskrcnn_benchmark_fresh_defaults", path)._C  # the global one may have been changed
    comments, sections = _comments_and_sections(source)
    found, comment_of_group, last_line, comment = {}, {}, 0, ""
    for statement in ast.parse(source).body:
        for target, value in _assignments(statement):
            key = _key(target)
            if not key:
                continue
            if isinstance(target, ast.Subscript):  # in a loop, with a name that only running it tells
                text = comment_of_group.get(key, "")
                names = [option for option in root.keys_of_options() if option.startswith(f"{key}.")]
            else:
                above = comments.get(target.lineno)
                if above is not None:
                    comment = above
                elif target.lineno != last_line + 1:
                    comment = ""
                last_line, text, names = value.end_lineno, comment, [key]
            section = next((title for line, title in reversed(sections) if line < target.lineno), "")
            if _is_group(root, key) and not isinstance(target, ast.Subscript):
                comment_of_group[key] = text
                continue
            for name in names:
                found.setdefault(name, OptionInfo(name, root.value_of(name), text, section))
    return list(found.values())


def show_default(value):
    """A default as one types it: text as it is but where it would be nothing, a file of the package from its folder."""
    if isinstance(value, str) and value.startswith(str(DEFAULTS.parents[2])):
        value = Path(value).relative_to(DEFAULTS.parents[2]).as_posix()
    return repr(value).replace("'", '"')


def _comments_and_sections(source):
    """({number of the first line of code below a block of comments: its text}, [(line, title) of each heading])."""
    lines = {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }
    sections = [
        (number, text)
        for number, text in lines.items()
        if text.strip("-") and _is_rule(lines.get(number - 1)) and _is_rule(lines.get(number + 1))
    ]
    heading = {number + offset for number, _ in sections for offset in (-1, 0, 1)}
    comments, block = {}, []
    for number, text in lines.items():
        if number in heading:
            continue
        block.append(text)
        if number + 1 not in lines:
            comments[number + 1] = " ".join(block)
            block = []
    return comments, sections


def _is_rule(text):
    return bool(text) and not text.strip("-")


def _assignments(statement):
    """(target, value) of each assignment of a statement at the top of the file, loops included, functions not."""
    body = statement.body if isinstance(statement, ast.For) else [statement]
    return [(node.targets[0], node.value) for node in body if isinstance(node, ast.Assign)]


def _key(target):
    """The name of what is assigned to, of `_C.MODEL.FPN` and `_C.MODEL.FPN[name]` "MODEL.FPN"; "" outside the tree."""
    names, node = [], target.value if isinstance(target, ast.Subscript) else target
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return ".".join(names) if isinstance(node, ast.Name) and node.id == _ROOT else ""


def _is_group(root, key):
    return hasattr(root.value_of(key), "keys_of_options")
