"""The one place where picture files are opened and decoded: whatever a decoder makes of a file, it ends in one line.

Decoders are programs of others that are given files of strangers. They raise nearly anything (Pillow's plug-ins
OSError, SyntaxError, ValueError, IndexError, TypeError, struct.error, zlib.error, RuntimeError, MemoryError), so that
here, and only here, everything is caught. Nothing but calls of decoders belongs into a block of `decoding`: an error of
our own code keeps its stack trace.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from maskrcnn_benchmark.utils.errors import Interrupted, UserError

# What a file may be taken for, those that Pillow has at hand first. It knows more, but some of that starts other
# programs (EPS), and the rest is hardly ever met or tested
COMMON = ("JPEG", "PNG", "BMP", "GIF", "PPM", "DIB")
FORMATS = (*COMMON, "MPO", "WEBP", "TIFF", "AVIF", "JPEG2000", "ICO", "TGA", "SGI", "PCX")
MOST_BYTES = 1 << 30  # of a file, some of which Pillow reads as a whole; more than the pixels below take undecoded
# Formats whose decoders take several times the memory or time of others, and the part of PIL's limit that they may have
_HEAVY = {"WEBP": 2, "AVIF": 2, "JPEG2000": 4}
# A JPEG's pixels times the passes that its decoder makes over them: some seconds. A pass may take a hundred bytes
_MOST_PASSES = 4_000_000_000
DAMAGED = "it is truncated or damaged, replace it"
_LONGEST_REASON = 200

# They tell of damage that decoding survives, each in words of its own: a folder of old photographs brings thousands
warnings.filterwarnings(
    "ignore",
    "(Possibly )?[Cc]orrupt EXIF|Truncated File Read|Metadata Warning|.*could not be identified",
    module=r"PIL\.",
)


class NoPicture(UserError):
    """A file is no picture of a kind that can be read."""


@contextlib.contextmanager
def decoding(name: object, remedy: str = DAMAGED) -> Iterator[None]:
    """Whatever a decoder raises in the block is a `UserError`: "NAME cannot be decoded (REASON); REMEDY"."""
    try:
        yield
    except (UserError, Interrupted):
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{name}: {error}; make it smaller") from None
    except OSError as error:
        if error.errno is None:  # else it is the disk that refuses, not the decoder
            raise UserError(f"{name} cannot be decoded ({_reason(error)}); {remedy}") from None
        raise UserError(f"{name} cannot be read: {error.strerror}") from None
    except Exception as error:
        raise UserError(f"{name} cannot be decoded ({_reason(error)}); {remedy}") from None


@contextlib.contextmanager
def opened_picture(
    file: str | os.PathLike | BinaryIO, name: object, formats: Sequence[str] = FORMATS, remedy: str = DAMAGED
) -> Iterator[Image.Image]:
    """The PIL image of a file, of which only the head is decoded; the rest is to be decoded inside of `decoding`.

    Args:
        file: a path, or a binary file that can seek.
        name: what errors call it.
        formats: what it may be, of `FORMATS`.
        remedy: as in `decoding`.

    Raises `UserError` for what is no image of these formats, damaged, or larger than can be decoded in a few seconds
    and a GiB of memory: by the file's bytes, its pixels (PIL's limit against decompression bombs) and a JPEG's passes.
    """
    with decoding(name, remedy):
        size = os.stat(file).st_size if isinstance(file, str | os.PathLike) else file.seek(0, os.SEEK_END)
    if size > MOST_BYTES:
        raise UserError(f"{name} has {size} bytes, more than any image; make it smaller")
    with contextlib.ExitStack() as stack:
        with decoding(name, remedy):
            image = stack.enter_context(_open(file, name, formats, remedy))
        _check_pixels(image, name)
        _check_passes(image, name, size)
        yield image


def _open(file, name, formats, remedy):
    """The image, tried first with the decoders that are there: to load all others takes a twentieth of a second."""
    with contextlib.suppress(UnidentifiedImageError):
        return Image.open(file, formats=[chosen for chosen in COMMON if chosen in formats])
    Image.init()
    known = [chosen for chosen in formats if chosen in Image.OPEN]
    with contextlib.suppress(UnidentifiedImageError):
        return Image.open(file, formats=known)
    if any(Image.OPEN[chosen][1] and Image.OPEN[chosen][1](_first_bytes(file)) is True for chosen in known):
        raise UserError(f"{name} cannot be decoded (its head is damaged); {remedy}")
    raise NoPicture(f"{name} is not an image that can be read ({', '.join(known)}); replace it")


def _first_bytes(file):
    """As many as Pillow tells a file's kind by."""
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as opened:
            return opened.read(16)
    file.seek(0)
    return file.read(16)


def _check_pixels(image, name):
    limit = Image.MAX_IMAGE_PIXELS
    if limit is None or image.width * image.height <= limit // _HEAVY.get(image.format, 1):
        return
    what = f"PIL's limit of {limit} against decompression bombs"
    if image.format in _HEAVY:
        what = f"1 / {_HEAVY[image.format]} of {what}, as {image.format} takes much memory to decode"
    raise UserError(f"{name} has {image.width}x{image.height} pixels, more than {what}; make it smaller")


def _check_passes(image, name, size):
    """Refuse a JPEG whose scans, which take a few bytes each, would keep the decoder busy for minutes."""
    pixels = image.width * image.height
    if image.format not in ("JPEG", "MPO") or size // 10 * pixels <= _MOST_PASSES or not _has_several_scans(image):
        return
    with decoding(name):
        place = image.fp.tell()
        image.fp.seek(0)
        scans = image.fp.read().count(b"\xff\xda")
        image.fp.seek(place)
    if scans * pixels > _MOST_PASSES:
        raise UserError(f"{name} has {scans} scans over {pixels} pixels, which no camera writes; save it anew")


def _has_several_scans(image):
    if "progressive" in image.info or "progression" in image.info:
        return True
    # else one scan has all components, and its head is what Pillow has read last
    length = 6 + 2 * image.layers
    place = image.fp.tell()
    image.fp.seek(max(place - length - 2, 0))
    head = image.fp.read(4)
    image.fp.seek(place)
    return head != b"\xff\xda" + length.to_bytes(2, "big")


def _reason(error):
    words = " ".join(str(error).split())
    return words[:_LONGEST_REASON] or type(error).__name__
