"""Damage by chance is the same for the same seed."""

import copy
import random

import pytest
from fuzzing import damage_bytes, damage_tree, nested, short

TREE = {"images": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "info": {"year": 2010, "parts": [0.5, True, None]}}


def damaged_tree(seed):
    tree = copy.deepcopy(TREE)
    words = damage_tree(random.Random(seed), tree)
    return words, short(tree)


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_gives_the_same_damage(seed):
    assert damaged_tree(seed) == damaged_tree(seed)
    data = bytes(range(200))
    assert damage_bytes(random.Random(seed), data) == damage_bytes(random.Random(seed), data)


def test_seeds_differ():
    assert len({damaged_tree(seed)[0] for seed in range(100)}) > 60
    assert len({damage_bytes(random.Random(seed), bytes(range(200)))[0] for seed in range(100)}) > 60


def test_a_tree_is_damaged():
    assert sum(damaged_tree(seed)[1] != short(TREE) for seed in range(100)) > 50


def test_empty_data_stays_empty():
    assert damage_bytes(random.Random(0), b"")[0] == b""


def test_a_deep_list_can_be_named():
    assert short(nested(100_000)) == "a deep list" and short([1]) == "[1]"
