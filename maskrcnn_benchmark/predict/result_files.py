"""Results as files: folders that the evaluation reads, and one JSON object per image."""

import base64
import json

from maskrcnn_benchmark.prediction_files.encodings import ImageAnswers
from maskrcnn_benchmark.prediction_files.layout import CLASSES, LISTS, describe
from maskrcnn_benchmark.prediction_files.map_file import encode_map
from maskrcnn_benchmark.prediction_files.rows import AnswerRows
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import read_small_json


class PredictedImages:
    """The images of results, in the place of the data set that they are not of: files call them by name.

    Attributes:
        vocabulary: the network's `Vocabulary`.
        names: names of the images so far.
    """

    def __init__(self, vocabulary, names=()):
        self.vocabulary = vocabulary
        self.names = list(names)

    def __len__(self):
        return len(self.names)

    def get_img_info(self, index):
        """{"image_id"} of an image."""
        return {"image_id": self.names[index]}


class ResultWriter(PredictionWriter):
    """Writes results into a folder that `tools/evaluate.py --predictions` reads.

    What the folder holds already of other images is kept, and of the same image replaced. A context manager; lists
    are written by `finish`.

    Args:
        folder: where to.
        vocabulary: the network's `Vocabulary`.
        tasks: keys of the tasks that will be predicted.

    Raises:
        UserError: the folder holds answers that are numbered in another way, or a damaged list.
    """

    def __init__(self, folder, vocabulary, tasks):
        images = PredictedImages(vocabulary)
        super().__init__(folder, images, tasks, names=images.names)
        self._known = self._read_lists()

    def add(self, result):
        """Take in a `PredictedImage`."""
        self.dataset.names.append(result.name)
        self.write(len(self.dataset) - 1, ImageAnswers(result.size, result.stored, result.name))

    def finish(self):
        """Write the lists."""
        written = set(self.dataset.names)
        for kind, rows in self._known.items():
            kept = [row for row in rows if row["image_id"] not in written]
            if kept:
                self._rows(kind).add(len(self.dataset), kept)
        super().finish()

    def _read_lists(self):
        """{key of `LISTS`: rows that the folder holds}."""
        classes = self.folder / CLASSES
        if not classes.is_file():
            return {}
        remedy = "choose another folder, or remove it"
        if read_small_json(classes, remedy) != json.loads(json.dumps(describe(self.dataset))):
            raise UserError(f"{self.folder} holds answers that are numbered in another way; choose another folder")
        known = {}
        for kind, name in LISTS.items():
            if (self.folder / name).is_file():
                rows = _load(self.folder / name)
                rows = rows["pred"] if isinstance(rows, dict) and "pred" in rows else rows
                if not isinstance(rows, list) or not all(map(_is_row, rows)):
                    raise UserError(f"{self.folder / name} is no list of answers; choose another folder, or remove it")
                known[kind] = rows
        return known


def image_entry(result):
    """The prediction of a `PredictedImage` as one dictionary of plain values, see docs/predicting.md."""
    images = PredictedImages(result.vocabulary, [result.name])
    answers, files = ImageAnswers(result.size, result.stored, result.name), AnswerRows(images)
    maps = {
        folder: base64.b64encode(encode_map(values, palette)).decode()
        for folder, (values, palette) in files.maps(answers).items()
    }
    width, height = result.size
    return {
        "image_id": result.name,
        "path": result.path,
        "width": width,
        "height": height,
        **({} if result.seconds is None else {"seconds": round(result.seconds, 6)}),
        "answers": files.rows(result.name, answers),
        "maps": maps,
        "classes": describe(images),
    }


def _is_row(row):
    return isinstance(row, dict) and type(row.get("image_id")) in (int, str)


def _load(path):
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged; choose another folder, or remove it") from None
