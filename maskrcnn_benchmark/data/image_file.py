"""Reading one image from disk, a photograph or a map of labels, with errors that name the file."""

import contextlib
import io
import logging
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
from PIL import Image

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.once import OncePerRun
from maskrcnn_benchmark.utils.pictures import decoding, opened_picture
from maskrcnn_benchmark.utils.rgb import has_several, in_rgb, is_deep, orientation_of, turned_size, upright
from maskrcnn_benchmark.utils.text import printable

# Modes in which a pixel is one number: 8 bits, an index into a palette, 16 bits, 32 bits
LABEL_MODES = ("L", "P", "I;16", "I;16B", "I")
# What is done about an orientation that EXIF data tell: turn the picture if its annotations' size says so, turn it,
# leave it as it is stored
EXIF = ("auto", "apply", "ignore")
_OTHER_RELEASE = "take image and annotations from the same release"

logger = logging.getLogger(__name__)
NOTICES = ("elsewhere", "deep", "transparent", "colours", "orientation", "unknown orientation", "frames")
notices = OncePerRun(*NOTICES)


class ImageFacts(NamedTuple):
    """What an image file is.

    Attributes:
        size: (width, height) as it is stored.
        orientation: that of its EXIF data, 1 where it is upright.
        is_deep: whether it has more than 8 bits per channel.
    """

    size: tuple[int, int]
    orientation: int
    is_deep: bool

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) when it is upright."""
        return turned_size(self.size, self.orientation)


def read_image(path: str | os.PathLike, size: Sequence[int] | None = None, exif: str = "auto") -> Image.Image:
    """The image at `path` as a PIL RGB image.

    What is unusual about it (more than 8 bits, see `utils.rgb`, transparency, an orientation, several frames) is logged
    for the first such image of a run.

    Args:
        path: a JPEG, PNG or anything else of `utils.pictures.FORMATS`.
        size: (width, height) that the annotations promise, or None.
        exif: one of `EXIF`. "auto" turns a picture where it is of the size promised only then; where the size does not
            tell (none is promised, the orientation keeps it, or width and height are equal) it is left as it is stored.

    Raises `UserError` for a file that is missing, truncated, no image, larger than PIL's limit against decompression
    bombs, or of another size than promised.
    """
    with _opened(path) as image:
        return _in_rgb(image, path, size, exif, path)


def find_image(folder: str | os.PathLike, name: str) -> Path:
    """The file of an image that annotations call `name`, below the `folder` of a data set's images.

    Where there is no such file, backslashes are taken for slashes, as Windows writes them, and letters with accents
    are composed or taken apart, as macOS writes them; a name may begin with the folder's own. Of an address, a path on
    Windows, or an absolute one where nothing is, the last parts are looked for. The path of a file that is not there is
    that with slashes, or the last part of one from elsewhere.
    """
    folder = Path(folder)
    turned = name.replace("\\", "/")
    places = [folder / name, folder / turned]
    if is_elsewhere(name) or turned.startswith("/"):
        if os.path.isfile(turned):
            return Path(turned)
        address = unquote(re.split("[?#]", turned)[0]) if "://" in name else turned
        parts = [part for part in address.split("/") if part not in ("", ".", "..") and not part.endswith(":")]
        places = [folder.joinpath(*parts[number:]) for number in range(len(parts))]
        turned = parts[-1] if parts else turned
        if not is_elsewhere(name) and (place := next(filter(os.path.isfile, places), None)):
            _tell("elsewhere", name, f"is not there: {place} is taken in its place")
    elif turned.startswith(f"{folder.absolute().name}/"):
        places.append(folder.absolute().parent / turned)
    found = next((place for place in places if os.path.isfile(place)), None)
    return found or other_spelling(folder, turned) or folder / turned


def other_spelling(folder: Path, name: str) -> Path | None:
    """The file in a folder that has the letters with accents of a name composed (NFC) or taken apart (NFD), or None."""
    if name.isascii():
        return None
    places = (folder / unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((place for place in places if place.is_file()), None)


def is_elsewhere(name: str) -> bool:
    """Whether a file name is an address (http://...) or begins with a drive (C:\\...)."""
    return bool(re.match(r"[A-Za-z][A-Za-z+]*:[/\\]", name))


def read_labels(path: str | os.PathLike, size: Sequence[int] | None = None) -> np.ndarray:
    """The numbers of a label image, as Cityscapes and PASCAL VOC store them: uint8 or int32 [H, W].

    Args and errors are those of `read_image`; an image of colours is an error as well.
    """
    with _opened(path) as image:
        orientation_of(image)  # labels stay as they are stored
        _check_size(path, image.size, size)
        if image.mode not in LABEL_MODES:
            raise UserError(
                f"{path} holds colours (mode {image.mode}), not one label per pixel; take the original PNG, for some "
                "programs save palettes as colours"
            )
        with decoding(path):
            labels = np.array(image)
    return labels if labels.dtype == np.uint8 else labels.astype(np.int32)


def read_colours(path: str | os.PathLike, size: Sequence[int]) -> np.ndarray:
    """The colours of a picture that stand for numbers, as COCO panoptic stores them: uint8 [H, W, 3].

    Args and errors are those of `read_image`; an image of anything but RGB of 8 bits is an error as well.
    """
    with _opened(path) as image:
        orientation_of(image)  # numbers stay as they are stored
        _check_size(path, image.size, size)
        if image.mode != "RGB":
            raise UserError(
                f"{path} has the mode {image.mode}, but its numbers are colours of 8 bits without a palette; take the "
                "original PNG"
            )
        with decoding(path):
            return np.array(image)


def image_size(path: str | os.PathLike, exif: str = "auto") -> tuple[int, int]:
    """(width, height) of what `read_image` gives of `path`, from its first bytes. Errors are those of `read_image`."""
    with _opened(path) as image:
        orientation = orientation_of(image)
        return turned_size(image.size, orientation if exif == "apply" else 1)


def check_image_size(path: str | os.PathLike, size: Sequence[int], exif: str = "auto") -> None:
    """Raise `UserError` unless `read_image` would find the size that annotations promise, by the file's first bytes."""
    with _opened(path) as image:
        _orientation(image, path, size, exif)


def decoded_facts(path: str | os.PathLike) -> ImageFacts:
    """What the image at `path` is, all of which was decoded, JPEG at its lowest resolution to save time.

    Errors are those of `read_image`.
    """
    with _opened(path) as image:
        orientation = orientation_of(image)
        facts = ImageFacts(image.size, orientation, is_deep(image))
        with decoding(path):
            image.draft(None, (1, 1))
            image.load()
    return facts


def decode_image(data: bytes, name: str, exif: str = "auto") -> Image.Image:
    """As `read_image`, of the bytes of a file that errors call `name`."""
    file = io.BytesIO(data)
    with opened_picture(file, name) as image:
        return _in_rgb(image, name, None, exif, file)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[Image.Image]:
    """The PIL image of a file."""
    path = Path(path)
    if not os.path.isfile(path):
        raise UserError(f"no such image: {printable(str(path))}; {_remedy_for_missing(path)}")
    with opened_picture(path, path) as image:
        yield image


def _remedy_for_missing(path):
    """What to do about an image that is not there: another suffix, spaces or capitals are a matter of the file name."""
    if path.parent.is_dir():
        name = path.stem.strip().lower()
        like = next(
            (each for each in sorted(os.listdir(path.parent)) if Path(each).stem.lower() == name and each != path.name),
            None,
        )
        if like is not None:
            return f"there is {like!r}: correct the file name in the annotations"
    return f"unpack the data set's images into {path.parent}"


def _in_rgb(image, name, size, exif, file):
    """The RGB image, upright if that is wanted, of an opened picture; what is unusual about it is told."""
    orientation = _orientation(image, name, size, exif)
    if has_several(image):
        _tell("frames", name, "has several frames, of which the first is taken")
    image, change = in_rgb(image, name, file)
    if change is not None:
        _tell(change.kind, name, change.words)
    return upright(image, orientation)


def _orientation(image, path, size, exif):
    """The orientation by which an opened picture is to be turned, 1 for none. It is of the size promised then."""
    orientation = orientation_of(image)
    stored, turned = image.size, turned_size(image.size, orientation)
    wanted = None if size is None else tuple(size)
    by_size = wanted is not None and stored != turned and wanted in (stored, turned)
    if exif == "auto":
        chosen = orientation if by_size and wanted == turned else 1
    else:
        chosen = orientation if exif == "apply" else 1
    remedy = f'its EXIF orientation is {orientation}: try INPUT.EXIF "auto"' if by_size else _OTHER_RELEASE
    _check_size(path, turned_size(stored, chosen), wanted, remedy)
    if wanted is not None and orientation != 1:
        words = f"has the EXIF orientation {orientation} and is {'turned upright' if chosen != 1 else 'left as stored'}"
        if by_size:
            _tell("orientation", path, f"{words}, as the size of its annotations says")
        else:
            why = "the size of its annotations does not tell whether they are for the upright picture"
            _tell("unknown orientation", path, f'{words} (INPUT.EXIF "{exif}"), since {why}')
    return chosen


def _check_size(path, found, wanted, remedy=_OTHER_RELEASE):
    if wanted is not None and found != tuple(wanted):
        raise UserError(
            f"{path} is {found[0]}x{found[1]} pixels, but its annotations are for {wanted[0]}x{wanted[1]}; {remedy}"
        )


def _tell(kind, path, words):
    if notices.is_first(kind):
        logger.warning("%s %s; further such images are not named", printable(str(path)), words)
