"""Registries: the names by which a config chooses a backbone, an RPN head or a part of an ROI head."""

from maskrcnn_benchmark.utils.registry import Registry

BACKBONES = Registry("backbone", "MODEL.BACKBONE.CONV_BODY")
RPN_HEADS = Registry("RPN head", "MODEL.RPN.RPN_HEAD")
ROI_BOX_FEATURE_EXTRACTORS = Registry("box feature extractor", "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR")
ROI_BOX_PREDICTOR = Registry("box predictor", "MODEL.ROI_BOX_HEAD.PREDICTOR")
ROI_MASK_FEATURE_EXTRACTORS = Registry("mask feature extractor", "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR")
ROI_MASK_PREDICTOR = Registry("mask predictor", "MODEL.ROI_MASK_HEAD.PREDICTOR")
ROI_KEYPOINT_FEATURE_EXTRACTORS = Registry("keypoint feature extractor", "MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR")
ROI_KEYPOINT_PREDICTOR = Registry("keypoint predictor", "MODEL.ROI_KEYPOINT_HEAD.PREDICTOR")
ROI_PART_FEATURE_EXTRACTORS = Registry("part feature extractor", "MODEL.ROI_PART_HEAD.FEATURE_EXTRACTOR")
ROI_PART_PREDICTOR = Registry("part predictor", "MODEL.ROI_PART_HEAD.PREDICTOR")
