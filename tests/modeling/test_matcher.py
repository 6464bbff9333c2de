"""Thresholds, and what a box claims that no prediction overlaps well."""

import pytest
import torch

from maskrcnn_benchmark.modeling.matcher import Matcher

QUALITY = torch.tensor([[0.8, 0.5, 0.1, 0.0, 0.25], [0.1, 0.2, 0.2, 0.1, 0.2]])


def test_thresholds_separate_match_between_and_below():
    assert Matcher(0.7, 0.3)(QUALITY).tolist() == [0, -2, -1, -1, -1]


def test_thresholds_belong_to_the_better_side():
    assert Matcher(0.8, 0.5)(QUALITY[:1]).tolist() == [0, -2, -1, -1, -1]


def test_low_quality_matches_go_to_all_predictions_that_tie_for_a_box():
    # The second box's best quality is 0.2, at predictions 1, 2 and 4; each takes its own best box.
    assert Matcher(0.7, 0.3, allow_low_quality_matches=True)(QUALITY).tolist() == [0, 0, 1, -1, 0]


def test_a_box_that_overlaps_nothing_claims_nothing():
    quality = torch.tensor([[0.9, 0.1], [0.0, 0.0]])
    assert Matcher(0.7, 0.3, allow_low_quality_matches=True)(quality).tolist() == [0, -1]


def test_without_boxes_everything_is_below():
    assert Matcher(0.7, 0.3, allow_low_quality_matches=True)(torch.zeros(0, 3)).tolist() == [-1, -1, -1]


def test_without_predictions_nothing_is_matched():
    assert Matcher(0.7, 0.3, allow_low_quality_matches=True)(torch.zeros(2, 0)).tolist() == []


def test_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="low_threshold"):
        Matcher(0.3, 0.7)


def test_a_batch_is_matched_as_its_images_and_what_fills_it_up_matches_nothing():
    filled = torch.stack((QUALITY, torch.cat((QUALITY[:1], torch.full((1, 5), -1.0)))))
    for low in (False, True):
        matcher = Matcher(0.7, 0.3, allow_low_quality_matches=low)
        expected = [matcher(QUALITY).tolist(), matcher(QUALITY[:1]).tolist()]
        assert matcher(filled).tolist() == expected
