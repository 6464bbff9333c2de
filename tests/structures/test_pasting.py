"""Objects pasted on an image: every label says what is then to be seen, and nothing that nobody looked for."""

import dataclasses

import cv2
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DetailKeypoints, PersonKeypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.pasting import LEAST_SEEN, PasteRules, fit_to_paste, persons_of
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.utils.errors import UserError

SIZE = WIDTH, HEIGHT = 40, 30
PARTS = PartSet.from_names("person", {"person": ["head", "torso"]})
PERSON, DOG, KITE = 1, 2, 3
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
# semantic classes 0 sky, 1 person, 2 dog, and none for kites; image labels in another order, dog, sky, person
RULES = PasteRules(
    semantic=torch.tensor([255, 1, 2, 255], dtype=torch.uint8),
    image_labels=torch.tensor([-1, 2, 0, -1]),
    semantic_of_image_labels=torch.tensor([2, 0, 1]),
    keypoint_labels=(PERSON,),
    tasks=frozenset(("detection", "keypoint", "semantic", "boundary", "occlusion", "classification")),
    by_class=frozenset(("detection", "semantic", "classification")),
    fields=frozenset(("masks", "parts")),
)


def rectangle(x1, y1, x2, y2):
    """uint8 [H, W], last row and column included."""
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[y1 : y2 + 1, x1 : x2 + 1] = 1
    return mask


def scene(*objects, parts=True, mode="mask"):
    """The annotations of rectangles (label, x1, y1, x2, y2), the later in front; one that is hidden is not annotated.

    Persons have their corners as keypoints and their whole mask as a torso.
    """
    labels = torch.tensor([label for label, *_ in objects], dtype=torch.int64)
    corners = torch.tensor([box for _, *box in objects], dtype=torch.float32).reshape(-1, 4)
    masks = torch.stack([torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8), *(rectangle(*box) for _, *box in objects)])[1:]
    semantic = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    edges = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    for k in range(len(masks)):
        masks[:k] *= 1 - masks[k]
    seen = masks.bool().flatten(1).any(dim=1)
    labels, corners, masks = labels[seen], corners[seen], masks[seen]
    for mask, label in zip(masks, labels):
        semantic[mask > 0] = RULES.semantic[label]
        edges |= mask - torch.from_numpy(cv2.erode(mask.numpy(), CROSS))
    instances = BoxList(corners, SIZE)
    instances.add_field("labels", labels)
    instances.add_field("masks", SegmentationMask(SegmentationMask(masks, SIZE, "mask"), SIZE, mode))
    if parts:
        instances.add_field("parts", PartMask(masks * 2, labels == PERSON, SIZE, PARTS))
    people = BoxList(corners[labels == PERSON], SIZE)
    people.add_field("labels", torch.ones(len(people), dtype=torch.int64))
    keypoints = torch.zeros(len(people), 14, 3)
    for row, (x1, y1, x2, y2) in zip(keypoints, people.bbox.tolist()):
        row[:4] = torch.tensor([[x1, y1, 1], [x2, y1, 1], [x2, y2, 1], [x1, y2, 1]])
    people.add_field("keypoints", DetailKeypoints(keypoints, SIZE))
    classes = torch.zeros(3)
    present = RULES.image_labels[labels]
    classes[present[present >= 0]] = 1
    classes[1] = 1
    return ImageAnnotations(
        SIZE,
        instances=instances,
        people=people,
        semantic=SemanticMap(semantic),
        boundary=BoundaryMap(edges),
        occlusion=OcclusionMap(edges, torch.stack((torch.zeros_like(edges), edges)).float()),
        classes=classes,
        image_id=7,
    )


def masks_of(annotations):
    return annotations.instances.get_field("masks").convert("mask").instances.masks


def pasted(below, above, chosen=None, rules=RULES):
    few = above.only(torch.arange(len(above.instances)) if chosen is None else torch.tensor(chosen), rules)
    return below.paste(few, masks_of(few).amax(0).bool(), rules)


@pytest.mark.parametrize("mode", ["mask", "poly"])
def test_objects_below_lose_what_is_covered_and_those_pasted_are_as_they_were(mode):
    below, above = scene((PERSON, 2, 2, 11, 21), (DOG, 20, 5, 29, 9), mode=mode), scene((DOG, 8, 2, 15, 25), mode=mode)
    result = pasted(below, above)
    assert result.instances.get_field("labels").tolist() == [PERSON, DOG, DOG]
    assert result.instances.bbox.tolist() == [[2, 2, 7, 21], [20, 5, 29, 9], [8, 2, 15, 25]]
    expected = torch.stack((rectangle(2, 2, 7, 21), rectangle(20, 5, 29, 9), rectangle(8, 2, 15, 25)))
    assert torch.equal(masks_of(result), expected)
    parts = result.instances.get_field("parts")
    assert torch.equal(parts.labels[0], 2 * rectangle(2, 2, 7, 21)) and parts.annotated.tolist() == [True, False, False]
    assert result.image_id == 7 and below.instances.bbox[0].tolist() == [2, 2, 11, 21]  # the argument is not changed


def test_a_side_that_is_not_covered_keeps_its_place_to_a_fraction_of_a_pixel():
    below = scene((PERSON, 2, 2, 11, 21))
    below.instances.bbox[0] = torch.tensor([1.7, 2.2, 11.4, 21.3])
    assert pasted(below, scene((DOG, 8, 0, 15, 29))).instances.bbox[0].tolist() == [
        pytest.approx(value) for value in (1.7, 2.2, 7, 21.3)
    ]


def test_an_object_goes_when_less_than_a_twentieth_of_it_is_seen_and_its_person_with_it():
    below = scene((PERSON, 0, 0, 39, 9), (PERSON, 0, 12, 39, 21))
    result = pasted(below, scene((DOG, 2, 0, 39, 21)))
    assert LEAST_SEEN == 0.05
    assert result.instances.get_field("labels").tolist() == [PERSON, PERSON, DOG] and len(result.people) == 2
    result = pasted(below, scene((DOG, 1, 0, 39, 9)))  # 2.5 % of the upper one are left
    assert result.instances.get_field("labels").tolist() == [PERSON, DOG] and result.instances.bbox[0, 1] == 12
    assert result.people.bbox.tolist() == [[0, 12, 39, 21]]
    assert (result.semantic.labels[:10, 0] == 1).all()  # it is still there where it is seen


def test_persons_below_are_occluded_where_they_are_covered_and_follow_the_boxes_of_their_objects():
    below, above = scene((PERSON, 2, 2, 11, 21)), scene((PERSON, 8, 2, 15, 25), (DOG, 30, 2, 35, 5))
    below.people.get_field("keypoints").keypoints[0, 4] = torch.tensor([10.0, 10, 0])  # not annotated stays so
    result = pasted(below, above)
    assert result.people.bbox.tolist() == [[2, 2, 7, 21], [8, 2, 15, 25]]
    assert result.people.get_field("labels").tolist() == [1, 1]
    first, second = result.people.get_field("keypoints").keypoints
    assert first[:5, 2].tolist() == [1, 2, 2, 1, 0] and second[:5, 2].tolist() == [1, 1, 1, 1, 0]
    assert torch.equal(first[:4, :2], below.people.get_field("keypoints").keypoints[0, :4, :2])
    assert len(pasted(below, above, [1]).people) == 1  # a dog brings no person


def test_what_covers_a_keypoint_of_coco_gives_it_coco_s_code():
    keypoints = PersonKeypoints([[[3.0, 3, 2]] * 16 + [[0, 0, 0]]], SIZE).cover(rectangle(0, 0, 5, 5).bool()).keypoints
    assert keypoints[0, :, 2].tolist() == [1] * 16 + [0] and keypoints[0, 0].tolist() == [3, 3, 1]


def test_a_person_without_an_object_goes_when_its_whole_box_is_covered_and_shrinks_to_what_is_not():
    below = scene((PERSON, 2, 2, 11, 21))
    below.instances = None
    assert pasted(below, scene((DOG, 0, 0, 20, 25))).people.bbox.tolist() == []
    assert pasted(below, scene((DOG, 0, 0, 20, 5))).people.bbox.tolist() == [[2, 6, 11, 21]]
    assert pasted(below, scene((DOG, 0, 0, 5, 5))).people.bbox.tolist() == [[2, 2, 11, 21]]
    assert pasted(below, scene((DOG, 0, 0, 5, 5))).instances is None


def test_the_semantic_map_has_the_class_of_a_pasted_object_or_is_ignored():
    result = pasted(scene((PERSON, 2, 2, 11, 21)), scene((DOG, 8, 2, 15, 25), (KITE, 30, 2, 35, 5)))
    labels = result.semantic.labels
    assert (labels[rectangle(8, 2, 15, 25) > 0] == 2).all() and (labels[rectangle(30, 2, 35, 5) > 0] == 255).all()
    assert (labels[rectangle(2, 2, 7, 21) > 0] == 1).all() and (labels[26:] == 0).all()


def test_boundaries_are_the_other_s_within_the_mask_one_along_it_and_the_own_ones_elsewhere():
    below, above = scene((PERSON, 2, 2, 11, 21)), scene((DOG, 8, 5, 20, 15), (PERSON, 12, 8, 14, 10))
    edges = pasted(below, above).boundary.edges
    mask, inner = rectangle(8, 5, 20, 15).bool(), rectangle(9, 6, 19, 14).bool()
    assert edges[mask & ~inner].all()
    assert torch.equal(edges[inner], above.boundary.edges[inner]) and edges[inner].sum() == 20
    assert torch.equal(edges[~mask], below.boundary.edges[~mask])


def test_the_border_of_the_image_is_no_boundary():
    edges = pasted(scene(), scene((DOG, 0, 20, 9, 29))).boundary.edges
    assert edges.nonzero().tolist() == [[20, x] for x in range(10)] + [[y, 9] for y in range(21, 30)]


def test_each_annotator_s_boundaries_get_the_border():
    below = scene((PERSON, 2, 2, 11, 21))
    one, two = below.boundary.edges, torch.zeros_like(below.boundary.edges)
    below.boundary = BoundaryMap.of_annotators(torch.stack((one, two)))
    annotators = pasted(below, scene((DOG, 20, 5, 29, 9))).boundary.annotators
    assert len(annotators) == 2 and annotators[1].sum() == 26 and annotators[0].sum() == 26 + one.sum()


def test_the_pasted_object_is_in_front_along_its_border():
    """Walking with it on the left: to the left above it, down on its left, to the right below it, up on its right."""
    above = scene((DOG, 10, 8, 25, 20))
    result = pasted(scene((PERSON, 2, 2, 11, 21)), above).occlusion
    sine, cosine = result.direction
    assert (cosine[8, 14:22] < -0.999).all() and (cosine[20, 14:22] > 0.999).all()
    assert (sine[12:17, 10] > 0.999).all() and (sine[12:17, 25] < -0.999).all()
    mask = rectangle(10, 8, 25, 20).bool()
    own = scene((PERSON, 2, 2, 11, 21)).occlusion
    assert torch.equal(result.edges[~mask], own.edges[~mask])
    assert torch.equal(result.direction[:, ~mask], own.direction[:, ~mask])
    lengths = result.direction.norm(dim=0)
    assert torch.allclose(lengths[result.edges.bool()], torch.tensor(1.0)) and not lengths[~result.edges.bool()].any()


def test_what_lies_in_front_among_the_pasted_objects_stays():
    above = scene((DOG, 8, 5, 20, 15), (PERSON, 12, 8, 14, 10))
    result = pasted(scene(), above).occlusion
    inner = rectangle(10, 7, 18, 13).bool()
    assert torch.equal(result.edges[inner], above.occlusion.edges[inner]) and result.edges[inner].any()
    assert torch.equal(result.direction[:, inner], above.occlusion.direction[:, inner])


def test_image_labels_are_joined_and_one_goes_only_if_nothing_of_it_can_be_there():
    dog, sky, person = range(3)
    below, above = scene((PERSON, 2, 2, 11, 21)), scene((DOG, 0, 0, 15, 25))
    assert pasted(below, above).classes.tolist() == [1, 1, 0]
    assert pasted(below, scene((DOG, 3, 0, 15, 25))).classes.tolist() == [1, 1, 1]
    assert pasted(below, scene((PERSON, 0, 0, 39, 29))).classes.tolist() == [0, 0, 1]  # the sky is covered, too
    assert pasted(below, scene((KITE, 0, 0, 15, 25))).classes.tolist() == [0, 1, 0]
    below.semantic = None  # a crowd, which training leaves out, may be there
    assert pasted(below, above).classes.tolist() == [1, 1, 1]
    below = scene((PERSON, 2, 2, 11, 21))
    below.classes[dog] = 1  # not in the map: outside of a crop, whose labels stay
    assert pasted(below, scene((KITE, 0, 0, 15, 25))).classes[[dog, sky, person]].tolist() == [1, 1, 0]


def test_what_is_not_annotated_below_stays_so():
    below, above = scene((PERSON, 2, 2, 11, 21), parts=False), scene((PERSON, 8, 2, 15, 25))
    result = pasted(below, above)
    assert not result.instances.has_field("parts")
    for name in ("people", "semantic", "boundary", "occlusion", "classes", "instances"):
        setattr(below, name, None)
        assert getattr(pasted(below, above), name) is None


def test_parts_that_are_not_annotated_above_are_not_taken_for_empty():
    result = pasted(scene((PERSON, 2, 2, 11, 21)), scene((PERSON, 20, 2, 25, 9), parts=False))
    parts = result.instances.get_field("parts")
    assert parts.annotated.tolist() == [True, False] and not parts.labels[1].any()


def test_what_must_be_known_of_pasted_objects():
    assert RULES.needed(["detection", "semantic", "classification"]) == set()
    assert RULES.needed(["keypoint", "boundary", "occlusion", "depth"]) == {"keypoint", "boundary", "occlusion"}


def test_labels_of_tasks_that_do_not_say_how_they_are_pasted_are_left_out():
    below, above = scene((PERSON, 2, 2, 11, 21)), scene((DOG, 8, 2, 15, 25))
    for annotations in (below, above):
        annotations.labels["saliency"] = annotations.semantic
        annotations.labels["place"] = torch.ones(4)
        annotations.instances.add_field("age", torch.ones(len(annotations.instances)))
    result = pasted(below, above)
    assert {"saliency", "place"}.isdisjoint(result.labels) and not result.instances.has_field("age")
    rules = dataclasses.replace(RULES, tasks=RULES.tasks | {"saliency", "place"}, fields=RULES.fields | {"age"})
    result = pasted(below, above, rules=rules)
    assert result.instances.get_field("age").tolist() == [1, 1] and torch.equal(result.labels["place"], torch.ones(4))
    mask = rectangle(8, 2, 15, 25).bool()
    assert torch.equal(result.labels["saliency"].labels[mask], above.semantic.labels[mask])
    assert torch.equal(result.labels["saliency"].labels[~mask], below.semantic.labels[~mask])


def test_the_label_of_an_added_task_by_class_is_given_the_pasted_objects():
    class Dogs:
        """How many pixels of an image are of dogs."""

        size = SIZE
        resize = transpose = crop = pad = to = lambda self, *arguments: self

        def __init__(self, pixels):
            self.pixels = pixels

        def paste(self, objects, mask):
            dogs = objects.get_field("labels") == DOG
            return Dogs(self.pixels + int(objects.get_field("masks").get_mask_tensor()[dogs].sum()))

    below, above = scene((PERSON, 2, 2, 11, 21)), scene((DOG, 8, 2, 15, 25), (PERSON, 20, 2, 29, 9))
    below.labels["dogs"] = Dogs(5)  # which `above` lacks
    rules = dataclasses.replace(RULES, tasks=RULES.tasks | {"dogs"}, by_class=RULES.by_class | {"dogs"})
    assert pasted(below, above, rules=rules).labels["dogs"].pixels == 5 + 8 * 24


def test_a_structure_that_its_task_says_can_be_pasted_and_cannot_is_the_users_error():
    below, above = scene((PERSON, 2, 2, 11, 21)), scene((DOG, 8, 2, 15, 25))
    for annotations in (below, above):
        annotations.labels["depth"] = PartMask(torch.zeros(1, HEIGHT, WIDTH), torch.ones(1), SIZE, PARTS)
    pasted(below, above)
    rules = dataclasses.replace(RULES, tasks=RULES.tasks | {"depth"})
    with pytest.raises(UserError, match=r"the label 'depth' is a PartMask without 'paste', .* can_be_pasted False"):
        pasted(below, above, rules=rules)


def test_flags_that_one_image_lacks_are_what_goes_without_saying():
    below, above = scene((PERSON, 2, 2, 11, 21)), scene((DOG, 8, 2, 15, 25))
    below.instances.add_field("has_mask", torch.tensor([True]))
    above.instances.add_field("iscrowd", torch.tensor([False]))
    instances = pasted(below, above).instances
    assert instances.get_field("has_mask").tolist() == [True, True]
    assert instances.get_field("iscrowd").tolist() == [False, False]


def test_of_overlapping_masks_the_smaller_object_s_pixels_do_not_go_along_with_the_larger_one():
    above = scene((PERSON, 2, 2, 21, 21), (DOG, 30, 2, 33, 5))
    masks = torch.stack((rectangle(2, 2, 21, 21), rectangle(18, 0, 33, 5)))  # the dog hides the corner of the person
    above.instances.add_field("masks", SegmentationMask(masks, SIZE, "mask"))
    person = above.only(torch.tensor([0]), RULES)
    assert torch.equal(masks_of(person)[0], rectangle(2, 2, 21, 21) - rectangle(18, 2, 21, 5))
    assert person.people.get_field("keypoints").keypoints[0, :4, 2].tolist() == [1, 2, 1, 1]
    assert not person.instances.get_field("parts").labels[0, 2:6, 18:].any()
    assert torch.equal(masks_of(above.only(torch.tensor([1]), RULES))[0], masks[1])
    assert torch.equal(masks_of(above.only(torch.tensor([0, 1]), RULES)), masks)
    masks[1] = rectangle(2, 2, 21, 20)
    above.instances.add_field("masks", SegmentationMask(masks, SIZE, "mask"))
    assert len(above.only(torch.tensor([0]), RULES).instances) == 1  # a twentieth of it is left
    masks[1, 21, 2] = 1
    above.instances.add_field("masks", SegmentationMask(masks, SIZE, "mask"))
    nobody = above.only(torch.tensor([0]), RULES)
    assert len(nobody.instances) == len(nobody.people) == 0


def test_a_person_whose_object_is_not_touched_keeps_a_box_of_its_own():
    below = scene((PERSON, 2, 2, 11, 21))
    below.people.bbox[0] = torch.tensor([3.0, 1, 12, 19])
    assert pasted(below, scene((DOG, 12, 0, 15, 25))).people.bbox.tolist() == [[3, 1, 12, 19]]
    assert pasted(below, scene((DOG, 11, 0, 15, 25))).people.bbox.tolist() == [[2, 2, 10, 21]]


def test_crowds_objects_without_a_mask_and_those_that_touch_a_box_without_one_are_not_pasted():
    above = scene((DOG, 8, 2, 15, 25), (DOG, 20, 2, 25, 25), (DOG, 30, 2, 35, 25), (DOG, 0, 0, 1, 1)).instances
    assert fit_to_paste(above, None).tolist() == [True] * 4
    above.add_field("iscrowd", torch.tensor([True, False, False, False]))
    above.get_field("masks").instances.masks[3] = 0
    assert fit_to_paste(above, scene().instances).tolist() == [False, True, True, False]
    below = scene((PERSON, 2, 2, 3, 3), (PERSON, 24, 4, 27, 9)).instances
    below.get_field("masks").instances.masks[1] = 0
    assert fit_to_paste(above, below).tolist() == [False, False, True, False]


def test_persons_are_tied_to_the_objects_that_they_overlap_with_most():
    people = BoxList([[0, 0, 9, 9], [20, 0, 29, 9], [1, 0, 10, 9], [30, 20, 35, 25]], SIZE)
    objects = scene((DOG, 20, 0, 29, 9), (PERSON, 0, 0, 9, 9), (PERSON, 21, 1, 29, 9)).instances
    assert persons_of(people, objects).tolist() == [1, 0, -1, -1]
    assert persons_of(people, objects, (PERSON,)).tolist() == [1, 2, -1, -1]
    assert persons_of(people, objects[:0]).tolist() == [-1] * 4 and persons_of(people[:0], objects).tolist() == []


BOXES = st.tuples(st.integers(0, 39), st.integers(0, 29), st.integers(0, 39), st.integers(0, 29)).map(
    lambda box: (*map(min, box[:2], box[2:]), *map(max, box[:2], box[2:]))
)
OBJECTS = st.lists(st.tuples(st.integers(1, 3), BOXES).map(lambda pair: (pair[0], *pair[1])), max_size=4)


@given(OBJECTS, OBJECTS)
def test_whatever_is_pasted_the_labels_of_all_tasks_agree(below, above):
    below, above = scene(*below), scene(*above)
    chosen = fit_to_paste(above.instances, None).nonzero().squeeze(1)
    few = above.only(chosen, RULES)
    mask = masks_of(few).sum(0).bool() if len(chosen) else torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    result = below.paste(few, mask, RULES)
    masks, labels = masks_of(result), result.instances.get_field("labels")
    assert masks.sum(0).max() <= 1 if len(masks) else True  # disjoint, as those of each image are
    assert torch.equal(masks[len(masks) - len(chosen) :], masks_of(few))
    assert torch.equal(result.instances.bbox[len(masks) - len(chosen) :], few.instances.bbox)
    for each, label in zip(masks, labels):
        assert (result.semantic.labels[each > 0] == RULES.semantic[label]).all()
    assert torch.equal(result.semantic.labels[~mask], below.semantic.labels[~mask])
    assert torch.equal(result.boundary.edges, result.occlusion.edges)
    parts = result.instances.get_field("parts")
    assert torch.equal(parts.labels, 2 * masks) and torch.equal(parts.annotated, labels == PERSON)
    for row in result.people.get_field("keypoints").keypoints[: len(result.people) - len(few.people), :4]:
        assert [2 if mask[int(y), int(x)] else 1 for x, y, _ in row.tolist()] == row[:, 2].tolist()
    shown = set(result.semantic.labels[result.semantic.labels != IGNORE_INDEX].tolist())
    assert all(result.classes[k] == (RULES.semantic_of_image_labels[k].item() in shown) for k in (0, 2))


def test_pasting_nothing_changes_no_label(tensors_of, same_bits):
    below = scene((PERSON, 2, 2, 11, 21), (DOG, 20, 5, 29, 9))
    result = below.paste(scene().only(torch.tensor([], dtype=torch.int64), RULES), torch.zeros(30, 40).bool(), RULES)
    for annotations in (below, result):
        annotations.instances.add_field("outlines", annotations.instances.get_field("masks").convert("poly"))
    before, after = tensors_of(below), tensors_of(result)
    assert [name for name in before if not same_bits(before[name], after[name])] == []
