"""Answers in the form that is written to files and scored: the same numbers whether or not they went through a file.

The answer of a task on one image is

    detection       list of {"category_id": label 1..K, "bbox": [x, y, width, height] in pixels, "score": float}
    instance        list of {"category_id", "segmentation": {"size": [h, w], "counts": bytes}, "score"}
    keypoint        list of {"category_id", "keypoints": [x, y, v] * J, "score"}
    part            `PartAnswer`
    semantic        uint8 [H, W], class 0..C-1 of each pixel
    boundary        uint8 [H, W], strength * 255
    occlusion       `OcclusionAnswer`
    classification  float64 [L], score of each image label in the vocabulary's order
    box_proposal    (float32 [N, 4] boxes xyxy with the last pixel included, best first; nothing else)

and of an added task whatever its evaluator takes; where `result_layout.MAPS` names a folder for it, uint8 [H, W].
"""

from dataclasses import dataclass

import numpy as np

_DIRECTION_STEPS = 65534


@dataclass(frozen=True)
class PartAnswer:
    """Parts of one image.

    Attributes:
        labels: uint8 [H, W], the part label 0..P of each pixel.
        instances: list of {"category_id": label of the thing, "score": float, "parts": [{"part": label 1..P,
            "segmentation": run length}]}, or None where the network does not tell instances apart.
    """

    labels: np.ndarray
    instances: list | None = None


@dataclass(frozen=True)
class OcclusionAnswer:
    """Occlusion edges of one image.

    Attributes:
        strength: uint8 [H, W], strength * 255.
        direction: uint16 [H, W], see `encode_direction`.
    """

    strength: np.ndarray
    direction: np.ndarray


def encode_strength(probability):
    """Probabilities 0..1 as bytes, which is how edge maps are exchanged (PNG): uint8 of the same shape."""
    return np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)


def decode_strength(strength):
    """What `encode_strength` was given, to within 1/510: float64."""
    return strength.astype(np.float64) / 255


def encode_direction(sin, cos):
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


def decode_direction(code):
    """float64 [2, H, W], (sin theta, cos theta); both 0 where there is no direction."""
    theta = (code.astype(np.float64) - 1) * (2 * np.pi / _DIRECTION_STEPS)
    return np.stack([np.sin(theta), np.cos(theta)]) * (code > 0)
