"""PASCAL in Detail: one image with the annotations of any number of tasks, from the data set's own JSON layout."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.detail.class_sets import choose_classes
from maskrcnn_benchmark.data.detail.file import open_detail_file
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.detail.index import is_silhouette
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

PROTOCOLS = ("", "astmt")
BACKGROUND = "background"
SPLITS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val")}


class DetailDataset(AnnotatedDataset):
    """Images of PASCAL in Detail, or of any file in its layout.

    Which tasks an image carries, the tasks say (`Task.label_readers`): detection, instance masks, semantic map and
    image labels if it has any segmentation record; parts if one of its instances has any; joints if it has a joint
    record or no person; boundary and occlusion if they have a record for it. What it does not carry is None in its
    `ImageAnnotations`.

    Attributes:
        ids: image ids of this data set in file order.
        vocabulary: `Vocabulary`, names of all classes of the file; the same for each split of a file.
        contiguous_category_id_to_json_id: {label of a thing: category id}.
        file: the `DetailIndex`.
        keep_crowd: as given.
        thing_labels: {name of a thing: its label}.
        part_labels: {(category_id, part_id): label in the part set, 0 if it has none}.
        rest_labels: {category_id: label in the part set of what is of no part}, of those that have one.
        rows_with_parts: bool [rows of `file.images`], whether an image has a part, or an object, with such a label.
    """

    layout = "detail"
    image_class = DetailImage

    def __init__(
        self,
        ann_file: str | os.PathLike,
        root: str | os.PathLike | None,
        split: str = "trainval",
        transforms: Callable | None = None,
        parts: str = "person6",
        tasks: Iterable[str] | None = None,
        keep_crowd: bool = True,
        classes: str = "all",
        protocol: str = "",
    ) -> None:
        """Open a data set.

        Args:
            ann_file: the JSON file, see `file.open_detail_file`, or an index of one.
            root: folder of the images, or None if only annotations are wanted.
            split: "train", "val" or "trainval", by the `phase` of each image.
            transforms: called as `transforms(image, annotations)`, or None.
            parts: the set of part labels, one of `part_mask.PART_SETS`.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; the others stay None. None wants all.
            keep_crowd: keep `iscrowd` records of categories with instances; training leaves them out.
            classes: the set of classes, one of `class_sets.CLASS_SETS`.
            protocol: one of `PROTOCOLS`: "astmt" has 21 semantic classes, the background among them, which is whatever
                is none of the 20; and of "person6" one owner for each pixel, every object being annotated where any
                has a part. It needs `classes` "all" or "voc20", and `parts` "person6".
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        self.root = None if root is None else Path(root)
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"no such folder of images: {self.root}")
        if protocol not in PROTOCOLS:
            raise ValueError(f"protocols are {', '.join(map(repr, PROTOCOLS))}, not {protocol!r}")
        if protocol and (classes not in ("all", "voc20") or parts != "person6"):
            raise UserError(
                f"DATASETS.PROTOCOL {protocol!r} is about VOC's 20 classes and six parts, but DATASETS.CLASSES is "
                f"{classes!r} and DATASETS.PARTS {parts!r}; leave both as they are by default"
            )
        self.protocol = protocol
        self.transforms = transforms
        self.keep_crowd = keep_crowd
        self.file = open_detail_file(ann_file)
        self.ids = self._ids_of_split(split)
        self.vocabulary = self._read_vocabulary(parts, "voc20" if protocol else classes)
        self.thing_labels = {name: i + 1 for i, name in enumerate(self.vocabulary.thing_names)}
        ids = self.class_ids()
        self.contiguous_category_id_to_json_id = {label: ids[name] for name, label in self.thing_labels.items()}
        self.part_labels = self._read_part_labels()
        self.rows_with_parts = self.file.images.with_pairs(
            [self.part_labels.get(pair, 0) > 0 for pair in self.file.category_parts]
        )
        rests = {ids[name]: self.vocabulary.parts.rest_of(name) for name in self.thing_labels}
        self.rest_labels = {key: label for key, label in rests.items() if label}
        if self.rest_labels:
            self.rows_with_parts |= self.file.images_with(self.rest_labels)
        self._map_folders: dict[str, Path | None] = {}
        self.open_readers(tasks)

    def get_img_info(self, index: int) -> dict[str, Any]:
        """{"height", "width" in pixels, "file_name", "image_id"} of an image, without opening it."""
        row = self.file.images[self.ids[index]]
        return {
            "height": int(row["height"]),
            "width": int(row["width"]),
            "file_name": row["file_name"],
            "image_id": self.ids[index],
        }

    def image_sizes(self) -> np.ndarray:
        return self.file.images.sizes_of(self.ids)

    def category_ids(self) -> dict[int, Any]:
        return dict(self.contiguous_category_id_to_json_id)

    def class_ids(self) -> dict[str, Any]:
        """{name of a category: its id}, things or not."""
        return {category["name"]: key for key, category in self.file.categories.items()}

    def part_ids(self) -> dict[Any, str]:
        return dict(self.file.parts)

    def map_folder(self, kind: str) -> Path | None:
        """The folder of maps of a kind ("saliency", "normals", "depth"), None where there is none.

        It has that name and lies beside the folder of the images, or beside the annotations where only these are read.
        """
        if kind not in self._map_folders:
            folder = Path(self.file.path if self.root is None else self.root).absolute().parent / kind
            self._map_folders[kind] = folder if folder.is_dir() else None
        return self._map_folders[kind]

    def _ids_of_split(self, split: str) -> list[Any]:
        phases: Counter = Counter()
        ids = []
        for image_id, row in self.file.images.items():
            if "phase" not in row:
                raise UserError(f"{self.file.path}: image {image_id} has no 'phase', so no split is known for it")
            phases[row["phase"]] += 1
            if row["phase"] in SPLITS[split]:
                ids.append(image_id)
        if not ids:
            counts = ", ".join(f"{number} of phase {phase!r}" for phase, number in phases.items()) or "none at all"
            raise UserError(f"{self.file.path} has no image of split {split!r}; name another (its images: {counts})")
        return ids

    def _read_vocabulary(self, parts: str, classes: str) -> Vocabulary:
        categories = self.file.categories.values()
        words = (f"DATASETS.PROTOCOL {self.protocol} needs them; set it to ''",) if self.protocol else ()
        semantic_names, thing_names = choose_classes(classes, categories, self.file.path, *words)
        if len(semantic_names) > IGNORE_INDEX:
            raise UserError(
                f"{self.file.path} has {len(semantic_names)} categories; a map holds {IGNORE_INDEX} at most"
            )
        found = self.file.parts_of_things.items()
        parts_of_things = {name: names for name, names in found if name in thing_names and names}
        superparts = {part: self.file.superparts[key] for key, part in self.file.parts.items()}
        return Vocabulary(
            thing_names=thing_names,
            semantic_names=(BACKGROUND, *semantic_names) if self.protocol else semantic_names,
            image_label_names=semantic_names,
            parts=PartSet.from_names(parts, parts_of_things, superparts),
            joints=DETAIL_JOINTS,
        )

    def _read_part_labels(self) -> dict[tuple[Any, Any], int]:
        """{(category_id, part_id): label in the part set, 0 if it has none}."""
        label_of = self.vocabulary.parts.label_of  # type: ignore[union-attr]
        return {
            (category_id, part_id): 0 if is_silhouette(part_id, part) else label_of(category["name"], part)
            for category_id, category in self.file.categories.items()
            for part_id, part in self.file.parts.items()
        }
