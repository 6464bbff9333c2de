"""Human keypoints: the joints of every person."""

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.keypoint_head import ROIKeypointHead, build_roi_keypoint_head
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task

# The class that joints belong to
PERSON = "person"


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

    # Network ----------------------------------------------------------------------------------------------------------

    def shares_box_features(self, cfg: CfgNode) -> bool:
        """As the option says."""
        return cfg.MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> ROIKeypointHead:
        """A heat map per joint and region; only detections of the class "person" are given joints."""
        joints = labels = None
        if vocabulary is not None:
            joints = vocabulary.joints
            if PERSON in vocabulary.thing_names:
                labels = frozenset({vocabulary.thing_names.index(PERSON) + 1})
        return build_roi_keypoint_head(cfg, in_channels, joints, labels)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


KEYPOINT = register_task(Keypoint())
