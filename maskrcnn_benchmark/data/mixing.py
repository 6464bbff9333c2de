"""Several data sets in one training: whose names the network learns, what each teaches, how often each is drawn."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from yacs.config import CfgNode

from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.datasets import ConcatDataset, MappedDataset
from maskrcnn_benchmark.data.mapped_dataset import in_vocabulary
from maskrcnn_benchmark.data.same_names import match_joints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task

logger = logging.getLogger(__name__)


def learned_vocabulary(cfg: CfgNode, opened: Mapping[str, Vocabulary] | None = None) -> tuple[str, Vocabulary]:
    """The data set whose names the network learns, and its `Vocabulary`.

    That is DATASETS.VOCABULARY or, without it, the first of DATASETS.TRAIN if all of them have one vocabulary, else the
    first of DATASETS.TEST.

    Args:
        cfg: the config.
        opened: {name: `Vocabulary`} of data sets that are open already.
    """
    opened = dict(opened or {})

    def vocabulary_of(name):
        if name not in opened:
            opened[name] = build_dataset(cfg, name, transforms=None, is_train=False).vocabulary
        return opened[name]

    name = cfg.DATASETS.VOCABULARY
    if not name:
        first, *others = [*cfg.DATASETS.TRAIN] or cfg.DATASETS.TEST[:1] or [None]
        if first is None:
            raise UserError("DATASETS.TRAIN and DATASETS.TEST are empty; name a data set in one of them")
        differing = (other for other in others if vocabulary_of(other) != vocabulary_of(first))
        other = next(differing, None)
        if other is not None and not cfg.DATASETS.TEST:
            field = vocabulary_of(first).difference(vocabulary_of(other))
            raise UserError(
                f"data sets {first} and {other} differ in their {field}, and DATASETS.TEST is empty; name the data set "
                "whose classes, parts and keypoints the network is to learn in DATASETS.VOCABULARY"
            )
        name = first if other is None else cfg.DATASETS.TEST[0]
    return name, vocabulary_of(name)


def vocabulary_dataset(cfg: CfgNode) -> str:
    """The name of the data set whose names the network learns, for messages."""
    if cfg.DATASETS.VOCABULARY or len(cfg.DATASETS.TRAIN) > 1:
        return cfg.DATASETS.VOCABULARY or learned_vocabulary(cfg)[0]
    return next(iter([*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]), "")


def in_learned_vocabulary(
    cfg: CfgNode, names: Sequence[str], datasets: list[AnnotatedDataset], enabled: "Sequence[Task]"
) -> list[AnnotatedDataset]:
    """Training data sets in the vocabulary that the network learns; a single one without DATASETS.VOCABULARY as it is.

    Raises `UserError` for a data set that teaches none of the enabled tasks in it, and for an enabled task that none of
    them teaches.
    """
    if len(names) == 1 and not cfg.DATASETS.VOCABULARY:
        _refuse_unlabelled(names[0], datasets[0], enabled)
        return datasets
    learned, vocabulary = learned_vocabulary(cfg, {name: each.vocabulary for name, each in zip(names, datasets)})
    datasets = [in_vocabulary(dataset, vocabulary) for dataset in datasets]
    tasks = {task.key: task for task in enabled if task.losses}
    taught = [taught_tasks(dataset, tasks.values()) for dataset in datasets]
    for name, keys in zip(names, taught):
        if not keys:
            raise UserError(
                f"data set {name} teaches none of the enabled tasks ({', '.join(tasks)}) in the classes, parts and "
                f"keypoints of {learned}; take it out of DATASETS.TRAIN, or choose another DATASETS.VOCABULARY"
            )
    untaught = sorted(set(tasks).difference(*taught))
    if untaught:
        raise UserError(
            f"MODEL.{tasks[untaught[0]].switch} is on, but none of {', '.join(names)} is annotated for it in the "
            f"names of {learned}; turn the task off"
        )
    return datasets


def _refuse_unlabelled(name: str, dataset: AnnotatedDataset, enabled: "Sequence[Task]") -> None:
    """Raise `UserError` for an added task that is on and of which the only training data set has no labels.

    What the package's own tasks need is asked of the vocabulary.
    """
    taught = taught_tasks(dataset, enabled)
    untaught = next((task for task in enabled if task.is_added and task.losses and task.key not in taught), None)
    if untaught is not None:
        raise UserError(
            f"MODEL.{untaught.switch} is on, but data set {name} has no labels for {untaught.title}; turn the task "
            "off, or put them where it looks"
        )


def taught_tasks(dataset: AnnotatedDataset, tasks: "Collection[Task]") -> set[str]:
    """Keys of those of some tasks that images of a training data set can be annotated for."""
    if isinstance(dataset, ConcatDataset):
        return set().union(*(taught_tasks(each, tasks) for each in dataset.datasets))
    source = dataset.dataset if isinstance(dataset, MappedDataset) else dataset
    file = getattr(source, "file", None)
    absent = set() if getattr(file, "has_masks", True) else {"instance"}
    if not getattr(getattr(file, "keypoints", None), "are_labelled", True):
        absent.add("keypoint")
    possible = {task.key for task in tasks if task.has_names(source.vocabulary)}
    return (possible & dataset.tasks) - absent


def warn_of_untaught(cfg: CfgNode, dataset: AnnotatedDataset, enabled: "Sequence[Task]") -> None:
    """Warn of each enabled task that no image to train on is annotated for: its head would be trained on nothing.

    Args:
        cfg: the config.
        dataset: that of all of DATASETS.TRAIN.
        enabled: the tasks that are on.
    """
    tasks = [task for task in enabled if task.losses]
    taught = set[str]()
    for member in dataset.members:
        # what a file says of itself spares looking at its images; a user's own data set may say nothing
        taught |= member.taught(taught_tasks(member, tasks) if member.tasks else [task.key for task in tasks])
    for task in tasks:
        if task.key not in taught:
            logger.warning(
                "MODEL.%s is on, but no image of %s is annotated for %s: its head is trained on nothing and its scores "
                "mean nothing; turn the task off, or add a data set that is annotated for it to DATASETS.TRAIN",
                *(task.switch, ", ".join(cfg.DATASETS.TRAIN), task.title),
            )


def sampling_ratios(cfg: CfgNode) -> tuple[float, ...]:
    """DATASETS.RATIOS, one number for each of DATASETS.TRAIN, or () to draw by size; checked."""
    ratios, names = tuple(cfg.DATASETS.RATIOS), cfg.DATASETS.TRAIN
    if not ratios:
        return ratios
    if len(names) == 1:
        raise UserError(f"DATASETS.RATIOS is {ratios}, but DATASETS.TRAIN has one data set; leave RATIOS out")
    if len(ratios) != len(names):
        raise UserError(
            f"DATASETS.RATIOS has {len(ratios)} numbers, but DATASETS.TRAIN has {len(names)} data sets; give each one"
        )
    if not any(ratios):
        raise UserError(f"DATASETS.RATIOS is {ratios}, so that no image is drawn; make one of them more than 0")
    return ratios


def log_mixture(
    names: Sequence[str], datasets: Sequence[AnnotatedDataset], ratios: Sequence[float], enabled: "Sequence[Task]"
) -> None:
    """Log one line for each training data set: its size, its share and what it teaches of what the network learns."""
    sizes = ratios or [len(dataset) for dataset in datasets]
    for name, dataset, size in zip(names, datasets, sizes):
        taught = taught_tasks(dataset, enabled)
        keys = ", ".join(task.key for task in enabled if task.key in taught)
        logger.info(
            "%s: %d images, %.1f %% of those drawn, annotated for %s; %s",
            *(name, len(dataset), 100 * size / sum(sizes), keys, _coverage(dataset)),
        )


def _coverage(dataset: AnnotatedDataset) -> str:
    """How much of the network's classes and keypoints a data set knows."""
    parts = dataset.datasets if isinstance(dataset, ConcatDataset) else [dataset]
    mapped = [part for part in parts if isinstance(part, MappedDataset)]
    things, joints = len(dataset.vocabulary.thing_names), len(dataset.vocabulary.joints or ())
    if not mapped:
        return "its classes and keypoints are the network's"
    known_things = max(int(part.names.known_labels[1:].sum()) for part in mapped)
    known_joints = max(len(match_joints(part.dataset.vocabulary, part.vocabulary)) for part in mapped)
    return f"knows {known_things} of {things} classes of objects, {known_joints} of {joints} keypoints"


def check_test_vocabularies(
    cfg: CfgNode, vocabulary: Vocabulary, datasets: Sequence[AnnotatedDataset], tasks: "Sequence[Task]"
) -> None:
    """Raise `UserError` for a test set that calls what is evaluated by other names than the network learnt.

    Predictions are scored against the rows of the test set's own file, and to map those would change the metrics.

    Args:
        cfg: the config.
        vocabulary: the `Vocabulary` that the network learns.
        datasets: those of DATASETS.TEST, in its order.
        tasks: those that are evaluated.
    """
    for name, dataset in zip(cfg.DATASETS.TEST, datasets):
        for task in tasks:
            learnt, given = task.names(vocabulary), task.names(dataset.vocabulary)
            what = next((what for what in learnt if learnt[what] != given[what]), None)
            if what is not None:
                raise UserError(
                    f"data set {name} of DATASETS.TEST has other {what} than {vocabulary_dataset(cfg)}, whose the "
                    f"network learns, so {task.key} cannot be evaluated on it; take it out of DATASETS.TEST, turn the "
                    "task off, or have the network learn its names (DATASETS.VOCABULARY)"
                )
