"""Lists of predictions: how rows are made of what is stored, and what an entry of a file must be."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.prediction_files.as_prediction import bitmaps, decode_objects
from maskrcnn_benchmark.prediction_files.layout import FileNames, PredictionFile
from maskrcnn_benchmark.prediction_files.row_file import RowFile, shown
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.text import an

_LARGEST = 1e9  # beyond any coordinate and any score; also leaves out nan and infinity
Rows = Sequence[tuple[int, dict]]  # entries of a file, each with its number


class PredictionList:
    """One list on the images of a data set, checked when it is opened and read image by image.

    Args:
        kind: what the list holds.
        path: the file, see `RowFile`.
        names: what files call the images and classes of the data set.
        all_classes: whether entries may be of classes without instances, see `FileNames.labels_of_others`.

    Raises:
        UserError: for the first entry that is not as it must be. Run lengths are only decoded with their image.
    """

    def __init__(self, kind: "ListFile", path: str | os.PathLike, names: FileNames, all_classes: bool = False) -> None:
        self.names = names
        self.labels = {**names.labels_beside(path), **(names.labels_of_others if all_classes else {})}
        self._kind = kind
        self._indices, self._seen = names.indices, set[int]()
        self.file = RowFile(path, self._check, kind.section)

    def read(self, index: int) -> Any:
        """What the list holds of the image at an index."""
        return self._kind.read(self.file.rows(index), index, self)

    def label(self, row: Mapping) -> int:
        """The label of an entry's category id."""
        key = known_key(member(row, "category_id"), self.labels)
        if key is None:
            shape = of_other_type(row["category_id"], self.labels)
            raise ValueError(
                f"has the category_id {shown(row['category_id'])}, "
                + (shape or f"which is none of the {len(self.labels)} with objects")
            )
        return self.labels[key]

    def thing(self, row: Mapping) -> str:
        """The name of an entry's class."""
        label, things = self.label(row), self.names.vocabulary.thing_names
        if label > len(things):
            raise ValueError(f"has the category_id {shown(row['category_id'])}, which has no instances")
        return things[label - 1]

    def codes(self, index: int, codes: Sequence[Mapping], entries: Sequence[int], what: str = "") -> tuple:
        """Run lengths that were checked, with their counts as bytes, after each was decoded to see that it is whole.

        Args:
            index: of the image.
            codes: N run lengths.
            entries: number of the entry of each.
            what: which of an entry's run lengths they are, for an error.

        Returns:
            (areas int64 [N], list of N run lengths). Raises `UserError` for one that does not fill its image.
        """
        size = self.names.sizes[index]
        lengths = RunLengths(codes, size, lambda i: f"{self.file.path}: entry {entries[i]}{what}")
        return lengths.areas, [_compressed(code, size) for code in codes]

    def _check(self, row):
        key = known_key(member(row, "image_id"), self._indices)
        if key is None:
            shape = of_other_type(row["image_id"], self._indices)
            raise ValueError(
                f"has the image_id {shown(row['image_id'])}, " + (shape or "which no image of the data set has")
            )
        index = self._indices[key]
        if self._kind.is_one_per_image:
            if index in self._seen:
                raise ValueError(f"predicts image {key!r} a second time; keep one")
            self._seen.add(index)
        self._kind.check(row, index, self)
        return index


class ListFile(PredictionFile):
    """A JSON list of predictions. A subclass says what its rows are.

    Args:
        key, name, more: as `PredictionFile` takes them; the name is that of the file, by default KEY.json.
        is_wrapped: whether the list is written under "pred" in an object, as PASCAL in Detail's own programs want it.
        wrapped_too: a further file with the same rows under "pred", which is written for a data set in PASCAL in
            Detail's layout and read where the first is not there.

    Attributes:
        is_one_per_image: whether every image that is annotated for the task has exactly one row.
        section: what the list is called in a file that is an object.
    """

    metavar = "FILE"
    is_one_per_image = False
    section = "pred"

    def __init__(
        self, key: str, name: str = "", *, is_wrapped: bool = False, wrapped_too: str = "", **more: Any
    ) -> None:
        super().__init__(key, name or f"{key}.json", **more)
        self.is_wrapped = is_wrapped
        self.wrapped_too = wrapped_too

    def open(self, path: str | os.PathLike, names: FileNames, all_classes: bool = False) -> PredictionList:
        """The list of a file, see `PredictionList`."""
        return PredictionList(self, path, names, all_classes)

    def around(self, names: FileNames, images: Sequence[Mapping]) -> tuple[str, str]:
        """What stands before and after the rows of a file.

        Args:
            names: what files call the classes of the data set.
            images: {"id", "file_name", "width", "height"} of each image that has a row, as far as they are known.
        """
        return ('{"pred": [', "]}") if self.is_wrapped else ("[", "]")

    def hold(self, output: Any) -> Any:
        """A network's output as it is held; `decode` is the way back."""
        raise NotImplementedError

    def rows(self, image: int | str, held: Any, names: FileNames) -> list[dict]:
        """The rows of an image, plain values. Raises `ValueError` for what a row cannot hold."""
        raise NotImplementedError

    def check(self, row: Mapping, index: int, opened: PredictionList) -> None:
        """Raise `ValueError` if an entry on the image at an index is not as it must be."""
        raise NotImplementedError

    def read(self, rows: Rows, index: int, opened: PredictionList) -> Any:
        """What `rows` was given, of entries that were checked."""
        raise NotImplementedError

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> Any:
        """What is held as the output of a network, to be drawn."""
        raise NotImplementedError


class Form:
    """What a field of a row holds, in lists of objects; `has_size` as in `PredictionFile`."""

    has_size = False

    def plain(self, value: Any, field: str, names: FileNames) -> Any:
        """The value that JSON holds. Raises `ValueError` for what it cannot hold without loss."""
        return value

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        """Raise `ValueError` if the field of an entry is not as it must be."""
        raise NotImplementedError

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        """For each entry what it adds to the stored row of its object."""
        return [{field: row[field]} for _, row in rows]

    def decode(self, values: Sequence, size: tuple[int, int]) -> Any:
        """The values of N objects as a field of a `BoxList`."""
        raise NotImplementedError


class Box(Form):
    """[x, y, width, height], from which the objects' areas follow as in pycocotools; of a row without, its mask's."""

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        if field not in row and "segmentation" in row:
            return check_code(row["segmentation"], opened.names.sizes[index], "segmentation")
        box = member(row, field)
        if not are_numbers(box, 4) or box[2] < 0 or box[3] < 0:
            raise ValueError(
                f"has the {field} {shown(box)}; it must be [x, y, width, height], finite, neither side negative"
            )

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        numbers = [number for number, row in rows if field not in row]
        areas, codes = opened.codes(index, [row["segmentation"] for _, row in rows if field not in row], numbers)
        of_masks = zip(coco_mask.toBbox(codes).tolist() if codes else [], areas.tolist())
        found = []
        for _, row in rows:
            box, area = next(of_masks) if field not in row else ([float(value) for value in row[field]], None)
            found.append({field: box, "area": box[2] * box[3] if area is None else area, "iscrowd": 0})
        return found


class Plain(Form):
    """A number, a list of numbers, or run lengths of the image's size, {"size": [h, w], "counts"}.

    Args:
        length: how many numbers a list has; None for any, and for the other two.
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def plain(self, value: Any, field: str, names: FileNames) -> Any:
        if _is_code(value):
            return plain_code(value)
        self._check(value, field)
        return value

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        value = member(row, field)
        if isinstance(value, dict) and self.length is None:
            check_code(value, opened.names.sizes[index], field)
        else:
            self._check(value, field)

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        values = [row[field] for _, row in rows]
        masks = [place for place, value in enumerate(values) if isinstance(value, dict)]
        numbers = [rows[place][0] for place in masks]
        _, codes = opened.codes(index, [values[place] for place in masks], numbers, f", its {field}")
        for place, code in zip(masks, codes):
            values[place] = code
        return [{field: value} for value in values]

    def decode(self, values: Sequence, size: tuple[int, int]) -> torch.Tensor:
        """float [N] or [N, length], uint8 [N, 1, H, W] of run lengths; all N have to be of one form."""
        return bitmaps(values, size) if values and _is_code(values[0]) else torch.tensor(values, dtype=torch.float32)

    def _check(self, value, field):
        if self.length is not None:
            if not are_numbers(value, self.length):
                raise ValueError(f"has the {field} {shown(value)}; it must be a list of {self.length} finite numbers")
        elif not is_number(value) and not (isinstance(value, list) and all(map(is_number, value))):
            raise ValueError(
                f"has the {field} {shown(value)}; it must be a finite number, a list of them, or run lengths"
            )


class ObjectFile(ListFile):
    """Predictions per object: [{"image_id", "category_id", "score", and what `fields` says}].

    Stored and held are a list of {"category_id": label 1..K, "score": float, and the fields}.

    Args:
        fields: {name of a field: its form}; by default a box, and a value under the key, in any form of `Plain`.
    """

    def __init__(self, key: str, name: str = "", *, fields: Mapping[str, Form] | None = None, **more: Any) -> None:
        super().__init__(key, name, **more)
        self.fields = {"bbox": Box(), key: Plain()} if fields is None else dict(fields)
        self.has_size = all(form.has_size for form in self.fields.values())

    def hold(self, output: BoxList) -> list[dict]:
        """Rows of objects that have labels and scores; fields that are no box are numbers [N] or lists of them."""
        columns = {"category_id": output.get_field("labels"), "score": output.get_field("scores")}
        for field, form in self.fields.items():
            columns[field] = output.convert("xywh").bbox if isinstance(form, Box) else output.get_field(field)
        return [dict(zip(columns, row)) for row in zip(*(column.cpu().tolist() for column in columns.values()))]

    def rows(self, image: int | str, held: Any, names: FileNames) -> list[dict]:
        return [self._row(image, row, names) for row in held]

    def check(self, row: Mapping, index: int, opened: PredictionList) -> None:
        opened.label(row)
        if not is_number(member(row, "score")):
            raise ValueError(f"has the score {shown(row['score'])}; it must be a finite number")
        for field, form in self.fields.items():
            form.check(row, field, index, opened)

    def read(self, rows: Rows, index: int, opened: PredictionList) -> list[dict]:
        objects = [{"category_id": opened.label(row), "score": float(row["score"])} for _, row in rows]
        for field, form in self.fields.items():
            for found, more in zip(objects, form.read(rows, field, index, opened)):
                found.update(more)
        return objects

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> BoxList:
        """The objects with the fields that are no box, see `as_prediction.decode_objects`."""
        fields = {name: form for name, form in self.fields.items() if not isinstance(form, Box)}

        def maker(name: str) -> Callable[..., Any]:
            return lambda rows, size: fields[name].decode([row[name] for row in rows], size)

        return decode_objects(held, size, **{name: maker(name) for name in fields})

    def _row(self, image, row, names):
        label = row["category_id"]
        fields = {field: form.plain(row[field], field, names) for field, form in self.fields.items()}
        # a network may know classes that the data set does not name
        category = names.category_ids.get(label, label)
        return {"image_id": image, "category_id": category, "score": row["score"], **fields}


class VectorFile(ListFile):
    """A vector per image: [{"image_id", and the numbers under `field`}], one entry an image.

    Stored and held are an array [L].

    Args:
        field: by default the key.
        dtype: of the array: "float64", "float32" or "int64".
        length: L; None for any.
    """

    is_one_per_image = True

    def __init__(
        self,
        key: str,
        name: str = "",
        *,
        field: str = "",
        dtype: str = "float64",
        length: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(key, name, **more)
        self.field = field or key
        self.dtype = np.dtype(dtype)
        self._length = length

    def length(self, vocabulary: Vocabulary) -> int | None:
        """How many numbers there are where a data set has these names; None for any."""
        return self._length

    def hold(self, output: torch.Tensor) -> np.ndarray:
        return output.cpu().numpy().astype(self.dtype)

    def rows(self, image: int | str, held: Any, names: FileNames) -> list[dict]:
        if not isinstance(held, np.ndarray) or held.dtype != self.dtype or held.ndim != 1:
            raise ValueError(f"is {kind_of(held)}, but its list holds {self.dtype} [L]")
        row = {"image_id": image, self.field: held.tolist()}
        self._check(row, names.vocabulary)
        return [row]

    def check(self, row: Mapping, index: int, opened: PredictionList) -> None:
        self._check(row, opened.names.vocabulary)

    def read(self, rows: Rows, index: int, opened: PredictionList) -> np.ndarray | None:
        """None for an image without an entry, which is one that is not annotated for the task."""
        return np.array(rows[0][1][self.field], self.dtype) if rows else None

    def decode(self, held: Any, size: tuple[int, int], vocabulary: Vocabulary) -> torch.Tensor:
        """float [L]."""
        return torch.as_tensor(np.asarray(held, np.float32))

    def _check(self, row, vocabulary):
        values, wanted = member(row, self.field), self.length(vocabulary)
        fits = isinstance(values, list) and are_numbers(values, len(values) if wanted is None else wanted)
        if not fits:
            count = f"{len(values)} of them" if isinstance(values, list) else shown(values)
            raise ValueError(f"must have {wanted or 'any'} finite numbers as {self.field}, not {count}")
        if self.dtype.kind == "i" and not all(type(value) is int for value in values):
            raise ValueError(f"must have whole numbers as {self.field}, not {shown(values)}")


def member(row: Mapping, key: str) -> Any:
    """What an entry has under a key. Raises `ValueError` where it has none."""
    if key not in row:
        raise ValueError(f"has no {key!r}")
    return row[key]


def known_key(value: Any, known: Mapping) -> int | str | None:
    """The id that an entry means, 7 also for 7.0; None for one that is not known."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) in (int, str) and value in known else None


def of_other_type(value: Any, known: Mapping) -> str:
    """In the words of an error, that an id is known as a number where it is text, or the reverse; else ""."""
    if type(value) is str and value.strip().removeprefix("-").isdecimal() and int(value) in known:
        return f"which is text, but the data set's are numbers; write {int(value)} without quotation marks"
    if type(value) is int and str(value) in known:
        return f'which is a number, but the data set\'s are text; write "{value}"'
    return ""


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of JSON of a sensible size."""
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def are_numbers(values: Any, count: int) -> bool:
    """Whether a value is a list of so many finite numbers."""
    return isinstance(values, list) and len(values) == count and all(map(is_number, values))


def plain_code(code: Mapping) -> dict:
    """A run-length code with its counts as text, which JSON can hold."""
    counts = code["counts"]
    return {"size": list(code["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}


def check_code(code: Any, size: tuple[int, int], what: str) -> None:
    """Raise `ValueError` for what cannot be a run-length code of an image of `size` (width, height)."""
    if not _is_code(code):
        raise ValueError(f'has the {what} {shown(code)}; it must be run lengths, {{"size": [h, w], "counts": ...}}')
    shape, counts = code["size"], code["counts"]
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int] or shape != [size[1], size[0]]:
        raise ValueError(f"has a {what} of the size {shown(shape)}, but its image is {[size[1], size[0]]} (h, w)")
    pixels = size[0] * size[1]
    runs = isinstance(counts, list) and all(type(run) is int and 0 <= run <= pixels for run in counts)
    if not runs and not (isinstance(counts, str) and counts.isascii()):
        raise ValueError(f"has a {what} with the counts {shown(counts)}; they must be COCO's text or a list of lengths")


def kind_of(held: Any) -> str:
    """What a value is, in the words of an error: "float32 [3, 4, 6]"."""
    return f"{held.dtype} {list(held.shape)}" if isinstance(held, np.ndarray) else an(type(held).__name__)


def _is_code(value):
    return isinstance(value, dict) and "size" in value and "counts" in value


def _compressed(code, size):
    """A run-length code that was checked, with its counts as bytes."""
    counts = code["counts"]
    if isinstance(counts, list):
        return coco_mask.frPyObjects({"size": [size[1], size[0]], "counts": counts}, size[1], size[0])
    return {"size": [size[1], size[0]], "counts": counts.encode()}
