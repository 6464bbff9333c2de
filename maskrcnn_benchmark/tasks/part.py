"""Part segmentation: a part label for every pixel of the objects that have parts."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import (
    CLASSES_AND_BACKGROUND,
    FLAG,
    NAME,
    REGION_HEADS,
    TESTING,
    WIDTHS,
    norm_option,
    region_pooling,
)
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.data.pascal_context_mtl import PascalContextMTLImage
from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.parts.part import INSTANCE_THRESHOLD, SCORE_THRESHOLD, PartEvaluator, owns_parts
from maskrcnn_benchmark.evaluation.parts.runs import PartRuns, paste_part_runs
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.layers.mask_paste import paste_parts
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE, DenseFeatures
from maskrcnn_benchmark.modeling.fpn_heads.semantic import PixelClassifier
from maskrcnn_benchmark.modeling.roi_heads.part_head.part_head import ROIPartHead, build_roi_part_head
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections, rows_with_labels
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
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap, logits_of
from maskrcnn_benchmark.structures.objects import best_first
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.run_length import RunLengths, row_major
from maskrcnn_benchmark.structures.segment_limits import SegmentLimits
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import SCENE, scene_problem
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Choice, Integer, Range
from maskrcnn_benchmark.visualization.canvas import ENTRIES_SHOWN, Canvas, enlarge_labels
from maskrcnn_benchmark.visualization.dataset_tables import EMPTY, escaped, parts_table
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.maps import FILL
from maskrcnn_benchmark.visualization.objects import canvas_regions, shown_objects
from maskrcnn_benchmark.visualization.palette import part_colours


class DetailPartReader(LabelReader):
    """Part labels of PASCAL in Detail's objects."""

    needs = ("instance",)  # an object whose parts are not annotated is told from the background by its mask

    def read(self, image: DetailImage) -> PartMask | None:
        return image.parts

    def has(self, image: DetailImage) -> bool:
        return image.has_parts


class PascalContextMTLPartReader(LabelReader):
    """PASCAL-Part's parts of persons; an image on which no person has one is not annotated, as in the protocol."""

    def read(self, image: PascalContextMTLImage) -> PartMask | None:
        return image.part_masks

    def has(self, image: PascalContextMTLImage) -> bool:
        return image.has_parts


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

    has_size = True

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
        by_label: list[dict[int, list[dict]]] = [{} for _ in rows]
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
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return self.requires if cfg.MODEL.PART_HEAD == "roi" else ()

    def chosen_by(self, cfg: CfgNode) -> str:
        return f'MODEL.PART_ON with MODEL.PART_HEAD "{cfg.MODEL.PART_HEAD}"'

    def options(self) -> list[Option]:
        return section(
            REGION_HEADS,
            Option(
                "MODEL.ROI_PART_HEAD.FEATURE_EXTRACTOR",
                "PartRCNNFeatureExtractor",
                NAME,
                "Part segmentation per region: a name in modeling.registry.ROI_PART_FEATURE_EXTRACTORS",
            ),
            Option(
                "MODEL.ROI_PART_HEAD.PREDICTOR",
                "PartRCNNPredictor",
                NAME,
                "A name in modeling.registry.ROI_PART_PREDICTOR",
            ),
            region_pooling("ROI_PART_HEAD", sampling_ratio=2),
            Option("MODEL.ROI_PART_HEAD.CONV_LAYERS", (256, 256, 256, 256), WIDTHS, "Channels of each convolution"),
            norm_option("ROI_PART_HEAD"),
            Option(
                "MODEL.ROI_PART_HEAD.RESOLUTION",
                56,
                Integer(1, 512),
                "Side of the predicted part map: twice or four times POOLER_RESOLUTION",
            ),
            Option(
                "MODEL.ROI_PART_HEAD.NUM_CLASSES",
                7,
                CLASSES_AND_BACKGROUND,
                "Part labels and background. Taken from the data set unless set",
            ),
            Option(
                "MODEL.ROI_PART_HEAD.MAX_ROIS_PER_IMAGE",
                16,
                Integer(0, 2**16),
                "Regions trained per image at most (Parsing R-CNN: 16); 0 trains every positive region with part "
                "labels",
            ),
            Option(
                "MODEL.PART_HEAD",
                "roi",
                Choice("roi", "fpn"),
                'Parts are predicted per region ("roi") or once for the whole image on the dense features ("fpn")',
            ),
        ) + section(
            TESTING,
            Option(
                "TEST.JOINT.PARTS",
                False,
                FLAG,
                "Parts: those of an object end with its panoptic segment, and objects that panoptic segmentation left "
                "out have none",
            ),
        )

    def check(self, cfg: CfgNode) -> Iterator[str]:
        """Segments to go by."""
        if cfg.TEST.JOINT.PARTS:
            yield from scene_problem("TEST.JOINT.PARTS", cfg)

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        parts = len(vocabulary.parts.labels) if vocabulary.parts else 0
        what = f"{parts} part labels and background" if parts else "parts"
        return [ClassCount("MODEL.ROI_PART_HEAD.NUM_CLASSES", parts and parts + 1, what)]

    def region_options(self, cfg: CfgNode) -> CfgNode | None:
        return cfg.MODEL.ROI_PART_HEAD if cfg.MODEL.PART_HEAD == "roi" else None

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.ROI_PART_HEAD.NUM_CLASSES": Integer(1, 255)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = "parts"
    label_readers = {"detail": DetailPartReader, "pascal_context_mtl": PascalContextMTLPartReader}
    can_be_pasted = True

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return super().is_annotated(annotations) and bool(annotations.instances.get_field("parts").annotated.any())

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.parts)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        return {**super().names(vocabulary), "parts": vocabulary.parts and vocabulary.parts.labels}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[BoxList], BoxList] | None:
        """Parts cannot be ignored: those of a class stay annotated where the source tells all of the target's parts of
        it apart and has no other.
        """
        labels, has_parts = _match_parts(source, target)
        return partial(_rename_parts, labels, has_parts, target.parts) if has_parts.any() else None

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """Of each part label [P] the objects on which it is seen and its pixels; of each thing [K] the objects whose
        parts are annotated. All int64.
        """
        labels = annotations.instances.get_field("labels").numpy()
        parts, number = annotations.instances.get_field("parts"), len(vocabulary.parts)
        annotated = parts.annotated.numpy()
        maps = parts.labels.numpy().reshape(len(labels), -1)
        place = np.flatnonzero(maps)
        cells = (place // max(maps.shape[1], 1)) * (number + 1) + maps.reshape(-1)[place]
        table = np.bincount(cells, minlength=len(labels) * (number + 1)).reshape(len(labels), number + 1)
        table = table[annotated, 1:]
        owners = np.bincount(labels[annotated] - 1, minlength=len(vocabulary.thing_names))
        return {"objects": (table > 0).sum(0), "pixels": table.sum(0), "owners": owners}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        number = int(count["owners"].sum())
        return [("parts", f"{count['objects'].sum()} on {number} object{'s' * (number != 1)}")]

    def tiles(self, counts: DatasetCounts) -> list[tuple[str, int]]:
        return [("parts on objects", int(sum(objects.sum() for objects in counts.each(self.key, "objects"))))]

    def cards(self, counts: DatasetCounts) -> list[str]:
        return []

    def sections(self, counts: DatasetCounts) -> list[tuple[str, str]]:
        """Each part label: on how many objects of the things that have it, and how large it is there."""
        vocabulary = counts.vocabulary
        owners = counts.total(self.key, "owners", len(vocabulary.thing_names))
        if not owners.sum():
            return [("Parts", EMPTY)]
        names = [label.rsplit("/", 1)[-1].replace("_", " ") for label in vocabulary.parts.labels]
        of_thing = dict(zip(vocabulary.thing_names, owners.tolist()))
        annotated = [sum(of_thing.get(thing, 0) for thing in things) for things in vocabulary.parts.owners]
        objects, pixels = (counts.total(self.key, name, len(names)) for name in ("objects", "pixels"))
        rows = list(zip(names, vocabulary.parts.owners, objects.tolist(), annotated, pixels.tolist()))
        numbers = [f"{n:,} {escaped(thing)}" for thing, n in sorted(of_thing.items(), key=lambda i: -i[1]) if n]
        lead = f"Label set “{escaped(vocabulary.parts.name)}”. Objects whose parts are annotated: {', '.join(numbers)}."
        return [("Parts", parts_table(rows, part_colours(vocabulary).tolist()[1:], lead))]

    # Network ----------------------------------------------------------------------------------------------------------

    # Of its head for the whole image
    head_after = "semantic"

    def reads(self, cfg: CfgNode) -> str:
        """Feature maps, or the dense features."""
        return "maps" if cfg.MODEL.PART_HEAD == "roi" else "dense"

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "part" if cfg.MODEL.PART_HEAD == "roi" else "part_map"

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> nn.Module:
        """A small map of parts per region, or one map for the whole image."""
        if cfg.MODEL.PART_HEAD == "roi":
            return build_roi_part_head(cfg, in_channels, owners_of_parts(vocabulary))
        stride, count = cfg.MODEL.DENSE_TRUNK.LOSS_STRIDE, cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES
        return PixelClassifier(in_channels, count, "loss_part", part_labels, stride)

    def refiner(
        self, cfg: CfgNode | None
    ) -> Callable[[Mapping[str, Any], Vocabulary | None], Mapping[str, Any]] | None:
        """Limited to segments by TEST.JOINT.PARTS."""
        if cfg is None or not cfg.TEST.JOINT.PARTS:
            return None
        return partial(_limit_to_segments, cfg.TEST.PANOPTIC.SCORE_THRESH)

    # Test-time augmentation -------------------------------------------------------------------------------------------

    def mirror_back(self, output: torch.Tensor, vocabulary: Vocabulary | None) -> torch.Tensor:
        """Parts of the left and the right side change places, too."""
        if vocabulary is None:
            raise UserError(
                "TEST.DENSE_AUG.H_FLIP mirrors parts, whose left and right names are not known here; set it to False"
            )
        return output.flip(-1)[list(vocabulary.parts.flip_indices)]

    def to_mean(self, output: torch.Tensor) -> torch.Tensor:
        """Probabilities."""
        return output.softmax(dim=0)

    def of_mean(self, mean: torch.Tensor) -> torch.Tensor:
        return logits_of(mean)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return PartEvaluator(self, vocabulary, protocols.class_mean)

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
        runs = part_runs(chosen, chosen.region_corners(), prediction.size)
        scores, labels = chosen.get_field("scores").tolist(), chosen.get_field("labels").tolist()
        rows: dict[int, dict[str, Any]] = {}
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
        objects: Any = held.get("parts")
        return PartPrediction(held["part"] if "part" in held else paint_parts(objects, size), objects)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 20
    backdrop = {"fade": 0.25, "grey": True}
    nothing = ("no part", "no part found")

    def content(self, known: Known) -> Any:
        """The field of the objects, if any has parts, or the predicted map of the whole image."""
        if isinstance(known, ImagePrediction) and known.part_map is not None:
            return known.part_map
        objects = known.instances
        parts = objects.get_field("parts") if objects is not None and objects.has_field("parts") else None
        if parts is None or isinstance(known, ImagePrediction):
            return parts
        return parts if bool(parts.annotated.any()) else None

    def can_draw(self, known: Known, vocabulary: Vocabulary) -> bool:
        return vocabulary.parts is not None and self.content(known) is not None

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.75
    ) -> int:
        """Parts of all objects, set off from one another, with a legend; returns how many kinds of them there are."""
        labels = _part_labels(self.content(known), known, canvas, threshold)
        colours = part_colours(vocabulary)
        counts = np.bincount(labels.ravel(), minlength=len(colours))
        present = [k for k in range(1, len(colours)) if counts[k]]
        canvas.tint_labels(labels, {k: colours[k] for k in present}, strength)
        canvas.separate(labels)
        largest = sorted(sorted(present, key=lambda k: -counts[k])[:ENTRIES_SHOWN])
        names = [label.replace("_", " ") for label in vocabulary.parts.labels]
        canvas.legend([(names[k - 1], colours[k]) for k in largest], names)
        return len(present)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        return self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        if vocabulary.parts is None:
            return []
        return [("parts", list(zip(vocabulary.parts.labels, part_colours(vocabulary)[1:].tolist())))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """uint8 [H, W]: part label 1..P of each pixel, 0 none; of objects that reach the threshold."""
        if prediction.part_map is not None:
            return prediction.part_map.labels
        if self.content(prediction) is None:
            return None
        objects = best_first(prediction.instances, threshold)
        return _paste(objects, objects.region_corners(), prediction.size)

    def has_threshold(self, cfg: CfgNode) -> bool:
        return cfg.MODEL.PART_HEAD != "fpn"

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        if isinstance(head, ROIPartHead):
            shape = "float32 [objects, P + 1, R, R]"
            return {"parts": ExportedOutput(shape, "probabilities in the cells of the box; 0 is background")}
        meaning = "logits of the part labels; 0 is background"
        return {"part_map": ExportedOutput("float32 [P + 1, height, width]", meaning, stride=DENSE_STRIDE)}

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        return no_tensor_form(head, ROIPartHead, PixelClassifier)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        if prediction.part_map is not None:
            return {"part_map": prediction.part_map.resize(prediction.size).scores}
        return {"parts": prediction.instances.get_field("parts")}

    def export_tensors(
        self, head: Any, features: DenseFeatures | Sequence[torch.Tensor], regions: Detections | None
    ) -> dict[str, torch.Tensor]:
        if regions is None:
            return {"part_map": head.scores(features)[0]}
        index = rows_with_labels(regions.labels, head.part_labels)
        logits = head.predictor(head.feature_extractor(features, regions.boxes.index_select(0, index))).float()
        owned = head.post_processor.owned
        if owned is not None:
            labels = regions.labels.index_select(0, index)
            logits = logits.masked_fill(~owned[labels][:, :, None, None], -torch.inf)
        background = (torch.arange(logits.shape[1]) == 0).to(logits.dtype)[None, :, None, None]
        everywhere = background.expand(regions.labels.shape[0], *logits.shape[1:]).clone()
        return {"parts": everywhere.index_put((index,), logits.softmax(dim=1))}


def _rename_parts(label_of: torch.Tensor, has_parts: torch.Tensor, wanted: PartSet, objects: BoxList) -> BoxList:
    parts = objects.get_field("parts")
    annotated = parts.annotated & has_parts[objects.get_field("labels")]
    renamed = objects.copy_with_fields([field for field in objects.fields() if field != "parts"])
    if annotated.any():
        renamed.add_field("parts", PartMask(label_of[parts.labels.int()], annotated, parts.size, wanted))
    return renamed


def _match_parts(source: Vocabulary, target: Vocabulary) -> tuple[torch.Tensor, torch.Tensor]:
    """The target's label for each of the source's, uint8 [P + 1]; the source's things that keep parts, bool [K + 1]."""
    own, wanted = _labels_by_thing(source.parts), _labels_by_thing(target.parts)
    label_of = torch.zeros(len(source.parts or ()) + 1, dtype=torch.uint8)
    complete = torch.zeros(len(source.thing_names) + 1, dtype=torch.bool)
    places = match_names(source.thing_names, tuple(wanted), SAME_CLASS)
    for label, (thing, place) in enumerate(zip(source.thing_names, places), 1):
        if thing not in own or place is None:
            continue
        theirs = wanted[tuple(wanted)[place]]
        moves: set[tuple[int, Any]] = {(mine, theirs.get(part)) for part, mine in own[thing].items()}
        is_function = len({mine for mine, _ in moves}) == len(moves)
        free = all(label_of[mine] in (0, new) for mine, new in moves if new)
        if set(own[thing]) == set(theirs) and is_function and free:
            for mine, new in moves:
                label_of[mine] = new
            complete[label] = True
    return label_of, complete


def _labels_by_thing(parts: PartSet | None) -> dict[str, dict[str, int]]:
    """{thing: {part: label}}."""
    labels: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for label, (things, members) in enumerate(zip(parts.owners, parts.members) if parts else (), 1):
        for thing in things:
            labels[thing].update(dict.fromkeys(members, label))
    return dict(labels)


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


def owners_of_parts(vocabulary: Vocabulary | None) -> tuple[tuple[int, ...], ...] | None:
    """For each part label 1..P the labels of the classes that own it, or None where the vocabulary does not say."""
    if vocabulary is None or vocabulary.parts is None:
        return None
    label = {name: index for index, name in enumerate(vocabulary.thing_names, 1)}
    return tuple(tuple(label[name] for name in names if name in label) for names in vocabulary.parts.owners)


def part_labels(annotations: ImageAnnotations) -> torch.Tensor | None:
    """One part map of the whole image, uint8 [H, W], 0 background; None where no instance has parts.

    Pixels of instances whose parts are not annotated are ignored.
    """
    instances = annotations.instances
    if instances is None or not instances.has_field("parts"):
        return None
    parts = instances.get_field("parts")
    if not bool(parts.annotated.any()):
        return None
    flat = parts.labels.amax(dim=0)  # instance masks do not overlap, so at most one map speaks at a pixel
    if instances.has_field("masks") and not bool(parts.annotated.all()):
        masks = instances.get_field("masks").get_mask_tensor().reshape(len(instances), *flat.shape)
        flat = torch.where(masks[~parts.annotated].amax(dim=0).bool(), torch.full_like(flat, IGNORE_INDEX), flat)
    return flat


def _part_labels(content: Any, known: Known, canvas: Canvas, threshold: float) -> np.ndarray:
    """Part labels of all objects at canvas size: integers [h, w]."""
    if not isinstance(known, ImagePrediction):
        # An object's label map is 0 beyond its outline: the largest label is that of the object which holds the pixel
        return enlarge_labels(content.labels[content.annotated].amax(0).cpu().numpy(), canvas.size)
    if known.part_map is not None:
        return known.part_map.resize(canvas.size).labels.cpu().numpy()
    objects = shown_objects(known.instances, threshold)
    return _paste(objects.to("cpu"), canvas_regions(objects, canvas), canvas.size).numpy()


def part_runs(objects: BoxList, boxes: torch.Tensor, size: Sequence[int]) -> PartRuns:
    """The parts of each predicted object, as far as its segment goes where TEST.JOINT.PARTS limits them.

    Args:
        objects: with "parts".
        boxes: float [N, 4], xyxy, where their maps lie in an image of `size` (width, height).
    """
    runs = paste_part_runs(objects.get_field("parts"), boxes, size)
    return runs.within(objects.get_field("part_limits").resize(size)) if objects.has_field("part_limits") else runs


def _paste(objects: BoxList, boxes: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """uint8 [H, W]: part labels of predicted objects, the best on top, in an image of `size`; boxes as `part_runs`."""
    scores = objects.get_field("scores")
    if not objects.has_field("part_limits"):
        return paste_parts(objects.get_field("parts").float(), boxes, scores, size)
    order = scores.argsort(stable=True, descending=True).flip(0)
    return torch.from_numpy(part_runs(objects, boxes, size).label_map(order.cpu().numpy()))


def _limit_to_segments(
    least_score: float, outputs: Mapping[str, Any], vocabulary: Vocabulary | None
) -> dict[str, BoxList | ScoreMap]:
    """Objects with a field "part_limits", or a part map that is background where the segment is of another class."""
    scene, part_map, objects = outputs[SCENE], outputs.get(PART.key), outputs.get("detection")
    if part_map is not None and vocabulary is not None:
        return {PART.key: ScoreMap.computed(lambda: _limited_scores(part_map, scene.value, vocabulary), scene.size)}
    if objects is None or not objects.has_field("parts"):
        return {}
    limited = objects.copy_with_fields(objects.fields())
    limits = SegmentLimits.of(scene.value, objects.get_field("scores") >= least_score)
    limited.add_field("part_limits", limits)
    return {"detection": limited}


def _limited_scores(part_map: ScoreMap, segments: PanopticMap, vocabulary: Vocabulary) -> torch.Tensor:
    """Logits [P + 1, H, W]; of background alone where the best is a part of another class than the segment's."""
    scores, names = part_map.resize(segments.size).scores, PanopticClasses.of(vocabulary).names
    owners = [(), *vocabulary.parts.owners]
    owned = np.zeros((len(segments) + 1, len(owners)), bool)
    owned[:, 0] = True
    for row, kind in zip(owned[1:], segments.classes.tolist()):
        row[1:] = [names[kind] in things for things in owners[1:]]
    refused = torch.from_numpy(~owned[segments.ids, scores.argmax(dim=0).cpu().numpy()]).to(scores.device)
    limited = scores.clone()
    limited[1:].masked_fill_(refused, -torch.inf)
    return limited


PART = register_task(Part())
