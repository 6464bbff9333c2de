"""The keypoint head: a heat map per joint and detection."""
