"""Registries: the names by which a config chooses a backbone, an RPN head or a part of an ROI head."""

import difflib

from maskrcnn_benchmark.utils.errors import UserError


class Registry(dict):
    """A dictionary of builders that fills itself through a decorator.

    `@BACKBONES.register("R-50-FPN")` above a function or class stores it. Looking up an unknown name with `[]` raises
    `UserError` with the option that chose it and the nearest known name.
    """

    def __init__(self, kind, option):
        super().__init__()
        self.kind = kind
        self.option = option

    def register(self, name, module=None):
        """Store `module` under `name`; without `module`, return a decorator. A name taken is a `ValueError`."""
        if module is None:
            return lambda built: self.register(name, built)
        if name in self:
            raise ValueError(f"{self.kind} {name!r} is already registered, as {self[name].__qualname__}")
        self[name] = module
        return module

    def __missing__(self, name):
        near = difflib.get_close_matches(str(name), self, 1, 0.3)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(self)) or 'none'}"
        raise UserError(f"{self.option}: there is no {self.kind} named {name!r}; {hint}")


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
