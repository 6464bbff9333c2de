"""Scoring predictions that lie in files: worker processes read and compare image by image, this one evaluates."""

from typing import Any

from tqdm import tqdm

from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.evaluation.evaluator import Evaluator, build_evaluators
from maskrcnn_benchmark.prediction_files.reader import PredictionReader


def score_files(evaluation: Evaluation, dataset: Any, predictions: PredictionReader) -> dict[str, Evaluator]:
    """Score predictions on a data set as `Evaluation.run` scores a network's.

    Args:
        evaluation: what is asked of them.
        dataset: has `get_annotations(index)`, `get_img_info(index)` and `vocabulary`; images are not opened.
        predictions: its `read(index, tasks)` returns {task key: what is stored}, such as a `PredictionReader`.

    Returns:
        {task key: evaluator}, each with its `scores` and the records of all annotated images by index.

    Raises:
        UserError: a prediction that does not fit its image, once it is read.
    """
    evaluators = build_evaluators(evaluation.tasks, dataset.vocabulary, evaluation.protocols)
    with ScoringPool(evaluators, dataset, evaluation.workers, predictions.read) as pool:
        for index in tqdm(range(len(dataset)), desc="score", unit="image", disable=None):
            pool.submit(index)
    for evaluator in tqdm(evaluators.values(), desc="metrics", unit="task", disable=None):
        evaluator.evaluate()
    return evaluators
