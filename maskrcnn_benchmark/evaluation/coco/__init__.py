"""Boxes, masks and keypoints by the definitions of COCO and VOC."""
