"""Boundary detection: is there a boundary at this pixel?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import IMAGE_HEADS, INSIDE_FRACTION
from maskrcnn_benchmark.config.options import Option, section
import logging
from typing import Any

import torch

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.detail.index import COUNTS
from maskrcnn_benchmark.structures.dense_map import BoundaryMap
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.errors import UserError


class DetailBoundaryReader(LabelReader):
    """Boundary masks of PASCAL in Detail, each of an annotator (one, in the published file), at the image's size.

    How many are of another size, and therefore resized, is told once, when the data set is opened.
    """

    def __init__(self, dataset: AnnotatedDataset) -> None:
        images = dataset.file.images
        number = int(images.counts[images.rows_of(dataset.ids), COUNTS.index("resized_boundaries")].sum())
        if number:
            logging.getLogger(__name__).warning(
                "%s: %d boundary masks are not of their image's size and are resized to it", dataset.file.path, number
            )

    def read(self, image: DetailImage) -> BoundaryMap | None:
        file, annotators = image.dataset.file, []
        for record in image.section("annos_boundary"):
            mask = file.field(record, "boundary_mask", "boundary")
            name = file.name_of(record, "boundary")
            size = _size(mask, name)
            places, _ = RunLengths([mask], size, lambda _, name=name: name).pixels()
            boundary = BoundaryMap.of_edges(torch.from_numpy(places), size)
            annotators.append(boundary if size == image.size else boundary.resize(image.size))
        if len(annotators) < 2:
            return annotators[0] if annotators else None
        return BoundaryMap.of_annotators(torch.stack([boundary.edges for boundary in annotators]))

    def has(self, image: DetailImage) -> bool:
        return image.counts["boundaries"] > 0


def _size(mask: Any, name: str) -> tuple[int, int]:
    """(width, height) of a mask."""
    if not isinstance(mask, dict) or len(mask.get("size", ())) != 2:
        raise UserError(f"{name}: its mask has no 'size' [h, w]")
    height, width = mask["size"]
    return int(width), int(height)
import numpy as np

from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_page import numbers_card


class Boundary(Task):
    """The probability of a boundary at every pixel."""

    key = "boundary"
    title = "boundary detection"
    switch = "BOUNDARY_ON"
    comment = "Task: boundaries, per image, on the dense features and a fine decoder"
    losses = ("loss_boundary",)
    headline = "ODS-F"
    parameter_prefixes = ("fpn_heads.heads.boundary.",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.BOUNDARY_HEAD.POSITIVE_WEIGHT",
                0.95,
                INSIDE_FRACTION,
                "Weight of edge pixels in the cross-entropy, 1 - it for the others (0.95: the field's value on "
                "PASCAL-Context)",
            ),
        )

    def dense_features(self, cfg: CfgNode) -> set[str]:
        return {"fine"}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {"detail": DetailBoundaryReader}
    def cards(self, counts: DatasetCounts) -> list[str]:
        pixels = np.array(counts.each(self.key, "edge pixels"))
        return [numbers_card("Boundary pixels per image", pixels, "edge pixels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


BOUNDARY = register_task(Boundary())
