"""Answers back from files, ours or anybody's, image by image in the form that evaluators score."""

import logging
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.evaluation.parts.part import SCORE_THRESHOLD
from maskrcnn_benchmark.prediction_files.encodings import OcclusionAnswer, PartAnswer
from maskrcnn_benchmark.prediction_files.layout import (
    CLASSES,
    DETAIL_KEYPOINTS,
    DIRECTION_SUFFIX,
    LISTS,
    MAPS,
    describe,
    image_id,
    image_names,
)
from maskrcnn_benchmark.prediction_files.lists import LIST_KINDS, read_classes
from maskrcnn_benchmark.prediction_files.map_file import read_direction, read_labels, read_strength
from maskrcnn_benchmark.structures.run_length import RunLengths, row_major
from maskrcnn_benchmark.tasks.task import TASKS, annotated_tasks
from maskrcnn_benchmark.utils.errors import UserError

logger = logging.getLogger(__name__)

# The lists and maps that a task is answered by, any of them
_SOURCES_OF_TASK = {"part": ("part", "parts")}


def find_predictions(folder):
    """The answers in a folder: {key of `LISTS`: file, key of `MAPS`: folder}.

    Raises `UserError` where there is no such folder or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no such folder of predictions: {folder}")
    names = [(key, name) for key, name in (*LISTS.items(), *MAPS.items())] + [("keypoint", DETAIL_KEYPOINTS)]
    found = {}
    for key, name in names:
        if (folder / name).exists():
            found.setdefault(key, folder / name)
    if not found:
        raise UserError(f"{folder} holds no predictions: none of {', '.join(name for _, name in names)}")
    return found


def tasks_of(sources):
    """Keys of the tasks that sources answer, in the order of the table of tasks: list of str."""
    return [task for task in TASKS if any(key in sources for key in _SOURCES_OF_TASK.get(task, (task,)))]


class PredictionReader:
    """The answers of files on the images of a data set.

    Lists are checked when they are opened, maps and run lengths when their image is asked for. An image that no entry
    of a list names has no objects, as in COCO; a map and the scores of image labels must be there for each image that
    is annotated for the task. Maps that belong to no image of the data set are passed over with a warning, for folders
    often hold those of another split, too; an entry of a list with an unknown image is an error.

    A reader can be handed to worker processes.

    Args:
        dataset: the data set; it names images, categories and parts.
        sources: {key of `LISTS` or `MAPS`: path}, files of `LISTS` (in COCO's form or PASCAL in Detail's, {"pred":
            [...]}) and folders of `MAPS`. Directions of occlusion edges lie beside their folder, under its name and
            "_direction".
        tasks: task keys that are wanted; by default all that the sources answer.

    Raises:
        UserError: a source is missing or holds what is not an answer on the data set.
    """

    def __init__(self, dataset, sources, tasks=None):
        self.tasks = tasks_of(sources) if tasks is None else list(tasks)
        self._check_tasks(dataset, sources)
        _check_classes(dataset, sources)
        self._dataset = dataset
        self._vocabulary = dataset.vocabulary
        self._names = image_names(dataset)
        wanted = {key for task in self.tasks for key in _SOURCES_OF_TASK.get(task, (task,)) if key in sources}
        self._lists = {key: LIST_KINDS[key](sources[key], dataset) for key in LISTS if key in wanted}
        self._maps = {key: Path(sources[key]) for key in MAPS if key in wanted}
        self._check_complete()

    def __len__(self):
        return len(self._names)

    def answers(self, index, tasks=None):
        """What is stored of the image at an index of the data set: {task key: what `Task.encode` returns}.

        Args:
            index: which image.
            tasks: the tasks wanted, of `self.tasks`; None wants all.

        Raises `UserError` for a map or a run length that does not fit.
        """
        info = self._dataset.get_img_info(index)
        size = int(info["width"]), int(info["height"])
        return {task: self._answer(task, index, size) for task in (self.tasks if tasks is None else tasks)}

    def _answer(self, task, index, size):
        if task == "part":
            return self._parts(index, size)
        if task in self._lists:
            return self._lists[task].answer(index)
        path = self._map(task, index)
        if task == "semantic":
            count = len(self._vocabulary.semantic_names)
            meaning = f"each pixel needs a class: 1 to {count}, 1 + the class's place in {CLASSES}"
            return read_labels(path, size, 1, count, meaning) - np.uint8(1)
        strength = read_strength(path, size)
        if task == "occlusion":
            return OcclusionAnswer(strength, read_direction(_directions(self._maps[task]) / path.name, size))
        return strength

    def _parts(self, index, size):
        instances = self._lists["parts"].answer(index) if "parts" in self._lists else None
        if "part" in self._maps:
            count = len(self._vocabulary.parts)
            meaning = f"part set {self._vocabulary.parts.name} has the labels 0 (none) to {count}"
            return PartAnswer(read_labels(self._map("part", index), size, 0, count, meaning), instances)
        return PartAnswer(_paint(instances, size), instances)

    def _map(self, key, index):
        return self._maps[key] / f"{self._names[index]}.png"

    def _check_tasks(self, dataset, sources):
        names = dataset.vocabulary
        known = {
            "keypoint": names.joints,
            "part": names.parts,
            "semantic": names.semantic_names,
            "classification": names.image_label_names,
        }
        for task in self.tasks:
            if not any(key in sources for key in _SOURCES_OF_TASK.get(task, (task,))):
                raise UserError(
                    f"no file answers the task {task!r}; there are {', '.join(tasks_of(sources)) or 'none'}"
                )
            if not known.get(task, True):
                raise UserError(f"the data set has no classes for the task {task!r}; leave its files out")

    def _check_complete(self):
        """Raise `UserError` for annotated images without a map or without scores of image labels."""
        for key, folder in self._maps.items():
            folders = [folder, _directions(folder)] if key == "occlusion" else [folder]
            for each in folders:
                self._check_folder(each, key)
        if "classification" in self._lists:
            answered = self._lists["classification"].images()
            lacking = [index for index in range(len(self)) if index not in answered]
            self._refuse(lacking, "classification", self._lists["classification"].file.path, "no entry")

    def _check_folder(self, folder, task):
        if not folder.is_dir():
            raise UserError(f"no such folder of maps: {folder}")
        there = {path.name.removesuffix(".png") for path in folder.iterdir() if path.name.endswith(".png")}
        self._refuse([i for i, name in enumerate(self._names) if name not in there], task, folder, "no PNG")
        strangers = sorted(there.difference(self._names))
        if strangers:
            logger.warning(
                "%s: %d maps are of no image of the data set (such as %s.png) and are passed over",
                *(folder, len(strangers), strangers[0]),
            )

    def _refuse(self, lacking, task, where, what):
        lacking = [index for index in lacking if task in _annotated_tasks(self._dataset, index)]
        if lacking:
            name = f"{self._names[lacking[0]]}.png" if what == "no PNG" else repr(image_id(self._dataset, lacking[0]))
            raise UserError(
                f"{where} has {what} for {len(lacking)} images that are annotated for {task}: first {name}; add what "
                "the network said of them, if only that there is nothing"
            )


def _annotated_tasks(dataset, index):
    if hasattr(dataset, "tasks_of"):
        return dataset.tasks_of(index)
    return annotated_tasks(dataset.get_annotations(index))


def _directions(folder):
    return folder.with_name(folder.name + DIRECTION_SUFFIX)


def _paint(instances, size):
    """The part map of objects with a score of at least 0.5, the higher on top: uint8 [H, W]."""
    parts = [(o["score"], p["part"], p["segmentation"]) for o in instances for p in o["parts"]]
    parts = [part for part in parts if part[0] >= SCORE_THRESHOLD]
    canvas = np.zeros((1, *size), np.uint8)
    if parts:
        scores, labels, codes = zip(*parts)
        runs = RunLengths(codes, size, lambda i: f"part {i}")
        order = np.lexsort((-runs.areas, scores))  # of one object the large first, so that an eye stays on a head
        runs.paint(canvas, order, np.zeros(len(parts)), np.array(labels)[order])
    return row_major(canvas)[0]


def _check_classes(dataset, sources):
    """Raise `UserError` where a `classes.json` beside maps says that their numbers mean something else."""
    for key, field in (("semantic", "semantic"), ("part", "part")):
        path = Path(sources[key]).parent / CLASSES if key in sources else None
        if path is None or not path.is_file():
            continue
        theirs = [entry.get("name") for entry in read_classes(path, field, sources[key])]
        ours = [entry["name"] for entry in describe(dataset)[field]]
        if theirs != ours:
            same = [*(one == other for one, other in zip(theirs, ours)), False]
            raise UserError(
                f"{path} names {len(theirs)} classes for {key} and the data set {len(ours)}; value "
                f"{same.index(False) + 1} is the first to differ"
                f"{', so choose the part set that was predicted' if key == 'part' else ''}"
            )
