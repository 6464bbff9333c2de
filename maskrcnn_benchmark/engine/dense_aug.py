"""Test-time augmentation per pixel: outputs of several sizes of an image and of its mirror images, averaged.

Each task says itself how its output is mirrored back and what of it may be averaged (`Task.mirror_back`, `to_mean`,
`of_mean`). Boxes, and what is predicted of them, are not touched: that is `engine.bbox_aug`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch.nn.parallel import DistributedDataParallel
from yacs.config import CfgNode

from maskrcnn_benchmark.data.transforms import build_byte_transforms, build_view_transforms
from maskrcnn_benchmark.engine.bbox_aug import BoxAugmentation, build_bbox_aug
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import an, counted

logger = logging.getLogger(__name__)

# Scores of one image and task, all channels, that are averaged at the image's full size: 1 GiB of float32. Larger ones,
# as of photographs of many megapixels, are averaged at the size at which the network sees the image
MOST_SCORES = 2**28


class DenseView(NamedTuple):
    """One size and orientation of an image.

    Attributes:
        scale: factor of the size of plain testing.
        mirrored: whether left and right are exchanged.
    """

    scale: float
    mirrored: bool = False


PLAIN = DenseView(1.0)

# Images as they were stored and a device -> one prediction per image, in the pixels of the network's input
Augmentation = Callable[[Sequence[Image.Image], torch.device | str], Sequence[Any]]


class DenseAugmentation:
    """Predicts as the network does, but with the outputs of its heads per image averaged over several views.

    With the plain view alone the predictions are the network's own, to the last bit.

    Args:
        model: `GeneralizedRCNN` with heads per image that normalises its images.
        plain: predicts the plain view, boxes included.
        views: the `DenseView`s that are averaged.
        transforms: function from a view to what makes its image, uint8 [3, H, W], of a stored one.
        size_divisible: as DATALOADER.SIZE_DIVISIBILITY.
        vocabulary: the network's names; None where they are not known.
    """

    def __init__(
        self,
        model: GeneralizedRCNN,
        plain: Augmentation,
        views: Iterable[DenseView],
        transforms: Callable[[DenseView], Callable],
        size_divisible: int = 0,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.model = model
        self.plain = plain
        self.views = list(views)
        self.transforms = {view: transforms(view) for view in self.views}
        self.size_divisible = size_divisible
        self.vocabulary = vocabulary

    def name_views(self, evaluators: Mapping[str, Evaluator]) -> None:
        """Say in the protocol of each task whose outputs are averaged that they are; {task key: its evaluator}."""
        heads: Any = self.model.fpn_heads
        for key in evaluators.keys() & set(heads.keys.values()) if self.views != [PLAIN] else ():
            evaluators[key].protocol += f"; outputs averaged over {counted(len(self.views), 'view')} of each image"

    def __call__(self, images: Sequence[Image.Image], device: torch.device | str) -> list[ImagePrediction]:
        """Predict for images.

        Args:
            images: list of PIL RGB images, as `data.collate_batch.BBoxAugCollator` leaves them.
            device: where the model is.

        Returns:
            One prediction per image: with several views in its own pixels, else as of the model.
        """
        predictions = [ImagePrediction.of(prediction) for prediction in self.plain(images, device)]
        if self.views == [PLAIN]:
            return predictions
        heads: Any = self.model.fpn_heads
        keys = list(heads.keys.values())
        means = [{key: _Mean(key, self.vocabulary) for key in keys} for _ in images]
        for view in self.views:
            outputs = self._outputs(images, view, device) if view != PLAIN else [each.outputs for each in predictions]
            for image, plain, mean, of_image in zip(images, predictions, means, outputs):
                for key in keys:
                    mean[key].add(of_image[key], view.mirrored, image.size, plain.size)
        joined = [prediction.resize(image.size) for prediction, image in zip(predictions, images)]
        for prediction, mean in zip(joined, means):
            prediction.outputs.update((key, mean[key].output()) for key in keys)
        return joined

    def _outputs(self, images, view, device):
        """{task key: output} of each image in a view; no box is looked for."""
        transform, model = self.transforms[view], self.model
        batch = to_image_list([transform(image)[0] for image in images], self.size_divisible)
        batch = model.batch(batch.to(device))
        outputs, _ = model.fpn_heads(model.backbone(batch.tensors), batch, None)
        return [{key: of_images[i] for key, of_images in outputs.items()} for i in range(len(images))]


class _Mean:
    """The mean of a task's outputs for one image, one view at a time."""

    def __init__(self, key: str, vocabulary: Vocabulary | None) -> None:
        self.task, self.vocabulary = TASKS[key], vocabulary
        self.sum: Any = None
        self.count = 0
        self.map: ScoreMap | None = None  # of the last view

    def add(self, output: Any, mirrored: bool, full: tuple[int, int], plain: tuple[int, int]) -> None:
        """Add a view's output, for an image of a size `full` that the network sees in the size `plain`."""
        if isinstance(output, ScoreMap):
            channels = len(output.scores)
            self.map = output.resize(full if channels * full[0] * full[1] <= MOST_SCORES else plain)
            output = self.map.scores
        elif not isinstance(output, torch.Tensor):
            raise UserError(
                f"TEST.DENSE_AUG.ENABLED: the output of the task {self.task.key!r} is "
                f"{an(type(output).__name__)}, of which there is no mean; set it to False"
            )
        output = output.float()
        added = self.task.to_mean(self.task.mirror_back(output, self.vocabulary) if mirrored else output)
        self.sum = added if self.sum is None else self.sum + added
        self.count += 1

    def output(self) -> Any:
        mean = self.task.of_mean(self.sum / self.count)
        return mean if self.map is None else self.map.with_scores(mean)


def build_test_augmentation(
    cfg: CfgNode, model: Any, vocabulary: Vocabulary | None = None
) -> BoxAugmentation | DenseAugmentation | None:
    """What TEST.BBOX_AUG and TEST.DENSE_AUG describe; None where both are off.

    Args:
        cfg: the config.
        model: its network, possibly in `DistributedDataParallel`.
        vocabulary: the network's names, by which parts of the left and right side change places.

    Raises:
        UserError: the network has nothing to augment, or is not one of this library's.
    """
    boxes = build_bbox_aug(cfg, model) if cfg.TEST.BBOX_AUG.ENABLED else None
    if not cfg.TEST.DENSE_AUG.ENABLED:
        return boxes
    model = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(model, GeneralizedRCNN):
        raise UserError(
            f"TEST.DENSE_AUG.ENABLED works on GeneralizedRCNN, not on {an(type(model).__name__)}; set it to False"
        )
    if model.fpn_heads is None:
        raise UserError(
            "TEST.DENSE_AUG.ENABLED averages outputs per image, and this network has none; set it to False "
            "(TEST.BBOX_AUG is for boxes)"
        )
    views, size_divisible = dense_views(cfg), cfg.DATALOADER.SIZE_DIVISIBILITY
    transform = build_byte_transforms(cfg, is_train=False)

    def plain(images, device):
        batch = to_image_list([transform(image)[0] for image in images], size_divisible)
        return model(batch.to(device))

    heads: Any = model.fpn_heads
    left = "" if model.rpn is None else "; boxes and what is predicted of them are of the plain view"
    logger.info(
        "Averaged over %s of each image: %s%s", counted(len(views), "view"), ", ".join(heads.keys.values()), left
    )
    return DenseAugmentation(
        model, boxes or plain, views, lambda view: build_view_transforms(cfg, *view), size_divisible, vocabulary
    )


def dense_views(cfg: CfgNode) -> list[DenseView]:
    """The `DenseView`s that TEST.DENSE_AUG asks for."""
    options = cfg.TEST.DENSE_AUG
    flips = (False, True) if options.H_FLIP else (False,)
    return [DenseView(float(scale), mirrored) for scale in dict.fromkeys(options.SCALES) for mirrored in flips]
