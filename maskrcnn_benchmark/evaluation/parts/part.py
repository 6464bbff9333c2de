"""Part segmentation: mean IoU of the image's part map, and average precision of people and of their parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskrcnn_benchmark.evaluation.dense.confusion import (
    add_pairs,
    count_pairs,
    intersection_over_union,
    mean_iou,
    mean_or_nan,
    mean_over_classes,
)
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.parts.people import (
    PERSON,
    THRESHOLDS,
    PeopleRecord,
    judge_people,
    rank_people,
    read_people,
)
from maskrcnn_benchmark.evaluation.protocols import ANNOTATED
from maskrcnn_benchmark.evaluation.scores import Curve, Line, Scores
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PERSON6_LABELS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.compiled import compiled
from maskrcnn_benchmark.utils.errors import UserError

# Detections below this score are not pasted: a map has room for one label per pixel, and low scores are mostly wrong
SCORE_THRESHOLD = 0.5
# Detections below this score are no part instances: ranking wants weak ones too, but box heads stop here by default
INSTANCE_THRESHOLD = 0.05
# Places of IoU thresholds, in percent, among THRESHOLDS
_PLACE = {50: 4, 60: 5, 70: 6}


@dataclass(frozen=True)
class PartRecord:
    """What one image contributes.

    Attributes:
        pairs: (cells, counts) of `count_pairs` over all part labels.
        shows_people: whether a person on it has annotated parts.
        people: `PeopleRecord`, or None where the prediction tells no instances apart.
    """

    pairs: tuple
    shows_people: bool
    people: PeopleRecord | None


class PartEvaluator(Evaluator):
    """Part maps and part instances.

    Of the map: mIoU over the six body parts of PASCAL-Person-Part and background ("mIoU"), and over all labels
    ("mIoU-named"), means over the labels that occur in the annotations. The predicted map is the FPN head's, or the
    parts of detections with a score of at least 0.5 of classes that own parts, the highest score on top. Pixels of
    instances that could have parts but whose parts nobody annotated do not count; all others without a part are
    background.

    All metrics but "mIoU-named" are of the images on which a person has annotated parts, as in PASCAL-Person-Part, so
    that they hardly depend on whether other things' parts are labels too.

    Of instances, on the six body parts whatever the part set is, VOC's area under the whole curve:

    "APp50", "APp-vol": AP^p of people at IoU 0.5, and mean over 0.1, 0.2, ..., 0.9 (Li et al. 2017; Yang et al. 2019).
        Two people overlap by the mean IoU of background and parts in the whole image; a part that neither has is left
        out. At low thresholds this is lenient: an image is mostly background, whose IoU is high.
    "PCP50": over annotated people, the share of their parts with an IoU above 0.5; 0 for people who are not found.
    "APr50", "APr60", "APr70", "APr-vol": AP^r of (person, part) pairs by the IoU of the part's mask, mean over parts
        (Hariharan et al. 2014). The score is the person's. Each annotated one is found once, and a duplicate is wrong;
        the script that metrics on CIHP are made with lets duplicates count.

    A claim belongs to the annotated one that it overlaps most, and is right if that is above the threshold and not so
    for a better scored claim to the same one. People whose parts nobody drew, or none of whose parts is in sight, and
    crowds are ignored regions, but for the parts of others: claims of which more than half lies on these do not count.

    Where no label belongs to a body, all this is over all labels, and "people" are all things that own parts.

    With the class mean "all" the two mIoU are over all labels, of which those that never occur count as 0.

    Args:
        task: the task that is scored.
        vocabulary: names the parts and the things.
        class_mean: one of `protocols.CLASS_MEANS`.

    Raises:
        UserError: the vocabulary has no parts.
    """

    def __init__(self, task: Any, vocabulary: Vocabulary, class_mean: str = ANNOTATED) -> None:
        self.class_mean = class_mean
        part_set, thing_names = vocabulary.parts, vocabulary.thing_names
        if part_set is None:
            raise UserError(f"the data set names no parts: evaluate it with MODEL.{task.switch} False")
        self.names = ("background", *part_set.labels)
        groups = np.asarray(part_set.to_person6(), np.uint8)
        self.has_body = bool(groups.any())
        self.groups = groups if self.has_body else np.arange(len(self.names), dtype=np.uint8)
        self.group_names = ("background", *PERSON6_LABELS) if self.has_body else self.names
        self.owns_parts = owns_parts(vocabulary)
        scored = [owners for owners, group in zip(part_set.owners, self.groups[1:]) if group]
        self.is_person = _is_among(scored, thing_names)
        super().__init__(task, vocabulary)

    @property
    def protocol(self) -> str:  # type: ignore[override]
        what = f"the {len(self.group_names) - 1} parts of PASCAL-Person-Part" if self.has_body else "all parts"
        if self.class_mean != ANNOTATED:
            what += " (mIoU with those that never occur as 0)"
        return (
            f"mIoU, AP^p, PCP and AP^r over {what}; VOC area AP, vol = mean over IoU .1:.1:.9, duplicates are wrong; "
            f"detections enter the map from score {SCORE_THRESHOLD:g}, the ranking from {INSTANCE_THRESHOLD:g}"
        )

    def record(self, stored: Any, target: ImageAnnotations) -> PartRecord:
        """`PartRecord`."""
        name = f"{self.task.key}: image {target.image_id}"
        pairs = count_pairs(self._true_map(target.instances), stored.labels, len(self.names), name)
        things, parts = target.instances.get_field("labels").cpu().numpy(), target.instances.get_field("parts")
        shows_people = bool((self.is_person[things] & parts.annotated.cpu().numpy()).any())
        if stored.instances is None:
            return PartRecord(pairs, shows_people, None)
        rows = stored.instances if shows_people else []
        predicted = read_people(rows, target.size, self.groups, self.is_person, name)
        ground_truth, things, ignored = self._true_people(target.instances)
        people = judge_people(predicted, ground_truth, things, ignored, len(self.group_names))
        return PartRecord(pairs, shows_people, people)

    def summarize(self, records: list[PartRecord]) -> Scores:
        named = add_pairs([record.pairs for record in records], len(self.names))
        grouped = self._grouped(records)
        people: list[Any] = [record.people for record in records]
        if any(record is None for record in people):
            people = []
        precision = rank_people(people, len(self.group_names))
        of_people, of_parts = precision[:, PERSON], precision[:, PERSON + 1 :]
        mean_of_parts = np.array([mean_or_nan(row) for row in of_parts])
        metrics = {
            "mIoU": mean_over_classes(intersection_over_union(grouped), self.class_mean),
            "mIoU-named": mean_over_classes(intersection_over_union(named), self.class_mean),
            "APp50": float(of_people[_PLACE[50]]),
            "APp-vol": float(of_people.mean()),
            "PCP50": mean_or_nan(np.concatenate([np.zeros(0), *(record.shares for record in people)])),
            **{f"APr{percent}": float(mean_of_parts[place]) for percent, place in _PLACE.items()},
            "APr-vol": float(mean_of_parts.mean()),
        }
        curves = [] if np.isnan(of_people).all() else [_curve(of_people, mean_of_parts)]
        reason = self._reason(records, people)
        return Scores(metrics, self._per_class(named, grouped, of_parts), curves, reason)

    def image_score(self, record: PartRecord) -> float:
        """mIoU of the image over background and the body parts (or all labels) that occur; nan without people."""
        return mean_iou(self._grouped([record]))

    def _per_class(self, named, grouped, of_parts):
        tables = {"IoU": (self.names, intersection_over_union(named))}
        if self.has_body:
            tables["IoU-person6"] = (self.group_names, intersection_over_union(grouped))
        parts = self.group_names[1:]
        tables.update({"APr50": (parts, of_parts[_PLACE[50]]), "APr-vol": (parts, of_parts.mean(axis=0))})
        return {metric: dict(zip(names, values.tolist())) for metric, (names, values) in tables.items()}

    def _reason(self, records, people):
        if not records:
            return "no image has annotated parts"
        if not any(record.shows_people for record in records):
            return "no image has a person with annotated parts"
        if not people:
            return "AP^p, PCP and AP^r: part maps of whole images tell no instances apart"
        if not any(record.counts[PERSON] for record in people):
            return "AP^p, PCP and AP^r: all people with annotated parts are crowds or show none of them"
        return ""

    def _grouped(self, records):
        """Confusion of groups over the images that show people."""
        named = add_pairs([record.pairs for record in records if record.shows_people], len(self.names))
        grouped = np.zeros((len(self.group_names),) * 2, dtype=np.int64)
        np.add.at(grouped, (self.groups[:, None], self.groups[None, :]), named)
        return grouped

    def _true_map(self, instances):
        """The annotated part map: uint8 [H, W], 0 background, 255 where it does not count."""
        width, height = instances.size
        parts = instances.get_field("parts")
        annotated = parts.annotated.cpu().numpy()
        unknown = ~annotated & self.owns_parts[instances.get_field("labels").cpu().numpy()]
        ground_truth = np.where(_union(instances, unknown), np.uint8(IGNORE_INDEX), np.uint8(0))
        # Of overlapping annotations the later one holds, as in the files
        _overlay(ground_truth.reshape(-1), parts.labels.cpu().numpy()[annotated].reshape(-1, height * width))
        return ground_truth

    def _true_people(self, instances):
        """The annotated people: uint8 [M, W, H] labels 0..L-1, int64 [M] their things, bool [W, H] ignored pixels."""
        things = instances.get_field("labels").cpu().numpy()
        parts = instances.get_field("parts")
        is_person = self.is_person[things]
        known = is_person & parts.annotated.cpu().numpy()
        if instances.has_field("iscrowd"):
            known &= ~instances.get_field("iscrowd").bool().cpu().numpy()
        ground_truth = self.groups[parts[torch.from_numpy(known)].labels.cpu().numpy()]
        in_sight = ground_truth.any(axis=(1, 2))
        ground_truth = ground_truth[in_sight]
        known[np.flatnonzero(known)[~in_sight]] = False
        ignored = _union(instances, is_person & ~known) & ~ground_truth.any(axis=0)
        return np.ascontiguousarray(ground_truth.transpose(0, 2, 1)), things[known], np.ascontiguousarray(ignored.T)


def owns_parts(vocabulary: Vocabulary) -> np.ndarray:
    """Which things have parts: bool [K + 1], by label."""
    return _is_among(vocabulary.parts.owners, vocabulary.thing_names)  # type: ignore[union-attr]


def _is_among(owners, thing_names):
    """bool [K + 1]: which thing labels are among the owners, a list of tuples of names."""
    names = {name for things in owners for name in things}
    return np.array([False] + [name in names for name in thing_names])


def _union(instances, chosen):
    """Pixels of the chosen (bool [N]) instances' masks: bool [H, W]."""
    width, height = instances.size
    if not chosen.any():
        return np.zeros((height, width), bool)
    masks = instances.get_field("masks")[torch.from_numpy(chosen)].get_mask_tensor().cpu().numpy()
    return masks.reshape(-1, height, width).any(axis=0)


def _curve(of_people, of_parts):
    lines = [Line("people (AP^p)", THRESHOLDS, of_people), Line("parts (AP^r)", THRESHOLDS, of_parts)]
    return Curve("part_ap", "Parts: AP over IoU thresholds", "IoU threshold", "average precision", lines)


@compiled
def _overlay(canvas, layers):
    """Write the values of layers [N, P] that are not 0 onto a canvas [P], the later on top."""
    for layer in layers:
        for pixel in range(len(canvas)):
            if layer[pixel] > 0:
                canvas[pixel] = layer[pixel]
