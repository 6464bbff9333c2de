"""Batches of images of different sizes."""

import pickle

import pytest
import torch

from maskrcnn_benchmark.structures.image_list import ImageList, sizes_on, to_image_list, valid_mask


def test_images_are_padded_to_the_largest_with_zeros():
    batch = to_image_list([torch.ones(3, 4, 6), torch.ones(3, 5, 2)])
    assert batch.tensors.shape == (2, 3, 5, 6)
    assert [tuple(size) for size in batch.image_sizes] == [(4, 6), (5, 2)]
    assert batch.tensors.sum(dim=(1, 2, 3)).tolist() == [3 * 24, 3 * 10]
    assert batch.tensors[0, :, :4, :6].min() == 1


def test_sides_are_rounded_up_but_sizes_are_not():
    for images in ([torch.ones(3, 33, 64)], torch.ones(1, 3, 33, 64), torch.ones(3, 33, 64)):
        batch = to_image_list(images, 32)
        assert batch.tensors.shape == (1, 3, 64, 64) and tuple(batch.image_sizes[0]) == (33, 64)


def test_a_batch_stays_as_it_is():
    tensor = torch.ones(2, 3, 5, 6)
    batch = to_image_list(tensor)
    assert batch.tensors is tensor and len(batch) == 2
    assert to_image_list(batch) is batch
    assert batch.to(torch.float64).tensors.dtype == torch.float64
    assert isinstance(batch.to("cpu"), ImageList)


@pytest.mark.parametrize("images", ["image", ["image"], torch.ones(4, 4), None])
def test_anything_else_is_refused(images):
    with pytest.raises(TypeError):
        to_image_list(images)


def test_sizes_are_brought_to_a_device_once_and_travel_as_a_list():
    images = ImageList(torch.zeros(2, 3, 8, 8), [(8, 6), (torch.Size([5, 8]))])
    sizes = sizes_on(images.image_sizes, torch.device("cpu"))
    assert sizes.tolist() == [[8, 6], [5, 8]] and sizes.dtype == torch.int64
    assert sizes_on(images.image_sizes, torch.device("cpu")) is sizes
    assert torch.equal(sizes_on([(8, 6), (5, 8)], torch.device("cpu")), sizes)
    travelled = pickle.loads(pickle.dumps(images.image_sizes))
    assert travelled == [(8, 6), (5, 8)]
    assert torch.equal(travelled.on(torch.device("cpu")), sizes)


def test_images_whose_channels_lie_side_by_side_make_a_batch_that_does_as_well():
    images = [torch.arange(h * w * 3, dtype=torch.uint8).view(h, w, 3).permute(2, 0, 1) for h, w in ((3, 4), (2, 5))]
    batch = to_image_list(images, 4)
    assert batch.tensors.shape == (2, 3, 4, 8) and batch.tensors.is_contiguous(memory_format=torch.channels_last)
    for image, padded in zip(images, batch.tensors):
        height, width = image.shape[1:]
        assert torch.equal(padded[:, :height, :width], image)
        assert not padded[:, height:].any() and not padded[:, :, width:].any()


@pytest.mark.cuda
def test_a_pinned_batch_is_the_same():
    batch = to_image_list([torch.ones(3, 4, 6), torch.ones(3, 5, 2)])
    pinned = batch.pin_memory()
    assert pinned.tensors.is_pinned() and pinned.tensors.equal(batch.tensors)
    assert pinned.image_sizes == batch.image_sizes


def test_valid_mask_is_true_where_the_begin_of_a_cell_lies_in_the_image():
    assert valid_mask([(5, 3), (8, 8)], 2, 2, 4, torch.device("cpu")).tolist() == [
        [[True, False], [True, False]],
        [[True, True], [True, True]],
    ]
