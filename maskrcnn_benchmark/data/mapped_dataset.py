"""A data set in the names of another, so that one network learns from both."""

import copy
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, as_dataset
from maskrcnn_benchmark.data.datasets.concat_dataset import ConcatDataset
from maskrcnn_benchmark.data.same_names import match_objects
from maskrcnn_benchmark.data.vocabulary_map import VocabularyMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task


class MappedDataset(AnnotatedDataset):
    """A data set whose annotations are in another vocabulary, see `VocabularyMap` for what becomes of what.

    It is for training: the rows of the file that testing scores against would still be in the old names.

    Args:
        dataset: a data set of this folder; it is not changed.
        vocabulary: the `Vocabulary` wanted.
        tasks: the tasks whose labels it may have; None: those of the registry.

    Attributes:
        vocabulary: as given.
        names: the `VocabularyMap`.
        tasks: keys of the tasks that the data set was opened for and that keep their names.
        transforms: the data set's, called after the names are changed.
    """

    def __init__(self, dataset: Any, vocabulary: Vocabulary, tasks: "Iterable[Task] | None" = None) -> None:
        if tasks is None:
            from maskrcnn_benchmark.tasks.task import TASKS

            tasks = TASKS.values()
        self.dataset = copy.copy(as_dataset(dataset))
        self.transforms, self.dataset.transforms = self.dataset.transforms, None
        self.vocabulary = vocabulary
        self.names = VocabularyMap(self.dataset.vocabulary, vocabulary, tasks)
        self.tasks = frozenset(self.dataset.tasks & self.names.tasks())
        self._label_of = np.array(match_objects(self.dataset.vocabulary, vocabulary), np.int64)

    @property
    def ids(self) -> Any:  # type: ignore[override]
        """Image ids, as the data set's file calls them."""
        return self.dataset.ids

    @property
    def root(self) -> Path | None:  # type: ignore[override]
        """The data set's folder of images."""
        return self.dataset.root

    @property
    def has_images(self) -> bool:
        return self.dataset.has_images

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> tuple[Any, ImageAnnotations, int]:
        """(image, annotations, idx): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        image, annotations, _ = self.dataset[idx]
        annotations = self.names(annotations)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, idx

    def get_img_info(self, idx: int) -> dict[str, Any]:
        """As the data set says; so are the following."""
        return self.dataset.get_img_info(idx)

    def image_id(self, idx: int) -> Any:
        return self.dataset.image_id(idx)

    def taught(self, tasks: Iterable[str]) -> set[str]:
        """As the data set says of those tasks that keep their names."""
        return self.dataset.taught(self.names.tasks().intersection(tasks))

    def labels_of(self, idx: int) -> set[str]:
        return self.dataset.labels_of(idx) & self.names.tasks()

    def read_masks(self) -> bool:
        return self.dataset.read_masks()

    def image_sizes(self) -> np.ndarray:
        return self.dataset.image_sizes()

    def open_image(self, idx: int) -> Image.Image:
        return self.dataset.open_image(idx)

    def get_annotations(self, idx: int) -> ImageAnnotations:
        """`ImageAnnotations` of an image in its own pixels, without opening the image."""
        return self.names(self.dataset.get_annotations(idx))

    def annotations_for(self, idx: int, tasks: Collection[str]) -> ImageAnnotations:
        return self.names(self.dataset.annotations_for(idx, tasks))

    def object_labels(self, idx: int) -> np.ndarray | None:
        labels = self.dataset.object_labels(idx) if self.names.known_labels[1:].any() else None
        if labels is None:
            return None
        labels = self._label_of[labels]
        return labels[labels > 0]


def in_vocabulary(dataset: AnnotatedDataset, vocabulary: Vocabulary) -> AnnotatedDataset:
    """A data set of the vocabulary wanted: itself if it has that, else mapped; of several as one, each by itself."""
    if dataset.vocabulary == vocabulary:
        return dataset
    if isinstance(dataset, ConcatDataset):
        return ConcatDataset([in_vocabulary(each, vocabulary) for each in dataset.datasets])
    return MappedDataset(dataset, vocabulary)
