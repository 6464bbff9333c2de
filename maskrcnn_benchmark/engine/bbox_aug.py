"""Test-time augmentation: boxes are looked for in several sizes of an image and in its mirror images, and joined.

Masks, keypoints and parts of the joined boxes, and all predictions per pixel, are those of the image at its normal
size.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch.nn.parallel import DistributedDataParallel
from yacs.config import CfgNode

from maskrcnn_benchmark.data.transforms import AsBytes, Compose, RandomHorizontalFlip, Resize
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN, join_outputs
from maskrcnn_benchmark.modeling.roi_heads.box_head.inference import PostProcessor
from maskrcnn_benchmark.structures.bounding_box import FLIP_LEFT_RIGHT, BoxList
from maskrcnn_benchmark.structures.boxlist_ops import cat_boxlist
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import an


class View(NamedTuple):
    """One size and orientation of an image.

    Attributes:
        min_size, max_size: as in `data.transforms.Resize`.
        mirrored: whether left and right are exchanged.
    """

    min_size: int
    max_size: int
    mirrored: bool = False


class BoxAugmentation:
    """Predicts as the model does, but with the boxes of several views.

    The views' boxes of all classes are joined before duplicates are removed, as in the original. A RetinaNet removes
    those within each view before.

    Args:
        model: `GeneralizedRCNN` that detects and normalises its images.
        views: `View`s, first the one that gives everything but boxes.
        select: one `BoxList` of candidates (scores, labels) per image -> one of detections.
        size_divisible: as DATALOADER.SIZE_DIVISIBILITY.
    """

    def __init__(
        self,
        model: Any,
        views: Iterable[View],
        select: Callable[[list[BoxList]], list[BoxList]],
        size_divisible: int = 0,
    ) -> None:
        self.model = model
        self.views = list(views)
        self.select = select
        self.size_divisible = size_divisible

    def __call__(
        self, images: Sequence[Image.Image], device: torch.device | str
    ) -> list[BoxList] | list[ImagePrediction]:
        """Predict for images.

        Args:
            images: list of PIL RGB images, as `data.collate_batch.BBoxAugCollator` leaves them.
            device: where the model is.

        Returns:
            One prediction per image as of the model, in the pixels of the first view.
        """
        model = self.model
        batch = self._batch(images, self.views[0], device)
        features = model.backbone(batch.tensors)
        found = [[boxes] for boxes in self._candidates(batch, features)]
        for view in self.views[1:]:
            resized = self._batch(images, view, device)
            for boxes, more in zip(found, self._candidates(resized, model.backbone(resized.tensors))):
                more = more.transpose(FLIP_LEFT_RIGHT) if view.mirrored else more
                boxes.append(more.resize(boxes[0].size))
        detections = self.select([cat_boxlist(boxes) for boxes in found])
        if model.roi_heads is not None:
            detections = model.roi_heads.describe(features, detections)
        dense = None if model.fpn_heads is None else model.fpn_heads(features, batch, None)[0]
        return join_outputs(batch, detections, dense)  # type: ignore[return-value]

    def _batch(self, images, view, device):
        flip = [RandomHorizontalFlip(1.0)] if view.mirrored else []
        transform = Compose([AsBytes(), Resize(view.min_size, view.max_size), *flip])
        batch = to_image_list([transform(image)[0] for image in images], self.size_divisible)
        return self.model.batch(batch.to(device))

    def _candidates(self, batch, features):
        """One `BoxList` with scores and labels per image, in the pixels of this view."""
        boxes, _ = self.model.rpn(batch, features, None)
        return boxes if self.model.roi_heads is None else self.model.roi_heads.box.candidates(features, boxes)


def build_bbox_aug(cfg: CfgNode, model: Any) -> BoxAugmentation:
    """The `BoxAugmentation` that TEST.BBOX_AUG describes.

    Args:
        cfg: the config.
        model: its network, possibly in `DistributedDataParallel`.

    Raises:
        UserError: the network detects nothing, or is not one of this library's.
    """
    model = model.module if isinstance(model, DistributedDataParallel) else model
    if not isinstance(model, GeneralizedRCNN):
        raise UserError(
            f"TEST.BBOX_AUG.ENABLED works on GeneralizedRCNN, not on {an(type(model).__name__)}; set it to False"
        )
    if model.rpn is None or (model.roi_heads is None and not cfg.MODEL.RETINANET_ON):
        reason = "MODEL.DETECTION_ON is False" if model.rpn is None else "MODEL.RPN_ONLY ends after the proposals"
        raise UserError(f"TEST.BBOX_AUG.ENABLED augments the boxes of a detector, but {reason}; set it to False")
    if model.roi_heads is not None:
        box: Any = model.roi_heads.box
        select = box.post_processor.select
    else:
        select = PostProcessor(nms=cfg.MODEL.RETINANET.NMS_TH, detections_per_img=cfg.TEST.DETECTIONS_PER_IMG).select
    return BoxAugmentation(model, views_of(cfg), select, cfg.DATALOADER.SIZE_DIVISIBILITY)


def views_of(cfg: CfgNode) -> list[View]:
    """The `View`s that TEST.BBOX_AUG asks for, first the one of plain testing."""
    options = cfg.TEST.BBOX_AUG
    plain = View(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    views = [plain, *([plain._replace(mirrored=True)] if options.H_FLIP else [])]
    for scale in options.SCALES:
        view = View(scale, options.MAX_SIZE)
        views += [view, *([view._replace(mirrored=True)] if options.SCALE_H_FLIP else [])]
    return views
