"""What libraries do differently with the same boxes, so that weights predict here what they predict at home.

The original library counts in pixels: a box includes its last one. torchvision and detectron2 count in edges. Boxes are
stored in one form all the same (see `BoxList`), so coders, overlaps, samplers and evaluation are those of the
original; what differs is listed here.
"""

from typing import NamedTuple

from yacs.config import CfgNode


class BoxConvention(NamedTuple):
    """How a network places anchors, reads regions and bounds boxes.

    Attributes:
        is_continuous: boxes end on edges (see `BoxList`); a side may be as short as it likes, and a box outside of the
            image is clipped to nothing.
        corner_anchors: anchors have the area of their size and are centred on the corner of their cell, rather than
            a window of whole pixels in its middle that is scaled.
        whole_anchors: of these, corners and the sizes within RetinaNet's octave are whole pixels.
        fitted_strides: the stride of a coarse level is the padded image's side over the map's, without remainder, which
            is less than the level's where a map was rounded up.
        aligned_regions: ROIAlign samples half a feature pixel further left and up (detectron2's "ROIAlignV2").
        least_proposal, least_detection: boxes with a side (pixels) that is shorter are dropped; None drops none.
    """

    is_continuous: bool = False
    corner_anchors: bool = False
    whole_anchors: bool = False
    fitted_strides: bool = False
    aligned_regions: bool = False
    least_proposal: float | None = None
    least_detection: float | None = None


ORIGINAL = BoxConvention()
# torchvision.models.detection: anchor_utils.py, rpn.py, roi_heads.py
TORCHVISION = BoxConvention(True, True, True, True, False, 1e-3, 1e-2)
# detectron2: modeling/anchor_generator.py, poolers.py, proposal_generator/proposal_utils.py; a proposal has some area
DETECTRON2 = BoxConvention(True, True, False, False, True, 1e-5)

BOX_CONVENTIONS = {"original": ORIGINAL, "torchvision": TORCHVISION, "detectron2": DETECTRON2}


def box_convention(cfg: CfgNode) -> BoxConvention:
    """The `BoxConvention` that MODEL.BOX_CONVENTION names."""
    return BOX_CONVENTIONS[cfg.MODEL.BOX_CONVENTION]
