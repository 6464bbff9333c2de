"""What an evaluation leaves behind for people: the table of classes, the curves, and the report with its pictures."""

import math
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.dataset import as_dataset
from maskrcnn_benchmark.evaluation.delta_m import add_delta_m, read_single_task
from maskrcnn_benchmark.evaluation.report import gather_results, table_rows, title_of, write_class_table, write_results
from maskrcnn_benchmark.prediction_files.as_prediction import to_prediction
from maskrcnn_benchmark.prediction_files.layout import MAPS
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.tasks.task import OWN_TASKS
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.visualization.curves import draw_curve
from maskrcnn_benchmark.visualization.drawers import DRAWERS
from maskrcnn_benchmark.visualization.run_report import Example, TaskReport, write_report

RESULTS, CLASS_TABLE, REPORT, CURVES = "results.json", "per_class.csv", "report.html", "curves"


def compare_results(evaluators, trivial=None, single_task=""):
    """The results of evaluators beside what they are compared with.

    Args:
        evaluators: {task key: evaluator after `evaluate`}.
        trivial: {task key: {metric: value}} of the trivial predictor.
        single_task: file with the results of single-task networks, see `delta_m.read_single_task`; "" for none.

    Returns:
        the results, as `evaluation.report.gather_results` says, with Delta_m where there is a file to compare with.
    """
    results = gather_results({key: evaluator.scores for key, evaluator in evaluators.items()}, trivial or {})
    return add_delta_m(results, read_single_task(single_task)) if single_task else results


def leave_results(evaluators, results, folder, interactions=None):
    """Write `results.json`, `per_class.csv` and `curves/NAME.png`.

    Args:
        evaluators: {task key: evaluator after `evaluate`}.
        results: what `compare_results` returned.
        folder: where to.
        interactions: of the tasks in training, as `Interactions.summary` returns them, or None.
    """
    folder = Path(folder)
    mkdir(folder / CURVES)
    for evaluator in evaluators.values():
        for curve in evaluator.scores.curves:
            with atomic_write(folder / CURVES / f"{curve.name}.png") as file:
                file.write(draw_curve(curve))
    write_class_table(results, folder / CLASS_TABLE)
    write_results(results, folder / RESULTS, interactions)


def report_files(evaluators, results, dataset, folder, name, count, interactions=None):
    """Write the report of answers that a `PredictionWriter` wrote into a folder, into that folder.

    Args:
        evaluators, results, dataset, count, interactions: as those of `report_run`.
        folder: of the files.
        name: of the data set.

    Returns:
        `Path` of the report.
    """
    tasks = [key for key in evaluators if _is_drawn(key)]
    reader = PredictionReader(dataset, find_predictions(folder), tasks) if tasks else None
    facts = [("data set", name), ("images", str(len(dataset))), ("answers", str(folder))]
    title = f"Evaluation on {name}"
    return report_run(evaluators, results, dataset, reader, folder, title, facts, count, interactions)


def report_run(evaluators, results, dataset, predictions, folder, title, facts, count=3, interactions=None):
    """Write `report.html`: the results, the curves, and of each task the images that went worst and best.

    Args:
        evaluators: {task key: evaluator that knows images by their index in the data set}.
        results: what `compare_results` returned.
        dataset: `dataset[index]` is (image, annotations, index); where its images are missing, their place stays white.
        predictions: its `answers(index, tasks)` are the `ImageAnswers`, such as a `PredictionReader`.
        folder: where to.
        title: heading.
        facts: list of (name, text) said below it.
        count: number of images at either end; 0 draws none.
        interactions: as `leave_results` takes it.

    Returns:
        `Path` of the report.
    """
    show = _Images(dataset, predictions)
    tasks = []
    for key, result in results.items():
        evaluator = evaluators.get(key)
        worst, best = ([], [])
        if _is_drawn(key) and count:
            worst, best = _extremes(evaluator.image_scores(), count)
        tasks.append(
            TaskReport(
                key,
                title_of(key),
                result["protocol"],
                result["reason"],
                result["metrics"],
                result["per_class"],
                [] if evaluator is None else evaluator.scores.curves,
                *([show(key, index, score) for index, score in group] for group in (worst, best)),
            )
        )
    rows = table_rows(results)
    return write_report(Path(folder) / REPORT, title, facts, rows, tasks, dataset.vocabulary, interactions)


def _is_drawn(key):
    """Whether a report shows a line's answers: a thousand proposals are no picture, an added task may have no files."""
    return key in OWN_TASKS or key in MAPS


def _extremes(scores, count):
    """([(key, score)] of the worst, worst first; of the best, best first), no image in both."""
    ranked = sorted((item for item in scores.items() if not math.isnan(item[1])), key=lambda item: item[1])
    best = ranked[::-1][: min(count, (len(ranked) + 1) // 2)]
    worst = ranked[: min(count, len(ranked) - len(best))]
    return worst, best


class _Images:
    """Examples by task and index; an image that several tasks show is read once."""

    def __init__(self, dataset, predictions):
        self.dataset = as_dataset(dataset)
        self.predictions = predictions
        self._pictures = {}

    def __call__(self, task, index, score):
        info = self.dataset.get_img_info(index)
        if index not in self._pictures:
            self._pictures[index] = self._picture(index, info)
        prediction = to_prediction(self.predictions.answers(index, [task]), self.dataset.vocabulary, task)
        drawn = (
            DRAWERS[task](self._pictures[index], answer, self.dataset.vocabulary)
            for answer in (self.dataset.get_annotations(index), prediction)
        )
        return Example(str(info.get("file_name", info.get("image_id", index))), score, *drawn)

    def _picture(self, index, info):
        if not self.dataset.has_images:
            return np.full((info["height"], info["width"], 3), 255, np.uint8)
        return np.asarray(self.dataset.open_image(index).convert("RGB"))
