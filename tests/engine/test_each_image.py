"""A function of every image: in order, whatever the number of workers."""

import pytest

from maskrcnn_benchmark.engine.each_image import each_image
from maskrcnn_benchmark.utils.errors import UserError


def square(dataset, index):
    if dataset[index] < 0:
        raise UserError(f"entry {index} is negative")
    return dataset[index] ** 2


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("chunk", [1, 4])
def test_results_come_in_order(workers, chunk):
    indices = [7, 0, 3, 3, 9, 1]
    results = each_image(square, list(range(10)), indices, workers, chunk=chunk)
    assert list(results) == [49, 0, 9, 9, 81, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_data_is_raised_here(workers):
    with pytest.raises(UserError, match="entry 1 is negative"):
        list(each_image(square, [1, -1], [0, 1], workers))


def test_no_image_is_no_result():
    assert list(each_image(square, [1], [], 0)) == []
