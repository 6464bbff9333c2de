"""Reading a file that a stranger sent: an RGB image and what was changed in it, or a sentence about what is wrong."""

import contextlib
import math
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.pictures import NoPicture, opened_picture
from maskrcnn_benchmark.utils.rgb import has_several, in_rgb, orientation_of, upright

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MOST_BYTES = 32 << 20
MOST_PIXELS = 24_000_000  # a photograph of today's cameras; decoded, 72 MB
KEPT_PIXELS = 1_000_000  # larger images are shrunk to this: networks see about as much, pictures show no more
LONGEST_RATIO = 10  # of the longer to the shorter side
# The brands of a HEIF file (ISO/IEC 23008-12) that hold HEVC, which Pillow does not decode
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_DAMAGED = "it is truncated or damaged; send it again, or save it anew"


@dataclass(frozen=True)
class Upload:
    """An image to predict on.

    Attributes:
        image: PIL RGB image of at most `KEPT_PIXELS`.
        name: what to call it, without suffix.
        notes: sentences about what was changed in it.
    """

    image: Image.Image
    name: str
    notes: list = field(default_factory=list)


def read_upload(path: str | os.PathLike, most_pixels: int = MOST_PIXELS, most_bytes: int = MOST_BYTES) -> Upload:
    """The image in a file as an `Upload`: turned as its EXIF data says, 8 bits, three channels, not too large.

    Args:
        path: the file; its name is the one that its owner gave it, and its suffix is not believed.
        most_pixels, most_bytes: larger ones are refused before they are decoded.

    Raises:
        UserError: a sentence for the sender, which names the file without its folder.
    """
    path = Path(path)
    _check_bytes(path, most_bytes)
    with _opened(path) as image:
        _check_size(path.name, image.size, most_pixels)
        return _as_upload(image, path)


@contextlib.contextmanager
def _opened(path):
    """The PIL image of a file whose name alone the sender knows."""
    try:
        with opened_picture(path, path.name, FORMATS, _DAMAGED) as image:
            yield image
    except NoPicture:
        raise UserError(_unknown(path)) from None


def _check_bytes(path, most_bytes):
    found = path.stat()
    size = found.st_size
    if not stat.S_ISREG(found.st_mode):  # a device or a pipe may never end
        raise UserError(f"{path.name} is no file of bytes; choose an image")
    if not size:
        raise UserError(f"{path.name} is empty")
    if size > most_bytes:
        raise UserError(f"{path.name} has {size / 1e6:.0f} MB; at most {most_bytes / 1e6:.0f} MB are read")


def _check_size(name, size, most_pixels):
    width, height = size
    if width * height > most_pixels:
        raise UserError(
            f"{name} has {width}x{height} pixels, {width * height / 1e6:.1f} million; at most "
            f"{most_pixels / 1e6:.1f} million are read, so make it smaller"
        )
    if max(size) > LONGEST_RATIO * min(size):
        raise UserError(f"{name} is {width}x{height} pixels, a strip; cut a part out of it")


def _unknown(path):
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC:
        return f"{path.name} is a HEIC photograph, which cannot be read here; save it as JPEG or PNG"
    return f"{path.name} is no image that can be read here; JPEG, PNG, WebP, GIF, BMP and TIFF can"


def _as_upload(image, path):
    orientation = orientation_of(image)
    notes = ["Of its frames, the first is shown."] if has_several(image) else []
    image, change = in_rgb(image, path.name, path, _DAMAGED)
    image = upright(image, orientation)
    if change is not None:
        notes.append(f"It {change.words}.")
    if image.width * image.height > KEPT_PIXELS:
        full, image = image.size, _shrunk(image)
        notes.append(
            f"It was shrunk from {full[0]}x{full[1]} to {image.width}x{image.height} pixels, in which boxes are given."
        )
    return Upload(image, path.stem, notes)


def _shrunk(image):
    scale = math.sqrt(KEPT_PIXELS / (image.width * image.height))
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
