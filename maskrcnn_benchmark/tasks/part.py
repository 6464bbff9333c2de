"""Part segmentation: a part label for every pixel of the objects that have parts."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CLASSES_AND_BACKGROUND, NAME, REGION_HEADS, WIDTHS, region_pooling
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Choice, Integer, Range


class DetailPartReader(LabelReader):
    """Part labels of PASCAL in Detail's objects."""

    needs = ("instance",)  # an object whose parts nobody drew is told from the background by its mask

    def read(self, image: DetailImage) -> PartMask | None:
        return image.parts

    def has(self, image: DetailImage) -> bool:
        return image.has_parts
from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_tables import EMPTY, escaped, parts_table
from maskrcnn_benchmark.visualization.palette import part_colours


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
                'Parts are answered per region ("roi") or once for the whole image on the dense trunk ("fpn")',
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        parts = len(vocabulary.parts.labels) if vocabulary.parts else 0
        what = f"{parts} part labels and background" if parts else "parts"
        return [ClassCount("MODEL.ROI_PART_HEAD.NUM_CLASSES", parts and parts + 1, what)]

    def region_options(self, cfg: CfgNode) -> CfgNode | None:
        return cfg.MODEL.ROI_PART_HEAD if cfg.MODEL.PART_HEAD == "roi" else None

    def dense_features(self, cfg: CfgNode) -> set[str]:
        return {"dense"} if cfg.MODEL.PART_HEAD == "fpn" else set()

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.ROI_PART_HEAD.NUM_CLASSES": Integer(1, 255)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = "parts"
    label_readers = {"detail": DetailPartReader}

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

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


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
        moves = {(mine, theirs.get(part)) for part, mine in own[thing].items()}
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


PART = register_task(Part())
