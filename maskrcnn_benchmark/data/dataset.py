"""What the rest may ask of a data set, how its labels are read, and an adapter for data sets of other classes."""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from maskrcnn_benchmark.data.coco.keypoints import KeypointLists, read_keypoints
from maskrcnn_benchmark.data.image_file import find_image, read_image
from maskrcnn_benchmark.data.preparation.check_kinds import Findings
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.file_regions import FileRegions
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import an, counted

# The field of objects and persons that holds the rows of a file in COCO's layout, which testing scores against
FILE_ROWS = "coco_records"
# The field of objects that says which of them have a mask, bool [N]; without it all have where there are masks
HAS_MASK = "has_mask"


# Of the files of maps, in the order in which they are looked for
MAP_SUFFIXES = (".png", ".npy")


def file_of(folder: Path, name: str) -> Path | None:
    """The map of an image in a folder, by the image's name without suffix; None where there is none."""
    paths = (folder / f"{name}{suffix}" for suffix in MAP_SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


class AnnotatedImage:
    """One image of a data set as its file describes it: what several tasks read of it is parsed once.

    Layouts derive from it. Everything is computed lazily, so that asking whether an image has a label costs no more
    than that takes.

    Args:
        dataset: the `AnnotatedDataset`.
        index: of the image.
    """

    # The raw records of `objects`, in their order: entries of the file's list, XML's objects, ...
    records: Sequence[Any] = ()
    # Whether objects are annotated, and whether their masks are
    has_objects: bool = False
    has_masks: bool = False
    # `BoxList` (xyxy) of all objects with labels int64 [N] and iscrowd bool [N], before any is left out; None where
    # they are not annotated. Labels of tasks per region are aligned with it
    objects: BoxList | None = None
    # The masks of `objects`; None where they are not annotated
    masks: SegmentationMask | None = None
    # What the file says of all its regions, where that is told apart from `objects`
    file_regions: FileRegions | None = None

    def __init__(self, dataset: "AnnotatedDataset", index: int) -> None:
        self.dataset: Any = dataset  # whose layout adds attributes of its own
        self.index = index

    @cached_property
    def info(self) -> dict[str, Any]:
        """What `get_img_info` says of it."""
        return self.dataset.get_img_info(self.index)

    @cached_property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.info["width"], self.info["height"]

    @property
    def image_id(self) -> Any:
        """What the data set calls it."""
        return self.dataset.image_id(self.index)

    def map_file(self, kind: str) -> Path | None:
        """The file of its map of a kind ("saliency", "normals", "depth"), or None; by default no layout has any.

        Tasks read the file themselves. `file_of` looks one up in a folder.
        """
        return None

    def valid_normals(self) -> np.ndarray | None:
        """Where the normals of its file hold: bool [H, W]; None: everywhere."""
        return None

    def kept(self, boxes: BoxList) -> BoxList:
        """Those of an image's objects or persons that the data set was opened for, clipped to the image."""
        return boxes.clip_to_image(remove_empty=False)


class LabelReader:
    """How the labels of one task are read from one data set; `Task.label_reader` makes it when the set is opened.

    It may keep what it needs of the data set, but neither the data set itself nor indices: copies of a data set share
    their readers, and images may be left out later. Workers get a copy, so that it has to be picklable.

    Args:
        dataset: the `AnnotatedDataset`, of which all but `tasks` is known.
    """

    # Keys of other tasks whose labels have to be read along with this one
    needs: tuple[str, ...] = ()

    def __init__(self, dataset: "AnnotatedDataset") -> None:
        pass

    def read(self, image: Any) -> Any:
        """The label of an image, as `ImageAnnotations.labels` holds it, or None where it is not annotated.

        Args:
            image: the `AnnotatedImage` of the data set's layout.

        Returns:
            a structure of `image.size` or a tensor about the image as a whole. For a task that has a `label_field`:
            what that field of `image.objects` holds, aligned with them. It is asked only where there are objects, and
            rows of those that are left out afterwards go with them.
        """
        raise NotImplementedError(f"{type(self).__name__} reads no label")

    def has(self, image: Any) -> bool:
        """Whether an image carries the label, if possible without decoding it."""
        try:
            return self.read(image) is not None
        except RecursionError:
            raise TypeError(
                f"{type(self).__name__}.read asks `has`, which by default reads the label; define `has` as well"
            ) from None

    def teaches(self, image: Any) -> bool:
        """Whether the task can learn from the image; an annotation without any object teaches some tasks nothing."""
        return self.has(image)


class MapFileReader(LabelReader):
    """A map of a file of its own, which `AnnotatedImage.map_file` finds. A subclass names the kind and decodes it."""

    kind = ""

    @classmethod
    def of(cls, dataset: "AnnotatedDataset") -> "MapFileReader | None":
        """The reader of a data set that is being opened; None where no image of it has such a file."""
        has_files = dataset.image_class.map_file is not AnnotatedImage.map_file
        images = map(dataset.image, range(len(dataset) if has_files else 0))
        return cls(dataset) if any(image.map_file(cls.kind) is not None for image in images) else None

    def has(self, image: AnnotatedImage) -> bool:
        return image.map_file(self.kind) is not None

    def read(self, image: AnnotatedImage) -> Any:
        path = image.map_file(self.kind)
        return None if path is None else self.decode(path, image)

    def decode(self, path: Path, image: AnnotatedImage) -> Any:
        """The label in a file; None where it says nothing of the image. Raises `UserError` for one that is wrong."""
        raise NotImplementedError


class ObjectReader(LabelReader):
    """Boxes and classes of objects."""

    def read(self, image: AnnotatedImage) -> BoxList | None:
        return image.objects

    def has(self, image: AnnotatedImage) -> bool:
        return image.has_objects


class MaskReader(LabelReader):
    """Masks of objects."""

    def read(self, image: AnnotatedImage) -> SegmentationMask | None:
        return image.masks

    def has(self, image: AnnotatedImage) -> bool:
        return image.has_masks


class DerivedReader(LabelReader):
    """Of a derived task: which images have the labels that it is made from, and so scored by. There is none to learn.

    Args:
        readers: {task key: reader} of the tasks that it is made from.
    """

    def __init__(self, readers: Mapping[str, LabelReader]) -> None:
        self.needs = tuple(readers)
        self.readers = readers

    def read(self, image: Any) -> None:
        return None

    def has(self, image: Any) -> bool:
        return all(reader.has(image) for reader in self.readers.values())

    def teaches(self, image: Any) -> bool:
        return False


class AnnotatedDataset(torch.utils.data.Dataset):
    """Images with the annotations of some tasks: what training, testing and drawing ask of any data set.

    A data set of a user's own derives from it, sets `ids`, `vocabulary` and `tasks`, and defines `get_img_info`,
    `get_annotations` and, unless its images are the files `root`/"file_name", `open_image`.

    Attributes:
        layout: that of its files: "detail", "coco", "coco_panoptic", "voc", "cityscapes", "pascal_context_mtl" or
            "nyud_mtl"; "" for a user's own.
        ids: what the data set calls its images, in order.
        vocabulary: `Vocabulary`, what the numbers of its annotations mean.
        tasks: keys of the tasks that it is annotated for, among those wanted.
        transforms: called as `transforms(image, annotations)`, or None.
        root: folder of the images, or None where only annotations are wanted.
        has_images: whether images can be opened; by default whether there is a `root`.
        image_class: the `AnnotatedImage` of the layout, which readers of labels are given.
        exif: what `open_image` does about the orientation of photographs, see INPUT.EXIF.
    """

    layout: str = ""
    ids: Sequence[Any]
    vocabulary: Vocabulary
    tasks: frozenset[str] = frozenset()
    transforms: Callable | None = None
    root: Path | None = None
    image_class: type[AnnotatedImage] = AnnotatedImage
    exif: str = "auto"

    _readers: Any = None  # {key of a task: its LabelReader}; None before they are opened
    _fields: Mapping[str, str | None] = {}  # {key of a task: the field of objects that holds its label}
    _region_tasks: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Any, ImageAnnotations, int]:
        """(image, annotations, index): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        image, annotations = self.open_image(index), self.get_annotations(index)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, index

    @property
    def has_images(self) -> bool:
        return self.root is not None

    @property
    def members(self) -> "list[AnnotatedDataset]":
        """The data sets of which it consists: itself, or those that were joined."""
        return [self]

    def get_img_info(self, index: int) -> dict[str, Any]:
        """{"height", "width" in pixels, "file_name", ...} of an image, without opening it."""
        raise NotImplementedError(f"{type(self).__name__} needs a method get_img_info")

    def image_id(self, index: int) -> Any:
        """What the data set's file calls an image."""
        return self.ids[index]

    def image_sizes(self) -> np.ndarray:
        """Width and height in pixels of all N images: int64 [N, 2]. Grouping images by their shape asks for them."""
        infos = map(self.get_img_info, range(len(self)))
        return np.array([(info["width"], info["height"]) for info in infos], np.int64).reshape(-1, 2)

    def image_path(self, index: int) -> Path:
        """The file of an image."""
        return find_image(self.root, self.get_img_info(index)["file_name"])  # type: ignore[arg-type]

    def open_image(self, index: int) -> Image.Image:
        """An image as a PIL RGB image. Raises `UserError` where there is no `root`, or the file is not as described."""
        if self.root is None:
            file = getattr(self, "file", None)
            name = type(self).__name__ if file is None else file.path
            raise UserError(f"{name} was opened without a folder of images; name one")
        info = self.get_img_info(index)
        return read_image(self.image_path(index), (info["width"], info["height"]), self.exif)

    def category_ids(self) -> dict[int, Any]:
        """{label of a thing: what the data set's file calls it}, the label itself where it has no numbers."""
        return {label: label for label in range(1, len(self.vocabulary.thing_names) + 1)}

    def class_ids(self) -> dict[str, Any]:
        """{name of a class: what the file calls it}, of things and, where the file numbers them, of all others."""
        return {self.vocabulary.thing_names[label - 1]: key for label, key in self.category_ids().items()}

    def part_ids(self) -> dict[Any, str]:
        """{part id of the data set's file: name}, {} where it has none."""
        return {}

    def image(self, index: int) -> Any:
        """What readers of labels are given."""
        return self.image_class(self, index)

    def open_readers(self, tasks: Iterable[str] | None) -> None:
        """Set `tasks`, and what reads their labels.

        Args:
            tasks: keys of the registry; None wants all.

        Raises:
            ValueError: for a key that no task has.
        """
        known = _tasks_by_key()
        unknown = sorted(set(tasks or ()) - set(known))
        if unknown:
            raise ValueError(f"unknown tasks {unknown}; there are {', '.join(known)}")
        found = {key: known[key].label_reader(self) for key in known if tasks is None or key in set(tasks)}
        found = {key: reader for key, reader in found.items() if reader is not None}
        self.tasks = frozenset(found)
        for key in {key for reader in found.values() for key in reader.needs} - self.tasks & set(known):
            found[key] = known[key].label_reader(self)
        self._readers = {key: found[key] for key in known if found.get(key) is not None}
        self._fields = {key: known[key].label_field for key in self._readers}
        self._region_tasks = frozenset(key for key in self._readers if known[key].per == "region")

    def read_masks(self) -> bool:
        """From now on read masks of objects, whether or not a task wants them; returns whether an image has any.

        A data set that makes its annotations itself is believed, as in `taught`.
        """
        if self._readers is None:
            return not self.tasks or "instance" in self.tasks
        task = _tasks_by_key()["instance"]
        reader = self._readers.get("instance") or task.label_reader(self)
        if reader is None:
            return False
        self._readers = {**self._readers, "instance": reader}
        self._fields = {**self._fields, "instance": task.label_field}
        self._region_tasks |= {"instance"}
        return any(reader.has(self.image(index)) for index in range(len(self)))

    def get_annotations(self, index: int) -> ImageAnnotations:
        """`ImageAnnotations` of an image in its own pixels, without opening the image.

        Objects are there if a task per region is wanted. What is not annotated or not wanted is None.
        """
        return self._read(index, self._readers)

    def annotations_for(self, index: int, tasks: Collection[str]) -> ImageAnnotations:
        """`get_annotations` of which only the labels of some tasks are needed, which spares reading the others.

        A data set that makes its annotations itself reads all.
        """
        if self._readers is None:
            return self.get_annotations(index)
        return self._read(index, [key for key in self._readers if key in tasks])

    def object_labels(self, index: int) -> np.ndarray | None:
        """Labels of an image's objects, crowds aside: int64 [N], or None where objects are not annotated or not wanted.

        Counting classes asks for those of all images, so that a layout may know them without their boxes.
        """
        if self._readers is None:
            objects = self.get_annotations(index).instances
        else:
            image = self.image(index)
            objects = image.objects if self._region_tasks else None
            objects = None if objects is None else image.kept(objects)
        if objects is None:
            return None
        labels = objects.get_field("labels")
        return (labels[~objects.get_field("iscrowd")] if objects.has_field("iscrowd") else labels).numpy()

    def _read(self, index: int, keys: Collection[str]) -> ImageAnnotations:
        image = self.image(index)
        objects = image.objects if self._region_tasks.intersection(keys) else None
        labels = {}
        for key in keys:
            reader = self._readers[key]
            field = self._fields[key]
            if field is None:
                labels[key] = reader.read(image)
            elif objects is not None and (label := reader.read(image)) is not None:
                if isinstance(label, (list, tuple, np.ndarray)):
                    label = torch.as_tensor(label)
                is_number = isinstance(label, torch.Tensor) and not label.ndim
                if is_number or len(label) != len(objects):
                    raise ValueError(
                        f"image {image.image_id!r} has {counted(len(objects), 'object')}, but {type(reader).__name__} "
                        f"returned {'a number' if is_number else f'{len(label)} labels'} of the task {key!r}; return "
                        "one for each of image.objects"
                    )
                objects.add_field(field, label)
        annotations = ImageAnnotations(image.size, image_id=image.image_id, labels=labels)
        annotations.regions = image.file_regions
        annotations.instances = None if objects is None else image.kept(objects)
        return annotations

    def tasks_of(self, index: int) -> set[str]:
        """Keys of the wanted tasks that an image is annotated for, if possible without decoding labels."""
        if self._readers is None:
            from maskrcnn_benchmark.tasks.task import annotated_tasks

            return annotated_tasks(self.get_annotations(index))
        image = self.image(index)
        return {key for key, reader in self._readers.items() if key in self.tasks and reader.has(image)}

    def labels_of(self, index: int) -> set[str]:
        """Keys of the tasks whose labels `get_annotations` has of an image, wanted or read along; as `tasks_of`."""
        if self._readers is None:
            return self.tasks_of(index)
        image = self.image(index)
        return {key for key, reader in self._readers.items() if reader.has(image)}

    def leave_out_unannotated(self) -> int:
        """Drop the images from which none of the wanted tasks can learn. Returns how many.

        Images without objects stay: they are background to learn from.
        """
        kept = [index for index in range(len(self)) if self._teaches(index, self.tasks)]
        number = len(self) - len(kept)
        self._keep(kept)
        return number

    def taught(self, tasks: Iterable[str]) -> set[str]:
        """Keys of those of some tasks that an image teaches, for which it looks no further than the first of each.

        A data set that makes its annotations itself is believed: its `tasks` or, where it has none, all.
        """
        left, found = set(tasks), set[str]()
        if self._readers is None:
            return left & self.tasks if self.tasks else left
        left &= self.tasks
        for index in range(len(self)):
            if not left:
                break
            image = self.image(index)
            found |= {key for key in left if self._readers[key].teaches(image)}
            left -= found
        return found

    def _teaches(self, index: int, tasks: Iterable[str]) -> bool:
        image = self.image(index)
        return any(self._readers[key].teaches(image) for key in tasks)

    def _keep(self, indices: Sequence[int]) -> None:
        self.ids = [self.ids[index] for index in indices]


def _tasks_by_key() -> Mapping[str, Any]:
    """The registry, for constructors that are given nothing but keys."""
    from maskrcnn_benchmark.tasks.task import TASKS

    return TASKS


_METHODS = tuple(name for name, value in vars(AnnotatedDataset).items() if callable(value) and not name.startswith("_"))
_OURS = ("get_img_info", "get_annotations", "vocabulary")
_ORIGINAL = ("get_img_info", "coco", "id_to_img_map", "contiguous_category_id_to_json_id")


def as_dataset(dataset: Any) -> AnnotatedDataset:
    """The data set itself if it is an `AnnotatedDataset`, else an adapter of it.

    Args:
        dataset: an `AnnotatedDataset`; or whatever has `get_img_info`, `get_annotations` and `vocabulary` as that has
            them; or as the original library's `COCODataset`, whose items are (image, `BoxList`, index).

    Raises:
        UserError: it is neither; the message names what is missing.
    """
    if isinstance(dataset, AnnotatedDataset):
        for name in _METHODS:
            if not callable(getattr(dataset, name)):
                raise UserError(
                    f"{type(dataset).__name__}.{name} is {an(type(getattr(dataset, name)).__name__)}, but must be a "
                    "method, as AnnotatedDataset has it; define one that returns it, or call it by another name"
                )
        return dataset
    if all(hasattr(dataset, name) for name in _OURS):
        return _OwnDataset(dataset)
    missing = [name for name in _ORIGINAL if not hasattr(dataset, name)]
    if missing:
        kind = an(type(dataset).__name__)
        raise UserError(
            f"{kind} cannot be used as a data set: derive it from data.dataset.AnnotatedDataset, "
            f"or give it {', '.join(_OURS)} or, as the original's COCODataset has them, {', '.join(_ORIGINAL)}; it "
            f"lacks {', '.join(missing)}"
        )
    return OriginalDataset(dataset)


class _Adapter(AnnotatedDataset):
    """What a data set of a user's class says of itself, under the names of `AnnotatedDataset`."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.root = getattr(dataset, "root", None)
        self._category_ids: Any = getattr(dataset, "contiguous_category_id_to_json_id", None)
        if isinstance(self._category_ids, Mapping):
            self.layout = "coco"

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def ids(self) -> list[Any]:  # type: ignore[override]
        return [self.image_id(index) for index in range(len(self))]

    def get_img_info(self, index: int) -> dict[str, Any]:
        return self.dataset.get_img_info(index)

    def image_id(self, index: int) -> Any:
        if hasattr(self.dataset, "id_to_img_map"):
            return self.dataset.id_to_img_map[index]
        return self.get_img_info(index).get("image_id", index)

    def category_ids(self) -> dict[int, Any]:
        known = self._category_ids if self.layout else {}
        return {label: known.get(label, label) for label in super().category_ids()}


class _OwnDataset(_Adapter):
    """A data set that has this library's interface, but does not derive from `AnnotatedDataset`."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self.vocabulary = dataset.vocabulary
        self.tasks = frozenset(getattr(dataset, "tasks", ()))
        self.transforms = getattr(dataset, "transforms", None)
        if self.transforms is not None:  # they are called here, where a copy can turn them off
            self.dataset = copy.copy(dataset)
            self.dataset.transforms = None

    def __getitem__(self, index: int) -> tuple[Any, ImageAnnotations, int]:
        image, annotations, _ = self.dataset[index]
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, index

    @property
    def has_images(self) -> bool:
        return hasattr(self.dataset, "transforms") and getattr(self.dataset, "root", "it opens them itself") is not None

    def open_image(self, index: int) -> Image.Image:
        return self.dataset[index][0]

    def get_annotations(self, index: int) -> ImageAnnotations:
        return self.dataset.get_annotations(index)

    def image_sizes(self) -> np.ndarray:
        return self.dataset.image_sizes() if hasattr(self.dataset, "image_sizes") else super().image_sizes()


class OriginalDataset(_Adapter):
    """What evaluation asks for, from a data set in the manner of the original library's `COCODataset`.

    Args:
        dataset: has `__getitem__`, `get_img_info(index)`, `coco` (pycocotools' `COCO` or its like),
            `id_to_img_map` {index: image id} and `contiguous_category_id_to_json_id` {label: category id}.
    """

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self._labels = {category: label for label, category in self._category_ids.items()}
        labels = range(1, len(self._labels) + 1)
        rows = [{"id": key, **dataset.coco.cats[key]} for key in map(self._category_ids.get, labels)]
        lists = KeypointLists()
        for row in dataset.coco.anns.values():
            lists.add(row)
        self._keypoints = read_keypoints(type(dataset).__name__, rows, lists, Findings())
        names = {row["id"]: row["name"] for row in rows}
        self.vocabulary = Vocabulary(
            tuple(names.values()), joints=self._keypoints.joints, keypoint_things=self._keypoints.names(names)
        )

    def __getitem__(self, index: int) -> tuple[Any, Any, int]:
        return self.dataset[index]

    def get_annotations(self, index: int) -> ImageAnnotations:
        """`ImageAnnotations` with the file's rows, crowds included; people are those that may have keypoints."""
        info = self.get_img_info(index)
        size = (info["width"], info["height"])
        rows = self.dataset.coco.imgToAnns.get(self.image_id(index), [])
        persons = None
        if self.vocabulary.joints is not None:
            persons = self._boxes([row for row in rows if row["category_id"] in self._keypoints.categories], size)
        return ImageAnnotations(size, self._boxes(rows, size), persons, image_id=self.image_id(index))

    def labels_of(self, index: int) -> set[str]:
        """What its items may have, which alone tell."""
        return {"detection", "instance", "keypoint"}

    def _boxes(self, rows: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> BoxList:
        corners = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32).reshape(-1, 4)
        boxes = BoxList(corners, size, mode="xywh").convert("xyxy")
        boxes.add_field("labels", torch.tensor([self._labels[row["category_id"]] for row in rows], dtype=torch.int64))
        boxes.add_field(FILE_ROWS, rows)
        return boxes
