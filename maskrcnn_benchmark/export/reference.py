"""What the network itself predicts, in the form of an exported one's outputs."""

import numpy as np
import torch
from PIL import Image

from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.data.transforms.build import testing_resize
from maskrcnn_benchmark.export.signature import heads_of
from maskrcnn_benchmark.predict.trained_network import TrainedNetwork
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction


class Reference:
    """A `TrainedNetwork` on a CPU, run as in testing.

    Args:
        network: the `TrainedNetwork`.
    """

    def __init__(self, network: TrainedNetwork) -> None:
        self.network = network
        self.resize = testing_resize(network.cfg.INPUT)
        self.transforms = build_transforms(network.cfg, is_train=False)

    def input_of(self, image: Image.Image) -> np.ndarray:
        """PIL RGB image -> uint8 [3, H, W] of the size in which the network sees it: what an exported one takes."""
        resized, _ = self.resize(image)
        return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))

    def __call__(self, image: Image.Image) -> dict[str, np.ndarray]:
        """PIL RGB image of any size -> {output: array}, in pixels of the network's input."""
        tensor, _ = self.transforms(image)
        with torch.no_grad():
            batch = to_image_list([tensor], self.network.cfg.DATALOADER.SIZE_DIVISIBILITY)
            prediction = ImagePrediction.of(*self.network.model(batch))
        outputs: dict[str, torch.Tensor] = {}
        for head in heads_of(self.network.model):
            outputs.update(head.task.export_prediction(prediction))
        return {name: tensor.numpy() for name, tensor in outputs.items()}
