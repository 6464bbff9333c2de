"""Segments of things and stuff that do not overlap."""
