"""Segments with parts as labels of PASCAL Panoptic Parts: TIFFs, and PNGs of three numbers per pixel."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn_benchmark.prediction_files.lists import kind_of
from maskrcnn_benchmark.prediction_files.map_file import read_picture
from maskrcnn_benchmark.prediction_files.maps import MapFile
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.panoptic_map import NO_OBJECT
from maskrcnn_benchmark.structures.part_codes import PartCodes
from maskrcnn_benchmark.structures.part_panoptic_map import PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.pictures import decoding, opened_picture

_REMEDY = "it is cut off or damaged, write it again"
_NONE = 255  # in the three channels of a PNG: no class, or an unknown part
_WHOLE = ("1", "L", "I", "I;16", "I;16B", "I;16L")  # Pillow's modes of one whole number per pixel


@dataclass(frozen=True)
class PartPanopticPrediction:
    """What is stored of an image.

    Attributes:
        scene: the `PartPanopticMap`, without scores and rows of objects, which files do not hold.
        codes: its numbers in files.
    """

    scene: PartPanopticMap
    codes: PartCodes

    @classmethod
    def of(cls, scene: PartPanopticMap, vocabulary: Vocabulary) -> "PartPanopticPrediction":
        """Of a map in the classes and parts of a vocabulary."""
        found = scene.segments
        bare = replace(found, objects=np.full_like(found.objects, NO_OBJECT), scores=np.ones_like(found.scores))
        return cls(replace(scene, segments=bare), PartCodes.of(vocabulary))


class PartPanopticMaps(MapFile):
    """TIFFs of 32 bits, see `PartCodes`. Of others also PNGs of 8 bits and three channels: class, object and part.

    In these PNGs 255 is no class and an unknown part, and so is the part 0 (docs of pmeletis/panoptic_parts, "Evaluate
    results").
    """

    suffix = ".tif"
    suffixes = (".tif", ".tiff", ".png")
    named, remedy = "part_panoptic", ", so choose the classes and the part set that were predicted"

    def path_of(self, folder: Path, name: str) -> Path:
        path = super().path_of(folder, name)
        return path if path.is_file() else folder / f"{name}{self.suffix}"

    def describe(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """The numbers of classes and of parts within them."""
        codes = PartCodes.of(vocabulary)
        rows: list[dict[str, Any]] = []
        if codes.problem:
            return {self.named: rows}
        for kind, (name, sid) in enumerate(zip(codes.classes.names, codes.sids.tolist())):
            rows.append({"sid": sid, "name": name})
            rows += [
                {"sid": sid, "pid": int(codes.pids[kind, label]), "name": _part_name(name, label, vocabulary)}
                for label in codes.classes.labels[kind]
            ]
        return {self.named: rows}

    def hold(self, output: Any) -> Any:
        raise NotImplementedError("the task makes what is held, with the numbers of its classes")

    def check(self, array: Any, size: tuple[int, int] | None) -> None:
        if not isinstance(array, PartPanopticPrediction):
            raise ValueError(f"is {kind_of(array)}, but its map is a PartPanopticPrediction")
        if size is not None and array.scene.size != tuple(size):
            raise ValueError(f"has {array.scene.size} pixels (width, height), but the image {tuple(size)}")
        if array.codes.problem:
            raise ValueError(f"cannot be written: {array.codes.problem}; choose other classes or parts")
        array.codes.encode(array.scene)

    def encode(self, array: Any) -> bytes:
        return encode_codes(array.codes.encode(array.scene))

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> Any:
        codes = PartCodes.of(vocabulary)
        if codes.problem:
            raise UserError(f"{path} cannot be read: {codes.problem}; choose other classes or parts")
        return PartPanopticPrediction(read_scene(path, size, codes), codes)

    def decode(self, held: PartPanopticPrediction, size: tuple[int, int], vocabulary: Vocabulary) -> Computed[Any]:
        """The `Computed` `PartPanopticMap`."""
        return Computed(lambda: held.scene, size)


def encode_codes(codes: np.ndarray) -> bytes:
    """Labels int32 [H, W] as the bytes of a TIFF of 32 bits."""
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    return buffer.getvalue()


def read_scene(path: Path, size: tuple[int, int], codes: PartCodes, annotated: bool = False) -> PartPanopticMap:
    """The map in a file.

    Args:
        path: of a TIFF of one channel of whole numbers, or of a PNG of three.
        size: (width, height) that it must have.
        codes: what the numbers mean.
        annotated: whether it is of annotations, see `PartCodes.decode`.

    Raises `UserError` for anything else.
    """
    numbers = _of_channels(path, size) if path.suffix == ".png" else read_codes(path, size)
    try:
        return codes.decode(numbers, annotated)
    except ValueError as error:
        raise UserError(f"{path} {error}") from None


def read_codes(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """The numbers of a TIFF: int32 [H, W]; of a size (width, height), where that is known. Raises `UserError`."""
    with opened_picture(path, path, ("TIFF",), _REMEDY) as image:
        if size is not None and image.size != tuple(size):
            there, wanted = (f"{width}x{height}" for width, height in (image.size, size))
            raise UserError(f"{path} is {there} pixels, but its image is {wanted}; resize the map")
        if image.mode not in _WHOLE:
            raise UserError(
                f"{path} holds no whole numbers, one per pixel ({image.mode}); save it as a TIFF of 32 bits"
            )
        with decoding(path, _REMEDY):
            return np.asarray(image).astype(np.int32)


def _of_channels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """int32 [H, W], the labels that the three channels of a PNG stand for."""
    sids, iids, pids = read_picture(path, size, np.dtype(np.uint8), 3, "maps of class, object and part").astype(
        np.int32
    )
    wrong = (sids > 99) & (sids != _NONE) | (pids > 99) & (pids != _NONE)
    if wrong.any():
        sid, pid = int(sids[wrong][0]), int(pids[wrong][0])
        raise UserError(f"{path} holds the class {sid} and the part {pid}; numbers are 1 to 99, or 255 for unknown")
    numbers = sids * 1000 + iids
    numbers = np.where((pids > 0) & (pids != _NONE), numbers * 100 + pids, numbers)
    return np.where((sids == 0) | (sids == _NONE), 0, numbers)


def _part_name(name: str, label: int, vocabulary: Vocabulary) -> str:
    own = vocabulary.parts.labels[label - 1]
    return own if own.startswith(f"{name}/") else f"{name}/{own}"
