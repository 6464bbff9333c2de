"""Human keypoints: the joints of every person."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from maskrcnn_benchmark.data.datasets.coco import SWAPPED_VISIBILITY
from maskrcnn_benchmark.data.same_names import match_joints
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, JointSet, Keypoints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.visualization.dataset_page import card, stacked_bars
from maskrcnn_benchmark.visualization.region_drawers import occluded_code

_VISIBILITY_CODES = 3  # 0 not annotated; what 1 and 2 mean is the joint set's own


class Keypoint(Task):
    """Keypoints of persons. The label is a `BoxList` of its own, since joint records are not linked to objects."""

    key = "keypoint"
    title = "human keypoints"
    switch = "KEYPOINT_ON"
    comment = "Task: human keypoints, per detected box"
    losses = ("loss_kp",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.keypoint.",)
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = None

    def has_names(self, vocabulary: Vocabulary) -> bool:
        return bool(vocabulary.joints)

    def names(self, vocabulary: Vocabulary) -> dict[str, Any]:
        joints = vocabulary.joints and vocabulary.joints.names
        return {"classes of objects": vocabulary.thing_names, "joints": joints}

    def rename(self, source: Vocabulary, target: Vocabulary) -> Callable[[BoxList], BoxList] | None:
        """Joints that the source lacks are not annotated (0, 0, 0). Codes of visibility are the target's own."""
        places = match_joints(source, target)
        if not places:
            return None
        swaps_codes = (source.joints == DETAIL_JOINTS) != (target.joints == DETAIL_JOINTS)
        return partial(_rename_joints, places, target.joints, swaps_codes)

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """The number of persons; of each joint how often it has each visibility code, int64 [J, 3]."""
        people = annotations.people
        table = np.zeros((len(vocabulary.joints), _VISIBILITY_CODES), np.int64)
        if len(people):
            codes = people.get_field("keypoints").keypoints[..., 2].numpy().astype(np.int64)
            codes = codes.clip(0, _VISIBILITY_CODES - 1)
            table = np.stack([(codes == code).sum(0) for code in range(_VISIBILITY_CODES)], axis=1)
        return {"people": len(people), "joints": table}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        number, joints = count["people"], count["joints"]
        if not number:
            return [("joints", "nobody is there")]
        people = f"{number} {'person' if number == 1 else 'people'}"
        occluded = joints[:, occluded_code(vocabulary.joints)].sum()
        return [("joints", f"{joints[:, 1:].sum()} on {people}, {occluded} occluded")]

    def tiles(self, counts: DatasetCounts) -> list[tuple[str, int]]:
        joints = counts.total(self.key, "joints", (len(counts.vocabulary.joints or ()), _VISIBILITY_CODES))
        people = int(counts.total(self.key, "people"))
        return [("people with joints", people), ("labelled joints", int(joints[:, 1:].sum()))]

    def cards(self, counts: DatasetCounts) -> list[str]:
        """A bar per joint: visible, occluded, not annotated."""
        title, people = "Visibility of joints", int(counts.total(self.key, "people"))
        if not people:
            return [card(title, "", "")]
        joints = counts.vocabulary.joints
        occluded = occluded_code(joints)
        table = counts.total(self.key, "joints", (len(joints), _VISIBILITY_CODES))[:, [3 - occluded, occluded, 0]]
        bars = stacked_bars(joints.names, table, ("visible", "occluded", "not annotated"))
        return [card(title, f"of {people:,} people; the figure is the visible share", bars)]

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


def _rename_joints(places: list[tuple[int, int]], wanted: JointSet, swaps_codes: bool, people: BoxList) -> BoxList:
    joints = people.get_field("keypoints").keypoints
    moved = joints.new_zeros(len(joints), len(wanted), 3)
    moved[:, [place for place, _ in places]] = joints[:, [origin for _, origin in places]]
    if swaps_codes:
        moved[..., 2] = SWAPPED_VISIBILITY[moved[..., 2].long().clamp(0, 2)]
    people = people.copy_with_fields(people.fields())
    people.add_field("keypoints", Keypoints(moved, people.size, joints=wanted))
    return people


KEYPOINT = register_task(Keypoint())
