"""Scoring answers that lie in files: worker processes read and compare image by image, this one makes the figures."""

import gc
import logging
import math
from pathlib import Path

import cv2
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from maskrcnn_benchmark.engine.inference import RESULTS
from maskrcnn_benchmark.engine.interruption import leave_signals_to_parent
from maskrcnn_benchmark.evaluation.build import build_evaluators
from maskrcnn_benchmark.evaluation.report import format_table, gather_results, write_results
from maskrcnn_benchmark.evaluation.result_files import write_summary
from maskrcnn_benchmark.utils.miscellaneous import mkdir

logger = logging.getLogger(__name__)


def score_files(dataset, predictions, tasks=None, protocols=None, workers=0):
    """Score answers on a data set as `engine.inference.inference` scores a network's.

    Args:
        dataset: has `get_annotations(index)`, `get_img_info(index)` and `vocabulary`; images are not opened.
        predictions: its `answers(index, tasks)` are the `ImageAnswers`, such as a `PredictionReader`.
        tasks: task keys; by default `predictions.tasks`.
        protocols: the `evaluation.protocols.Protocols`; by default those of published figures.
        workers: processes beside this one that read and compare; 0 does it here.

    Returns:
        {task key: evaluator}, each with its `scores` and the records of all annotated images by index.

    Raises:
        UserError: an answer that does not fit its image, once it is read.
    """
    tasks = list(predictions.tasks if tasks is None else tasks)
    evaluators = build_evaluators(tasks, dataset.vocabulary, protocols)
    items = _Records(dataset, predictions, build_evaluators(tasks, dataset.vocabulary, protocols))
    if workers:
        # Workers are forks that share the annotations: a collection in one would touch, and so copy, all their pages
        gc.collect()
        gc.freeze()
    try:
        loader = DataLoader(
            items, batch_size=None, num_workers=workers, collate_fn=_as_it_is, worker_init_fn=_start_worker
        )
        for states in tqdm(loader, desc="score", unit="image", disable=None):
            for task, state in states.items():
                evaluators[task].merge([state])
    finally:
        gc.unfreeze()
    for evaluator in tqdm(evaluators.values(), desc="figures", unit="task", disable=None):
        evaluator.evaluate()
    return evaluators


def report_scores(evaluators, folder, single_task=None):
    """Show the table of scores and write them down.

    Args:
        evaluators: what `score_files` returned.
        folder: where `results.json` and pycocotools' own summary go; it is made.
        single_task: results of other networks to compare with, as `engine.run.read_results` reads them, or None.

    Returns:
        {task key: {"headline": name, "metrics": {...}, "trivial": {}}}, the content of `results.json`.
    """
    mkdir(folder)
    results = gather_results({task: each.scores.metrics for task, each in evaluators.items()}, {})
    write_results(results, Path(folder) / RESULTS)
    write_summary(evaluators, folder)
    logger.info("Results:\n%s", format_table(results))
    for task, evaluator in evaluators.items():
        if evaluator.scores.reason:
            logger.info("%s: %s", task, evaluator.scores.reason)
    for task, result in results.items():
        if single_task and task in single_task:
            name = result["headline"]
            here, there = result["metrics"][name], single_task[task]["metrics"].get(name, math.nan)
            logger.info("%s %s %.1f, single task %.1f", task, name, 100 * here, 100 * there)
    logger.info("Results: %s", Path(folder) / RESULTS)
    return results


class _Records(Dataset):
    """What the evaluators keep of each image: {task key: `Evaluator.state`}."""

    def __init__(self, dataset, predictions, evaluators):
        self.dataset = dataset
        self.predictions = predictions
        self.evaluators = evaluators

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        target = self.dataset.get_annotations(index)
        annotated = {task: each for task, each in self.evaluators.items() if each.is_annotated(target)}
        answers = self.predictions.answers(index, list(annotated))
        states = {}
        for task, evaluator in annotated.items():
            evaluator.reset()
            evaluator.process([answers], [target], [index])
            states[task] = evaluator.state()
        return states


def _as_it_is(item):
    return item


def _start_worker(worker_id):
    leave_signals_to_parent(worker_id)
    cv2.setNumThreads(1)  # torch's threads are one in a worker anyway
