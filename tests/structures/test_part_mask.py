"""Parts: their names, groups and partners, and the maps that carry them."""

import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.structures.part_mask import PART_SETS, PERSON6, PartMask, PartSet, crop_and_resize_parts
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM

PERSON_PARTS = ["silh", *(part for parts in PERSON6.values() for part in parts)]
THINGS = {
    "person": PERSON_PARTS,
    "car": ["leftside", "rightside", "leftmirror", "rightmirror", "roofside", "wheel"],
    "dog": ["head", "lear", "rear", "rfuleg", "tail"],
}


def flipped_name(parts, label):
    index = parts.flip_indices[parts.labels.index(label) + 1]
    return parts.labels[index - 1]


def test_labels_of_people_are_names_without_the_silhouette():
    parts = PartSet.from_names("person", THINGS)
    assert len(parts) == 24 and "silh" not in parts.labels and "car/wheel" not in parts.labels
    assert parts.label_of("person", "silh") == 0 and parts.label_of("dog", "head") == 0
    assert parts.labels[parts.label_of("person", "lhand") - 1] == "lhand"
    assert parts.owners == (("person",),) * 24


def test_labels_of_all_things_name_their_owner():
    parts = PartSet.from_names("all", THINGS)
    assert len(parts) == 24 + 6 + 5
    label = parts.label_of("dog", "tail")
    assert parts.labels[label - 1] == "dog/tail" and parts.owners[label - 1] == ("dog",)
    assert parts.label_of("car", "tail") == 0


def test_partners_are_found_by_name_within_a_thing():
    parts = PartSet.from_names("all", THINGS)
    for left, right in (("person/leye", "person/reye"), ("car/leftside", "car/rightside"), ("dog/lear", "dog/rear")):
        assert flipped_name(parts, left) == right and flipped_name(parts, right) == left
    for alone in ("person/head", "car/roofside", "dog/rfuleg", "person/mouth"):
        assert flipped_name(parts, alone) == alone


@pytest.mark.parametrize("name", ["person", "person6", "ppp57", "all"])
def test_mirroring_labels_twice_changes_none_and_background_stays(name):
    flips = PartSet.from_names(name, THINGS).flip_indices
    assert flips[0] == 0 and [flips[k] for k in flips] == list(range(len(flips)))


def test_the_order_in_which_parts_occur_does_not_matter():
    shuffled = {thing: random.Random(1).sample(parts, len(parts)) for thing, parts in reversed(THINGS.items())}
    assert PartSet.from_names("all", shuffled) == PartSet.from_names("all", THINGS)


def test_the_57_parts_of_pascal_panoptic_parts():
    """In the order of the published evaluation, and with every name that PASCAL in Detail has for a thing's parts."""
    parts = PartSet.from_names("ppp57", THINGS)
    assert len(parts) == 57 and parts == PartSet.from_names("ppp57", {})
    places = {0: "aeroplane/body", 5: "bicycle/wheel", 20: "car/license_plate", 31: "diningtable/table"}
    assert {k: parts.labels[k] for k in places} == places and parts.labels[-1] == "tvmonitor/frame"
    assert len({thing for things in parts.owners for thing in things}) == 20
    assert [len(parts.labels_of(thing)) for thing in ("aeroplane", "boat", "person", "train", "sky")] == [5, 1, 6, 1, 0]
    assert {parts.label_of("person", part) for part in THINGS["person"]} == {0, *parts.labels_of("person")}
    rests = {thing: parts.rest_of(thing) for things in parts.owners for thing in things}
    assert {thing for thing, rest in rests.items() if rest} == {
        *("bicycle", "boat", "chair", "diningtable", "motorbike", "sofa")
    }
    assert parts.labels[parts.rest_of("motorbike") - 1] == "motorbike/body"
    assert parts.labels[parts.label_of("horse", "lfhopa") - 1] == "horse/leg"
    assert parts.labels[parts.label_of("dog", "rbhopa") - 1] == "dog/lower_leg"
    assert parts.to_person6()[parts.label_of("person", "lhand")] == 4 and parts.to_person6()[1] == 0
    assert PartSet.from_dict(json.loads(json.dumps(parts.to_dict()))) == parts


def test_six_groups_cover_every_part_of_a_person():
    six = PartSet.from_names("person6", {})
    assert six.labels == ("head", "torso", "upper_arms", "lower_arms", "upper_legs", "lower_legs")
    assert [six.label_of("person", part) for part in ("hair", "neck", "ruarm", "lhand", "luleg", "rfoot")] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    assert six.label_of("dog", "head") == 0 and six.label_of("person", "silh") == 0
    assert len(PERSON_PARTS) == len(set(PERSON_PARTS)) == 25


def test_other_sets_translate_to_the_six_groups():
    parts = PartSet.from_names("all", THINGS)
    groups = parts.to_person6()
    assert len(groups) == len(parts) + 1 and groups[0] == 0
    assert groups[parts.label_of("person", "rhand")] == 4
    assert groups[parts.label_of("dog", "head")] == 0
    assert PartSet.from_names("person6", {}).to_person6() == (0, 1, 2, 3, 4, 5, 6)


def test_whole_limbs_are_labels_of_people_and_heads_of_dogs():
    parts = PartSet.from_names("superparts", THINGS, {"lear": "head", "rear": "head"})
    people = [label for label in parts.labels if label.startswith("person/")]
    assert people == [f"person/{name}" for name in ("head", "leftarm", "leftleg", "rightarm", "rightleg", "torso")]
    assert parts.label_of("person", "lhand") == parts.label_of("person", "luarm") == parts.labels.index(people[1]) + 1
    assert flipped_name(parts, "person/leftarm") == "person/rightarm"
    head = parts.label_of("dog", "head")
    assert parts.label_of("dog", "lear") == head and parts.members[head - 1] == ("head", "lear", "rear")
    assert parts.label_of("dog", "tail") != head and parts.label_of("person", "silh") == 0


def test_superparts_have_no_translation_to_the_six_groups_where_an_arm_is_whole():
    whole = PartSet.from_names("superparts", {"person": ["head", "luarm", "llarm"]})
    assert whole.to_person6() == (0,) * 3
    lower = PartSet.from_names("superparts", {"person": ["hair", "llarm", "lhand"], "dog": ["head"]})
    assert lower.labels == ("dog/head", "person/head", "person/leftarm") and lower.to_person6() == (0, 0, 1, 4)


@pytest.mark.parametrize("name", PART_SETS)
def test_part_sets_survive_json(name):
    parts = PartSet.from_names(name, THINGS, {"lear": "head", "rear": "head"})
    assert PartSet.from_dict(json.loads(json.dumps(parts.to_dict()))) == parts


@pytest.mark.parametrize("name", ["person", "person6", "all"])
def test_part_sets_of_older_checkpoints_are_understood(name):
    parts = PartSet.from_names(name, THINGS)
    tree = {**parts.to_dict(), "name": name}
    del tree["members"]
    assert PartSet.from_dict(tree) == parts
    assert PartSet.from_names("person", THINGS) == PartSet.from_names("person24", THINGS)


def test_unknown_or_overfull_sets_are_refused():
    with pytest.raises(ValueError, match="person6"):
        PartSet.from_names("people", THINGS)
    with pytest.raises(ValueError, match="at most 254"):
        PartSet.from_names("all", {"thing": [str(k) for k in range(255)]})


def hands(labels, annotated=(True,)):
    """A PartMask of one or more maps with 1 lhand, 2 nose, 3 rhand."""
    parts = PartSet.from_names("person", {"person": ["lhand", "rhand", "nose"]})
    labels = torch.tensor(labels, dtype=torch.uint8)
    return PartMask(labels, torch.tensor(annotated), (labels.shape[2], labels.shape[1]), parts)


def test_the_mirror_of_parts_worked_by_hand():
    parts = hands([[[1, 0, 2], [1, 3, 0]]])
    assert parts.transpose(FLIP_LEFT_RIGHT).labels.tolist() == [[[2, 0, 3], [0, 1, 3]]]
    assert parts.transpose(FLIP_TOP_BOTTOM).labels.tolist() == [[[3, 1, 0], [3, 0, 2]]]


@settings(max_examples=30)
@given(arrays("uint8", (2, 5, 7), elements=st.integers(0, 3)), st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM]))
def test_flipping_twice_gives_every_bit_back(same_bits, labels, method):
    parts = hands(labels.tolist(), (True, False))
    assert same_bits(parts.transpose(method).transpose(method).labels, parts.labels)


def test_resize_crop_and_pad():
    parts = hands([[[1, 2], [3, 0]]])
    assert parts.resize((4, 2)).labels.tolist() == [[[1, 1, 2, 2], [3, 3, 0, 0]]]
    assert parts.resize((4, 2)).size == (4, 2)
    assert parts.resize((1, 2)).labels.tolist() == [[[2], [0]]]
    assert parts.crop((1, 0, 2, 2)).labels.tolist() == [[[2], [0]]]
    assert parts.pad((3, 3)).labels.tolist() == [[[1, 2, 0], [3, 0, 0], [0, 0, 0]]]


def test_targets_worked_by_hand():
    parts = hands([[[1, 1, 2, 2], [1, 1, 3, 3], [0, 0, 0, 0]], [[2] * 4] * 3], (True, True))
    boxes = torch.tensor([[0.0, 0, 3, 1], [1, 1, 2, 2]])
    targets = parts.crop_and_resize(boxes, 2)
    assert targets.dtype == torch.int64
    assert targets.tolist() == [[[1, 2], [1, 3]], [[2, 2], [2, 2]]]
    # The last pixel belongs to a box: 1..2 of the first map in four cells
    assert parts[0].crop_and_resize(boxes[1:], 2).tolist() == [[[1, 3], [0, 0]]]
    assert (
        parts.crop_and_resize(torch.tensor([[0.0, 0, 3, 2]] * 2), 12)[0, ::4, ::3].tolist() == parts.labels[0].tolist()
    )


def test_selecting_repeats_instances_without_copying_their_maps():
    parts = hands([[[1, 2]], [[3, 0]]], (True, False))
    picked = parts[torch.tensor([1, 1, 0])]
    assert picked.labels[:, 0].tolist() == [[3, 0], [3, 0], [1, 2]]
    assert picked.annotated.tolist() == [False, False, True]
    assert picked._maps.tensor.data_ptr() == parts._maps.tensor.data_ptr()
    assert picked[picked.annotated].labels.tolist() == [[[1, 2]]]
    boxes = torch.tensor([[0.0, 0, 1, 0]] * 3)
    assert picked.crop_and_resize(boxes, 2)[:, 0].tolist() == [[3, 0], [3, 0], [1, 2]]
    assert parts[1].labels.tolist() == [[[3, 0]]] and len(parts[:1]) == 1


def test_maps_and_flags_must_fit():
    with pytest.raises(ValueError, match="flags"):
        hands([[[1, 2]]], (True, False))
    parts = hands([[[1, 2]]])
    with pytest.raises(ValueError, match="part maps"):
        PartMask(parts.labels, parts.annotated, (5, 5), parts.part_set)
    with pytest.raises(ValueError, match="boxes"):
        parts.crop_and_resize(torch.zeros(2, 4), 14)


def test_no_instances_are_fine():
    parts = hands([[[1, 2]]])[torch.tensor([False])]
    assert parts.resize((4, 4)).transpose(0).crop((0, 0, 2, 2)).pad((3, 3)).labels.shape == (0, 3, 3)
    assert parts.crop_and_resize(torch.zeros(0, 4), 14).shape == (0, 14, 14)


@settings(max_examples=30)
@given(arrays("uint8", (2, 5, 7), elements=st.integers(0, 3)), st.booleans(), st.integers(3, 12), st.integers(3, 12))
def test_targets_of_resized_and_mirrored_maps_are_those_of_the_maps_once_made(labels, flips, width, height):
    parts = hands(labels.tolist(), (True, False))[torch.tensor([1, 0, 1])].resize((width, height))
    parts = parts.transpose(FLIP_LEFT_RIGHT) if flips else parts
    boxes = torch.tensor([[0.0, 1, 2, 2], [-1, 0, 20, 20], [1, 1, 1, 1]])
    targets = parts.crop_and_resize(boxes, 5)
    made = PartMask(parts.labels, parts.annotated, (width, height), parts.part_set)
    assert torch.equal(targets, made.crop_and_resize(boxes, 5))
    assert parts.annotated.tolist() == [False, True, False]


def test_regions_of_several_images_are_cropped_together():
    generator = torch.Generator().manual_seed(0)
    part_set = PartSet.from_names("person6", THINGS)
    images = []
    for width, height in ((9, 7), (5, 12)):
        labels = torch.randint(0, 7, (3, height, width), generator=generator, dtype=torch.uint8)
        images.append(PartMask(labels, [True] * 3, (width, height), part_set))
    images[1] = images[1].resize((8, 20)).transpose(FLIP_LEFT_RIGHT)
    images[0] = images[0][torch.tensor([2, 0])]
    instances = [torch.tensor([1, 0, 1]), torch.tensor([2])]
    boxes = [torch.tensor([[0.0, 0, 4, 3], [-2, 1, 20, 5], [3, 3, 3, 3]]), torch.tensor([[1.5, 2, 30, 40]])]
    each = [part[index].crop_and_resize(b, 6) for part, index, b in zip(images, instances, boxes)]
    assert torch.equal(crop_and_resize_parts(images, instances, boxes, 6), torch.cat(each))


def test_a_boolean_mask_picks_as_its_indices_do():
    part_set = PartSet.from_names("person6", THINGS)
    parts = PartMask(torch.arange(12).reshape(3, 2, 2), [True, False, True], (2, 2), part_set)
    picked = parts[torch.tensor([True, False, True])]
    assert torch.equal(picked.labels, parts.labels[[0, 2]]) and picked.annotated.tolist() == [True, True]
    assert len(parts[torch.tensor([False] * 3)]) == 0


def test_windows_hold_the_maps_in_the_order_of_the_instances():
    labels = torch.zeros(3, 6, 8, dtype=torch.uint8)
    labels[0, 1:3, 2:5], labels[1, 4, 7], labels[2, :, 0] = 1, 2, 3
    parts = PartMask(labels, [True] * 3, (8, 6), PartSet.from_names("person6", {}))
    assert torch.equal(parts.windows().frames(), labels)
    assert torch.equal(parts[torch.tensor([2, 0])].windows().frames(), labels[[2, 0]])
    assert torch.equal(parts.transpose(FLIP_LEFT_RIGHT).windows().frames(), labels.flip(-1))
    assert torch.equal(parts[1:].resize((16, 12)).windows().frames(), parts[1:].resize((16, 12)).labels)
