"""Heads with one answer per region: box, mask, keypoints, parts."""
