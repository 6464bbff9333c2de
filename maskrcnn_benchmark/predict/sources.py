"""What a network can be shown: files, folders, videos, a webcam, pictures in memory, one after the other with names."""

import glob
import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import torch
from PIL import Image

from maskrcnn_benchmark.data.image_file import decode_image, read_image
from maskrcnn_benchmark.predict.remote import fetch, is_address
from maskrcnn_benchmark.predict.video import (
    VIDEO_SUFFIXES,
    Clip,
    count_video_frames,
    is_video,
    read_video,
    read_webcam,
    webcam_number,
)
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.miscellaneous import unique_name
from maskrcnn_benchmark.utils.rgb import in_rgb, orientation_of, upright
from maskrcnn_benchmark.utils.text import an
from maskrcnn_benchmark.utils.web import checked_address, without_secrets

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif", ".jfif")


@dataclass(frozen=True)
class Frame:
    """One image to predict on.

    Attributes:
        image: PIL RGB image.
        name: what files about it are called, without suffix.
        path: where it came from, "" for an image in memory.
        seconds: of a frame of a video its time from the beginning, else None.
        clip: the `Clip` that it is a frame of, or None.
    """

    image: Image.Image
    name: str
    path: str = ""
    seconds: float | None = None
    clip: Clip | None = None


def holds_several(source: Any) -> bool:
    """Whether a source stands for a sequence of images rather than for one."""
    if isinstance(source, list | tuple) or webcam_number(source) is not None:
        return True
    if not isinstance(source, str | Path) or is_address(source):
        return False
    return Path(source).is_dir() or is_video(source) or _is_pattern(source)


def is_live(source: Any) -> bool:
    """Whether a source is a webcam, or a list with one, whose pictures must not wait."""
    if isinstance(source, list | tuple):
        return any(map(is_live, source))
    return webcam_number(source) is not None


def frames_of(
    source: Any,
    skipped: Callable[[str, str], Any] | None = None,
    rotate: bool = True,
    every: int = 1,
    recursive: bool = False,
    allow_urls: bool = False,
) -> Iterator[Frame]:
    """The images of a source, in order, each read when it is its turn.

    Args:
        source: a path of an image or a video, a folder (its images and videos by name), a pattern such as
            "shots/*.jpg", a webcam (an integer or "webcam:0"), an address, a PIL image, an array or tensor uint8
            [H, W, 3] RGB or [H, W] grey, or a list of these.
        skipped: function (path, reason) called for a file that is no image or damaged, which is passed over then, and
            for a video that is cut short, after its last frame; None raises its `UserError`, and warns of the latter.
        rotate: turn photographs upright, as their EXIF data says; False takes the pixels as they are stored, for which
            annotations of a data set may be made. Videos are turned in any case.
        every: of videos and webcams, take each so many-th frame.
        recursive: look into subfolders of folders, too; hidden ones are left out.
        allow_urls: fetch addresses of http and https.

    Yields:
        `Frame`; those of a video are called as it is and by their number from 0, such as street_000120.
    """
    if every < 1:
        raise UserError(f"every must be 1 or more, not {every}")
    taken: set[str] = set()
    for item in _expanded(source, recursive, allow_urls):
        name = _name_of(item, taken)
        try:
            yield from _frames(item, name, skipped, rotate, every)
        except UserError as error:
            if skipped is None or not isinstance(item, str | Path):
                raise
            skipped(str(item), str(error))


def count_frames(source: Any, every: int = 1, recursive: bool = False, allow_urls: bool = False) -> int | None:
    """How many images a source has, as far as can be told without reading them, or None. Errors: a path that is not."""
    total = 0
    for item in _expanded(source, recursive, allow_urls):
        if webcam_number(item) is not None:
            return None
        if isinstance(item, str | Path) and not is_address(item) and is_video(item):
            try:
                count = count_video_frames(item, every)
            except UserError:  # told when it is its turn
                count = 0
            if count is None:
                return None
            total += count
        else:
            total += 1
    return total


def _frames(item, name, skipped, rotate, every):
    """The `Frame`s of an item of `_expanded`."""
    number = webcam_number(item)
    if number is not None or (isinstance(item, str | Path) and not is_address(item) and is_video(item)):
        stream = read_video(item, every, skipped) if number is None else read_webcam(number, every)
        for place, seconds, image, clip in stream:
            clip = Clip(name, clip.rate, clip.is_live)
            yield Frame(image, f"{name}_{place:06d}", str(item), seconds, clip)
    elif not isinstance(item, str | Path):
        yield Frame(_as_image(item, rotate), name)
    else:
        told = without_secrets(item) if is_address(item) else str(item)
        exif = "apply" if rotate else "ignore"
        image = decode_image(fetch(item), told, exif) if is_address(item) else read_image(item, exif=exif)
        yield Frame(image, name, told)


def _name_of(item, taken):
    """What files about an item are called; it is added to the set `taken` of names before it."""
    if webcam_number(item) is not None:
        name = f"webcam{webcam_number(item)}"
    elif is_address(item):
        name = (
            re.sub(
                r"[^\w.-]", "_", Path(posixpath.basename(unquote(urlsplit(checked_address(item, "images")).path))).stem
            )[:100]
            or "image"
        )
    elif isinstance(item, str | Path):
        name = Path(item).stem
    else:
        name = f"image_{len(taken):06d}"
    return unique_name(name, taken)


def _expanded(source, recursive, allow_urls):
    """Images, webcams, addresses and paths of single files; what is not there is an error before anything is read."""
    if isinstance(source, list | tuple):
        for item in source:
            yield from _expanded(item, recursive, allow_urls)
    elif webcam_number(source) is not None or not isinstance(source, str | Path):
        yield source
    elif is_address(source):
        if not allow_urls:
            raise UserError(
                f"{without_secrets(source)} is an address, and nothing is fetched unasked; save it first, or allow it "
                "(--allow-urls)"
            )
        checked_address(source, "images")
        yield source
    else:
        yield from _paths(source, recursive)


def _paths(source, recursive):
    text, path = str(source), Path(source)
    if path.is_dir():
        found = _files_of(path, recursive)
        if not found:
            searched = "" if recursive else "; subfolders are not searched"
            suffixes = ", ".join((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))
            raise UserError(f"{path} holds no image or video ({suffixes}){searched}")
        return found
    if not path.is_file() and _is_pattern(text):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            raise UserError(f"no file matches {text}")
        return found
    if not path.is_file():
        raise UserError(f"no such image, folder or video: {path}")
    return [path]


def _files_of(folder, recursive):
    """Paths of the images and videos of a folder, by name."""
    wanted = {*IMAGE_SUFFIXES, *VIDEO_SUFFIXES}
    found = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in found
        if path.suffix.lower() in wanted
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _is_pattern(source):
    return not Path(source).exists() and glob.has_magic(str(source))


def _as_image(picture, rotate):
    if isinstance(picture, Image.Image):
        orientation = orientation_of(picture) if rotate else 1
        return upright(in_rgb(picture, "the image", getattr(picture, "filename", None) or None)[0], orientation)
    if isinstance(picture, torch.Tensor):
        picture = picture.detach().cpu().numpy()
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"an image is a path, a PIL image or an array, not {an(type(picture).__name__)}")
    is_grey = picture.ndim == 2
    if picture.dtype != np.uint8 or not (is_grey or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(
            f"an array must be uint8 [H, W, 3] RGB or [H, W] grey, not {picture.dtype} {list(picture.shape)}"
        )
    if not picture.size:
        raise ValueError("the image has no pixel")
    return Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
