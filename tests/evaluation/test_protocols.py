"""Where the field has two definitions, the config chooses and the report says which."""

import pytest

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols, build_protocols
from maskrcnn_benchmark.utils.errors import UserError


def test_published_figures_are_the_default():
    protocols = build_protocols(default_cfg)
    assert protocols == Protocols()
    assert protocols.edges == EdgeProtocol(99, 0.0075, True, "bsds") and protocols.detection == "coco"


def test_every_choice_reaches_the_protocol_and_its_words():
    cfg = default_cfg.clone()
    cfg.merge_from_list(["TEST.EDGE_THRESHOLDS", 33, "TEST.EDGE_MAX_DISTANCE", 0.011, "TEST.EDGE_NMS", False])
    cfg.merge_from_list(["TEST.EDGE_CONVENTIONS", "seism", "TEST.DETECTION_PROTOCOL", "detail"])
    protocols = build_protocols(cfg)
    assert protocols == Protocols(EdgeProtocol(33, 0.011, False, "seism"), "detail")
    words = str(protocols.edges)
    assert all(word in words for word in ("seism", "33 thresholds", "0.011", "no non-maximum suppression"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("EDGE_THRESHOLDS", 0, "is 0, but must be an integer from 1 to 999"),
        ("EDGE_MAX_DISTANCE", 7.5, "is 7.5, but must be a number above 0 and below 1"),
        ("EDGE_CONVENTIONS", "dollar", "is 'dollar', but must be one of bsds, seism"),
        ("DETECTION_PROTOCOL", "voc", "is 'voc', but must be one of coco, detail, detail-toolkit"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(key, value, message):
    cfg = default_cfg.clone()
    cfg.TEST[key] = value
    with pytest.raises(UserError, match=f"TEST.{key} {message}"):
        build_protocols(cfg)
