"""A page of pictures: for a handful of validation images, the ground truth beside the prediction."""

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from yacs.config import CfgNode

from maskrcnn_benchmark.engine.inference import InferenceNetwork
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.tasks.completion import complete_outputs
from maskrcnn_benchmark.tasks.scene import ScenePicture, makes_scene
from maskrcnn_benchmark.tasks.task import Task
from maskrcnn_benchmark.visualization.drawn_task import DrawnTask
from maskrcnn_benchmark.visualization.page import picture_page

PAGE = "pictures.html"


def draw_pictures(
    network: InferenceNetwork,
    dataset: Any,
    tasks: Sequence[Task],
    path: str | os.PathLike,
    count: int,
    size_divisible: int = 0,
    cfg: CfgNode | None = None,
) -> Path:
    """Draw `count` images, evenly spread over a data set.

    Args:
        network: what predicts.
        dataset: with the transforms that the network is tested with, and the attributes `transforms` and `vocabulary`.
        tasks: the tasks to draw; each is a column. One of scenes follows if they are enough for it.
        path: HTML file to write.
        count: number of images; all of them if the data set has fewer.
        size_divisible: as DATALOADER.SIZE_DIVISIBILITY.
        cfg: the options of derived tasks; None for their defaults.

    Returns:
        path of the page.
    """
    network.model.eval()
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    as_stored = copy.copy(dataset)
    as_stored.transforms = None

    def sample(index):
        """(RGB uint8 [H, W, 3], `ImageAnnotations`, `ImagePrediction` in the image's own pixels, file name)."""
        picture, annotations, _ = as_stored[index]
        seen = [picture] if network.augmentation else to_image_list([dataset[index][0]], size_divisible)
        (prediction,) = network(seen)
        name = as_stored.get_img_info(index)["file_name"]
        prediction = complete_outputs(prediction.resize(picture.size), tasks, dataset.vocabulary, cfg)
        return np.asarray(picture), annotations, prediction.to("cpu"), name

    columns: list[DrawnTask] = list(tasks)
    if makes_scene(task.key for task in tasks):
        columns.append(ScenePicture(cfg))
    return Path(picture_page(map(sample, indices), dataset.vocabulary, columns, path))
