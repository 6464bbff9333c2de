"""Spreads over seeds and Delta_m against single-task networks, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.engine.delta_m import add_delta_m
from maskrcnn_benchmark.engine.results import gather_results
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.experiments.seed_statistics import (
    Network,
    Spread,
    comparable_base,
    each_alone,
    pair_gains,
    single_task_means,
    spread,
)

SEMANTIC = Network("semantic", "alone", ("semantic",), {s: {"semantic": v} for s, v in enumerate([0.4, 0.5, 0.6])})
BOUNDARY = Network("boundary", "alone", ("boundary",), {s: {"boundary": v} for s, v in enumerate([0.6, 0.7, 0.5])})
PAIR = Network(
    "semantic+boundary",
    "fixed",
    ("semantic", "boundary"),
    {s: {"semantic": a, "boundary": b} for s, (a, b) in enumerate([(0.55, 0.57), (0.5, 0.6), (0.6, 0.66)])},
)
BASE = {"semantic": 0.5, "boundary": 0.6}


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_a_spread_is_mean_and_sample_deviation(values):
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert found.count == len(values)


def test_one_value_has_no_deviation_and_none_no_mean():
    one = spread([0.25, math.nan])
    assert (one.mean, one.count) == (0.25, 1) and math.isnan(one.deviation)
    assert math.isnan(spread([]).mean)


def test_delta_m_is_taken_for_each_seed_against_the_mean_of_the_single_task_networks():
    base = single_task_means([SEMANTIC, PAIR, BOUNDARY])
    assert base == pytest.approx(BASE)
    by_seed = PAIR.delta_m_by_seed(base)
    assert by_seed == pytest.approx({0: 0.025, 1: 0, 2: 0.15})
    # deviations from the mean 7/120: -4/120, -7/120, 11/120
    assert PAIR.delta_m(base).mean == pytest.approx(7 / 120)
    assert PAIR.delta_m(base).deviation == pytest.approx((186 / 2) ** 0.5 / 120)
    assert PAIR.gain("semantic", base) == Spread(pytest.approx(0.1), pytest.approx(0.1), 3)


def test_it_is_what_a_test_with_single_task_results_says():
    for seed, scores in PAIR.scores.items():
        results = {"semantic": Scores({"mIoU": scores["semantic"]}), "boundary": Scores({"ODS-F": scores["boundary"]})}
        compared = add_delta_m(gather_results(results, {}), BASE)
        assert compared["all"]["metrics"]["delta_m"] == pytest.approx(PAIR.delta_m_by_seed(BASE)[seed])


def test_the_single_task_networks_as_one_gain_nothing_and_show_the_chance():
    alone = each_alone([SEMANTIC, PAIR, BOUNDARY])
    assert alone.tasks == ("semantic", "boundary")
    # seeds: (-20 % + 0 %) / 2, (0 % + 16.7 %) / 2, (20 % - 16.7 %) / 2
    assert alone.delta_m_by_seed(BASE) == pytest.approx({0: -0.1, 1: 1 / 12, 2: 1 / 60})
    assert alone.delta_m(BASE).mean == pytest.approx(0)
    short = Network("boundary", "alone", ("boundary",), {1: {"boundary": 0.7}})
    assert list(each_alone([SEMANTIC, short]).scores) == [1]
    assert each_alone([PAIR]) is None


def test_a_task_that_cannot_be_compared_is_left_out_for_all():
    base, reasons = comparable_base({"semantic": 0.5, "boundary": 0.0}, [PAIR, SEMANTIC])
    assert base == {"semantic": 0.5} and "scores 0" in reasons["boundary"]
    assert PAIR.delta_m(base).mean == pytest.approx(0.1)
    gap = Network("all", "pcgrad", ("semantic", "boundary"), {0: {"semantic": math.nan, "boundary": 0.5}})
    base, reasons = comparable_base(BASE, [PAIR, gap])
    assert base == {"boundary": 0.6} and reasons == {"semantic": "all, pcgrad has no score of it"}
    base, reasons = comparable_base({"semantic": math.nan}, [PAIR])
    assert base == {} and list(reasons) == ["semantic", "boundary"]
    assert math.isnan(PAIR.delta_m(base).mean)


def test_what_a_second_task_does_to_a_first():
    gains = pair_gains([SEMANTIC, PAIR], BASE)
    assert gains["fixed"]["semantic", "boundary"].mean == pytest.approx(0.1)
    # -5 %, 0 %, 10 %
    assert gains["fixed"]["boundary", "semantic"].mean == pytest.approx(1 / 60)
    assert len(gains["fixed"]) == 2
