"""Part segmentation: a part label for every pixel of the objects that have parts."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


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

    label_field = "parts"

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
