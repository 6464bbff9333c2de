"""What a rotation of an image about its centre does to points and to maps.

Angles are in degrees, counter-clockwise as seen on the screen. The size of the image stays.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch


def rotate_points(points: torch.Tensor, angle: float, size: Sequence[float], inclusive: bool) -> torch.Tensor:
    """Points of an image after its rotation.

    Args:
        points: float [..., 2] (x, y).
        angle: degrees.
        size: (width, height) of the image.
        inclusive: whether whole numbers are the centres of pixels, as in boxes and keypoints; else pixel k spans
            k .. k + 1, as in polygons.
    """
    centre = points.new_tensor([(side - int(inclusive)) / 2 for side in size])
    x, y = (points - centre).unbind(-1)
    sine, cosine = _sine_cosine(angle)
    return torch.stack((cosine * x + sine * y, cosine * y - sine * x), -1) + centre


def rotate_directions(directions: torch.Tensor, angle: float) -> torch.Tensor:
    """Directions [2, ...] (sin, cos), x to the right and y down, after a rotation of the image."""
    down, right = directions
    sine, cosine = _sine_cosine(angle)
    return torch.stack((cosine * down - sine * right, cosine * right + sine * down))


def rotate_array(pixels: np.ndarray, angle: float, fill: Any, flags: int = cv2.INTER_NEAREST) -> np.ndarray:
    """An array [H, W] or [H, W, C], rotated by OpenCV: each pixel takes what lies under its centre.

    Args:
        pixels: of a type that OpenCV knows.
        angle: degrees.
        fill: value, or one per channel, of what lay outside of the array.
        flags: OpenCV's interpolation.
    """
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    return cv2.warpAffine(pixels, matrix, (width, height), flags=flags, borderValue=fill)


def rotate_maps(maps: torch.Tensor, angle: float, fill: int) -> torch.Tensor:
    """Maps uint8 or float32 [N, H, W], rotated by `rotate_array` to the nearest pixel, on the device where they are."""
    rotated = [rotate_array(each, angle, fill) for each in maps.cpu().numpy()]
    return torch.from_numpy(np.stack(rotated)).to(maps.device) if rotated else maps


def _sine_cosine(angle):
    radians = np.deg2rad(angle)
    return float(np.sin(radians)), float(np.cos(radians))
