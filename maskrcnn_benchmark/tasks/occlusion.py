"""Occlusion recognition: where does one thing hide another, and which side is in front?"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.prediction_files.encodings import decode_strength
from maskrcnn_benchmark.prediction_files.maps import ArrayMaps, MapFile, StrengthMaps
from maskrcnn_benchmark.structures.image_prediction import ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task

# The folder of directions is that of the edges with this behind its name
DIRECTION_SUFFIX = "_direction"
_DIRECTION_STEPS = 65534


@dataclass(frozen=True)
class OcclusionPrediction:
    """Occlusion edges of one image as they are stored.

    Attributes:
        strength: uint8 [H, W], strength * 255.
        direction: uint16 [H, W], see `encode_direction`.
    """

    strength: np.ndarray
    direction: np.ndarray


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

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[MapFile, ...]:
        strength = "PNG of 8 bits: probability of an occlusion edge times 255"
        text = "a grey PNG per image: strength; directions in DIR_direction"
        direction = (
            "PNG of 16 bits: 0 no direction, else 1 + round(65534 theta / (2 pi)); theta = atan2(dy, dx) in 0..2 pi is "
            "the direction of the edge, x to the right, y down, with the object in front on its left"
        )
        name = f"{self.key}{DIRECTION_SUFFIX}"
        directions = ArrayMaps(name, dtype="uint16", what="directions", encodings={name: direction})
        beside = {DIRECTION_SUFFIX: directions}
        return (StrengthMaps(self.key, text=text, encodings={self.key: strength}, beside=beside),)

    def to_files(self, stored: OcclusionPrediction) -> dict[str, Any]:
        """The edges, with the directions beside them."""
        return {self.key: (stored.strength, stored.direction)}

    def from_files(self, held: dict[str, Any], size: tuple[int, int]) -> OcclusionPrediction:
        return OcclusionPrediction(*held[self.key])

    def decode(self, stored: OcclusionPrediction, size: tuple[int, int], vocabulary: Vocabulary) -> ScoreMap:
        """Probability of an edge, sin and cos of its direction."""
        planes = np.concatenate([decode_strength(stored.strength)[None], decode_direction(stored.direction)])
        return ScoreMap(torch.from_numpy(planes.astype(np.float32)), size)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def encode_direction(sin: np.ndarray, cos: np.ndarray) -> np.ndarray:
    """Directions as whole numbers: 0 where sin and cos are both 0, else 1 + round(65534 theta / 2 pi), 1 to 65534.

    Args:
        sin, cos: float [H, W], of any common positive length.

    Returns:
        uint16 [H, W].
    """
    turn = np.mod(np.arctan2(sin, cos) / (2 * np.pi), 1.0)
    return np.where((sin == 0) & (cos == 0), 0, 1 + np.rint(turn * _DIRECTION_STEPS) % _DIRECTION_STEPS).astype(
        np.uint16
    )


def decode_direction(code: np.ndarray) -> np.ndarray:
    """float64 [2, H, W], (sin theta, cos theta); both 0 where there is no direction."""
    theta = (code.astype(np.float64) - 1) * (2 * np.pi / _DIRECTION_STEPS)
    return np.stack([np.sin(theta), np.cos(theta)]) * (code > 0)


OCCLUSION = register_task(Occlusion())
