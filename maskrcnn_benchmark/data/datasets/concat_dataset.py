"""Several data sets as one."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch.utils.data import ConcatDataset as TorchConcatDataset

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, as_dataset
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.errors import UserError

# Of many data sets, attributes are computed lazily
# mypy: disable-error-code="override"


class ConcatDataset(TorchConcatDataset, AnnotatedDataset):
    """Data sets one after the other, with the interface of a single one. They must name the same classes.

    Data sets that do not are first brought to one vocabulary, see `MappedDataset`.

    Args:
        datasets: data sets of this folder, or their like (`data.dataset.as_dataset`).
        names: what an error calls them; their types by default.

    Attributes:
        layout: that of all of them, "" where they differ.
        tasks: keys of the tasks that one of them is annotated for.
    """

    datasets: list[Any]

    def __init__(self, datasets: Iterable[Any], names: Sequence[str] | None = None) -> None:
        super().__init__([as_dataset(dataset) for dataset in datasets])
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
        layouts = {dataset.layout for dataset in self.datasets}
        self.layout = layouts.pop() if len(layouts) == 1 else ""

    @property
    def members(self) -> list[AnnotatedDataset]:
        return [member for dataset in self.datasets for member in dataset.members]

    @property
    def tasks(self) -> frozenset[str]:
        return frozenset().union(*(dataset.tasks for dataset in self.datasets))

    @property
    def has_images(self) -> bool:
        return all(dataset.has_images for dataset in self.datasets)

    @property
    def ids(self) -> list[Any]:
        """Image ids of all data sets, in order."""
        return [image_id for dataset in self.datasets for image_id in dataset.ids]

    @property
    def contiguous_category_id_to_json_id(self) -> dict[int, Any]:
        """{label: category id} if all data sets have the same, else {}."""
        first, *others = [getattr(dataset, "contiguous_category_id_to_json_id", {}) for dataset in self.datasets]
        return first if all(other == first for other in others) else {}

    def category_ids(self) -> dict[int, Any]:
        first, *others = [dataset.category_ids() for dataset in self.datasets]
        return first if all(other == first for other in others) else super().category_ids()

    def class_ids(self) -> dict[str, Any]:
        return self.datasets[0].class_ids() if self.layout == "detail" else super().class_ids()

    def part_ids(self) -> dict[Any, str]:
        return self.datasets[0].part_ids() if self.layout == "detail" else {}

    def get_idxs(self, idx: int) -> tuple[int, int]:
        """(number of the data set, index in it) of an index of the whole."""
        number = next(i for i, end in enumerate(self.cumulative_sizes) if idx < end)
        return number, idx - (self.cumulative_sizes[number - 1] if number else 0)

    def __getitem__(self, idx: int) -> tuple[Any, ImageAnnotations, int]:
        """(image, annotations, idx), the index being that of the whole."""
        number, inner = self.get_idxs(idx)
        image, annotations, _ = self.datasets[number][inner]
        return image, annotations, idx

    def get_img_info(self, idx: int) -> dict[str, Any]:
        """As the data set that holds the image says; so are the following."""
        number, inner = self.get_idxs(idx)
        return self.datasets[number].get_img_info(inner)

    def image_id(self, idx: int) -> Any:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].image_id(inner)

    def open_image(self, idx: int) -> Image.Image:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].open_image(inner)

    def get_annotations(self, idx: int) -> ImageAnnotations:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].get_annotations(inner)

    def annotations_for(self, idx: int, tasks: Collection[str]) -> ImageAnnotations:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].annotations_for(inner, tasks)

    def object_labels(self, idx: int) -> np.ndarray | None:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].object_labels(inner)

    def tasks_of(self, idx: int) -> set[str]:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].tasks_of(inner)

    def labels_of(self, idx: int) -> set[str]:
        number, inner = self.get_idxs(idx)
        return self.datasets[number].labels_of(inner)

    def read_masks(self) -> bool:
        found = [dataset.read_masks() for dataset in self.datasets]  # of all of them, whatever the first says
        return any(found)

    def image_sizes(self) -> np.ndarray:
        return np.concatenate([dataset.image_sizes() for dataset in self.datasets])
