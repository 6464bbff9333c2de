"""Surface normals: which way does the surface face that a pixel shows?"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from yacs.config import CfgNode

from maskrcnn_benchmark.data.dataset import AnnotatedDataset, AnnotatedImage, MapFileReader
from maskrcnn_benchmark.evaluation.dense.normals import NormalsEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import MeanMap
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DENSE_STRIDE
from maskrcnn_benchmark.modeling.fpn_heads.pixel_values import PixelValues, unit_vector_loss, unit_vectors
from maskrcnn_benchmark.prediction_files.map_file import encode_map, read_picture
from maskrcnn_benchmark.prediction_files.maps import MapFile, check_array
from maskrcnn_benchmark.structures.dense_map import NO_NORMAL, SHORTEST_NORMAL, NormalMap, decode_normals
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction, ScoreMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.exported_output import ExportedOutput
from maskrcnn_benchmark.tasks.task import Task, Thresholds, register_task
from maskrcnn_benchmark.utils.array_file import read_floats
from maskrcnn_benchmark.visualization.canvas import Canvas
from maskrcnn_benchmark.visualization.drawn_task import Known
from maskrcnn_benchmark.visualization.maps import FILL, mix


class NormalsReader(MapFileReader):
    """An RGB PNG, n = 2 v / 255 - 1, or an array of vectors, where `AnnotatedImage.valid_normals` says that they hold.

    An image that has none of these is not annotated.
    """

    kind = "normals"

    def decode(self, path: Path, image: AnnotatedImage) -> NormalMap | None:
        valid = image.valid_normals()
        if valid is not None and not valid.any():
            return None
        stored = read_normals(path, image.size)
        if stored.dtype == np.uint8:
            if valid is not None:
                np.copyto(stored, _GREY, where=~valid)
            return NormalMap.of_codes(torch.from_numpy(stored))
        vectors = torch.from_numpy(stored if valid is None else stored * valid)
        return NormalMap(F.normalize(vectors, dim=0) * (torch.linalg.vector_norm(vectors, dim=0) >= SHORTEST_NORMAL))


_GREY = np.uint8(NO_NORMAL)


def read_normals(path: Path, size: tuple[int, int]) -> np.ndarray:
    """uint8 [3, H, W] of an RGB PNG, v with n = 2 v / 255 - 1, or float32 [3, H, W] of a .npy, also of [H, W, 3].

    Args:
        path: of the file.
        size: (width, height) that it must have.

    Raises `UserError` for anything else.
    """
    if path.suffix != ".npy":
        return read_picture(path, size, np.dtype(np.uint8), 3, "normals, n = 2 v / 255 - 1,")
    width, height = size
    vectors = read_floats(path, [(3, height, width), (height, width, 3)], "normals are vectors (x, y, z)")
    return vectors if vectors.shape[1:] == (height, width) else np.ascontiguousarray(vectors.transpose(2, 0, 1))


class NormalMaps(MapFile):
    """Unit vectors as the colours of RGB PNGs of 8 bits, v = 255 (n + 1) / 2: what is scored is what these hold.

    A step of 8 bits turns a vector by 0.3 degrees at most. Those of others may be .npy of floats.
    """

    suffixes = (".png", ".npy")

    def hold(self, output: Any) -> np.ndarray:
        """uint8 [3, H, W]."""
        vectors = output.scores.float()
        x, y, z = vectors
        length = torch.addcmul(torch.addcmul(x * x, y, y), z, z).sqrt_().clamp_(min=torch.finfo(torch.float32).tiny)
        return vectors.div(length).add_(1).mul_(127.5).round_().to(torch.uint8).cpu().numpy()

    def check(self, array: Any, size: tuple[int, int] | None) -> None:
        check_array(array, size, np.dtype(np.uint8), 3)

    def encode(self, array: np.ndarray) -> bytes:
        return encode_map(np.ascontiguousarray(array.transpose(1, 2, 0)))

    def read(self, path: Path, size: tuple[int, int], vocabulary: Vocabulary) -> np.ndarray:
        return read_normals(path, size)

    def decode(self, held: np.ndarray, size: tuple[int, int], vocabulary: Vocabulary) -> ScoreMap:
        """Unit vectors."""
        vectors = torch.from_numpy(held)
        return ScoreMap(decode_normals(vectors) if held.dtype == np.uint8 else F.normalize(vectors, dim=0), size)


class Normals(Task):
    """A unit vector for every pixel."""

    key = "normals"
    title = "surface normals"
    switch = "NORMALS_ON"
    comment = "Task: surface normals, per image, on the dense features"
    losses = ("loss_normals",)
    headline = "mean-error"
    higher_is_better = False
    units = {"mean-error": "°", "median-error": "°"}
    parameter_prefixes = ("fpn_heads.heads.normals.",)

    # Labels -----------------------------------------------------------------------------------------------------------

    can_be_pasted = True

    def label_reader(self, dataset: AnnotatedDataset) -> MapFileReader | None:
        return NormalsReader.of(dataset)

    def count(self, annotations: ImageAnnotations, vocabulary: Vocabulary) -> dict[str, Any]:
        labelled = (annotations.labels[self.key].normals != 0).any(dim=0)
        return {"share of labelled pixels": float(labelled.float().mean())}

    # Network ----------------------------------------------------------------------------------------------------------

    def build_head(self, cfg: CfgNode, in_channels: int, vocabulary: Vocabulary | None) -> PixelValues:
        """A vector per cell of the dense features."""
        decoder = cfg.MODEL.DENSE_TRUNK
        return PixelValues(
            in_channels,
            3,
            loss_name="loss_normals",
            label_of=self._vectors,
            loss=unit_vector_loss,
            activation=unit_vectors,
            norm=decoder.NORM,
            loss_stride=decoder.LOSS_STRIDE,
        )

    def _vectors(self, annotations: ImageAnnotations) -> torch.Tensor | None:
        label = self.label_of(annotations)
        return None if label is None else label.normals

    # Test-time augmentation -------------------------------------------------------------------------------------------

    def mirror_back(self, output: torch.Tensor, vocabulary: Vocabulary | None) -> torch.Tensor:
        """The mirrored vectors, their x negated."""
        x, y, z = output.flip(-1)
        return torch.stack((-x, y, z))

    def of_mean(self, mean: torch.Tensor) -> torch.Tensor:
        """The mean direction."""
        return F.normalize(mean, dim=0)

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return NormalsEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> MeanMap:
        """The mean direction at each place."""
        return MeanMap(self.key, _planes, finish=_mean_directions)

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self) -> tuple[NormalMaps, ...]:
        encodings = {self.key: "RGB PNG of 8 bits: x (right), y (down), z of a unit vector n as 255 (n + 1) / 2"}
        return (NormalMaps(self.key, text="an RGB PNG per image: 255 (n + 1) / 2", encodings=encodings),)

    # Pictures ---------------------------------------------------------------------------------------------------------

    layer = 8

    def has_threshold(self, cfg: CfgNode) -> bool:
        return False

    def value_names(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        return ("x", "y", "z")

    def paint(
        self, canvas: Canvas, known: Known, vocabulary: Vocabulary, threshold: float, strength: float = 1.0
    ) -> None:
        """The vectors as colours, (n + 1) / 2 of red, green and blue; pixels without a label keep the image."""
        content = self.content(known)
        if isinstance(known, ImagePrediction):
            vectors = F.normalize(content.resize(canvas.size).scores.float(), dim=0).cpu().numpy()
        else:
            vectors = content.resize(canvas.size).normals.cpu().numpy()
        colours = np.rint((vectors.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
        mix(canvas, colours, (vectors != 0).any(axis=0), strength)
        canvas.legend([(name, (np.eye(3)[axis] * 127.5 + 127.5).astype(int).tolist()) for axis, name in _AXES])

    def overlay(self, canvas: Canvas, known: Known, vocabulary: Vocabulary, thresholds: Thresholds) -> None:
        self.paint(canvas, known, vocabulary, thresholds[self], FILL)

    def view(self, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float) -> torch.Tensor | None:
        """float [3, H, W], unit vectors (x, y, z)."""
        content = self.content(prediction)
        return None if content is None else F.normalize(content.scores.float(), dim=0)

    # Export -----------------------------------------------------------------------------------------------------------

    def exported_outputs(self, head: nn.Module) -> dict[str, ExportedOutput]:
        meaning = "unit vectors: x to the right, y down, z"
        return {self.key: ExportedOutput("float32 [3, height, width]", meaning, stride=DENSE_STRIDE)}


_AXES = tuple(enumerate(("x", "y", "z")))


def _planes(label: NormalMap) -> torch.Tensor:
    return label.normals


def _mean_directions(sums: torch.Tensor, count: int) -> torch.Tensor:
    """Of unit vectors added up, float [3, grid, grid]; that of all where a cell has none."""
    everywhere = F.normalize(sums.mean(dim=(1, 2)), dim=0)[:, None, None]
    return torch.where((sums != 0).any(dim=0), F.normalize(sums, dim=0), everywhere)


NORMALS = register_task(Normals())
