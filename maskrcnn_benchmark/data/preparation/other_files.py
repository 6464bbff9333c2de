"""What a JSON file is that was taken for an annotation file, by the keys that only files of its kind have."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from maskrcnn_benchmark.utils.errors import UserError

_CHUNK = 1 << 20
_LONGEST = 64 << 20  # bytes that are searched: lists of images that come before what tells are shorter
_OVERLAP = 64  # bytes, longer than a key

_INSTANCES = "take the file of instances of the same data set (instances_*.json)"
_CONVERT = "convert it to COCO's layout first"
# Beginning of the file, keys that occur in it, what it is, and the remedy. The first that fits counts
_KINDS = (
    ("{", {"annos_segmentation"}, "in PASCAL in Detail's layout", "name it with --layout detail or as DetailDataset"),
    (
        "{",
        {"segments_info"},
        "in COCO's panoptic layout",
        "name it with --layout coco_panoptic or as COCOPanopticDataset",
    ),
    ("{", {"images", "caption", "no bbox"}, "COCO's captions, which have no boxes", _INSTANCES),
    ("{", {"shapes", "imagePath"}, "a file of labelme, of one image", _CONVERT),
    ("{", {"_via_img_metadata"}, "a project of VIA, the VGG Image Annotator", _CONVERT),
    ("{", {"regions", "shape_attributes"}, "a file of VIA, the VGG Image Annotator", _CONVERT),
    ("{", {"project", "metadata", "view"}, "a project of VIA, the VGG Image Annotator", _CONVERT),
    ("{", {"classTitle"}, "a file of Supervisely, of one image", _CONVERT),
    ("{", {"videos", "categories"}, "a file of videos, as YouTube-VIS has them", _CONVERT),
    (
        "{",
        {"imgHeight", "objects"},
        "Cityscapes' polygons of one image",
        "make COCO's with tools/cityscapes_to_coco.py",
    ),
    ("[", {"image_id", "score"}, "a list of COCO's results, predictions and no annotations", "name the annotations"),
    ("[", {"image_id", "caption"}, "a list of captions", _INSTANCES),
    ("[", {"coordinates", "annotations"}, "a file of CreateML", _CONVERT),
    ("[", {"Labeled Data"}, "an export of Labelbox", _CONVERT),
    ("[", {"data", "annotations", "result"}, "an export of Label Studio", _CONVERT),
    ("[", {"box2d"}, "a file of BDD100K", _CONVERT),
    ("[", {"bbox_mode", "annotations"}, "a list of detectron2's dictionaries", _CONVERT),
    ("[", {"ann", "filename"}, "a file of MMDetection 2, its middle format", _CONVERT),
    ("{", {"metainfo", "data_list"}, "a file of MMDetection 3", _CONVERT),
    ("[", {"ref_id", "ann_id"}, "RefCOCO's list of referring expressions, which have no boxes", _INSTANCES),
    ("{", {"gtboxes", "ID"}, "CrowdHuman's odgt, a JSON object on each line", _CONVERT),
    ("[", {"image_id", "category_id"}, "a bare list of annotations", "put it beside 'images' and 'categories'"),
)
_OWN = {"detail": "annos_segmentation", "coco_panoptic": "segments_info"}  # layout -> what tells it in the table
_KEYS = sorted(set().union(*(keys for _, keys, _, _ in _KINDS)) - {"no bbox"} | {"bbox"})
_TELLING = re.compile(rb'"(%b)"\s*:' % "|".join(_KEYS).encode())
_LAYOUT = re.compile(rb'"(annos_[a-z]+|annotations)"\s*:')
_PANOPTIC = re.compile(rb'"segments_info"\s*:')


def layout_of(path: str | os.PathLike) -> str | None:
    """The layout of an annotation file by its sections: "detail", "coco", "coco_panoptic", or None for none of these.

    A list of images without annotations is COCO's if its images are not called "image_id". The first annotations tell
    whether they are panoptic.
    """
    keys = set[bytes]()
    chunks = _chunks(path)
    for _, chunk in chunks:
        found = _LAYOUT.search(chunk)
        if found and found[1] != b"annotations":
            return "detail"
        if found:
            beginning = chunk[found.end() :] + next(chunks, ("", b""))[1]
            return "coco_panoptic" if _PANOPTIC.search(beginning) else "coco"
        keys |= {key for key in (b'"images"', b'"file_name"', b'"image_id"') if key in chunk}
    return "coco" if keys == {b'"images"', b'"file_name"'} else None


def refuse_other_file(path: str | os.PathLike, layout: str) -> None:
    """Raise `UserError` that says what a file is if it is of a known kind, but not in a layout of `layout_of`."""
    start, keys = "", set[str]()
    for first, chunk in _chunks(path):
        start = start or first
        keys |= {key.decode() for key in _TELLING.findall(chunk)}
    keys |= {"no bbox"} - {f"no {key}" for key in keys}
    for opening, telling, words, remedy in _KINDS:
        if start == opening and telling <= keys and _OWN.get(layout) not in telling:
            raise UserError(f"{path} is {words}; {remedy}")
    if _has_lines(path):
        raise UserError(f"{path} is JSON Lines, an object on each line, not one JSON object; {_CONVERT}")
    if layout in _OWN and layout_of(path) == "coco":
        words = "PASCAL in Detail's" if layout == "detail" else "the panoptic one"
        raise UserError(f"{path} is in COCO's layout, not {words}; name it with --layout coco")


def _has_lines(path: str | os.PathLike) -> bool:
    """Whether the first two lines that are not empty are a JSON object each."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = (line for line in iter(lambda: file.readline(_CHUNK), "") if line.strip())
            return all(isinstance(json.loads(next(lines)), dict) for _ in range(2))
    except (OSError, ValueError, StopIteration, RuntimeError):  # RecursionError is a RuntimeError
        return False


def _chunks(path: str | os.PathLike) -> Iterator[tuple[str, bytes]]:
    """Yields (first character of the file that is no space, piece of the file), pieces with a little overlap."""
    if not Path(path).is_file():
        return
    with open(path, "rb") as file:
        chunk = file.read(_CHUNK)
        first = chunk.removeprefix(b"\xef\xbb\xbf").lstrip()[:1].decode("latin-1")
        while chunk:
            yield first, chunk
            more = file.read(_CHUNK)
            chunk = chunk[-_OVERLAP:] + more if more and file.tell() <= _LONGEST else b""
