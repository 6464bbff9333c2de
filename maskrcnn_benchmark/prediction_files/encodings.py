"""Strengths as whole numbers: the same whether or not they went through a file."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageAnswers:
    """The answers of several tasks on one image.

    Attributes:
        size: (width, height) of the image.
        answers: {task key: answer in the form above}.
        image_id: what the data set calls the image.
    """

    size: tuple[int, int]
    answers: dict
    image_id: object = None


def encode_strength(probability: np.ndarray) -> np.ndarray:
    """Probabilities 0..1 as bytes, which is how edge maps are exchanged (PNG): uint8 of the same shape."""
    return np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)


def decode_strength(strength: np.ndarray) -> np.ndarray:
    """What `encode_strength` was given, to within 1/510: float64."""
    return strength.astype(np.float64) / 255
