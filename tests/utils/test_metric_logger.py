"""Running statistics."""

import pytest
import torch

from maskrcnn_benchmark.utils.metric_logger import MetricLogger, SmoothedValue


def test_statistics_of_ten_values_with_the_lower_median():
    logger = MetricLogger()
    for value in range(10):
        logger.update(metric=float(value))
    meter = logger.meters["metric"]
    assert (meter.count, meter.total, meter.median, meter.avg, logger.metric.global_avg) == (10, 45, 4, 4.5, 4.5)


def test_the_window_forgets_and_the_sum_does_not():
    meter = SmoothedValue(window_size=2)
    for value in (1.0, 2.0, 6.0):
        meter.update(value)
    assert (meter.avg, meter.global_avg) == (4.0, 3.0)


def test_an_unknown_meter_is_an_attribute_error_that_names_the_known():
    logger = MetricLogger()
    logger.update(loss=torch.tensor(1.0))
    with pytest.raises(AttributeError, match=r"not_existent.*loss"):
        _ = logger.not_existent


def test_text_has_median_and_mean_of_each_meter():
    logger = MetricLogger(delimiter=" | ")
    logger.update(a=1, b=2.5)
    assert str(logger) == "a: 1.0000 (1.0000) | b: 2.5000 (2.5000)"


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match="'loss'"):
        MetricLogger().update(loss="high")
