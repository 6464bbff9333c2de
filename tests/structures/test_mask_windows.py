"""Bitmaps kept by their windows: the same pixels and the same samples as whole bitmaps."""

import cv2
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskrcnn_benchmark.structures.mask_windows import MaskWindows, sample_bilinear


def masks_of(height, width):
    """Up to three bitmaps, empty, full, or of scattered pixels."""
    elements = st.sampled_from((0, 0, 0, 1))
    return arrays(np.uint8, st.tuples(st.integers(0, 3), st.just(height), st.just(width)), elements=elements)


def resized_exactly(mask, size):
    """Bilinear and cut at a half, in whole numbers: weights are in parts of twice the new sides."""
    axes = []
    for old, new in zip(mask.shape, size[::-1]):
        centres = np.clip((2 * np.arange(new) + 1) * old - new, 0, 2 * new * (old - 1))
        weights = np.zeros((new, old), np.int64)
        np.add.at(weights, (np.arange(new), centres // (2 * new)), 2 * new - centres % (2 * new))
        np.add.at(weights, (np.arange(new), np.minimum(centres // (2 * new) + 1, old - 1)), centres % (2 * new))
        axes.append(weights)
    return 2 * (axes[0] @ mask.astype(np.int64) @ axes[1].T) >= 4 * size[0] * size[1]


@given(st.data())
def test_resized_and_mirrored_windows_hold_the_pixels_of_whole_bitmaps(data):
    height, width, *new = (data.draw(st.integers(1, 24)) for _ in range(4))
    masks = data.draw(masks_of(height, width))
    resized = [resized_exactly(mask, new) for mask in masks]
    expected = np.stack([np.zeros(new[::-1], bool), *resized])[1:]
    windows = MaskWindows.of_frames(torch.from_numpy(masks)).resize(new)
    assert windows.size == tuple(new)
    assert np.array_equal(windows.frames(), expected)
    assert np.array_equal(windows.transpose(0).frames(), expected[:, :, ::-1])
    assert np.array_equal(windows.transpose(1).frames(), expected[:, ::-1])
    assert np.array_equal(windows.transpose(1).resize(new).frames(), expected[:, ::-1])
    for mask, ours in zip(masks, windows.frames().numpy()):
        value = cv2.resize(mask * 255.0, new, interpolation=cv2.INTER_LINEAR)
        differs = ours != (value >= 127.5)
        assert (np.abs(value[differs] - 127.5) < 0.01).all()  # a half is not exact in floats


@given(st.data())
def test_samples_of_windows_are_those_of_whole_bitmaps(data):
    height, width, *new = (data.draw(st.integers(1, 24)) for _ in range(4))
    windows = MaskWindows.of_frames(torch.from_numpy(data.draw(masks_of(height, width)))).resize(new)
    windows = windows.transpose(data.draw(st.integers(0, 1)))
    whole = MaskWindows.of_frames(windows.frames())
    index = torch.tensor([0, 1, 2, 0])[: 4 if len(windows) == 3 else 0]
    spread = torch.linspace(-0.4, 1.4, 37).expand(len(index), 37)
    x, y = spread * new[0], spread[:, :29] * new[1]
    samples = sample_bilinear([windows], [index], lambda width, height: (x, y))
    assert torch.equal(samples, sample_bilinear([whole], [index], lambda width, height: (x, y)))


def test_samples_worked_by_hand():
    masks = torch.zeros(2, 4, 6, dtype=torch.uint8)
    masks[1, 1, 2] = 1
    windows = MaskWindows(
        torch.tensor([0, 0, 0, 0, 0, 1, 0, 0, 0, 0], dtype=torch.uint8), [(0, 0, 1, 1), (1, 0, 3, 3)], (6, 4)
    )
    assert torch.equal(windows.frames(), masks)
    # the middle of the pixel, half way to the next, and far outside
    x, y = torch.tensor([[2.5, 3.0, 5.5]] * 2), torch.tensor([[1.5, 2.0]] * 2)
    samples = sample_bilinear([windows], [torch.tensor([0, 1])], lambda width, height: (x, y))
    assert samples.tolist() == [[[0, 0, 0], [0, 0, 0]], [[1, 0.5, 0], [0.5, 0.25, 0]]]


def test_images_of_different_sizes_are_sampled_together():
    generator = torch.Generator().manual_seed(0)
    sources = [
        MaskWindows.of_frames(torch.rand(2, *size, generator=generator).round().byte()) for size in ((4, 6), (9, 3))
    ]
    objects = [torch.tensor([1, 0, 1]), torch.tensor([0])]

    def grid(width, height):
        steps = torch.linspace(0.1, 0.9, 5)
        return width[:, None] * steps, height[:, None] * steps

    each = [sample_bilinear([source], [index], grid) for source, index in zip(sources, objects)]
    assert torch.equal(sample_bilinear(sources, objects, grid), torch.cat(each))
    assert each[0].shape == (3, 5, 5) and 0 < each[0].mean() < 1


def test_a_small_object_takes_little_room_in_a_large_image():
    masks = torch.zeros(3, 375, 500, dtype=torch.uint8)
    masks[:, 100:120, 200:230] = 1
    windows = MaskWindows.of_frames(masks).resize((1066, 800))
    assert windows.pixels.numel() < 3 * 50 * 80
    assert int(windows.frames().sum()) == int(windows.pixels.sum())


@given(st.data())
def test_what_is_cut_out_joined_picked_and_covered_has_the_pixels_of_whole_bitmaps(data):
    height, width = (data.draw(st.integers(1, 24)) for _ in range(2))
    masks = data.draw(masks_of(height, width))
    cover = data.draw(arrays(np.bool_, (height, width)))
    windows = MaskWindows.cut_out(torch.from_numpy(masks))
    assert np.array_equal(windows.frames(), masks) and np.array_equal(windows.packed().frames(), masks)
    assert np.array_equal(MaskWindows.cat([windows, windows.packed()]).frames(), np.concatenate((masks, masks)))
    order = data.draw(st.lists(st.integers(0, max(len(masks) - 1, 0)), max_size=5 if len(masks) else 0))
    assert np.array_equal(windows.pick(torch.tensor(order, dtype=torch.int64)).frames(), masks[order])
    assert np.array_equal(windows.cover(torch.from_numpy(cover)).frames(), masks * ~cover)
    assert windows.counts().tolist() == masks.sum((1, 2)).tolist()
    for mask, bounds in zip(masks, windows.bounds().tolist()):
        y, x = mask.nonzero()
        assert bounds == ([x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, -1, -1])
    painted = np.full((height, width), 9)
    for value, mask in enumerate(masks):
        painted[mask > 0] = value
    assert np.array_equal(windows.paint(range(len(masks)), 9), painted)
