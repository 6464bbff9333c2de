"""Reading one image from disk, a photograph or a map of labels, with errors that name the file."""

import contextlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.pictures import decoding, opened_picture

# Modes in which a pixel is one number: 8 bits, an index into a palette, 16 bits, 32 bits
LABEL_MODES = ("L", "P", "I;16", "I;16B", "I")


def read_image(path: str | os.PathLike, size: Sequence[int] | None = None) -> Image.Image:
    """The image at `path` as a PIL RGB image.

    Args:
        path: a JPEG, PNG or anything else of `utils.pictures.FORMATS`.
        size: (width, height) that the annotations promise, or None. EXIF rotation is not applied: annotations are
            made on the stored pixels.

    Raises `UserError` for a file that is missing, truncated, no image, larger than PIL's limit against decompression
    bombs, or of another size than promised.
    """
    with _opened(path, size) as image, decoding(path):
        return image.convert("RGB")


def find_image(folder: str | os.PathLike, name: str) -> Path:
    """The file of an image that annotations call `name`, below the `folder` of a data set's images.

    Where there is no such file, backslashes are taken for slashes, as Windows writes them; a name may begin with the
    folder's own. Of an address, or a path on Windows, that begins elsewhere its last parts are looked for. The path of
    a file that is not there is that with slashes, or the last part of one from elsewhere.
    """
    folder = Path(folder)
    turned = name.replace("\\", "/")
    places = [folder / name, folder / turned]
    if is_elsewhere(name):
        parts = turned.split("/")
        places = [folder.joinpath(*filter(None, parts[number:])) for number in range(1, len(parts))]
        turned = parts[-1]
    elif turned.startswith(f"{folder.absolute().name}/"):
        places.append(folder.absolute().parent / turned)
    return next((place for place in places if os.path.isfile(place)), folder / turned)


def is_elsewhere(name: str) -> bool:
    """Whether a file name is an address (http://...) or begins with a drive (C:\\...)."""
    return bool(re.match(r"[A-Za-z][A-Za-z+]*:[/\\]", name))


def read_labels(path: str | os.PathLike, size: Sequence[int] | None = None) -> np.ndarray:
    """The numbers of a label image, as Cityscapes and PASCAL VOC store them: uint8 or int32 [H, W].

    Args and errors are those of `read_image`; an image of colours is an error as well.
    """
    with _opened(path, size) as image:
        if image.mode not in LABEL_MODES:
            raise UserError(
                f"{path} holds colours (mode {image.mode}), not one label per pixel; take the original PNG, for some "
                "programs save palettes as colours"
            )
        with decoding(path):
            labels = np.array(image)
    return labels if labels.dtype == np.uint8 else labels.astype(np.int32)


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(width, height) of the image at `path`, from its first bytes. Errors are those of `read_image`."""
    with _opened(path, None) as image:
        return image.size


def decoded_size(path: str | os.PathLike) -> tuple[int, int]:
    """(width, height) of the image at `path`, all of which was decoded, JPEG at its lowest resolution to save time.

    Errors are those of `read_image`.
    """
    with _opened(path, None) as image:
        size = image.size
        with decoding(path):
            image.draft(None, (1, 1))
            image.load()
    return size


def decode_image(data: bytes, name: str) -> Image.Image:
    """As `read_image`, of the bytes of a file that errors call `name`."""
    with opened_picture(io.BytesIO(data), name) as image, decoding(name):
        return image.convert("RGB")


@contextlib.contextmanager
def _opened(path: str | os.PathLike, size: Sequence[int] | None) -> Iterator[Image.Image]:
    """The PIL image of a file, which is of the size promised."""
    path = Path(path)
    if not os.path.isfile(path):
        raise UserError(f"no such image: {path}; unpack the data set's images into {path.parent}")
    with opened_picture(path, path) as image:
        if size is not None and image.size != tuple(size):
            raise UserError(
                f"{path} is {image.width}x{image.height} pixels, but its annotations are for {size[0]}x{size[1]}; "
                "take image and annotations from the same release"
            )
        yield image
