"""Answers into files as they come: maps image by image, lists from all processes joined at the end."""

import contextlib
import json
from pathlib import Path

from maskrcnn_benchmark.prediction_files.layout import (
    CLASSES,
    DETAIL_KEYPOINTS,
    DIRECTION_SUFFIX,
    LISTS,
    MAPS,
    describe,
    image_id,
    image_names,
    is_detail,
)
from maskrcnn_benchmark.prediction_files.map_file import write_map
from maskrcnn_benchmark.prediction_files.rows import AnswerRows
from maskrcnn_benchmark.utils.comm import all_gather, run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write, mkdir, open_output, temporary_file, writing

_PRED = ('{"pred": [', "]}")
_PLAIN = ("[", "]")


class PredictionWriter:
    """Writes the answers on a data set's images into a folder that `PredictionReader` and other tools read.

    Several processes may write into one folder, each its share of the images; an image that two of them answer is
    written once. It is a context manager: `finish` makes the lists, and without it they stay as they were.

    Args:
        folder: where to; processes of one run must share it.
        dataset: the data set; it names images, categories and parts.
        tasks: task keys that will be answered.
        names: what the maps of each image are called, without suffix; by default `result_layout.image_names`.
    """

    def __init__(self, folder, dataset, tasks, names=None):
        self.folder = Path(folder)
        self.dataset = dataset
        self._names = image_names(dataset) if names is None else names
        self._answer_rows = AnswerRows(dataset)
        self._row_files = {}
        self._stack = contextlib.ExitStack()
        mkdir(self.folder)
        for task in tasks:
            if task in MAPS:
                mkdir(self.folder / MAPS[task])
            if task == "occlusion":
                mkdir(self.folder / f"{MAPS[task]}{DIRECTION_SUFFIX}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def write(self, index, answers):
        """Take in the answers on the image at an index of the data set.

        Args:
            index: which image.
            answers: {task key: what `Task.encode` returns}; tasks that no file is known for are passed over.
        """
        for kind, rows in self._answer_rows.rows(image_id(self.dataset, index), answers).items():
            self._rows(kind).add(index, rows)
        for folder, (values, palette) in self._answer_rows.maps(answers).items():
            write_map(self.folder / folder / f"{self._names[index]}.png", values, palette)

    def finish(self):
        """Join the lists of all processes. Every process has to call it, even one without any image."""
        for rows in self._row_files.values():
            rows.flush()
        shares = all_gather({kind: str(rows.path) for kind, rows in self._row_files.items()})
        run_once(lambda: self._join(shares))

    def _rows(self, kind):
        if kind not in self._row_files:
            rows = _rows_of_process(self.folder / LISTS[kind])
            self._row_files[kind] = self._stack.enter_context(rows)
        return self._row_files[kind]

    def _join(self, shares):
        for kind, name in LISTS.items():
            paths = [Path(share[kind]) for share in shares if kind in share]
            lost = [path for path in paths if not path.is_file()]
            if lost:
                raise UserError(f"{lost[0]} is not there; all processes of a run must share one output folder")
            if not paths:
                continue
            _join_rows(paths, self.folder / name, _PRED if kind == "classification" else _PLAIN)
            if kind == "keypoint" and is_detail(self.dataset):
                _join_rows(paths, self.folder / DETAIL_KEYPOINTS, _PRED)
        with atomic_write(self.folder / CLASSES) as file:
            file.write(json.dumps(describe(self.dataset), indent=1).encode())


@contextlib.contextmanager
def _rows_of_process(target):
    """This process's share of the list at `target`, which is gone afterwards."""
    with temporary_file(target) as path, open_output(path, "wb", target) as file:
        yield _RowsOfProcess(path, target, file)


class _RowsOfProcess:
    """One process's share of a list on disk: a line per image, its index and its rows."""

    def __init__(self, path, target, file):
        self.path = path
        self._target = target
        self._file = file
        self._seen = set()

    def add(self, index, rows):
        if index in self._seen:
            return
        self._seen.add(index)
        text = json.dumps(rows, allow_nan=False, separators=(",", ":"))[1:-1]
        with writing(self._target):
            self._file.write(f"{index} {text}\n".encode())

    def flush(self):
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
