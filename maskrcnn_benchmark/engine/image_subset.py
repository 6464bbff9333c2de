"""A list of images on which scores are stated beside those on the whole data set, such as seism's test_new.txt."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from maskrcnn_benchmark.prediction_files.layout import image_names
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.utils.text_file import read_text_file

logger = logging.getLogger(__name__)

# What a task's results hold of the images of the list
LISTED = "listed"


@dataclass(frozen=True)
class ImageSubset:
    """Some images of a data set.

    Attributes:
        name: of the list.
        indices: the images' indices in the data set, ascending.
        total: how many images the data set has.
    """

    name: str
    indices: tuple[int, ...]
    total: int

    def __str__(self) -> str:
        return f"{self.name}: {len(self.indices):,} of {counted(self.total, 'image')}"


def read_image_subset(path: str | os.PathLike, dataset: Any) -> ImageSubset:
    """The images of a data set that a text file names.

    Args:
        path: the file, a name per line: that of the image's file, with or without folders and suffix. What follows a
            blank after the name, such as VOC's flags, is left out, and so are empty lines and those that begin with #.
        dataset: the data set; `prediction_files.layout.image_names` says what its images are called.

    Raises:
        UserError: the file cannot be read, or names no image of the data set.
    """
    lines = [line.strip() for line in read_text_file(path).splitlines()]
    listed = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    names = image_names(dataset)
    places = {name: index for index, name in enumerate(names)}
    found = [_find(line, places) for line in listed]
    unknown = [line for line, index in zip(listed, found) if index is None]
    indices = sorted({index for index in found if index is not None})
    if not indices:
        first = f"its first is {unknown[0]!r}" if unknown else "it names none"
        raise UserError(
            f"{path} names no image of the data set ({first}; the data set has {names[0] if names else 'no image'!r}): "
            "give a list of its images, or leave it out"
        )
    if unknown:
        logger.warning(
            "%s: %s of no image of the data set (such as %s) and passed over",
            *(path, "1 name is" if len(unknown) == 1 else f"{len(unknown)} names are", unknown[0]),
        )
    return ImageSubset(Path(path).stem, tuple(indices), len(names))


def _find(line, places):
    """The index of the image of a line, or None."""
    for name in (line, line.split()[0]):
        for form in (name, PurePosixPath(name).name, PurePosixPath(name).stem):
            if form in places:
                return places[form]
    return None
