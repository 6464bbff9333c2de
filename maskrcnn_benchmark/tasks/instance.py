"""Instance segmentation: a mask for every object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import (
    CHANNELS,
    DILATION,
    FLAG,
    FRACTION,
    NAME,
    NORM,
    REGION_HEADS,
    WIDTHS,
    region_pooling,
)
from maskrcnn_benchmark.config.options import Option, section
from maskrcnn_benchmark.data.dataset import HAS_MASK, MaskReader
from maskrcnn_benchmark.data.statistics import DatasetCounts
from maskrcnn_benchmark.evaluation.coco.rows import encode, predicted_rows
from maskrcnn_benchmark.evaluation.coco.style import InstanceEvaluator
from maskrcnn_benchmark.evaluation.detail_toolkit import ToolkitInstanceEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import DETAIL_TOOLKIT, Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.layers.mask_paste import masks_in_image
from maskrcnn_benchmark.modeling.roi_heads.mask_head.mask_head import ROIMaskHead, build_roi_mask_head
from maskrcnn_benchmark.modeling.roi_heads.regions import Detections
from maskrcnn_benchmark.prediction_files.as_prediction import bitmaps, decode_objects
from maskrcnn_benchmark.prediction_files.layout import FileNames
from maskrcnn_benchmark.prediction_files.lists import (
    Form,
    ListFile,
    ObjectFile,
    PredictionList,
    Rows,
    check_code,
    member,
    plain_code,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.objects import Objects, best_first
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput, no_tensor_form
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.ranges import Integer
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.dataset_page import ratios_card, shares_card
from maskrcnn_benchmark.visualization.drawn_task import Known, Legend
from maskrcnn_benchmark.visualization.objects import (
    canvas_masks,
    mask_middle,
    mask_spots,
    names_and_colours,
    shown_objects,
)
from maskrcnn_benchmark.visualization.palette import class_colours


class Mask(Form):
    """Run lengths of an object's pixels, from which its area follows."""

    has_size = True

    def plain(self, value: Any, field: str, names: FileNames) -> Any:
        return plain_code(value)

    def check(self, row: Mapping, field: str, index: int, opened: PredictionList) -> None:
        check_code(member(row, field), opened.names.sizes[index], field)

    def read(self, rows: Rows, field: str, index: int, opened: PredictionList) -> list[dict]:
        areas, codes = opened.codes(index, [row[field] for _, row in rows], [number for number, _ in rows])
        return [{field: code, "area": float(area), "iscrowd": 0} for code, area in zip(codes, areas)]


@dataclass(frozen=True)
class Masks(Objects):
    """Objects with `masks`, bool [N, H, W]."""

    masks: torch.Tensor


class Instance(Task):
    """The mask of every object."""

    key = "instance"
    title = "instance segmentation"
    switch = "MASK_ON"
    comment = "Task: instance masks, per detected box"
    losses = ("loss_mask",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.mask.",)
    per = "region"
    iou_type = "segm"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            REGION_HEADS,
            Option(
                "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR",
                "ResNet50Conv5ROIFeatureExtractor",
                NAME,
                "A name in modeling.registry.ROI_MASK_FEATURE_EXTRACTORS",
            ),
            Option(
                "MODEL.ROI_MASK_HEAD.PREDICTOR",
                "MaskRCNNC4Predictor",
                NAME,
                "A name in modeling.registry.ROI_MASK_PREDICTOR",
            ),
            region_pooling("ROI_MASK_HEAD"),
            Option("MODEL.ROI_MASK_HEAD.MLP_HEAD_DIM", 1024, CHANNELS, "Not read; kept for the original's files"),
            Option(
                "MODEL.ROI_MASK_HEAD.CONV_LAYERS",
                (256, 256, 256, 256),
                WIDTHS,
                "Channels of each convolution of MaskRCNNFPNFeatureExtractor; the predictor has the last number as "
                "well",
            ),
            Option("MODEL.ROI_MASK_HEAD.RESOLUTION", 14, Integer(1, 512), "Side of the predicted mask"),
            Option(
                "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR",
                True,
                FLAG,
                "Masks are read from the box head's features of the regions instead of features of their own",
            ),
            Option(
                "MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK",
                False,
                FLAG,
                "One mask for all classes instead of one per class, as few images may want",
            ),
            Option("MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS", False, FLAG, "Paste masks into the image inside the model"),
            Option(
                "MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS_THRESHOLD",
                0.5,
                FRACTION,
                "Threshold of the masks that POSTPROCESS_MASKS pastes",
            ),
            Option("MODEL.ROI_MASK_HEAD.DILATION", 1, DILATION, "Dilation of the convolutions"),
            Option("MODEL.ROI_MASK_HEAD.USE_GN", False, FLAG, "Group norm after each convolution"),
            Option(
                "MODEL.ROI_MASK_HEAD.NORM",
                "",
                NORM,
                'Norm after each convolution: "GN", "BN", "SyncBN", "FrozenBN" or "" for what USE_GN says',
            ),
        )

    def region_options(self, cfg: CfgNode) -> CfgNode:
        return cfg.MODEL.ROI_MASK_HEAD

    def planes(self, cfg: CfgNode) -> int:
        """A mask for each class."""
        return cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = "masks"
    label_readers = dict.fromkeys(
        ("detail", "coco", "coco_panoptic", "voc", "cityscapes", "pascal_context_mtl"), MaskReader
    )
    can_be_pasted = True

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        """Of objects that have a mask and are no crowd, the bytes of the mask's compressed run-length code, and the
        share of its box, where that has an extent, that it fills.
        """
        objects = annotations.instances
        if objects.has_field("iscrowd"):
            objects = objects[~objects.get_field("iscrowd")]
        if objects.has_field(HAS_MASK):
            objects = objects[objects.get_field(HAS_MASK)]
        masks = objects.get_field("masks").get_mask_tensor().numpy()
        masks = masks.reshape(len(objects), *masks.shape[-2:])
        codes = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0)))
        pixels = coco_mask.area(codes).astype(np.int64) if codes else np.zeros(0, np.int64)
        areas = objects.convert("xywh").bbox.numpy()[:, 2:].prod(1)
        filled = np.minimum(pixels[areas > 0] / areas[areas > 0].astype(np.float64), 1.0)
        return {"bytes": np.array([len(code["counts"]) for code in codes], np.int64), "filled": filled}

    def facts(self, count: dict[str, Any], vocabulary: Vocabulary) -> list[tuple[str, str]]:
        return []

    def cards(self, counts: DatasetCounts) -> list[str]:
        filled, lengths = counts.joined(self.key, "filled"), counts.joined(self.key, "bytes")
        return [
            shares_card("Share of its box that a mask fills", filled, "share", "objects"),
            ratios_card("Run-length code of a mask", lengths, "bytes, COCO's compressed form", "objects", 2),
        ]

    # Network ----------------------------------------------------------------------------------------------------------

    def head_name(self, cfg: CfgNode) -> str:
        """As checkpoints have it."""
        return "mask"

    def shares_box_features(self, cfg: CfgNode) -> bool:
        """As the option says."""
        return cfg.MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> ROIMaskHead:
        """A small mask per region."""
        return build_roi_mask_head(cfg, in_channels)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        if protocols.detection == DETAIL_TOOLKIT:
            return ToolkitInstanceEvaluator(self, vocabulary)
        return InstanceEvaluator(self, vocabulary, protocols.detection)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> list[dict[str, Any]]:
        """List of {"category_id": label 1..K, "segmentation": {"size": [h, w], "counts": bytes}, "score": float}."""
        instances = self.output(prediction, "detection")
        if len(instances) == 0:
            return []
        pasted = masks_in_image(instances.get_field("mask"), instances.region_corners(), instances.size)
        return predicted_rows(instances, "segmentation", encode(pasted.cpu().numpy()))

    def files(self) -> tuple[ListFile, ...]:
        encodings = {"segmentation": "COCO run lengths, {size: [height, width], counts: text}"}
        fields, text = {"segmentation": Mask()}, "masks, as COCO's results"
        return (ObjectFile(self.key, "segm.json", option="--segm", text=text, fields=fields, encodings=encodings),)

    def decode(self, stored: list[dict], size: tuple[int, int], vocabulary: Vocabulary) -> BoxList:
        """The objects, with their masks uint8 [N, 1, H, W] as large as the image."""

        def mask(rows: Sequence[Mapping], size: tuple[int, int]) -> torch.Tensor:
            return bitmaps([row["segmentation"] for row in rows], size)

        return decode_objects(stored, size, lambda row: coco_mask.toBbox(row["segmentation"]).tolist(), mask=mask)

    # Pictures ---------------------------------------------------------------------------------------------------------

    on_photograph = True
    names_objects = True
    layer = 30

    def content(self, known: Known) -> SegmentationMask | torch.Tensor | None:
        field = "mask" if isinstance(known, ImagePrediction) else "masks"
        objects = known.instances
        return objects.get_field(field) if objects is not None and objects.has_field(field) else None

    def paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float) -> int:
        """Masks, filled and outlined in the colour of the class, with names in their middle."""
        return self._paint(canvas, known, vocabulary, threshold, scores=False)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> int:
        """Masks with names and scores on their top."""
        return self._paint(canvas, known, vocabulary, thresholds[self], scores=True)

    def _paint(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, scores: bool) -> int:
        objects = shown_objects(known.instances, threshold)
        words, colours = names_and_colours(objects, vocabulary, scores)
        masks = canvas_masks(objects, canvas)
        for i in sorted(range(len(masks)), key=lambda i: -np.count_nonzero(masks[i])):  # the largest first
            canvas.tint(masks[i], colours[i], 0.5)
            canvas.outline(masks[i], colours[i])
        for word, mask, colour in zip(words, masks, colours):
            if scores and mask.any():
                canvas.label(word, mask_spots(mask, canvas), colour)
            elif mask.any():
                canvas.label_centred(word, mask_middle(mask), colour)
        return len(masks)

    def legend(self, vocabulary: Vocabulary) -> Legend:
        return [("classes", list(class_colours(vocabulary).items()))]

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> Masks | None:
        """The objects that reach the threshold, with masks."""
        if self.content(prediction) is None:
            return None
        objects = best_first(prediction.instances, threshold)
        masks = masks_in_image(objects.get_field("mask"), objects.region_corners(), prediction.size)
        return Masks.of(objects, vocabulary, masks=masks)

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        return {"masks": ExportedOutput("float32 [objects, M, M]", "probability of the object in the cells of its box")}

    def export_refusal(self, cfg: CfgNode, head: nn.Module) -> str | None:
        if cfg.MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS:
            return (
                "MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS pastes masks into the image; set it to False to have small ones"
            )
        return no_tensor_form(head, ROIMaskHead)

    def export_prediction(self, prediction: ImagePrediction) -> dict[str, torch.Tensor]:
        return {"masks": prediction.instances.get_field("mask")[:, 0]}

    def export_tensors(
        self, head: Any, features: Sequence[torch.Tensor], regions: Detections
    ) -> dict[str, torch.Tensor]:
        logits = head.own_logits(head.feature_extractor(features, regions.boxes), regions.labels)
        return {"masks": logits.float().sigmoid()}


INSTANCE = register_task(Instance())
