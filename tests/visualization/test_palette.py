"""Colours stay with their names and stay apart."""

import numpy as np
import pytest

from maskrcnn_benchmark.visualization.palette import INK, PAPER, colours_of, direction_colours, ink_on


def test_a_colour_depends_on_the_names_alone():
    assert colours_of(["person", "cat", "sky"]) == colours_of(("person", "cat", "sky"))
    assert colours_of(["person"])["person"] == colours_of(["person", "person"])["person"]


def test_sixty_names_get_sixty_colours():
    colours = colours_of(f"class {i}" for i in range(60))
    assert len(set(colours.values())) == 60


def test_more_names_than_colours_share_colours_instead_of_failing():
    assert len(colours_of(f"class {i}" for i in range(100))) == 100


def test_a_few_names_differ_by_a_visible_step():
    colours = np.array(list(colours_of(["person", "dog", "cat", "bird", "car", "sky", "grass"]).values()), dtype=float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=2) + 1000 * np.eye(len(colours))
    assert distance.min() > 40


def test_opposite_directions_have_different_colours_and_a_full_turn_the_same():
    theta = np.linspace(-np.pi, np.pi, 9)
    here, opposite, turned = (direction_colours(theta + d).astype(int) for d in (0, np.pi, 2 * np.pi))
    assert np.abs(here - opposite).max(1).min() > 60
    assert np.array_equal(here, turned)


@pytest.mark.parametrize(("ground", "expected"), [((255, 255, 0), INK), ((20, 20, 120), PAPER)])
def test_text_contrasts_with_its_ground(ground, expected):
    assert ink_on(ground) == expected
