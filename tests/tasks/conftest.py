"""A scene to draw."""

from drawn_scene import ground_truth, image, prediction, vocabulary  # noqa: F401
