"""Where the field has two definitions, the config chooses and the report says which."""

import pytest

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.evaluation.protocols import (
    BOUNDARY_PROTOCOLS,
    EdgeProtocol,
    Protocols,
    build_protocols,
    named_protocol,
)
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


@pytest.mark.parametrize("name", ["seism", "mti_net", "sak"])
def test_a_named_protocol_scores_boundaries_and_leaves_all_else(name):
    cfg = default_cfg.clone()
    cfg.merge_from_list(["TEST.BOUNDARY_PROTOCOL", name, "TEST.EDGE_MAX_DISTANCE", 0.011])
    protocols = build_protocols(cfg)
    assert protocols.edges == EdgeProtocol(max_distance=0.011)
    assert protocols.boundary.max_distance == 0.011 and protocols.boundary.conventions == "seism"
    assert named_protocol(f"{protocols.boundary}, and more") == name
    assert "tolerance 0.011" in str(protocols.boundary)
    assert f'"{name}"' in cfg.record_of("TEST.BOUNDARY_PROTOCOL").comment


def test_words_of_other_protocols_name_none():
    assert named_protocol(str(EdgeProtocol(conventions="seism"))) == named_protocol("protocol of ours: all") == ""


def test_the_identity_of_todays_protocols_is_what_kept_scores_have_and_names_the_others():
    plain = "Protocols(edges=EdgeProtocol(thresholds=99, max_distance=0.0075, suppress_non_maxima=True, "
    assert Protocols().identity == f"{plain}conventions='bsds'), detection='coco')"
    named = [Protocols(boundary=protocol).identity for protocol in BOUNDARY_PROTOCOLS.values()]
    assert len({*named, Protocols().identity, Protocols(class_mean="all").identity}) == 5


def test_an_option_that_the_named_protocol_decides_is_refused():
    cfg = default_cfg.clone()
    cfg.merge_from_list(["TEST.BOUNDARY_PROTOCOL", "seism", "TEST.EDGE_THRESHOLDS", 33])
    with pytest.raises(UserError, match=r"TEST\.EDGE_THRESHOLDS is 33, but TEST\.BOUNDARY_PROTOCOL 'seism' decides"):
        build_protocols(cfg)
    cfg.MODEL.OCCLUSION_ON = True  # they are occlusion's then
    assert build_protocols(cfg).edges.thresholds == 33
