"""The angle between predicted and true normals, over all labelled pixels of all images."""

import numpy as np

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

WITHIN = (11.25, 22.5, 30.0)  # degrees (Fouhey et al. 2013)
BIN = 0.05  # degrees of a bin, in which the median is interpolated: it is at most that far from the exact one
_BINS = round(180 / BIN)
METRICS = ("mean-error", "median-error", *(f"within-{angle:g}" for angle in WITHIN))
# The component that each byte of a file stands for
COMPONENTS = 2 * np.arange(256) / 255 - 1


class NormalsEvaluator(Evaluator):
    """Mean and median angle in degrees, and the shares of pixels within 11.25, 22.5 and 30 degrees.

    All labelled pixels of all images count alike. The angle is 2 atan2(|p - g|, |p + g|) of unit vectors. The median is
    read off a histogram of bins of 0.05 degrees, all else is exact.
    """

    protocol = (
        "angles 2 atan2(|p - g|, |p + g|) in degrees over the labelled pixels of all images together; median from bins "
        f"of {BIN:g} degrees; shares of pixels within 11.25, 22.5 and 30 degrees"
    )

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> tuple[np.ndarray, np.ndarray]:
        """(float64 [1 + 1 + W]: pixels, sum of angles, pixels within each of W; uint32 [B]: pixels in each bin).

        Args:
            stored: uint8 [3, H, W] of v with n = 2 v / 255 - 1, or float32 vectors of any length.
            target: with the label.
        """
        normals = target.labels[self.task.key].normals.cpu().numpy()
        places = np.flatnonzero(normals.any(axis=0))
        predicted = stored.reshape(3, -1).take(places, axis=1)
        vectors = COMPONENTS.take(predicted) if predicted.dtype == np.uint8 else predicted.astype(np.float64)
        angles = angles_between(vectors, normals.reshape(3, -1).take(places, axis=1).astype(np.float64))
        within = [np.count_nonzero(angles < angle) for angle in WITHIN]
        bins = np.bincount(np.minimum((angles / BIN).astype(np.int32), _BINS - 1))
        return np.array([len(angles), angles.sum(), *within]), bins.astype(np.uint32)

    def summarize(self, records: list[tuple[np.ndarray, np.ndarray]]) -> Scores:
        sums = np.sum([record[0] for record in records], axis=0) if records else np.zeros(2 + len(WITHIN))
        if not sums[0]:
            return Scores(dict.fromkeys(METRICS, np.nan), reason="no image has a pixel with a normal")
        histogram = np.zeros(_BINS, np.int64)
        for _, bins in records:
            histogram[: len(bins)] += bins
        values = [sums[1] / sums[0], median_of(histogram), *(sums[2:] / sums[0])]
        return Scores(dict(zip(METRICS, map(float, values))))

    def image_score(self, record: tuple[np.ndarray, np.ndarray]) -> float:
        """1 for a mean angle of 0, 0 for one of 90 degrees or more."""
        count, total = record[0][:2]
        return float(max(0.0, 1 - total / count / 90)) if count else np.nan


def angles_between(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Degrees between vectors float64 [3, P] of any length and unit vectors [3, P]; 90 where a vector has none."""
    length = np.sqrt(_square(vectors))
    vectors = vectors / np.maximum(length, np.finfo(np.float64).tiny)
    angles = np.arctan2(np.sqrt(_square(vectors - normals)), np.sqrt(_square(vectors + normals)))
    angles *= 360 / np.pi
    return angles


def _square(vectors):
    x, y, z = vectors
    return x * x + y * y + z * z


def median_of(histogram: np.ndarray) -> float:
    """The median of angles counted in bins of `BIN` degrees, int64 [B], linearly interpolated within its bin."""
    reached = histogram.cumsum()
    half = reached[-1] / 2
    place = int(np.searchsorted(reached, half))
    below = reached[place] - histogram[place]
    return BIN * (place + (half - below) / histogram[place])
