"""Depth in metres against the measures of Eigen et al. (2014), over the pixels whose depth is known."""

import numpy as np

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations

MILLIMETRE = 0.001
RATIOS = tuple(1.25**power for power in (1, 2, 3))
METRICS = ("RMSE", "RMSE-image", "absRel", "log10", "delta1", "delta2", "delta3")


class DepthEvaluator(Evaluator):
    """RMSE, RMSE-image, absRel, log10 and delta1 to delta3.

    - RMSE: the square root of the mean squared difference, in metres, over the known pixels of all images together.
      RMSE-image: that of each image, averaged over images (ASTMT, Maninis et al. 2019).
    - absRel: mean of |p - g| / g. log10: mean of |log10 p - log10 g|. Over all pixels.
    - delta1, delta2, delta3: shares of pixels whose ratio, max(p / g, g / p), is below 1.25, 1.25^2 and 1.25^3.

    A predicted depth of less than a millimetre counts as one.
    """

    protocol = (
        "metres over the known pixels of all images together; RMSE-image: of each image, averaged; delta1, 2, 3: ratio "
        "below 1.25, 1.25^2, 1.25^3 (Eigen et al. 2014)"
    )

    def record(self, stored: np.ndarray, target: ImageAnnotations) -> np.ndarray:
        """float64 [7]: pixels, and the sums of squares, of absRel and of log10, and pixels below each ratio.

        Args:
            stored: uint16 [H, W] in millimetres, or float32 in metres.
            target: with the label.
        """
        depth = target.labels[self.task.key].depth.cpu().numpy()
        known = depth > 0
        truth, predicted = depth[known].astype(np.float64), stored[known].astype(np.float64)
        if stored.dtype == np.uint16:
            predicted /= 1000
        np.maximum(predicted, MILLIMETRE, out=predicted)
        difference = predicted - truth
        ratio = predicted / truth
        logarithm = np.abs(np.log10(ratio)).sum()
        np.maximum(ratio, truth / predicted, out=ratio)
        below = [np.count_nonzero(ratio < limit) for limit in RATIOS]
        relative = np.abs(difference) / truth
        return np.array([len(truth), difference @ difference, relative.sum(), logarithm, *below])

    def summarize(self, records: list[np.ndarray]) -> Scores:
        known = [record for record in records if record[0]]
        if not known:
            return Scores(dict.fromkeys(METRICS, np.nan), reason="no image has a pixel with a known depth")
        sums = np.sum(known, axis=0)
        of_images = np.mean([np.sqrt(record[1] / record[0]) for record in known])
        values = [np.sqrt(sums[1] / sums[0]), of_images, *(sums[2:] / sums[0])]
        return Scores(dict(zip(METRICS, map(float, values))))

    def image_score(self, record: np.ndarray) -> float:
        """The share of pixels whose ratio is below 1.25."""
        return float(record[4] / record[0]) if record[0] else np.nan
