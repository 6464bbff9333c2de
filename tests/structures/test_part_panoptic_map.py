"""Segments with parts: which classes have parts, and exact ground truth from objects with parts and a semantic map."""

import numpy as np
import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.computed import Computed
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.part_panoptic_map import NO_PART, PartClasses, PartPanopticMap
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

PARTS = PartSet.from_names("all", {"cat": ["head", "tail"], "dog": ["head", "paw", "tail"], "tv": ["screen"]})
VOCABULARY = Vocabulary(("cat", "dog", "tv"), ("sky", "cat", "dog", "tv"), parts=PARTS)
CLASSES = PartClasses.of(VOCABULARY)
CAT_HEAD, CAT_TAIL, DOG_HEAD = (PARTS.label_of(*pair) for pair in (("cat", "head"), ("cat", "tail"), ("dog", "head")))


def annotations(rows, semantic, fields=True):
    """Of an image of one row; `rows` are (label, mask, parts or None, whether it is a crowd)."""
    size, number = (len(semantic), 1), len(rows)
    boxes = BoxList(torch.zeros(number, 4), size)
    boxes.add_field("labels", torch.tensor([row[0] for row in rows]))
    boxes.add_field("iscrowd", torch.tensor([row[3] for row in rows]))
    masks = torch.tensor([row[1] for row in rows], dtype=torch.uint8).reshape(number, 1, -1)
    boxes.add_field("masks", SegmentationMask(masks, size, mode="mask"))
    if fields:
        none = [0] * len(semantic)
        parts = torch.tensor([row[2] or none for row in rows], dtype=torch.uint8).reshape(number, 1, -1)
        boxes.add_field("parts", PartMask(parts, [row[2] is not None for row in rows], size, PARTS))
    return ImageAnnotations(size, boxes, semantic=SemanticMap(torch.tensor([semantic], dtype=torch.uint8)))


def test_a_class_with_one_part_is_a_class_without_parts():
    assert CLASSES.names == ("sky", "cat", "dog", "tv")
    assert CLASSES.labels == ((), (CAT_HEAD, CAT_TAIL), PARTS.labels_of("dog"), ())
    assert CLASSES.has_parts.tolist() == [False, True, True, False]
    assert np.flatnonzero(CLASSES.owned[1]).tolist() == [CAT_HEAD, CAT_TAIL] and not CLASSES.owned[3].any()
    assert not PartClasses.of(Vocabulary(("cat",), ("cat",))).has_parts.any()


def test_person6_gives_parts_to_persons_alone():
    vocabulary = Vocabulary(("dog", "person"), ("dog", "person", "sky"), parts=PartSet.from_names("person6", {}))
    assert PartClasses.of(vocabulary).labels == ((), (1, 2, 3, 4, 5, 6), ())


def test_a_segment_has_the_parts_of_its_own_object_where_that_lies_on_top():
    cat = [CAT_HEAD, CAT_HEAD, CAT_TAIL, 0, 0, 0]
    dog = [0, 0, DOG_HEAD, DOG_HEAD, 0, 0]
    rows = [(1, [1, 1, 1, 1, 0, 0], cat, False), (2, [0, 0, 1, 1, 0, 0], dog, False)]
    found = PartPanopticMap.of_annotations(annotations(rows, [1, 1, 1, 2, 0, 0]), CLASSES)
    # the third pixel is of both masks, and a cat by the semantic map
    assert found.segments.ids.tolist() == [[1, 1, 1, 2, 3, 3]]
    assert found.parts.tolist() == [[CAT_HEAD, CAT_HEAD, CAT_TAIL, DOG_HEAD, NO_PART, NO_PART]]


def test_crowds_objects_without_annotated_parts_and_classes_without_parts_have_none():
    rows = [
        (1, [1, 1, 0, 0, 0, 0], None, False),
        (2, [0, 0, 1, 1, 0, 0], [0, 0, DOG_HEAD, DOG_HEAD, 0, 0], True),
        (3, [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, PARTS.label_of("tv", "screen"), 0], False),
    ]
    given = annotations(rows, [1, 1, 2, 2, 3, 3])
    assert not PartPanopticMap.of_annotations(given, CLASSES).parts.any()
    assert not PartPanopticMap.of_annotations(annotations(rows, [1, 1, 2, 2, 3, 3], fields=False), CLASSES).parts.any()


def test_resized_and_chosen_objects_keep_their_own_parts():
    rows = [(1, [1, 1, 0, 0], [CAT_HEAD, CAT_TAIL, 0, 0], False), (2, [0, 0, 1, 1], [0, 0, 3, 4], False)]
    given = annotations(rows, [1, 1, 2, 2])
    objects = given.instances[torch.tensor([1, 0])]
    turned = ImageAnnotations(given.size, objects, semantic=given.semantic)
    assert PartPanopticMap.of_annotations(turned, CLASSES).parts.tolist() == [[CAT_HEAD, CAT_TAIL, 3, 4]]
    found = PartPanopticMap.of_annotations(given.resize((8, 2)), CLASSES)
    assert found.parts.tolist() == [[1, 1, 2, 2, 3, 3, 4, 4]] * 2
    again = PartPanopticMap.of_annotations(given, CLASSES)
    assert again.resize((4, 1)) is again
    computed = Computed(lambda: again, again.size).resize((8, 2)).value
    assert computed.size == (8, 2) and (computed.parts == found.parts).all()
    assert (computed.segments.ids == found.segments.ids).all()
