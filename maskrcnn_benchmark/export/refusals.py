"""What cannot be exported, said by name before any work is done."""

import importlib.util
from collections.abc import Iterator

from torch import nn
from yacs.config import CfgNode

from maskrcnn_benchmark.export.signature import heads_of, reads_box_features
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.rpn.retinanet.retinanet import RetinaNetModule
from maskrcnn_benchmark.modeling.rpn.rpn import RPNModule
from maskrcnn_benchmark.utils.errors import UserError

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages() -> None:
    """Raise `UserError` where a package that ONNX needs is not installed."""
    lacking = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        raise UserError(
            f"ONNX needs {', '.join(lacking)}, not installed here: "
            'pip install "maskrcnn-benchmark[export]", or take --format program'
        )


def check_exportable(cfg: CfgNode, model: nn.Module) -> None:
    """Raise `UserError` that names each option and module of a network which an exported graph cannot hold."""
    reasons = [*_options(cfg), *_modules(cfg, model)]
    if reasons:
        raise UserError(f"this network cannot be exported: {'; '.join(reasons)}")


def _options(cfg: CfgNode) -> Iterator[str]:
    for group in ("BBOX_AUG", "DENSE_AUG"):
        if cfg.TEST[group].ENABLED:
            yield f"TEST.{group}.ENABLED runs the network many times for an image; set it to False"
    if cfg.MODEL.RPN_ONLY and not cfg.MODEL.RETINANET_ON:
        yield "MODEL.RPN_ONLY has no output of any task"
    if cfg.MODEL.BOX_CONVENTION != "original":
        yield f'MODEL.BOX_CONVENTION is {cfg.MODEL.BOX_CONVENTION!r}, and graphs are written for "original" only'
    if cfg.MODEL.COMPILE:
        yield "MODEL.COMPILE is for training; set it to False"


def _modules(cfg: CfgNode, model: nn.Module) -> Iterator[str]:
    if model.rpn is not None and not isinstance(model.rpn, RPNModule | RetinaNetModule):
        yield f"there is no tensor form of the proposals of {type(model.rpn).__name__}"
    for place, task, head, is_regional in heads_of(model):
        kind = type(head).__name__
        if task is None:
            yield f"no task has the head {place} ({kind}) in its parameter_prefixes"
        elif reason := task.export_refusal(cfg, head):
            yield reason
        elif is_regional and head is not model.rpn and not reads_box_features(head):
            extractor = head.feature_extractor
            if not isinstance(getattr(extractor, "pooler", None), Pooler):
                yield f"{type(extractor).__name__} of the head {place} has no `Pooler` as its `pooler`"
