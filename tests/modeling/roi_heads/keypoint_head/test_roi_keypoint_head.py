import cv2
import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head import inference
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.inference import heatmaps_to_keypoints
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.keypoint_head import build_roi_keypoint_head
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.loss import KeypointRCNNLossComputation
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.keypoint import keypoints_to_heat_map


def test_the_extractor_and_predictor_build_from_the_default_config():
    head = build_roi_keypoint_head(cfg.clone(), 64)
    extractor, predictor = head.feature_extractor, head.predictor
    assert {type(extractor).__name__, type(predictor).__name__} == {
        *registry.ROI_KEYPOINT_FEATURE_EXTRACTORS,
        *registry.ROI_KEYPOINT_PREDICTOR,
    }
    with torch.no_grad():
        out = extractor([torch.rand(1, 64, 8, 8)], [BoxList([[1.0, 1.0, 90.0, 90.0]], (128, 128))])
        assert out.shape == (1, 512, 14, 14)
        assert predictor(out).shape == (1, 17, 56, 56)


def random_rois(count, seed=0):
    r = np.random.default_rng(seed)
    corner, extent = r.uniform(0, 100, (count, 2)), r.uniform(0.2, 130, (count, 2))
    return torch.from_numpy(np.concatenate((corner, corner + extent), 1)).float()


def decode_one(maps, roi):
    """The definition, for one box: resize with OpenCV to whole pixels, take the greatest."""
    x1, y1, x2, y2 = roi.tolist()
    width, height = max(x2 - x1, 1), max(y2 - y1, 1)
    columns, rows = int(np.ceil(width)), int(np.ceil(height))
    joints = []
    for heat in maps.numpy():
        resized = cv2.resize(heat, (columns, rows), interpolation=cv2.INTER_CUBIC)
        y, x = np.unravel_index(resized.argmax(), resized.shape)
        joints.append((x1 + (x + 0.5) * width / columns, y1 + (y + 0.5) * height / rows, 1.0, resized[y, x]))
    return joints


@pytest.mark.parametrize("chunk_cells", [1 << 22, 1 << 10])
def test_decoding_equals_a_bicubic_resize_of_each_box(monkeypatch, chunk_cells):
    monkeypatch.setattr(inference, "CHUNK_CELLS", chunk_cells)
    rois = random_rois(20)
    maps = torch.randn(20, 5, 28, 28, generator=torch.Generator().manual_seed(0))
    keypoints, scores = heatmaps_to_keypoints(maps, rois)
    expected = torch.tensor([decode_one(m, roi) for m, roi in zip(maps, rois)], dtype=torch.float32)
    torch.testing.assert_close(keypoints, expected[..., :3], atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, expected[..., 3], atol=1e-4, rtol=0)


def test_decoding_small_maps_equals_decoding_the_enlarged_ones():
    rois = random_rois(20, seed=3)
    small = torch.randn(20, 5, 14, 14, generator=torch.Generator().manual_seed(4))
    large = torch.nn.functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    keypoints, scores = heatmaps_to_keypoints(small, rois, up_scale=2)
    expected, expected_scores = heatmaps_to_keypoints(large, rois)
    torch.testing.assert_close(keypoints, expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(scores, expected_scores, atol=1e-5, rtol=1e-5)


def test_of_equal_pixels_the_first_is_the_joint():
    keypoints, _ = heatmaps_to_keypoints(torch.zeros(1, 2, 28, 28), torch.tensor([[10.0, 20.0, 18.0, 40.0]]))
    assert keypoints.tolist() == [[[10.5, 20.5, 1.0]] * 2]


def test_joints_survive_the_way_to_heat_maps_and_back():
    rois = random_rois(30, seed=1)
    rois[:, 2:] += 60  # boxes larger than the map, or a single hot cell could fall between two pixels
    generator = torch.Generator().manual_seed(2)
    place = rois[:, None, :2] + torch.rand(30, 6, 2, generator=generator) * (rois[:, 2:] - rois[:, :2])[:, None]
    joints = torch.cat((place, torch.ones(30, 6, 1)), -1)
    cells, valid = keypoints_to_heat_map(joints, rois, 56)
    assert (valid == 1).all()
    maps = torch.zeros(30, 6, 56 * 56).scatter_(2, cells[..., None], 10.0).view(30, 6, 56, 56)
    found, _ = heatmaps_to_keypoints(maps, rois)
    cell = ((rois[:, 2:] - rois[:, :2]) / 56)[:, None]
    assert ((found[..., :2] - place).abs() <= cell + 1.01).all()


def test_decoding_nothing_gives_nothing():
    keypoints, scores = heatmaps_to_keypoints(torch.zeros(0, 5, 28, 28), torch.zeros(0, 4))
    assert keypoints.shape == (0, 5, 3) and scores.shape == (0, 5)


@pytest.fixture
def people_boxes(make_target):
    target = make_target()
    near = target.people.bbox + torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    far = torch.tensor([[40.0, 20.0, 60.0, 40.0]])
    return target, BoxList(torch.cat((target.people.bbox, near, far)), (64, 64))


def test_regions_of_people_with_a_visible_joint_are_trained(people_boxes):
    target, boxes = people_boxes
    loss = KeypointRCNNLossComputation(Matcher(0.5, 0.5))
    chosen = loss.select([boxes], [target], 28)[0]
    torch.testing.assert_close(chosen.bbox, boxes.bbox[:2])
    joints = target.people.get_field("keypoints").keypoints
    cells, _ = keypoints_to_heat_map(joints.repeat(2, 1, 1), boxes.bbox[:2], 28)
    assert torch.equal(chosen.get_field("keypoint_cells"), cells)
    joints[..., 2] = 0
    assert len(loss.select([boxes], [target], 28)[0]) == 0


def test_a_person_whose_joints_lie_outside_the_box_is_not_trained(people_boxes):
    target, boxes = people_boxes
    target.people.get_field("keypoints").keypoints[..., 0] = 2.0
    assert len(KeypointRCNNLossComputation(Matcher(0.5, 0.5)).select([boxes], [target], 28)[0]) == 0


def test_the_number_of_regions_per_image_is_bounded(people_boxes):
    target, boxes = people_boxes
    loss = KeypointRCNNLossComputation(Matcher(0.5, 0.5), max_rois_per_image=1)
    assert len(loss.select([boxes], [target], 28)[0]) == 1


def test_the_loss_counts_only_visible_joints(people_boxes):
    target, boxes = people_boxes
    target.people.get_field("keypoints").keypoints[0, 1:, 2] = 0
    loss = KeypointRCNNLossComputation(Matcher(0.5, 0.5))
    chosen = loss.select([boxes[:1]], [target], 28)
    cells, _ = keypoints_to_heat_map(target.people.get_field("keypoints").keypoints, boxes.bbox[:1], 28)
    logits = torch.randn(1, 14, 28, 28)
    expected = torch.nn.functional.cross_entropy(logits[:, 0].flatten(1), cells[:, 0])
    torch.testing.assert_close(loss(logits, chosen), expected)
