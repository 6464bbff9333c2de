"""All evaluators together: perfect, trivial and merged answers."""

import math

import numpy as np
import pytest

from maskrcnn_benchmark.engine.results import format_table, gather_results
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.evaluation.protocols import EdgeProtocol, Protocols
from maskrcnn_benchmark.evaluation.trivial import TrivialPredictor
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail


def headlines(evaluators):
    return {task: evaluator.evaluate()[TASKS[task].headline] for task, evaluator in evaluators.items()}


@pytest.fixture(scope="module")
def truth(scene):
    return [scene(seed) for seed in range(6)]


def test_every_task_of_the_table_has_an_evaluator(vocabulary):
    evaluators = build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(9)))
    assert list(evaluators) == list(TASKS)
    assert all(evaluator.task is TASKS[task] for task, evaluator in evaluators.items())


def test_what_is_stored_of_a_prediction_scores_as_the_prediction(vocabulary, truth, perfect):
    first, second = (build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(9))) for _ in range(2))
    prediction = perfect(truth[0])
    stored = {key: task.encode(prediction, vocabulary) for key, task in TASKS.items()}
    for key, evaluator in first.items():
        evaluator.process([prediction], truth[:1])
        second[key].process([stored], truth[:1])
        assert repr(second[key].evaluate()) == repr(evaluator.evaluate()), key


def test_perfect_answers_score_one(vocabulary, truth, perfect):
    evaluators = build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(9)))
    for evaluator in evaluators.values():
        evaluator.process([perfect(target) for target in truth], truth)
    scores = headlines(evaluators)
    for task in ("detection", "instance", "keypoint", "semantic", "boundary", "occlusion", "classification"):
        assert scores[task] == pytest.approx(1.0), task
    # Pasting parts resamples them
    assert scores["part"] > 0.95
    assert all(evaluators["part"].scores.metrics[name] == 1 for name in ("APp50", "APp-vol", "PCP50", "APr50", "APr70"))


def test_merged_halves_equal_one_pass_and_count_no_image_twice(vocabulary, truth, perfect):
    tasks = list(TASKS)
    whole, first, second = (build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(9))) for _ in range(3))
    trivial = TrivialPredictor(TASKS.values(), vocabulary).fit(truth)
    # Wrong answers for half of the images, so that counts matter
    answers = [perfect(target) if k % 2 else trivial.predict(target.size) for k, target in enumerate(truth)]
    for task in tasks:
        whole[task].process(answers, truth)
        first[task].process(answers[:4], truth[:4])
        second[task].process(answers[2:], truth[2:])  # images 2 and 3 in both, as a padded sampler makes them
        second[task].merge([first[task].state()])
        expected, merged = whole[task].evaluate(), second[task].evaluate()
        assert merged == pytest.approx(expected, nan_ok=True), task
        assert len(second[task].state()) == 6


def test_trivial_predictor_runs_through_every_evaluator(vocabulary, truth):
    trivial = TrivialPredictor(TASKS.values(), vocabulary).fit(truth)
    evaluators = build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(9)))
    for evaluator in evaluators.values():
        evaluator.process([trivial.predict(target.size) for target in truth], truth)
    metrics = {task: evaluator.evaluate() for task, evaluator in evaluators.items()}
    scores = {task: evaluator.scores for task, evaluator in evaluators.items()}
    for task, score in headlines(evaluators).items():
        assert 0 < score < 0.95, (task, score)
    lines = format_table(gather_results(scores, metrics)).splitlines()
    assert [line.split()[0] for line in lines[2:10]] == [task.title.split()[0] for task in TASKS.values()]


def test_images_without_a_tasks_annotation_are_skipped_and_nothing_to_score_is_nan(vocabulary, truth, perfect):
    evaluators = build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(9)))
    unlabelled = ImageAnnotations(truth[0].size, image_id=0)
    for evaluator in evaluators.values():
        evaluator.process([perfect(truth[0])], [unlabelled])
        values = evaluator.evaluate()
        assert values and all(math.isnan(value) for value in values.values())
        assert evaluator.state() == {}


def test_reset_forgets_every_image(vocabulary, truth, perfect):
    evaluator = build_evaluators([TASKS["semantic"]], vocabulary, Protocols(EdgeProtocol(9)))["semantic"]
    evaluator.process([perfect(truth[0])], truth[:1])
    evaluator.reset()
    assert math.isnan(evaluator.evaluate()["mIoU"])


def test_an_unanswered_task_and_a_prediction_of_another_size_are_refused(vocabulary, truth, perfect):
    evaluator = build_evaluators([TASKS["boundary"]], vocabulary, Protocols(EdgeProtocol(9)))["boundary"]
    answer = perfect(truth[0])
    answer.boundary = None
    with pytest.raises(ValueError, match="the prediction has no boundary"):
        evaluator.process([answer], truth[:1])
    with pytest.raises(ValueError, match=r"image 0 is \(160, 128\) pixels, its prediction \(80, 64\)"):
        evaluator.process([perfect(truth[0]).resize((80, 64))], truth[:1])


@pytest.mark.parametrize(("task", "message"), [("keypoint", "no keypoints"), ("part", "no parts")])
def test_a_vocabulary_without_joints_or_parts_is_the_users_to_mend(task, message):
    with pytest.raises(UserError, match=message):
        build_evaluators([TASKS[task]], Vocabulary(thing_names=("person",)))


def test_state_is_small_and_plain(vocabulary, truth, perfect):
    import pickle

    evaluators = build_evaluators(TASKS.values(), vocabulary, Protocols(EdgeProtocol(19)))
    for evaluator in evaluators.values():
        evaluator.process([perfect(truth[0])], truth[:1])
        assert len(pickle.dumps(evaluator.state())) < 20_000
    assert np.isfinite(list(headlines(evaluators).values())).all()
