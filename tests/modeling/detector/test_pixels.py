"""Bytes are normalised on the device to the numbers that a loader made before."""

import pytest
import torch

from maskrcnn_benchmark.data.transforms import Compose, Normalize
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN
from maskrcnn_benchmark.modeling.detector.pixels import PixelNormalizer
from maskrcnn_benchmark.structures.image_list import ImageList, to_image_list

CAFFE2 = ([102.9801, 115.9465, 122.7717], [1.0, 1.0, 1.0], True)
SCALED_BGR = ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395], True)
TORCHVISION = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], False)


def pictures(*sizes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (h, w, 3), generator=generator, dtype=torch.uint8).permute(2, 0, 1) for h, w in sizes]


@pytest.mark.parametrize(
    ("options", "limit"), [(CAFFE2, 3.1e-5), (SCALED_BGR, 1e-6), (TORCHVISION, 1e-6)], ids=["caffe2", "bgr", "rgb"]
)
def test_values_are_those_of_the_transforms_within_rounding(options, limit):
    images = pictures((7, 9), (8, 5))
    normalised = [Compose([Normalize(*options)])(image.float().div(255))[0] for image in images]
    expected = to_image_list(normalised, 4)
    found = PixelNormalizer(*options)(to_image_list(images, 4))
    assert found.tensors.dtype == torch.float32 and found.image_sizes == expected.image_sizes
    torch.testing.assert_close(found.tensors, expected.tensors, rtol=0, atol=limit)
    for (height, width), image in zip(found.image_sizes, found.tensors):
        assert not image[:, height:].any() and not image[:, :, width:].any()


def test_a_byte_less_its_mean_is_exact():
    found = PixelNormalizer(*CAFFE2)(to_image_list(pictures((6, 6)), 0)).tensors
    mean = torch.tensor(CAFFE2[0]).view(1, 3, 1, 1)
    assert torch.equal(found, torch.stack(pictures((6, 6))).flip(1).float() - mean)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_memory_layout_is_kept_and_the_networks_own_is_what_comes_out(layout):
    images = ImageList(torch.stack(pictures((6, 8), (6, 8))).contiguous(memory_format=layout), [(6, 8), (5, 8)])
    normalize = PixelNormalizer(*CAFFE2)
    assert normalize(images).tensors.is_contiguous(memory_format=layout)
    model = GeneralizedRCNN(torch.nn.Conv2d(3, 4, 1), channels_last=True, normalize=normalize)
    assert model.batch(images).tensors.is_contiguous(memory_format=torch.channels_last)


def test_state_dicts_do_not_hold_it():
    model = GeneralizedRCNN(torch.nn.Conv2d(3, 4, 1), normalize=PixelNormalizer(*CAFFE2))
    assert set(model.state_dict()) == {"backbone.weight", "backbone.bias"}
    assert {name for name, _ in model.named_buffers()} == {"normalize.scale", "normalize.shift"}


def test_floats_pass_as_they_are_and_bytes_need_a_normaliser():
    model = GeneralizedRCNN(torch.nn.Conv2d(3, 4, 1))
    floats = torch.randn(1, 3, 4, 4)
    assert model.batch(floats).tensors.equal(floats)
    with pytest.raises(ValueError, match=r"images are bytes.*normalize=PixelNormalizer"):
        model.batch(pictures((4, 4)))
