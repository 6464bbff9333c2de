"""Objects and a semantic map merged, each rule by hand on an image of one row."""

import numpy as np

from maskrcnn_benchmark.layers.panoptic_merge import MergeRules, merge_panoptic

SKY, CAT, GRASS, KITE = range(4)  # the semantic map knows no kite
IS_STUFF = np.array([True, False, True])
NO_OBJECT = -1
RULES = MergeRules(score=0.5, overlap=0.5, stuff_share=0.2)


def merged(objects, semantic, rules=RULES):
    """What each pixel is, (class, row of the object) or None; `objects` are (mask, class, score)."""
    masks = np.array([mask for mask, _, _ in objects], bool).reshape(-1, 1, len(semantic))
    kinds = np.array([kind for _, kind, _ in objects], np.int64)
    scores = np.array([score for _, _, score in objects], np.float64)
    ids, kinds, rows = merge_panoptic(masks, kinds, scores, np.array([semantic], np.uint8), IS_STUFF, rules)
    names = list(zip(kinds.tolist(), rows.tolist()))
    assert ids.dtype == np.int32 and set(ids.ravel().tolist()) - {0} == set(range(1, len(names) + 1))
    return [None if k == 0 else names[k - 1] for k in ids[0]]


def test_the_better_object_is_in_front():
    row = merged([([1, 1, 1, 0, 0], CAT, 0.6), ([0, 0, 1, 1, 1], CAT, 0.9)], [SKY] * 5)
    assert row == [(CAT, 0), (CAT, 0), (CAT, 1), (CAT, 1), (CAT, 1)]


def test_of_equal_scores_the_first_is_in_front():
    assert merged([([1, 1, 0], CAT, 0.6), ([0, 1, 1], KITE, 0.6)], [SKY] * 3) == [(CAT, 0), (CAT, 0), (KITE, 1)]


def test_an_object_of_which_more_than_the_share_is_taken_is_left_out():
    first, half, most = ([1, 1, 0, 0, 0], CAT, 0.9), ([0, 1, 1, 0, 0], CAT, 0.8), ([1, 1, 1, 0, 0], CAT, 0.8)
    assert merged([first, half], [SKY] * 5)[:3] == [(CAT, 0), (CAT, 0), (CAT, 1)]
    assert merged([first, most], [SKY] * 5)[:3] == [(CAT, 0), (CAT, 0), (SKY, NO_OBJECT)]
    assert merged([first, most], [SKY] * 5, MergeRules(0.5, 0.7, 0))[2] == (CAT, 1)


def test_an_object_that_is_left_out_takes_nothing_from_others():
    objects = [([1, 1, 1, 0, 0], CAT, 0.9), ([1, 1, 1, 1, 0], CAT, 0.8), ([0, 0, 0, 1, 1], CAT, 0.7)]
    assert merged(objects, [SKY] * 5)[3:] == [(CAT, 2), (CAT, 2)]


def test_an_object_needs_the_score_and_a_pixel():
    assert merged([([1, 0], CAT, 0.49), ([0, 0], CAT, 0.9)], [SKY] * 2) == [(SKY, NO_OBJECT)] * 2
    assert merged([([1, 0], CAT, 0.5)], [SKY] * 2)[0] == (CAT, 0)


def test_things_of_the_semantic_map_without_an_object_and_unknown_values_are_void():
    assert merged([([1, 0, 0, 0], CAT, 0.9)], [CAT, CAT, SKY, 255]) == [(CAT, 0), None, (SKY, NO_OBJECT), None]


def test_stuff_needs_its_share_of_the_image_after_the_objects():
    semantic = [SKY] * 3 + [GRASS, GRASS] + [SKY] * 5
    assert merged([], semantic) == [(k, NO_OBJECT) for k in semantic]
    row = merged([([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], KITE, 0.9)], semantic)
    assert row[3:5] == [(KITE, 0), None]


def test_an_image_of_nothing_has_no_segment():
    assert merged([], [255, CAT]) == [None, None]
