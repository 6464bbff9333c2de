"""Choosing and matching regions of a whole batch: the same as image by image."""

import torch

from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.matching import draw, match_proposals
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou

SIZE = (100, 100)


def random_boxes(count, generator):
    corner = torch.rand(count, 2, generator=generator) * 60
    return torch.cat((corner, corner + 5 + torch.rand(count, 2, generator=generator) * 30), 1)


def test_images_are_matched_as_each_by_itself():
    generator = torch.Generator().manual_seed(0)
    matcher = Matcher(0.1, 0.05)
    truth = [BoxList(random_boxes(count, generator), SIZE) for count in (4, 1)] + [None]
    proposals = torch.stack([random_boxes(30, generator) for _ in truth])
    matched = match_proposals(matcher, proposals, truth)
    for found, boxes, objects in zip(matched, proposals, truth[:2]):
        assert torch.equal(found, matcher(boxlist_iou(objects, BoxList(boxes, SIZE))))
        assert (found >= 0).any()
    assert (matched[2] == Matcher.BELOW_LOW_THRESHOLD).all()


def test_a_crowd_matches_nothing():
    truth = BoxList(torch.tensor([[0.0, 0, 9, 9], [50, 50, 70, 70]]), SIZE)
    truth.add_field("iscrowd", torch.tensor([1, 0]))
    assert match_proposals(Matcher(0.5, 0.5), truth.bbox[None], [truth]).tolist() == [[-1, 1]]


def test_without_a_limit_every_candidate_is_drawn_in_order():
    candidates = torch.tensor([[False, True, False, True], [True, True, True, True], [False] * 4])
    for limit in (0, 4):
        index, chosen = draw(candidates, limit)
        assert [i[c].tolist() for i, c in zip(index, chosen)] == [[1, 3], [0, 1, 2, 3], []]


def test_a_limit_bounds_the_candidates_of_each_row_at_random():
    torch.manual_seed(0)
    candidates = torch.tensor([[True, True, False, True, True], [False, False, True, False, False]])
    seen = set()
    for _ in range(60):
        index, chosen = draw(candidates, 2)
        assert chosen.sum(dim=1).tolist() == [2, 1]
        assert chosen[1].tolist() == [True, False] and index[1, 0] == 2
        seen.add(tuple(sorted(index[0].tolist())))
    assert seen == {(0, 1), (0, 3), (0, 4), (1, 3), (1, 4), (3, 4)}
