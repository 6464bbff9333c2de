"""Segments of an image: exact ground truth from objects and a semantic map, and what is done to segments."""

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.panoptic_map import (
    NO_OBJECT,
    PanopticClasses,
    PanopticMap,
    colours_of_ids,
    ids_of_colours,
    numbered,
)
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

VOCABULARY = Vocabulary(thing_names=("cat", "dog", "kite"), semantic_names=("sky", "dog", "grass", "cat"))
CLASSES = PanopticClasses.of(VOCABULARY)
SKY, DOG, GRASS, CAT, KITE = range(5)
NONE = 255


def annotated(semantic, objects=()):
    """Annotations of an image of one row; `objects` are (label, mask, whether it is a crowd)."""
    size = len(semantic), 1
    boxes = BoxList(torch.zeros(len(objects), 4), size)
    boxes.add_field("labels", torch.tensor([label for label, _, _ in objects], dtype=torch.int64))
    boxes.add_field("iscrowd", torch.tensor([crowd for _, _, crowd in objects], dtype=torch.bool))
    masks = np.array([mask for _, mask, _ in objects], np.uint8).reshape(-1, 1, len(semantic))
    boxes.add_field("masks", SegmentationMask(torch.from_numpy(masks), size, mode="mask"))
    return ImageAnnotations(size, boxes, semantic=SemanticMap(torch.tensor([semantic], dtype=torch.uint8)))


def truth(semantic, objects=()):
    """(what each pixel is, {what: whether it is a crowd}) of annotations; what is a class and an object's row."""
    found = PanopticMap.of_annotations(annotated(semantic, objects), CLASSES)
    names = [(int(kind), int(row)) for kind, row in zip(found.classes, found.objects)]
    assert len(set(names)) == len(names) and found.scores.tolist() == [1.0] * len(found)
    row = [None if k == 0 else names[k - 1] for k in found.ids[0]]
    return row, dict(zip(names, found.is_crowd.tolist()))


def test_classes_are_those_of_the_semantic_map_and_the_things_that_it_lacks():
    assert CLASSES.names == ("sky", "dog", "grass", "cat", "kite") and CLASSES.num_semantic == 4
    assert CLASSES.is_thing.tolist() == [False, True, False, True, True]
    assert CLASSES.of_label[1:].tolist() == [CAT, DOG, KITE] and len(CLASSES) == 5


def test_objects_lie_on_stuff_and_the_later_on_the_earlier():
    row, crowds = truth([SKY, CAT, CAT, CAT, NONE], [(1, [0, 1, 1, 0, 0], False), (1, [0, 0, 1, 1, 0], False)])
    assert row == [(SKY, NO_OBJECT), (CAT, 0), (CAT, 1), (CAT, 1), None]
    assert not any(crowds.values())


def test_an_object_has_no_pixel_where_the_map_says_another_class():
    row, _ = truth([SKY, CAT, DOG, NONE], [(1, [1, 1, 1, 1], False), (2, [0, 1, 1, 0], False)])
    assert row == [(SKY, NO_OBJECT), (CAT, 0), (DOG, 1), (CAT, 0)]


def test_a_thing_that_the_map_does_not_know_keeps_its_mask():
    row, _ = truth([SKY, SKY, GRASS], [(3, [0, 1, 1], False)])
    assert row == [(SKY, NO_OBJECT), (KITE, 0), (KITE, 0)]


def test_a_thing_without_an_object_is_a_crowd():
    row, crowds = truth([CAT, CAT, DOG, SKY], [(1, [1, 0, 0, 0], False)])
    assert row == [(CAT, 0), (CAT, NO_OBJECT), (DOG, NO_OBJECT), (SKY, NO_OBJECT)]
    assert crowds == {(CAT, 0): False, (CAT, NO_OBJECT): True, (DOG, NO_OBJECT): True, (SKY, NO_OBJECT): False}


def test_crowds_of_a_class_are_one_segment_below_its_objects():
    objects = [(1, [1, 1, 0, 0, 0], False), (1, [0, 1, 1, 0, 0], True), (1, [0, 0, 0, 1, 0], True)]
    row, crowds = truth([CAT, CAT, CAT, CAT, CAT], objects)
    assert row == [(CAT, 0), (CAT, 0), *[(CAT, NO_OBJECT)] * 3]
    assert crowds == {(CAT, 0): False, (CAT, NO_OBJECT): True}


def test_without_objects_there_is_stuff_alone_and_without_labels_nothing():
    assert truth([SKY, NONE, GRASS])[0] == [(SKY, NO_OBJECT), None, (GRASS, NO_OBJECT)]
    assert truth([NONE, NONE]) == ([None, None], {})


def test_an_object_that_is_hidden_or_empty_is_no_segment():
    _, crowds = truth([CAT, CAT], [(1, [1, 0], False), (1, [0, 0], False), (1, [1, 1], False)])
    assert crowds == {(CAT, 2): False}


def some():
    ids = np.array([[0, 1, 1], [3, 3, 1]], np.int32)
    return PanopticMap.of_rows(ids, [(SKY, -1, 1.0, False), (CAT, 4, 0.5, False), (DOG, 2, 0.75, True)])


def test_segments_that_are_taken_keep_what_is_known_of_them():
    kept = some().without_empty()
    assert kept.ids.tolist() == [[0, 1, 1], [2, 2, 1]] and kept.areas.tolist() == [3, 2]
    assert kept.classes.tolist() == [SKY, DOG] and kept.objects.tolist() == [-1, 2]
    assert kept.scores.tolist() == [1.0, 0.75] and kept.is_crowd.tolist() == [False, True]
    assert kept.without_empty() is kept
    assert kept.take(np.array([False, True])).ids.tolist() == [[0, 0, 0], [1, 1, 0]]


def test_a_resize_takes_the_segment_at_the_centre_of_each_pixel():
    made = some().resize((6, 4))
    assert made.size == (6, 4) and made.ids.tolist() == np.repeat(np.repeat(some().ids, 2, 0), 2, 1).tolist()
    assert made.resize((3, 2)).ids.tolist() == some().ids.tolist() and made.ids.dtype == np.int32


def test_a_computed_output_is_made_once_and_when_it_is_read():
    made = []
    output = Computed(lambda: made.append(None) or some(), (3, 2))
    larger = output.to("cpu").resize((6, 4))
    assert not made and larger.size == (6, 4) and output.resize((3, 2)) is output
    assert larger.value.size == (6, 4) and output.value is output.value and len(made) == 1


def test_ids_are_colours_by_cocos_formula():
    ids = np.array([[0, 1, 256, 65536, 70_000, (1 << 24) - 1]], np.int32)
    colours = colours_of_ids(ids)
    assert colours.dtype == np.uint8 and colours[0, 4].tolist() == [112, 17, 1]
    assert (colours.astype(int) @ [1, 256, 65536] == ids).all() and (ids_of_colours(colours) == ids).all()


@pytest.mark.parametrize(("listed", "places", "unlisted"), [([9, 4, 7], [[0, 2, 1]], None), ([4], [[0, 1, 0]], 9)])
def test_ids_are_numbered_as_they_are_listed(listed, places, unlisted):
    found, strange = numbered(np.array([[0, 4, 9]], np.int32), listed)
    assert found.tolist() == places and strange == unlisted


def test_borders_have_a_pixel_on_either_side():
    ids = np.array([[1, 1, 2], [1, 1, 1], [0, 1, 1]], np.int32)
    segments = PanopticMap.of_rows(ids, [(SKY, NO_OBJECT, 1.0, False), (DOG, 0, 0.9, False)])
    assert segments.borders().tolist() == [[False, True, True], [True, False, True], [True, True, False]]
    whole = PanopticMap.of_rows(np.zeros((2, 2), np.int32), [])
    assert not whole.borders().any()


def test_names_are_supported_by_segments_with_a_pixel():
    segments = PanopticMap.of_rows(
        np.array([[1, 1]], np.int32), [(KITE, 0, 1.0, False), (GRASS, NO_OBJECT, 1.0, False)]
    )
    here, possible = segments.supports(("grass", "kite", "boat"), VOCABULARY)
    assert here.tolist() == [False, True, False] and possible.tolist() == [True, True, False]
