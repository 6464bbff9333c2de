"""Human keypoints: the joints of every person."""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CHANNELS, CLASSES, FLAG, NAME, REGION_HEADS, WIDTHS, region_pooling
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range


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

    def options(self) -> list[Option]:
        return section(
            REGION_HEADS,
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR",
                "KeypointRCNNFeatureExtractor",
                NAME,
                "A name in modeling.registry.ROI_KEYPOINT_FEATURE_EXTRACTORS",
            ),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.PREDICTOR",
                "KeypointRCNNPredictor",
                NAME,
                "A name in modeling.registry.ROI_KEYPOINT_PREDICTOR",
            ),
            region_pooling("ROI_KEYPOINT_HEAD"),
            Option("MODEL.ROI_KEYPOINT_HEAD.MLP_HEAD_DIM", 1024, CHANNELS, "Not read; kept for the original's files"),
            Option("MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS", (512,) * 8, WIDTHS, "Channels of each convolution"),
            Option("MODEL.ROI_KEYPOINT_HEAD.RESOLUTION", 14, Integer(1, 512), "Side of the predicted heat map"),
            Option("MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES", 17, CLASSES, "Keypoints. Taken from the data set unless set"),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR",
                True,
                FLAG,
                "Keypoints are read from the box head's features of the regions instead of features of their own",
            ),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE",
                0,
                Integer(0, 2**16),
                "Regions trained per image at most; 0 trains every positive region, as the original does",
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        count = len(vocabulary.joints.names) if vocabulary.joints else 0
        return [ClassCount("MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES", count, "keypoints")]

    def region_options(self, cfg: CfgNode) -> CfgNode:
        return cfg.MODEL.ROI_KEYPOINT_HEAD

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": Integer(1, 256)}

    # Labels -----------------------------------------------------------------------------------------------------------

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


KEYPOINT = register_task(Keypoint())
