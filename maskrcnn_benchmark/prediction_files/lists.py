"""The lists of answers that files hold, one class per kind: what an entry must be, and the answer it stands for."""

import os
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.prediction_files.layout import CLASSES, category_ids, image_ids, image_names, part_ids
from maskrcnn_benchmark.prediction_files.row_file import RowFile, shown
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import read_small_json

_LARGEST = 1e9  # beyond any coordinate and any score; also leaves out nan and infinity


class AnswerList:
    """The answers of one list on the images of a data set.

    Args:
        path: the file, see `RowFile`.
        dataset: the data set that its image and category ids are of.

    Raises:
        UserError: for the first entry that is not as it must be. Run lengths are only decoded with their image.
    """

    def __init__(self, path, dataset):
        self._image_ids = image_ids(dataset)
        infos = map(dataset.get_img_info, range(len(dataset)))
        self._sizes = [(int(info["width"]), int(info["height"])) for info in infos]
        self._labels = _labels_of_file(path, dataset)
        self._by_name = {name: index for index, name in enumerate(image_names(dataset))}
        self._names = dataset.vocabulary.thing_names
        self.file = RowFile(path, self._check)

    def answer(self, index):
        """The prediction on the image at an index, see `prediction_files.encodings`; empty where no entry names it."""
        rows = self.file.rows(index)
        return [self._convert(row, index) for _, row in rows]

    def images(self):
        """Indices of the images that have an entry: set of int."""
        return self.file.images()

    def _check(self, row):
        index = self._index(row)
        self._label(row)
        self._score(row)
        self._check_rest(row, index)
        return index

    def _check_rest(self, row, index):
        """Raise `ValueError` if what makes this kind of list is not as it must be."""
        raise NotImplementedError

    def _convert(self, row, index):
        """The dictionary of `prediction_files.encodings` that an entry stands for."""
        return {"category_id": self._label(row), "score": float(row["score"])}

    def _index(self, row):
        key = _member(row, "image_id")
        if type(key) in (int, str):
            for known in (self._image_ids, self._by_name):  # a network that saw files alone knows their names
                if key in known:
                    return known[key]
        raise ValueError(f"has the image_id {shown(key)}, which no image of the data set has")

    def _label(self, row):
        key = _member(row, "category_id")
        if type(key) not in (int, str) or key not in self._labels:
            raise ValueError(f"has the category_id {shown(key)}, which is none of the {len(self._labels)} with objects")
        return self._labels[key]

    def _score(self, row):
        if not _is_number(_member(row, "score")):
            raise ValueError(f"has the score {shown(row['score'])}; it must be a finite number")

    def _codes(self, index, codes, names):
        """Run lengths with their counts as bytes, after each was decoded once to see that it is whole."""
        size = self._sizes[index]
        lengths = RunLengths(codes, size, names)
        return lengths, [_compressed(code, size) for code in codes]


class DetectionList(AnswerList):
    """Boxes: [{"image_id", "category_id", "bbox": [x, y, width, height], "score"}]."""

    def _check_rest(self, row, index):
        box = _member(row, "bbox")
        if not _are_numbers(box, 4) or box[2] < 0 or box[3] < 0:
            raise ValueError(
                f"has the bbox {shown(box)}; it must be [x, y, width, height], finite, neither side negative"
            )

    def _convert(self, row, index):
        box = [float(value) for value in row["bbox"]]
        return {**super()._convert(row, index), "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


class InstanceList(AnswerList):
    """Masks: [{"image_id", "category_id", "segmentation": {"size": [h, w], "counts"}, "score"}]."""

    def answer(self, index):
        rows = self.file.rows(index)
        codes = [row["segmentation"] for _, row in rows]
        lengths, codes = self._codes(index, codes, lambda i: f"{self.file.path}: entry {rows[i][0]}")
        return [
            {**self._convert(row, index), "segmentation": code, "area": float(area), "iscrowd": 0}
            for (_, row), code, area in zip(rows, codes, lengths.areas)
        ]

    def _check_rest(self, row, index):
        _check_code(_member(row, "segmentation"), self._sizes[index], "segmentation")


class KeypointList(AnswerList):
    """People's joints: [{"image_id", "category_id": person's, "keypoints": [x, y, v] * J, "score"}]."""

    def __init__(self, path, dataset):
        self._joints = len(dataset.vocabulary.joints)
        super().__init__(path, dataset)

    def _check_rest(self, row, index):
        if self._names[self._label(row) - 1] != "person":
            raise ValueError(f"has joints of the category_id {shown(row['category_id'])}; only a person has joints")
        joints = _member(row, "keypoints")
        if not _are_numbers(joints, 3 * self._joints):
            count = f"{len(joints)} of them" if isinstance(joints, list) else shown(joints)
            raise ValueError(
                f"must have {3 * self._joints} finite numbers as keypoints, x, y and visibility of {self._joints} "
                f"joints, not {count}"
            )

    def _convert(self, row, index):
        joints = np.array(row["keypoints"], np.float64).reshape(-1, 3)
        low, high = joints[:, :2].min(axis=0), joints[:, :2].max(axis=0)
        box = [*low.tolist(), *(high - low).tolist()]  # as pycocotools takes it
        joints = joints.reshape(-1).tolist()
        return {**super()._convert(row, index), "keypoints": joints, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}


class PartList(AnswerList):
    """Parts by object: [{"image_id", "category_id", "score", "parts": [{"part" or "part_id", "segmentation"}]}].

    "part" is a name of the data set's part set, or of the file's own parts: one that the part set puts into a group
    (the eye on a head) counts as that, one that it leaves out is left out, as in the annotations.
    """

    def __init__(self, path, dataset):
        self._part_set = dataset.vocabulary.parts
        named = enumerate(zip(self._part_set.labels, self._part_set.owners), 1)
        self._part_labels = {(thing, name): label for label, (name, things) in named for thing in things}
        self._part_ids = part_ids(dataset)
        self._part_names = set(self._part_ids.values())
        super().__init__(path, dataset)

    def answer(self, index):
        rows = self.file.rows(index)
        owners, labels, codes = [], [], []
        for place, (_, row) in enumerate(rows):
            for part in row["parts"]:
                label = self._part_label(self._names[self._label(row) - 1], part)
                if label:
                    owners.append(place)
                    labels.append(label)
                    codes.append(part["segmentation"])
        _, codes = self._codes(index, codes, lambda i: f"{self.file.path}: entry {rows[owners[i]][0]}, a part of it")
        by_label = [{} for _ in rows]
        for place, label, code in zip(owners, labels, codes):
            by_label[place].setdefault(label, []).append(code)
        return [
            {**self._convert(row, index), "parts": [{"part": k, "segmentation": _union(v)} for k, v in parts.items()]}
            for (_, row), parts in zip(rows, by_label)
        ]

    def _check_rest(self, row, index):
        parts = _member(row, "parts")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise ValueError(f'has the parts {shown(parts)}; they must be a list of {{"part", "segmentation"}}')
        for part in parts:
            self._part_label(self._names[self._label(row) - 1], part)
            _check_code(_member(part, "segmentation"), self._sizes[index], "segmentation of a part")

    def _part_label(self, thing, part):
        """The label of a part, 0 if the part set leaves it out."""
        name = part.get("part")
        if name is None:
            key = _member(part, "part_id")
            name = self._part_ids.get(key) if type(key) in (int, str) else None
            if name is None:
                raise ValueError(f"has the part_id {shown(key)}, which the data set's file does not list")
        elif not isinstance(name, str):
            raise ValueError(f"has the part {shown(name)}; it must be a name")
        label = self._part_labels.get((thing, name)) or self._part_set.label_of(thing, name)
        if not label and name not in self._part_names:
            raise ValueError(f"has the part {shown(name)}, which a {thing} of part set {self._part_set.name} has not")
        return label


class ClassificationList(AnswerList):
    """Scores of image labels: [{"image_id", "category_score": [a number for each label]}], one entry an image."""

    def __init__(self, path, dataset):
        self._num_labels = len(dataset.vocabulary.image_label_names)
        self._seen = set()
        super().__init__(path, dataset)

    def answer(self, index):
        """float64 [L]."""
        ((_, row),) = self.file.rows(index)
        return np.array(row["category_score"], np.float64)

    def _check(self, row):
        index = self._index(row)
        if index in self._seen:
            raise ValueError(f"answers image {row['image_id']!r} a second time; keep one")
        self._seen.add(index)
        scores = _member(row, "category_score")
        if not _are_numbers(scores, self._num_labels):
            count = f"{len(scores)} of them" if isinstance(scores, list) else shown(scores)
            raise ValueError(f"must have {self._num_labels} finite numbers as category_score, not {count}")
        return index


LIST_KINDS = {
    "detection": DetectionList,
    "instance": InstanceList,
    "keypoint": KeypointList,
    "parts": PartList,
    "classification": ClassificationList,
}


def _labels_of_file(path, dataset):
    """{category id: label} of a list: by the names in a `classes.json` beside it, else the data set's own numbers."""
    labels = {key: label for label, key in category_ids(dataset).items()}
    classes = Path(path).parent / CLASSES
    if not classes.is_file():
        return labels
    places = {name: label for label, name in enumerate(dataset.vocabulary.thing_names, 1)}
    things = read_classes(classes, "things", path)
    if not all(type(entry.get("category_id")) in (int, str) for entry in things):
        raise UserError(f"{classes} is damaged: a thing has no category_id; {_classes_remedy(path)}")
    return {entry["category_id"]: places[entry["name"]] for entry in things if entry["name"] in places}


def read_classes(path: str | os.PathLike, field: str, numbered: object) -> list[dict]:
    """The entries of a `classes.json` under a field, each an object with a name: list of dict.

    Args:
        path: the file.
        field: "things", "semantic" or "part".
        numbered: the file or folder whose numbers it explains, for an error.
    """
    content = read_small_json(path, _classes_remedy(numbered))
    entries = content.get(field) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(
        isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries
    ):
        raise UserError(f"{path} is damaged: it has no names under {field!r}; {_classes_remedy(numbered)}")
    return entries


def _classes_remedy(numbered):
    return f"remove it if {numbered} is numbered as the data set is"


def _member(row, key):
    if key not in row:
        raise ValueError(f"has no {key!r}")
    return row[key]


def _is_number(value):
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _are_numbers(values, count):
    return isinstance(values, list) and len(values) == count and all(map(_is_number, values))


def _check_code(code, size, what):
    """Raise `ValueError` for what cannot be a run-length code of an image of `size` (width, height)."""
    if not isinstance(code, dict) or "size" not in code or "counts" not in code:
        raise ValueError(f'has the {what} {shown(code)}; it must be run lengths, {{"size": [h, w], "counts": ...}}')
    shape, counts = code["size"], code["counts"]
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int] or shape != [size[1], size[0]]:
        raise ValueError(f"has a {what} of the size {shown(shape)}, but its image is {[size[1], size[0]]} (h, w)")
    pixels = size[0] * size[1]
    runs = isinstance(counts, list) and all(type(run) is int and 0 <= run <= pixels for run in counts)
    if not runs and not (isinstance(counts, str) and counts.isascii()):
        raise ValueError(f"has a {what} with the counts {shown(counts)}; they must be COCO's text or a list of lengths")


def _compressed(code, size):
    """A run-length code that was checked, with its counts as bytes."""
    counts = code["counts"]
    if isinstance(counts, list):
        return coco_mask.frPyObjects({"size": [size[1], size[0]], "counts": counts}, size[1], size[0])
    return {"size": [size[1], size[0]], "counts": counts.encode()}


def _union(codes):
    return codes[0] if len(codes) == 1 else coco_mask.merge(codes)
