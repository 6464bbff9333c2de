"""The augmentation of multi-task papers: squashing, crops of native pixels, photometric distortion; off by default."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.check import check_options
from maskrcnn_benchmark.data.transforms import (
    NativeSize,
    PhotometricDistortion,
    RandomCrop,
    Squash,
    SquashJitter,
    build_byte_transforms,
)
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.utils.errors import UserError

SIZE = (60, 40)


def sample(labels=None):
    """A picture whose red is the column and green the row, and a map; (width, height) of `SIZE`."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    image = Image.fromarray(np.stack([4 * x, 6 * y, 0 * x], -1).astype(np.uint8))
    labels = (x // 20).astype(np.uint8) if labels is None else labels
    return image, ImageAnnotations(SIZE, semantic=SemanticMap(torch.from_numpy(labels)))


def options(*pairs):
    cfg = default_cfg.clone()
    cfg.merge_from_list(list(pairs))
    check_options(cfg)
    return cfg


def test_squash_has_one_size_in_training_and_testing():
    cfg = options("INPUT.SQUASH", (32, 48), "INPUT.HORIZONTAL_FLIP_PROB_TRAIN", 0.0)
    for is_train in (True, False):
        image, annotations = build_byte_transforms(cfg, is_train)(*sample())
        assert image.shape == (3, 32, 48) and annotations.size == (48, 32)
        assert annotations.semantic.labels[0].tolist() == [0] * 16 + [1] * 16 + [2] * 16
    assert Squash((48, 32)).get_size((500, 375)) == (48, 32)
    assert Squash((48, 32)).scaled(1.5).get_size((500, 375)) == (72, 48)
    assert NativeSize().get_size((500, 375)) == (500, 375) and NativeSize().scaled(0.5).get_size((10, 7)) == (5, 4)


def test_squash_with_jitter_crops_or_pads_back_to_the_size():
    random.seed(3)
    for factors in ((0.5, 0.5), (2.0, 2.0)):
        image, annotations = SquashJitter((48, 32), factors)(*sample())
        assert image.size == annotations.size == (48, 32)
        assert (annotations.semantic.labels == 255).any() == (factors[0] < 1)


def test_a_crop_is_of_native_pixels_and_testing_leaves_them():
    cfg = options("INPUT.CROP", (20, 30), "INPUT.HORIZONTAL_FLIP_PROB_TRAIN", 0.0)
    image, annotations = build_byte_transforms(cfg)(*sample())
    assert image.shape == (3, 20, 30) and annotations.size == (30, 20)
    assert (image[0, 0].int().diff() == 4).all() and (image[1, :, 0].int().diff() == 6).all()
    left = int(image[0, 0, 0]) // 4
    assert annotations.semantic.labels[0].tolist() == [(left + k) // 20 for k in range(30)]
    image, annotations = build_byte_transforms(cfg, is_train=False)(*sample())
    assert image.shape == (3, 40, 60) and annotations.size == SIZE


def test_an_image_that_is_smaller_than_the_window_is_not_padded():
    image, annotations = RandomCrop((512, 512), (0.5, 0.5))(*sample())
    assert image.size == annotations.size == (30, 20)


def test_factors_of_a_crop_are_drawn_from_the_whole_range():
    random.seed(0)
    sizes = [RandomCrop((512, 512), (0.5, 2.0))(*sample())[0].size[0] for _ in range(40)]
    assert min(sizes) < 45 and max(sizes) > 105 and min(sizes) >= 30 and max(sizes) <= 120


def test_windows_that_one_class_fills_are_drawn_again():
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[:, 40:] = 1
    labels[:, :5] = 255
    few = (RandomCrop((20, 40), max_share=0.75), RandomCrop((20, 40)))
    shares = []
    for crop in few:
        random.seed(1)
        cut = [crop(*sample(labels))[1].semantic.labels.numpy() for _ in range(60)]
        cut = [part[part != 255] for part in cut]
        shares.append([max((part == k).mean() for k in (0, 1)) for part in cut])
    assert sum(share > 0.75 for share in shares[0]) < 6 < sum(share > 0.75 for share in shares[1])


def test_where_no_window_will_do_the_last_one_stays():
    image, annotations = RandomCrop((10, 10), max_share=0.1)(*sample())
    assert image.size == annotations.size == (10, 10)
    assert RandomCrop((10, 10), max_share=0.1)(sample()[0])[0].size == (10, 10)


def test_photometric_distortion_changes_colours_alone_within_its_bounds():
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    random.seed(0)
    seen = []
    for _ in range(300):
        changed, annotations = PhotometricDistortion()(grey, "labels")
        assert annotations == "labels"
        pixels = np.asarray(changed).astype(int)
        assert (np.ptp(pixels, axis=2) <= 1).all()  # grey has no hue and no saturation to change
        seen.append(pixels[0, 0, 0])
    assert min(seen) >= round((100 - 32) * 0.5) and max(seen) <= round((100 + 32) * 1.5)
    assert seen.count(100) > 30 and min(seen) < 60 and max(seen) > 150


def test_all_of_it_is_off_by_default():
    cfg = options()
    assert not cfg.INPUT.SQUASH and not cfg.INPUT.CROP and not cfg.INPUT.PHOTOMETRIC
    names = repr(build_byte_transforms(cfg))
    assert not any(name in names for name in ("Squash", "RandomCrop", "Photometric"))


@pytest.mark.parametrize(
    "pairs, words",
    [
        (("INPUT.CROP", (32, 32), "INPUT.SQUASH", (32, 32)), "INPUT.CROP scales by CROP_SCALES alone"),
        (("INPUT.CROP", (32, 32), "INPUT.SCALE_JITTER", (0.5, 1.0)), "INPUT.CROP scales by CROP_SCALES alone"),
        (("INPUT.CROP_SCALES", (2.0, 1.0)), "the smaller factor comes first"),
        (("INPUT.SQUASH", (32, 32), "TEST.BBOX_AUG.ENABLED", True), "TEST.BBOX_AUG scales by INPUT.MIN_SIZE_TEST"),
        (("INPUT.SQUASH", (32,)), "INPUT.SQUASH"),
    ],
)
def test_what_does_not_go_together_is_one_line(pairs, words):
    with pytest.raises(UserError, match=words):
        options(*pairs)
