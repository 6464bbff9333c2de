"""Labels of PASCAL Panoptic Parts: their numbers, both ways, and what is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.data.detail.categories import OFFICIAL_ORDER
from maskrcnn_benchmark.structures.panoptic_map import PanopticMap
from maskrcnn_benchmark.structures.part_codes import PPP_CLASSES, PPP_PARTS, PartCodes
from maskrcnn_benchmark.structures.part_groups import PPP57_TABLE
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, UNKNOWN, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

PPP57 = PartSet.from_names("ppp57", {})
CONTEXT = Vocabulary(OFFICIAL_ORDER[:20], OFFICIAL_ORDER, parts=PPP57)
CODES = PartCodes.of(CONTEXT)
PERSON, HORSE, SKY, CHAIR, BICYCLE = (OFFICIAL_ORDER.index(n) for n in ("person", "horse", "sky", "chair", "bicycle"))


def scene(ids, kinds, parts, crowds=(False,) * 9):
    rows = [(kind, -1, 1.0, crowd) for kind, crowd in zip(kinds, crowds)]
    return PartPanopticMap(PanopticMap.of_rows(np.array(ids, np.int32), rows), np.array(parts, np.uint8))


def same(one, other):
    """Whether two maps say the same, whatever their segments are numbered."""
    pairs = set(zip(one.segments.ids.ravel().tolist(), other.segments.ids.ravel().tolist()))
    kinds = [np.append(-1, each.segments.classes)[each.segments.ids] for each in (one, other)]
    crowds = [np.append(False, each.segments.is_crowd)[each.segments.ids] for each in (one, other)]
    is_bijection = len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    return is_bijection and all((a == b).all() for a, b in (kinds, crowds, (one.parts, other.parts)))


def test_classes_of_pascal_context_have_the_published_numbers():
    assert set(PPP_CLASSES) == set(OFFICIAL_ORDER) and len(set(PPP_CLASSES.values())) == 59
    numbers = dict(zip(CODES.classes.names, CODES.sids.tolist()))
    assert [numbers[name] for name in ("aeroplane", "diningtable", "tvmonitor", "bag", "wood")] == [1, 11, 20, 21, 99]
    part_of_it = PartCodes.of(Vocabulary(("person",), ("sky", "person"), parts=PPP57))
    assert part_of_it.sids.tolist() == [84, 15]
    others = PartCodes.of(Vocabulary(("person",), ("sky", "unicorn", "person"), parts=PPP57))
    assert others.sids.tolist() == [1, 2, 3]


def test_numbers_of_parts_are_those_of_the_published_evaluation():
    labels = {name: PPP57.label_of(*name.split(":")) for name in ("person:ruleg", "car:headlight", "horse:lfho")}
    assert [labels[name] for name in labels] == [48, 20, 39]
    assert CODES.pids[PERSON, 48] == 6 and CODES.pids[HORSE, 39] == 3
    assert CODES.parts[PERSON, 1:7].tolist() == [43, 44, 45, 46, 47, 48] and not CODES.parts[CHAIR].any()


def test_digits_say_class_object_and_part():
    given = scene(
        [[1, 1, 2, 3], [0, 4, 4, 5]],
        [PERSON, PERSON, SKY, HORSE, PERSON],
        [[43, UNKNOWN, 44, 0], [0, 38, 39, 0]],
        [False, False, False, False, True],
    )
    assert CODES.encode(given).tolist() == [[1500101, 15001, 1500202, 84], [0, 1300102, 1300103, 15]]


@st.composite
def scenes(draw):
    """A scene of five segments, of which the last may be a crowd; and whether it is annotated."""
    annotated = draw(st.booleans())
    ids = draw(arrays(np.int32, (5, 7), elements=st.integers(0, 5)))
    kinds = [PERSON, PERSON, SKY, CHAIR, HORSE]
    crowds = [False, False, False, False, annotated]
    wanted = draw(arrays(np.int64, (5, 7), elements=st.integers(0, 6)))
    table = np.full((6, 7), NO_PART)
    rest = NO_PART if annotated else UNKNOWN
    for number, kind in enumerate(kinds, 1):
        own = CODES.classes.labels[kind]
        if own and not crowds[number - 1]:
            table[number] = [rest, *own, *[rest] * (6 - len(own))][:7]
    return scene(ids, kinds, table[ids, wanted], crowds), annotated


@given(scenes())
def test_what_is_encoded_comes_back(given):
    made, annotated = given
    assert same(CODES.decode(CODES.encode(made), annotated), made)


def test_annotations_pass_over_what_the_data_set_does_not_have():
    codes = np.array([[22, 22001, 15, 1500199, 1500100, 1500101]])
    found = CODES.decode(codes, annotated=True)
    assert found.segments.ids.tolist() == [[0, 0, 1, 2, 2, 2]]
    assert found.segments.is_crowd.tolist() == [True, False] and found.parts.tolist() == [[0, 0, 0, 0, 0, 43]]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (100, "holds the number 100, which is no label"),
        (999, "holds the number 999"),
        (-1, "holds the number -1"),
        (10_000_000, "holds the number 10000000"),
        (22, "holds the class 22, which is none of the data set's"),
        (1500107, "holds the part 7 of person, which has none of that number"),
    ],
)
def test_what_is_no_label_of_a_prediction_is_refused(number, words):
    with pytest.raises(ValueError, match=words):
        CODES.decode(np.array([[15001, number]]))


def test_a_predicted_thing_without_a_number_is_one_segment_and_parts_of_others_do_not_count():
    found = CODES.decode(np.array([[15, 84001, 84002, 900101]]))
    assert found.segments.classes.tolist() == [CHAIR, PERSON, SKY, SKY] and not found.segments.is_crowd.any()
    assert found.parts.tolist() == [[UNKNOWN, 0, 0, 0]]


def test_published_annotations_are_finer_and_have_a_body_where_nothing_is_labelled():
    assert set(PPP_PARTS) < set(PPP57_TABLE) and all(len(names) < 100 for names in PPP_PARTS.values())
    assert [PPP_PARTS["car"][pid - 1] for pid in (9, 10, 19, 20, 39, 40, 59)] == [
        *("bliplate", "door", "door", "wheel", "headlight", "window", "window")
    ]
    published = PartCodes.published(CONTEXT)
    found = published.decode(np.array([[2001, 200100, 200101, 2, 1500124, 9001]]), annotated=True)
    body, wheel = PPP57.label_of("bicycle", "saddle"), PPP57.label_of("bicycle", "fwheel")
    assert found.parts.tolist() == [[body, body, wheel, 0, PPP57.label_of("person", "rfoot"), 0]]
    assert [CONTEXT.semantic_names[kind] for kind in found.segments.classes] == [
        "bicycle",
        "bicycle",
        "chair",
        "person",
    ]
    person6 = Vocabulary(OFFICIAL_ORDER[:20], OFFICIAL_ORDER, parts=PartSet.from_names("person6", {}))
    assert PartCodes.published(person6).decode(np.array([[1500124, 1300101]]), True).parts.tolist() == [[6, 0]]


@given(scenes())
def test_annotations_in_the_published_numbers_come_back(given):
    made, annotated = given
    published = PartCodes.published(CONTEXT)
    if annotated:
        assert same(published.decode(published.encode(made), True), made)


def test_more_than_the_digits_hold_is_refused():
    many = Vocabulary((), tuple(f"class {k}" for k in range(100)))
    assert "100 classes" in PartCodes.of(many).problem and not CODES.problem
    ids = np.arange(1000).reshape(1, -1) + 1
    with pytest.raises(ValueError, match="has 1000 segments of chair"):
        CODES.encode(scene(ids, [CHAIR] * 1000, np.zeros((1, 1000)), [False] * 1000))
    assert len(PartClasses.of(CONTEXT)) == 59
