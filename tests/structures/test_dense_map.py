"""Whole-image maps: lines survive resizing, directions turn with a mirror."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from maskrcnn_benchmark.structures.dense_map import (
    IGNORE_INDEX,
    NO_NORMAL,
    BoundaryMap,
    DepthMap,
    NormalMap,
    OcclusionMap,
    SemanticMap,
)
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM

SIDES = st.integers(1, 40)
EDGES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 1))
METHODS = st.sampled_from([FLIP_LEFT_RIGHT, FLIP_TOP_BOTTOM])


def occlusion(edges, theta):
    edges = torch.as_tensor(edges, dtype=torch.uint8)
    theta = torch.as_tensor(theta, dtype=torch.float32)
    return OcclusionMap(edges, torch.stack((theta.sin(), theta.cos())) * edges)


def angles(occlusion_map):
    sin, cos = occlusion_map.direction
    return torch.atan2(sin, cos)[occlusion_map.edges.bool()].tolist()


def components(edges):
    return ndimage.label(edges, np.ones((3, 3)))[1]


def test_semantic_maps_are_resized_at_pixel_centres_and_padded_with_ignore():
    semantic = SemanticMap(torch.tensor([[1, 2], [3, 255]], dtype=torch.uint8))
    assert semantic.resize((4, 2)).labels.tolist() == [[1, 1, 2, 2], [3, 3, 255, 255]]
    assert semantic.resize((4, 2)).size == (4, 2)
    assert SemanticMap(torch.arange(6, dtype=torch.uint8)[None]).resize((2, 1)).labels.tolist() == [[1, 4]]
    assert semantic.pad((3, 3)).labels.tolist() == [[1, 2, IGNORE_INDEX], [3, 255, 255], [255, 255, 255]]
    assert semantic.crop((1, 0, 2, 2)).labels.tolist() == [[2], [255]]
    assert semantic.transpose(FLIP_LEFT_RIGHT).labels.tolist() == [[2, 1], [255, 3]]
    assert semantic.transpose(FLIP_TOP_BOTTOM).labels.tolist() == [[3, 255], [1, 2]]


@given(EDGES, METHODS)
def test_flipping_maps_twice_gives_every_bit_back(same_bits, edges, method):
    for kind, name in ((SemanticMap, "labels"), (BoundaryMap, "edges")):
        one = kind(torch.from_numpy(edges))
        assert same_bits(getattr(one.transpose(method).transpose(method), name), getattr(one, name))


@given(EDGES, SIDES, SIDES)
def test_shrinking_keeps_exactly_the_pixels_that_an_edge_falls_in(edges, width, height):
    height, width = min(height, edges.shape[0]), min(width, edges.shape[1])
    resized = BoundaryMap(torch.from_numpy(edges)).resize((width, height))
    expected = np.zeros((height, width))
    for y, x in zip(*edges.nonzero()):
        expected[math.floor((y + 0.5) * height / edges.shape[0]), math.floor((x + 0.5) * width / edges.shape[1])] = 1
    assert resized.size == (width, height) and resized.edges.tolist() == expected.tolist()


@given(EDGES, SIDES, SIDES)
def test_resizing_neither_loses_nor_tears_a_boundary(edges, width, height):
    resized = BoundaryMap(torch.from_numpy(edges)).resize((width, height)).edges.numpy()
    assert resized.any() == edges.any()
    assert components(resized) <= components(edges)


@given(EDGES, st.integers(20, 60), st.integers(20, 60))
def test_enlarging_separates_and_joins_nothing(edges, width, height):
    resized = BoundaryMap(torch.from_numpy(edges)).resize((width, height)).edges.numpy()
    assert components(resized) == components(edges)
    back = BoundaryMap(torch.from_numpy(resized)).resize(edges.shape[::-1]).edges.numpy()
    assert (back >= edges).all()


def test_a_one_pixel_line_survives_any_shrinking():
    line = torch.zeros(375, 500, dtype=torch.uint8)
    line[187] = 1
    for size in ((500, 375), (250, 188), (33, 25), (4, 3), (1, 1)):
        resized = BoundaryMap(line).resize(size).edges
        assert resized.sum(dim=1).max() == size[0] and resized.sum() == size[0]


def test_boundaries_are_cropped_padded_and_mirrored():
    boundary = BoundaryMap(torch.tensor([[1, 0, 0], [0, 1, 1]], dtype=torch.uint8))
    assert boundary.crop((1, 0, 3, 2)).edges.tolist() == [[0, 0], [1, 1]]
    assert boundary.pad((4, 3)).edges.tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert boundary.transpose(FLIP_LEFT_RIGHT).edges.tolist() == [[0, 0, 1], [1, 1, 0]]


def test_one_annotator_is_the_default():
    boundary = BoundaryMap(torch.tensor([[1, 0], [0, 1]], dtype=torch.uint8))
    assert boundary.annotators.tolist() == [[[1, 0], [0, 1]]]
    assert boundary.transpose(FLIP_LEFT_RIGHT).annotators.tolist() == [[[0, 1], [1, 0]]]


@given(arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=12), elements=st.integers(0, 1)), SIDES, SIDES)
def test_what_happens_to_a_boundary_happens_to_each_annotators(drawn, width, height):
    several = BoundaryMap.of_annotators(torch.from_numpy(drawn))
    assert several.edges.tolist() == drawn.max(axis=0).tolist()
    x, y = drawn.shape[2] // 2, drawn.shape[1] // 2
    for change in (
        lambda boundary: boundary.resize((width, height)),
        lambda boundary: boundary.transpose(FLIP_LEFT_RIGHT),
        lambda boundary: boundary.transpose(FLIP_TOP_BOTTOM),
        lambda boundary: boundary.crop((x, y, x + 3, y + 3)),
        lambda boundary: boundary.pad((drawn.shape[2] + 2, drawn.shape[1] + 1)),
        lambda boundary: boundary.to("cpu"),
    ):
        changed = change(several)
        alone = [change(BoundaryMap(torch.from_numpy(edges))).edges for edges in drawn]
        assert torch.equal(changed.annotators, torch.stack(alone))
        assert torch.equal(changed.edges, torch.stack(alone).amax(dim=0))


def test_the_mirror_of_occlusion_worked_by_hand():
    # Upright edge, occluder on its left side (x = 0): the tangent that has it to the left points up, -90 degrees.
    upright = occlusion([[0, 1, 0]], [[0.0, -math.pi / 2, 0.0]])
    mirrored = upright.transpose(FLIP_LEFT_RIGHT)
    # Now the occluder is on the right side, so the tangent points down.
    assert angles(mirrored) == pytest.approx([math.pi / 2])
    assert angles(upright.transpose(FLIP_TOP_BOTTOM)) == pytest.approx([-math.pi / 2])
    # Level edge, occluder above: the tangent points right; upside down the occluder is below and it points left.
    level = occlusion([[0], [1]], [[0.0], [0.0]])
    assert angles(level.transpose(FLIP_TOP_BOTTOM)) == pytest.approx([math.pi])
    assert angles(level.transpose(FLIP_LEFT_RIGHT)) == pytest.approx([0.0])
    assert level.transpose(FLIP_TOP_BOTTOM).edges.tolist() == [[1], [0]]


@given(st.integers(0, 2**31), METHODS)
def test_the_mirrored_tangent_has_the_mirrored_occluder_to_its_left(seed, method):
    theta = float(torch.rand((), generator=torch.Generator().manual_seed(seed)) * 2 * math.pi - math.pi)
    # Left of a direction (dx, dy), with y down, is (dy, -dx)
    to_occluder = np.array([math.sin(theta), -math.cos(theta)])
    to_occluder[method] *= -1
    (mirrored,) = angles(occlusion([[1]], [[theta]]).transpose(method))
    assert np.allclose([math.sin(mirrored), -math.cos(mirrored)], to_occluder, atol=1e-5)


@settings(max_examples=30)
@given(
    arrays(np.uint8, (4, 6), elements=st.integers(0, 1)),
    arrays(np.float32, (2, 4, 6), elements=st.floats(-4, 4, width=32)),
    METHODS,
)
def test_flipping_occlusion_twice_gives_every_bit_back(same_bits, edges, direction, method):
    one = OcclusionMap(torch.from_numpy(edges), torch.from_numpy(direction))
    twice = one.transpose(method).transpose(method)
    assert same_bits(twice.edges, one.edges) and same_bits(twice.direction, one.direction)


@given(EDGES, SIDES, SIDES)
def test_resized_occlusion_has_the_edges_of_a_boundary_and_unit_directions_on_them(edges, width, height):
    theta = np.linspace(-3, 3, edges.size).reshape(edges.shape)
    resized = occlusion(edges, theta).resize((width, height))
    assert torch.equal(resized.edges, BoundaryMap(torch.from_numpy(edges)).resize((width, height)).edges)
    assert torch.allclose(resized.direction.norm(dim=0), resized.edges.float(), atol=1e-5)


def test_directions_that_fall_together_are_averaged_and_opposite_ones_leave_the_first():
    # Right and down
    quarter = occlusion([[1, 1]], [[0.0, math.pi / 2]])
    assert angles(quarter.resize((1, 1))) == pytest.approx([math.pi / 4])
    opposite = occlusion([[1, 1]], [[math.pi / 2, -math.pi / 2]])
    assert angles(opposite.resize((1, 1))) == pytest.approx([math.pi / 2])


def test_tangents_stretch_with_the_image():
    diagonal = occlusion([[1]], [[math.pi / 4]])
    assert angles(diagonal.resize((1, 3)))[0] == pytest.approx(math.atan2(3, 1))
    assert angles(diagonal.resize((2, 2)))[0] == pytest.approx(math.pi / 4)


def test_occlusion_is_cropped_and_padded():
    one = occlusion([[0, 1], [1, 0]], [[0.0, 1.0], [2.0, 0.0]])
    assert angles(one.crop((1, 0, 2, 2))) == pytest.approx([1.0])
    padded = one.pad((3, 4))
    assert padded.size == (3, 4) and angles(padded) == pytest.approx([1.0, 2.0])


def test_maps_of_another_type_or_shape_are_refused():
    with pytest.raises(ValueError, match="semantic map is uint8"):
        SemanticMap(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="boundary map"):
        BoundaryMap(torch.zeros(1, 2, 2, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"annotators of a \[2, 2\] boundary map are uint8 \[A, H, W\], not int64"):
        BoundaryMap(torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(1, 2, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="directions"):
        OcclusionMap(torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(2, 2, 3))
    with pytest.raises(ValueError, match="flip"):
        SemanticMap(torch.zeros(2, 2, dtype=torch.uint8)).transpose(5)


VECTORS = arrays(np.uint8, st.tuples(st.just(3), st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 255))
METRES = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.sampled_from([0, 0.5, 2, 7]))
ANGLES = st.sampled_from([-90.0, -17.0, 30.0, 90.0, 180.0])


def decoded(codes):
    """Unit vectors by definition, float64 [3, H, W], zeros for those that are too short."""
    vectors = 2 * codes.astype(np.float64) / 255 - 1
    length = np.sqrt((vectors**2).sum(axis=0))
    return np.where(length >= 0.1, vectors / np.maximum(length, 0.1), 0)


@given(VECTORS)
def test_normals_of_a_file_are_unit_vectors_or_nothing(codes):
    normals = NormalMap.of_codes(torch.from_numpy(codes)).normals.numpy()
    assert normals.dtype == np.float32 and np.abs(normals - decoded(codes)).max() < 1e-6


def test_grey_pixels_are_not_labelled():
    codes = torch.tensor([127, 128, 255]).expand(3, 1, 3).to(torch.uint8)
    normals = NormalMap.of_codes(codes).normals
    assert normals[:, 0, :2].eq(0).all() and normals[:, 0, 2].tolist() == pytest.approx([3**-0.5] * 3)


@given(VECTORS, METHODS)
def test_a_mirror_turns_normals_and_twice_it_is_nothing(same_bits, codes, method):
    one = NormalMap.of_codes(torch.from_numpy(codes))
    mirrored = one.transpose(method).normals
    axis, dim = (0, -1) if method == FLIP_LEFT_RIGHT else (1, -2)
    expected = one.normals.flip(dim)
    expected[axis] = -expected[axis]
    assert torch.equal(mirrored, expected)
    assert torch.equal(one.transpose(method).transpose(method).normals, one.normals)
    floats = NormalMap(one.normals)  # the same by either way in
    assert torch.equal(floats.transpose(method).normals, mirrored)


@given(VECTORS, ANGLES)
def test_a_rotation_turns_normals_as_it_turns_the_image(codes, angle):
    constant = np.broadcast_to(codes[:, :1, :1], (3, 9, 9)).copy()
    rotated = NormalMap.of_codes(torch.from_numpy(constant)).rotate(angle).normals[:, 4, 4].numpy()
    x, y, z = decoded(constant)[:, 0, 0]
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    # counter-clockwise on a screen whose y points down
    assert rotated == pytest.approx([cosine * x + sine * y, cosine * y - sine * x, z], abs=1e-6)


def test_a_quarter_turn_takes_what_faces_right_to_the_top_and_mirrors_follow():
    normals = torch.zeros(3, 3, 3)
    normals[0] = 1
    turned = NormalMap(normals).rotate(90)
    assert turned.normals[:, 1, 1].tolist() == pytest.approx([0, -1, 0], abs=1e-6)
    assert turned.transpose(FLIP_TOP_BOTTOM).normals[:, 1, 1].tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    back = NormalMap(normals).transpose(FLIP_LEFT_RIGHT).rotate(90).normals[:, 1, 1]
    assert back.tolist() == pytest.approx([0, 1, 0], abs=1e-6)


@given(VECTORS, SIDES, SIDES)
def test_normals_are_resized_at_pixel_centres_cropped_and_padded_with_nothing(codes, width, height):
    one = NormalMap.of_codes(torch.from_numpy(codes))
    semantic = SemanticMap(torch.arange(codes[0].size, dtype=torch.uint8).view(codes.shape[1:]))
    places = semantic.resize((width, height)).labels.long()
    assert torch.equal(one.resize((width, height)).normals, one.normals.flatten(1)[:, places])
    padded = one.pad((codes.shape[2] + 2, codes.shape[1] + 1)).normals
    assert padded[:, -1].eq(0).all() and padded[:, :, -2:].eq(0).all()
    assert torch.equal(padded[:, :-1, :-2], one.normals)
    assert torch.equal(one.crop((0, 0, 1, 1)).normals, one.normals[:, :1, :1])
    same = NormalMap.of_codes(torch.from_numpy(codes[:, :1, :1])).resize((width, height)).normals
    assert same.flatten(1).unique(dim=1).shape[1] == 1 and same.shape == (3, height, width)


def test_normals_are_pasted_within_a_mask():
    one, other = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
    one[0], other[2] = 1, 1
    mask = torch.tensor([[True, False], [False, False]])
    pasted = NormalMap(one).transpose(FLIP_LEFT_RIGHT).paste(NormalMap(other), mask).normals
    assert pasted[:, 0, 0].tolist() == [0, 0, 1] and pasted[:, 1, 1].tolist() == [-1, 0, 0]


@given(METRES, SIDES, SIDES)
def test_depth_is_divided_by_the_scale(depth, width, height):
    one = DepthMap(torch.from_numpy(depth))
    resized = one.resize((width, height))
    scale = math.sqrt(width * height / depth.size)
    places = SemanticMap(torch.arange(depth.size, dtype=torch.uint8).view(depth.shape)).resize((width, height)).labels
    assert resized.depth.numpy() == pytest.approx(depth.reshape(-1)[places.long().numpy()] / scale, rel=1e-5)
    assert resized.resize(one.size).size == one.size
    double = one.resize((2 * depth.shape[1], 2 * depth.shape[0]))
    assert torch.equal(double.depth[::2, ::2], one.depth / 2)
    assert torch.equal(double.resize(one.size).depth, one.depth)


@given(METRES, METHODS)
def test_depth_survives_mirrors_and_is_unknown_where_nothing_was(same_bits, depth, method):
    one = DepthMap(torch.from_numpy(depth))
    assert same_bits(one.transpose(method).transpose(method).depth, one.depth)
    padded = one.pad((depth.shape[1] + 1, depth.shape[0] + 1)).depth
    assert padded[-1].eq(0).all() and padded[:, -1].eq(0).all() and torch.equal(padded[:-1, :-1], one.depth)


def test_depth_is_rotated_and_pasted():
    depth = torch.full((5, 9), 3.0)
    turned = DepthMap(depth).rotate(45).depth
    assert turned[2, 4] == 3 and turned[0, 0] == 0 and set(turned.unique().tolist()) == {0, 3}
    mask = torch.zeros(5, 9, dtype=torch.bool)
    mask[0, 0] = True
    pasted = DepthMap(depth).paste(DepthMap(depth).resize((18, 10)).resize((9, 5)), mask)
    assert pasted.depth.eq(3).all()
    near = DepthMap(depth).paste(DepthMap(torch.ones(5, 9)), mask).depth
    assert near[0, 0] == 1 and near[0, 1] == 3


def test_normals_and_depth_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"normals are float32 \[3, H, W\], not float64 \[3, 2, 2\]"):
        NormalMap(torch.zeros(3, 2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"depth is float32 \[H, W\] in metres, not float32 \[1, 2, 2\]"):
        DepthMap(torch.zeros(1, 2, 2))
    assert NormalMap.of_codes(torch.full((3, 1, 1), NO_NORMAL, dtype=torch.uint8)).to("cpu").normals.eq(0).all()
