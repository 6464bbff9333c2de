"""Which definitions are used where the field has two."""

from dataclasses import dataclass, field

from yacs.config import CfgNode

from maskrcnn_benchmark.config.check import check_options

BSDS, SEISM = "bsds", "seism"
EDGE_CONVENTIONS = (BSDS, SEISM)
DETAIL_TOOLKIT = "detail-toolkit"
ANNOTATED, ALL = "annotated", "all"
CLASS_MEANS = (ANNOTATED, ALL)
DETECTION_PROTOCOLS = ("coco", "detail", DETAIL_TOOLKIT)


@dataclass(frozen=True)
class EdgeProtocol:
    """How boundaries and occlusion edges are scored.

    Attributes:
        thresholds: number K of thresholds k / (K + 1); published scores use 99.
        max_distance: greatest distance of a pair as a share of the image diagonal: PASCAL 0.0075, NYUD 0.011.
        suppress_non_maxima: whether soft maps are first reduced to ridges (Dollar and Zitnick 2015).
        conventions: "bsds" (Martin et al. 2004; the best F is interpolated between thresholds) or "seism" (Pont-Tuset
            and Marques 2016; the best F of the thresholds themselves, and where nothing is predicted a precision of 1).
    """

    thresholds: int = 99
    max_distance: float = 0.0075
    suppress_non_maxima: bool = True
    conventions: str = BSDS

    def __post_init__(self) -> None:
        if self.thresholds < 1:
            raise ValueError(f"edge curves need at least one threshold, got {self.thresholds}")
        if not 0 < self.max_distance < 1:
            raise ValueError(f"max_distance is a share of the image diagonal in 0..1, got {self.max_distance}")
        if self.conventions not in EDGE_CONVENTIONS:
            raise ValueError(f"edge conventions are {' and '.join(EDGE_CONVENTIONS)}, not {self.conventions!r}")

    def __str__(self) -> str:
        suppression = "non-maximum suppression" if self.suppress_non_maxima else "no non-maximum suppression"
        return (
            f"{self.conventions} conventions, {self.thresholds} thresholds, tolerance {self.max_distance:g} of the "
            f"diagonal, {suppression}"
        )


@dataclass(frozen=True)
class Protocols:
    """The choices of an evaluation.

    Attributes:
        edges: the `EdgeProtocol`.
        class_mean: the mean IoU of semantic classes and parts is over those that are "annotated" anywhere, or over
            "all", of which those that never occur count as 0 (Maninis et al., CVPR 2019, and who compare with them).
        detection: for boxes and masks "coco" (at most 100 detections per image, ranges of size) or "detail" (the same
            pairing without ranges of size, any number of detections); or "detail-toolkit", the rules of PASCAL in
            Detail's own programs for boxes, masks, keypoints, image labels and proposals.
    """

    edges: EdgeProtocol = field(default_factory=EdgeProtocol)
    detection: str = "coco"
    class_mean: str = ANNOTATED

    def __post_init__(self) -> None:
        if self.class_mean not in CLASS_MEANS:
            raise ValueError(f"means are over {' or '.join(CLASS_MEANS)} classes, not {self.class_mean!r}")
        if self.detection not in DETECTION_PROTOCOLS:
            known = " and ".join(DETECTION_PROTOCOLS)
            raise ValueError(f"detection protocols are {known}, not {self.detection!r}")


def build_protocols(cfg: CfgNode) -> Protocols:
    """The `Protocols` of a config. Raises `UserError` where an option is out of range."""
    check_options(cfg)
    test = cfg.TEST
    edges = EdgeProtocol(test.EDGE_THRESHOLDS, test.EDGE_MAX_DISTANCE, test.EDGE_NMS, test.EDGE_CONVENTIONS)
    return Protocols(edges, test.DETECTION_PROTOCOL, class_mean=test.CLASS_MEAN)
