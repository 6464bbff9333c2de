"""Heads with one output per image."""
