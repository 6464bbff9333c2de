"""How predictions lie in a folder: what a file of them is, and what files call images, categories and classes."""

import itertools
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.small_json import read_small_json

CLASSES = "classes.json"


class PredictionFile:
    """What holds predictions of a task: a list in one file (`lists.ListFile`) or a map per image (`maps.MapFile`).

    Args:
        key: what it is called among sources, in the table of `find_predictions` and on the command line.
        name: of the file or the folder, in a folder of predictions.
        option: the option of `tools/evaluate.py` that names it alone.
        text: what that option says of it.
        encodings: {name: what the numbers mean}, for `classes.json`.
        is_optional: whether the task's other files do without it.

    Attributes:
        has_size: whether what it holds of an image says itself of which size that is, as maps and masks do.
    """

    metavar = ""
    has_size = False

    def folders(self, folder: Path) -> list[tuple[Any, Path]]:
        """The folders of maps of this file, which is at `folder`, each with the `maps.MapFile` that it holds."""
        return []

    def layers(self, held: Any) -> list[tuple[Any, str, Any]]:
        """What is held of an image in maps, as (file, name of its folder, array)."""
        return []

    def __init__(
        self,
        key: str,
        name: str = "",
        *,
        option: str = "",
        text: str = "",
        encodings: Mapping[str, str] | None = None,
        is_optional: bool = False,
    ) -> None:
        self.key = key
        self.name = name or key
        self.option = option or f"--{key}"
        self.text = text or "; ".join((encodings or {}).values())
        self.encodings = dict(encodings or {})
        self.is_optional = is_optional

    def describe(self, vocabulary: Any) -> dict[str, Any]:
        """What `classes.json` says of a data set's names for this file alone: {field: plain values}."""
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r}, {self.name!r})"


def files_of(tasks: Iterable) -> list[Any]:
    """The files of tasks (`tasks.task.Task`): lists first, then maps.

    Raises `UserError` where two have the same key or name, so that one's predictions would take the other's place.
    """
    owners: dict[str, Any] = {}
    files = []
    for task in tasks:
        for file in task.files():
            for name in {file.key, file.name}:
                if owners.setdefault(name, file) is not file:
                    raise UserError(f"{name!r} is a file of two tasks, the second {task.key!r}; rename it in `files`")
            files.append(file)
    return sorted(files, key=lambda file: file.metavar == "DIR")


class FileNames:
    """What files call the images, categories and parts of a data set.

    Attributes:
        vocabulary: the data set's `Vocabulary`.
        category_ids: {label of a thing: its category id}.
        part_ids: {part id: name} of the data set's file.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.vocabulary = dataset.vocabulary
        self.category_ids = dataset.category_ids()
        self.part_ids = dataset.part_ids()

    @cached_property
    def part_keys(self) -> dict[str, Any]:
        """{name: part id}."""
        return {name: key for key, name in self.part_ids.items()}

    @cached_property
    def part_labels(self) -> dict[tuple[str, str], int]:
        """{(thing, name of a label of the part set): label}."""
        parts = self.vocabulary.parts
        named = enumerate(zip(parts.labels, parts.owners), 1)
        return {(thing, name): label for label, (name, things) in named for thing in things}

    @cached_property
    def labels_of_others(self) -> dict[int | str, int]:
        """{category id: label} of the semantic classes that are no things: the labels after those of things."""
        ids, things = self._dataset.class_ids(), self.vocabulary.thing_names
        others = [name for name in self.vocabulary.semantic_names if name not in things]
        return {ids[name]: label for label, name in enumerate(others, len(things) + 1) if name in ids}

    @cached_property
    def class_ids(self) -> dict[str, int | str]:
        """{name of a thing or of a semantic class: category id}; those without one have the next free numbers."""
        ids = dict(self._dataset.class_ids())
        numbers = itertools.count(1 + max((key for key in ids.values() if isinstance(key, int)), default=0))
        for name in (*self.vocabulary.thing_names, *self.vocabulary.semantic_names):
            if name not in ids:
                ids[name] = next(numbers)
        return ids

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) of each image."""
        infos = map(self._dataset.get_img_info, range(len(self._dataset)))
        return [(int(info["width"]), int(info["height"])) for info in infos]

    @cached_property
    def indices(self) -> dict[int | str, int]:
        """{what files call an image: its index}: its id, or its name, which is all that some networks know."""
        by_name: dict[int | str, int] = {name: index for index, name in enumerate(image_names(self._dataset))}
        return {**by_name, **image_ids(self._dataset)}

    def labels_beside(self, path: str | os.PathLike) -> dict[int | str, int]:
        """{category id: label} of a list: by the names in a `classes.json` beside it, else the data set's numbers."""
        classes = Path(path).parent / CLASSES
        if not classes.is_file():
            return {key: label for label, key in self.category_ids.items()}
        places = {name: label for label, name in enumerate(self.vocabulary.thing_names, 1)}
        things = read_classes(classes, "things", path)
        if not all(type(entry.get("category_id")) in (int, str) for entry in things):
            raise UserError(f"{classes} is damaged: a thing has no category_id; {_classes_remedy(path)}")
        return {entry["category_id"]: places[entry["name"]] for entry in things if entry["name"] in places}


def image_ids(dataset: Any) -> dict[int | str, int]:
    """{what the file calls an image: its index}. Raises `UserError` where two images share an id."""
    ids = [dataset.image_id(index) for index in range(len(dataset))]
    places = {key: index for index, key in enumerate(ids)}
    if len(places) < len(ids):
        twice = next(key for index, key in enumerate(ids) if places[key] != index)
        raise UserError(
            f"two images of the data set are called {twice!r}, so files cannot tell them apart; score each alone"
        )
    return places


def image_names(dataset: Any) -> list[str]:
    """What the map of each image is called, without suffix, all different.

    That is the stem of the image's file; where two share it, the image ids; where those will not do, the indices.
    """
    infos = [dataset.get_img_info(index) for index in range(len(dataset))]
    stems = [PurePosixPath(str(info.get("file_name", ""))).stem for info in infos]
    ids = [str(dataset.image_id(index)) for index in range(len(infos))]
    numbers = [str(index) for index in range(len(infos))]
    return next(names for names in (stems, ids, numbers) if len(set(names)) == len(names) and all(map(_is_name, names)))


def describe(dataset: Any, tasks: Iterable) -> dict[str, Any]:
    """What every number in the files of tasks means: a dictionary of plain values, the content of `classes.json`."""
    vocabulary = dataset.vocabulary
    ids = dataset.class_ids()
    content = {
        "things": [
            {"category_id": key, "name": vocabulary.thing_names[k - 1]} for k, key in dataset.category_ids().items()
        ],
        "semantic": [
            {"value": value, "name": name, "category_id": ids.get(name)}
            for value, name in enumerate(vocabulary.semantic_names, 1)
        ],
        "part_set": vocabulary.parts.name if vocabulary.parts else None,
        "part": [
            {"value": value, "name": name, "things": list(things)}
            for value, (name, things) in enumerate(zip(vocabulary.parts.labels, vocabulary.parts.owners), 1)
        ]
        if vocabulary.parts
        else [],
        "joints": list(vocabulary.joints.names) if vocabulary.joints else [],
        "image_labels": [{"name": name, "category_id": ids.get(name)} for name in vocabulary.image_label_names],
    }
    # maps of numbers that are named here come in the order of the names, before other maps
    places = {name: place for place, name in enumerate(content)}
    files = sorted(files_of(tasks), key=lambda file: (file.metavar == "DIR", places.get(file.key, len(places))))
    for file in files:
        content.update(file.describe(vocabulary))
    return {**content, "encodings": {name: text for file in files for name, text in file.encodings.items()}}


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


def _is_name(name):
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0")
