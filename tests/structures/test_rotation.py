"""Rotations: image, masks, maps, boxes and keypoints turn about the same point by the same angle."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DetailKeypoints, PersonKeypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.rotation import rotate_array, rotate_points
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.utils.errors import UserError

EDGES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=24), elements=st.integers(0, 1))
PARTS = PartSet.from_names("person", {"person": ["head", "lhand", "rhand", "torso"]})
SIZE = WIDTH, HEIGHT = 90, 70
SQUARE = LEFT, TOP, RIGHT, BOTTOM = 30, 20, 61, 45  # last pixel included


def drawn_square():
    """A white rectangle and its labels of every kind; its corners are keypoints."""
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[TOP : BOTTOM + 1, LEFT : RIGHT + 1] = 1
    instances = BoxList([SQUARE], SIZE)
    instances.add_field("labels", torch.tensor([1]))
    instances.add_field("masks", SegmentationMask(mask[None], SIZE, "mask"))
    outline = [LEFT, TOP, RIGHT + 1, TOP, RIGHT + 1, BOTTOM + 1, LEFT, BOTTOM + 1]
    instances.add_field("outlines", SegmentationMask([[outline]], SIZE))
    instances.add_field("parts", PartMask(mask[None] * 3, [True], SIZE, PARTS))
    people = BoxList([SQUARE], SIZE)
    people.add_field("labels", torch.tensor([1]))
    keypoints = torch.zeros(1, 14, 3)
    keypoints[0, :4] = torch.tensor([[LEFT, TOP, 1], [RIGHT, TOP, 1], [RIGHT, BOTTOM, 1], [LEFT, BOTTOM, 2.0]])
    people.add_field("keypoints", DetailKeypoints(keypoints, SIZE))
    edges = mask - torch.from_numpy(cv2.erode(mask.numpy(), np.ones((3, 3), np.uint8)))
    direction = torch.zeros(2, HEIGHT, WIDTH)
    direction[1, TOP, LEFT : RIGHT + 1] = -1  # to the left along the upper side, below which the square lies in front
    upper = torch.zeros_like(edges)
    upper[TOP, LEFT : RIGHT + 1] = 1
    return mask, ImageAnnotations(
        SIZE,
        instances=instances,
        people=people,
        semantic=SemanticMap(mask * 5),
        boundary=BoundaryMap(edges),
        occlusion=OcclusionMap(upper, direction),
        classes=torch.tensor([0.0, 1.0]),
    )


@pytest.mark.parametrize("angle", [-40.0, -7.3, 0.6, 12.0, 45.0])
def test_image_and_labels_of_a_drawn_square_coincide_after_a_rotation(angle):
    mask, annotations = drawn_square()
    image = rotate_array(np.repeat(mask.numpy()[:, :, None] * 255, 3, 2), angle, (0, 0, 0), cv2.INTER_LINEAR)
    turned = annotations.rotate(angle)
    rotated = turned.instances.get_field("masks").get_mask_tensor()
    border = ndimage.binary_dilation(rotated) & ~ndimage.binary_erosion(rotated)
    assert (image[..., 0] == 255 * rotated.numpy())[~border].all()
    assert np.count_nonzero((image[..., 0] > 127) != rotated.numpy()) <= 8
    inside = turned.semantic.labels != IGNORE_INDEX
    assert torch.equal(turned.semantic.labels[inside], 5 * rotated[inside]) and not rotated[~inside].any()
    assert torch.equal(turned.instances.get_field("parts").labels[0], 3 * rotated)
    outlined = turned.instances.get_field("outlines").get_mask_tensor()
    assert not (outlined != rotated)[torch.from_numpy(~border)].any()  # a polygon is drawn by COCO's rule
    # corners of the outermost pixels, which the keypoints are the centres of
    corners = cv2.boxPoints(cv2.minAreaRect(cv2.findNonZero(rotated.numpy())))
    places = turned.people.get_field("keypoints").keypoints[0, :4]
    distances = np.linalg.norm(corners[None] - places[:, None, :2].numpy(), axis=-1).min(axis=1)
    assert (distances <= 1.0).all() and places[:, 2].tolist() == [1, 1, 1, 2]
    ys, xs = rotated.nonzero(as_tuple=True)
    assert turned.instances.bbox.tolist() == [[xs.min(), ys.min(), xs.max(), ys.max()]]
    assert torch.equal(turned.people.bbox, turned.instances.bbox)  # the person is that object
    # boundaries stay on the square's outermost pixels
    depth = cv2.distanceTransform(np.pad(rotated.numpy(), 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    near = ndimage.binary_dilation(turned.boundary.edges.numpy())
    assert depth[turned.boundary.edges.numpy() > 0].max() <= 2 and near[depth == 1].all()
    sine, cosine = turned.occlusion.direction[:, turned.occlusion.edges.bool()]
    expected = math.pi - math.radians(angle)
    assert (sine - math.sin(expected)).abs().max() < 1e-5 and (cosine - math.cos(expected)).abs().max() < 1e-5
    assert turned.classes is annotations.classes and turned.size == SIZE


def test_a_rotation_by_nothing_gives_the_annotations_themselves():
    annotations = drawn_square()[1]
    assert annotations.rotate(0) is annotations


def test_a_right_angle_moves_every_pixel_of_a_square_image_exactly():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 9, (12, 12), generator=generator, dtype=torch.uint8)
    assert torch.equal(SemanticMap(labels).rotate(90).labels, labels.rot90())
    masks = (labels > 4).to(torch.uint8)[None]
    assert torch.equal(SegmentationMask(masks, (12, 12), "mask").rotate(90).get_mask_tensor(), masks[0].rot90())
    assert torch.equal(BoundaryMap(masks[0]).rotate(90).edges, masks[0].rot90())
    # top left to bottom left, counter-clockwise
    assert BoxList([[0, 0, 3, 1]], (12, 12)).rotate(90).bbox.round().tolist() == [[0, 8, 1, 11]]
    polygon = SegmentationMask([[[0, 0, 4, 0, 4, 2]]], (12, 12)).rotate(90).instances.points
    assert polygon.round(decimals=3).tolist() == [[0, 12], [0, 8], [2, 8]]
    joints = PersonKeypoints([[[0.0, 0, 2]] * 16 + [[0, 0, 0]]], (12, 12)).rotate(90).keypoints[0]
    assert joints[0].round(decimals=3).tolist() == [0, 11, 2] and joints[16].tolist() == [0, 0, 0]


def test_points_turn_counter_clockwise_about_the_middle_of_the_image():
    points = torch.tensor([[10.0, 5.0], [5.0, 0.0]])
    assert rotate_points(points, 90, (10, 10), inclusive=False).round(decimals=4).tolist() == [[5, 0], [0, 5]]
    assert rotate_points(points, 90, (11, 11), inclusive=True).round(decimals=4).tolist() == [[5, 0], [0, 5]]


def test_what_leaves_the_image_goes_and_what_comes_into_it_is_unlabelled():
    boxes = BoxList([[0, 0, 3, 3], [28, 18, 32, 22]], (60, 40))
    boxes.add_field("labels", torch.tensor([1, 2]))
    masks = torch.zeros(2, 40, 60, dtype=torch.uint8)
    masks[0, :4, :4], masks[1, 18:23, 28:33] = 1, 1
    for field in (SegmentationMask(masks, (60, 40), "mask"), SegmentationMask(masks, (60, 40), "poly"), None):
        if field is not None:
            boxes.add_field("masks", field)
        people = BoxList(boxes.bbox, (60, 40))
        people.add_field("labels", torch.ones(2, dtype=torch.int64))
        people.add_field("keypoints", DetailKeypoints([[[1.0, 1, 1]] * 14, [[30.0, 20, 1]] * 14], (60, 40)))
        semantic = SemanticMap(torch.zeros(40, 60, dtype=torch.uint8))
        turned = ImageAnnotations((60, 40), instances=boxes, people=people, semantic=semantic).rotate(-40)
        assert turned.instances.get_field("labels").tolist() == [2] and len(turned.people) == 1
        assert boxes.convert("xywh").rotate(-40).get_field("labels").tolist() == [2]
        assert boxes.rotate(-40).get_field("labels").tolist() == [2] and len(boxes.rotate_all(-40)) == 2
        assert turned.people.get_field("keypoints").keypoints[0, 0, 2] == 1
        assert (turned.semantic.labels[0, :5] == IGNORE_INDEX).all() and turned.semantic.labels[20, 30] == 0


def test_a_keypoint_that_leaves_the_image_is_no_longer_annotated():
    turned = DetailKeypoints([[[0.0, 0, 1]] * 14], (60, 40)).rotate(-40).keypoints
    assert not turned.any()


def test_what_a_crop_left_beyond_the_border_does_not_come_into_sight():
    beyond = SegmentationMask([[[-30.0, 10, 10, 10, 10, 20, -30, 20]]], (40, 40))
    within = SegmentationMask([[[0.0, 10, 10, 10, 10, 20, 0, 20]]], (40, 40))
    assert torch.equal(beyond.rotate(30).get_mask_tensor(), within.rotate(30).get_mask_tensor())


@given(EDGES, st.floats(-45, 45))
def test_a_rotation_tears_no_line(edges, angle):
    """Within a frame so wide that nothing leaves it."""
    edges = np.pad(edges, 20)
    turned = BoundaryMap(torch.from_numpy(edges)).rotate(angle).edges.numpy()
    assert ndimage.label(turned, np.ones((3, 3)))[1] <= ndimage.label(edges, np.ones((3, 3)))[1]
    assert turned.sum() <= 2 * edges.sum()


@given(EDGES, st.floats(-45, 45))
def test_occlusion_edges_lie_where_boundaries_do_and_have_directions_of_length_one(edges, angle):
    edges = torch.from_numpy(edges)
    direction = torch.stack((torch.ones_like(edges), torch.zeros_like(edges))).float() * edges
    turned = OcclusionMap(edges, direction).rotate(angle)
    assert torch.equal(turned.edges, BoundaryMap(edges).rotate(angle).edges)
    sine, cosine = turned.direction[:, turned.edges.bool()]
    assert torch.allclose(sine, torch.full_like(sine, math.cos(math.radians(angle))), atol=1e-5)
    assert torch.allclose(cosine, torch.full_like(sine, math.sin(math.radians(angle))), atol=1e-5)


def test_lines_are_as_thin_as_before():
    """A circle of one pixel's width has no more than a third of its pixels more."""
    circle = np.zeros((120, 120), np.uint8)
    cv2.circle(circle, (59, 59), 40, 1)
    counts = [int(BoundaryMap(torch.from_numpy(circle)).rotate(angle).edges.sum()) for angle in range(-45, 46, 5)]
    assert max(counts) <= 4 / 3 * circle.sum() and min(counts) >= circle.sum()


def test_each_annotators_lines_are_rotated_by_themselves():
    annotators = torch.zeros(2, 9, 9, dtype=torch.uint8)
    annotators[0, 4, :], annotators[1, :, 4] = 1, 1
    turned = BoundaryMap.of_annotators(annotators).rotate(90).annotators
    assert torch.equal(turned, annotators.flip(0))


def test_a_label_that_cannot_be_rotated_is_told_in_one_line():
    class Still(SemanticMap):
        rotate = property()

    labels = {"saliency": Still(torch.zeros(4, 5, dtype=torch.uint8))}
    with pytest.raises(UserError, match=r"the label 'saliency' is a Still without 'rotate'.* set INPUT\.ROTATION 0"):
        ImageAnnotations((5, 4), labels=labels).rotate(3.0)
