"""The one reader of yaml: it takes plain values in UTF-8 and is bounded in whatever a hostile file could let grow.

A file is at most `MAX_BYTES` long, nests at most `MAX_DEPTH` deep and stands, with each alias written out, for at most
`MAX_NODES` values. Tags are not taken, so that nothing but text, numbers, booleans, null, lists and dictionaries comes
out; a date is text. What is wrong is said in one line with the file and the line in it.
"""

import os
import stat
from typing import Any

import yaml

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import decode_text, not_unicode

MAX_BYTES = 256 << 10
MAX_DEPTH = 32
MAX_NODES = 10_000
# Characters of a number at most: a float needs 24
MAX_DIGITS = 64
# Characters of a parser's complaint at most, which may quote what it read
LONGEST_PROBLEM = 200

# Systems without pipes that are files have no flag against waiting for one
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def read_yaml(path: str | os.PathLike) -> object:
    """What a yaml file holds: dictionaries, lists and plain values; None for an empty one.

    Raises:
        UserError: it cannot be read, is no regular file, or `parse_yaml` does not take what it holds.
    """
    try:
        data = _read(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give a file that can be read") from None
    try:
        text = decode_text(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not valid yaml: line {line} {not_unicode(error)}; save it as UTF-8") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, source: str | os.PathLike, remedy: str = "correct it") -> object:
    """What a yaml text holds; messages call it `source` and end with a remedy.

    Raises:
        UserError: it is not valid yaml, names a key twice, has a tag, or is too large, too deep or too long.
    """
    if len(text) > MAX_BYTES:
        raise UserError(f"{source} is not valid yaml of options: it has more than {MAX_BYTES >> 10} KiB; {remedy}")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character U+{error.character:04X} cannot be in it"
        raise UserError(f"{source} is not valid yaml: line {line}: {problem}; {remedy}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ": ".join(part for part in (error.context, error.problem) if part)
        problem = " ".join(said.split())[:LONGEST_PROBLEM]
        raise UserError(f"{source} is not valid yaml: line {mark.line + 1}: {problem}; {remedy}") from None


def _read(path):
    """The bytes of a regular file, one more than `MAX_BYTES` at most; a pipe or a device is not waited for."""
    handle = os.open(path, _FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UserError(f"cannot read {path}: it is not a regular file; give a yaml file")
        with open(handle, "rb", closefd=False) as file:
            return file.read(MAX_BYTES + 1)
    finally:
        os.close(handle)


class _Loader(yaml.SafeLoader):
    """Composes and constructs within the bounds; raises `yaml.MarkedYAMLError` or `yaml.reader.ReaderError` alone."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._count = 0  # values so far, those that aliases stand for included
        self._depth = 0
        self._heights: list[int] = []  # of the open collections: levels below them so far
        # name of an anchor: (values, levels) of what it stands for, once that is complete
        self._anchored: dict[str, tuple[int, int]] = {}

    def fetch_more_tokens(self) -> None:
        try:
            return super().fetch_more_tokens()
        except (ValueError, OverflowError):  # of `chr` and `int`, which the scanner trusts
            raise yaml.scanner.ScannerError(
                None, None, "found a number or a character code out of range", self.get_mark()
            ) from None

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._anchored:
                raise _error(f"the alias *{event.anchor} stands within what it is a name of", event)
            size, height = self._anchored.get(event.anchor, (0, 0))  # an unknown one is named by the composer
            self._add(size, height, event)
            return super().compose_node(parent, index)
        if event.tag is not None:
            raise _error(f"found the tag {event.tag}; write the value without one", event)
        begin = self._count
        self._depth += 1
        self._heights.append(0)
        self._add(1, 0, event)
        node = super().compose_node(parent, index)
        height = self._heights.pop() + 1
        self._depth -= 1
        if self._heights:
            self._heights[-1] = max(self._heights[-1], height)
        if event.anchor is not None:
            self._anchored[event.anchor] = self._count - begin, height
        return node

    def _add(self, size, height, event):
        self._count += size
        if self._count > MAX_NODES:
            raise _error(f"there are more than {MAX_NODES} values, with aliases written out", event)
        if self._depth + height > MAX_DEPTH:
            raise _error(f"values are nested more than {MAX_DEPTH} deep", event)
        if self._heights:
            self._heights[-1] = max(self._heights[-1], height)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node = super().compose_scalar_node(anchor)
        if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise _error(f"found a number of {len(node.value)} characters; {MAX_DIGITS} are enough", node)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a list or a dictionary cannot be a key", key)
            name = key.tag, key.value
            if name in seen:
                raise _error(f"the key {key.value} is there twice", key)
            seen.add(name)
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        try:
            if node.tag == _NUMBERS[0]:
                return self.construct_yaml_int(node)
            return self.construct_yaml_float(node)
        except ValueError:  # such as 0b_, which the resolver takes for a number
            raise _error(f"{node.value} is not a number", node) from None


def _error(problem, place):
    return yaml.constructor.ConstructorError(None, None, problem, place.start_mark)


for _tag in _NUMBERS:
    _Loader.add_constructor(_tag, _Loader.construct_number)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
