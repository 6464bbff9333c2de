"""Runs held against one another: which options differ, what each task gains over the first run, chance over seeds."""

import math
import os
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.delta_m import DELTA_M, relative_gain
from maskrcnn_benchmark.experiments.learning_curves import TASK, TOTAL
from maskrcnn_benchmark.experiments.resuming import MACHINE, TESTING
from maskrcnn_benchmark.experiments.run_folder import RunFolder, find_runs, read_run
from maskrcnn_benchmark.experiments.seed_statistics import Network
from maskrcnn_benchmark.tasks.task import PROPOSALS, TASKS
from maskrcnn_benchmark.utils.errors import UserError

SEED = "SOLVER.SEED"
# Places, which say nothing about a network; PATHS_CATALOG is the checkout's own unless set
_PLACES = ("OUTPUT_DIR", "PATHS_CATALOG")
UNKNOWN = "?"


@dataclass
class Comparison:
    """Runs side by side; the first is what the others are held against.

    Attributes:
        runs: list of `RunFolder`.
        labels: "A", "B", ... for them.
        names: their folders without what all have in front.
        options: {option: list with each run's value}, for those that differ; `UNKNOWN` where its config is missing.
        tasks: keys of all lines that any run has results of, in the table's order.
        scores: for each run {task key: headline metric in 0..1 or nan}.
        gains: for each run {task key: relative gain over the first}, for the tasks that can be compared.
        left_out: for each run {task key: why it has no gain}.
        delta_m: for each run the mean of its gains; nan for the first and without any.
        groups: list of `seed_statistics.Network`, runs of the same options but for the seed, called by their labels and
            with these in place of seeds; [] if none has two runs.
        group_options: for each group {option: value}, of `options` without the seed.
        base: {task key: mean of the first group} for the tasks that the groups' Delta_m is taken over.
        notes: lines that a reader of the tables has to know.
        problems: lines on folders and files that could not be read.
    """

    runs: list[RunFolder]
    labels: list[str]
    names: list[str]
    options: dict[str, list[Any]]
    tasks: list[str] = field(default_factory=list)
    scores: list[dict[str, float]] = field(default_factory=list)
    gains: list[dict[str, float]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    delta_m: list[float] = field(default_factory=list)
    groups: list[Network] = field(default_factory=list)
    group_options: list[dict[str, Any]] = field(default_factory=list)
    base: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def headline(self, key: str) -> str:
        """Name of the metric that stands for a line of the results."""
        return next(run.results[key]["headline"] for run in self.runs if key in run.results)


def compare_folders(folders: Iterable[str | os.PathLike]) -> Comparison:
    """Read runs and compare them.

    Args:
        folders: paths of runs, or of folders that hold runs; a run that is named twice counts once.

    Returns:
        `Comparison`; what cannot be read is in its `problems`.

    Raises:
        UserError: there is no run at all.
    """
    found, problems = {}, []
    for folder in folders:
        try:
            runs, missing = find_runs(folder)
        except UserError as error:
            problems.append(str(error))
            continue
        problems += missing
        found.update({path.resolve(): path for path in runs if path.resolve() not in found})
    if not found:
        raise UserError("; ".join(problems))
    comparison = compare_runs([read_run(path) for path in found.values()])
    comparison.problems = [*problems, *comparison.problems]
    return comparison


def compare_runs(runs: list[RunFolder]) -> Comparison:
    """The `Comparison` of a list of `RunFolder`."""
    labels = [string.ascii_uppercase[i] if len(runs) <= 26 else str(i + 1) for i in range(len(runs))]
    comparison = Comparison(runs, labels, _short_names([run.folder for run in runs]), differing_options(runs))
    keys = dict.fromkeys(key for run in runs for key in run.results if key != DELTA_M.key)
    comparison.tasks = [key for key in (PROPOSALS.key, *TASKS) if key in keys] + [
        key for key in keys if key != PROPOSALS.key and key not in TASKS
    ]
    comparison.scores = [
        {key: result["metrics"][result["headline"]] for key, result in run.results.items() if key in comparison.tasks}
        for run in runs
    ]
    comparison.problems = [line for run in runs for line in run.problems]
    _compare_with_first(comparison)
    _group_by_seed(comparison)
    for label, run in zip(labels, runs):
        if run.error:
            comparison.notes.append(f"{label} {run.state}: {run.error}")
        comparison.notes += [f"{label} {words}" for words in _changes_on_the_way(run)]
        if TOTAL in run.curves and not any(name.startswith(TASK) for name in run.curves):
            comparison.notes.append(f"{label} has no TensorBoard log; its log.txt gives total loss and learning rate")
    return comparison


def differing_options(runs: Sequence[RunFolder]) -> dict[str, list[Any]]:
    """{option: list of each run's value} for the options that are not the same in all runs, places left out.

    An option that a config does not have, because the run is older than the option, has its default. A run without a
    config has `UNKNOWN`, which differs from nothing.
    """
    known = [run.options for run in runs if run.options is not None]
    if not known:
        return {}
    defaults = {key: _plain(default_cfg.value_of(key)) for key in default_cfg.keys_of_options()}
    keys = [*defaults, *dict.fromkeys(key for options in known for key in options if key not in defaults)]
    differing = {}
    for key in keys:
        values = [_plain(options.get(key, defaults.get(key))) for options in known]
        if key not in _PLACES and any(value != values[0] for value in values):
            given = iter(values)
            differing[key] = [UNKNOWN if run.options is None else next(given) for run in runs]
    return differing


def _changes_on_the_way(run):
    """Which options a run's training went on with others of, in words; its config has the last."""
    for start in run.record["starts"] if run.record else ():
        changed = (start.get("changed_options") or {}).items()
        words = [
            f"{key} {' -> '.join(map(option_text, values))}"
            for key, values in changed
            if isinstance(values, list) and not key.startswith((*MACHINE, *TESTING))
        ]
        if words:
            yield f"went on from iteration {start.get('from_iteration')} with other options: {', '.join(words)}"


def _compare_with_first(comparison):
    """Fill in gains, Delta_m and what they are without, and say it in notes."""
    first, base = comparison.runs[0], comparison.scores[0]
    for label, run, scores in zip(comparison.labels, comparison.runs, comparison.scores):
        gains, left_out = {}, {}
        if run is not first and base and scores:
            if run.test_set != first.test_set:
                left_out = dict.fromkeys(scores, "another data set")
                where, there = (name or "an unknown data set" for name in (run.test_set, first.test_set))
                words = f"it was tested on {where}, {comparison.labels[0]} on {there}"
                comparison.notes.append(f"{label} is not compared with {comparison.labels[0]}: {words}")
            else:
                left_out = _not_comparable(run.results, first.results)
                words = "; ".join(
                    f"{', '.join(key for key in left_out if left_out[key] == reason)} ({reason})"
                    for reason in dict.fromkeys(left_out.values())
                )
                tasks = [key for key in comparison.tasks if key in TASKS and key in base and key in scores]
                gains = {key: relative_gain(key, scores[key], base[key]) for key in tasks if key not in left_out}
                if left_out:
                    comparison.notes.append(f"Delta_m of {label} is over {len(gains)} tasks, without {words}")
        comparison.gains.append(gains)
        comparison.left_out.append(left_out)
        comparison.delta_m.append(sum(gains.values()) / len(gains) if gains else math.nan)
    if len(comparison.runs) > 1 and not base:
        comparison.notes.append(f"{comparison.labels[0]} has no results, so there are no gains over it")
    if "DATASETS.DATA_DIR" in comparison.options:
        comparison.notes.append(
            "DATASETS.DATA_DIR differs: data sets of one name that lie in several folders are taken to be the same"
        )


def _not_comparable(ours, base):
    """{task key: why a relative gain of results over others has no meaning}, for the tasks that either has."""
    reasons = {}
    for key in dict.fromkeys([*base, *ours]):
        if key in (DELTA_M.key, PROPOSALS.key):  # no tasks
            continue
        if key not in base or key not in ours:
            reasons[key] = "not measured in both"
        elif key not in TASKS:
            reasons[key] = "not in the table of tasks"
        else:
            reason = _different_measure(ours[key], base[key]) or _no_gain(ours[key], base[key])
            reasons.update({key: reason} if reason else {})
    return reasons


def _different_measure(ours, base):
    """Why two results of a task are not of the same measure, or ""."""
    if ours["headline"] != base["headline"] or ours.get("protocol") != base.get("protocol"):
        return "measured by other definitions"
    names = [{name for values in (r.get("per_class") or {}).values() for name in values} for r in (ours, base)]
    return "measured on other classes" if all(names) and names[0] != names[1] else ""


def _no_gain(ours, base):
    """Why there is no relative gain of a score over another, or ""."""
    ours, base = (result["metrics"][result["headline"]] for result in (ours, base))
    if math.isnan(ours) or math.isnan(base):
        return "not measured in both"
    return "the first scores 0, and a gain over that has no meaning" if base == 0 else ""


def _group_by_seed(comparison):
    """Fill in the groups of runs that differ in their seeds alone, and what their Delta_m is taken over."""
    others = [key for key in comparison.options if key != SEED]
    groups, repeated = {}, []
    for place, run in enumerate(comparison.runs):
        if run.options is not None and comparison.scores[place] and run.test_set == comparison.runs[0].test_set:
            values = [comparison.options[key][place] for key in others]
            places = groups.setdefault(repr(values), (values, []))[1]
            twin = next((each for each in places if comparison.runs[each].seed == run.seed), None)
            if twin is None:
                places.append(place)
            else:  # one more of the same would only make chance look smaller than it is
                words = f"{comparison.labels[place]} repeats {comparison.labels[twin]}, options and seed"
                repeated.append(f"{words}: it is not counted over seeds")
    if all(len(places) < 2 for _, places in groups.values()):
        return
    comparison.notes += repeated
    for values, places in groups.values():
        scores = {comparison.labels[place]: comparison.scores[place] for place in places}
        tasks = tuple(key for key in comparison.tasks if all(key in each for each in scores.values()))
        comparison.groups.append(Network(", ".join(scores), "", tasks, scores))
        comparison.group_options.append(dict(zip(others, values)))
    grouped = [place for _, places in groups.values() for place in places]
    leader = comparison.groups[0]
    for key in (key for key in leader.tasks if key in TASKS):
        metrics = [comparison.scores[place].get(key, math.nan) for place in grouped]
        mean = leader.score(key).mean
        if any(key in comparison.left_out[place] for place in grouped) or any(map(math.isnan, metrics)) or mean == 0:
            comparison.notes.append(f"Delta_m over seeds is without {key}: not all runs have a score to compare")
        else:
            comparison.base[key] = mean


def option_text(value: Any) -> str:
    """An option's value as one would type it."""
    if isinstance(value, list | tuple):
        return repr(tuple(value))
    return "''" if value == "" else str(value)


def _short_names(folders):
    """The folders without the parts that all have in front: list of str."""
    parts = [folder.resolve().parts for folder in folders]
    common = 0
    while len(folders) > 1 and all(len(p) > common + 1 and p[common] == parts[0][common] for p in parts):
        common += 1
    if len(folders) == 1:
        return [folders[0].resolve().name]
    return [str(Path(*p[common:])) for p in parts]


def _plain(value):
    """Lists for tuples, as yaml has them."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
