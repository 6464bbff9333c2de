"""Part segmentation: a part label for every pixel of the objects that have parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from yacs.config import CfgNode

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.parts.part import INSTANCE_THRESHOLD, SCORE_THRESHOLD, PartEvaluator, owns_parts
from maskrcnn_benchmark.evaluation.parts.runs import paste_part_runs
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.prediction_files.layout import FileNames, PredictionFile
from maskrcnn_benchmark.prediction_files.lists import (
    Form,
    ObjectFile,
    PredictionList,
    Rows,
    check_code,
    member,
    plain_code,
)
from maskrcnn_benchmark.prediction_files.maps import LabelMaps
from maskrcnn_benchmark.prediction_files.row_file import shown
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.run_length import RunLengths, row_major
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


@dataclass(frozen=True)
class PartPrediction:
    """Parts of one image as they are stored.

    Attributes:
        labels: uint8 [H, W], the part label 0..P of each pixel.
        instances: list of {"category_id": label of the thing, "score": float, "parts": [{"part": label 1..P,
            "segmentation": run length}]}, or None where the network does not tell instances apart.
    """

    labels: np.ndarray
    instances: list | None = None


class PartMaps(LabelMaps):
    """Part labels, 0 where there is none."""

    named, remedy = "part", ", so choose the part set that was predicted"

    def numbers(self, vocabulary: Vocabulary) -> tuple[int, int, str]:
        count = len(vocabulary.parts)
        return 0, count, f"part set {vocabulary.parts.name} has the labels 0 (none) to {count}"


class PartForm(Form):
    """The parts of an object: [{"part" or "part_id", "segmentation"}].

    "part" is a name of the data set's part set, or of the file's own parts: one that the part set puts into a group
    becomes that group, one that it leaves out is left out. Stored is [{"part": label, "segmentation"}].
    """

    def plain(self, value: Any, field: str, names: FileNames) -> Any:
        return [self._plain(part, names) for part in value]

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        parts = member(row, field)
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise ValueError(f'has the {field} {shown(parts)}; they must be a list of {{"part", "segmentation"}}')
        for part in parts:
            self._label(opened.thing(row), part, opened.names)
            check_code(member(part, "segmentation"), opened.names.sizes[index], "segmentation of a part")

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        owners, labels, codes = [], [], []
        for place, (_, row) in enumerate(rows):
            for part in row[field]:
                label = self._label(opened.thing(row), part, opened.names)
                if label:
                    owners.append(place)
                    labels.append(label)
                    codes.append(part["segmentation"])
        _, codes = opened.codes(index, codes, [rows[place][0] for place in owners], ", a part of it")
        by_label = [{} for _ in rows]
        for place, label, code in zip(owners, labels, codes):
            by_label[place].setdefault(label, []).append(code)
        return [
            {field: [{"part": label, "segmentation": _union(codes)} for label, codes in parts.items()]}
            for parts in by_label
        ]

    def _plain(self, part, names):
        parts, label = names.vocabulary.parts, part["part"] - 1
        name, members = parts.labels[label], parts.members[label]
        key = names.part_keys.get(members[0]) if len(members) == 1 else None  # a group has no number in the file
        number = {} if key is None else {"part_id": key}
        return {**number, "part": name, "segmentation": plain_code(part["segmentation"])}

    def _label(self, thing, part, names):
        """The label of a part, 0 if the part set leaves it out."""
        parts, name = names.vocabulary.parts, part.get("part")
        if name is None:
            key = member(part, "part_id")
            name = names.part_ids.get(key) if type(key) in (int, str) else None
            if name is None:
                raise ValueError(f"has the part_id {shown(key)}, which the data set's file does not list")
        elif not isinstance(name, str):
            raise ValueError(f"has the part {shown(name)}; it must be a name")
        label = names.part_labels.get((thing, name)) or parts.label_of(thing, name)
        if not label and name not in names.part_keys:
            raise ValueError(f"has the part {shown(name)}, which a {thing} of part set {parts.name} has not")
        return label


class Part(Task):
    """Parts, predicted per region or, with MODEL.PART_HEAD "fpn", once per image."""

    key = "part"
    title = "part segmentation"
    switch = "PART_ON"
    comment = "Task: parts, per detected box or once per image (MODEL.PART_HEAD)"
    losses = ("loss_part",)
    headline = "mIoU"
    parameter_prefixes = ("roi_heads.part.", "fpn_heads.heads.part_map.")
    per = "region"

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return ("detection",) if cfg.MODEL.PART_HEAD == "roi" else ()

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        instances = annotations.instances
        has_field = instances is not None and instances.has_field("parts")
        return has_field and bool(instances.get_field("parts").annotated.any())

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return PartEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> PartPrediction:
        """The part map and, of parts per region, the parts of each object."""
        if self.key in prediction.outputs:
            return PartPrediction(prediction.outputs[self.key].labels.cpu().numpy())
        instances = self.output(prediction, "detection")
        scores, labels = instances.get_field("scores"), instances.get_field("labels")
        has_parts = torch.as_tensor(owns_parts(vocabulary), device=labels.device)[labels]
        chosen = instances[(scores >= INSTANCE_THRESHOLD) & has_parts]
        if len(chosen) == 0:
            return PartPrediction(np.zeros(prediction.size[::-1], np.uint8), [])
        runs = paste_part_runs(chosen.get_field("parts"), chosen.convert("xyxy").bbox, prediction.size)
        scores, labels = chosen.get_field("scores").tolist(), chosen.get_field("labels").tolist()
        rows = {}
        for box, part, code in runs.encode():
            row = rows.setdefault(box, {"category_id": labels[box], "score": scores[box], "parts": []})
            row["parts"].append({"part": part, "segmentation": code})
        worst_first = np.argsort(-np.array(scores), kind="stable")[::-1]
        pasted = [box for box in worst_first if scores[box] >= SCORE_THRESHOLD]
        return PartPrediction(runs.label_map(np.array(pasted, np.int64)), list(rows.values()))

    def files(self) -> tuple[PredictionFile, ...]:
        names = "name of each part as in 'part', and its pixels as in 'segmentation'"
        return (
            PartMaps(
                self.key,
                text="a PNG per image: part label, 0 none",
                encodings={"part": "PNG of 8 bits: a value of 'part', 0 none"},
                is_optional=True,
            ),
            ObjectFile(
                "parts",
                option="--parts-file",
                text="parts by object, as parts.json of tools/test_net.py",
                fields={"parts": PartForm()},
                encodings={"parts": names},
                is_optional=True,
            ),
        )

    def to_files(self, stored: PartPrediction) -> dict[str, Any]:
        """The map, and the list where the network tells objects apart."""
        return {"part": stored.labels, "parts": stored.instances}

    def from_files(self, held: dict[str, Any], size: tuple[int, int]) -> PartPrediction:
        """Where there is no map, it is painted from the objects."""
        objects = held.get("parts")
        return PartPrediction(held["part"] if "part" in held else paint_parts(objects, size), objects)

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def paint_parts(objects: list[dict], size: tuple[int, int]) -> np.ndarray:
    """The part map of objects with a score of at least 0.5, the higher on top: uint8 [H, W]."""
    parts = [(o["score"], p["part"], p["segmentation"]) for o in objects for p in o["parts"]]
    parts = [part for part in parts if part[0] >= SCORE_THRESHOLD]
    canvas = np.zeros((1, *size), np.uint8)
    if parts:
        scores, labels, codes = zip(*parts)
        runs = RunLengths(codes, size, lambda i: f"part {i}")
        order = np.lexsort((-runs.areas, scores))  # of one object the large first, so that an eye stays on a head
        runs.paint(canvas, order, np.zeros(len(parts)), np.array(labels)[order])
    return row_major(canvas)[0]


def _union(codes):
    return codes[0] if len(codes) == 1 else coco_mask.merge(codes)


PART = register_task(Part())
