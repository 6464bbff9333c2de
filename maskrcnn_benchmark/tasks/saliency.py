"""Saliency: does this pixel belong to what stands out in the image?"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage, MapFileReader
from maskrcnn_benchmark.evaluation.dense.saliency import SaliencyEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import MeanMap, mean_where_known
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.modeling.fpn_heads.pixel_values import PixelValues, balanced_cross_entropy
from maskrcnn_benchmark.prediction_files.encodings import encode_strength
from maskrcnn_benchmark.prediction_files.map_file import read_strength
from maskrcnn_benchmark.prediction_files.maps import StrengthMaps
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.array_file import read_floats
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known
from maskrcnn_benchmark.visualization.maps import FILL, OUTLINE, paint_heat

_SALIENT = 128  # of 255: the least byte above a half
_PALE = 0.1  # predictions below leave a photograph as it is


class SaliencyReader(MapFileReader):
    """A grey PNG, or an array of 0 to 1, salient above a half."""

    kind = "saliency"

    def decode(self, path: Path, image: AnnotatedImage) -> SemanticMap:
        saliency = read_saliency(path, image.size)
        if saliency.max() == 1:  # of 255: never of a map that is salient anywhere
            raise UserError(f"{path} holds only 0 and 1; saliency is 0 to 255, multiply it by 255")
        return SemanticMap(torch.from_numpy((saliency >= _SALIENT).astype(np.uint8)))


def read_saliency(path: Path, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W], saliency times 255, of a grey PNG of 1 to 16 bits or a .npy of floats from 0 to 1.

    Args:
        path: of the file.
        size: (width, height) that it must have.

    Raises `UserError` for anything else.
    """
    if path.suffix != ".npy":
        return read_strength(path, size, "a saliency map is grey, from 0 (not salient)")
    values = read_floats(path, [size[::-1]], "saliency is 0 to 1")
    if values.min() < 0 or values.max() > 1:
        wrong = values.min() if values.min() < 0 else values.max()
        raise UserError(f"{path} holds the value {wrong:g}, but saliency is 0 to 1; write probabilities, not logits")
    return encode_strength(values)


class SaliencyMaps(StrengthMaps):
    """Saliency times 255 in grey PNGs; those of others are read with 1 to 16 bits, or as .npy of 0 to 1."""

    suffixes = (".png", ".npy")

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        return read_saliency(path, size)

    def doubt(self, maps: Iterable[np.ndarray]) -> str:
        """Of maps in 0 and 1."""
        count = 0
        for strength in maps:
            count += 1
            if strength.max() > 1:
                return ""
        words = f"no pixel of its {count} maps is above 1 of 255; saliency is 0 to 255: multiply maps in 0 and 1 by 255"
        return words if count else ""


class Saliency(Task):
    """The probability that a pixel is salient."""

    key = "saliency"
    title = "saliency"
    switch = "SALIENCY_ON"
    comment = "Task: saliency, per image, on the dense features"
    losses = ("loss_saliency",)
    headline = "maxF"
    parameter_prefixes = ("fpn_heads.heads.saliency.",)

    # Labels -----------------------------------------------------------------------------------------------------------

    def label_reader(self, dataset: AnnotatedDataset) -> MapFileReader | None:
        return SaliencyReader.of(dataset)

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        labels = annotations.labels[self.key].labels
        return {"share of salient pixels": float((labels == 1).float().mean())}

    # Network ----------------------------------------------------------------------------------------------------------

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> PixelValues:
        """One logit per cell of the dense features."""
        decoder = cfg.MODEL.DENSE_TRUNK
        return PixelValues(
            in_channels,
            1,
            loss_name="loss_saliency",
            label_of=self._label_map,
            loss=balanced_cross_entropy,
            unknown=IGNORE_INDEX,
            norm=decoder.NORM,
            loss_stride=decoder.LOSS_STRIDE,
        )

    def _label_map(self, annotations: ImageAnnotations) -> torch.Tensor | None:
        label = self.label_of(annotations)
        return None if label is None else label.labels

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return SaliencyEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """How often each place is salient."""
        return MeanMap(self.key, _planes, finish=mean_where_known)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[SaliencyMaps, ...]:
        encodings = {self.key: "PNG of 8 bits: probability that a pixel is salient times 255"}
        return (SaliencyMaps(self.key, text="a grey PNG per image: saliency", encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 15
    backdrop = {"grey": True}

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 0.65
    ) -> None:
        """A heat map of 0 to 1, with an outline where a prediction reaches the threshold."""
        values, is_known = self._values(known, canvas.size)
        paint_heat(canvas, values, is_known, strength, (0, 1), colour_map=cv2.COLORMAP_INFERNO)
        canvas.outline(is_known & (values >= threshold), OUTLINE)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        """What is salient in the colours of the heat map; the rest of the photograph stays."""
        values, is_known = self._values(known, canvas.size)
        paint_heat(canvas, values, is_known & (values > _PALE), FILL, (0, 1), colour_map=cv2.COLORMAP_INFERNO)
        canvas.outline(is_known & (values >= thresholds[self]), OUTLINE)

    def _values(self, known: Known, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """(saliency float32 [h, w], bool [h, w] where it is known) at a size (w, h)."""
        content = self.content(known)
        if isinstance(known, ImagePrediction):
            values = content.resize(size).scores[0].float().cpu().numpy()
            return values, np.ones(values.shape, bool)
        labels = cv2.resize(content.labels.cpu().numpy(), size, interpolation=cv2.INTER_NEAREST)
        return (labels == 1).astype(np.float32), labels != IGNORE_INDEX

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """float [H, W], the probability that a pixel is salient."""
        content = self.content(prediction)
        return None if content is None else content.scores[0]

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        meaning = "probability that a pixel is salient"
        return {self.key: ExportedOutput("float32 [1, height, width]", meaning, stride=DENSE_STRIDE)}


def _planes(label: SemanticMap) -> torch.Tensor:
    return torch.stack((label.labels == 1, label.labels != IGNORE_INDEX)).float()


SALIENCY = register_task(Saliency())
