"""What the trivial predictor scores on a data set: computed once, then read from a file beside the results."""

import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from maskrcnn_benchmark.data.dataset import as_dataset
from maskrcnn_benchmark.engine.inference import Evaluation, merge_and_evaluate
from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import TrivialPredictor
from maskrcnn_benchmark.tasks.completion import derive_outputs
from maskrcnn_benchmark.utils.comm import all_gather, get_rank, get_world_size, is_main_process
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.small_json import read_small_json

TRIVIAL = "trivial.json"
FIT_IMAGES = 1000  # means of more training images hardly differ, and reading them all takes long

logger = logging.getLogger(__name__)


def trivial_metrics(
    evaluation: Evaluation,
    make_train_set: Callable[[], Any],
    test_set: Any,
    path: str | os.PathLike,
    key: Mapping[str, Any],
) -> dict[str, dict[str, float]]:
    """The trivial predictor's metrics; all processes call it and share the work.

    Args:
        evaluation: what is asked of networks, and so of it.
        make_train_set: function that returns the data set to take the means of; called only if they are needed. At most
            `FIT_IMAGES` of its images are read, evenly spread; of several data sets as one, of each as many.
        test_set: data set to score it on.
        path: JSON file that the metrics are kept in.
        key: plain values that the metrics depend on; a file with another key is written anew.

    Returns:
        {task key: {metric: value in 0..1 or nan}}, without the tasks that it does not predict: those that no training
        image is annotated for, and those that have no trivial model. Derived tasks without one are made from what it
        predicts of others, by the options of `evaluation`.
    """
    own = [task for task in evaluation.tasks if task.trivial(test_set.vocabulary) is not None]
    derived = [task for task in evaluation.tasks if task.per == "derived" and task not in own]
    keys = [task.key for task in evaluation.tasks if task in own or task in derived]
    key = {**key, "tasks": keys, "protocols": evaluation.protocols.identity, "images": len(test_set)}
    if derived and evaluation.cfg is not None:
        names = [option.key for task in derived for option in task.options()]
        key = {**key, "options": {name: evaluation.cfg.value_of(name) for name in names}}
    known = all_gather(_read(path, key) if is_main_process() else None)[0]
    if known is not None:
        return known
    train_set = make_train_set()
    logger.info("Measuring the trivial predictor")
    fitting = tqdm(_images_to_fit(train_set), desc="trivial predictor: fit", disable=_bar())
    predictor = TrivialPredictor(own, test_set.vocabulary).fit(part.get_annotations(i) for part, i in fitting)
    predicted = _predicted(evaluation.tasks, predictor.tasks)
    evaluators = build_evaluators(predicted, test_set.vocabulary, evaluation.protocols)
    share = range(get_rank(), len(test_set), get_world_size())
    predict = partial(_predict, predictor, predicted, test_set, evaluation.cfg)
    with ScoringPool(evaluators, test_set, evaluation.workers, predict) as pool:
        for index in tqdm(share, desc="trivial predictor: test", disable=_bar()):
            pool.submit(index)
    metrics: Any = None
    if merge_and_evaluate(evaluators):
        metrics = {name: evaluator.scores.metrics for name, evaluator in evaluators.items()}
        with atomic_write(path) as file:
            file.write(json.dumps({"key": key, "metrics": _swap(metrics, math.isnan, None)}, indent=2).encode())
    return all_gather(metrics)[0]


def kept_metrics(path: str | os.PathLike, test: str, images: int, protocols: Protocols) -> dict[str, dict[str, float]]:
    """The trivial predictor's metrics in a file of `trivial_metrics`, if they are of this data set.

    Args:
        path: the file; it need not exist.
        test: name of the data set.
        images: number of its images.
        protocols: the `evaluation.protocols.Protocols`.

    Returns:
        {task key: {metric: value in 0..1 or nan}}, {} where nothing fits.
    """
    expected = {"test": test, "images": images, "protocols": protocols.identity}
    content = _load(path)
    if content is None or any(content["key"].get(name) != value for name, value in expected.items()):
        return {}
    return _swap(content["metrics"], lambda value: value is None, math.nan)


def _images_to_fit(train_set):
    """List of (data set, index); a small data set joined to a large one, which lacks its tasks, is not passed over."""
    parts = as_dataset(train_set).members
    strides = [max(1, math.ceil(len(part) / FIT_IMAGES)) for part in parts]
    return [(part, i) for part, stride in zip(parts, strides) for i in range(0, len(part), stride)]


def _predicted(tasks, keys):
    """Those of some tasks that are predicted, by their keys, or derived from what is, in their order."""
    found = set(keys)
    for _ in tasks:  # derived tasks may be made from one another
        found |= {task.key for task in tasks if task.per == "derived" and found.issuperset(task.requires)}
    return [task for task in tasks if task.key in found]


def _predict(predictor, predicted, dataset, cfg, index, tasks):
    info = dataset.get_img_info(index)
    prediction = predictor.predict((info["width"], info["height"]))
    return derive_outputs(prediction, predicted, dataset.vocabulary, cfg)


def _read(path, key):
    content = _load(path)
    if content is None or content["key"] != json.loads(json.dumps(key)):
        return None
    return _swap(content["metrics"], lambda value: value is None, math.nan)


def _load(path):
    """{"key": {...}, "metrics": {...}} of a file, or None where there is none that can be read."""
    if not Path(path).is_file():
        return None
    try:
        content = read_small_json(path)
    except UserError as error:
        logger.warning("%s; it is passed over", error)
        return None
    key, metrics = (content.get(name) if isinstance(content, dict) else None for name in ("key", "metrics"))
    if isinstance(key, dict) and isinstance(metrics, dict) and all(map(_are_metrics, metrics.values())):
        return content
    logger.warning("%s is damaged and is passed over", path)
    return None


def _are_metrics(values):
    return isinstance(values, dict) and all(type(value) in (int, float, type(None)) for value in values.values())


def _swap(metrics, is_it, other):
    return {t: {name: other if is_it(v) else v for name, v in values.items()} for t, values in metrics.items()}


def _bar():
    return None if is_main_process() else True
