"""The largest channel of an enlarged map is the argmax of all its enlarged channels."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.layers import largest_channel as module
from maskrcnn_benchmark.layers.largest_channel import Places, interpolate_at, largest_channel


def places(count, cells):
    return Places.of((torch.arange(count) + 0.5) * (cells / count) - 0.5, cells)


@given(
    st.integers(1, 9),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from([0, 1, 100]),
    st.integers(0, 10_000),
)
def test_it_is_the_argmax_of_the_interpolated_channels(channels, cells, size, levels, seed):
    scores = torch.randn(channels, *cells, generator=torch.Generator().manual_seed(seed))
    if levels:  # few values make ties, of which the first channel wins
        scores = (scores * levels).round() / levels
    rows, columns = places(size[0], cells[0]), places(size[1], cells[1])
    expected = interpolate_at(interpolate_at(scores, 1, rows), 2, columns)
    found = largest_channel(scores, rows, columns)
    assert found.dtype == torch.uint8 and found.shape == size
    assert torch.equal(found.long(), expected.max(dim=0).indices)


def test_portions_change_nothing(monkeypatch):
    scores, rows, columns = torch.randn(5, 6, 7), places(50, 6), places(60, 7)
    whole = largest_channel(scores, rows, columns)
    monkeypatch.setitem(module._CHUNK, "cpu", 1)
    assert torch.equal(largest_channel(scores, rows, columns), whole)


def test_numbers_that_are_none_do_not_hide_the_rest():
    scores = torch.zeros(3, 4, 4)
    scores[1] = 1
    scores[2, 0, 0] = torch.nan
    assert largest_channel(scores, places(4, 4), places(4, 4))[3, 3] == 1
