"""The numbers of the original library, model by model.

DETAIL_PARITY_DATA names the folder with the recordings (*.npz, one per model) and the rule for their weights, images
and targets (reference_weights.py). Each recording names its file under configs/.
"""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.roi_heads.mask_head.inference import Masker
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.keypoint import PersonKeypoints
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask

CONFIGS = Path(__file__).parents[2] / "configs"
FOLDER = Path(os.environ.get("DETAIL_PARITY_DATA", "nowhere"))
RECORDINGS = sorted(FOLDER.glob("*.npz"))


class Reference:
    """One recording: the config it was made with, its numbers, and the model, images and targets to repeat them."""

    def __init__(self, path):
        spec = importlib.util.spec_from_file_location("reference_weights", path.parent / "reference_weights.py")
        self.rule = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rule)
        numbers = dict(np.load(path))
        self.meta = json.loads(str(numbers.pop("meta")))
        self.numbers = {name: torch.from_numpy(value) for name, value in numbers.items()}
        self.config = cfg.clone()
        self.config.merge_from_file(CONFIGS / self.meta["config"])
        self.config.merge_from_list(self.meta["opts"])

    def model(self, *options):
        config = self.config.clone()
        config.merge_from_list(list(options))
        model = build_detection_model(config)
        weights = self.rule.fill(self.meta["shapes"])
        model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        return model

    def images(self, count):
        mean = np.array(self.config.INPUT.PIXEL_MEAN, np.float32)
        arrays = [self.rule.image(h, w, seed) for seed, (h, w) in enumerate(self.meta["sizes"][:count])]
        tensors = [torch.from_numpy(array.astype(np.float32) - mean).permute(2, 0, 1) for array in arrays]
        return to_image_list(tensors, self.config.DATALOADER.SIZE_DIVISIBILITY)

    def proposals(self, size):
        """The recorded proposals of the first image."""
        boxes = BoxList(self.numbers["proposal_boxes"], size)
        boxes.add_field("objectness", self.numbers["proposal_objectness"])
        return boxes

    def targets(self):
        model = self.config.MODEL
        group = model.RETINANET if model.RETINANET_ON else model.ROI_BOX_HEAD
        targets = []
        for tree in self.rule.targets(self.meta["sizes"], group.NUM_CLASSES):
            boxes = BoxList(torch.tensor(tree["boxes"]), tree["size"])
            boxes.add_field("labels", torch.tensor(tree["labels"]))
            if model.MASK_ON:
                boxes.add_field("masks", SegmentationMask(tree["polygons"], tree["size"]))
            if model.KEYPOINT_ON:
                boxes.add_field("keypoints", PersonKeypoints(torch.tensor(tree["keypoints"]), tree["size"]))
            targets.append(boxes)
        return targets


@pytest.fixture(scope="module", params=RECORDINGS or [None], ids=lambda path: path.stem if path else "none")
def reference(request):
    if request.param is None:
        pytest.skip("set DETAIL_PARITY_DATA to the folder of the original library's numbers to run this test")
    return Reference(request.param)


@pytest.fixture(scope="module")
def answers(reference):
    """Features, proposals (RetinaNet: None) and detections (RPN alone: None) of the first image."""
    model, images = reference.model().eval(), reference.images(1)
    with torch.no_grad():
        features = model.backbone(images.tensors)
        (boxes,), _ = model.rpn(images, features)
        if reference.config.MODEL.RETINANET_ON:
            return features, None, boxes
        if model.roi_heads is None:
            return features, boxes, None
        # Of the recorded proposals: of ours, equal scores may have let others survive
        (detections,), _ = model.roi_heads(features, [reference.proposals(boxes.size)])
        return features, boxes, detections


def test_features(reference, answers):
    features = answers[0]
    assert len(features) == sum(name.endswith("_shape") and name.startswith("feature") for name in reference.numbers)
    for level, found in enumerate(features):
        expected = reference.numbers[f"feature{level}"]
        assert tuple(found.shape) == tuple(reference.numbers[f"feature{level}_shape"].tolist())
        sampled = found.flatten()[torch.linspace(0, found.numel() - 1, 512).long()]
        torch.testing.assert_close(sampled, expected, atol=1e-4 * expected.std().item(), rtol=0)


def test_proposals(reference, answers):
    if "proposal_boxes" not in reference.numbers:
        pytest.skip("this model has no proposals")
    found, expected = answers[1], reference.proposals(answers[1].size)
    scores = expected.get_field("objectness")
    # Which one of equal scores comes first, and suppresses others, is left to rounding: a saturated sigmoid ties many
    tied = ((scores[:, None] - scores).abs() < 1e-6).sum(1) > 1
    assert abs(len(found) - len(expected)) <= tied.sum()
    apart, nearest = (expected.bbox[:, None] - found.bbox).abs().amax(2).min(1)
    same = (apart < 1) & ((found.get_field("objectness")[nearest] - scores).abs() < 1e-4)
    assert same[~tied].float().sum() >= 0.99 * (~tied).sum()
    suppressed = boxlist_iou(expected, found).amax(1) > reference.config.MODEL.RPN.NMS_THRESH
    assert (same | suppressed)[tied].float().sum() >= 0.99 * tied.sum()


def test_detections(reference, answers):
    numbers, found = reference.numbers, answers[2]
    if "det_scores" not in numbers:
        pytest.skip("this model has no detections")
    assert abs(len(found) - len(numbers["det_scores"])) <= 0.01 * len(numbers["det_scores"])
    # Scores tie, so the order is left to rounding: each recorded detection is paired with the nearest one of its label
    apart = (numbers["det_boxes"][:, None] - found.bbox).abs().amax(2)
    score_apart = (numbers["det_scores"][:, None] - found.get_field("scores")).abs()
    other_label = numbers["det_labels"][:, None] != found.get_field("labels")
    match = (apart + 1e3 * score_apart).masked_fill(other_label, torch.inf).argmin(1)
    rows = torch.arange(len(match))
    good = (apart[rows, match] < 0.05) & (score_apart[rows, match] < 1e-4) & ~other_label[rows, match]
    assert good.float().mean() >= 0.99
    assert len(match[good].unique()) == good.sum()
    if "det_mask" in numbers:
        _check_masks(numbers, found, match, good)
    if "det_keypoints" in numbers:
        keypoints = found.get_field("keypoints").keypoints[match[good]]
        torch.testing.assert_close(keypoints, numbers["det_keypoints"][good], atol=0.01, rtol=0)


def _check_masks(numbers, found, match, good):
    masks = numbers["det_mask"]
    torch.testing.assert_close(found.get_field("mask")[match[good]], masks[good].float(), atol=1e-3, rtol=0)
    shape = tuple(numbers["det_pasted_shape"].tolist())
    pasted = np.unpackbits(numbers["det_pasted_bits"].numpy())[: np.prod(shape)].reshape(shape).astype(bool)
    assert pasted.any()
    boxes = BoxList(numbers["det_boxes"], found.size)
    assert (Masker(0.5, 1)([masks.float()], [boxes])[0].numpy() != pasted).mean() < 1e-5


def test_losses_and_gradients(reference):
    model = reference.model(*reference.meta["train_opts"]).train()
    losses = model(reference.images(2), reference.targets())
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(reference.meta["losses"], rel=1e-4)
    sum(losses.values()).backward()
    found = {name: p.grad.norm().item() if p.grad is not None else None for name, p in model.named_parameters()}
    expected = reference.meta["grad_norms"]
    assert {name for name in found if found[name] is None} == {name for name in expected if expected[name] is None}
    assert found == {
        name: None if norm is None else pytest.approx(norm, rel=5e-3, abs=1e-5) for name, norm in expected.items()
    }
