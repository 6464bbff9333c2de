"""Depth: how far away is what a pixel shows?"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage, MapFileReader
from maskrcnn_benchmark.evaluation.dense.depth import MILLIMETRE, DepthEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import MeanMap, mean_where_known
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.modeling.fpn_heads.pixel_values import PixelValues, metre_loss
from maskrcnn_benchmark.prediction_files.map_file import encode_map, read_picture
from maskrcnn_benchmark.prediction_files.maps import MapFile, check_array
from maskrcnn_benchmark.structures.dense_map import DepthMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import DepthScores, ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.array_file import read_floats
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known
from maskrcnn_benchmark.visualization.maps import FILL, paint_heat

FARTHEST = 1000.0  # metres: numbers beyond are rather millimetres
_UINT16 = np.dtype(np.uint16)
_SHOWN = (1, 99)  # percentiles of depth that the colours span


class DepthReader(MapFileReader):
    """A .npy in metres or a PNG of 16 bits in millimetres; 0 is not known."""

    kind = "depth"

    def decode(self, path: Path, image: AnnotatedImage) -> DepthMap | None:
        depth = in_metres(read_depth(path, image.size))
        return DepthMap(torch.from_numpy(depth)) if depth.any() else None


def read_depth(path: Path, size: tuple[int, int]) -> np.ndarray:
    """uint16 [H, W] in millimetres of a PNG of 16 bits, or float32 [H, W] in metres of a .npy; 0 is not known.

    Args:
        path: of the file.
        size: (width, height) that it must have.

    Raises `UserError` for anything else, negative depth and depth beyond `FARTHEST`.
    """
    if path.suffix != ".npy":
        return read_picture(path, size, _UINT16, 1, "maps of depth in millimetres")
    depth = read_floats(path, [size[::-1]], "depth is in metres")
    if depth.min() < 0:
        raise UserError(f"{path} holds the depth {depth.min():g}; depth is in metres, 0 where it is not known")
    if depth.max() > FARTHEST:
        raise UserError(f"{path} holds the depth {depth.max():g}; depth is in metres, so divide millimetres by 1000")
    return depth


def in_metres(stored: np.ndarray) -> np.ndarray:
    """float32 metres of what `read_depth` returned."""
    return stored / np.float32(1000) if stored.dtype == _UINT16 else stored


class DepthMaps(MapFile):
    """Depth in millimetres, in grey PNGs of 16 bits up to 65.535 m: what is scored is what these hold.

    Those of others may be .npy of floats in metres.
    """

    suffixes = (".png", ".npy")

    def hold(self, output: Any) -> np.ndarray:
        """uint16 [H, W]."""
        millimetres = np.rint(output.scores[0].cpu().numpy().astype(np.float64) / MILLIMETRE)
        return np.clip(millimetres, 0, np.iinfo(_UINT16).max).astype(_UINT16)

    def check(self, array: Any, size: tuple[int, int] | None) -> None:
        check_array(array, size, _UINT16, 1)

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        return read_depth(path, size)

    def encode(self, array: np.ndarray) -> bytes:
        return encode_map(array)

    def decode(self, held: np.ndarray, size: tuple[int, int], vocabulary: Vocabulary) -> DepthScores:
        """One channel in metres."""
        return DepthScores(torch.from_numpy(in_metres(held))[None], size)


class Depth(Task):
    """A distance for every pixel."""

    key = "depth"
    title = "depth"
    switch = "DEPTH_ON"
    comment = "Task: depth in metres, per image, on the dense features"
    losses = ("loss_depth",)
    headline = "RMSE"
    higher_is_better = False
    units = {"RMSE": " m", "RMSE-image": " m", "absRel": "", "log10": ""}
    parameter_prefixes = ("fpn_heads.heads.depth.",)

    # Labels -----------------------------------------------------------------------------------------------------------

    can_be_pasted = True

    def label_reader(self, dataset: AnnotatedDataset) -> MapFileReader | None:
        return DepthReader.of(dataset)

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        depth = annotations.labels[self.key].depth
        known = depth[depth > 0]
        mean = {"mean depth (m)": float(known.mean())} if len(known) else {}
        return {"share of labelled pixels": len(known) / depth.numel(), **mean}

    # Network ----------------------------------------------------------------------------------------------------------

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> PixelValues:
        """A number per cell of the dense features, of which softplus makes metres."""
        decoder = cfg.MODEL.DENSE_TRUNK
        return PixelValues(
            in_channels,
            1,
            loss_name="loss_depth",
            label_of=self._metres,
            loss=metre_loss,
            activation=F.softplus,
            norm=decoder.NORM,
            loss_stride=decoder.LOSS_STRIDE,
            output=DepthScores,
        )

    def _metres(self, annotations: ImageAnnotations) -> torch.Tensor | None:
        label = self.label_of(annotations)
        return None if label is None else label.depth

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return DepthEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """The mean depth at each place."""
        return MeanMap(self.key, _planes, finish=mean_where_known)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[DepthMaps, ...]:
        encodings = {self.key: "PNG of 16 bits: depth in millimetres"}
        return (DepthMaps(self.key, text="a PNG of 16 bits per image: depth in millimetres", encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 9

    def has_threshold(self, cfg: CfgNode) -> bool:
        return False

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 1.0
    ) -> None:
        """Depth by a perceptual colour map, near to far, with a scale in metres; unknown pixels keep the image.

        Colours go with the logarithm, so that near things are told apart where others are far.
        """
        content = self.content(known)
        if isinstance(known, ImagePrediction):
            depth = content.resize(known.size).scores[0].float().cpu().numpy()
        else:
            depth = content.depth.cpu().numpy()
        depth = _enlarged(depth, canvas.size)
        is_known = depth > 0
        if is_known.any():
            distance = np.log(np.maximum(depth, MILLIMETRE))
            low, high = np.percentile(distance[is_known], _SHOWN)
            paint_heat(canvas, distance, is_known, strength, (float(low), float(high)), _in_words)

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """float [H, W] in metres."""
        content = self.content(prediction)
        return None if content is None else content.scores[0]

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        meaning = "metres, of the image at the size that the network is given: scaled back by s, divide by s"
        return {self.key: ExportedOutput("float32 [1, height, width]", meaning, stride=DENSE_STRIDE)}


def _in_words(logarithm: float) -> str:
    return f"{np.exp(logarithm):.3g} m"


def _enlarged(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Depth float32 [H, W] at a size (w, h), nearest: between near and far there is nothing."""
    rows = (np.arange(size[1]) + 0.5) * (depth.shape[0] / size[1])
    columns = (np.arange(size[0]) + 0.5) * (depth.shape[1] / size[0])
    return depth[rows.astype(int)[:, None], columns.astype(int)[None]]


def _planes(label: DepthMap) -> torch.Tensor:
    return torch.stack((label.depth, (label.depth > 0).float()))


DEPTH = register_task(Depth())
