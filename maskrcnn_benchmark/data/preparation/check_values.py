"""What a value of an annotation file is: questions that any JSON value can be asked."""

import math
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

from PIL import Image

# Beyond every coordinate and area of an image; sums of such numbers stay exact
LARGEST = 10**9
_LARGEST_EXACT = 2.0**53  # up to which a float holds every whole number
LONGEST_TEXT = 1000
_ROUNDING = 0.01  # pixels by which decimal fractions may go beyond an image and still lie in it
_PIXELS = 2**27  # where PIL's limit against decompression bombs is switched off

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60
_repr.maxlevel = 2


def shown(value: Any) -> str:
    """A value in a few words, however large it is."""
    if isinstance(value, int) and abs(value) > LARGEST**2:
        return "a huge number"
    return _repr.repr(value)


def is_number(value: Any) -> bool:
    """Whether it is a number that coordinates and areas can have; true, NaN and what is huge are none."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def is_integer(value: Any) -> bool:
    """Whether it is a whole number of at most 64 bits; 3.0 is one, true is none."""
    if type(value) is float:
        return abs(value) <= _LARGEST_EXACT and value.is_integer()
    return type(value) is int and -(2**63) <= value < 2**63


def is_text(value: Any) -> bool:
    """Whether it is text that can be stored: not empty, not endless, without half characters."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def is_id(value: Any) -> bool:
    """Whether it can be an id: a whole number or a short text."""
    return is_integer(value) or is_text(value)


def is_box(value: Any) -> bool:
    """Whether it is [x, y, w, h] of some extent."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value)) and min(value[2:]) > 0


def is_within(x: float, y: float, size: Sequence[float]) -> bool:
    """Whether a point lies in an image of `size` (width, height) or on its border."""
    return -_ROUNDING <= x <= size[0] + _ROUNDING and -_ROUNDING <= y <= size[1] + _ROUNDING


def is_size(sides: Any) -> bool:
    """Whether it is a list of two sides of an image, of no more pixels than PIL would open."""
    if not isinstance(sides, list) or len(sides) != 2 or not all(map(is_integer, sides)) or min(sides) < 1:
        return False
    limit = Image.MAX_IMAGE_PIXELS
    return sides[0] * sides[1] <= (_PIXELS if limit is None else limit)


def is_same(one: Iterable[float], other: Iterable[float], tolerance: float = 0.0) -> bool:
    """Whether two lists of numbers agree within a tolerance."""
    return all(math.fabs(a - b) <= tolerance for a, b in zip(one, other, strict=True))
