"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import IMAGE_HEADS
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Number
from collections.abc import Sequence

import numpy as np
import torch

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.errors import UserError

# Pixels to either side along a chain between which its tangent is measured: chains run on a pixel grid, so
# neighbours alone would only ever give multiples of 45 degrees
TANGENT_REACH = 3


class DetailOcclusionReader(LabelReader):
    """Occlusion chains of PASCAL in Detail, as edges with a direction at the image's size."""

    def read(self, image: DetailImage) -> OcclusionMap | None:
        records = image.section("annos_occlusion")
        if not records:
            return None
        file, record = image.dataset.file, records[0]
        size = file.occlusion_size(record)
        edges = file.field(record, "edges", "occlusion")
        try:
            chains = [np.asarray(chain, np.int64) - file.occlusion_base for chain in edges["indices"]]
            places, tangents = chains_to_edges(chains, edges["edgelabel"], size)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file.name_of(record, 'occlusion')} cannot be read: {error}") from None
        occlusion = OcclusionMap.of_edges(torch.from_numpy(places), torch.from_numpy(tangents), size)
        return occlusion if size == image.size else occlusion.resize(image.size)

    def has(self, image: DetailImage) -> bool:
        return image.counts["occlusions"] > 0


def chains_to_edges(
    chains: Sequence[Sequence[int]], labels: Sequence[int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of occlusion chains, and their directions.

    Args:
        chains: list of C lists of pixel numbers, 0-based and column-major (column * height + row).
        labels: C numbers; 1: the occluder is on the left hand when following the chain, 2: on the right.
        size: (width, height) in pixels.

    Returns:
        places: int64 [E], row * width + column of the pixels on the chains, ascending.
        tangents: float32 [2, E], (sin, cos) of the tangent with the occluder on its left, in image coordinates
            (x right, y down); 0 where no direction can be told (a chain of a single pixel, or chains that run against
            each other).

    Raises `ValueError` for an index outside of the image or a label other than 1 and 2.
    """
    width, height = size
    lengths = np.array([len(chain) for chain in chains], np.int64)
    labels = np.asarray(labels, np.int64)
    if len(labels) != len(lengths) or not np.isin(labels, (1, 2)).all():
        raise ValueError(f"{len(lengths)} chains need as many labels of 1 or 2, got {labels.tolist()[:8]}")
    pixels = np.concatenate([np.zeros(0, np.int64), *(np.asarray(chain, np.int64) for chain in chains)])
    outside = (pixels < 0) | (pixels >= width * height)
    if outside.any():
        raise ValueError(f"pixel {int(pixels[outside][0])} lies outside of the image's {width}x{height}")
    chain_of_pixel = np.repeat(np.arange(len(lengths)), lengths)
    columns, rows = np.divmod(pixels, height)
    dx, dy = _tangents(columns, rows, lengths)
    sign = np.where(labels == 1, 1.0, -1.0)[chain_of_pixel]
    # only on the chains: whole maps of float64 would take ten times as long
    places, place_of_pixel = np.unique(rows * width + columns, return_inverse=True)
    # a pixel shared by several chains, as at a junction, gets their mean direction
    sums = np.stack([np.bincount(place_of_pixel, part * sign, len(places)) for part in (dy, dx)])
    norm = np.hypot(sums[0], sums[1])
    return places, np.where(norm > 1e-6, sums / np.maximum(norm, 1e-6), 0.0).astype(np.float32)


def _tangents(columns: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (dx, dy) along the chains, from the pixels TANGENT_REACH before and after, clamped at chain ends."""
    ends = np.cumsum(lengths)
    position = np.arange(len(columns))
    before = np.maximum(position - TANGENT_REACH, np.repeat(ends - lengths, lengths))
    after = np.minimum(position + TANGENT_REACH, np.repeat(ends - 1, lengths))
    dx = (columns[after] - columns[before]).astype(np.float64)
    dy = (rows[after] - rows[before]).astype(np.float64)
    norm = np.maximum(np.hypot(dx, dy), 1.0)  # 0 only where both vanish
    return dx / norm, dy / norm
import numpy as np

from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_page import numbers_card


class Occlusion(Task):
    """Occlusion edges and their direction, which has the occluder on its left."""

    key = "occlusion"
    title = "occlusion recognition"
    switch = "OCCLUSION_ON"
    comment = "Task: occlusion edges, per image, on the dense features and a fine decoder"
    losses = ("loss_occlusion_edge", "loss_occlusion_direction")
    headline = "OPR-ODS-F"
    parameter_prefixes = ("fpn_heads.heads.occlusion.",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            IMAGE_HEADS,
            Option(
                "MODEL.OCCLUSION_HEAD.ATTENTION_BETA",
                4.0,
                Number(0, 1000, above=True),
                "Attention loss of DOOBNet (Wang et al. 2018): base of the focus on hard pixels",
            ),
            Option(
                "MODEL.OCCLUSION_HEAD.ATTENTION_GAMMA",
                0.5,
                Number(0, 100),
                "Attention loss of DOOBNet: exponent of the focus on hard pixels",
            ),
        )

    def dense_features(self, cfg: CfgNode) -> set[str]:
        return {"fine"}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_readers = {"detail": DetailOcclusionReader}
    def cards(self, counts: DatasetCounts) -> list[str]:
        pixels = np.array(counts.each(self.key, "edge pixels"))
        return [numbers_card("Occlusion pixels per image", pixels, "edge pixels", "images")]

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


OCCLUSION = register_task(Occlusion())
