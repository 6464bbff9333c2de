"""Which object a joint record belongs to: the format does not say."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from maskrcnn_benchmark.data.preparation.problems import Problem
from maskrcnn_benchmark.structures.run_length import RunLengths
from maskrcnn_benchmark.utils.compiled import compiled
from maskrcnn_benchmark.utils.errors import UserError

VISIBLE = 1  # of Detail's visibilities: 0 absent, 1 visible, 2 occluded

# The constants of the rule, see `link_persons`
JOINT_WEIGHT = 0.7
TOLERANCE = 0.02
LEAST_TOLERANCE = 2.0
THRESHOLD = 0.4
MARGIN = 0.1

NO_MASK = "person's joints without a matching mask"
SEVERAL_FIT = "several people fit"


@dataclass(frozen=True)
class Link:
    """The object of one joint record.

    Attributes:
        instance: position in the list of persons, or None where no one fits.
        ambiguous: whether another one fits nearly as well.
    """

    instance: int | None
    ambiguous: bool = False


def link_persons(joints: list, persons: list[dict], size: tuple[int, int]) -> list[Link]:
    """Tie joint records to objects one to one, by mask and box overlap.

    How well a record fits a person is between 0 and 1:

        JOINT_WEIGHT * share of its visible joints on the mask + (1 - JOINT_WEIGHT) * IoU of the boxes,

    or the IoU alone if no joint is visible. The mask is dilated by TOLERANCE times the square root of its box's area,
    at least LEAST_TOLERANCE pixels. Its box is the mask's own; the record's is its "bbox" or, where it has none, that
    of its labelled joints. Of all ways to give each record one person at most, and each person one record, that of the
    largest sum is taken; pairs that fit less than THRESHOLD are no links. A link is ambiguous if the sum would drop by
    less than MARGIN without it: another person, a swap or another record would have done nearly as well.

    Reasons, measured on 153 records of 60 COCO photographs with ground-truth masks:

    - visible joints alone: 99.4 % of them lie on their person's mask and 0.8 % on another's, but of the occluded ones
      2 % and 33 %, so that these rather tell who is in front;
    - TOLERANCE 0.02: reaches every visible joint, and 4 % of them then are on another's mask as well; joints and
      masks of PASCAL in Detail were drawn by different people, so that 0 would be strict;
    - JOINT_WEIGHT 0.7 and THRESHOLD 0.4: where the boxes are those of the joints, far smaller than the mask's, right
      pairs fit 0.7 or more, but for 2 records without any visible joint; with the right mask taken away, the best
      pair that is left fits less than 0.4. Half of the joints and an IoU of 0.2 make a link;
    - MARGIN 0.1: one visible joint of seven, or a third of the boxes' weight. Where two could be had at all (10 ties),
      the right one was better by 0.7 or more, so that the margin is for worse annotations than these.

    Args:
        joints: list of annos_joints records of one image.
        persons: list of annos_segmentation records of its persons, crowds left out.
        size: (width, height) of the image.

    Returns:
        list of `Link`, one per joint record. A record that cannot be read has no link, and nobody is tied to a person
        whose mask cannot be read.
    """
    fits = fit_persons(joints, persons, size)
    fits[fits < THRESHOLD] = 0
    total, partner = _best(fits)
    links = [Link(None) for _ in joints]
    for i, j in partner.items():
        rivals = np.count_nonzero(fits[i]) + np.count_nonzero(fits[:, j]) - 2
        links[i] = Link(j, bool(rivals) and total - _best_without(fits, i, j) < MARGIN)
    return links


def link_problems(joints: list, persons: list[dict], links: list[Link], has_segmentation: bool = True) -> list[Problem]:
    """What `link_persons` could not decide: list of `Problem`.

    Args:
        joints, persons: as given to `link_persons`.
        links: what it returned.
        has_segmentation: whether anyone segmented the image; on others nobody can be missed, and nothing is reported.
    """
    problems = []
    for position, (record, link) in enumerate(zip(joints, links)):
        if link.instance is None:
            if not has_segmentation:
                continue
            what, action = NO_MASK, "kept, tied to no object"
        elif link.ambiguous:
            number = persons[link.instance].get("id", f"entry {link.instance}")
            what, action = SEVERAL_FIT, f"kept, tied to annos_segmentation {number}, which fits best"
        else:
            continue
        record = record if isinstance(record, dict) else {}
        number, image_id = record.get("person_id", f"entry {position}"), record.get("image_id")
        problems.append(Problem(what, f"annos_joints {number} of image {image_id}", action, image_id))
    return problems


def fit_persons(joints: list, persons: list, size: tuple[int, int]) -> np.ndarray:
    """How well each of J joint records fits each of P persons: float64 [J, P], 0 for what cannot be read."""
    fits = np.zeros((len(joints), len(persons)))
    records = {i: read for i, record in enumerate(joints) if (read := _read_joints(record)) is not None}
    readable, runs = _read_masks(persons, size)
    if not records or not readable:
        return fits
    corners = runs.bounding_boxes().astype(np.float64)
    corners[:, 2:] += 1
    boxes = np.stack([box for _, box in records.values()])
    overlap = _intersection_over_union(boxes, corners)
    visible = [points[points[:, 2] == VISIBLE, :2] for points, _ in records.values()]
    counts = np.array([len(points) for points in visible])
    distance = mask_distances(np.concatenate(visible), runs)
    sides = corners[:, 2:] - corners[:, :2]
    inside = distance <= np.maximum(TOLERANCE * np.sqrt(sides.prod(axis=1)), LEAST_TOLERANCE)
    share = np.zeros_like(overlap)
    np.add.at(share, np.repeat(np.arange(len(visible)), counts), inside)
    share /= np.maximum(counts, 1)[:, None]
    mixed = JOINT_WEIGHT * share + (1 - JOINT_WEIGHT) * overlap
    fits[np.ix_(list(records), readable)] = np.where(counts[:, None] > 0, mixed, overlap)
    return fits


def mask_distances(points: np.ndarray, runs: RunLengths) -> np.ndarray:
    """Distance of each point to each mask, to the centre of its nearest pixel along columns.

    Args:
        points: float64 [V, 2], x and y in pixels.
        runs: `RunLengths` of P masks.

    Returns:
        float64 [V, P] in pixels, infinite for a mask without pixels.
    """
    points = np.ascontiguousarray(points, np.float64).reshape(-1, 2)
    return np.sqrt(_squared_distances(points, runs.starts, runs.lengths, runs.mask_of_run, runs.size[1], len(runs)))


@compiled
def _squared_distances(points, starts, lengths, mask_of_run, height, number):
    """Run by run and column by column: a piece of a column is a segment, whose distance is worked out directly."""
    squared = np.full((len(points), number), np.inf)
    for run in range(len(starts)):
        first, last, mask = starts[run], starts[run] + lengths[run] - 1, mask_of_run[run]
        for column in range(first // height, last // height + 1):
            top, bottom = max(first - column * height, 0), min(last - column * height, height - 1)
            for point in range(len(points)):
                x, y = points[point]
                aside = max(top - y, y - bottom, 0.0)
                squared[point, mask] = min(squared[point, mask], (x - column) ** 2 + aside**2)
    return squared


def _best(fits):
    """(largest sum, {row: column}) of the one-to-one pairs with a fit above 0."""
    rows, columns = linear_sum_assignment(fits, maximize=True)
    pairs = {int(i): int(j) for i, j in zip(rows, columns) if fits[i, j] > 0}
    return sum(fits[pair] for pair in pairs.items()), pairs


def _best_without(fits, i, j):
    """The largest sum in which i and j are no pair."""
    fits = fits.copy()
    fits[i, j] = 0
    return _best(fits)[0]


def _read_joints(record):
    """(float64 [K, 3] of x, y and visibility, float64 [4] xyxy) of a joint record, or None if it cannot be read."""
    if not isinstance(record, dict):
        return None
    points = _numbers(record.get("keypoints"))
    if points is None or not len(points) or len(points) % 3:
        return None
    points = points.reshape(-1, 3)
    box = _numbers(record.get("bbox"))
    if box is not None and len(box) == 4 and min(box[2:]) > 0:
        return points, np.append(box[:2], box[:2] + box[2:])
    labelled = points[points[:, 2] > 0, :2]
    if not len(labelled):
        return None
    return points, np.append(labelled.min(axis=0), labelled.max(axis=0) + 1)


def _numbers(values):
    """float64 array of a flat list of finite numbers, or None if it is anything else."""
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        return None
    try:
        values = np.array(values, np.float64)
    except OverflowError:
        return None
    return values if (np.abs(values) < 1e9).all() else None  # nan is not, either


def _read_masks(persons, size):
    """(positions of the persons whose masks can be read, `RunLengths` of these)."""
    readable = [i for i, record in enumerate(persons) if isinstance(record, dict)]
    codes = [persons[i].get("segmentation") for i in readable]
    runs = _parse(codes, size)
    if runs is None:  # one spoils all: try each
        readable = [i for i, code in zip(readable, codes) if _parse([code], size) is not None]
        runs = _parse([persons[i]["segmentation"] for i in readable], size)
    return readable, runs


def _parse(codes, size):
    try:
        return RunLengths(codes, size, str)
    except (UserError, TypeError, ValueError, OverflowError, ArithmeticError):  # the latter from lists of counts
        return None


def _intersection_over_union(boxes, others):
    """Of every pair: float64 [N, 4] and [M, 4] xyxy, ends excluded -> [N, M]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.maximum(high - low, 0).prod(axis=2)
    areas = [(group[:, 2:] - group[:, :2]).prod(axis=1) for group in (boxes, others)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-12)
