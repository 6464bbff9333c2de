"""Mirrors undo themselves whatever the coordinates are, and notice when these were changed in between."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.exact_mirror import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM, mirror_exactly

FLOATS = st.floats(width=32, allow_nan=False)


def reflect(coords, method):
    x, y = coords.unbind(-1)
    return torch.stack((99 - x, y) if method == FLIP_LEFT_RIGHT else (x, 49 - y), -1)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=5), st.lists(st.integers(0, 1), max_size=6))
def test_any_sequence_of_mirrors_in_which_each_is_even_gives_the_coordinates_back(same_bits, points, methods):
    coords = torch.tensor(points)
    mirrored, origin = coords, None
    for method in methods + sorted(methods):
        mirrored, origin = mirror_exactly(mirrored, origin, method, reflect)
    assert same_bits(mirrored, coords)


def test_rounding_would_lose_the_coordinates_without_the_record(same_bits):
    coords = torch.tensor([[1e-7, 0.0]])
    assert not same_bits(reflect(reflect(coords, 0), 0), coords)
    once, origin = mirror_exactly(coords, None, FLIP_LEFT_RIGHT, reflect)
    assert same_bits(mirror_exactly(once, origin, FLIP_LEFT_RIGHT, reflect)[0], coords)


def test_coordinates_changed_since_are_mirrored_as_they_are_now():
    once, origin = mirror_exactly(torch.tensor([[10.0, 5.0]]), None, FLIP_LEFT_RIGHT, reflect)
    twice, _ = mirror_exactly(once + 1, origin, FLIP_LEFT_RIGHT, reflect)
    assert twice.tolist() == [[9.0, 6.0]]


def test_the_two_mirrors_combine():
    once, origin = mirror_exactly(torch.tensor([[10.0, 5.0]]), None, FLIP_LEFT_RIGHT, reflect)
    both, _ = mirror_exactly(once, origin, FLIP_TOP_BOTTOM, reflect)
    assert both.tolist() == [[89.0, 44.0]]


def test_an_unknown_flip_is_refused():
    with pytest.raises(ValueError, match="not 2"):
        mirror_exactly(torch.zeros(1, 2), None, 2, reflect)


def test_gradients_pass_through_a_mirror_and_back():
    coords = torch.tensor([[10.0, 5.0]], requires_grad=True)
    once, origin = mirror_exactly(coords, None, FLIP_LEFT_RIGHT, reflect)
    twice, _ = mirror_exactly(once, origin, FLIP_LEFT_RIGHT, reflect)
    (3 * once.sum() + 5 * twice.sum()).backward()
    assert coords.grad.tolist() == [[2.0, 8.0]]
