"""Weights of classes by how frequent they are in the training data, counted once when a training begins."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from maskrcnn_benchmark.config.class_weights import is_uncounted, rule_of
from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.draws import class_amounts, expected_draws
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.comm import all_gather, run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task

# Images of which maps of pixels are read at most; objects are counted on all
MOST_MAPS = 1000
# No class weighs more than so many times the median class's weight, or less than that part of it
CAP = 10.0
# Of the effective number of objects
BETA = 0.999

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frequencies:
    """How frequent C classes are in an epoch, in pixels or objects.

    Attributes:
        amounts: float64 [C], of each class.
        surroundings: float64 [C], of all classes together in the images that have the class.
    """

    amounts: np.ndarray
    surroundings: np.ndarray


def inverse_sqrt(found: Frequencies) -> np.ndarray:
    """1 / sqrt(f_c), f_c the share of the class (of hashtags: Mahajan et al. 2018, section 2.2)."""
    return found.amounts**-0.5


def median_frequency(found: Frequencies) -> np.ndarray:
    """median(freq) / freq_c, freq_c the share of the class in the images that have it (Eigen and Fergus 2015)."""
    frequencies = found.amounts / found.surroundings
    return np.median(frequencies) / frequencies


def effective_number(found: Frequencies) -> np.ndarray:
    """(1 - beta) / (1 - beta^n_c), n_c the number of objects of the class (Cui et al. 2019)."""
    return (1 - BETA) / -np.expm1(found.amounts * np.log(BETA))


RULES: dict[str, Callable[[Frequencies], np.ndarray]] = {
    "inverse_sqrt": inverse_sqrt,
    "median_frequency": median_frequency,
    "effective_number": effective_number,
}


def weights_by_rule(rule: str, found: Frequencies) -> np.ndarray:
    """The weights of C classes: those of a rule, capped and scaled.

    None is more than `CAP` times their median, or less than a `CAP`-th of it; a class that does not occur weighs as
    much as the heaviest. All are then scaled so that the mean weight of a pixel or object of the data is 1: the loss
    stays as large as it was beside those of other tasks.

    Returns:
        float64 [C].
    """
    present = found.amounts > 0
    if not present.any():
        raise ValueError("none of the classes occurs")
    some = RULES[rule](Frequencies(found.amounts[present], found.surroundings[present]))
    some = some.clip(np.median(some) / CAP, np.median(some) * CAP)
    weights = np.full(len(present), some.max())
    weights[present] = some
    return weights * found.amounts.sum() / (found.amounts * weights).sum()


def count_classes(
    task: "Task", dataset: AnnotatedDataset, draws: np.ndarray, seed: int = 0
) -> tuple[Frequencies, int, int]:
    """How frequent a task's classes are in an epoch of a data set.

    Objects are counted on all images, pixels on up to `MOST_MAPS` annotated ones, drawn by a seed.

    Args:
        task: a `Task` with a `weights_option`.
        dataset: in the vocabulary that is learnt.
        draws: float64 [N], how often each image is drawn in an epoch.
        seed: of the images that are looked at.

    Returns:
        (`Frequencies`, images that were looked at and are annotated, images that were gone through).
    """
    most = len(dataset) if task.per == "region" else MOST_MAPS
    amounts = surroundings = np.zeros(len(task.class_names(dataset.vocabulary)))
    looked = gone = 0
    for index in np.random.default_rng(seed).permutation(len(dataset)).tolist():
        if looked == most:
            break
        gone += 1
        of_image = class_amounts(dataset, index, task)
        if of_image is not None:
            looked += 1
            of_image = draws[index] * of_image
            amounts = amounts + of_image
            surroundings = surroundings + (of_image > 0) * of_image.sum()
    scale = len(dataset) / max(gone, 1)
    return Frequencies(amounts * scale, surroundings * scale), looked, gone


def bind_class_weights(
    cfg: ConfigNode, vocabulary: Vocabulary, tasks: "Iterable[Task]", datasets: Callable[[], AnnotatedDataset]
) -> None:
    """Make weights of the rules that a config names, in place, frozen or not, and check those that were given by hand.

    One process counts for all, and the log says what came of it.

    Args:
        cfg: the config; its class counts are final.
        vocabulary: what the network learns.
        tasks: those that are on.
        datasets: function without arguments that opens DATASETS.TRAIN as one; called only where there is a rule.

    Raises:
        UserError: weights are of other classes than the vocabulary's, or no image has any of them.
    """
    tasks, opened = list(tasks), None
    for task in tasks:
        value = cfg.value_of(task.weights_option) if task.weights_option else ()
        names = task.class_names(vocabulary)
        if not is_uncounted(value):
            task.class_weights(cfg, vocabulary)
            continue
        if opened is None:
            opened = datasets()
        weights: Any = all_gather(run_once(partial(_counted_weights, cfg, task, tasks, opened)))[0]
        *groups, name = task.weights_option.split(".")
        frozen = cfg.is_frozen()
        cfg.defrost()
        cfg.value_of(".".join(groups))[name] = (rule_of(value), *zip(names, weights))
        if frozen:
            cfg.freeze()


def _counted_weights(cfg, task, tasks, dataset):
    """The weights of a task's classes as numbers that a yaml file shows well: list of float."""
    option = task.weights_option
    draws = expected_draws(cfg, dataset, tasks)
    found, looked, gone = count_classes(task, dataset, draws, max(0, cfg.SOLVER.SEED))
    if not found.amounts.any():
        raise UserError(
            f"{option} is {rule_of(cfg.value_of(option))!r}, but none of {counted(gone, 'image')} of "
            f"{', '.join(cfg.DATASETS.TRAIN)} has any of the classes; leave it out"
        )
    weights = [float(f"{weight:.4g}") for weight in weights_by_rule(rule_of(cfg.value_of(option)), found)]
    names, share = task.class_names(dataset.vocabulary), found.amounts / found.amounts.sum()
    order = np.argsort(-share, kind="stable")
    logger.info(
        "%s, counted on %s%s; from the most frequent class to the rarest: %s",
        *(option, counted(looked, "annotated image"), "" if gone == len(dataset) else " drawn by the seed"),
        ", ".join(f"{names[k]} {weights[k]:g} ({100 * share[k]:.2g} %)" for k in order),
    )
    return weights
