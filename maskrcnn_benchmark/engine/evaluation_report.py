"""What an evaluation leaves behind for people: the table of classes, the curves, and the report with its pictures."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.dataset import as_dataset
from maskrcnn_benchmark.engine.delta_m import add_delta_m, read_single_task
from maskrcnn_benchmark.engine.image_subset import LISTED, ImageSubset
from maskrcnn_benchmark.engine.results import gather_results, table_rows, title_of, write_class_table, write_results
from maskrcnn_benchmark.evaluation.coco.summaries import write_summary
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.prediction_files.as_prediction import to_prediction
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.tasks.consistency import consistency_rows
from maskrcnn_benchmark.tasks.metric_text import metric_text
from maskrcnn_benchmark.tasks.task import TASKS, Task
from maskrcnn_benchmark.utils.files import atomic_write, mkdir
from maskrcnn_benchmark.visualization.curves import draw_curve
from maskrcnn_benchmark.visualization.run_report import Example, TaskReport, write_report

RESULTS, CLASS_TABLE, REPORT, CURVES = "results.json", "per_class.csv", "report.html", "curves"
CONSISTENCY_FILE = "consistency.json"


class EvaluationReport:
    """The results of evaluators beside what they are compared with, and how they are shown.

    Args:
        evaluators: {task key: evaluator after `evaluate`, which knows images by their index in the data set}.
        dataset: the data set. For `write_page` its item at an index is (image, annotations, index); where its images
            are missing, their place stays white.
        trivial: {task key: {metric: value}} of the trivial predictor.
        single_task: file with the results of single-task networks, see `delta_m.read_single_task`; "" for none.
        interactions: of the tasks in training, as `Interactions.summary` returns them, or None.
        subset: the images on which scores are stated as well, or None.
        delta_m_metrics: a key of `delta_m.METRICS`.
        consistency: contradictions between tasks, as `ConsistencyEvaluator.to_dict` says, or None.

    Attributes:
        results: as `results.gather_results` says, with Delta_m where there is a file to compare with, and under
            "listed" the metrics on a subset: {"name": of the list, "images": number, "metrics": {...}}.
    """

    def __init__(
        self,
        evaluators: Mapping[str, Evaluator],
        dataset: Any,
        trivial: Mapping[str, Mapping[str, float]] | None = None,
        single_task: str | os.PathLike = "",
        interactions: dict[str, Any] | None = None,
        subset: ImageSubset | None = None,
        delta_m_metrics: str = "headline",
        consistency: dict[str, Any] | None = None,
    ) -> None:
        self.consistency = consistency
        self.evaluators, self.dataset, self.interactions = evaluators, dataset, interactions
        results = gather_results({key: evaluator.scores for key, evaluator in evaluators.items()}, trivial or {})
        if subset is not None:
            for key, result in results.items():
                metrics = dict(evaluators[key].scores_of(subset.indices).metrics)
                result[LISTED] = {"name": subset.name, "images": len(subset.indices), "metrics": metrics}
        if single_task:
            protocols = {key: result["protocol"] for key, result in results.items()}
            base = read_single_task(single_task, delta_m_metrics, protocols)
            results = add_delta_m(results, base, delta_m_metrics)
        self.results = results

    def write(self, folder: str | os.PathLike) -> None:
        """Write `results.json`, `per_class.csv`, `curves/NAME.png` and pycocotools' own summary into a folder.

        And `consistency.json` where that is known.
        """
        folder = Path(folder)
        mkdir(folder / CURVES)
        write_summary(self.evaluators, folder)
        for evaluator in self.evaluators.values():
            for curve in evaluator.scores.curves:
                with atomic_write(folder / CURVES / f"{curve.name}.png") as file:
                    file.write(draw_curve(curve))
        write_class_table(self.results, folder / CLASS_TABLE)
        write_results(self.results, folder / RESULTS, self.interactions)
        if self.consistency is not None:
            with atomic_write(folder / CONSISTENCY_FILE) as file:
                file.write(json.dumps(self.consistency, indent=2).encode())

    def write_page(
        self,
        folder: str | os.PathLike,
        title: str,
        facts: Sequence[tuple[str, str]],
        count: int = 3,
        predictions: PredictionReader | None = None,
    ) -> Path:
        """Write `report.html`: the results, the curves, and of each task the images that went worst and best.

        Args:
            folder: where to.
            title: heading.
            facts: (name, text), said below it.
            count: number of images at either end; 0 draws none.
            predictions: its `read(index, tasks)` returns {task key: what is stored}; by default those that a
                `PredictionWriter` wrote into the folder.

        Returns:
            path of the report.
        """
        # a thousand proposals are no picture, and an added task may have no files
        drawn = {key: evaluator.task for key, evaluator in self.evaluators.items() if evaluator.task.files()}
        if predictions is None and drawn:
            wanted = list(drawn.values())
            predictions = PredictionReader(self.dataset, find_predictions(folder, wanted), wanted)
        show = _Images(self.dataset, predictions)
        tasks = []
        for key, result in self.results.items():
            evaluator = self.evaluators.get(key)
            ends = _extremes(self.evaluators[key].image_scores(), count) if key in drawn and count else ([], [])
            tasks.append(
                TaskReport(
                    key,
                    title_of(key),
                    result["protocol"],
                    result["reason"],
                    {name: metric_text(f"{key}/{name}", value) for name, value in result["metrics"].items()},
                    result["per_class"],
                    [] if evaluator is None else evaluator.scores.curves,
                    *([show(drawn[key], index, score) for index, score in end] for end in ends),
                )
            )
        rows = table_rows(self.results)
        path = Path(folder) / REPORT
        contradictions = () if self.consistency is None else consistency_rows(self.consistency)
        vocabulary = self.dataset.vocabulary
        return write_report(path, title, facts, rows, tasks, vocabulary, TASKS, self.interactions, contradictions)


def _extremes(scores: Mapping[Any, float], count: int) -> tuple[list[tuple[Any, float]], list[tuple[Any, float]]]:
    """([(key, score)] of the worst, worst first; of the best, best first), no image in both."""
    ranked = sorted((item for item in scores.items() if not math.isnan(item[1])), key=lambda item: item[1])
    best = ranked[::-1][: min(count, (len(ranked) + 1) // 2)]
    worst = ranked[: min(count, len(ranked) - len(best))]
    return worst, best


class _Images:
    """Examples by task and index; an image that several tasks show is read once."""

    def __init__(self, dataset: Any, predictions: Any) -> None:
        self.dataset = as_dataset(dataset)
        self.predictions = predictions
        self._pictures: dict[int, np.ndarray] = {}

    def __call__(self, task: Task, index: int, score: float) -> Example:
        info = self.dataset.get_img_info(index)
        if index not in self._pictures:
            self._pictures[index] = self._picture(index, info)
        size, vocabulary = (info["width"], info["height"]), self.dataset.vocabulary
        prediction = to_prediction(self.predictions.read(index, [task.key]), size, vocabulary, [task])
        drawn = (
            task.draw(self._pictures[index], known, vocabulary)
            for known in (self.dataset.get_annotations(index), prediction)
        )
        return Example(str(info.get("file_name", info.get("image_id", index))), score, *drawn)

    def _picture(self, index, info):
        if not self.dataset.has_images:
            return np.full((info["height"], info["width"], 3), 255, np.uint8)
        return np.asarray(self.dataset.open_image(index).convert("RGB"))
