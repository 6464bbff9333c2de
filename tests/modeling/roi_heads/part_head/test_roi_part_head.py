import pytest
import torch
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.part_head.inference import PartPostProcessor
from maskrcnn_benchmark.modeling.roi_heads.part_head.loss import PartRCNNLossComputation
from maskrcnn_benchmark.modeling.roi_heads.part_head.part_head import build_roi_part_head
from maskrcnn_benchmark.modeling.roi_heads.part_head.roi_part_predictors import PartRCNNPredictor
from maskrcnn_benchmark.structures.bounding_box import BoxList


def test_the_extractor_and_predictor_build_from_the_default_config():
    head = build_roi_part_head(cfg.clone(), 64)
    extractor, predictor = head.feature_extractor, head.predictor
    assert {type(extractor).__name__, type(predictor).__name__} == {
        *registry.ROI_PART_FEATURE_EXTRACTORS,
        *registry.ROI_PART_PREDICTOR,
    }
    with torch.no_grad():
        out = extractor([torch.rand(1, 64, 8, 8)], [BoxList([[1.0, 1.0, 90.0, 90.0]], (128, 128))])
        assert out.shape == (1, 256, 14, 14)
        assert predictor(out).shape == (1, 7, 56, 56)


@pytest.mark.parametrize("resolution", [14, 28])
def test_the_predictor_answers_at_the_resolution_asked_for(resolution):
    assert PartRCNNPredictor(8, 5, resolution)(torch.rand(2, 8, 7, 7)).shape == (2, 5, resolution, resolution)


@pytest.fixture
def sampled(make_target):
    target = make_target()
    boxes = BoxList(torch.cat((target.instances.bbox, target.instances.bbox[:1] + 1)), (64, 64))
    boxes.add_field("labels", torch.tensor([1, 2, 1]))
    boxes.add_field("matched_idxs", torch.tensor([0, 1, 0]))
    return target, boxes


def test_only_regions_of_objects_with_annotated_parts_are_trained(sampled):
    target, boxes = sampled
    chosen = PartRCNNLossComputation().select([boxes], [target])[0]
    assert chosen.get_field("matched_idxs").tolist() == [0, 0]
    target.instances.get_field("parts").annotated[:] = False
    assert len(PartRCNNLossComputation().select([boxes], [target])[0]) == 0


def test_classes_that_own_no_parts_are_not_trained(sampled):
    target, boxes = sampled
    target.instances.get_field("parts").annotated[:] = True
    chosen = PartRCNNLossComputation(part_labels={1}).select([boxes], [target])[0]
    assert chosen.get_field("matched_idxs").tolist() == [0, 0]


def test_the_number_of_regions_per_image_is_bounded(sampled):
    target, boxes = sampled
    assert len(PartRCNNLossComputation(max_rois_per_image=1).select([boxes], [target])[0]) == 1


def test_the_loss_is_cross_entropy_over_labels_and_background(sampled):
    target, boxes = sampled
    loss = PartRCNNLossComputation()
    chosen = loss.select([boxes[:1]], [target])
    truth = target.instances.get_field("parts")[:1].crop_and_resize(boxes.bbox[:1], 28)
    assert set(truth.unique().tolist()) == {0, 1, 2}
    logits = torch.randn(1, 3, 28, 28)
    torch.testing.assert_close(loss(logits, chosen, [target]), F.cross_entropy(logits, truth))


def test_a_class_is_never_given_a_part_that_it_does_not_own():
    boxes = BoxList(torch.zeros(3, 4), (10, 10))
    boxes.add_field("labels", torch.tensor([1, 3, 2]))
    asked = [torch.tensor([0, 2])]
    processor = PartPostProcessor(num_parts=2, part_owners=((1,), (1, 2)))
    parts = processor(torch.zeros(2, 3, 1, 1), [boxes], asked)[0].get_field("parts")[:, :, 0, 0]
    torch.testing.assert_close(parts, torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1, 0, 0], [1 / 2, 0, 1 / 2]]))


def test_owners_must_be_given_for_every_part():
    with pytest.raises(ValueError, match="6 part labels, but owners of 2"):
        PartPostProcessor(6, ((1,), (1,)))
