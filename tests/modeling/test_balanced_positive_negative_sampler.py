"""How many anchors or proposals are drawn, from which, and that a seed repeats the draw."""

import torch

from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler


def labels(positives, negatives, ignored):
    return torch.cat((torch.full((positives,), 3), torch.zeros(negatives), torch.full((ignored,), -1))).long()


def counts(sampler, *images):
    return [(int(p.sum()), int(n.sum())) for p, n in zip(*sampler(list(images)))]


def test_positives_are_limited_to_their_share_and_negatives_fill_up():
    sampler = BalancedPositiveNegativeSampler(16, 0.25)
    assert counts(sampler, labels(10, 100, 5), labels(2, 100, 5), labels(0, 100, 5)) == [(4, 12), (2, 14), (0, 16)]


def test_too_few_negatives_leave_the_sample_short():
    assert counts(BalancedPositiveNegativeSampler(16, 0.5), labels(20, 3, 9)) == [(8, 3)]


def test_an_image_without_candidates_gives_none():
    assert counts(BalancedPositiveNegativeSampler(16, 0.5), labels(0, 0, 4), labels(0, 0, 0)) == [(0, 0), (0, 0)]


def test_only_positives_are_positive_and_ignored_are_never_drawn():
    image = labels(10, 30, 20)
    positive, negative = (masks[0] for masks in BalancedPositiveNegativeSampler(1000, 1.0)([image]))
    assert torch.equal(positive, image > 0)
    assert torch.equal(negative, image == 0)


def test_the_draw_follows_the_seed():
    sampler, image = BalancedPositiveNegativeSampler(8, 0.5), labels(50, 50, 0)

    def draw(seed):
        torch.manual_seed(seed)
        positive, negative = sampler([image])
        return torch.stack((positive[0], negative[0]))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_every_candidate_is_as_likely_as_another():
    torch.manual_seed(0)
    image = labels(6, 14, 3)
    positive, negative = (image >= 1).expand(4000, -1), (image == 0).expand(4000, -1)
    sample = BalancedPositiveNegativeSampler(8, 0.25).choose(positive, negative)
    times = torch.zeros(23).index_add_(0, sample.index[sample.chosen], torch.ones(int(sample.chosen.sum())))
    expected = torch.tensor([2 / 6] * 6 + [6 / 14] * 14 + [0.0] * 3)
    assert (times / 4000 - expected).abs().max() < 0.03
    assert torch.equal(sample.positive, sample.chosen & (sample.index < 6))


def test_rows_are_ascending_without_repetition_and_the_chosen_come_first():
    torch.manual_seed(1)
    positive, negative = torch.rand(5, 40) < 0.2, torch.rand(5, 40) < 0.1
    negative &= ~positive
    sample = BalancedPositiveNegativeSampler(10, 0.5).choose(positive, negative)
    for index, chosen in zip(sample.index, sample.chosen):
        count = int(chosen.sum())
        assert chosen.tolist() == [True] * count + [False] * (10 - count)
        assert (index[:count].diff() > 0).all()
