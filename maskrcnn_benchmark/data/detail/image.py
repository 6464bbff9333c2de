"""One image of PASCAL in Detail: its regions, and the objects, masks and parts that several tasks read of them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from maskrcnn_benchmark.data.dataset import AnnotatedImage, file_of
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.file_regions import FileRegions
from maskrcnn_benchmark.structures.mask_windows import MaskWindows, ObjectWindows
from maskrcnn_benchmark.structures.part_mask import PartMask
from maskrcnn_benchmark.structures.run_length import RunLengths, parts_on_top
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.utils.errors import UserError

if TYPE_CHECKING:
    from maskrcnn_benchmark.data.detail.dataset import DetailDataset

# An image's attributes may be anything that can be read: layouts compute them lazily
# mypy: disable-error-code="override"

OBJECTS = ("object", "animal")  # supercategories
_SUPER = {False: "object", True: "background"}  # of a category that the file gives none


class DetailImage(AnnotatedImage):
    """One image of a `DetailDataset`. Its objects are regions of categories that have instances, with some extent."""

    dataset: "DetailDataset"

    @cached_property
    def counts(self) -> dict[str, int]:
        """{name of `index.COUNTS`: number of records}."""
        return self.dataset.file.images.counts_of(self.image_id)

    @property
    def has_objects(self) -> bool:
        return self.counts["regions"] > 0

    @property
    def has_masks(self) -> bool:
        return self.has_objects

    @property
    def has_parts(self) -> bool:
        """Whether one of its objects has a label of the part set."""
        return bool(self.dataset.rows_with_parts[self.dataset.file.images.row_of(self.image_id)])

    def map_file(self, kind: str) -> Path | None:
        """KIND/NAME.png or .npy, in a folder beside that of the images."""
        folder = self.dataset.map_folder(kind)
        return None if folder is None else file_of(folder, Path(self.info["file_name"]).stem)

    def section(self, name: str) -> list[dict[str, Any]]:
        """Its records in a section of the file."""
        return self.dataset.file.records(name, self.image_id)

    @cached_property
    def regions(self) -> list[dict[str, Any]]:
        """Segmentation records, of objects and of everything else, in file order."""
        return self.section("annos_segmentation")

    @cached_property
    def names(self) -> list[str]:
        """The name of each region's category."""
        file = self.dataset.file
        names = []
        for region in self.regions:
            category_id = file.field(region, "category_id", "segmentation")
            if category_id not in file.categories:
                name = file.name_of(region, "segmentation")
                raise UserError(f"{name} has category {category_id!r}, which 'categories' does not list")
            names.append(file.categories[category_id]["name"])
        return names

    @cached_property
    def runs(self) -> RunLengths:
        """The masks of the regions."""
        return self._parse(self.regions)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The region of each object."""
        return [self.regions[place] for place, _ in self._extents]

    @cached_property
    def objects(self) -> BoxList | None:
        if not self.regions:
            return None
        boxes = torch.tensor([box for _, box in self._extents], dtype=torch.float32).reshape(-1, 4)
        objects = BoxList(boxes, self.size, mode="xywh").convert("xyxy")
        labels = [self.dataset.thing_labels[self.names[place]] for place, _ in self._extents]
        objects.add_field("labels", torch.tensor(labels, dtype=torch.int64))
        crowd = [bool(record.get("iscrowd", 0)) for record in self.records]
        objects.add_field("iscrowd", torch.tensor(crowd, dtype=torch.bool))
        return objects

    @cached_property
    def masks(self) -> SegmentationMask | None:
        if not self.regions:
            return None
        number, places = len(self._extents), [place for place, _ in self._extents]
        pixels, windows = self.runs.windows(places, np.arange(number), np.ones(number), number)
        return SegmentationMask.of_windows(MaskWindows(torch.from_numpy(pixels), windows, self.size))

    @property
    def file_regions(self) -> FileRegions | None:
        """All regions, for tests; None in training, and where no task has asked for them."""
        if not self.dataset.keep_crowd or "regions" not in vars(self):
            return None
        categories = [self.dataset.file.categories[region["category_id"]] for region in self.regions]
        return FileRegions(
            tuple(self.names),
            np.array([self._file_box(region) for region in self.regions], np.float64).reshape(-1, 4),
            np.array([bool(region.get("iscrowd", 0)) for region in self.regions], bool),
            np.array([(row["supercategory"] or _SUPER[row["onlysemantic"]]) in OBJECTS for row in categories], bool),
            np.array([bool(row["onlysemantic"]) for row in categories], bool),
            [region["segmentation"] for region in self.regions],
        )

    def _file_box(self, region: dict[str, Any]) -> Sequence[float]:
        box = region.get("bbox")
        return box if box is not None and len(box) == 4 else self._box(region) or (0, 0, 0, 0)

    @cached_property
    def parts(self) -> PartMask | None:
        """Part labels of the objects, None if none of them has any.

        Where the part set has a label for what is of no part, it lies below the parts of the object.
        """
        parts = [
            (i, part, label) for i, record in enumerate(self.records) for part, label in self._labelled_parts(record)
        ]
        if not parts:
            return None
        name_of = self.dataset.file.name_of
        runs = RunLengths(
            [part.get("segmentation") for _, part, _ in parts],
            self.size,
            lambda k: (
                name_of(self.records[parts[k][0]], "segmentation")
                + (f", part {parts[k][1]['part_id']}" if "part_id" in parts[k][1] else "")
            ),
        )
        if self.dataset.protocol:
            painted = parts_on_top(runs, [i for i, _, _ in parts], [label for _, _, label in parts], len(self.records))
            everyone = torch.ones(len(self.records), dtype=torch.bool)
            return self._part_mask(painted, everyone)
        # the large first: an eye stays visible on a head whichever comes first in the file
        order = np.lexsort((-runs.areas, np.array(["part_id" in part for _, part, _ in parts])))
        owners, labels = np.array([i for i, _, _ in parts]), np.array([label for _, _, label in parts])
        annotated = torch.zeros(len(self.records), dtype=torch.bool)
        annotated[owners] = True
        return self._part_mask(runs.windows(order, owners[order], labels[order], len(self.records)), annotated)

    def _part_mask(self, painted, annotated):
        pixels, windows = painted
        maps = ObjectWindows(torch.from_numpy(pixels), windows, self.size)
        return PartMask.of_windows(maps, annotated, self.dataset.vocabulary.parts)

    @cached_property
    def _extents(self) -> list[tuple[int, Sequence[float]]]:
        """(place among the regions, [x, y, w, h]) of each object."""
        found = []
        for place, (region, name) in enumerate(zip(self.regions, self.names)):
            if name in self.dataset.thing_labels and (self.dataset.keep_crowd or not region.get("iscrowd", 0)):
                box = self._box(region)
                if box is not None:
                    found.append((place, box))
        return found

    def _box(self, region: dict[str, Any]) -> Sequence[float] | None:
        """[x, y, w, h] of an object, from its mask where the record has none; None for an object without any pixel."""
        box = region.get("bbox")
        if box is not None and len(box) == 4 and box[2] > 0 and box[3] > 0:
            return box
        x1, y1, x2, y2 = self._parse([region]).bounding_boxes()[0].tolist()
        return [x1, y1, x2 - x1 + 1, y2 - y1 + 1] if x1 >= 0 else None

    def _parse(self, regions: list[dict[str, Any]]) -> RunLengths:
        file = self.dataset.file
        encodings = [file.field(region, "segmentation", "segmentation") for region in regions]
        return RunLengths(encodings, self.size, lambda i: file.name_of(regions[i], "segmentation"))

    def _labelled_parts(self, record: dict[str, Any]) -> list[tuple[dict[str, Any], int]]:
        """What of a record has a label in the part set: list of (part record, label).

        For what is of no part, it is the record itself.
        """
        file, labelled = self.dataset.file, []
        if record["category_id"] in self.dataset.rest_labels:
            labelled.append((record, self.dataset.rest_labels[record["category_id"]]))
        for part in record.get("parts") or ():
            part_id = file.field({**part, "image_id": record["image_id"]}, "part_id", "part")
            if part_id not in file.parts and part_id != 255:
                name = file.name_of(record, "segmentation")
                raise UserError(f"{name} has part {part_id!r}, which 'parts' does not list")
            label = self.dataset.part_labels.get((record["category_id"], part_id), 0)
            if label:
                labelled.append((part, label))
        return labelled
