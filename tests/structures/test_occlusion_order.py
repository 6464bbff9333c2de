"""Which objects are in front of which, by votes of directed edges."""

import math
from itertools import combinations

import cv2
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maskrcnn_benchmark.data.mini_detail.edges import occlusion_chains
from maskrcnn_benchmark.data.mini_detail.scene import draw_scene
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import OcclusionMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.occlusion_order import (
    ANNOTATED,
    OcclusionOrder,
    OrderRules,
    in_front,
    occlusion_votes,
)
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.occlusion import chains_to_edges

HEIGHT, WIDTH = 6, 8
UP, DOWN = (-1.0, 0.0), (1.0, 0.0)  # (sin, cos) of upright edges: in front is what lies on the left, on the right
PIXEL = OrderRules(strength=0.0, reach=0.0, length=0.0, share=0.5)  # a pixel on each side


def halves():
    """The left and the right half of the image."""
    masks = np.zeros((2, HEIGHT, WIDTH), bool)
    masks[0, :, :4], masks[1, :, 4:] = True, True
    return masks


def edge(column, *directions):
    """An upright edge: places [HEIGHT], directions [2, HEIGHT] as given, repeated down the column."""
    return np.arange(HEIGHT) * WIDTH + column, np.array([directions[i % len(directions)] for i in range(HEIGHT)]).T


def votes_of(masks, edges, rules=PIXEL, strength=1.0):
    places, directions = edges
    return occlusion_votes(masks, places, directions, np.full(len(places), strength), rules)


def test_an_edge_votes_for_what_lies_on_its_left():
    assert votes_of(halves(), edge(3, UP)).tolist() == [[0, 6], [0, 0]]
    # the edge pixel belongs to what is in front, here to the right half
    assert votes_of(halves(), edge(4, DOWN)).tolist() == [[0, 0], [6, 0]]
    assert votes_of(halves(), edge(3, UP), strength=0.25).tolist() == [[0, 1.5], [0, 0]]
    assert votes_of(halves(), edge(3, np.multiply(UP, 7))).tolist() == [[0, 6], [0, 0]]


def test_votes_are_the_shares_of_the_places_on_both_sides():
    reach = OrderRules(strength=0.0, reach=4 / math.hypot(HEIGHT, WIDTH), length=0.0, share=0.5)
    masks = halves()
    masks[1, :, 4] = False  # a gap: 3 of the 4 places on the right are the second object's
    assert votes_of(masks, edge(3, UP), reach)[0, 1] == 6 * 3 / 4
    masks[1, :, 3] = True  # and of the left 1 of 4, none of which is the first one's alone
    assert votes_of(masks, edge(3, UP), reach)[0, 1] == 6 * 3 / 4
    masks[0, :, 4] = True  # 1 of 4 on the right times 1 of 4 on the left speaks against it
    assert votes_of(masks, edge(3, UP), reach)[0, 1] == 6 * (3 / 4 - 1 / 16)


def test_what_says_nothing_has_no_vote():
    nothing = np.zeros((2, 2))
    for masks, edges, strength in (
        (halves(), edge(3, (0.0, 0.0)), 1.0),  # without a direction
        (halves(), edge(1, UP), 1.0),  # within an object
        (halves(), edge(0, DOWN), 1.0),  # at the border of the image
        (np.stack([halves()[0]] * 2), edge(3, UP), 1.0),  # between an object, found twice, and stuff
        (np.ones((2, HEIGHT, WIDTH), bool), edge(3, UP), 1.0),
        (halves(), edge(3, UP), 0.4),
    ):
        rules = OrderRules(strength=0.5, reach=0.0, length=0.0, share=0.5)
        np.testing.assert_array_equal(votes_of(masks, edges, rules, strength), nothing)
    assert votes_of(halves()[:1], edge(3, UP)).tolist() == [[0]]
    assert votes_of(halves()[:0], edge(3, UP)).shape == (0, 0)


def test_votes_suffice_by_length_and_share():
    votes = np.array([[0.0, 3.0, 0.0], [1.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    shape = 6, 8  # a diagonal of 10

    def order(length, share):
        return np.argwhere(in_front(votes, shape, OrderRules(0.0, 0.0, length, share))).tolist()

    assert order(0.0, 0.5) == [[0, 1], [1, 2]]
    assert order(0.0, 0.25) == [[0, 1], [1, 0], [1, 2]]
    assert order(0.1, 0.25) == [[0, 1], [1, 0]]
    assert order(0.11, 0.25) == [[0, 1]]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.sampled_from([0.0, 0.1, 0.25, 1.5]))
def test_votes_are_those_of_a_slow_computation(seed, count, reach):
    rng = np.random.default_rng(seed)
    masks = rng.random((count, HEIGHT, WIDTH)) < 0.5
    places = rng.permutation(HEIGHT * WIDTH)[: rng.integers(0, 20)]
    # whole steps along the axes, so that no rounding decides
    directions = np.array([(0, 1), (1, 0), (0, -1), (-1, 0), (0, 0)])[rng.integers(0, 5, len(places))].T
    strengths = rng.integers(0, 5, len(places)) / 4
    rules = OrderRules(strength=0.25, reach=reach, length=0.0, share=0.5)
    pixels = max(1, round(reach * math.hypot(HEIGHT, WIDTH)))
    steps = np.rint(np.linspace(0, pixels - 1, min(pixels, 8)))
    expected = np.zeros((count, count))
    for place, (sin, cos), strength in zip(places, directions.T, strengths):
        if strength < 0.25 or (sin == 0 and cos == 0):
            continue
        shares = np.zeros((2, count))
        for k in range(count):
            for side, far in ((0, steps), (1, -steps - 1)):
                for step in far.astype(int).tolist():
                    x, y = place % WIDTH + step * sin, place // WIDTH - step * cos
                    shares[side, k] += 0 <= x < WIDTH and 0 <= y < HEIGHT and masks[k, y, x]
        left, right = shares / len(steps)
        for i in range(count):
            for j in range(count):
                expected[i, j] += strength * max(0.0, left[i] * right[j] - right[i] * left[j])
    np.testing.assert_allclose(occlusion_votes(masks, places, directions, strengths, rules), expected, atol=1e-12)


def test_of_very_many_edge_pixels_some_vote_for_all():
    masks = np.zeros((2, 300, 300), bool)
    masks[0, :, :150], masks[1, :, 150:] = True, True
    rules, directions = OrderRules(0.0, 0.05, 0.0, 0.5), np.tile(np.array([[-1.0], [0.0]]), 300 * 300)
    places, strengths = np.arange(300 * 300), np.ones(300 * 300)
    votes = occlusion_votes(masks, places, directions, strengths, rules)
    parts = [slice(k, k + 300 * 30) for k in range(0, 300 * 300, 300 * 30)]
    every = sum(occlusion_votes(masks, places[p], directions[:, p], strengths[p], rules) for p in parts)
    np.testing.assert_allclose(votes, every, rtol=0.02)


def annotated(edges, iscrowd=None):
    masks = torch.from_numpy(np.concatenate([halves(), np.ones((1, HEIGHT, WIDTH), bool)])).to(torch.uint8)
    objects = BoxList(torch.tensor([[0.0, 0, 3, 5], [4, 0, 7, 5], [0, 0, 7, 5]]), (WIDTH, HEIGHT))
    objects.add_field("labels", torch.tensor([2, 1, 1]))
    objects.add_field("masks", SegmentationMask(masks, (WIDTH, HEIGHT), mode="mask"))
    if iscrowd is not None:
        objects.add_field("iscrowd", torch.tensor(iscrowd))
    places, directions = edges
    occlusion = OcclusionMap.of_edges(
        torch.from_numpy(places), torch.from_numpy(directions.astype(np.float32)), (WIDTH, HEIGHT)
    )
    return ImageAnnotations((WIDTH, HEIGHT), objects, occlusion=occlusion)


def test_annotated_edges_order_annotated_objects():
    order = OcclusionOrder.of_annotations(annotated(edge(4, DOWN), [False, False, True]))
    assert order.objects.tolist() == [0, 1] and order.labels.tolist() == [2, 1] and order.scores.tolist() == [1, 1]
    assert order.votes.tolist() == [[0, 0], [6, 0]] and order.in_front.tolist() == [[False, False], [True, False]]
    assert order.size == (WIDTH, HEIGHT) and (order.masks == halves()).all()
    assert len(OcclusionOrder.of_annotations(annotated(edge(4, DOWN)))) == 3


def test_both_are_in_front_where_edges_say_both():
    places, directions = edge(3, UP)
    directions = np.where(np.arange(HEIGHT) < 3, directions, np.array(DOWN)[:, None])
    places = np.where(np.arange(HEIGHT) < 3, places, places + 1)
    order = OcclusionOrder.of_annotations(annotated((places, directions), [False, False, True]))
    assert order.votes.tolist() == [[0, 3], [3, 0]] and order.in_front.tolist() == [[False, True], [True, False]]


def test_an_order_is_resized_and_taken_apart():
    order = OcclusionOrder.of_annotations(annotated(edge(4, DOWN), [False, False, True]))
    larger = order.resize((2 * WIDTH, 2 * HEIGHT))
    assert larger.size == (2 * WIDTH, 2 * HEIGHT) and order.resize(order.size) is order
    assert (larger.masks == halves().repeat(2, axis=1).repeat(2, axis=2)).all() and larger.votes is order.votes
    turned = order.take(np.array([1, 0]))
    assert turned.objects.tolist() == [1, 0] and turned.in_front.tolist() == [[False, True], [False, False]]
    assert len(order.take(np.array([False, True]))) == 1


def drawing_order(scene):
    """(visible bool [n, H, W] of a scene's objects, whether the row's hides part of the column's bool [n, n]).

    As Zhan et al. 2020 have it of amodal masks: the visible masks must touch. What is drawn later is in front.
    """
    first = len(scene.categories) - len(scene.standing)
    regions = [instance.region for instance in scene.instances]
    visible = np.array([scene.regions == region for region in regions])
    whole = [scene.standing[region - first][1] for region in regions]
    order = np.zeros((len(regions), len(regions)), bool)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for i, j in combinations(range(len(regions)), 2):
        touches = (cv2.dilate(visible[i].view(np.uint8), cross) > 0) & visible[j]
        order[j, i] = touches.any() and (visible[j] & whole[i]).any()
    return visible, order


def test_annotated_edges_give_the_order_in_which_mini_detail_was_drawn():
    found = []
    for index in range(150):
        scene = draw_scene(np.random.default_rng([0, 0, index]))
        if len(scene.instances) < 2:
            continue
        visible, drawn = drawing_order(scene)
        height, width = scene.regions.shape
        chains = [chain[:, 0] * height + chain[:, 1] for chain in occlusion_chains(scene.regions, scene.depths)]
        places, directions = chains_to_edges(chains, [1] * len(chains), (width, height))
        votes = occlusion_votes(visible, places, directions, np.ones(len(places)), ANNOTATED)
        order = in_front(votes, (height, width), ANNOTATED)
        pairs = combinations(range(len(drawn)), 2)
        found += [
            order[i, j] == drawn[i, j] and order[j, i] == drawn[j, i] for i, j in pairs if drawn[i, j] or drawn[j, i]
        ]
    assert len(found) >= 60 and np.mean(found) >= 0.95
