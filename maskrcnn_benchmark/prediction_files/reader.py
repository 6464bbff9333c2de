"""Predictions back from files, ours or anybody's, image by image in the form that evaluators score."""

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.prediction_files.layout import (
    CLASSES,
    FileNames,
    describe,
    files_of,
    image_names,
    read_classes,
)
from maskrcnn_benchmark.prediction_files.lists import ListFile
from maskrcnn_benchmark.prediction_files.maps import LabelMaps
from maskrcnn_benchmark.utils.errors import UserError

logger = logging.getLogger(__name__)


def find_predictions(folder: str | os.PathLike, tasks: Iterable) -> dict[str, Path]:
    """The predictions of tasks (`tasks.task.Task`) in a folder: {key of a file: path of the list or of the maps}.

    Raises `UserError` where there is no such folder or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"no such folder of predictions: {folder}")
    files = files_of(tasks)
    names = [(file.key, file.name) for file in files]
    names += [(file.key, file.wrapped_too) for file in files if isinstance(file, ListFile) and file.wrapped_too]
    found: dict[str, Path] = {}
    for key, name in names:
        if (folder / name).exists():
            found.setdefault(key, folder / name)
    if not found:
        raise UserError(f"{folder} holds no predictions: none of {', '.join(name for _, name in names)}")
    return found


def tasks_of(sources: Mapping[str, Any], tasks: Iterable) -> list:
    """Those of the tasks whose predictions are in sources, {key of a file: path}."""
    return [task for task in tasks if _is_in(sources, task)]


class PredictionReader:
    """The predictions of files on the images of a data set.

    Lists are checked when they are opened, maps and run lengths when their image is asked for. An image that no entry
    of a list names has no objects, as in COCO; a map and a vector must be there for each image that is annotated for
    the task. Maps that belong to no image of the data set are passed over with a warning, for folders often hold those
    of another split, too; an entry of a list with an unknown image is an error.

    A reader can be handed to worker processes.

    Args:
        dataset: the data set; it names images, categories and parts.
        sources: {key of a file: path}: lists (in COCO's form or PASCAL in Detail's, {"pred": [...]}) and folders of
            maps. Maps that go with others lie in a folder beside theirs, such as that of directions under its name and
            "_direction".
        tasks: the tasks (`tasks.task.Task`) that are wanted.
        all_classes: whether lists may hold classes without instances, which only PASCAL in Detail's toolkit scores.
        first_class: number of the first class in maps of classes: 1 as `PredictionWriter` has it, or 0.

    Attributes:
        tasks: their keys.

    Raises:
        UserError: a source is missing or holds what is no prediction on the data set.
    """

    def __init__(
        self,
        dataset: Any,
        sources: Mapping[str, Any],
        tasks: Iterable,
        all_classes: bool = False,
        first_class: int = 1,
    ) -> None:
        self._tasks = {task.key: task for task in tasks}
        self.tasks = list(self._tasks)
        self._check_tasks(dataset, sources)
        files = [file for file in files_of(self._tasks.values()) if file.key in sources]
        files = [_counted_from(first_class, file, Path(sources[file.key])) for file in files]
        self._maps = {file.key: (file, Path(sources[file.key])) for file in files if not isinstance(file, ListFile)}
        for file, folder in self._maps.values():
            if file.named:
                _check_classes(dataset, file, folder)
        self._dataset = dataset
        self._names = image_names(dataset)
        names = FileNames(dataset)
        self._lists = {
            file.key: file.open(sources[file.key], names, all_classes) for file in files if isinstance(file, ListFile)
        }
        self._check_complete()

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int, keys: Iterable[str] | None = None) -> dict[str, Any]:
        """The stored predictions on the image at an index of the data set: {task key: stored}.

        Args:
            index: which image.
            keys: of the tasks wanted, of `tasks`; None wants all.

        Raises `UserError` for a map or a run length that does not fit.
        """
        info = self._dataset.get_img_info(index)
        size = int(info["width"]), int(info["height"])
        return {key: self._stored(self._tasks[key], index, size) for key in (self.tasks if keys is None else keys)}

    def _stored(self, task, index, size):
        held = {}
        for file in task.files():
            if file.key in self._lists:
                held[file.key] = self._lists[file.key].read(index)
            elif file.key in self._maps:
                held[file.key] = self._map(*self._maps[file.key], index, size)
        return task.from_files(held, size)

    def _map(self, file, folder, index, size):
        vocabulary = self._dataset.vocabulary
        maps = [
            each.read(each.path_of(path, self._names[index]), size, vocabulary) for each, path in file.folders(folder)
        ]
        return tuple(maps) if file.beside else maps[0]

    def _check_tasks(self, dataset, sources):
        for task in self._tasks.values():
            if not _is_in(sources, task):
                there = ", ".join(sources) or "none"
                raise UserError(f"no file holds predictions of the task {task.key!r}; there are {there}")
            if not task.has_names(dataset.vocabulary):
                raise UserError(f"the data set has no classes for the task {task.key!r}; leave its files out")

    def _check_complete(self):
        """Raise `UserError` for annotated images without a map or a vector."""
        for task in self._tasks.values():
            for file in task.files():
                if file.key in self._maps:
                    for each, folder in file.folders(self._maps[file.key][1]):
                        self._check_folder(each, folder, task.key)
                        self._check_numbers(each, folder, task.key)
                elif file.key in self._lists and file.is_one_per_image:
                    opened = self._lists[file.key].file
                    there = opened.images()
                    lacking = [index for index in range(len(self)) if index not in there]
                    names = [repr(self._dataset.image_id(index)) for index in lacking]
                    self._refuse(lacking, names, task.key, f"{opened.path} has no entry")

    def _check_folder(self, file, folder, key):
        if not folder.is_dir():
            raise UserError(f"no such folder of maps: {folder}")
        suffixes = file.suffixes or (file.suffix,)
        suffix = suffixes[0]
        there = {path.name.removesuffix(path.suffix) for path in folder.iterdir() if path.suffix in suffixes}
        lacking = [index for index, name in enumerate(self._names) if name not in there]
        kind = "PNG" if suffix == ".png" else f"{suffix} file"
        self._refuse(lacking, [f"{self._names[i]}{suffix}" for i in lacking], key, f"{folder} has no {kind}")
        strangers = sorted(there.difference(self._names))
        if strangers:
            logger.warning(
                "%s: %d maps are of no image of the data set (such as %s%s) and are passed over",
                *(folder, len(strangers), strangers[0], suffix),
            )

    def _check_numbers(self, file, folder, key):
        """Warn of maps whose numbers hardly mean what they should; one that cannot be read is told with its image."""

        def maps():
            with contextlib.suppress(UserError):
                for index, name in enumerate(self._names):
                    if key in self._dataset.tasks_of(index):
                        info = self._dataset.get_img_info(index)
                        size = int(info["width"]), int(info["height"])
                        yield file.read(file.path_of(folder, name), size, self._dataset.vocabulary)

        problem = file.doubt(maps())
        if problem:
            logger.warning("%s: %s", folder, problem)

    def _refuse(self, lacking, names, key, what):
        wanted = [name for i, name in zip(lacking, names) if key in self._dataset.tasks_of(i)]
        if wanted:
            raise UserError(
                f"{what} for {len(wanted)} images that are annotated for {key}: first {wanted[0]}; add what "
                "the network said of them, if only that there is nothing"
            )


def _is_in(sources, task):
    """Whether sources hold the predictions of a task: a file of it, and all that are not optional."""
    files = task.files()
    needed = all(file.key in sources for file in files if not file.is_optional)
    return needed and any(file.key in sources for file in files)


def _counted_from(first_class, file, folder):
    """Maps of classes with the number that the first class has in the folder; any other file as it is."""
    if not isinstance(file, LabelMaps) or not file.shift:
        return file
    classes = folder.parent / CLASSES
    if not classes.is_file():
        logger.info(
            "%s: no %s beside it says what its numbers mean: classes are taken to count from %d (--first-class)",
            *(folder, CLASSES, first_class),
        )
    elif first_class != file.shift:
        raise UserError(
            f"{classes} counts classes from {file.shift}, --first-class from {first_class}; leave that out, or remove "
            "the file if it is of other maps"
        )
    return file.counted_from(first_class)


def _check_classes(dataset, file, folder):
    """Raise `UserError` where a `classes.json` beside maps says that their numbers mean something else."""
    path = folder.parent / CLASSES
    if not path.is_file():
        return
    theirs = [entry.get("name") for entry in read_classes(path, file.named, folder)]
    named = {**describe(dataset, ()), **file.describe(dataset.vocabulary)}[file.named]
    ours = [entry["name"] for entry in named]
    if theirs != ours:
        same = [*(one == other for one, other in zip(theirs, ours)), False]
        raise UserError(
            f"{path} names {len(theirs)} classes for {file.key} and the data set {len(ours)}; value "
            f"{same.index(False) + 1} is the first to differ{file.remedy}"
        )
