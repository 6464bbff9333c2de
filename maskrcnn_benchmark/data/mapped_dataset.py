"""A data set in the names of another, so that one network learns from both."""

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch.utils.data import Dataset

from maskrcnn_benchmark.data.datasets.concat_dataset import ConcatDataset
from maskrcnn_benchmark.data.image_sizes import image_sizes
from maskrcnn_benchmark.data.vocabulary_map import VocabularyMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task


class MappedDataset(Dataset):
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

    def __init__(self, dataset: Dataset, vocabulary: Vocabulary, tasks: "Iterable[Task] | None" = None) -> None:
        if tasks is None:
            from maskrcnn_benchmark.tasks.task import TASKS

            tasks = TASKS.values()
        self.dataset = copy.copy(dataset)
        self.transforms, self.dataset.transforms = dataset.transforms, None
        self.vocabulary = vocabulary
        self.names = VocabularyMap(dataset.vocabulary, vocabulary, tasks)
        self.tasks = frozenset(dataset.tasks & self.names.tasks())

    def __len__(self):
        return len(self.dataset)

    @property
    def ids(self):
        """Image ids, as the data set's file calls them."""
        return self.dataset.ids

    def __getitem__(self, idx):
        """(image, annotations, idx): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        image, annotations, _ = self.dataset[idx]
        annotations = self.names(annotations)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, idx

    def get_img_info(self, idx):
        """As the data set says."""
        return self.dataset.get_img_info(idx)

    def image_sizes(self):
        """int64 [N, 2]: width and height in pixels of all images."""
        return image_sizes(self.dataset)

    def get_annotations(self, idx):
        """`ImageAnnotations` of an image in its own pixels, without opening the image."""
        return self.names(self.dataset.get_annotations(idx))


def in_vocabulary(dataset: Dataset, vocabulary: Vocabulary) -> Dataset:
    """A data set of the vocabulary wanted: itself if it has that, else mapped; of several as one, each by itself."""
    if dataset.vocabulary == vocabulary:
        return dataset
    if isinstance(dataset, ConcatDataset):
        return ConcatDataset([in_vocabulary(each, vocabulary) for each in dataset.datasets])
    return MappedDataset(dataset, vocabulary)
