"""What cannot be exported, said by name before any work is done."""

import importlib.util

from maskrcnn_benchmark.export.signature import OUTPUTS
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.box_head.box_head import ROIBoxHead
from maskrcnn_benchmark.modeling.roi_heads.keypoint_head.keypoint_head import ROIKeypointHead
from maskrcnn_benchmark.modeling.roi_heads.mask_head.mask_head import ROIMaskHead
from maskrcnn_benchmark.modeling.roi_heads.part_head.part_head import ROIPartHead
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import RetinaNetModule
from maskrcnn_benchmark.modeling.rpn.rpn import RPNModule
from maskrcnn_benchmark.utils.errors import UserError

_REGION_HEADS = {"box": ROIBoxHead, "mask": ROIMaskHead, "keypoint": ROIKeypointHead, "part": ROIPartHead}
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages():
    """Raise `UserError` where a package that ONNX needs is not installed."""
    lacking = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"ONNX needs {', '.join(lacking)}, not installed here: "
            'pip install "maskrcnn-benchmark[export]", or take --format program'
        )


def check_exportable(cfg, model):
    """Raise `UserError` that names each option and module of a network which an exported graph cannot hold."""
    reasons = [*_options(cfg), *_modules(model)]
    if reasons:
        raise UserError(f"this network cannot be exported: {'; '.join(reasons)}")


def _options(cfg):
    if cfg.TEST.BBOX_AUG.ENABLED:
        yield "TEST.BBOX_AUG.ENABLED runs the network many times for an image; set it to False"
    if cfg.MODEL.RPN_ONLY and not cfg.MODEL.RETINANET_ON:
        yield "MODEL.RPN_ONLY answers no task"
    if cfg.MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS and cfg.MODEL.MASK_ON:
        yield "MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS pastes masks into the image; set it to False to have small ones"
    if cfg.MODEL.COMPILE:
        yield "MODEL.COMPILE is for training; set it to False"


def _modules(model):
    if model.rpn is not None and not isinstance(model.rpn, RPNModule | RetinaNetModule):
        yield f"there is no tensor form of the proposals of {type(model.rpn).__name__}"
    for name, head in (model.roi_heads or {}).items():
        if type(head) is not _REGION_HEADS.get(name):
            yield f"there is no tensor form of the region head {name!r} ({type(head).__name__})"
        elif not isinstance(getattr(head.feature_extractor, "pooler", None), Pooler):
            yield f"{type(head.feature_extractor).__name__} of the region head {name!r} has no `Pooler` as its `pooler`"
    for name, head in () if model.fpn_heads is None else model.fpn_heads.heads.items():
        if name not in OUTPUTS or not hasattr(head, "scores"):
            yield f"the head {name!r} ({type(head).__name__}) has no method `scores` and no output"
