"""What a network can be shown: files, folders, pictures in memory, one after the other as RGB images with names."""

import glob
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from maskrcnn_benchmark.data.datasets.image_file import read_image
from maskrcnn_benchmark.utils.errors import UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif", ".jfif")


@dataclass(frozen=True)
class Frame:
    """One image to answer.

    Attributes:
        image: PIL RGB image.
        name: what files about it are called, without suffix.
        path: where it came from, "" for an image in memory.
    """

    image: Image.Image
    name: str
    path: str = ""


def holds_several(source):
    """Whether a source stands for a sequence of images rather than for one."""
    if isinstance(source, list | tuple):
        return True
    return isinstance(source, str | Path) and (Path(source).is_dir() or _is_pattern(source))


def frames_of(source, skipped=None, rotate=False):
    """The images of a source, in order, each read when it is its turn.

    Args:
        source: a path, a folder (its images by name, without subfolders), a pattern such as "shots/*.jpg", a PIL image,
            an array or tensor uint8 [H, W, 3] RGB or [H, W] grey, or a list of these.
        skipped: function (path, reason) called for a file that is no image or damaged, which is passed over then; None
            raises its `UserError`.
        rotate: turn photographs as their EXIF data says. Annotations of data sets are made on the stored pixels, so
            that predictions to be scored must not be turned.

    Yields:
        `Frame`.
    """
    for item, name in _items(source):
        if not isinstance(item, str | Path):
            yield Frame(_as_image(item), name)
            continue
        try:
            image = read_image(item)
        except UserError as error:
            if skipped is None:
                raise
            skipped(str(item), str(error))
            continue
        yield Frame(ImageOps.exif_transpose(image) if rotate else image, name, str(item))


def _items(source):
    """(path or picture, name) of each image of a source, without opening it."""
    taken = {}
    for number, item in enumerate(_expanded(source)):
        name = Path(item).stem if isinstance(item, str | Path) else f"image_{number:06d}"
        taken[name] = taken.get(name, 0) + 1
        yield item, name if taken[name] == 1 else f"{name}_{taken[name]}"


def _expanded(source):
    if isinstance(source, list | tuple):
        for item in source:
            yield from _expanded(item)
    elif isinstance(source, str | Path):
        yield from _paths(source)
    else:
        yield source


def _paths(source):
    text = str(source)
    if "://" in text:
        raise UserError(f"{text} is an address; download it first, for nothing is fetched from the net unasked")
    path = Path(source)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        if not found:
            raise UserError(f"{path} holds no image ({', '.join(IMAGE_SUFFIXES)}); subfolders are not searched")
        return found
    if not path.is_file() and _is_pattern(text):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            raise UserError(f"no file matches {text}")
        return found
    if not path.is_file():
        raise UserError(f"no such image, folder or video: {path}")
    return [path]


def _is_pattern(source):
    return not Path(source).exists() and glob.has_magic(str(source))


def _as_image(picture):
    if isinstance(picture, Image.Image):
        return picture.convert("RGB")
    if isinstance(picture, torch.Tensor):
        picture = picture.detach().cpu().numpy()
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"an image is a path, a PIL image or an array, not a {type(picture).__name__}")
    is_grey = picture.ndim == 2
    if picture.dtype != np.uint8 or not (is_grey or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise ValueError(
            f"an array must be uint8 [H, W, 3] RGB or [H, W] grey, not {picture.dtype} {list(picture.shape)}"
        )
    if not picture.size:
        raise ValueError("the image has no pixel")
    return Image.fromarray(np.ascontiguousarray(picture)).convert("RGB")
