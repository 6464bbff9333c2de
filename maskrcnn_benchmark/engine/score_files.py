"""Scoring answers that lie in files: worker processes read and compare image by image, this one makes the figures."""

from functools import partial

from tqdm import tqdm

from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.evaluation.build import build_evaluators
from maskrcnn_benchmark.prediction_files.encodings import ImageAnswers


def score_files(dataset, predictions, tasks=None, protocols=None, workers=0):
    """Score answers on a data set as `engine.inference.inference` scores a network's.

    Args:
        dataset: has `get_annotations(index)`, `get_img_info(index)` and `vocabulary`; images are not opened.
        predictions: its `read(index, tasks)` are the stored predictions, such as a `PredictionReader`.
        tasks: task keys; by default `predictions.tasks`.
        protocols: the `evaluation.protocols.Protocols`; by default those of published figures.
        workers: processes beside this one that read and compare; 0 does it here.

    Returns:
        {task key: evaluator}, each with its `scores` and the records of all annotated images by index.

    Raises:
        UserError: an answer that does not fit its image, once it is read.
    """
    evaluators = build_evaluators(list(predictions.tasks if tasks is None else tasks), dataset.vocabulary, protocols)
    with ScoringPool(evaluators, dataset, workers, partial(_answers, dataset, predictions)) as pool:
        for index in tqdm(range(len(dataset)), desc="score", unit="image", disable=None):
            pool.submit(index)
    for evaluator in tqdm(evaluators.values(), desc="figures", unit="task", disable=None):
        evaluator.evaluate()
    return evaluators


def _answers(dataset, predictions, index, tasks):
    info = dataset.get_img_info(index)
    return ImageAnswers((info["width"], info["height"]), predictions.read(index, tasks))
