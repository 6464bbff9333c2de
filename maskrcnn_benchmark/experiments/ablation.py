"""An ablation: many trainings under one budget, and the tables that compare them."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.build import load_vocabulary
from maskrcnn_benchmark.engine.delta_m import read_single_task
from maskrcnn_benchmark.engine.evaluation_report import RESULTS
from maskrcnn_benchmark.engine.results import read_results, write_results
from maskrcnn_benchmark.experiments.ablation_plan import Method, Run, check_options, expand_subsets, make_plan
from maskrcnn_benchmark.experiments.ablation_report import NOT_FINISHED, Ablation, format_markdown, format_text, to_dict
from maskrcnn_benchmark.experiments.planned_runs import (
    Launcher,
    check_same_options,
    duration,
    is_begun,
    is_done,
    read_config,
    remove_checkpoints,
    sole_owner,
)
from maskrcnn_benchmark.experiments.seed_statistics import Network
from maskrcnn_benchmark.experiments.setup import check_training_inputs, make_missing_mini_detail
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks
from maskrcnn_benchmark.utils.errors import Interrupted, UserError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.visualization.ablation_charts import draw_ablation

SCORES, PAGE, PICTURE, SINGLE_TASK = "ablation.json", "ablation.md", "ablation.png", "single_task.json"


def plan_ablation(
    config_file: str | os.PathLike,
    output: str | os.PathLike,
    tasks: Iterable[str],
    methods: Sequence[Method],
    seeds: Sequence[int],
    options: Sequence[str],
) -> list[Run]:
    """The runs of an ablation, checked.

    Args:
        config_file: a yaml.
        output: folder of the ablation.
        tasks: words that `ablation_plan.expand_subsets` takes.
        methods: list of `ablation_plan.Method`.
        seeds: list of int, 0 or more.
        options: (KEY, VALUE, ...) for all runs.

    Returns:
        list of `ablation_plan.Run`.

    Raises:
        UserError: something in it is unknown or does not fit, or the folder has runs of other options.
    """
    check_options(options)
    cfg = read_config(config_file, options)
    if not cfg.DATASETS.TEST:
        raise UserError(f"{config_file}: DATASETS.TEST is empty, and networks are compared by their results on it")
    if any(seed < 0 for seed in seeds):
        raise UserError(f"--seeds {min(seeds)}: give 0 or more")
    runs = make_plan(cfg, expand_subsets(tasks, cfg), methods, seeds, options, output)
    check_runs(runs, config_file)
    return runs


def check_runs(runs: Iterable[Run], config_file: str | os.PathLike) -> None:
    """Raise `UserError` if a run's options are not valid, or its folder has a training of other options."""
    for run in runs:
        cfg = read_config(config_file, run.options)
        trained = {task.key for task in enabled_tasks(cfg) if task.losses}
        if trained != set(run.subset.trained):
            wrong = ", ".join(sorted(trained ^ set(run.subset.trained)))
            raise UserError(f"{run.name}: its options turn {wrong} on or off; leave the choice of tasks to --tasks")
        check_same_options(run, cfg)


def summarize_runs(runs: Sequence[Run], jobs: int) -> str:
    """One or two lines: how many runs there are, and where detection is trained without being asked for."""
    lines = [f"{counted(len(runs), 'run')}, of which {sum(map(is_done, runs))} are done; {jobs} at a time"]
    helped = list(dict.fromkeys(run.subset.name for run in runs if run.subset.trained != run.subset.tasks))
    if helped:
        names = ", ".join(helped[:4]) + (f" and {len(helped) - 4} more" if len(helped) > 4 else "")
        lines.append(f"predictions per box need detection: it is trained with {names}, but not compared there")
    return "\n".join(lines)


def run_ablation(
    runs: Sequence[Run],
    command: Sequence[str],
    config_file: str | os.PathLike,
    output: str | os.PathLike,
    options: Sequence[str],
    places: Sequence[Mapping[str, str]],
    baseline: str = "",
) -> dict[Run, str]:
    """Train what is not trained yet, and compare.

    Args:
        runs: what `plan_ablation` returned.
        command: list of words that train, such as [python, tools/train_net.py].
        config_file, output, options: as `plan_ablation` took them.
        places: what `make_places` returned.
        baseline: file with single-task results, as `delta_m.read_single_task` reads it; "" takes those of the runs.

    Returns:
        {run: what it said last} of the runs that failed.

    Raises:
        Interrupted: a signal came; the trainings were ended in good order.
    """
    single_task = read_single_task(baseline) if baseline else None
    facts = _facts(runs, config_file, options, baseline)
    cfg = read_config(config_file, options)
    check_training_inputs(cfg, all(map(is_begun, runs)))
    with sole_owner(output) as lock:
        # data that is made on first use: here, before two trainings make it at once
        make_missing_mini_detail(cfg)
        load_vocabulary(cfg)
        todo = [run for run in runs if not is_done(run)]
        launcher = Launcher(command, config_file, places, lock)

        def on_success(run, seconds):
            tqdm.write(f"{run.name}: {_headlines(run)} ({duration(seconds)})")
            remove_checkpoints(run)
            write_files(gather(runs, facts, {}, single_task), output)

        failed = launcher.run(todo, len(runs) - len(todo), on_success) if todo else {}
    ablation = gather(runs, facts, failed, single_task)
    write_picture(ablation, output)
    write_files(ablation, output)
    if launcher.asked_to_stop:
        done = sum(map(is_done, runs))
        raise Interrupted(
            f"stopped, {done} of {counted(len(runs), 'run')} are done; run the same command again to go on"
        )
    print(format_text(ablation))
    print(f"Scores: {Path(output) / SCORES}, table: {Path(output) / PAGE}")
    return failed


def scores_of(run: Run) -> dict[str, float]:
    """{task key: headline metric in 0..1 or nan} of a finished run, for the tasks that are compared."""
    results = read_results(run.folder / RESULTS)
    missing = [key for key in run.subset.tasks if key not in results]
    if missing:
        raise UserError(f"{run.folder / RESULTS} has no scores of {', '.join(missing)}; remove {run.folder}")
    return {key: results[key]["metrics"][results[key]["headline"]] for key in run.subset.tasks}


def gather(
    runs: Iterable[Run], facts: dict[str, str], failed: Mapping[Run, str], single_task: dict[str, float] | None
) -> Ablation:
    """The `Ablation` of the runs that have results."""
    scores: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    networks, missing = {}, {}
    for run in runs:
        if not is_done(run):
            missing[run.name] = failed.get(run, NOT_FINISHED)
            continue
        key = run.subset.name, run.method.name
        scores.setdefault(key, {})[run.seed] = scores_of(run)
        networks[key] = Network(*key, run.subset.tasks, scores[key])
    return Ablation(list(networks.values()), facts, missing, single_task)


def write_files(ablation: Ablation, output: str | os.PathLike) -> None:
    """Write ablation.json, ablation.md and single_task.json (for --baseline elsewhere)."""
    output = Path(output)
    write_results(to_dict(ablation), output / SCORES)
    if ablation.baseline is None and ablation.single_task:
        write_results(ablation.single_task, output / SINGLE_TASK)
    with atomic_write(output / PAGE) as file:
        file.write(format_markdown(ablation, PICTURE if (output / PICTURE).is_file() else None).encode())


def write_picture(ablation: Ablation, output: str | os.PathLike) -> None:
    """Write ablation.png, if there is any Delta_m."""
    spreads = [(n.subset, n.method, n.delta_m(ablation.base)) for n in ablation.rows()]
    bars = [(subset, method, delta.mean, delta.deviation) for subset, method, delta in spreads if delta.count]
    if bars:
        with atomic_write(Path(output) / PICTURE) as file:
            file.write(draw_ablation(bars, _matrices(ablation)))


def _facts(runs, config_file, options, baseline):
    methods = {run.method.name: run.method.options for run in runs}
    return {
        "config": str(config_file),
        "options": shlex.join(options) or "none",
        "single-task results": baseline or "of these runs",
        **{f"method {name}": shlex.join(words) for name, words in methods.items()},
    }


def _matrices(ablation):
    matrices = {}
    for method, gains in ablation.pairs.items():
        tasks = [task for task in TASKS if any(task in pair for pair in gains)]
        grid = np.full((len(tasks), len(tasks)), np.nan)
        for (row, column), gain in gains.items():
            grid[tasks.index(row), tasks.index(column)] = gain.mean
        matrices[method] = (tasks, grid)
    return matrices


def _headlines(run):
    paths = {f"{task}/{TASKS[task].headline}": value for task, value in scores_of(run).items()}
    return ", ".join(f"{path.replace('/', ' ')} {metric_text(path, value)}" for path, value in paths.items())
