"""Predictions on disk: lists and maps, written and read."""
