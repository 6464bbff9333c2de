"""Heads with one answer per image."""
