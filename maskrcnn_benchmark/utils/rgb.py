"""From the pixels of a picture file to an RGB image of 8 bits: depth, transparency and orientation, one rule for all.

- More than 8 bits: whole numbers up to 65535 are of the least usual depth (8, 10, 12, 14 or 16 bits) that holds the
  brightest pixel, and 0 to the greatest number of that depth becomes 0 to 255. So a camera's 12 bits in a file of 16
  are not black, and 8 bits stay as they are. Fractions from 0 to 1 are taken for that range. Everything else, such as
  negative values, is stretched from the picture's lowest to its highest.
- Transparent pictures are laid on white, as those who annotate see them.
- Other colours (CMYK, YCbCr, ...) are converted without a colour profile.
"""

import contextlib
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.pictures import DAMAGED, decoding

ORIENTATION = 0x0112  # the tag of EXIF
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_REMEMBERED = "orientation as stored"
_JPEG2000_HEAD = 1 << 20  # bytes, in which its code stream begins
_DEPTHS = (8, 10, 12, 14, 16)


class Change(NamedTuple):
    """What was done to a picture beside decoding it.

    Attributes:
        kind: "deep", "transparent" or "colours".
        words: the end of a sentence that begins with the picture's name.
    """

    kind: str
    words: str


def orientation_of(image: Image.Image) -> int:
    """The orientation that the EXIF data of an opened picture tells: 2 to 8, or 1 where it is upright or not told.

    Damaged EXIF data tell nothing. To be asked before the picture is decoded, which Pillow is kept from turning then.
    """
    try:
        with decoding("EXIF data"):
            exif = Image.Image.getexif(image)  # that of PNG would decode the whole picture
            found = image.info.get(_REMEMBERED) or exif.get(ORIENTATION)
    except UserError:
        return 1
    if image.format == "TIFF" and found is not None:
        # Pillow turns these by itself, but garbles uncompressed ones with it (12.3)
        getattr(image, "tag_v2", {}).pop(ORIENTATION, None)
        exif.pop(ORIENTATION, None)
        image.info[_REMEMBERED] = found  # for whoever asks again
        image._size = getattr(image, "_tile_size", image.size)  # type: ignore[attr-defined]
    return found if isinstance(found, int) and found in _TURNS else 1


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(width, height) of a picture stored with `size` when it is upright."""
    return (size[1], size[0]) if orientation >= 5 else size


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """An image turned as an orientation of EXIF says; 1 leaves it as it is."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def is_deep(image: Image.Image) -> bool:
    """Whether an opened picture, not yet decoded, has more than 8 bits per channel."""
    return image.mode.startswith("I") or image.mode == "F" or _has_deep_colours(image)


def has_several(image: Image.Image) -> bool:
    """Whether an opened picture has more than one frame or page. An MPO's others are previews and depths."""
    with contextlib.suppress(UserError), decoding("frames"):  # to count them may take as long as to decode them
        return image.format != "MPO" and getattr(image, "is_animated", False)
    return False


def in_rgb(
    image: Image.Image, name: object, file: str | os.PathLike | BinaryIO | None = None, remedy: str = DAMAGED
) -> tuple[Image.Image, Change | None]:
    """The RGB image of an opened picture, and what was changed in it or None.

    Args:
        image: as `pictures.opened_picture` gives it.
        name: what errors call it.
        file: that it was opened from, a path or a binary file that can seek, or None.
        remedy: as in `pictures.decoding`.

    Raises `UserError` where it cannot be decoded.
    """
    has_deep_colours = _has_deep_colours(image)
    with decoding(name, remedy):
        image.load()
        if image.mode in ("RGB", "L") and not has_deep_colours and not image.has_transparency_data:
            return image.convert("RGB"), None
    if image.mode.startswith("I") or image.mode == "F":
        grey, black, white = _in_8_bits(_numbers(image), "I" in image.mode)
        return Image.fromarray(grey).convert("RGB"), _deep_change(black, white)
    change = None
    if has_deep_colours:
        image, change = _deep_colours(image, name, file, remedy)
    with decoding(name, remedy):
        if image.has_transparency_data:
            image = image.convert("RGBA")
            if image.getchannel("A").getextrema() != (255, 255):
                change = change or Change("transparent", "is transparent and was laid on white")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        elif image.mode in ("CMYK", "LAB", "YCbCr"):
            change = Change("colours", f"has {image.mode} colours, which became RGB without a colour profile")
        return image.convert("RGB"), change


def _numbers(image):
    """The float32 array of a decoded picture of numbers, with what TIFF says of them and Pillow leaves out (12.3)."""
    values = np.array(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "I" and tags.get(_BITS) == (32,) and tags.get(_SAMPLE_FORMAT, (1,)) == (1,):
        values = values.view(np.uint32)
    elif image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0:  # 0 is white
        values = np.iinfo(np.uint16).max - values
    return values.astype(np.float32)


def _in_8_bits(values, is_whole):
    """(uint8 array, what became black, what white) of a float32 array of any values, which is changed."""
    is_finite = np.isfinite(values)
    low = float(values.min(where=is_finite, initial=np.inf))
    high = float(values.max(where=is_finite, initial=-np.inf))
    if low > high:  # not one number in it
        low = high = 0.0
    np.nan_to_num(values, copy=False, nan=0.0, posinf=high, neginf=low)
    if low >= 0 and high <= 1 and not is_whole:
        low, high = 0.0, 1.0
    elif low >= 0 and high < 1 << _DEPTHS[-1] and (is_whole or np.array_equal(values, np.rint(values))):
        low, high = 0.0, float(next((1 << bits) - 1 for bits in _DEPTHS if high < 1 << bits))
    values -= low
    values *= 255 / max(high - low, 1e-30)
    return np.rint(values, out=values).clip(0, 255, out=values).astype(np.uint8), low, high


def _deep_change(black, white):
    if (black, white) == (0, 255):
        return None
    return Change("deep", f"has more than 8 bits per channel: its {black:.10g} became black and its {white:.10g} white")


def _has_deep_colours(image):
    """Whether Pillow will keep just the upper 8 of 16 bits of a picture's colours: it opened, but did not decode it."""
    for _, _, _, mode in getattr(image, "tile", ()):
        mode = mode if isinstance(mode, str) else next(iter(mode or ()), None)
        if isinstance(mode, str) and mode.partition(";")[0] in ("RGB", "RGBX", "RGBA", "RGBa", "LA") and ";16" in mode:
            return True
    return image.mode in ("RGB", "RGBA", "LA") and _jpeg2000_bits(image) > 8


def _jpeg2000_bits(image):
    """Bits per channel of an opened JPEG 2000, of its first channel; 0 for other formats."""
    if image.format != "JPEG2000" or not image.tile:
        return 0
    place = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(_JPEG2000_HEAD)
    image.fp.seek(place)
    start = head.find(b"\xff\x4f\xff\x51")  # of the code stream, and of the segment that has the sizes
    return (head[start + 42] & 0x7F) + 1 if 0 <= start < len(head) - 42 else 0


def _deep_colours(image, name, file, remedy):
    """(image, `Change`) of a decoded picture of which Pillow kept the upper 8 of 16 bits.

    That is right for a picture of 16 bits. One of fewer is decoded anew by OpenCV, which keeps all, and so is each
    JPEG 2000, whose brightest values become black in Pillow (12.3).
    """
    white = (1 << 16) - 1
    has_alpha = image.mode in ("RGBA", "LA")
    brightest = max(high for _, high in image.getextrema()[: -1 if has_alpha else None])
    is_wrapped = image.format == "JPEG2000"
    if is_wrapped and (file is None or image.mode == "LA"):
        raise UserError(f"{name} is a JPEG 2000 of more than 8 bits per channel, which is not read; save it as PNG")
    if file is not None and (is_wrapped or brightest < 1 << 6):
        import cv2  # late: hardly a picture needs it, and the demo's help none

        with decoding(name, remedy):
            data = _bytes_of(file)
            deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if deep is not None and deep.dtype == np.uint16 and deep.ndim == 3 and deep.shape[1::-1] == image.size:
            white = next((1 << bits) - 1 for bits in _DEPTHS if deep[..., :3].max() < 1 << bits)
            colours = np.rint(deep[..., 2::-1] * np.float32(255 / white)).astype(np.uint8)
            alpha = None
            if has_alpha:
                alpha = Image.fromarray((deep[..., 3] >> 8).astype(np.uint8)) if is_wrapped else image.getchannel("A")
            image = Image.fromarray(colours)
            if alpha is not None:
                image.putalpha(alpha)
    return image, _deep_change(0, white)


def _bytes_of(file):
    if isinstance(file, str | os.PathLike):
        return Path(file).read_bytes()
    file.seek(0)
    return file.read()
