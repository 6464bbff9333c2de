"""The numbers of the original library, from its weights-by-name fixtures in the folder DETAIL_PARITY_DATA."""

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
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.keypoint import PersonKeypoints
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask

SCALES = (0.25, 0.125, 0.0625, 0.03125)

FASTER_RCNN_R_50_FPN = {
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
    "MODEL.RPN.USE_FPN": True,
    "MODEL.RPN.ANCHOR_STRIDE": (4, 8, 16, 32, 64),
    "MODEL.ROI_HEADS.USE_FPN": True,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.POOLER_SCALES": SCALES,
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPN2MLPFeatureExtractor",
    "MODEL.ROI_BOX_HEAD.PREDICTOR": "FPNPredictor",
}

MODELS = {
    "e2e_mask_rcnn_R_50_FPN_1x": {
        "MODEL.ROI_MASK_HEAD.POOLER_SCALES": SCALES,
        "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR": "MaskRCNNFPNFeatureExtractor",
        "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_MASK_HEAD.RESOLUTION": 28,
        "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
        "MODEL.MASK_ON": True,
    },
    "e2e_keypoint_rcnn_R_50_FPN_1x": {
        "MODEL.ROI_BOX_HEAD.NUM_CLASSES": 2,
        "MODEL.ROI_KEYPOINT_HEAD.POOLER_SCALES": SCALES,
        "MODEL.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO": 2,
        "MODEL.ROI_KEYPOINT_HEAD.RESOLUTION": 56,
        "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
        "MODEL.KEYPOINT_ON": True,
    },
}


class Reference:
    """One fixture: the config it was made with, its numbers, and the model, images and targets to repeat them."""

    def __init__(self, folder, name):
        spec = importlib.util.spec_from_file_location("reference_weights", folder / "reference_weights.py")
        self.weights = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.weights)
        self.numbers = dict(np.load(folder / f"{name}.npz"))
        self.meta = json.loads(str(self.numbers["meta"]))
        self.config = cfg.clone()
        for options in (FASTER_RCNN_R_50_FPN, MODELS[name]):
            self.config.merge_from_list([item for pair in options.items() for item in pair])
        self.config.merge_from_list(self.meta["opts"])

    def model(self, *options):
        config = self.config.clone()
        config.merge_from_list(list(options))
        model = build_detection_model(config)
        weights = self.weights.fill(self.meta["shapes"])
        model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
        return model

    def images(self):
        mean = np.array(self.config.INPUT.PIXEL_MEAN, np.float32)
        arrays = [self.weights.image(h, w, seed) for seed, (h, w) in enumerate(self.meta["sizes"])]
        return [torch.from_numpy(array.astype(np.float32) - mean).permute(2, 0, 1) for array in arrays]

    def targets(self):
        targets = []
        for tree in self.weights.targets(self.meta["sizes"], self.config.MODEL.ROI_BOX_HEAD.NUM_CLASSES):
            boxes = BoxList(torch.tensor(tree["boxes"]), tree["size"])
            boxes.add_field("labels", torch.tensor(tree["labels"]))
            if self.config.MODEL.MASK_ON:
                boxes.add_field("masks", SegmentationMask(tree["polygons"], tree["size"]))
            if self.config.MODEL.KEYPOINT_ON:
                boxes.add_field("keypoints", PersonKeypoints(torch.tensor(tree["keypoints"]), tree["size"]))
            targets.append(boxes)
        return targets


@pytest.fixture(scope="module", params=sorted(MODELS))
def reference(request):
    folder = Path(os.environ.get("DETAIL_PARITY_DATA", ""))
    if not (folder / "reference_weights.py").is_file():
        pytest.skip("set DETAIL_PARITY_DATA to the folder of parity fixtures to run this test")
    return Reference(folder, request.param)


def test_detections_are_the_originals(reference):
    with torch.no_grad():
        found = reference.model().eval()(to_image_list(reference.images()[:1], 32))[0]
    numbers = {key: torch.from_numpy(value) for key, value in reference.numbers.items() if key.startswith("det_")}
    # Scores of proposals that are all but 1 tie, so the order of detections is left to rounding: pair them up first
    scores = (found.get_field("scores")[:, None] - numbers["det_scores"][None]).abs()
    boxes = (found.bbox[:, None] - numbers["det_boxes"][None]).abs().amax(2)
    match = (boxes + 1e3 * scores).argmin(1)
    assert sorted(match.tolist()) == list(range(len(numbers["det_boxes"])))
    torch.testing.assert_close(found.bbox, numbers["det_boxes"][match], atol=2e-3, rtol=0)
    torch.testing.assert_close(found.get_field("scores"), numbers["det_scores"][match], atol=2e-5, rtol=0)
    assert (found.get_field("labels") == numbers["det_labels"][match]).all()
    if "det_mask" in numbers:
        masks = numbers["det_mask"][match]
        torch.testing.assert_close(found.get_field("mask"), masks.float(), atol=1e-3, rtol=0)
        shape = tuple(numbers["det_pasted_shape"].tolist())
        pasted = np.unpackbits(numbers["det_pasted_bits"].numpy()).reshape(shape).astype(bool)[match]
        assert pasted.any()
        assert (Masker(0.5, 1)([masks], [found])[0].numpy() != pasted).mean() < 1e-6
    if "det_keypoints" in numbers:
        keypoints = found.get_field("keypoints").keypoints
        torch.testing.assert_close(keypoints, numbers["det_keypoints"][match], atol=0.01, rtol=0)


def test_losses_and_gradients_are_the_originals(reference):
    model = reference.model(*reference.meta["train_opts"]).train()
    losses = model(to_image_list(reference.images(), 32), reference.targets())
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(reference.meta["losses"], rel=1e-5)
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        expected = reference.meta["grad_norms"][name]
        norm = None if parameter.grad is None else parameter.grad.norm().item()
        assert norm == (None if expected is None else pytest.approx(expected, rel=5e-3, abs=1e-5)), name
