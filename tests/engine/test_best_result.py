"""What a training is judged by, and what it remembers of its evaluations."""

import math

import pytest

from maskrcnn_benchmark.data.known_names import known_vocabulary
from maskrcnn_benchmark.engine.best_result import check_metric, describe, is_over, score_of, skill, with_evaluation
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError


def result(headline, value, trivial=None, **more):
    return {"headline": headline, "metrics": {headline: value, **more}, "trivial": trivial or {}}


RESULTS = {
    "detection": result("AP", 0.4, AP50=0.6),
    "semantic": result("mIoU", 0.5, {"mIoU": 0.2}),
    "boundary": result("ODS-F", math.nan, {"ODS-F": 0.1}),
}


def test_a_named_metric_and_the_mean_gain():
    assert score_of(RESULTS, "detection/AP50") == 0.6
    # detection has no trivial predictor and begins at 0; boundary was not measured
    assert score_of(RESULTS, "gain") == pytest.approx((0.4 + 0.3 / 0.8) / 2)
    assert score_of({**RESULTS, "all": result("delta_m", -0.02)}, "gain") == -0.02
    assert math.isnan(score_of({"boundary": RESULTS["boundary"]}, "gain"))


def test_skill_is_the_share_of_the_way_to_perfection():
    assert skill(0.6, 0.2, True) == pytest.approx(0.5) and skill(0.1, 0.2, True) == pytest.approx(-0.125)
    assert skill(3.0, 4.0, False) == pytest.approx(0.25) and math.isnan(skill(3.0, math.nan, False))
    assert math.isnan(skill(1.0, 1.0, True))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("detection/AP5", "'AP5' is not measured; did you mean 'AP"),
        ("detektion/AP", "'detektion' is not measured; did you mean 'detection'"),
        ("instance/AP", "'instance' is not measured; give TASK/METRIC with a TASK among detection, semantic"),
    ],
)
def test_what_is_not_measured_is_told_before_the_training(metric, message):
    tasks, vocabulary = [TASKS["detection"], TASKS["semantic"]], known_vocabulary("coco_2014_train")
    for known in ("gain", "detection/APl", "semantic/fwIoU"):
        check_metric(known, tasks, vocabulary, Protocols())
    with pytest.raises(UserError, match=message):
        check_metric(metric, tasks, vocabulary, Protocols())
    with pytest.raises(UserError, match="is not measured"):
        score_of({"detection": RESULTS["detection"], "semantic": RESULTS["semantic"]}, metric)


def after(*values, metric="semantic/mIoU"):
    best, found = None, []
    for place, value in enumerate(values, 1):
        best, is_best = with_evaluation(best, metric, value, 10 * place)
        found.append(is_best)
    return best, found


def test_the_best_is_remembered_and_the_evaluations_since_are_counted():
    best, found = after(math.nan, 0.2, 0.3, 0.3, math.nan)
    assert found == [False, True, True, False, False]
    assert best == {"metric": "semantic/mIoU", "value": 0.3, "iteration": 30, "evaluated": 50, "since": 2}
    assert describe(best) == "semantic/mIoU 30.0 at iteration 30"
    assert [is_over(best, "semantic/mIoU", patience) for patience in (0, 2, 3)] == [False, True, False]
    assert not is_over(best, "gain", 1) and not is_over(None, "gain", 1)
    assert describe(None) == describe(after(math.nan)[0]) == ""


def test_another_metric_begins_anew():
    best, _ = after(0.9)
    assert with_evaluation(best, "gain", 0.1, 20) == (
        {"metric": "gain", "value": 0.1, "iteration": 20, "evaluated": 20, "since": 0},
        True,
    )


def test_the_task_says_what_is_better(monkeypatch):
    monkeypatch.setattr(TASKS["semantic"], "higher_is_better", False, raising=False)
    assert after(0.3, 0.2, 0.25)[1] == [True, True, False]
    assert score_of({"semantic": RESULTS["semantic"]}, "gain") == pytest.approx((0.2 - 0.5) / 0.2)
