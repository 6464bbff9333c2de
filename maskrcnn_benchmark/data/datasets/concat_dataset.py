"""Several data sets as one."""

import numpy as np
from torch.utils.data import ConcatDataset as TorchConcatDataset

from maskrcnn_benchmark.data.image_sizes import image_sizes
from maskrcnn_benchmark.utils.errors import UserError


class ConcatDataset(TorchConcatDataset):
    """Data sets one after the other, with the interface of a single one. They must name the same classes.

    Data sets that do not are first brought to one vocabulary, see `MappedDataset`.

    Args:
        datasets: data sets of this folder, or their like.
        names: what an error calls them; their types by default.
    """

    def __init__(self, datasets, names=None):
        super().__init__(datasets)
        names = names or [type(dataset).__name__ for dataset in self.datasets]
        first = self.datasets[0].vocabulary
        for name, dataset in zip(names[1:], self.datasets[1:]):
            field = first.difference(dataset.vocabulary)
            if field:
                raise UserError(
                    f"data sets {names[0]} and {name} differ in their {field}, so they cannot be joined as they are; "
                    "name each of them in DATASETS.TRAIN, which maps the names (DATASETS.VOCABULARY), or wrap one in a "
                    "MappedDataset"
                )
        self.vocabulary = first

    @property
    def ids(self):
        """Image ids of all data sets, in order."""
        return [image_id for dataset in self.datasets for image_id in dataset.ids]

    @property
    def contiguous_category_id_to_json_id(self):
        """{label: category id} if all data sets have the same, else {}."""
        first, *others = [getattr(dataset, "contiguous_category_id_to_json_id", {}) for dataset in self.datasets]
        return first if all(other == first for other in others) else {}

    def get_idxs(self, idx):
        """(number of the data set, index in it) of an index of the whole."""
        number = next(i for i, end in enumerate(self.cumulative_sizes) if idx < end)
        return number, idx - (self.cumulative_sizes[number - 1] if number else 0)

    def __getitem__(self, idx):
        """(image, annotations, idx), the index being that of the whole."""
        number, inner = self.get_idxs(idx)
        image, annotations, _ = self.datasets[number][inner]
        return image, annotations, idx

    def get_img_info(self, idx):
        """As the data set that holds the image says."""
        number, inner = self.get_idxs(idx)
        return self.datasets[number].get_img_info(inner)

    def image_sizes(self):
        """int64 [N, 2]: width and height in pixels of all images."""
        return np.concatenate([image_sizes(dataset) for dataset in self.datasets])

    def get_annotations(self, idx):
        """As the data set that holds the image says."""
        number, inner = self.get_idxs(idx)
        return self.datasets[number].get_annotations(inner)
