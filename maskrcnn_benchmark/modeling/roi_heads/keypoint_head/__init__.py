"""The keypoint head: a heat map per keypoint and detection."""
