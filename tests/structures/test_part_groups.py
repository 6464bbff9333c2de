"""How parts group and mirror: the table of people, the file's superparts, and the laws that hold for any names."""

import itertools
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.part_groups import (
    PERSON6,
    PERSON_TABLE,
    group_by_superpart,
    mirror_groups,
    mirror_partners,
)
from maskrcnn_benchmark.structures.part_mask import PART_SETS, PartSet

PERSON24 = tuple(part for part, _, _ in PERSON_TABLE)
# Names as they occur: each alone, or one of a pair, with prefixes that can be taken for a side's
NAMES = st.builds("".join, st.tuples(st.sampled_from(["", "l", "r", "left", "right", "rl"]), st.sampled_from("ahx")))
THINGS = {
    "person": PERSON24,
    "dog": ("head", "lear", "rear", "leye", "reye", "lfleg", "rfleg", "tail", "rfuleg"),
    "car": ("leftside", "rightside", "leftmirror", "rightmirror", "roofside", "wheel"),
}


def test_the_table_has_every_part_of_a_person_once_and_three_levels():
    assert len(PERSON24) == len(set(PERSON24)) == 24
    assert list(itertools.chain.from_iterable(PERSON6.values())) == [row[0] for row in PERSON_TABLE]
    assert {superpart for _, _, superpart in PERSON_TABLE} == {
        *("head", "torso", "leftarm", "rightarm", "leftleg", "rightleg")
    }
    # the levels nest: parts of one superpart and one group of six are of one side of one limb
    assert {(group, superpart) for _, group, superpart in PERSON_TABLE} == {
        *(("head", "head"), ("torso", "torso")),
        *((f"{half}_{limb}s", f"{side}{limb}") for half in ("upper", "lower") for limb in ("arm", "leg")
          for side in ("left", "right")),
    }  # fmt: skip


@pytest.mark.parametrize("column", [1, 2])
def test_grouping_people_commutes_with_the_mirror_of_every_part(column):
    groups = {row[0]: row[column] for row in PERSON_TABLE}
    mirror, mirror_of_group = mirror_partners(groups), mirror_groups(groups)
    assert sum(mirror[part] != part for part in groups) == 18
    for part, group in groups.items():
        assert groups[mirror[part]] == mirror_of_group[group]
    expected = {"leftarm": "rightarm", "rightarm": "leftarm", "leftleg": "rightleg", "rightleg": "leftleg"}
    assert mirror_of_group == {group: expected.get(group, group) for group in groups.values()}


def test_partners_are_found_by_either_spelling_of_a_side():
    partners = mirror_partners(["lear", "rear", "leftside", "rightside", "roofside", "rfuleg", "nose"])
    assert partners == {
        **dict(zip(("lear", "rear", "leftside", "rightside"), ("rear", "lear", "rightside", "leftside"))),
        **{alone: alone for alone in ("roofside", "rfuleg", "nose")},
    }


@given(st.sets(NAMES))
def test_the_mirror_of_any_names_is_an_involution(names):
    partners = mirror_partners(names)
    assert set(partners) == names
    assert all(partners[partners[name]] == name for name in names)


@given(st.sets(NAMES, min_size=1), st.dictionaries(NAMES, st.sampled_from(["none", "head", "lefta", "righta", "a"])))
def test_grouping_by_any_superparts_commutes_with_the_mirror(parts, superparts):
    for thing in ("person", "dog"):
        groups = group_by_superpart(thing, parts, superparts)
        mirror, mirror_of_group = mirror_partners(parts), mirror_groups(groups)
        assert set(groups) == parts and set(mirror_of_group) == set(groups.values())
        assert all(mirror_of_group[mirror_of_group[group]] == group for group in groups.values())
        for part in parts:
            if mirror[part] != part:
                assert groups[mirror[part]] == mirror_of_group[groups[part]]


def test_the_file_says_what_belongs_together_and_the_rest_stands_alone():
    superparts = {
        "lear": "head",
        "rear": "head",
        "leye": "head",
        "reye": "head",
        "lfleg": "front_l",
        "rfleg": "front_r",
    }
    groups = group_by_superpart("dog", THINGS["dog"], superparts)
    assert groups == {
        **dict.fromkeys(("head", "lear", "rear", "leye", "reye"), "head"),
        "lfleg": "front_l",
        "rfleg": "front_r",
        "tail": "tail",
        "rfuleg": "rfuleg",
    }
    assert mirror_groups(groups)["front_l"] == "front_r"  # by their parts; their names do not tell
    assert group_by_superpart("car", THINGS["car"], superparts) == {part: part for part in THINGS["car"]}


def test_people_fall_back_to_the_table_part_by_part():
    assert group_by_superpart("person", PERSON24, {}) == {row[0]: row[2] for row in PERSON_TABLE}
    own = group_by_superpart("person", PERSON24, {"lfoot": "leftfoot", "rfoot": "rightfoot", "hair": "none"})
    assert own["lfoot"] == "leftfoot" and own["llleg"] == "leftleg" and own["hair"] == "head"
    assert mirror_groups(own)["leftfoot"] == "rightfoot"


def test_sides_are_paired_by_name_where_no_part_has_a_partner():
    groups = group_by_superpart("person", ["luarm", "rhand", "nose"], {})
    assert mirror_groups(groups) == {"leftarm": "rightarm", "rightarm": "leftarm", "head": "head"}


def test_superparts_that_contradict_the_mirror_are_dissolved_and_reported(caplog):
    superparts = {"lear": "head", "rear": "tail", "leye": "head", "reye": "head"}
    with caplog.at_level(logging.WARNING):
        groups = group_by_superpart("dog", ["head", "lear", "rear", "leye", "reye", "tail"], superparts)
    assert groups == {**{part: part for part in ("head", "lear", "leye", "reye")}, "rear": "tail", "tail": "tail"}
    assert mirror_groups(groups)["lear"] == "tail"
    assert "dog: the superparts of its left and right parts contradict one another" in caplog.text
    assert "these stand alone: head, lear, leye, reye" in caplog.text


@pytest.mark.parametrize("name", PART_SETS)
def test_the_mirror_of_every_set_is_an_involution_and_keeps_owners(name):
    parts = PartSet.from_names(name, THINGS, {"lear": "head", "rear": "head", "lfleg": "legs", "rfleg": "legs"})
    flips = parts.flip_indices
    assert flips[0] == 0 and [flips[k] for k in flips] == list(range(len(parts) + 1))
    assert all(parts.owners[flips[k] - 1] == parts.owners[k - 1] for k in range(1, len(parts) + 1))


@pytest.mark.parametrize("name", PART_SETS)
def test_the_label_of_a_mirrored_part_is_the_mirror_of_its_label(name):
    parts = PartSet.from_names(name, THINGS, {"lear": "head", "rear": "head"})
    for thing, names in THINGS.items():
        for part, partner in mirror_partners(names).items():
            assert parts.label_of(thing, partner) == parts.flip_indices[parts.label_of(thing, part)]
