"""Results as files: folders that the evaluation reads, and one JSON object per image."""

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.prediction_files.layout import CLASSES, FileNames, describe, files_of
from maskrcnn_benchmark.prediction_files.lists import ListFile
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter, contents
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import read_small_json

if TYPE_CHECKING:
    from maskrcnn_benchmark.predict.predicted_image import PredictedImage


class PredictedImages(AnnotatedDataset):
    """The images of results, in the place of the data set that they are not of: files call them by name.

    Attributes:
        vocabulary: the network's `Vocabulary`.
        ids: names of the images so far.
        sizes: (width, height) of each.
    """

    def __init__(
        self, vocabulary: Vocabulary, names: Sequence[str] = (), sizes: Sequence[tuple[int, int]] = ()
    ) -> None:
        self.vocabulary = vocabulary
        self.ids: list[Any] = list(names)
        self.sizes = list(sizes)

    def get_img_info(self, index: int) -> dict[str, Any]:
        """{"image_id", "width", "height"} of an image."""
        width, height = self.sizes[index]
        return {"image_id": self.ids[index], "width": width, "height": height}


class ResultWriter(PredictionWriter):
    """Writes results into a folder that `tools/evaluate.py --predictions` reads.

    What the folder holds already of other images is kept, and of the same image replaced. A context manager; lists
    are written by `finish`.

    Args:
        folder: where to.
        vocabulary: the network's `Vocabulary`.
        tasks: keys of the tasks that are predicted.

    Raises:
        UserError: the folder holds predictions that are numbered in another way, or a damaged list.
    """

    dataset: PredictedImages

    def __init__(self, folder: str | os.PathLike, vocabulary: Vocabulary, tasks: Iterable[str]) -> None:
        images = PredictedImages(vocabulary)
        super().__init__(folder, images, [TASKS[key] for key in tasks], names=images.ids)
        self._encodings: dict[str, str] = {}
        self._legend: dict[str, Any] = {}
        self._known_images: list[dict[str, Any]] = []
        self._known = self._read_lists()

    def add(self, result: "PredictedImage") -> None:
        """Take in a `PredictedImage`."""
        self.dataset.ids.append(result.name)
        self.dataset.sizes.append(result.size)
        self.write(len(self.dataset) - 1, result.stored)

    def finish(self) -> None:
        """Write the lists."""
        written = set(self.dataset.ids)
        for file, rows in self._known:
            kept = [row for row in rows if row["image_id"] not in written]
            if kept:
                self._rows(file).add(len(self.dataset), kept)
        super().finish()

    def _lists(self):
        return [file for file in files_of(TASKS.values()) if isinstance(file, ListFile)]

    def _images(self):
        return list({image["id"]: image for image in (*self._known_images, *super()._images())}.values())

    def _describe(self):
        legend = super()._describe()
        return {**self._legend, **legend, "encodings": {**self._encodings, **legend["encodings"]}}

    def _read_lists(self):
        """(file, rows that the folder holds) of each list."""
        classes = self.folder / CLASSES
        if not classes.is_file():
            return []
        remedy = "choose another folder, or remove it"
        theirs = read_small_json(classes, remedy)
        named = [task for task in TASKS.values() if task.has_names(self.dataset.vocabulary)]
        least, ours = (json.loads(json.dumps(describe(self.dataset, tasks))) for tasks in ((), named))
        encodings = theirs.get("encodings") if isinstance(theirs, dict) else None
        legend = {} if encodings is None else {name: value for name, value in theirs.items() if name != "encodings"}
        is_whole = least.keys() - {"encodings"} <= legend.keys()  # and may describe files of further tasks
        if not isinstance(encodings, dict) or not is_whole or any(ours.get(k) != v for k, v in legend.items()):
            raise UserError(f"{self.folder} holds predictions that are numbered in another way; choose another folder")
        self._encodings, self._legend = encodings, legend
        known = []
        for file in self._lists():
            path = self.folder / file.name
            if path.is_file():
                rows = _load(path)
                if isinstance(rows, dict) and file.section in rows:
                    images = rows.get("images")
                    self._known_images += [i for i in images if _is_image(i)] if isinstance(images, list) else []
                    rows = rows[file.section]
                if not isinstance(rows, list) or not all(map(_is_row, rows)):
                    raise UserError(f"{path} is no list of predictions; choose another folder, or remove it")
                known.append((file, rows))
        return known


def image_entry(result: "PredictedImage", stored: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """All predictions of a `PredictedImage` as one dictionary of plain values, see docs/predicting.md.

    Args:
        result: whose prediction it is.
        stored: {task key: stored form}, with masks and maps of `size`, (width, height).
    """
    images, tasks = PredictedImages(result.vocabulary, [result.name], [result.size]), [TASKS[k] for k in result.tasks]
    held = contents(tasks, stored, result.name, FileNames(images), size, result.name)
    width, height = result.size
    return {
        "image_id": result.name,
        "path": result.path,
        "width": width,
        "height": height,
        **({} if size == result.size else {"map_width": size[0], "map_height": size[1]}),
        **({} if result.seconds is None else {"seconds": round(result.seconds, 6)}),
        "answers": {file.key: rows for file, rows, _ in held if isinstance(file, ListFile)},
        "maps": {
            folder: base64.b64encode(file.encode(array)).decode() for _, _, maps in held for file, folder, array in maps
        },
        "classes": describe(images, tasks),
    }


def _is_row(row):
    return isinstance(row, dict) and type(row.get("image_id")) in (int, str)


def _is_image(row):
    return isinstance(row, dict) and type(row.get("id")) in (int, str)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged; choose another folder, or remove it") from None
