"""Which definitions are used where the field has two."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
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

    # What only a `NamedEdgeProtocol` has otherwise
    name = note = ""
    strict = in_bytes = False
    smoothing, reach = 0, 1

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

    def values(self) -> np.ndarray:
        """The thresholds, ascending: float64 [K]."""
        return np.arange(1, self.thresholds + 1) / (self.thresholds + 1)


@dataclass(frozen=True)
class NamedEdgeProtocol(EdgeProtocol):
    """How published programs score boundaries, to the last choice; all count by seism's rules.

    Attributes:
        name: what the protocol is called.
        note: whose figures are comparable, for a line under the table.
        strict: whether a pixel is an edge above a threshold only, not at it.
        ends: thresholds beyond those of `EdgeProtocol`: (the lowest, the highest).
        smoothing: radius of the triangle filter that maps pass through first; 0 for none.
        reach: pixels across the edge, to either side, that a ridge may not fall short of.
        in_bytes: whether ridges are rounded to 8 bits, as in a PNG, before the thresholds.
    """

    conventions: str = SEISM
    name: str = ""
    note: str = ""
    strict: bool = False
    ends: tuple[float, ...] = ()
    smoothing: int = 0
    reach: int = 1
    in_bytes: bool = False

    def __str__(self) -> str:
        values, ridges = self.values(), "no non-maximum suppression"
        if self.suppress_non_maxima:
            smoothed = f"triangle filter of radius {self.smoothing}, " if self.smoothing else ""
            ridges = f"{smoothed}non-maximum suppression over {self.reach} px" + ", in 8 bits" * self.in_bytes
        return (
            f"{NAMED}{self.name}: {len(values)} thresholds {values[0]:g} to {values[-1]:g}, an edge "
            f"{'above' if self.strict else 'from'} each, tolerance {self.max_distance:g} of the diagonal, {ridges}"
        )

    def values(self) -> np.ndarray:
        return np.sort(np.append(np.arange(1, 100) / 100, self.ends))


NAMED = "protocol "  # what the words of a named protocol begin with

# The programs that published figures of PASCAL-Context's five and NYUD-v2's four tasks come from; docs/evaluation.md
# says what each does and how it was found
BOUNDARY_PROTOCOLS: Mapping[str, NamedEdgeProtocol] = {
    protocol.name: protocol
    for protocol in (
        NamedEdgeProtocol(
            101,
            name="seism",
            note="as seism's read_one_cont_png with the thresholds of HED.txt: ASTMT (all of val); InvPT, "
            "TaskPrompter, MLoRE, MTMamba (of PASCAL-Context the list test_new)",
            strict=True,
            ends=(0.001, 0.999),
        ),
        NamedEdgeProtocol(
            name="mti_net",
            note="as MTI-Net's read_one_png: the map itself, without non-maximum suppression (of PASCAL-Context "
            "the list test_new)",
            suppress_non_maxima=False,
        ),
        NamedEdgeProtocol(
            name="sak",
            note="as nms_process.m of MTDP_Lib and SAK, whose ridges are saved in 8 bits (all of val)",
            smoothing=1,
            reach=4,
            in_bytes=True,
        ),
    )
}


def named_protocol(text: str) -> str:
    """The name of the protocol that a result's words "protocol" begin with, or "" where they name none."""
    name = text.removeprefix(NAMED).partition(":")[0]
    return name if text.startswith(NAMED) and name in BOUNDARY_PROTOCOLS else ""


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
        boundary: one of `BOUNDARY_PROTOCOLS` with its tolerance, for boundaries in place of `edges`.
    """

    edges: EdgeProtocol = field(default_factory=EdgeProtocol)
    detection: str = "coco"
    class_mean: str = field(default=ANNOTATED, repr=False)
    boundary: NamedEdgeProtocol | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.class_mean not in CLASS_MEANS:
            raise ValueError(f"means are over {' or '.join(CLASS_MEANS)} classes, not {self.class_mean!r}")
        if self.detection not in DETECTION_PROTOCOLS:
            known = " and ".join(DETECTION_PROTOCOLS)
            raise ValueError(f"detection protocols are {known}, not {self.detection!r}")

    @property
    def identity(self) -> str:
        """Equal for protocols that score alike: what kept scores are compared by."""
        boundary = "" if self.boundary is None else f", {self.boundary!r}"
        return f"{self!r}{boundary}{'' if self.class_mean == ANNOTATED else f', {self.class_mean}'}"


def build_protocols(cfg: CfgNode) -> Protocols:
    """The `Protocols` of a config. Raises `UserError` where an option is out of range."""
    check_options(cfg)
    test = cfg.TEST
    edges = EdgeProtocol(test.EDGE_THRESHOLDS, test.EDGE_MAX_DISTANCE, test.EDGE_NMS, test.EDGE_CONVENTIONS)
    boundary = boundary_protocol(test.BOUNDARY_PROTOCOL, edges)
    return Protocols(edges, test.DETECTION_PROTOCOL, test.CLASS_MEAN, boundary)


def boundary_protocol(name: str, edges: EdgeProtocol) -> NamedEdgeProtocol | None:
    """The protocol of `BOUNDARY_PROTOCOLS` with the tolerance of `edges`; None for ""."""
    return replace(BOUNDARY_PROTOCOLS[name], max_distance=edges.max_distance) if name else None
