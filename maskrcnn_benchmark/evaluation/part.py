"""Part segmentation: mean IoU of the image's part map."""

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.answers import PartAnswer
from maskrcnn_benchmark.evaluation.confusion import add_pairs, count_pairs, mean_iou
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.layers.mask_paste import paste_parts

_IGNORED = -1
# Detections below this score are not pasted: a map has room for one answer per pixel, and low scores are mostly wrong
SCORE_THRESHOLD = 0.5


class PartEvaluator(Evaluator):
    """mIoU over the six body parts of PASCAL-Person-Part and background ("mIoU"), and over all labels ("mIoU-named").

    Means are over the labels that occur in the annotations. Where no label belongs to a body, both figures are the
    same. The predicted map is the FPN head's, or the parts of detections with a score of at least 0.5 of classes that
    own parts, the highest score on top. Pixels of instances that could have parts but whose parts nobody annotated do
    not count; all others without a part are background.

    Args:
        part_set: the PartSet that labels refer to.
        thing_names: names of the things; thing label k is thing_names[k - 1].
    """

    task = "part"

    def __init__(self, part_set, thing_names):
        self.num_labels = len(part_set.labels) + 1
        groups = np.asarray(part_set.to_person6(), dtype=np.int64)
        self.groups = groups if groups.any() else np.arange(self.num_labels)
        owners = {name for names in part_set.owners for name in names}
        self.owns_parts = np.array([False] + [name in owners for name in thing_names])
        super().__init__()

    def answer(self, prediction):
        return PartAnswer(self._predicted_map(prediction).astype(np.uint8))

    def record(self, answer, target):
        truth = self._true_map(target.instances)
        known = truth != _IGNORED
        return count_pairs(truth[known], answer.labels[known], self.num_labels)

    def summarize(self, records):
        named = add_pairs(records, self.num_labels)
        grouped = np.zeros((self.groups.max() + 1,) * 2, dtype=np.int64)
        np.add.at(grouped, (self.groups[:, None], self.groups[None, :]), named)
        return Scores({"mIoU": mean_iou(grouped), "mIoU-named": mean_iou(named)})

    def _true_map(self, instances):
        """The annotated part map: int64 [H, W], 0 background, -1 where it does not count."""
        width, height = instances.size
        truth = np.zeros((height, width), dtype=np.int64)
        parts = instances.get_field("parts")
        annotated = parts.annotated.cpu().numpy()
        unknown = ~annotated & self.owns_parts[instances.get_field("labels").cpu().numpy()]
        if unknown.any():
            masks = instances.get_field("masks").get_mask_tensor().cpu().numpy().reshape(-1, height, width)
            truth[masks[unknown].any(axis=0)] = _IGNORED
        labels = parts.labels.cpu().numpy()[annotated]
        if len(labels):
            # Of overlapping annotations the later one holds, as in the files
            last = ((labels > 0) * np.arange(1, len(labels) + 1)[:, None, None]).argmax(axis=0)
            top = np.take_along_axis(labels, last[None], axis=0)[0]
            truth[top > 0] = top[top > 0]
        return truth

    def _predicted_map(self, prediction):
        """The predicted part map: int64 [H, W]."""
        if prediction.part_map is not None:
            return prediction.part_map.scores.argmax(dim=0).cpu().numpy()
        instances = self.member(prediction, "instances")
        scores, labels = instances.get_field("scores"), instances.get_field("labels")
        owns_parts = torch.as_tensor(self.owns_parts, device=labels.device)
        chosen = instances[(scores >= SCORE_THRESHOLD) & owns_parts[labels]]
        width, height = prediction.size
        if len(chosen) == 0:
            return np.zeros((height, width), dtype=np.int64)
        pasted = paste_parts(
            chosen.get_field("parts"), chosen.convert("xyxy").bbox, chosen.get_field("scores"), prediction.size
        )
        return pasted.cpu().numpy().astype(np.int64)
