"""A scene to draw."""

import pytest
from drawn_scene import ground_truth, image, prediction, vocabulary  # noqa: F401


@pytest.fixture
def truth(ground_truth):  # noqa: F811
    """The same under the name that the tests of the data set's page use."""
    return ground_truth
