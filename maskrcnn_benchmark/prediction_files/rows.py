"""Answers as what files hold: the rows of the lists and the maps of an image."""

from maskrcnn_benchmark.prediction_files.layout import DIRECTION_SUFFIX, MAPS, category_ids, part_ids
from maskrcnn_benchmark.prediction_files.map_file import voc_palette
from maskrcnn_benchmark.tasks.task import OWN_TASKS


class AnswerRows:
    """Turns {task key: what `Task.encode` returns} into rows and maps.

    Args:
        dataset: names categories and parts: anything with a `vocabulary`, and with the numbers of its file if it has
            one (`result_layout.category_ids`, `part_ids`).
    """

    def __init__(self, dataset):
        self._part_set = dataset.vocabulary.parts
        self._categories = category_ids(dataset)
        self._part_ids = {name: key for key, name in part_ids(dataset).items()}
        self._palette = voc_palette()

    def rows(self, key, answers):
        """{key of `result_layout.LISTS`: list of rows, plain values} of an image that files call `key`."""
        given, rows = answers, {}
        for task, field in (("detection", "bbox"), ("instance", "segmentation"), ("keypoint", "keypoints")):
            if task in given:
                rows[task] = [self._object(key, row, {field: _plain(row[field])}) for row in given[task]]
        if "part" in given and given["part"].instances is not None:
            objects = given["part"].instances
            rows["parts"] = [
                self._object(key, row, {"parts": [self._part(part) for part in row["parts"]]}) for row in objects
            ]
        if "classification" in given:
            rows["classification"] = [{"image_id": key, "category_score": given["classification"].tolist()}]
        return rows

    def maps(self, answers):
        """{folder: (uint8 or uint16 [H, W], palette uint8 [256, 3] or None)} of an image."""
        given, maps = answers, {}
        if "part" in given:
            maps[MAPS["part"]] = given["part"].labels, self._palette
        if "semantic" in given:
            maps[MAPS["semantic"]] = given["semantic"] + 1, self._palette
        if "boundary" in given:
            maps[MAPS["boundary"]] = given["boundary"], None
        if "occlusion" in given:
            maps[MAPS["occlusion"]] = given["occlusion"].strength, None
            maps[MAPS["occlusion"] + DIRECTION_SUFFIX] = given["occlusion"].direction, None
        added = [task for task in given if task in MAPS and task not in OWN_TASKS]
        return {**maps, **{MAPS[task]: (given[task], None) for task in added}}

    def _object(self, key, row, what):
        label = row["category_id"]
        # a network may know classes that the data set does not name
        return {
            "image_id": key,
            "category_id": self._categories.get(label, label),
            "score": row["score"],
            **what,
        }

    def _part(self, part):
        name, members = self._part_set.labels[part["part"] - 1], self._part_set.members[part["part"] - 1]
        key = self._part_ids.get(members[0]) if len(members) == 1 else None  # a group has no number in the file
        number = {} if key is None else {"part_id": key}
        return {**number, "part": name, "segmentation": _plain(part["segmentation"])}


def _plain(value):
    """A run length with its counts as text, which JSON can hold; anything else as it is."""
    if not isinstance(value, dict):
        return value
    counts = value["counts"]
    return {"size": list(value["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}
