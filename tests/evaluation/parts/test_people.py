"""AP^p, PCP and AP^r: a case worked on paper, known wrong answers, and a slow reference on random people."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from maskrcnn_benchmark.evaluation.parts.part import PartEvaluator
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.part import PART, PartPrediction
from maskrcnn_benchmark.utils.errors import UserError

THINGS = ("dog", "person")
PERSON = 2
SIZE = (10, 10)
HEAD, TORSO, UPPER_ARMS, LOWER_ARMS, UPPER_LEGS, LOWER_LEGS = range(1, 7)
INSTANCE_METRICS = ("APp50", "APp-vol", "PCP50", "APr50", "APr60", "APr70", "APr-vol")
VOL = np.arange(1, 10) / 10


def person_map(**rows):
    """A 10 x 10 map from {part name: index}, such as head=np.s_[0, :]."""
    labels = np.zeros((10, 10), np.uint8)
    for name, place in rows.items():
        labels[place] = {"head": HEAD, "torso": TORSO, "legs": LOWER_LEGS}[name]
    return labels


def truth_of(maps, annotated=None, crowd=None, masks=None, part_set=None, labels=None, image_id=1):
    """Annotations of people with these maps [M, 10, 10], their masks where they have parts unless given."""
    count = len(maps)
    maps = torch.from_numpy(np.array(maps, np.uint8).reshape(count, 10, 10))
    masks = (maps > 0).to(torch.uint8) if masks is None else torch.from_numpy(np.array(masks, np.uint8))
    instances = BoxList(torch.tensor([[0.0, 0, 9, 9]] * count).reshape(count, 4), SIZE)
    instances.add_field("labels", torch.tensor(labels or [PERSON] * count, dtype=torch.int64))
    instances.add_field("masks", SegmentationMask(masks, SIZE, mode="mask"))
    instances.add_field("iscrowd", torch.tensor(crowd or [False] * count))
    parts = PartMask(maps, annotated or [True] * count, SIZE, part_set or PartSet.from_names("person6", {}))
    instances.add_field("parts", parts)
    return ImageAnnotations(SIZE, instances=instances, image_id=image_id)


def rows_of(maps, scores, category=PERSON):
    """Rows of a `PartPrediction` from label maps [N, 10, 10]."""
    return [
        {
            "category_id": category,
            "score": float(score),
            "parts": [
                {"part": int(k), "segmentation": rle.encode(np.asfortranarray(labels == k, dtype=np.uint8))}
                for k in np.unique(labels[labels > 0])
            ],
        }
        for labels, score in zip(maps, scores)
    ]


def scores_of(*images, part_set=None):
    """`Scores` of images (rows or None, annotations)."""
    evaluator = PartEvaluator(PART, Vocabulary(thing_names=THINGS, parts=part_set or PartSet.from_names("person6", {})))
    for k, (rows, target) in enumerate(images):
        answer = PartPrediction(np.zeros((10, 10), np.uint8), rows)
        evaluator.process([{"part": answer}], [target], keys=[k])
    evaluator.evaluate()
    return evaluator.scores


@pytest.fixture
def two_people():
    upper = person_map(head=np.s_[0, :5], torso=np.s_[1, :5], legs=np.s_[2, :5])
    lower = person_map(head=np.s_[5, 5:], torso=np.s_[6, 5:], legs=np.s_[7, 5:])
    return [upper, lower]


def test_a_case_worked_on_paper():
    truth = person_map(head=np.s_[0, :], torso=np.s_[1, :])
    said = person_map(head=np.s_[0, :], torso=np.s_[1, :5])
    scores = scores_of((rows_of([said], [0.8]), truth_of([truth])))
    # head 1, torso 1/2, background 80/85: mean 0.814, so right at .1 to .8
    assert scores.metrics["APp50"] == 1
    assert scores.metrics["APp-vol"] == pytest.approx(8 / 9)
    # half is not above one half
    assert scores.metrics["PCP50"] == pytest.approx(1 / 2)
    assert scores.per_class["APr50"] == pytest.approx(
        {"head": 1, "torso": 0, **dict.fromkeys(("upper_arms", "lower_arms", "upper_legs", "lower_legs"), math.nan)},
        nan_ok=True,
    )
    assert scores.per_class["APr-vol"]["torso"] == pytest.approx(4 / 9)
    assert scores.metrics["APr-vol"] == pytest.approx((1 + 4 / 9) / 2)
    people, _ = scores.curves[0].lines
    assert people.y.tolist() == [1] * 8 + [0]


def test_perfect_people_score_one_and_none_at_all_zero(two_people):
    target = truth_of(two_people)
    perfect = scores_of((rows_of(two_people, [0.9, 0.3]), target)).metrics
    nothing = scores_of(([], target)).metrics
    assert [perfect[name] for name in INSTANCE_METRICS] == [1] * 7
    assert [nothing[name] for name in INSTANCE_METRICS] == [0] * 7


def test_a_person_without_parts_claims_nothing(two_people):
    rows = rows_of([np.zeros((10, 10), np.uint8), *two_people], [0.99, 0.9, 0.8])
    assert scores_of((rows, truth_of(two_people))).metrics["APp-vol"] == 1


def test_duplicates_are_wrong(two_people):
    rows = rows_of([two_people[0]] * 3 + [two_people[1]], [0.9, 0.8, 0.7, 0.6])
    metrics = scores_of((rows, truth_of(two_people))).metrics
    # the second person comes at rank 4: (1 + 2/4) / 2, for people and for each part alike
    assert metrics["APp50"] == metrics["APr50"] == pytest.approx(3 / 4)
    assert metrics["PCP50"] == 1


def test_head_and_legs_exchanged_score_low(two_people):
    exchanged = np.array([0, LOWER_LEGS, TORSO, 3, 4, 5, HEAD], np.uint8)[np.array(two_people)]
    scores = scores_of((rows_of(exchanged, [0.9, 0.8]), truth_of(two_people)))
    # torso and background alone: (0 + 1 + 0 + 1) / 4 is not above one half
    assert scores.metrics["APp50"] == 0 and scores.metrics["PCP50"] == 0
    assert scores.per_class["APr50"]["head"] == 0 and scores.per_class["APr50"]["torso"] == 1


def test_parts_given_to_the_wrong_person_score_low(two_people):
    upper, lower = two_people
    mixed = [np.where(upper == HEAD, upper, np.where(lower != HEAD, lower, 0)), np.where(lower == HEAD, lower, 0)]
    mixed[1] = np.where((upper > 0) & (upper != HEAD), upper, mixed[1])
    metrics = scores_of((rows_of(mixed, [0.9, 0.8]), truth_of(two_people))).metrics
    # as parts they are right; as people they have two parts of three from one person: (80/90 + 0 + 1 + 1) / 4 = 0.72
    assert metrics["APr-vol"] == 1
    assert metrics["APp-vol"] == pytest.approx(7 / 9) and metrics["PCP50"] == pytest.approx(2 / 3)
    # a person put together of all parts of both is none of them
    everything = scores_of((rows_of([np.maximum(upper, lower)], [0.9]), truth_of(two_people))).metrics
    assert everything["PCP50"] == 0 and everything["APr50"] == 0 and everything["APp-vol"] < 0.4


def test_people_nobody_annotated_and_crowds_are_neither_right_nor_wrong(two_people):
    upper, lower = two_people
    rows = rows_of([lower, upper], [0.9, 0.8])
    for ignored in ({"annotated": [True, False]}, {"crowd": [False, True]}):
        metrics = scores_of((rows, truth_of(two_people, **ignored))).metrics
        assert [metrics[name] for name in INSTANCE_METRICS] == [1] * 7
    # without that region the better scored person is wrong
    assert scores_of((rows, truth_of([upper]))).metrics["APp50"] == pytest.approx(1 / 2)


def test_a_claim_is_passed_over_if_more_than_half_of_it_is_on_an_ignored_region(two_people):
    upper, lower = two_people
    for columns, expected in ((3, 1), (2, 1 / 2)):
        region = np.zeros((10, 10), np.uint8)
        region[:, 5 : 5 + columns] = 1
        target = truth_of([upper, np.zeros((10, 10))], [True, False], masks=[upper > 0, region])
        metrics = scores_of((rows_of([lower, upper], [0.9, 0.8]), target)).metrics
        assert metrics["APp50"] == metrics["APr50"] == pytest.approx(expected)


def test_claims_on_ignored_people_take_no_annotated_one_in_the_ranking_over_images(two_people):
    upper, lower = two_people
    nobody = np.zeros((10, 10))
    beside = truth_of([upper, nobody], [True, False], masks=[upper > 0, lower > 0])
    images = [(rows_of([lower, upper], [0.9, 0.8]), beside), (rows_of([upper], [0.1]), truth_of([upper]))]
    metrics = scores_of(*images).metrics
    assert [metrics[name] for name in INSTANCE_METRICS] == [1] * 7


def test_people_within_an_ignored_region_are_still_found(two_people):
    everywhere = np.ones((10, 10), np.uint8)
    target = truth_of([two_people[0], np.zeros((10, 10))], [True, False], masks=[two_people[0] > 0, everywhere])
    metrics = scores_of((rows_of(two_people, [0.8, 0.9]), target)).metrics
    assert [metrics[name] for name in INSTANCE_METRICS] == [1] * 7


def test_an_annotated_person_none_of_whose_parts_is_in_sight_is_ignored(two_people):
    masks = [labels > 0 for labels in two_people]
    target = truth_of([two_people[0], np.zeros((10, 10))], masks=masks)
    metrics = scores_of((rows_of(two_people, [0.8, 0.9]), target)).metrics
    assert [metrics[name] for name in INSTANCE_METRICS] == [1] * 7


def test_other_things_are_no_people(two_people):
    rows = rows_of(two_people, [0.9, 0.8]) + rows_of([np.roll(two_people[0], 2, 1)], [0.95], category=1)
    assert scores_of((rows, truth_of(two_people))).metrics["APp50"] == 1


def test_named_parts_count_as_their_groups():
    names = PartSet.from_names("person", {"person": ["head", "hair", "lhand", "rhand"]})
    truth, said = np.zeros((2, 1, 10, 10), np.uint8)
    truth[0, 0], truth[0, 1], truth[0, 5] = names.labels.index("hair") + 1, names.labels.index("head") + 1, 3
    said[0, 0:2], said[0, 5] = names.labels.index("head") + 1, 4
    scores = scores_of((rows_of(said, [0.9]), truth_of(truth, part_set=names)), part_set=names)
    assert [scores.metrics[name] for name in INSTANCE_METRICS] == [1] * 7
    assert set(scores.per_class["APr50"]) >= {"head", "lower_arms"}


def test_without_a_body_every_thing_with_parts_is_an_instance_of_its_class():
    parts = PartSet.from_names("all", {"dog": ["head", "tail"]})
    dog = np.zeros((10, 10), np.uint8)
    dog[0], dog[1] = 1, 2
    target = truth_of([dog], part_set=parts, labels=[1])
    metrics = scores_of((rows_of([dog], [0.9], category=1), target), part_set=parts).metrics
    assert [metrics[name] for name in INSTANCE_METRICS] == [1] * 7
    assert scores_of((rows_of([dog], [0.9]), target), part_set=parts).metrics["APp50"] == 0


def test_where_parts_of_a_person_overlap_the_later_holds():
    truth = person_map(head=np.s_[0, :], torso=np.s_[1, :])
    rows = rows_of([person_map(torso=np.s_[:2, :])], [0.9])
    rows[0]["parts"] += rows_of([person_map(head=np.s_[0, :])], [0.9])[0]["parts"]
    assert scores_of((rows, truth_of([truth]))).metrics["APp-vol"] == 1


def test_maps_of_whole_images_and_images_without_people_have_no_instance_figures_but_a_reason(two_people):
    no_instances = scores_of((None, truth_of(two_people)))
    assert "tell no instances apart" in no_instances.reason
    assert all(math.isnan(no_instances.metrics[name]) for name in INSTANCE_METRICS)
    assert no_instances.metrics["mIoU"] == pytest.approx(70 / 100 / 4)
    crowd_only = scores_of((rows_of(two_people, [0.9, 0.8]), truth_of(two_people, crowd=[True, True])))
    assert "all people with annotated parts are crowds" in crowd_only.reason
    assert all(math.isnan(crowd_only.metrics[name]) for name in INSTANCE_METRICS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 3}, r"image 5, part instance 0: category_id 3 is none of the things 1\.\.2"),
        ({"score": math.nan}, "part instance 0: its score is nan"),
        ({"parts": [{"part": 7, "segmentation": None}]}, r"part 7 is none of the part labels 1\.\.6"),
        (
            {"parts": [{"part": 2, "segmentation": {"size": [10, 10], "counts": "5"}}]},
            "image 5, part instance 0, part 2: its run-length code does not decode",
        ),
    ],
)
def test_wrong_rows_are_refused_by_their_place(two_people, change, message):
    rows = [{**rows_of(two_people[:1], [0.9])[0], **change}]
    with pytest.raises(UserError, match=message):
        scores_of((rows, truth_of(two_people, image_id=5)))


def reference(images):
    """The metrics from the definitions, a pair and a threshold at a time.

    Args:
        images: list of (predicted maps, their scores, annotated maps, ignored region bool [10, 10]).
    """
    classes = ["person", *range(1, 7)]
    precision = {c: [] for c in classes}
    for threshold in VOL:
        for c in classes:
            claims, total = [], 0
            for k, (predicted, scores, annotated, ignored) in enumerate(images):
                truths = [t for t in annotated if c == "person" or (t == c).any()]
                total += len(truths)
                for labels, score in zip(predicted, scores):
                    area = labels > 0 if c == "person" else labels == c
                    if area.any():
                        overlaps = [overlap(labels, t, c) for t in truths]
                        best = int(np.argmax(overlaps)) if truths else None
                        if (area & ignored).sum() / area.sum() <= 0.5:
                            claims.append((score, overlaps[best] if truths else 0, (k, best)))
            precision[c].append(voc_ap(claims, total, threshold))
    parts = np.array([precision[c] for c in classes[1:]])
    by_part = np.nanmean(parts, axis=0) if not np.isnan(parts).all() else np.full(9, np.nan)
    people = precision["person"]
    return {
        "APp50": people[4],
        "APp-vol": np.mean(people),
        "PCP50": np.mean([share for image in images for share in correct_shares(*image)]) if images else np.nan,
        "APr50": by_part[4],
        "APr60": by_part[5],
        "APr70": by_part[6],
        "APr-vol": np.mean(by_part),
    }


def overlap(one, other, c):
    """IoU of a part, or the mean over background and the parts that either has."""
    if c != "person":
        return ((one == c) & (other == c)).sum() / ((one == c) | (other == c)).sum()
    present = [k for k in range(7) if (one == k).any() or (other == k).any()]
    return np.mean([overlap(one, other, k) for k in present])


def correct_shares(predicted, scores, annotated, ignored):
    """Of each annotated person, the share of parts with an IoU above one half on the person found at one half."""
    shares = [0.0] * len(annotated)
    found = set()
    for k in np.argsort(-np.array(scores)):
        overlaps = [overlap(predicted[k], t, "person") for t in annotated]
        best = int(np.argmax(overlaps))
        if ((predicted[k] > 0) & ignored).sum() * 2 <= (predicted[k] > 0).sum() and overlaps[best] > 0.5:
            if best not in found:
                true_parts = np.unique(annotated[best][annotated[best] > 0])
                shares[best] = np.mean([overlap(predicted[k], annotated[best], c) > 0.5 for c in true_parts])
            found.add(best)
    return shares


def voc_ap(claims, total, threshold):
    if total == 0:
        return np.nan
    found, hits, precisions = set(), 0, []
    for rank, (_, best, owner) in enumerate(sorted(claims, key=lambda claim: -claim[0]), 1):
        if best > threshold and owner not in found:
            found.add(owner)
            hits += 1
            precisions.append((hits, rank))
    return sum(max(h / r for h, r in precisions[i:]) for i in range(hits)) / total


@st.composite
def random_images(draw):
    """One to three images with people of random rectangles, predictions that are people shifted or others."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images = []
    for _ in range(draw(st.integers(1, 3))):
        annotated = [random_person(rng) for _ in range(rng.integers(0, 4))]
        nearly = [np.roll(t, rng.integers(0, 2), 1) for t in annotated for _ in range(rng.integers(0, 3))]
        predicted = nearly + [random_person(rng) for _ in range(rng.integers(0, 3))]
        region = (random_person(rng) > 0) & (np.sum(annotated, axis=0) == 0)
        images.append((predicted, rng.permutation(1000)[: len(predicted)] + rng.random(), annotated, region))
    return images


def random_person(rng):
    labels = np.zeros((10, 10), np.uint8)
    for part in rng.permutation(6)[: rng.integers(1, 5)] + 1:
        x, y = rng.integers(0, 7, 2)
        labels[y : y + rng.integers(1, 5), x : x + rng.integers(1, 5)] = part
    return labels


@settings(max_examples=60, deadline=None)
@given(random_images())
def test_average_precisions_follow_the_definitions_in_any_order_of_predictions(images):
    # an image none of whose people is annotated is not scored
    images = [image for image in images if image[2]]
    forwards, backwards = (
        scores_of(
            *[(rows_of(p[::step], s[::step]), annotations_beside(t, region)) for p, s, t, region in images]
        ).metrics
        for step in (1, -1)
    )
    expected = reference(images)
    assert {name: forwards[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert backwards == pytest.approx(forwards, nan_ok=True)


def annotations_beside(annotated, region):
    """People, and one whose parts nobody annotated."""
    nobody = np.zeros((10, 10))
    masks = [*(labels > 0 for labels in annotated), region]
    return truth_of([*annotated, nobody], [True] * len(annotated) + [False], masks=masks)
