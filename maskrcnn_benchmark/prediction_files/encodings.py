"""Strengths as whole numbers: the same whether or not they went through a file."""

import numpy as np


def encode_strength(probability: np.ndarray) -> np.ndarray:
    """Probabilities 0..1 as bytes, which is how edge maps are exchanged (PNG): uint8 of the same shape."""
    return np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)


def decode_strength(strength: np.ndarray) -> np.ndarray:
    """What `encode_strength` was given, to within 1/510: float64."""
    return strength.astype(np.float64) / 255
