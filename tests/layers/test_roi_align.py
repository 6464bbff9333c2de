"""ROIAlign gives torchvision's numbers, whichever way they are computed."""

import pytest
import torch
from torchvision import ops

from maskrcnn_benchmark.layers import ROIAlign, roi_align
from maskrcnn_benchmark.layers.roi_align import maps_to_pool


def boxes_around(n, height, width, count=40, seed=0):
    """Boxes inside, across the border of, and outside of N images of height x width, some of them points."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([width, height]) * 1.6 - 0.3 * width
    extent = torch.rand(count, 2, generator=generator) * width
    extent[::7] = 0
    image = torch.randint(n, (count, 1), generator=generator).float()
    return torch.cat((image, corner, corner + extent), 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("size, samples", [((7, 7), 2), ((3, 5), 1), ((14, 14), 3)])
def test_values_and_gradients_are_torchvisions(size, samples, aligned, layout):
    torch.manual_seed(0)
    features = torch.randn(2, 5, 12, 17, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    boxes = boxes_around(2, 24, 34).double()
    ours = roi_align(features, boxes, size, 0.5, samples, aligned)
    theirs = ops.roi_align(features, boxes, size, 0.5, samples, aligned)
    torch.testing.assert_close(ours, theirs)
    weight = torch.randn(ours.shape, dtype=torch.float64)
    gradients = [torch.autograd.grad((pooled * weight).sum(), features)[0] for pooled in (ours, theirs)]
    torch.testing.assert_close(*gradients)


def test_samples_that_adapt_to_the_box():
    features, boxes = torch.randn(1, 3, 20, 20), boxes_around(1, 20, 20)
    torch.testing.assert_close(roi_align(features, boxes, 7, 1.0, 0), ops.roi_align(features, boxes, 7, 1.0, 0))


def test_no_boxes():
    assert roi_align(torch.randn(1, 3, 8, 8), torch.zeros(0, 5), (7, 7), 1.0, 2).shape == (0, 3, 7, 7)


def test_a_box_that_is_not_a_number_reads_nothing():
    pooled = roi_align(torch.ones(1, 3, 8, 8), torch.tensor([[0, float("nan"), 1, 5, 5]]), (2, 2), 1.0, 2)
    assert pooled.tolist() == torch.zeros(1, 3, 2, 2).tolist()


def test_as_a_module():
    features, boxes = torch.randn(1, 3, 16, 16), boxes_around(1, 32, 32)
    module = ROIAlign((7, 7), spatial_scale=0.5, sampling_ratio=2)
    torch.testing.assert_close(module(features, boxes), ops.roi_align(features, boxes, (7, 7), 0.5, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maps_to_pool_are_in_single_precision_and_say_what_they_were_in(dtype):
    maps = [torch.rand(1, 2, side, side).to(dtype) for side in (8, 4, 2)]
    read = maps_to_pool(maps, 2)
    assert read.dtype == dtype
    assert [level.dtype for level in read] == [torch.float32, torch.float32, dtype]
    assert all(torch.equal(level.float(), before.float()) for level, before in zip(read, maps))
