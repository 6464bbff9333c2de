"""Maps of predictions, one picture or array per image: how each kind is written, checked and read back without loss."""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.prediction_files.as_prediction import LabelMap
from maskrcnn_benchmark.prediction_files.encodings import decode_strength, encode_strength
from maskrcnn_benchmark.prediction_files.layout import PredictionFile
from maskrcnn_benchmark.prediction_files.lists import kind_of
from maskrcnn_benchmark.prediction_files.map_file import (
    encode_array,
    encode_map,
    read_labels,
    read_picture,
    read_strength,
    voc_palette,
)
from maskrcnn_benchmark.structures.image_prediction import ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.array_file import read_array
from maskrcnn_benchmark.utils.errors import UserError

_PALETTE = voc_palette()
_FIRST_THRESHOLD = 255 / 100  # of the 99 of published scores
_ROUNDING = 1e-3  # by which a share may pass 0 or 1: half a step of 8 bits, and float16


class MapFile(PredictionFile):
    """A folder with a map for each image. A subclass says what a map is.

    Stored and held are an array; where maps lie beside, a tuple of the map and those beside it.

    Args:
        key, name, more: as `PredictionFile` takes them; the name is that of the folder.
        beside: {suffix: `MapFile`}: what lies in the folder of the same name with that suffix.

    Attributes:
        suffix: of the files that are written.
        suffixes: of those that are read, the first that is there; by default that one alone.
        named: the field of `classes.json` that names the numbers, "" for none, and what helps where it names others.
    """

    metavar = "DIR"
    has_size = True
    suffix = ".png"
    suffixes: tuple[str, ...] = ()
    named, remedy = "", ""

    def __init__(self, key: str, name: str = "", *, beside: Mapping[str, "MapFile"] | None = None, **more: Any) -> None:
        super().__init__(key, name, **more)
        self.beside = dict(beside or {})
        for file in self.beside.values():
            self.encodings.update(file.encodings)

    def path_of(self, folder: Path, name: str) -> Path:
        """The file of an image in a folder, by its name without suffix."""
        paths = [folder / f"{name}{suffix}" for suffix in self.suffixes or (self.suffix,)]
        return next((path for path in paths[:-1] if path.is_file()), paths[-1])

    def folders(self, folder: Path) -> list[tuple["MapFile", Path]]:
        """The folder of these maps and those beside it, each with what it holds."""
        return [
            (self, folder),
            *((file, folder.with_name(folder.name + suffix)) for suffix, file in self.beside.items()),
        ]

    def layers(self, held: Any) -> list[tuple["MapFile", str, np.ndarray]]:
        """What is held of an image as (file, name of its folder, array), those beside included."""
        folders = self.folders(Path(self.name))
        return [(file, path.name, array) for (file, path), array in zip(folders, held if self.beside else (held,))]

    def hold(self, output: Any) -> Any:
        """A network's output as it is held; `decode` is the way back."""
        raise NotImplementedError

    def check(self, array: Any, size: tuple[int, int] | None) -> None:
        """Raise `ValueError` for an array that its file cannot hold; a size (width, height) of None is not known."""
        check_array(array, size, np.dtype(np.uint8), 1)

    def encode(self, array: np.ndarray) -> bytes:
        """The content of the file of a map that was checked."""
        return encode_map(array)

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        """The array of a file. Raises `UserError` for what does not fit the image."""
        raise NotImplementedError

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> Any:
        """What is held as the output of a network, to be drawn."""
        raise NotImplementedError

    def doubt(self, maps: Iterable[np.ndarray]) -> str:
        """Why the numbers of arrays that were read hardly mean what they should, in words; "" for sound ones."""
        return ""


class StrengthMaps(MapFile):
    """Strengths times 255, uint8 [H, W], in grey PNGs; those of others are read with 1 to 16 bits."""

    def hold(self, output: ScoreMap) -> np.ndarray:
        """Of the first channel."""
        return encode_strength(output.scores[0].cpu().numpy())

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        return read_strength(path, size)

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> ScoreMap:
        """One channel, 0..1."""
        return ScoreMap(torch.from_numpy(decode_strength(held)[None].astype(np.float32)), size)

    def doubt(self, maps: Iterable[np.ndarray]) -> str:
        """Of maps in 0 and 1, and of inverted ones; the first sound map ends the search."""
        count, is_dark, is_full = 0, True, True
        for strength in maps:
            count += 1
            is_dark = is_dark and int(strength.max()) < _FIRST_THRESHOLD
            is_full = is_full and int(np.count_nonzero(strength > 127)) > strength.size / 2
            if not is_dark and not is_full:
                return ""
        if is_dark and count:
            return (
                f"no pixel of its {count} maps reaches the first threshold, {_FIRST_THRESHOLD:g} of 255; strengths are "
                "0 to 255, so multiply maps in 0 and 1 by 255"
            )
        if is_full and count:
            return (
                f"most pixels of each of its {count} maps are edges; 0 is no edge and 255 a sure one, so turn inverted "
                "maps around"
            )
        return ""


class LabelMaps(MapFile):
    """A number of a class per pixel, uint8 [H, W], in PNGs with PASCAL VOC's colours or in grey.

    Args:
        count: how many classes there are, for `numbers`.
        shift: what is added to a class's number in files.
    """

    def __init__(self, key: str, name: str = "", *, count: int = 256, shift: int = 0, **more: Any) -> None:
        super().__init__(key, name, **more)
        self.count = count
        self.shift = np.uint8(shift)

    def counted_from(self, first: int) -> "LabelMaps":
        """The same maps with another number for the first class."""
        made = copy.copy(self)
        made.shift = np.uint8(first)
        return made

    def numbers(self, vocabulary: Vocabulary) -> tuple[int, int, str]:
        """The least and the greatest number of a file, and what the numbers mean, for an error."""
        low, high = int(self.shift), int(self.shift) + self.count - 1
        return low, high, f"classes are {low} to {high}"

    def hold(self, output: ScoreMap | LabelMap) -> np.ndarray:
        """The label with the largest score of each pixel."""
        return output.labels.cpu().numpy()

    def encode(self, array: np.ndarray) -> bytes:
        return encode_map(array + self.shift, _PALETTE)

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        return read_labels(path, size, *self.numbers(vocabulary)) - self.shift

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> LabelMap:
        """As many channels as there are numbers."""
        low, high, _ = self.numbers(vocabulary)
        return LabelMap(torch.from_numpy(held), high - low + 1)


class ArrayMaps(MapFile):
    """Arrays that come back as they were, [H, W] of one channel or [C, H, W] of several.

    They are PNGs where these can hold them (uint8 of one or three channels, uint16 of one), else NumPy's .npy.

    Args:
        dtype: "uint8", "uint16" or "float32".
        channels: C.
        low, high: the range of values, both included; None for any.
        finite: whether nan and infinity are refused.
        what: what errors call the maps.
    """

    def __init__(
        self,
        key: str,
        name: str = "",
        *,
        dtype: str = "uint8",
        channels: int = 1,
        low: float | None = None,
        high: float | None = None,
        finite: bool = True,
        what: str = "its maps",
        **more: Any,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.uint8, np.uint16, np.float32) or channels < 1:
            raise ValueError(f"maps of {key} are uint8, uint16 or float32 of 1 or more channels, not {dtype}")
        self.channels = channels
        self.low, self.high, self.finite = low, high, finite
        self.what = what
        is_png = (self.dtype, channels) in ((np.uint8, 1), (np.uint8, 3), (np.uint16, 1))
        self.suffix = ".png" if is_png else ".npy"
        kind = f"PNG of {8 * self.dtype.itemsize} bits" if is_png else f"NumPy array, {self.dtype} [C, H, W]"
        span = "" if low is None and high is None else f", {self._span()}"
        more.setdefault("encodings", {key: f"{kind}, {channels} channel{'s' * (channels > 1)}{span}"})
        super().__init__(key, name, **more)

    def hold(self, output: Any) -> np.ndarray:
        """Floats 0..1 as shares of the greatest whole number, or as they are; one channel becomes [H, W].

        Raises `ValueError` for floats that are no shares, beyond rounding.
        """
        values = getattr(output, "scores", output).cpu().numpy()
        if self.dtype.kind == "u":
            if values.size and not (values.min() >= -_ROUNDING and values.max() <= 1 + _ROUNDING):
                raise ValueError(
                    f"{self.key}: a map of {self.dtype} holds shares 0..1, but the output has values from "
                    f'{values.min():g} to {values.max():g}; give the task files() with ArrayMaps(..., dtype="float32")'
                )
            values = np.rint(np.clip(values, 0, 1).astype(np.float64) * np.iinfo(self.dtype).max)
        values = values.astype(self.dtype)
        return values[0] if self.channels == 1 and values.ndim == 3 and len(values) == 1 else values

    def check(self, array: Any, size: tuple[int, int] | None) -> None:
        check_array(array, size, self.dtype, self.channels)
        problem = self._problem(array)
        if problem:
            raise ValueError(problem)

    def encode(self, array: np.ndarray) -> bytes:
        if self.suffix == ".npy":
            return encode_array(array)
        return encode_map(array if self.channels == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        if self.suffix == ".npy":
            array = read_array(path, _shape(size, self.channels), self.dtype)
        else:
            array = read_picture(path, size, self.dtype, self.channels, self.what)
        problem = self._problem(array)
        if problem:
            raise UserError(f"{path} {problem}")
        return array

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> ScoreMap:
        """C channels of float: whole numbers as shares of the greatest of their dtype, others as they are."""
        scale = np.iinfo(self.dtype).max if self.dtype.kind == "u" else 1
        return ScoreMap(torch.from_numpy((held / scale).astype(np.float32).reshape(-1, *held.shape[-2:])), size)

    def _span(self):
        return f"{'any' if self.low is None else self.low} to {'any' if self.high is None else self.high}"

    def _problem(self, array):
        """What is wrong with the values of an array, "" for nothing."""
        known = array
        if self.dtype.kind == "f":
            is_finite = np.isfinite(array)
            if self.finite and not is_finite.all():
                return "holds nan or infinity, which its task does not allow"
            known = array[~np.isnan(array)]
        too_low = self.low is not None and known.size and known.min() < self.low
        if too_low or (self.high is not None and known.size and known.max() > self.high):
            return f"holds the value {known.min() if too_low else known.max()}, but its range is {self._span()}"
        return ""


def _shape(size, channels):
    return (size[1], size[0]) if channels == 1 else (channels, size[1], size[0])


def check_array(array: Any, size: tuple[int, int] | None, dtype: np.dtype, channels: int) -> None:
    """Raise `ValueError` for what is no array [H, W], or [C, H, W] of several channels, of a dtype and size (W, H)."""
    shape = _shape(("W", "H") if size is None else size, channels)
    wanted = f"{dtype} [{', '.join(map(str, shape))}]"
    is_array = isinstance(array, np.ndarray) and array.dtype == dtype and array.ndim == len(shape)
    if not is_array or any(side not in ("H", "W") and side != there for side, there in zip(shape, array.shape)):
        raise ValueError(f"is {kind_of(array)}, but its map is {wanted}; see the task's `files` and `encode`")
