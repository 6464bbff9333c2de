"""The config tree: yacs, with errors that name the nearest valid key and a record of what was set by hand."""

import ast
import copy
import difflib
import itertools
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from maskrcnn_benchmark.config.options import Option
from maskrcnn_benchmark.utils.arguments import name_of_ours, option_words
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Text, shown
from maskrcnn_benchmark.utils.text import an
from maskrcnn_benchmark.utils.yaml_file import read_yaml

# Options of the original library that have no meaning here. They are accepted so that its users' files load.
OBSOLETE_PREFIXES = ("MODEL.FBNET", "MODEL.ROI_BOX_HEAD.FBNET", "AMP_VERBOSE")

# An installed package carries the folder configs/ within itself
PACKAGE = Path(__file__).resolve().parents[1]

# Longer words are no option's name
LONGEST_KEY = 200

# Options that an error names where only the beginning of one was given
COMPLETIONS = 5

# In a yaml file, not an option but the file to build on
BASE_KEY = "_BASE_"
BASE_PATH = Text(1024, what="the path of one file")
# Files that build on one another, at most
LONGEST_CHAIN = 16

# A value typed as Python writes it has at most so many characters; longer text is taken as it is
LONGEST_TYPED = 4096


class ConfigNode(CfgNode):
    """A yacs `CfgNode` whose merges check key, type and range, and remember which keys were given.

    Values of a yaml file or of the command line replace the defaults only where the key exists, the type agrees and
    the value is in the range of the option's record, if it has one; an integer may stand for a float and a list for a
    tuple. Anything else raises `UserError` in one line.
    """

    # These live in __dict__ as yacs's own flags do, so they are no options and are copied by clone()
    GIVEN = "__given_keys__"
    RECORDS = "__records__"

    def __init__(
        self, init_dict: dict[str, Any] | None = None, key_list: list[str] | None = None, new_allowed: bool = False
    ) -> None:
        super().__init__(init_dict, key_list, new_allowed)
        self.__dict__[ConfigNode.GIVEN] = set()
        self.__dict__[ConfigNode.RECORDS] = {}

    def add(self, option: Option) -> None:
        """Add an option with its default and its range, and the groups that its key names where they are missing.

        The same record once more is no error. An option may also be added without a range, by setting the attribute.

        Raises:
            ValueError: the config is frozen, there is another option or a group of that name, or the default is out of
                range.
        """
        if self.record_of(option.key) == option:
            return
        if self.is_frozen():
            raise ValueError(f"the config is frozen, so {option.key} cannot be added; add it before the config is read")
        problem = option.problem(option.default)
        if problem is not None:
            raise ValueError(f"the default of {problem}")
        *groups, name = option.key.split(".")
        node = self
        for group in groups:
            if group not in node:
                node[group] = ConfigNode()
            node = node[group]
            if not isinstance(node, CfgNode):
                raise ValueError(f"{option.key} cannot be added: {group} is an option, not a group")
        if name in node:
            raise ValueError(f"{option.key} is there already; choose another name")
        node[name] = copy.deepcopy(option.default)
        self.__dict__[ConfigNode.RECORDS][option.key] = option

    def remove(self, option: Option) -> None:
        """Take an option away that `add` has added, and the groups that are empty without it."""
        *groups, name = option.key.split(".")
        nodes = list(itertools.accumulate(groups, lambda node, group: node[group], initial=self))
        del nodes[-1][name]
        for node, group in reversed(list(zip(nodes, groups))):
            if not node[group]:
                del node[group]
        del self.__dict__[ConfigNode.RECORDS][option.key]

    def record_of(self, key: str) -> Option | None:
        """The record of an option; None where it was added without one."""
        return self.__dict__[ConfigNode.RECORDS].get(key)

    def records(self) -> list[Option]:
        """The records of all options that have one, in the order in which they were added."""
        return list(self.__dict__[ConfigNode.RECORDS].values())

    def merge_from_file(self, cfg_filename: str | os.PathLike) -> None:
        """Merge a yaml file.

        A file may name another, relative to its own folder, under the key `_BASE_`; that one is merged first. Raises
        `UserError` if a file is missing, is not yaml, builds on itself, or holds an unknown or mistyped key.
        """
        path = Path(cfg_filename)
        if not path.is_file() and (PACKAGE / path).is_file():
            path = PACKAGE / path  # configs/... of an installed package, from any folder
        self._merge_file(path, ())

    def merge_from_list(self, cfg_list: Iterable[Any]) -> None:
        """Merge `[KEY, value, KEY, value, ...]`, as typed after a command; "KEY=value" is a key and its value."""
        cfg_list = option_words(cfg_list)
        for key, value in zip_longest(map(str, cfg_list[::2]), cfg_list[1::2]):
            if key.endswith((".yaml", ".yml")):
                raise UserError(f"{shown(key)} stands where an option is expected; give a file with --config-file FILE")
            if isinstance(value, str) and value[:1] in ("(", "[") and value[-1] not in ")]":
                raise UserError(
                    f"the command line: {key[:LONGEST_KEY]} {shown(value)} is a list without its end; put quotes "
                    "around a value that has spaces: '(1, 2)'"
                )
        if "=" in cfg_list:
            raise UserError("the command line: write KEY=VALUE without spaces, or KEY VALUE")
        if len(cfg_list) % 2:
            raise UserError(f"options come in pairs KEY VALUE, but {cfg_list[-1]!r} stands alone")
        for key, value in zip(cfg_list[::2], cfg_list[1::2]):
            self._assign(str(key), value, "the command line")

    def merge_from_other_cfg(self, cfg_other: Mapping[str, Any]) -> None:
        """Merge another tree, for instance the one that a checkpoint carries."""
        self.merge_from_tree(cfg_other, "the other config")

    def merge_from_tree(self, tree: Mapping[str, Any], source: str) -> None:
        """Merge nested dictionaries, such as those of a yaml text; messages call them `source`."""
        self._merge_tree(tree, (), source)

    def is_given(self, key: str) -> bool:
        """Whether `key` ("MODEL.MASK_ON") was set by a file or a command line rather than left at its default."""
        return key in self.__dict__[ConfigNode.GIVEN]

    def value_of(self, key: str) -> Any:
        """The option or the group of options that is called `key`, such as "MODEL.MASK_ON"."""
        node = self
        for name in key.split("."):
            node = node[name]
        return node

    def keys_of_options(self) -> list[str]:
        """All option names, in the order of definition: ["MODEL.RPN_ONLY", ...]."""
        return list(_leaves(self, ()))

    def _merge_file(self, path: Path, builders: tuple[Path, ...]) -> None:
        """Merge a file; `builders` are the files that name it, each the base of the one before."""
        if path.resolve() in [builder.resolve() for builder in builders]:
            chain = " -> ".join(str(p) for p in (*builders, path))
            raise UserError(f"a config file builds on itself through _BASE_: {chain}; remove _BASE_ from one of them")
        if len(builders) == LONGEST_CHAIN:
            raise UserError(
                f"{builders[0]}: more than {LONGEST_CHAIN} files build on one another through _BASE_; join some"
            )
        tree = _read_tree(path, builders)
        base = tree.pop(BASE_KEY, None)
        if base is not None:
            if not BASE_PATH.holds(base):
                raise UserError(f"{path}: _BASE_ takes {BASE_PATH.what}, not the {type(base).__name__} {shown(base)}")
            self._merge_file(path.parent / base, (*builders, path))
        self._merge_tree(tree, (), str(path))

    def _merge_tree(self, tree: Mapping[str, Any], path: tuple[str, ...], source: str) -> None:
        for name, value in tree.items():
            here = (*path, str(name))
            node = _find(self, here)
            if isinstance(value, dict) and isinstance(node, CfgNode):
                self._merge_tree(value, here, source)
            elif isinstance(value, dict) and node is _MISSING and not _obsolete(".".join(here)):
                raise UserError(self._unknown(".".join(here), source))
            else:
                self._assign(".".join(here), value, source)

    def _assign(self, key: str, value: Any, source: str) -> None:
        if _obsolete(key):
            warnings.warn(f"{source}: option {key} has no effect any more and is ignored", stacklevel=4)
            return
        path = key.split(".")
        current = _find(self, path)
        if current is _MISSING:
            raise UserError(self._unknown(key, source))
        if isinstance(current, CfgNode):
            raise UserError(
                f"{source}: {key} is a group of options ({', '.join(list(current)[:4])}, ...), not an option"
            )
        parent = _find(self, path[:-1]) if len(path) > 1 else self
        if parent.is_frozen():
            raise UserError(f"{source}: the config is frozen, {key} cannot change any more")
        record = self.record_of(key)
        value = _coerce(_decode(value, current, record), current, record, f"{source}: {key}")
        if record is not None:
            record.check(value, source)
        parent[path[-1]] = value
        self.__dict__[ConfigNode.GIVEN].add(key)

    def _unknown(self, key: str, source: str) -> str:
        if len(key) > LONGEST_KEY or not key.isprintable():
            return f"{source}: unknown option {shown(key)}"
        options = self.keys_of_options()
        begun = [option for option in options if option.startswith(key)]
        if begun:
            more = f", ... ({len(begun)} in all)" if len(begun) > COMPLETIONS else ""
            return f"{source}: unknown option {key}; options that begin so: {', '.join(begun[:COMPLETIONS])}{more}"
        ours = name_of_ours(key, options.__contains__) if key else None
        near = [ours] if ours else difflib.get_close_matches(key, options, 1, 0.5)
        if not near:
            near = [o for o in options if o.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]][:1]
        hint = f"; did you mean {near[0]}?" if near else ""
        if key.startswith("MODEL.") and key.endswith("_ON"):
            hint += " (the switch of a task of your own? TORCH_DETECTRON_ENV_MODULE names the file that adds it)"
        return f"{source}: unknown option {key}{hint}"


def drop_options(tree: Any, keys: Iterable[str]) -> None:
    """Take options out of nested dictionaries, such as those of a yaml text, in place; what is not there is no error.

    Args:
        tree: what a yaml file of options holds.
        keys: names such as "MODEL.WEIGHT".
    """
    for key in keys:
        *groups, name = key.split(".")
        node = tree
        for group in groups:
            node = node.get(group) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(name, None)


_MISSING = object()


def _read_tree(path: Path, builders: Sequence[Path]) -> dict[str, Any]:
    """The options that a yaml file holds, as nested dictionaries; `builders` as for `ConfigNode._merge_file`."""
    whose = f", which {builders[-1]} names as its _BASE_" if builders else ""
    try:
        is_there = path.exists()
    except OSError as error:
        raise UserError(f"cannot read the config file {shown(str(path))}{whose}: {error.strerror}") from None
    if not is_there:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], 1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise UserError(f"no such config file: {path}{whose}{hint}")
    tree = read_yaml(path) or {}
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold a tree of options, but holds {an(type(tree).__name__)}")
    return tree


def _find(node: Any, path: Iterable[str]) -> Any:
    for name in path:
        if not isinstance(node, CfgNode) or name not in node:
            return _MISSING
        node = node[name]
    return node


def _leaves(node: CfgNode, path: tuple[str, ...]) -> Iterator[str]:
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, (*path, name))
        else:
            yield ".".join((*path, name))


def _obsolete(key: str) -> bool:
    return any(key == prefix or key.startswith(prefix + ".") for prefix in OBSOLETE_PREFIXES)


_NOUNS = {bool: "True or False", int: "an integer", float: "a number", str: "text", tuple: "a tuple", list: "a list"}
# What other formats write for values that Python writes otherwise
_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING = ("none", "null")


def _decode(value: Any, current: Any, record: Option | None) -> Any:
    """A value typed by a person: "(1, 2)" is a tuple, "0.1" a number; for an option that takes text it stays text.

    "true", "off" and the like are flags and "none" and "null" are None, in capitals or not, where the option has such.
    """
    if not isinstance(value, str) or len(value) > LONGEST_TYPED:
        return value
    word = value.strip().lower()
    if isinstance(current, bool) and word in _FLAGS:
        return _FLAGS[word]
    if word in _NOTHING and (record is None or any(map(record.range.holds, ("", ())))):
        return None
    try:
        typed = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # all that it raises for a text
        return _names(value) if isinstance(current, list | tuple) else value
    if isinstance(current, str):
        return typed if isinstance(typed, str | None) else value
    # quoted once more, as shells within shells do
    return typed if not isinstance(typed, str) or typed == value else _decode(typed, current, record)


def _names(value: str) -> Any:
    """Names without quotes: "a,b", "[a, b]" and "(a, b)" are two; a single word stays as it is."""
    bare = value[1:-1] if value[:1] + value[-1:] in ("()", "[]") else value
    names = [name.strip().strip("'\"") for name in bare.split(",")]
    if (bare == value and len(names) == 1) or any(set(name) & set("{}") for name in names):
        return value
    if any(set(name) & set("()[]") for name in names):  # pairs, as in "[[dog, 3], [sky, 0.5]]"
        try:
            nested = ast.literal_eval(re.sub(_WORD, _quoted, value))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return value
        return nested if isinstance(nested, list | tuple) else value
    return [name for name in names if name]


# Of a row of rows: what is in quotes, or lies between brackets and commas
_WORD = re.compile(r"""'[^']*'|"[^"]*"|[^\[\](),'"]+""")


def _quoted(found: re.Match[str]) -> str:
    """A word as Python writes it; numbers, what is in quotes, and space stay."""
    word = found[0].strip()
    try:
        ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return repr(word) if word else ""
    return word


def _is_float(value: Any) -> bool:
    """Whether a value is an integer that may stand for a float."""
    return type(value) is int and abs(value) <= sys.float_info.max


def _coerce(value: Any, current: Any, record: Option | None, place: str) -> Any:
    """A value in the type of an option; `UserError` where it cannot be, which begins with `place`."""
    wanted = type(current)
    if isinstance(value, list | tuple) and isinstance(current, list | tuple):
        if current and all(isinstance(c, list | tuple) for c in current):  # rows, each like the first
            return wanted(_coerce(v, current[0], record, place) if isinstance(v, list | tuple) else v for v in value)
        numbers = current and all(isinstance(c, float) for c in current)
        return wanted(float(v) if numbers and _is_float(v) else v for v in value)
    if wanted is float and _is_float(value):
        return float(value)
    if wanted is int and type(value) is float and value.is_integer():  # 1e5
        return int(value)
    if wanted is tuple and type(value) in (int, float, str):
        return (value,) if value != "" else ()
    if value is None and wanted in (str, tuple, list):
        return wanted()
    if type(value) is not wanted:
        range_ = _NOUNS.get(wanted, f"a {wanted.__name__}") if record is None else record.range.words
        range_ = f"a {wanted.__name__} of {range_}" if record is not None and wanted in (tuple, list) else range_
        raise UserError(f"{place} takes {range_}, such as {shown(current)}, not {shown(value)}")
    return value
