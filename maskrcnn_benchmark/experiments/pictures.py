"""A page of pictures: for a handful of validation images, the ground truth beside the prediction."""

import copy
from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.engine.precision import inference_precision
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.visualization.page import picture_page

PAGE = "pictures.html"


def draw_pictures(
    model, dataset, tasks, path, count, device, size_divisible=0, dtype="float32", augmentation=None, *, tf32=False
):
    """Draw `count` images, evenly spread over a data set.

    Args:
        model: images -> one answer per image.
        dataset: with the transforms that the network is tested with, and the attributes `transforms` and `vocabulary`.
        tasks: the tasks to draw; each is a column.
        path: HTML file to write.
        count: number of images; all of them if the data set has fewer.
        device: where the model is.
        size_divisible: as DATALOADER.SIZE_DIVISIBILITY.
        dtype, tf32: precision of the forward pass, as TEST.DTYPE and TEST.TF32.
        augmentation: `BoxAugmentation` that answers in the model's place, or None.

    Returns:
        `Path` of the page.
    """
    model.eval()
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    as_stored = copy.copy(dataset)
    as_stored.transforms = None

    def answer(index, picture):
        if augmentation is not None:
            return augmentation([picture], device)
        return model(to_image_list([dataset[index][0]], size_divisible).to(device))

    samples = (_sample(answer, as_stored, index, inference_precision(dtype, tf32, device)) for index in indices)
    return Path(picture_page(samples, dataset.vocabulary, tasks, path))


def _sample(answer, as_stored, index, precision):
    """(RGB uint8 [H, W, 3], `ImageAnnotations`, `ImagePrediction` in the image's own pixels, file name)."""
    picture, annotations, _ = as_stored[index]
    with torch.no_grad(), precision:
        (answer,) = answer(index, picture)
    prediction = ImagePrediction.of(answer).resize(picture.size).to("cpu")
    return np.asarray(picture), annotations, prediction, as_stored.get_img_info(index)["file_name"]
