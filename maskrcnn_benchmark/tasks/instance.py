"""Instance segmentation: a mask for every object."""

from yacs.config import CfgNode

from maskrcnn_benchmark.modeling.roi_heads.mask_head.mask_head import ROIMaskHead, build_roi_mask_head
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Instance(Task):
    """The mask of every object."""

    key = "instance"
    title = "instance segmentation"
    switch = "MASK_ON"
    comment = "Task: instance masks, per detected box"
    losses = ("loss_mask",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.mask.",)
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        return annotations.instances is not None and annotations.instances.has_field("masks")

    # Network ----------------------------------------------------------------------------------------------------------

    label_field = "masks"

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "mask"

    def shares_box_features(self, cfg: CfgNode) -> bool:
        """As the option says."""
        return cfg.MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> ROIMaskHead:
        """A small mask per region."""
        return build_roi_mask_head(cfg, in_channels)

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


INSTANCE = register_task(Instance())
