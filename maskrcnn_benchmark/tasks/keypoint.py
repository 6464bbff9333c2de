"""Human keypoints: the joints of every person."""

from collections.abc import Callable
from functools import partial
from typing import Any

from maskrcnn_benchmark.data.datasets.coco import SWAPPED_VISIBILITY
from maskrcnn_benchmark.data.same_names import match_joints
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, JointSet, Keypoints
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


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
