"""Masks of any encoding: what goes in, how it moves, and the targets that come out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.mask_forms import outline_polygons
from maskrcnn_benchmark.structures.segmentation_mask import (
    FLIP_LEFT_RIGHT,
    FLIP_TOP_BOTTOM,
    SegmentationMask,
    crop_and_resize_masks,
)
from maskrcnn_benchmark.utils.errors import UserError

# pycocotools and numpy 2 disagree on the signature of __array__
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BITMAPS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1))
SQUARE = [[[2, 1, 5, 1, 5, 4, 2, 4]]]


def stars(count, size, seed=0):
    """Star-shaped polygons of different sizes and the boxes around them, shaken by a few pixels."""
    random = np.random.default_rng(seed)
    polygons, boxes = [], []
    for _ in range(count):
        width, height = random.uniform(0.1, 0.4, 2) * size
        x, y = random.uniform(0, 1, 2) * (np.array(size) - (width, height) - 1)
        angle, radius = np.sort(random.uniform(0, 2 * np.pi, 15)), random.uniform(0.6, 1, 15)
        points = np.stack(
            (x + width / 2 * (1 + radius * np.cos(angle)), y + height / 2 * (1 + radius * np.sin(angle))), 1
        )
        polygons.append([points.reshape(-1).tolist()])
        boxes.append(np.array([x, y, x + width, y + height]) + random.normal(0, 4, 4))
    boxes = torch.tensor(np.array(boxes), dtype=torch.float32)
    limits = torch.tensor([size[0] - 1, size[1] - 1] * 2)
    return SegmentationMask(polygons, size), torch.minimum(boxes.clamp(min=0), limits)


def test_all_encodings_give_the_same_mask():
    bitmap = torch.zeros(6, 8, dtype=torch.uint8)
    bitmap[1:4, 2:5] = 1
    code = coco_mask.encode(np.asfortranarray(bitmap.numpy()))
    runs = {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 20]}
    sources = (
        SQUARE,
        bitmap,
        bitmap[None],
        bitmap[None].bool(),
        [bitmap],
        [code],
        [runs],
        [SegmentationMask(SQUARE, (8, 6))],
    )
    for source in sources:
        for mode in ("mask", "poly"):
            masks = SegmentationMask(source, (8, 6), mode)
            assert masks.mode == mode and len(masks) == 1 and masks.size == (8, 6)
            assert masks.get_mask_tensor().dtype == torch.uint8
            assert torch.equal(masks.get_mask_tensor(), bitmap), source


def test_encodings_may_be_mixed():
    runs = {"size": [6, 8], "counts": [13, 3, 32]}
    masks = SegmentationMask([SQUARE[0], runs], (8, 6), "mask")
    assert masks.get_mask_tensor().sum(dim=(1, 2)).tolist() == [9, 3]
    assert len(SegmentationMask([SQUARE[0], runs], (8, 6), "poly")) == 2


def test_polygons_of_one_object_are_joined():
    masks = SegmentationMask([[[0, 0, 4, 0, 4, 4, 0, 4], [2, 2, 6, 2, 6, 6, 2, 6]]], (8, 6))
    assert masks.get_mask_tensor().sum() == 16 + 16 - 4


@pytest.mark.parametrize("mode", ["poly", "mask"])
def test_no_objects_are_fine_everywhere(mode):
    masks = SegmentationMask([], (8, 6), mode)
    assert masks.get_mask_tensor().shape == (0, 6, 8)
    assert masks.resize((4, 3)).transpose(0).crop((1, 1, 3, 2)).pad((5, 5)).get_mask_tensor().shape == (0, 5, 5)
    assert masks.crop_and_resize(torch.zeros(0, 4), 28).shape == (0, 28, 28)
    assert len(masks.convert("mask").convert("poly")) == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([[[0, 0, 4, 0, 4]]], "mask 0 .*odd"),
        (torch.zeros(1, 5, 8), "bitmaps"),
    ],
)
def test_a_malformed_mask_is_named(source, message):
    with pytest.raises(ValueError, match=message):
        SegmentationMask(source, (8, 6), "mask")


@pytest.mark.parametrize(("rle", "message"), [({"size": [6, 8], "counts": [1]}, "mask 1"), ({"counts": [1]}, "mask 1")])
def test_a_damaged_run_length_code_is_named(rle, message):
    with pytest.raises(UserError, match=message):
        SegmentationMask([SQUARE[0], rle], (8, 6), "mask")


def test_another_kind_or_mode_is_refused():
    with pytest.raises(TypeError):
        SegmentationMask("masks", (8, 6))
    with pytest.raises(ValueError, match="'poly' or 'mask'"):
        SegmentationMask([], (8, 6), "rle")


@given(BITMAPS)
def test_bitmaps_survive_becoming_polygons(bitmap):
    masks = SegmentationMask(torch.from_numpy(bitmap), bitmap.shape[::-1], "mask")
    assert torch.equal(masks.convert("poly").get_mask_tensor(), torch.from_numpy(bitmap))


def test_a_hole_belongs_to_the_outline_around_it():
    ring = np.ones((5, 5), dtype=np.uint8)
    ring[2, 2] = 0
    assert len(outline_polygons(ring)) == 1


def test_outlines_run_along_pixel_edges():
    bitmap = np.zeros((6, 8), dtype=np.uint8)
    bitmap[1:4, 2:5] = 1
    (outline,) = outline_polygons(bitmap)
    assert {tuple(point) for point in outline.reshape(-1, 2).tolist()} == {(2, 1), (5, 1), (5, 4), (2, 4)}


def test_the_mirror_of_a_mask_worked_by_hand():
    bitmap = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.uint8)
    polygon = [[[0, 0, 2, 0, 2, 1, 1, 1, 1, 2, 0, 2]]]
    for masks in (SegmentationMask(bitmap, (4, 2), "mask"), SegmentationMask(polygon, (4, 2))):
        assert masks.transpose(FLIP_LEFT_RIGHT).get_mask_tensor().tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]
        assert masks.transpose(FLIP_TOP_BOTTOM).get_mask_tensor().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0]]


@given(
    st.lists(st.integers(-(2**20), 2**20).map(lambda number: number / 1024), min_size=6, max_size=6),
    st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM]),
)
def test_flipping_polygons_twice_gives_every_bit_of_fractions_of_two_back(same_bits, polygon, method):
    masks = SegmentationMask([[polygon], [[0.125] * 6, polygon]], (333, 500))
    twice = masks.transpose(method).transpose(method)
    assert same_bits(twice.instances.points, masks.instances.points)
    part = masks.transpose(method)[1].transpose(method)
    assert same_bits(part.instances.points, masks.instances.points[3:])


@given(BITMAPS, st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM]))
def test_flipping_bitmaps_twice_gives_every_bit_back(same_bits, bitmap, method):
    masks = SegmentationMask(torch.from_numpy(bitmap), bitmap.shape[::-1], "mask")
    assert same_bits(masks.transpose(method).transpose(method).instances.masks, masks.instances.masks)


@given(BITMAPS, st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM]))
def test_mirroring_and_drawing_commute(bitmap, method):
    masks = SegmentationMask(torch.from_numpy(bitmap), bitmap.shape[::-1], "mask")
    drawn = masks.convert("poly").transpose(method).get_mask_tensor()
    assert torch.equal(drawn, masks.transpose(method).get_mask_tensor())


@pytest.mark.parametrize("mode", ["poly", "mask"])
def test_crop_moves_the_origin_and_stays_in_the_image(mode):
    masks = SegmentationMask(SQUARE, (8, 6), mode)
    cropped = masks.crop((3, 2, 7, 6))
    assert cropped.size == (4, 4)
    assert cropped.get_mask_tensor().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert masks.crop((-5, -5, 50, 50)).size == (8, 6)
    assert masks.crop((3, 3, 3, 3)).size == (1, 1)
    with pytest.raises(ValueError, match="window"):
        masks.crop((3, 3, 2, 4))


@pytest.mark.parametrize("mode", ["poly", "mask"])
def test_padding_shows_nothing_that_a_crop_had_cut_off(mode):
    slanted = [[[0, 0, 8, 0, 8, 6]]]
    cropped = SegmentationMask(slanted, (8, 6), mode).crop((2, 0, 5, 4))
    padded = cropped.pad((7, 6))
    drawn = padded.get_mask_tensor()
    assert padded.size == (7, 6) and drawn[4:].sum() == 0 and drawn[:, 3:].sum() == 0
    # A clipped slope may be drawn one pixel differently
    assert (drawn[:4, :3] != cropped.get_mask_tensor()).sum() <= (mode == "poly")


def test_resize_scales_polygons_and_cuts_bitmaps_at_a_half():
    polygons = SegmentationMask(SQUARE, (8, 6)).resize((16, 18))
    assert polygons.instances.polygons[0][0].tolist() == [4, 3, 10, 3, 10, 12, 4, 12]
    bitmap = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.uint8)
    small = SegmentationMask(bitmap, (4, 2), "mask").resize((2, 1))
    assert small.get_mask_tensor().tolist() == [[1, 0]]
    half = SegmentationMask(torch.tensor([[1, 0], [1, 0]]), (2, 2), "mask").resize((1, 1))
    assert half.get_mask_tensor().tolist() == [[1]]
    large = SegmentationMask(bitmap, (4, 2), "mask").resize((8, 4))
    assert large.get_mask_tensor().tolist() == [
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
    ]


def test_both_forms_resize_alike():
    masks, _ = stars(6, (320, 240))
    drawn = masks.resize((97, 133)).convert("mask").get_mask_tensor()
    cut = masks.convert("mask").resize((97, 133)).get_mask_tensor()
    assert (drawn != cut).float().mean() < 0.003


@pytest.mark.parametrize("side", [14, 28])
def test_targets_from_polygons_are_those_of_cropping_scaling_and_drawing_each(side):
    masks, boxes = stars(20, (320, 240))
    each = [masks[i].crop(boxes[i].tolist()).resize((side, side)).get_mask_tensor() for i in range(20)]
    assert torch.equal(masks.crop_and_resize(boxes, side), torch.stack(each).float())


@pytest.mark.parametrize("side", [14, 28])
def test_targets_from_bitmaps_are_those_of_cropping_and_resizing_each(side):
    masks, boxes = stars(40, (320, 240))
    targets = masks.convert("mask").crop_and_resize(boxes, side)
    each = []
    for mask, box in zip(masks.get_mask_tensor(), boxes.round().long().tolist()):
        x1, y1, x2, y2 = box
        patch = mask[None, None, y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].float()
        each.append(F.interpolate(patch, (side, side), mode="bilinear", align_corners=False)[0, 0])
    each = torch.stack(each)
    assert (targets != (each >= 0.5)).float().mean() < 0.02
    assert (targets != masks.crop_and_resize(boxes, side)).float().mean() < 0.03


def test_targets_worked_by_hand():
    bitmap = torch.zeros(6, 8, dtype=torch.uint8)
    bitmap[1:4, 2:5] = 1
    boxes = torch.tensor([[2.0, 1, 5, 4], [1, 0, 5, 4], [2, 1, 2, 1]])
    for source in (SQUARE * 3, bitmap.expand(3, 6, 8)):
        mode = "mask" if isinstance(source, torch.Tensor) else "poly"
        targets = SegmentationMask(source, (8, 6), mode).crop_and_resize(boxes, 2)
        assert targets.dtype == torch.float32
        assert targets[0].tolist() == [[1, 1], [1, 1]]
        assert targets[2].tolist() == [[1, 1], [1, 1]]
        fine = SegmentationMask(source, (8, 6), mode).crop_and_resize(boxes, 4)
        assert fine[1].tolist() == [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]]


def test_targets_of_selected_objects_are_the_selected_targets():
    masks, boxes = stars(6, (64, 48))
    index = torch.tensor([5, 0, 0, 3])
    for form in (masks, masks.convert("mask")):
        assert torch.equal(form[index].crop_and_resize(boxes[index], 14), form.crop_and_resize(boxes, 14)[index])


def test_targets_need_a_box_for_each_object():
    with pytest.raises(ValueError, match="1 masks need 1 boxes"):
        SegmentationMask(SQUARE, (8, 6)).crop_and_resize(torch.zeros(2, 4), 14)


@pytest.mark.parametrize("mode", ["poly", "mask"])
@settings(max_examples=20)
@given(index=st.lists(st.integers(0, 3), max_size=6))
def test_indexing_is_that_of_the_bitmaps(mode, index):
    polygons = [[[k, 0, 6, 0, 6, 5], [0, k, 3, k, 3, 6]][: k % 2 + 1] for k in range(4)]
    masks = SegmentationMask(polygons, (8, 6), mode)
    bitmaps = masks.instances.to_bitmaps().masks
    picked = masks[torch.tensor(index, dtype=torch.int64)][torch.arange(len(index)).flip(0)]
    assert torch.equal(picked.instances.to_bitmaps().masks, bitmaps[index[::-1]])


def test_single_indices_and_iteration_give_single_masks():
    masks = SegmentationMask([SQUARE[0], [[0, 0, 1, 0, 1, 1, 0, 1]]], (8, 6))
    assert [len(mask) for mask in masks] == [1, 1]
    assert masks[-1].get_mask_tensor().sum() == 1 and masks[0].get_mask_tensor().sum() == 9
    assert len(masks[:1]) == 1 and len(masks[torch.tensor([False, False])]) == 0
    with pytest.raises(IndexError):
        masks[2]


def test_an_object_without_polygons_has_an_empty_mask():
    masks = SegmentationMask([[[0, 0, 1, 1]], SQUARE[0], []], (8, 6))
    assert masks.get_mask_tensor().sum(dim=(1, 2)).tolist() == [0, 9, 0]
    assert masks.crop_and_resize(torch.tensor([[2.0, 1, 5, 4]] * 3), 2).sum(dim=(1, 2)).tolist() == [0, 4, 0]


@pytest.mark.parametrize("modes", [("mask", "mask"), ("poly", "poly"), ("mask", "poly"), ("poly", "mask", "poly")])
def test_regions_of_several_images_are_cropped_together(modes):
    random = torch.Generator().manual_seed(0)
    masks, objects, boxes = [], [], []
    for seed, mode in enumerate(modes):
        polygons, of_image = stars(5, (90 + 30 * seed, 70), seed)
        masks.append(polygons.convert(mode))
        objects.append(torch.randint(5, (4 + seed,), generator=random))
        boxes.append(of_image[objects[-1]] + torch.randn(4 + seed, 4, generator=random).cumsum(1))
    each = [mask[index].crop_and_resize(b, 7) for mask, index, b in zip(masks, objects, boxes)]
    together = crop_and_resize_masks(masks, objects, boxes, 7)
    assert torch.equal(together, torch.cat(each)) and 0 < together.mean() < 1


def test_targets_of_polygons_are_scaled_in_single_precision_and_drawn():
    masks, boxes = stars(40, (640, 480))
    boxes = boxes + torch.linspace(-30, 30, 160).reshape(40, 4)
    boxes[:, 2:] = torch.maximum(boxes[:, :2], boxes[:, 2:])
    limits = torch.tensor([640.0, 480])
    expected = []
    for polygons, box in zip(masks.instances.polygons, boxes):
        start, end = box[:2].clamp(min=0).minimum(limits - 1), box[2:].clamp(min=0).minimum(limits)
        ratio = (28 / (end - start).double().clamp(min=1)).float()
        scaled = [((polygon.view(-1, 2) - start) * ratio).double().view(-1).tolist() for polygon in polygons]
        expected.append(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(scaled, 28, 28))))
    assert torch.equal(masks.crop_and_resize(boxes, 28), torch.tensor(np.array(expected)).float())


@given(st.lists(st.lists(st.floats(-12, 32, width=32), min_size=6, max_size=10).filter(lambda p: len(p) % 2 == 0)))
def test_polygons_drawn_in_windows_have_the_pixels_of_those_drawn_in_the_image(polygons):
    masks = SegmentationMask([[polygon] for polygon in polygons], (20, 16))
    bitmaps = masks.convert("mask").instances.masks
    assert torch.equal(masks.in_windows().instances.masks, bitmaps)
    assert masks.areas().tolist() == bitmaps.sum((1, 2)).tolist()
    assert torch.equal(masks.union(), bitmaps.any(dim=0) if len(bitmaps) else torch.zeros(16, 20, dtype=torch.bool))


def test_the_box_of_a_mask_includes_its_last_pixel_and_ends_before_it_begins_where_it_is_empty():
    square, outside = SQUARE[0], [[-9, -9, -4, -9, -4, -4]]
    masks = SegmentationMask([square, [], outside, [[-3, 2, 4, 2, 4, 9.5]]], (10, 8))
    assert masks.bounds().tolist() == [[2, 1, 4, 3], [0, 0, -1, -1], [0, 0, -1, -1], [0, 2, 3, 7]]
    assert masks.convert("mask").bounds().tolist()[:3] == masks.bounds().tolist()[:3]
