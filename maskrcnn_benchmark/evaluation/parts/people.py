"""People and their parts as ranked claims: which annotated person and part each predicted one overlaps, and the APs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.evaluation.average_precision import average_precision
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.utils.compiled import compiled
from maskrcnn_benchmark.utils.errors import UserError

# IoU thresholds of the "vol" means (Hariharan et al. 2014; Li et al. 2017), as numbers k / 10
THRESHOLDS = np.arange(1, 10) / 10
# A person is matched, and a part of him correct, above this IoU for PCP_50 (Li et al. 2017)
_PCP_THRESHOLD = 0.5
PERSON = 0


@dataclass(frozen=True)
class PredictedPeople:
    """The predicted people of one image, N of them, their parts as runs of pixels.

    Attributes:
        scores: float64 [N].
        categories: int64 [N], label of the thing.
        people, labels: int64 [R], the person of each run, ascending, and its part label 1..L-1.
        starts, lengths: int64 [R], first pixel (column * height + row) and number of pixels of each run.
    """

    scores: np.ndarray
    categories: np.ndarray
    people: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class PeopleRecord:
    """What one image contributes: its claims, each a predicted person (label 0) or one of his parts (label 1..L-1).

    Attributes:
        labels: uint8 [Q].
        scores: float64 [Q].
        overlaps: float64 [Q], IoU with the annotated one that the claim overlaps most.
        taken: float64 [Q], greatest overlap of a better scored claim on the same one. So at an IoU threshold t, where
            each annotated one is found once, the claim is right if taken <= t < overlap.
        counts: int64 [L], annotated people, then how many of them have each part.
        shares: float64 [M], of each annotated person the share of his parts that PCP_50 counts as correct.
    """

    labels: np.ndarray
    scores: np.ndarray
    overlaps: np.ndarray
    taken: np.ndarray
    counts: np.ndarray
    shares: np.ndarray


def read_people(
    rows: Sequence[dict], size: Sequence[int], table: np.ndarray, is_scored: np.ndarray, name: str
) -> PredictedPeople:
    """Check and decode the rows of predicted parts.

    Args:
        rows: its `instances`.
        size: (width, height) of the image.
        table: uint8 [P + 1], the label that each part label counts as, 0 for none.
        is_scored: bool [K + 1], by label of the thing, whether it counts as a person.
        name: what an error calls the image.

    Returns:
        `PredictedPeople`.

    Raises:
        UserError: a label that there is none of, a score that is not a number, a damaged run-length code.
    """
    for n, row in enumerate(rows):
        _check_row(row, len(is_scored) - 1, len(table) - 1, f"{name}, part instance {n}")
    numbers = [n for n, row in enumerate(rows) if is_scored[row["category_id"]]]
    masks = [(k, n, part) for k, n in enumerate(numbers) for part in rows[n]["parts"] if table[part["part"]]]
    scores = np.array([rows[n]["score"] for n in numbers], np.float64)
    categories = np.array([rows[n]["category_id"] for n in numbers], np.int64)
    if not masks:
        return PredictedPeople(scores, categories, *np.zeros((4, 0), np.int64))
    people, _, parts = zip(*masks)
    runs = RunLengths(
        [part["segmentation"] for part in parts],
        size,
        lambda k: f"{name}, part instance {masks[k][1]}, part {parts[k]['part']}",
    )
    labels = table[[part["part"] for part in parts]].astype(np.int64)
    of_run = runs.mask_of_run
    return PredictedPeople(scores, categories, np.array(people)[of_run], labels[of_run], runs.starts, runs.lengths)


def judge_people(
    predicted: PredictedPeople, ground_truth: np.ndarray, categories: np.ndarray, ignored: np.ndarray, num_labels: int
) -> PeopleRecord:
    """Hold the predicted people of an image against the annotated ones.

    Two people overlap by the mean IoU of their labels, background included, over those that either has. A claim belongs
    to the annotated one of its label that it overlaps most. Claims of which more than half lies on ignored regions are
    dropped first: background alone is overlap enough at low thresholds, so they would take what is not theirs. A
    predicted person without a pixel claims nothing either.

    Args:
        predicted: `PredictedPeople`.
        ground_truth: uint8 [M, W, H], label 0..L-1 of each pixel (columns first) of each annotated person.
        categories: int [M], label of the thing of each annotated person.
        ignored: bool [W, H], where people are whose parts nobody annotated, and crowds; not on the annotated people.
        num_labels: L.

    Returns:
        `PeopleRecord`.
    """
    pixels = ignored.size
    ground_truth = np.ascontiguousarray(ground_truth).reshape(len(ground_truth), pixels)
    order = np.argsort(-predicted.scores, kind="stable")
    shared, areas, on_ignored = _count_shared(
        predicted.people,
        predicted.labels,
        predicted.starts,
        predicted.lengths,
        len(order),
        ground_truth,
        np.ascontiguousarray(ignored).reshape(-1),
        num_labels,
    )
    true_areas = _count_labels(ground_truth, num_labels)
    shared, areas, on_ignored = shared[order], areas[order], on_ignored[order]
    overlaps, part_overlaps = _overlaps(shared, areas, true_areas, pixels)
    overlaps[predicted.categories[order][:, None] != np.asarray(categories)[None, :]] = 0
    counts = (areas > 0) & (2 * on_ignored <= areas)
    overlaps *= counts[:, None, :]
    owner, best, taken = _claim(overlaps)
    return PeopleRecord(
        labels=np.nonzero(counts)[1].astype(np.uint8),
        scores=np.broadcast_to(predicted.scores[order][:, None], counts.shape)[counts],
        overlaps=best[counts],
        taken=taken[counts],
        counts=(true_areas > 0).sum(axis=0),
        shares=_correct_shares(owner[:, PERSON], best[:, PERSON], taken[:, PERSON], part_overlaps, true_areas),
    )


def rank_people(records: Sequence[PeopleRecord], num_labels: int) -> np.ndarray:
    """Average precision of people and of each part over all images.

    Args:
        records: list of `PeopleRecord`.
        num_labels: L.

    Returns:
        float64 [T, L], AP at each of THRESHOLDS, of people in column 0; nan where none is annotated.
    """
    precision = np.full((len(THRESHOLDS), num_labels), np.nan)
    if not records:
        return precision
    counts = np.sum([record.counts for record in records], axis=0)
    labels, scores, overlaps, taken = (
        np.concatenate([getattr(record, name) for record in records])
        for name in ("labels", "scores", "overlaps", "taken")
    )
    for label in np.flatnonzero(counts):
        of_label = np.flatnonzero(labels == label)
        of_label = of_label[np.argsort(-scores[of_label], kind="stable")]
        for t, threshold in enumerate(THRESHOLDS):
            right = (taken[of_label] <= threshold) & (threshold < overlaps[of_label])
            precision[t, label] = average_precision(scores[of_label], right, counts[label])
    return precision


def _check_row(row, num_things, num_parts, name):
    category, score = row["category_id"], row["score"]
    if not 1 <= category <= num_things:
        raise UserError(f"{name}: category_id {category} is none of the things 1..{num_things}")
    if not np.isfinite(score):
        raise UserError(f"{name}: its score is {score}, not a finite number")
    for part in row["parts"]:
        if not 1 <= part["part"] <= num_parts:
            raise UserError(f"{name}: part {part['part']} is none of the part labels 1..{num_parts}")


def _overlaps(shared, areas, true_areas, pixels):
    """IoU [N, M, L] with that of people in place 0, and [N, M, L - 1] of parts with nan where neither has the part."""
    union = areas[:, None] + true_areas[None] - shared
    iou = np.where(union > 0, shared / np.maximum(union, 1), np.nan)
    both_background, either_background = pixels - union[..., PERSON], pixels - shared[..., PERSON]
    iou[..., PERSON] = np.where(either_background > 0, both_background / np.maximum(either_background, 1), np.nan)
    known = ~np.isnan(iou)
    overlaps = np.where(known, iou, 0)
    # Whoever has no pixel at all is dropped later, but must not divide by zero here
    overlaps[..., PERSON] = overlaps.sum(axis=-1) / np.maximum(known.sum(axis=-1), 1)
    return overlaps, iou[..., PERSON + 1 :]


def _claim(overlaps):
    """(owner, best, taken) [N, L] of claims in order of score, see `PeopleRecord`; overlaps [N, M, L]."""
    count, true_count, num_labels = overlaps.shape
    if true_count == 0:
        return np.zeros((count, num_labels), np.int64), *np.zeros((2, count, num_labels))
    owner, best = overlaps.argmax(axis=1), overlaps.max(axis=1)
    rival = np.tri(count, k=-1, dtype=bool)[:, :, None] & (owner[:, None] == owner[None, :])
    return owner, best, np.where(rival, best[None, :], 0).max(axis=1, initial=0)


def _correct_shares(owner, best, taken, part_overlaps, true_areas):
    """float64 [M], see `PeopleRecord.shares`: 0 for people that nobody found."""
    found = np.flatnonzero((taken <= _PCP_THRESHOLD) & (best > _PCP_THRESHOLD))
    has = true_areas[:, PERSON + 1 :] > 0
    correct = (part_overlaps[found, owner[found]] > _PCP_THRESHOLD) & has[owner[found]]
    shares = np.zeros(len(true_areas))
    shares[owner[found]] = correct.sum(axis=1) / has[owner[found]].sum(axis=1)
    return shares


@compiled
def _count_shared(people, labels, starts, lengths, count, ground_truth, ignored, num_labels):
    """Pixels per label that N predicted people share with M annotated ones, place 0 standing for all labels together.

    Each person's runs are painted on one canvas of the image (where they overlap, the later holds), counted and wiped.

    Returns:
        shared int64 [N, M, L], areas int64 [N, L], on_ignored int64 [N, L]: their pixels, and those on ignored regions.
    """
    shared = np.zeros((count, len(ground_truth), num_labels), np.int64)
    areas = np.zeros((count, num_labels), np.int64)
    on_ignored = np.zeros((count, num_labels), np.int64)
    canvas = np.zeros(len(ignored), np.uint8)
    first = 0
    while first < len(people):
        person, last = people[first], first
        low, high = len(canvas), 0
        while last < len(people) and people[last] == person:
            end = starts[last] + lengths[last]
            canvas[starts[last] : end] = labels[last]
            low, high = min(low, starts[last]), max(high, end)
            last += 1
        for pixel in range(low, high):
            label = canvas[pixel]
            if label == 0:
                continue
            canvas[pixel] = 0
            areas[person, label] += 1
            on_ignored[person, label] += ignored[pixel]
            for other in range(len(ground_truth)):
                true_label = ground_truth[other, pixel]
                if true_label > 0:
                    shared[person, other, 0] += 1
                    if true_label == label:
                        shared[person, other, label] += 1
        first = last
    areas[:, 0] = areas.sum(axis=1)
    on_ignored[:, 0] = on_ignored.sum(axis=1)
    return shared, areas, on_ignored


@compiled
def _count_labels(ground_truth, num_labels):
    """Pixels of each label, int64 [M, L]; place 0 is the sum of the others, not background."""
    areas = np.zeros((len(ground_truth), num_labels), np.int64)
    for person in range(len(ground_truth)):
        for label in ground_truth[person]:
            areas[person, label] += 1
        areas[person, 0] = areas[person, 1:].sum()
    return areas
