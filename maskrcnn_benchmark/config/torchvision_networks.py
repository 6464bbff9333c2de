"""torchvision's detectors trained on COCO: the options of our network that predicts what each of them predicts.

A file of torchvision holds weights alone. It is known by its name, which torchvision gave it
(maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth), so that nothing else is needed to predict with it.
"""

import re
from pathlib import PurePath
from typing import Any

_FILE = re.compile(r"((?:fasterrcnn|maskrcnn|keypointrcnn|retinanet)_resnet50_fpn(?:_v2)?)_coco-[0-9a-f]+\.pth")

_SCALES = (0.25, 0.125, 0.0625, 0.03125)

# torchvision.models.detection.transform and the arguments that the detectors' classes default to
_COMMON = {
    "MODEL.BOX_CONVENTION": "torchvision",
    "MODEL.BACKBONE.FREEZE_CONV_BODY_AT": 2,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.BACKBONE_OUT_CHANNELS": 256,
    "INPUT.TO_BGR255": False,
    "INPUT.PIXEL_MEAN": [0.485, 0.456, 0.406],
    "INPUT.PIXEL_STD": [0.229, 0.224, 0.225],
    "INPUT.MIN_SIZE_TEST": 800,
    "INPUT.MAX_SIZE_TEST": 1333,
    "DATALOADER.SIZE_DIVISIBILITY": 32,
    "DATASETS.TRAIN": ("coco_2017_train",),
    "DATASETS.TEST": ("coco_2017_val",),
}
_TWO_STAGES = {
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN",
    "MODEL.RPN.USE_FPN": True,
    "MODEL.RPN.ANCHOR_STRIDE": (4, 8, 16, 32, 64),
    "MODEL.RPN.STRADDLE_THRESH": -1,
    "MODEL.RPN.PRE_NMS_TOP_N_TRAIN": 2000,
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": 1000,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": 1000,
    "MODEL.RPN.FPN_POST_NMS_PER_BATCH": False,
    "MODEL.ROI_HEADS.USE_FPN": True,
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_BOX_HEAD.POOLER_SCALES": _SCALES,
    "MODEL.ROI_BOX_HEAD.PREDICTOR": "FPNPredictor",
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPN2MLPFeatureExtractor",
}
_TWO_STAGES_V2 = {
    **_TWO_STAGES,
    "MODEL.FPN.NORM": "FrozenBN",
    "MODEL.RPN.RPN_HEAD": "StackedConvRPNHead",
    "MODEL.RPN.NUM_CONVS": 2,
    "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR": "FPNXconv1fcFeatureExtractor",
    "MODEL.ROI_BOX_HEAD.NORM": "FrozenBN",
}
_MASKS = {
    "MODEL.MASK_ON": True,
    "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR": "MaskRCNNFPNFeatureExtractor",
    "MODEL.ROI_MASK_HEAD.PREDICTOR": "MaskRCNNC4Predictor",
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_MASK_HEAD.POOLER_SCALES": _SCALES,
    "MODEL.ROI_MASK_HEAD.RESOLUTION": 28,
    "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
}
_KEYPOINTS = {
    "MODEL.KEYPOINT_ON": True,
    "MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR": "KeypointRCNNFeatureExtractor",
    "MODEL.ROI_KEYPOINT_HEAD.PREDICTOR": "KeypointRCNNPredictor",
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION": 14,
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO": 2,
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_SCALES": _SCALES,
    "MODEL.ROI_KEYPOINT_HEAD.RESOLUTION": 56,
    "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR": False,
    "DATASETS.TRAIN": ("keypoints_coco_2017_train",),
    "DATASETS.TEST": ("keypoints_coco_2017_val",),
}
_RETINANET = {
    "MODEL.RETINANET_ON": True,
    "MODEL.RPN_ONLY": True,
    "MODEL.BACKBONE.CONV_BODY": "R-50-FPN-RETINANET",
    "MODEL.RETINANET.FG_IOU_THRESHOLD": 0.5,
    "MODEL.RETINANET.BG_IOU_THRESHOLD": 0.4,
    "MODEL.RETINANET.NMS_TH": 0.5,
    "TEST.DETECTIONS_PER_IMG": 300,
}

NETWORKS: dict[str, dict[str, Any]] = {
    "fasterrcnn_resnet50_fpn": {**_COMMON, **_TWO_STAGES},
    "maskrcnn_resnet50_fpn": {**_COMMON, **_TWO_STAGES, **_MASKS},
    "keypointrcnn_resnet50_fpn": {**_COMMON, **_TWO_STAGES, **_KEYPOINTS},
    "retinanet_resnet50_fpn": {**_COMMON, **_RETINANET, "MODEL.RETINANET.USE_C5": False},
    "fasterrcnn_resnet50_fpn_v2": {**_COMMON, **_TWO_STAGES_V2},
    "maskrcnn_resnet50_fpn_v2": {
        **_COMMON,
        **_TWO_STAGES_V2,
        **_MASKS,
        "MODEL.ROI_MASK_HEAD.NORM": "FrozenBN",
    },
    "retinanet_resnet50_fpn_v2": {**_COMMON, **_RETINANET, "MODEL.RETINANET.NORM": "GN"},
}


def options_of_file(path: str) -> dict[str, Any] | None:
    """The options of the network in torchvision's file of that name, {KEY: value}; None for any other file."""
    found = _FILE.fullmatch(PurePath(path).name)
    return NETWORKS.get(found[1]) if found else None
