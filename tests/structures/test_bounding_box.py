"""Boxes include their last pixel, carry their fields along, and let gradients through."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.structures.bounding_box import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM, BoxList
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
BOXES = st.lists(st.tuples(FLOATS, FLOATS, FLOATS, FLOATS), max_size=5)
# Coordinates of which a mirror rounds none
FRACTIONS = st.integers(-(2**20), 2**20).map(lambda number: number / 1024)
EXACT_BOXES = st.lists(st.tuples(FRACTIONS, FRACTIONS, FRACTIONS, FRACTIONS), max_size=5)


def test_edges_of_continuous_boxes_are_scaled_and_end_their_regions():
    boxes = BoxList([[2.0, 4.0, 9.0, 19.0]], (40, 40), is_continuous=True)  # edges 2, 4, 10, 20
    boxes.add_field("labels", torch.tensor([3]))
    assert boxes.region_corners().tolist() == [[2, 4, 10, 20]]
    halved = boxes.resize((20, 80))[0:1].copy_with_fields("labels")  # edges 1, 8, 5, 40
    assert halved.bbox.tolist() == [[1, 8, 4, 39]] and halved.region_corners().tolist() == [[1, 8, 5, 40]]
    assert boxes.area().item() == 8 * 16
    pixels = BoxList(boxes.bbox, (40, 40))
    assert pixels.region_corners() is pixels.bbox
    assert pixels.resize((20, 80)).bbox.tolist() == [[1, 8, 4.5, 38]]


def test_a_box_includes_its_last_pixel():
    boxes = BoxList([[2, 3, 2, 3], [0, 0, 9, 4]], (10, 5))
    assert boxes.area().tolist() == [1, 50]
    assert boxes.convert("xywh").bbox.tolist() == [[2, 3, 1, 1], [0, 0, 10, 5]]
    assert boxes.convert("xywh").area().tolist() == [1, 50]
    assert boxes.convert("xywh").convert("xyxy").bbox.tolist() == boxes.bbox.tolist()


def test_the_mirror_of_a_box_worked_by_hand():
    boxes = BoxList([[1, 2, 3, 7]], (10, 20))
    assert boxes.transpose(FLIP_LEFT_RIGHT).bbox.tolist() == [[6, 2, 8, 7]]
    assert boxes.transpose(FLIP_TOP_BOTTOM).bbox.tolist() == [[1, 12, 3, 17]]
    mirrored = boxes.convert("xywh").transpose(FLIP_LEFT_RIGHT)
    assert mirrored.mode == "xywh" and mirrored.bbox.tolist() == [[6, 2, 3, 6]]


@given(EXACT_BOXES, st.sampled_from(["xyxy", "xywh"]), st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM]))
def test_flipping_twice_gives_every_bit_of_fractions_of_two_back(same_bits, coords, mode, method):
    boxes = BoxList(torch.tensor(coords).reshape(-1, 4), (333, 500), mode)
    twice = boxes.transpose(method).transpose(method)
    assert same_bits(twice.bbox, boxes.bbox) and twice.mode == mode


@given(st.lists(st.tuples(*[st.floats(-2000, 2000, width=32)] * 4), max_size=5), st.sampled_from([0, 1]))
def test_flipping_twice_rounds_other_coordinates_at_most_to_the_digits_of_the_images_size(coords, method):
    boxes = BoxList(torch.tensor(coords).reshape(-1, 4), (333, 500))
    twice = boxes.transpose(method).transpose(method)
    assert torch.allclose(twice.bbox, boxes.bbox, rtol=0, atol=2.0**-12)


def test_an_unknown_flip_is_refused():
    with pytest.raises(ValueError, match="not 2"):
        BoxList([[1, 2, 3, 7]], (10, 20)).transpose(2)


def test_gradients_pass_through_a_mirror_and_back():
    coords = torch.tensor([[1.0, 2.0, 3.0, 7.0]], requires_grad=True)
    once = BoxList(coords, (10, 20)).transpose(FLIP_LEFT_RIGHT)
    (3 * once.bbox.sum() + 5 * once.transpose(FLIP_LEFT_RIGHT).bbox.sum()).backward()
    assert coords.grad.tolist() == [[2.0, 8.0, 2.0, 8.0]]


@given(EXACT_BOXES)
def test_flipping_back_is_exact_after_selecting_copying_and_moving(same_bits, coords):
    boxes = BoxList(torch.tensor(coords).reshape(-1, 4), (333, 500))
    kept = torch.arange(len(boxes)) % 2 == 0
    back = boxes.transpose(0).copy_with_fields([]).to("cpu")[kept].transpose(0)
    assert same_bits(back.bbox, boxes.bbox[kept])


def test_resize_multiplies_by_the_ratio_of_the_sizes():
    boxes = BoxList([[1, 2, 3, 8]], (10, 20)).resize((30, 10))
    assert boxes.size == (30, 10)
    assert boxes.bbox.tolist() == [[3, 1, 9, 4]]


def test_crop_keeps_all_boxes_and_ends_at_the_last_pixel_of_the_window():
    boxes = BoxList([[1, 1, 8, 8], [3, 3, 4, 4]], (10, 10)).crop((2, 3, 7, 9))
    assert boxes.size == (5, 6)
    assert boxes.bbox.tolist() == [[0, 0, 4, 5], [1, 0, 2, 1]]


def test_padding_changes_only_the_size():
    boxes = BoxList([[1, 1, 8, 8]], (10, 10)).pad((20, 30))
    assert boxes.size == (20, 30) and boxes.bbox.tolist() == [[1, 1, 8, 8]]


def test_clipping_removes_boxes_without_extent_and_may_keep_them():
    coords = [[-5, -5, 20, 4], [15, 2, 18, 4], [2, 2, 5, 5]]
    assert BoxList(coords, (10, 10)).clip_to_image().bbox.tolist() == [[0, 0, 9, 4], [2, 2, 5, 5]]
    kept = BoxList(coords, (10, 10))
    assert kept.clip_to_image(remove_empty=False) is kept
    assert kept.bbox.tolist() == [[0, 0, 9, 4], [9, 2, 9, 4], [2, 2, 5, 5]]


def test_clipping_lets_gradients_through_and_leaves_the_leaf_alone():
    leaf = torch.tensor([[-5.0, 1, 20, 4], [2, 2, 5, 5]], requires_grad=True)
    boxes = BoxList(leaf, (10, 10)).clip_to_image()
    boxes.bbox.sum().backward()
    assert leaf.grad.tolist() == [[0, 1, 0, 1], [1, 1, 1, 1]]
    assert leaf[0, 0].item() == -5


def test_fields_follow_the_boxes():
    boxes = BoxList([[0, 0, 3, 3], [1, 1, 2, 2], [0, 0, 1, 1]], (4, 4))
    boxes.add_field("labels", torch.tensor([5, 6, 7]))
    boxes.add_field("names", ["a", "b", "c"])
    boxes.add_field("masks", SegmentationMask(torch.eye(4).expand(3, 4, 4), (4, 4), "mask"))
    for item in ([2, 0], torch.tensor([2, 0]), slice(None, None, 2), torch.tensor([True, False, True])):
        picked = boxes[item]
        assert set(picked.get_field("labels").tolist()) == {5, 7}
        assert set(picked.get_field("names")) == {"a", "c"} and len(picked.get_field("masks")) == 2
    assert boxes[1].get_field("labels").tolist() == [6] and boxes[-1].bbox.tolist() == [[0, 0, 1, 1]]
    assert [box.bbox[0, 2].item() for box in boxes] == [3, 2, 1]
    assert boxes.resize((8, 8)).get_field("masks").size == (8, 8)
    assert boxes.crop((0, 0, 2, 4)).get_field("masks").size == (2, 4)
    assert boxes.pad((6, 4)).get_field("masks").size == (6, 4)
    flipped = boxes.transpose(0).get_field("masks").instances.masks[0]
    assert torch.equal(flipped, torch.eye(4, dtype=torch.uint8).flip(1))
    assert boxes.copy_with_fields("labels").fields() == ["labels"]
    assert boxes.copy_with_fields(["labels", "scores"], skip_missing=True).fields() == ["labels"]


def test_selecting_boxes_does_not_copy_their_bitmaps():
    masks = SegmentationMask(torch.zeros(3, 50, 60, dtype=torch.uint8), (60, 50), "mask")
    boxes = BoxList(torch.zeros(3, 4), (60, 50))
    boxes.add_field("masks", masks)
    many = boxes[torch.zeros(500, dtype=torch.int64)]
    assert len(many.get_field("masks")) == 500
    assert many.get_field("masks").instances._windows is masks.instances._windows


def test_a_missing_field_is_an_error_that_names_the_others():
    boxes = BoxList([[0, 0, 1, 1]], (4, 4))
    boxes.add_field("labels", torch.tensor([1]))
    with pytest.raises(KeyError, match=r"scores.*labels"):
        boxes.get_field("scores")
    with pytest.raises(KeyError):
        boxes.copy_with_fields("scores")


@pytest.mark.parametrize(
    ("coords", "mode"), [([[0, 0, 1]], "xyxy"), ([0, 0, 1, 1], "xyxy"), ([[0, 0, 1, 1]], "cxcywh")]
)
def test_another_shape_or_mode_is_refused(coords, mode):
    with pytest.raises(ValueError):
        BoxList(coords, (4, 4), mode)


def test_no_boxes_are_fine_everywhere():
    empty = BoxList([], (10, 10))
    assert len(empty.resize((5, 5)).transpose(0).crop((0, 0, 3, 3)).pad((4, 4)).clip_to_image()) == 0
    assert empty.convert("xywh").area().tolist() == []


def test_an_index_out_of_range_is_an_error():
    with pytest.raises(IndexError):
        BoxList([[0, 0, 1, 1]], (4, 4))[1]
