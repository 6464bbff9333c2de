"""What may stand in an option that weighs classes, and what comes of it."""

import pytest

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.config.class_weights import class_weights, is_uncounted, rule_of
from maskrcnn_benchmark.utils.errors import UserError

KEY = "MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS"
NAMES = ("sky", "wall", "dog")


@pytest.fixture
def cfg():
    cfg = default_cfg.clone()
    cfg.MODEL.SEMANTIC_ON = True
    return cfg


@pytest.mark.parametrize("typed", ["median_frequency", "(median_frequency)", ("median_frequency",)])
def test_a_rule_is_typed_as_a_word(cfg, typed):
    cfg.merge_from_list([KEY, typed])
    value = cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS
    assert value == ("median_frequency",) and rule_of(value) == "median_frequency" and is_uncounted(value)
    check_options(cfg)
    assert class_weights(KEY, value, NAMES) is None


@pytest.mark.parametrize(
    "typed", ["[[dog, 3], [night sky, .5]]", "((dog,3),('night sky',0.5))", "[['dog', 3], (\"night sky\", 5e-1)]"]
)
def test_pairs_are_typed_with_and_without_quotes(cfg, typed):
    cfg.merge_from_list([KEY, typed])
    assert class_weights(KEY, cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS, ("dog", "wall", "night sky")) == (3.0, 1.0, 0.5)


@pytest.mark.parametrize("typed", ["[[dog, nan]]", "[[dog, -1]]", "[[dog, 3]", "[dog, 3]]", "{dog: 3}", "[[[dog], 3]]"])
def test_what_is_no_pair_is_refused(cfg, typed):
    with pytest.raises(UserError, match=KEY):
        cfg.merge_from_list([KEY, typed])
        check_options(cfg)


@pytest.mark.parametrize("typed", ["none", "()", ""])
def test_nothing_weighs_all_classes_alike(cfg, typed):
    cfg.merge_from_list([KEY, typed])
    assert class_weights(KEY, cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS, NAMES) is None


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("1,2,0.5", (1.0, 2.0, 0.5)),
        ("(('dog', 3), ('sky', 0.5))", (0.5, 1.0, 3.0)),
        ("('inverse_sqrt', ('sky', 0.5), ('wall', 1.5), ('dog', 2))", (0.5, 1.5, 2.0)),
    ],
)
def test_weights_are_given_in_order_or_by_name(cfg, typed, expected):
    cfg.merge_from_list([KEY, typed])
    check_options(cfg)
    value = cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS
    assert class_weights(KEY, value, NAMES) == expected and not is_uncounted(value)


def test_pairs_of_a_yaml_file_are_taken(cfg, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("MODEL: {SEMANTIC_HEAD: {CLASS_WEIGHTS: [[dog, 3], [sky, 0.5]]}}")
    cfg.merge_from_file(path)
    check_options(cfg)
    assert class_weights(KEY, cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS, NAMES) == (0.5, 1.0, 3.0)


def test_without_names_the_order_is_believed_but_no_name():
    assert class_weights(KEY, ("inverse_sqrt", ("a", 1), ("b", 2)), None) == (1.0, 2.0)
    assert class_weights(KEY, (1, 2), None) == (1.0, 2.0)
    with pytest.raises(UserError, match="built without a vocabulary"):
        class_weights(KEY, (("a", 2),), None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1.0, 2.0), r"CLASS_WEIGHTS has 2 weights, but there are 3 classes; give each one, or pairs"),
        ((("cow", 2.0),), r"names 'cow', which is none of the classes \(sky, wall, dog\); correct it"),
        ((("dgo", 2.0),), r"names 'dgo', .*; did you mean 'dog'\?"),
        (("inverse_sqrt", ("cow", 2.0)), r"has weights that inverse_sqrt made for other classes; leave all but"),
    ],
)
def test_weights_of_other_classes_are_refused(value, message):
    with pytest.raises(UserError, match=message):
        class_weights(KEY, value, NAMES)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1.0, ("sky", 2.0)), "mixes rules, numbers and pairs; give one rule"),
        (("inverse_sqrt", 2.0), "mixes rules, numbers and pairs"),
        ((("sky", 2.0), ("sky", 1.0)), "names 'sky' twice; leave one out"),
        (("effective_number",), "CLASS_WEIGHTS is .*must be a tuple of .*one of inverse_sqrt, median_frequency"),
        ((-1.0,), "CLASS_WEIGHTS is .*must be a tuple of"),
    ],
)
def test_what_cannot_be_meant_is_refused(cfg, value, message):
    cfg.MODEL.SEMANTIC_HEAD.CLASS_WEIGHTS = value
    with pytest.raises(UserError, match=message):
        check_options(cfg)


@pytest.mark.parametrize("switch", ["RETINANET_ON", "RPN_ONLY"])
def test_weights_of_a_box_head_that_is_not_there_are_refused(cfg, switch):
    cfg.MODEL[switch] = True
    cfg.MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS = ("inverse_sqrt",)
    with pytest.raises(UserError, match=f"but with MODEL.{switch} there is no box head.*leave it out"):
        check_options(cfg)
