"""A sweep: one training for each value of an option, or for each combination of several, and their comparison."""

import ast
import hashlib
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tqdm import tqdm

from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.data.build import load_vocabulary
from maskrcnn_benchmark.engine.evaluation_report import RESULTS
from maskrcnn_benchmark.engine.results import read_results
from maskrcnn_benchmark.engine.trainer import FINAL
from maskrcnn_benchmark.experiments.comparison import SEED, compare_folders
from maskrcnn_benchmark.experiments.comparison_files import PAGE, SCORES, write_comparison
from maskrcnn_benchmark.experiments.comparison_report import format_text
from maskrcnn_benchmark.experiments.planned_runs import (
    Launcher,
    Purpose,
    check_same_options,
    duration,
    is_begun,
    is_done,
    read_config,
    sole_owner,
)
from maskrcnn_benchmark.experiments.run_folder import CONFIG
from maskrcnn_benchmark.experiments.setup import check_training_inputs, make_missing_mini_detail
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.utils.errors import Interrupted, UserError, line_of
from maskrcnn_benchmark.utils.text import counted

OUTPUT = "OUTPUT_DIR"
SWEEP = Purpose("sweep", OUTPUT)
SWEEP_WITHOUT_TEST = Purpose("sweep", OUTPUT, f"{FINAL}.pth")
_LONGEST_VALUE, _LONGEST_NAME = 40, 200  # letters of a value, and of all, in a folder's name
_PLAIN = re.compile(r"-?[A-Za-z0-9_][A-Za-z0-9_.-]*")
_QUOTED_WORD = re.compile(r"'[a-z][a-z0-9_]*'")  # without its quotes it is still no number
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class SweepRun:
    """One training of a sweep, a planned run: see `planned_runs`."""

    name: str
    folder: Path
    options: tuple[str, ...]
    purpose: Purpose = SWEEP


@dataclass(frozen=True)
class Axis:
    """One option of a sweep.

    Attributes:
        key: of the option.
        values: its values as text, as one would type them, each once.
    """

    key: str
    values: tuple[str, ...]
    flag: ClassVar[str] = "--sweep"


def parse_sweep(text: str, cfg: ConfigNode) -> Axis:
    """The `Axis` of "KEY=a,b,c". Commas within brackets or quotes belong to a value.

    Args:
        text: what follows --sweep.
        cfg: the config that the values must fit.

    Raises:
        UserError: it has no such form, the key is unknown, or a value is of the wrong type.
    """
    key, equals, rest = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UserError(f"{Axis.flag} {text}: give KEY=a,b,c, such as SOLVER.BASE_LR=0.01,0.02")
    if key == OUTPUT:
        raise UserError(f"{Axis.flag} {text}: each run has a folder of its own below OUTPUT_DIR already")
    values = []
    for value in split_values(rest, text):
        trial = cfg.clone()
        try:
            trial.merge_from_list([key, value])
        except UserError as error:
            raise UserError(f"{Axis.flag} {text}: {str(error).removeprefix('the command line: ')}") from None
        if key not in cfg.keys_of_options():
            raise UserError(f"{Axis.flag} {text}: {key} has no effect any more")
        values.append(_typed(trial, key))
    return Axis(key, tuple(dict.fromkeys(values)))


def split_values(text: str, where: str = "") -> list[str]:
    """The values of "a,b,c": list of str. `UserError` if a bracket or a quote is left open."""
    values, open_brackets, quote, start = [], [], "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _BRACKETS:
            open_brackets.append(_BRACKETS[letter])
        elif letter in _BRACKETS.values():
            if not open_brackets or open_brackets.pop() != letter:
                raise UserError(f"{Axis.flag} {where or text}: the bracket {letter!r} closes nothing")
        elif letter == "," and not open_brackets:
            values.append(text[start:place])
            start = place + 1
    if quote or open_brackets:
        raise UserError(f"{Axis.flag} {where or text}: {quote or open_brackets[-1]!r} is missing at the end")
    return [value.strip() for value in [*values, text[start:]]]


def plan_sweep(
    config_file: str | os.PathLike, sweeps: Iterable[str], options: Sequence[str], skip_test: bool = False
) -> tuple[Path, list[SweepRun]]:
    """The runs of a sweep, checked before anything starts; seeds are the outer loop, so that all values have one early.

    Args:
        config_file: a yaml.
        sweeps: list of "KEY=a,b,c"; several are a grid.
        options: (KEY, VALUE, ...) for all runs; OUTPUT_DIR is the folder of the sweep.
        skip_test: the runs end after training.

    Returns:
        (folder of the sweep, list of `SweepRun`).

    Raises:
        UserError: something in it is unknown or does not fit, or a folder has a run of other options.
    """
    cfg = read_config(config_file, options)
    axes = [parse_sweep(text, cfg) for text in sweeps]
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"{Axis.flag} {key} is given twice; put all its values into one")
        if key in options[::2]:
            raise UserError(f"{key} is swept over, so it cannot be set for all runs, too; leave one of the two out")
    base = Path(cfg.OUTPUT_DIR)
    if (base / CONFIG).is_file():
        raise UserError(f"{base} has a run in it; give the sweep a folder of its own: OUTPUT_DIR {base}_sweep")
    common = _without(options, OUTPUT)
    runs = []
    for values in sorted(itertools.product(*(axis.values for axis in axes)), key=lambda v: _seed_place(axes, v)):
        pairs = list(zip(keys, values))
        name = run_name(pairs)
        words = (*common, *(word for pair in pairs for word in pair))
        runs.append(SweepRun(name, base / name, words, SWEEP_WITHOUT_TEST if skip_test else SWEEP))
    for run in runs:
        check_same_options(run, read_config(config_file, run.options))
    return base, runs


def run_name(pairs: Iterable[tuple[str, str]]) -> str:
    """The name of a run and its folder, from (key, value as text) of each axis: "SOLVER.BASE_LR_0.01+SOLVER.SEED_1"."""
    name = "+".join(f"{key}_{folder_word(value)}" for key, value in pairs)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}-{_digest(name)}"


def folder_word(value: str) -> str:
    """A value as part of a folder's name, of letters, digits, ".", "-" and "_": two values have two words.

    Numbers and words are themselves, (10, 20) is "10-20", and "" is "none". Anything else ends in a digest of it.
    """
    if value in ("", "()"):
        return "none"
    parts = [value]
    if value.startswith("(") and value.endswith(")"):
        parts = [part.strip() for part in value[1:-1].rstrip(",").split(",")]
        parts = [part[1:-1] if _QUOTED_WORD.fullmatch(part) else part for part in parts]
    word = "-".join(parts)
    joined = len(parts) > 1 and any("-" in part for part in parts)  # which minus joins could not be told
    if _PLAIN.fullmatch(word) and not joined and len(word) <= _LONGEST_VALUE and word != "none":
        return word
    readable = re.sub(r"[^A-Za-z0-9._]+", "_", word).strip("._")[:_LONGEST_VALUE]
    return f"{readable}-{_digest(value)}"


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def run_sweep(
    runs: Sequence[SweepRun],
    base: Path,
    command: Sequence[str],
    config_file: str | os.PathLike,
    places: Sequence[Mapping[str, str]],
) -> dict[SweepRun, str]:
    """Train what is not trained yet, and compare all.

    Args:
        runs, base, config_file: of `plan_sweep`.
        command: list of words that train, such as [python, tools/train_net.py].
        places: what `planned_runs.make_places` returned.

    Returns:
        {run: what it said last} of the runs that failed.

    Raises:
        Interrupted: a signal came; the trainings were ended in good order.
    """
    with sole_owner(base) as lock:
        todo = [run for run in runs if not is_done(run)]
        # data that is made on first use: here, before two trainings make it at once
        configs = [read_config(config_file, run.options) for run in todo]
        trained_alike = {(str(cfg.DATASETS), cfg.MODEL.WEIGHT): (run, cfg) for run, cfg in zip(todo, configs)}
        for run, cfg in trained_alike.values():
            check_training_inputs(cfg, is_begun(run), run.purpose is SWEEP_WITHOUT_TEST)
        for cfg in {str(cfg.DATASETS): cfg for cfg in configs}.values():
            make_missing_mini_detail(cfg)
            load_vocabulary(cfg)
        launcher = Launcher(command, config_file, places, lock)
        failed = launcher.run(todo, len(runs) - len(todo), _tell) if todo else {}
    _compare(runs, base)
    if launcher.asked_to_stop:
        done = sum(map(is_done, runs))
        raise Interrupted(
            f"stopped, {done} of {counted(len(runs), 'run')} are done; run the same command again to go on"
        )
    return failed


def _compare(runs, base):
    begun = [run.folder for run in runs if (run.folder / CONFIG).is_file()]
    if not begun:
        return
    comparison = compare_folders(begun)
    print(format_text(comparison, shutil.get_terminal_size((120, 24)).columns))
    page, scores = write_comparison(comparison, base / PAGE, base / SCORES)
    print(f"Comparison: {page}, scores: {scores}", flush=True)
    for line in comparison.problems:
        print(f"error: {line_of(line)}", file=sys.stderr)


def _tell(run, seconds):
    path, words = run.folder / RESULTS, "trained"
    if path.is_file():
        found = {key: (r["headline"], r["metrics"][r["headline"]]) for key, r in read_results(path).items()}
        words = ", ".join(f"{key} {name} {metric_text(f'{key}/{name}', v)}" for key, (name, v) in found.items())
    tqdm.write(f"{run.name}: {words} ({duration(seconds)})")


def _seed_place(axes, values):
    """Place of a combination's seed among those of the sweep; sorting by it keeps the order of all else."""
    return next((axis.values.index(value) for axis, value in zip(axes, values) if axis.key == SEED), 0)


def _typed(cfg, key):
    """The value of an option as text of one form, which is read as that value: 1e-2 and 0.01 are the same."""
    value = cfg.value_of(key)
    if not isinstance(value, str):
        return repr(value)
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    return repr(value)  # text that would be read as a number


def _without(options, key):
    pairs = zip(options[::2], options[1::2])
    return tuple(word for pair in pairs if pair[0] != key for word in pair)
