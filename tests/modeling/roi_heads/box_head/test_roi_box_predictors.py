import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_predictors import FPNPredictor


@pytest.mark.parametrize("name", sorted(registry.ROI_BOX_PREDICTOR))
def test_every_predictor_gives_scores_and_four_numbers_per_class(name):
    scores, codes = registry.ROI_BOX_PREDICTOR[name](cfg.clone(), 64)(torch.rand(3, 64, 1, 1))
    assert scores.shape == (3, 81)
    assert codes.shape == (3, 324)


@pytest.mark.parametrize("name", sorted(registry.ROI_BOX_PREDICTOR))
def test_class_agnostic_regression_has_two_classes(name):
    config = cfg.clone()
    config.MODEL.CLS_AGNOSTIC_BBOX_REG = True
    scores, codes = registry.ROI_BOX_PREDICTOR[name](config, 64)(torch.rand(3, 64, 1, 1))
    assert scores.shape == (3, 81)
    assert codes.shape == (3, 8)


def test_the_fpn_predictor_refuses_maps():
    with pytest.raises(ValueError, match=r"maps of \(7, 7\)"):
        FPNPredictor(64, 5)(torch.rand(3, 64, 7, 7))
