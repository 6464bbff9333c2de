"""Heads with one output per region: box, mask, keypoints, parts."""
