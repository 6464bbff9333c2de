"""What the network itself answers, in the form of an exported one's outputs."""

import numpy as np
import torch

from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.data.transforms.transforms import Resize
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction


class Reference:
    """A `TrainedNetwork` on a CPU, run as in testing.

    Args:
        network: the `TrainedNetwork`.
    """

    def __init__(self, network):
        self.network = network
        self.resize = Resize(network.cfg.INPUT.MIN_SIZE_TEST, network.cfg.INPUT.MAX_SIZE_TEST)
        self.transforms = build_transforms(network.cfg, is_train=False)

    def input_of(self, image):
        """PIL RGB image -> uint8 [3, H, W] of the size in which the network sees it: what an exported one takes."""
        resized, _ = self.resize(image)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def __call__(self, image):
        """PIL RGB image of any size -> {output: array}, in pixels of the network's input."""
        tensor, _ = self.transforms(image)
        with torch.no_grad():
            batch = to_image_list([tensor], self.network.cfg.DATALOADER.SIZE_DIVISIBILITY)
            (answer,) = self.network.model(batch)
        return {name: value.numpy() for name, value in outputs_of(ImagePrediction.of(answer)).items()}


def outputs_of(prediction):
    """`ImagePrediction` -> {output: tensor}, in the order of `signature.OUTPUTS`."""
    outputs, objects = {}, prediction.instances
    if objects is not None:
        outputs["boxes"] = objects.bbox
        outputs.update({name: objects.get_field(name) for name in ("scores", "labels")})
        if objects.has_field("mask"):
            outputs["masks"] = objects.get_field("mask")[:, 0]
        if objects.has_field("keypoints"):
            joints = objects.get_field("keypoints")
            outputs["keypoints"], outputs["keypoint_scores"] = joints.keypoints, joints.get_field("logits")
        if objects.has_field("parts"):
            outputs["parts"] = objects.get_field("parts")
    for name in ("semantic", "part_map", "boundary", "occlusion"):
        score_map = getattr(prediction, name)
        if score_map is not None:
            scores = score_map.resize(prediction.size).scores
            outputs[name] = scores[0] if name == "boundary" else scores
    if prediction.classes is not None:
        outputs["classes"] = prediction.classes
    return outputs
