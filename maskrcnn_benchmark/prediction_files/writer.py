"""Predictions into files as they come: maps image by image, lists from all processes joined at the end."""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskrcnn_benchmark.prediction_files.layout import (
    CLASSES,
    FileNames,
    PredictionFile,
    describe,
    files_of,
    image_names,
)
from maskrcnn_benchmark.prediction_files.lists import ListFile
from maskrcnn_benchmark.prediction_files.map_file import write_map
from maskrcnn_benchmark.utils.comm import all_gather, run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write, mkdir, open_output, temporary_file, writing

_PRED = ('{"pred": [', "]}")


class PredictionWriter:
    """Writes the predictions on a data set's images into a folder that `PredictionReader` and other tools read.

    Several processes may write into one folder, each its share of the images; an image that two of them predict is
    written once. It is a context manager: `finish` makes the lists, and without it they stay as they were.

    Args:
        folder: where to; processes of one run must share it.
        dataset: the data set; it names images, categories and parts.
        tasks: the tasks (`tasks.task.Task`) that are predicted; those without files are scored and not written.
        names: what the maps of each image are called, without suffix; by default `layout.image_names`.
    """

    def __init__(
        self, folder: str | os.PathLike, dataset: Any, tasks: Iterable, names: Sequence[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.dataset = dataset
        self.tasks = list(tasks)
        self._names = image_names(dataset) if names is None else names
        self._file_names = FileNames(dataset)
        self._row_files: dict[str, _RowsOfProcess] = {}
        self._stack = contextlib.ExitStack()
        mkdir(self.folder)
        for file in files_of(self.tasks):
            for _, folder in file.folders(self.folder / file.name):
                mkdir(folder)

    def __enter__(self) -> "PredictionWriter":
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def write(self, index: int, stored: Mapping[str, Any]) -> None:
        """Take in the stored predictions on the image at an index of the data set.

        Args:
            index: which image.
            stored: {task key: stored}; keys of other tasks than the writer's are passed over.

        Raises:
            UserError: for a prediction that its file cannot hold without loss.
        """
        image = self.dataset.image_id(index)
        size, name = _size_of(self.dataset, index), self._names[index]
        for file, lists, maps in contents(self.tasks, stored, image, self._file_names, size, name):
            if isinstance(file, ListFile):
                self._add(file, index, lists, image)
            for each, folder, array in maps:
                write_map(self.folder / folder / f"{name}{each.suffix}", each.encode(array))

    def finish(self) -> None:
        """Join the lists of all processes. Every process has to call it, even one without any image."""
        for rows in self._row_files.values():
            rows.flush()
        shares = all_gather({key: str(rows.path) for key, rows in self._row_files.items()})
        run_once(lambda: self._join(shares))

    def _add(self, file, index, rows, image):
        try:
            self._rows(file).add(index, rows)
        except ValueError:
            raise UserError(f"{file.name}: the prediction on image {image!r} holds nan or infinity") from None

    def _rows(self, file):
        if file.key not in self._row_files:
            rows = _rows_of_process(self.folder / file.name)
            self._row_files[file.key] = self._stack.enter_context(rows)
        return self._row_files[file.key]

    def _lists(self):
        """The lists that may be written."""
        return [file for file in files_of(self.tasks) if isinstance(file, ListFile)]

    def _join(self, shares):
        for file in self._lists():
            paths = [Path(share[file.key]) for share in shares if file.key in share]
            lost = [path for path in paths if not path.is_file()]
            if lost:
                raise UserError(f"{lost[0]} is not there; all processes of a run must share one output folder")
            if not paths:
                continue
            _join_rows(paths, self.folder / file.name, file.around(self._file_names, self._images()))
            if file.wrapped_too and self.dataset.layout == "detail":
                _join_rows(paths, self.folder / file.wrapped_too, _PRED)
        with atomic_write(self.folder / CLASSES) as file:
            file.write(json.dumps(self._describe(), indent=1).encode())

    def _images(self):
        """What files say of the images: {"id", "file_name", "width", "height"} of each, as far as that is known."""
        infos = map(self.dataset.get_img_info, range(len(self.dataset)))
        known = ({key: info[key] for key in ("file_name", "width", "height") if key in info} for info in infos)
        return [{"id": self.dataset.image_id(index), **info} for index, info in enumerate(known)]

    def _describe(self):
        return describe(self.dataset, self.tasks)


def contents(
    tasks: Iterable,
    stored: Mapping[str, Any],
    image: int | str,
    names: FileNames,
    size: tuple[int, int] | None,
    name: str = "",
) -> list[tuple[PredictionFile, list[dict], list[tuple]]]:
    """What the files of tasks hold of an image: (file, rows of a list, (file, folder, array) of maps) of each.

    Args:
        tasks: the tasks.
        stored: {task key: stored}.
        image: what files call the image.
        names: what they call its classes.
        size: (width, height) of the image, None where that is not known.
        name: what its maps are called, without suffix; rows that maps belong to say it as their "file_name".

    Raises:
        UserError: for a prediction that its file cannot hold without loss.
    """
    found: list[tuple[Any, list[dict], list[tuple]]] = []
    for task in tasks:
        held = task.to_files(stored[task.key]) if task.key in stored and task.files() else {}
        for file in (file for file in task.files() if held.get(file.key) is not None):
            try:
                rows = file.rows(image, held[file.key], names) if isinstance(file, ListFile) else []
                maps = file.layers(held[file.key])
                for each, _, array in maps:
                    each.check(array, size)
                    rows = [{**row, "file_name": f"{name}{each.suffix}"} for row in rows]
                found.append((file, rows, maps))
            except ValueError as error:
                raise UserError(f"{task.key}: the prediction on image {image!r} {error}") from None
    return found


def _size_of(dataset, index):
    info = dataset.get_img_info(index)
    return (int(info["width"]), int(info["height"])) if "width" in info and "height" in info else None


@contextlib.contextmanager
def _rows_of_process(target):
    """This process's share of the list at `target`, which is gone afterwards."""
    with temporary_file(target) as path, open_output(path, "wb", target) as file:
        yield _RowsOfProcess(path, target, file)


class _RowsOfProcess:
    """One process's share of a list on disk: a line per image, its index and its rows."""

    def __init__(self, path: Path, target: Path, file: Any) -> None:
        self.path = path
        self._target = target
        self._file = file
        self._seen: set[int] = set()

    def add(self, index: int, rows: list[dict]) -> None:
        if index in self._seen:
            return
        self._seen.add(index)
        text = json.dumps(rows, allow_nan=False, separators=(",", ":"))[1:-1]
        with writing(self._target):
            self._file.write(f"{index} {text}\n".encode())

    def flush(self) -> None:
        with writing(self._target):
            self._file.flush()


def _join_rows(paths, target, brackets):
    """Write the rows of all shares in the order of their images as one JSON list between a pair of brackets."""
    lines = {}
    for path in paths:
        place = 0
        with open(path, "rb") as file:
            for line in file:
                number, _, rest = line.partition(b" ")
                if len(rest) > 1:  # an image without rows has none to write
                    lines.setdefault(int(number), (path, place + len(number) + 1, len(rest) - 1))
                place += len(line)
    opening, closing = brackets
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(open(path, "rb")) for path in paths}
        result = stack.enter_context(atomic_write(target))
        result.write(opening.encode())
        for position, index in enumerate(sorted(lines)):
            path, start, length = lines[index]
            files[path].seek(start)
            result.write((b",\n" if position else b"\n") + files[path].read(length))
        result.write(f"\n{closing}\n".encode())
