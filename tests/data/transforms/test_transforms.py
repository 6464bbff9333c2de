"""Transforms: exact sizes and values, repeatable chance, and mirrors that undo themselves on every structure."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.data.datasets import DetailDataset
from maskrcnn_benchmark.data.transforms import (
    AsBytes,
    ColorJitter,
    Compose,
    Normalize,
    RandomHorizontalFlip,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ScaleJitter,
    ToTensor,
    build_byte_transforms,
    build_transforms,
)


@pytest.fixture
def sample(tiny):
    """Image and annotations of the tiny data set's first image, which carries all tasks."""
    dataset = DetailDataset(tiny / "annotations.json", tiny / "images", "train", parts="person")
    return dataset[0][:2]


def tensors_of(annotations):
    """Every tensor of the annotations by name."""
    instances, people = annotations.instances, annotations.people
    return {
        "boxes": instances.bbox,
        "labels": instances.get_field("labels"),
        "masks": instances.get_field("masks").instances.masks,
        "parts": instances.get_field("parts").labels,
        "people": people.bbox,
        "joints": people.get_field("keypoints").keypoints,
        "semantic": annotations.semantic.labels,
        "boundary": annotations.boundary.edges,
        "occlusion": annotations.occlusion.edges,
        "direction": annotations.occlusion.direction,
        "classes": annotations.classes,
    }


def same(first, second):
    first, second = tensors_of(first), tensors_of(second)
    return [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize(
    ("min_size", "max_size", "before", "after"),
    [
        (800, 1333, (500, 375), (1066, 800)),
        (800, 1333, (375, 500), (800, 1066)),
        (800, 1333, (1000, 300), (1333, 400)),
        (800, 1333, (640, 427), (1199, 800)),
        (800, 1333, (800, 800), (800, 800)),
        (400, 600, (401, 799), (301, 599)),  # rounding as in the original: neither side is exactly the limit
        (100, None, (1000, 10), (10000, 100)),
    ],
)
def test_resize_meets_the_shorter_side_unless_the_longer_gets_too_long(min_size, max_size, before, after):
    size = Resize(min_size, max_size).get_size(before)
    assert size == after


def test_resize_draws_one_of_several_sizes():
    resize = Resize((10, 20, 30), 100)
    assert {resize.get_size((40, 40))[0] for _ in range(100)} == {10, 20, 30}


def test_resize_scales_image_and_annotations_alike(sample):
    image, annotations = Resize(24, 100)(*sample)
    assert image.size == annotations.size == (40, 24)
    assert annotations.instances.bbox.tolist() == (sample[1].instances.resize((40, 24)).bbox).tolist()
    assert annotations.semantic.size == annotations.boundary.size == annotations.occlusion.size == (40, 24)
    assert image.tobytes() == sample[0].resize((40, 24), Image.Resampling.BILINEAR).tobytes()


@pytest.mark.parametrize("flip", [RandomHorizontalFlip(1.0), RandomVerticalFlip(1.0)])
def test_mirroring_twice_gives_back_every_bit(sample, flip):
    once = flip(*sample)
    assert not same(once[1], sample[1]) and once[0].tobytes() != sample[0].tobytes()
    twice = flip(*once)
    assert same(twice[1], sample[1]) and twice[0].tobytes() == sample[0].tobytes()


def test_mirroring_moves_swaps_and_turns(sample):
    before, after = sample[1], RandomHorizontalFlip(1.0)(*sample)[1]
    assert after.instances.bbox.tolist() == [[12, 1, 17, 9]]
    assert torch.equal(after.semantic.labels, before.semantic.labels.flip(1))
    joints = after.people.get_field("keypoints").keypoints[0]
    names = after.people.get_field("keypoints").joints.names
    assert joints[names.index("rsho")].tolist() == [15.0, 4.5, 2]  # was the left shoulder at 4
    parts = after.instances.get_field("parts")
    assert parts.labels[0, 2, 16] == parts.part_set.label_of("person", "reye")
    # the edge that went down with its occluder on the right of the image goes up now, with the occluder on the left
    assert after.occlusion.direction[:, 4, 9].tolist() == [-1, 0]


def test_flips_happen_with_their_probability(sample):
    random.seed(3)
    flipped = [RandomHorizontalFlip(0.25)(sample[0])[0].tobytes() != sample[0].tobytes() for _ in range(400)]
    assert 70 < sum(flipped) < 130


def test_scale_jitter_crops_what_grew(sample):
    image, annotations = ScaleJitter(12, 40, (2.0, 2.0))(*sample)
    assert image.size == annotations.size == (20, 12)
    assert annotations.semantic.size == annotations.occlusion.size == (20, 12)
    boxes = annotations.instances.bbox
    assert (boxes[:, 0::2] <= 19).all() and (boxes[:, 1::2] <= 11).all() and (boxes >= 0).all()


def test_scale_jitter_pads_what_shrank(sample):
    image, annotations = ScaleJitter(12, 40, (0.5, 0.5), fill=(9, 8, 7))(*sample)
    assert image.size == annotations.size == (20, 12)
    pixels = np.asarray(image)
    assert (pixels[6:] == [9, 8, 7]).all() and (pixels[:, 10:] == [9, 8, 7]).all()
    assert (annotations.semantic.labels[6:] == 255).all() and (annotations.semantic.labels[:, 10:] == 255).all()
    assert not annotations.boundary.edges[:, 10:].any()
    assert (annotations.instances.bbox <= 10).all()


def test_scale_jitter_range_is_used_whole(sample):
    random.seed(0)
    whites = []
    for _ in range(50):
        image, _ = ScaleJitter(120, 400, (0.5, 1.5), fill=(255, 0, 255))(sample[0])
        whites.append((np.asarray(image)[119, 199] == [255, 0, 255]).all())
    assert 10 < sum(whites) < 40


def test_a_rotation_turns_image_and_annotations_by_one_angle_and_fills_with_a_colour(sample):
    random.seed(1)
    image, annotations = RandomRotation(40, fill=(9, 8, 7))(*sample)
    angle = random.Random(1).uniform(-40, 40)
    assert image.size == annotations.size == (20, 12) and np.asarray(image)[0, 0].tolist() == [9, 8, 7]
    assert torch.equal(annotations.semantic.labels, sample[1].rotate(angle).semantic.labels)
    random.seed(1)
    tensor, _ = RandomRotation(40, fill=(9, 8, 7))(AsBytes()(sample[0])[0])
    assert torch.equal(tensor, AsBytes()(image)[0])
    assert tensor.permute(1, 2, 0).is_contiguous()


def test_a_rotation_of_no_degrees_changes_nothing(sample):
    image, annotations = RandomRotation(0)(*sample)
    assert image is sample[0] and annotations is sample[1]


def test_colour_jitter_changes_colours_only_and_is_off_at_zero(sample):
    image, annotations = ColorJitter(0.5, 0.5, 0.5, 0.2)(*sample)
    assert image.size == sample[0].size and image.tobytes() != sample[0].tobytes() and annotations is sample[1]
    assert ColorJitter()(*sample)[0].tobytes() == sample[0].tobytes()


def test_the_same_seed_gives_the_same_item(sample):
    transforms = Compose(
        [
            ColorJitter(0.4, 0.4, 0.4, 0.1),
            ScaleJitter((24, 28, 32), 64, (0.6, 1.6)),
            RandomHorizontalFlip(0.5),
            RandomVerticalFlip(0.5),
            ToTensor(),
        ]
    )

    def run(seed):
        random.seed(seed)
        torch.manual_seed(random.randrange(1000))  # must not matter
        random.seed(seed)
        return transforms(*sample)

    for seed in range(5):
        first, second = run(seed), run(seed)
        assert torch.equal(first[0], second[0]) and same(first[1], second[1])
    assert not torch.equal(run(0)[0], run(1)[0])


def test_to_tensor_is_channels_first_in_0_to_1(sample):
    tensor, _ = ToTensor()(*sample)
    assert tensor.dtype == torch.float32 and tensor.shape == (3, 12, 20) and tensor.is_contiguous()
    expected = np.asarray(sample[0]).transpose(2, 0, 1).astype(np.float32) / 255
    assert np.array_equal(tensor.numpy(), expected)


def test_normalize_to_bgr_in_0_to_255_or_rgb_in_0_to_1():
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    bgr = Compose([ToTensor(), Normalize([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], to_bgr255=True)])(image)[0]
    assert bgr[:, 0, 0].tolist() == pytest.approx([29, 18, 7], abs=1e-4)
    rgb = Compose([ToTensor(), Normalize([0.1, 0.2, 0.3], [0.5, 1.0, 2.0], to_bgr255=False)])(image)[0]
    expected = [(10 / 255 - 0.1) / 0.5, 20 / 255 - 0.2, (30 / 255 - 0.3) / 2]
    assert rgb[:, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_config_decides_the_transforms(tiny_cfg, sample):
    names = [type(t).__name__ for t in build_transforms(tiny_cfg, is_train=True).transforms]
    flips = ["RandomHorizontalFlip", "RandomVerticalFlip"]
    assert names == ["ColorJitter", "Resize", *flips, "ToTensor", "Normalize"]
    assert [type(t).__name__ for t in build_transforms(tiny_cfg, is_train=False).transforms] == [
        "Resize",
        "ToTensor",
        "Normalize",
    ]
    tiny_cfg.INPUT.SCALE_JITTER = (0.1, 0.1)
    jitter = build_transforms(tiny_cfg, is_train=True)
    image, _ = jitter(*sample)
    corner = image[:, -1, 0 if image[0, -1, 0].abs() < 1 else -1]
    assert (corner.abs() < 0.51).all()  # padded with the mean colour


def test_resize_never_makes_a_side_vanish():
    assert Resize(10, 20).get_size((4000, 3)) == (20, 1)


def photograph(width, height):
    """Noise over a gradient: what shows a difference between two ways of resizing."""
    noise = np.random.default_rng(0).integers(0, 128, (height, width, 3))
    return Image.fromarray((noise + np.linspace(0, 127, width)[None, :, None]).astype(np.uint8))


def test_bytes_are_the_images_own_and_lie_as_they_were_decoded(sample):
    tensor, annotations = AsBytes()(*sample)
    assert tensor.dtype == torch.uint8 and tensor.shape == (3, 12, 20) and tensor.stride() == (1, 60, 3)
    assert np.array_equal(tensor.permute(1, 2, 0), np.asarray(sample[0])) and annotations is sample[1]


@pytest.mark.parametrize("side", [30, 61, 100, 213])
def test_resized_bytes_are_pils_within_one(side):
    image = photograph(100, 80)
    ours = Resize(side)(AsBytes()(image)[0])[0]
    pils = np.asarray(Resize(side)(image)[0], dtype=np.int16)
    difference = np.abs(ours.permute(1, 2, 0).numpy() - pils)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.02
    assert ours.stride(0) == 1


@pytest.mark.parametrize(
    "transform",
    [
        RandomHorizontalFlip(1.0),
        RandomVerticalFlip(1.0),
        ScaleJitter(12, 40, (1.0, 1.0)),
        Compose([ScaleJitter(12, 20, (0.5, 0.5), fill=(9, 8, 7)), RandomHorizontalFlip(0.5)]),
        ScaleJitter(12, 20, (1.7, 1.7)),
    ],
    ids=repr,
)
def test_bytes_change_their_shape_as_pil_images_do(sample, transform):
    random.seed(3)
    image, annotations = transform(*sample)
    random.seed(3)
    tensor, ours = transform(AsBytes()(sample[0])[0], sample[1])
    assert np.abs(tensor.permute(1, 2, 0).numpy() - np.asarray(image, dtype=np.int16)).max() <= 1
    assert same(annotations, ours)


@pytest.mark.parametrize("is_train", [True, False])
def test_a_loaders_bytes_become_the_originals_floats(tiny_cfg, is_train):
    options = tiny_cfg.INPUT
    image = photograph(37, 29)
    random.seed(1)
    floats, _ = build_transforms(tiny_cfg, is_train)(image)
    random.seed(1)
    pixels, _ = build_byte_transforms(tiny_cfg, is_train)(image)
    assert pixels.dtype == torch.uint8
    normalize = Normalize(options.PIXEL_MEAN, options.PIXEL_STD, options.TO_BGR255)
    difference = (normalize(pixels.float().div(255))[0] - floats).abs()
    assert difference.max() < 1.0001 and (difference > 1e-4).float().mean() < 0.02
