"""What the archives of multi-task papers share: a list of images, and a folder for each kind of label."""

import logging
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage
from maskrcnn_benchmark.data.image_file import image_size, read_labels
from maskrcnn_benchmark.data.preparation.check_images import is_safe_name
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.array_file import read_shape
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted, printable
from maskrcnn_benchmark.utils.text_file import read_text_file

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

IMAGES = "images"
SPLITS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val")}

logger = logging.getLogger(__name__)


class Folder(NamedTuple):
    """Where an archive has one kind of file: a folder, and the suffixes of what is in it, the best first."""

    name: str
    suffixes: tuple[str, ...]


class Completeness(NamedTuple):
    """How many images of a list have the label of a task.

    Attributes:
        task: key of the task.
        found: number of images that have its files.
        total: number of images.
        missing: what is missing, in words; "" for nothing.
    """

    task: str
    found: int
    total: int
    missing: str


class MTLImage(AnnotatedImage):
    """One image of an `MTLDataset`."""

    dataset: "MTLDataset"

    @cached_property
    def size(self) -> tuple[int, int]:
        return self.dataset.size_of(self.image_id)

    def file(self, kind: str) -> Path | None:
        """Its file in the folder of a kind, None where there is none."""
        return self.dataset.file_of(kind, self.image_id)

    def map_file(self, kind: str) -> Path | None:
        return self.file(kind) if kind in self.dataset.MAPS else None

    def read_classes(self, path: Path, count: int, of: str) -> np.ndarray:
        """A PNG of classes 0..count - 1 and 255: uint8 [H, W]; any other value is an error."""
        labels = read_labels(path, self.size)
        highest = int(labels[labels != IGNORE_INDEX].max(initial=0))
        if highest >= count or labels.min() < 0:
            raise UserError(f"{path} holds the value {highest}, but {of} has 0 to {count - 1} and 255; unpack it again")
        return labels.astype(np.uint8)


class MTLDataset(AnnotatedDataset):
    """Images with a folder for each kind of label, as the archives of multi-task papers have them.

    What is missing is told once, when the set is opened: a folder, or single files, with counts. An image whose file is
    missing is not annotated for that task.

    Args:
        data_dir: folder of the archive.
        split: "train", "val" or "trainval".
        transforms: called as `transforms(image, annotations)`, or None.
        tasks: keys of `tasks.TASKS` whose annotations are wanted; None wants all that the archive has.

    Attributes:
        FOLDERS: {kind of file: its `Folder`}; `IMAGES` are the images.
        MAPS: kinds that `AnnotatedImage.map_file` gives to the tasks of their name.
        NEEDS: {task key: the kinds that its label is read from: all of each tuple, of one of the tuples}.
        LISTS: folder of the lists of images.
        ARCHIVE: what the archive is called, for errors.
        ids: names of the images.
        root: folder of the images.
    """

    FOLDERS: Mapping[str, Folder]
    MAPS: Collection[str] = ()
    NEEDS: Mapping[str, Sequence[tuple[str, ...]]]
    LISTS: str
    ARCHIVE: str
    image_class = MTLImage
    vocabulary: Vocabulary

    def __init__(
        self,
        data_dir: str | os.PathLike,
        split: str,
        transforms: Callable | None = None,
        tasks: Iterable[str] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        self.data_dir = Path(data_dir)
        self.split = split
        self.transforms = transforms
        self.root: Path = self.data_dir / self.FOLDERS[IMAGES].name
        self.ids = list(dict.fromkeys(name for part in SPLITS[split] for name in self._read_list(part)))
        self._suffixes = {kind: self._find_files(folder) for kind, folder in self.FOLDERS.items()}
        self._sizes: dict[str, tuple[int, int]] = {}
        absent = [name for name in self.ids if name not in self._suffixes[IMAGES]]
        if absent:
            raise UserError(
                f"{self.root} lacks {counted(len(absent), 'image')} of {len(self.ids)} of {self.split}, such as "
                f"{absent[0]}; unpack {self.ARCHIVE} again"
            )
        self._prepare()
        self.open_readers(tasks)
        self._tell_missing(tasks)

    def _prepare(self) -> None:
        """What a layout does once its files are known and before readers are opened."""

    def get_img_info(self, index: int) -> dict[str, Any]:
        """{"height", "width" in pixels, "file_name" in the folder of images, "image_id"} of an image."""
        name = self.ids[index]
        width, height = self.size_of(name)
        return {"height": height, "width": width, "file_name": name + self._suffixes[IMAGES][name], "image_id": name}

    def size_of(self, name: str) -> tuple[int, int]:
        """(width, height) of an image, from the first bytes of its file, which are read once."""
        if name not in self._sizes:
            self._sizes[name] = image_size(self.root / (name + self._suffixes[IMAGES][name]), self.exif)
        return self._sizes[name]

    def file_of(self, kind: str, name: str) -> Path | None:
        """The file of an image in the folder of a kind, None where there is none."""
        suffix = self._suffixes[kind].get(name)
        return None if suffix is None else self.data_dir / self.FOLDERS[kind].name / (name + suffix)

    def completeness(self) -> list[Completeness]:
        """How complete each task of the archive is, over the images of the split."""
        return [self._completeness(task, ways) for task, ways in self.NEEDS.items()]

    def misfits(self) -> dict[str, list[str]]:
        """{folder: images of which it holds a map of another size}; of .mat files, reading them tells."""
        found: dict[str, list[str]] = {}
        for kind, files in self._suffixes.items():
            for name, suffix in files.items() if kind != IMAGES else ():
                path = self.data_dir / self.FOLDERS[kind].name / (name + suffix)
                shape = self.size_of(name)[::-1]
                if suffix == ".npy":
                    fits = shape in ((stored := read_shape(path))[:2], stored[-2:])
                else:
                    fits = suffix == ".mat" or image_size(path)[::-1] == shape
                if not fits:
                    found.setdefault(self.FOLDERS[kind].name, []).append(name)
        return found

    def _completeness(self, task: str, ways: Sequence[tuple[str, ...]]) -> Completeness:
        has = self._suffixes
        absent = [name for name in self.ids if not any(all(name in has[kind] for kind in kinds) for kinds in ways)]
        folders = [self.FOLDERS[kind].name for kinds in ways for kind in kinds]
        gone = [folder for folder in folders if not (self.data_dir / folder).is_dir()]
        words = ""
        if absent and len(gone) >= len(ways):  # no way is left
            words = f"there is no folder {', '.join(gone)}"
        elif absent:
            where = " or ".join(folders) if len(ways) > 1 else " and ".join(folders)
            words = f"{len(absent)} of {len(self.ids)} files are missing in {where}, such as {absent[0]}"
        return Completeness(task, len(self.ids) - len(absent), len(self.ids), words)

    def _tell_missing(self, tasks: Iterable[str] | None) -> None:
        wanted = None if tasks is None else set(tasks)
        states = [state for state in self.completeness() if wanted is None or state.task in wanted]
        for state in states:
            if state.missing:
                words = "%s (%s): %s: %s; images without this label: %d"
                logger.warning(words, self.data_dir, self.split, state.task, state.missing, state.total - state.found)

    def _read_list(self, split: str) -> list[str]:
        path = self.data_dir / self.LISTS / f"{split}.txt"
        if not path.is_file():
            raise UserError(f"no such list of images: {path}; unpack {self.ARCHIVE} there")
        names = [line.strip() for line in read_text_file(path).splitlines() if line.strip()]
        if not names:
            raise UserError(f"{path} lists no image; unpack {self.ARCHIVE} again")
        odd = next((name for name in names if not is_safe_name(name) or "/" in name), None)
        if odd is not None:
            raise UserError(
                f"{path} lists '{printable(odd)}', which is no name of an image; unpack {self.ARCHIVE} again"
            )
        unique = list(dict.fromkeys(names))
        if len(unique) < len(names):
            logger.warning("%s lists %s again; each is taken once", path, counted(len(names) - len(unique), "image"))
        return unique

    def _find_files(self, folder: Folder) -> dict[str, str]:
        """{name of an image of the split: suffix of its file in a folder}; one listing in place of many questions."""
        try:
            present = set(os.listdir(self.data_dir / folder.name))
        except OSError:
            return {}
        found = {}
        for name in self.ids:
            suffix = next((suffix for suffix in folder.suffixes if name + suffix in present), None)
            if suffix is not None:
                found[name] = suffix
        return found
