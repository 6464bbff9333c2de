"""Annotated images with every task, and their perfect predictions."""

from scenes import perfect, scene, vocabulary  # noqa: F401
