"""A cascade computes what Cai and Vasconcelos define, here written down once more, image by image and box by box."""

import pytest
import torch
from torch.nn import functional as F
from torchvision import ops

from maskrcnn_benchmark.modeling.roi_heads.box_head.box_head import build_roi_box_head
from maskrcnn_benchmark.modeling.roi_heads.box_head.cascade import CascadeROIBoxHead
from maskrcnn_benchmark.modeling.roi_heads.roi_heads import CombinedROIHeads, build_roi_heads
from maskrcnn_benchmark.structures.bounding_box import BoxList

CHANNELS = 16
WIDTH = HEIGHT = 64
ON = ("MODEL.ROI_BOX_HEAD.CASCADE.ENABLED", True, "MODEL.CLS_AGNOSTIC_BBOX_REG", True)
IOUS = (0.5, 0.6, 0.7)
WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))
LOSSES = [f"loss_{kind}_stage{stage}" for stage in range(3) for kind in ("classifier", "box_reg")]
CONVENTIONS = ["original", "detectron2"]


@pytest.fixture
def make_head(make_config):
    """A function (KEY, value, ...) -> cascade whose boxes move by some pixels in each stage."""

    def make(*options):
        torch.manual_seed(0)
        head = build_roi_box_head(make_config(*ON, *options), CHANNELS)
        with torch.no_grad():
            for stage in head.stages:
                stage.predictor.bbox_pred.weight.mul_(400)
                stage.predictor.cls_score.weight.mul_(200)
        return head

    return make


def in_convention(boxlists, convention):
    return [BoxList(boxes.bbox, boxes.size, is_continuous=convention == "detectron2") for boxes in boxlists]


def moved(box, codes, weights, convention):
    """One box by its four codes, clipped: the formulas of R-CNN's appendix C, the last pixel inside."""
    x1, y1, x2, y2 = box.tolist()
    dx, dy, dw, dh = (codes / torch.tensor(weights)).tolist()
    width, height = x2 - x1 + 1, y2 - y1 + 1
    x, y = x1 + width / 2 + dx * width, y1 + height / 2 + dy * height
    width, height = width * torch.tensor(dw).exp().item(), height * torch.tensor(dh).exp().item()
    corners = [x - width / 2, y - height / 2, x + width / 2 - 1, y + height / 2 - 1]
    beyond = 1 if convention == "detectron2" else 0  # there an edge may lie on the image's
    low = [0, 0, -beyond, -beyond]
    high = [WIDTH - 1 + beyond, HEIGHT - 1 + beyond, WIDTH - 1, HEIGHT - 1]
    return [min(max(corner, least), most) for corner, least, most in zip(corners, low, high)]


def all_moved(boxes, codes, weights, convention):
    return torch.tensor([moved(*pair, weights, convention) for pair in zip(boxes, codes[:, 4:])])


def detections_by_definition(head, features, boxes, image, convention, score_thresh=0.2, nms=0.5):
    """[(label, score, box)] of one image, by label: three refinements, the mean of three softmaxes, suppression."""
    maps = [level[image : image + 1] for level in features]
    scores = []
    for stage, weights in zip(head.stages, WEIGHTS):
        regions = BoxList(boxes, (WIDTH, HEIGHT), is_continuous=convention == "detectron2")
        logits, codes = stage.predictor(stage.feature_extractor(maps, [regions]))
        scores.append(logits.softmax(1))
        boxes = all_moved(boxes, codes, weights, convention)
    scores = sum(scores) / 3
    found = []
    for label in (1, 2):
        above = torch.nonzero(scores[:, label] > score_thresh).squeeze(1)
        edges = boxes[above] + torch.tensor([0, 0, 1, 1])
        kept = above[ops.nms(edges, scores[above, label], nms).sort().values]
        found += [(label, scores[i, label].item(), *boxes[i].tolist()) for i in kept]
    return torch.tensor(found)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_detections_are_those_of_the_definition(make_head, features, proposals, convention):
    head = make_head("MODEL.BOX_CONVENTION", convention, "MODEL.ROI_HEADS.SCORE_THRESH", 0.2).eval()
    proposals = in_convention(proposals, convention)
    with torch.no_grad():
        detections, losses = head(features, proposals)
        assert losses == {}
        for image, found in enumerate(detections):
            expected = detections_by_definition(head, features, proposals[image].bbox, image, convention)
            rows = torch.cat((found.get_field("labels")[:, None], found.get_field("scores")[:, None], found.bbox), 1)
            assert len(rows) > 10 and found.is_continuous == (convention == "detectron2")
            torch.testing.assert_close(rows, expected, atol=1e-4, rtol=1e-5)
            # the boxes are no proposal's: they moved
            assert (ops.box_iou(found.bbox, proposals[image].bbox).amax(1) < 0.999).any()


def seen_by(head, monkeypatch):
    """Notes of each stage the regions, logits and codes that its loss is computed of."""
    seen = []
    for stage in head.stages:
        compute = stage.loss_evaluator

        def note(logits, codes, regions, known, compute=compute):
            seen.append((regions, logits, codes))
            return type(compute).__call__(compute, logits, codes, regions, known)

        note.subsample, note.relabel, note.box_coder = compute.subsample, compute.relabel, compute.box_coder
        monkeypatch.setattr(stage, "loss_evaluator", note)
    return seen


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_stage_learns_the_boxes_of_the_one_before_by_its_own_threshold_and_factors(
    make_head, features, proposals, targets, convention, monkeypatch
):
    head = make_head("MODEL.BOX_CONVENTION", convention).train()
    seen = seen_by(head, monkeypatch)
    sampled, losses = head(features, in_convention(proposals, convention), targets)
    assert list(losses) == LOSSES and seen[0][0] is sampled
    labels_of_stages = []
    for stage, (regions, logits, codes) in enumerate(seen):
        labels, loss = [], 0.0
        for image, (part, own) in enumerate(zip(regions, codes.split([len(r) for r in regions]))):
            objects = targets[image].instances
            inside = torch.tensor([0, 0, 1, 1])
            overlap, best = ops.box_iou(part.bbox + inside, objects.bbox + inside).max(1)
            of_image = objects.get_field("labels")[best].masked_fill(overlap < IOUS[stage], 0)
            labels.append(of_image)
            for i in torch.nonzero(of_image).squeeze(1).tolist():
                (px, py), (pw, ph) = centre_and_size(part.bbox[i])
                (gx, gy), (gw, gh) = centre_and_size(objects.bbox[best[i]])
                code = torch.stack([(gx - px) / pw, (gy - py) / ph, (gw / pw).log(), (gh / ph).log()])
                loss += F.smooth_l1_loss(own[i, 4:], code * torch.tensor(WEIGHTS[stage]), reduction="sum")
            if stage:
                before, _, old_codes = seen[stage - 1]
                first = sum(len(b) for b in before[:image])
                old_codes = old_codes[first : first + len(before[image])].detach()
                expected = all_moved(before[image].bbox, old_codes, WEIGHTS[stage - 1], convention)
                torch.testing.assert_close(part.bbox, expected, atol=1e-3, rtol=1e-5)
                assert not part.bbox.requires_grad
            assert part.get_field("labels").tolist() == of_image.tolist()
        labels = torch.cat(labels)
        torch.testing.assert_close(losses[f"loss_classifier_stage{stage}"], F.cross_entropy(logits, labels))
        torch.testing.assert_close(losses[f"loss_box_reg_stage{stage}"], loss / len(labels))
        labels_of_stages.append(labels)
    assert all(0 < (labels > 0).sum() < len(labels) for labels in labels_of_stages)


def centre_and_size(box):
    size = box[2:] - box[:2] + 1
    return box[:2] + size / 2, size


def test_a_threshold_is_the_one_of_its_stage(make_head, targets):
    head = make_head()
    # an object of 32 x 52 pixels, and boxes with IoUs of 0.55, 0.65, 0.75 with it
    regions = BoxList([[8.0, 6.0, 8 + 32 * iou - 1, 57.0] for iou in (0.55, 0.65, 0.75)], (WIDTH, HEIGHT))
    labels = [
        stage.loss_evaluator.relabel([regions], targets[:1])[0].get_field("labels").tolist() for stage in head.stages
    ]
    assert labels == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]


def test_the_gradient_of_the_maps_is_that_of_one_head_and_that_of_the_parameters_whole(
    make_head, features, proposals, targets, monkeypatch
):
    head = make_head().train()
    seen = seen_by(head, monkeypatch)
    features[0].requires_grad_()  # objects of this size are read from no other
    _, losses = head(features, proposals, targets)
    ours = torch.autograd.grad(sum(losses.values()), [features[0], *head.parameters()])
    plain = []
    for stage, (regions, _, _) in zip(head.stages, seen):
        logits, codes = stage.predictor(stage.feature_extractor(features, regions))
        plain += stage.loss_evaluator(logits, codes, regions, [None, None])
    theirs = torch.autograd.grad(sum(plain), [features[0], *head.parameters()])
    for index, (one, other) in enumerate(zip(ours, theirs)):
        torch.testing.assert_close(one, other if index else other / 3)


def test_boxes_that_leave_the_image_are_left_out_where_boxes_end_on_edges(
    make_head, features, proposals, targets, monkeypatch
):
    head = make_head("MODEL.BOX_CONVENTION", "detectron2").train()
    seen = seen_by(head, monkeypatch)
    with torch.no_grad():  # every box goes twice its width to the right
        head.stages[0].predictor.bbox_pred.weight.zero_()
        head.stages[0].predictor.bbox_pred.bias.copy_(torch.tensor([0.0, 0, 0, 0, 20, 0, 0, 0]))
    head(features, in_convention(proposals, "detectron2"), targets)
    for sampled, left in zip(seen[0][0], seen[1][0]):
        first = sampled.bbox[:, 0] + 2 * (sampled.bbox[:, 2] - sampled.bbox[:, 0] + 1)
        assert 0 < len(left) == (first < WIDTH).sum() < len(sampled)
        torch.testing.assert_close(left.bbox[:, 0], first[first < WIDTH])
    with torch.no_grad():
        head.stages[0].predictor.bbox_pred.bias.mul_(100)
    _, losses = head(features, in_convention(proposals, "detectron2"), targets)
    assert list(losses) == LOSSES[:2]
    # in testing they stay, so that the stages' probabilities are of the same boxes
    candidates = head.eval().candidates(features, in_convention(proposals, "detectron2"))
    assert all(len(boxes) for boxes in candidates)


def test_images_without_annotated_objects_are_left_out_and_without_objects_are_background(
    make_head, features, proposals, targets
):
    head = make_head().train()
    targets[0].instances = None
    targets[1].instances = targets[1].instances[:0]
    sampled, losses = head(features, proposals, targets)
    assert [len(boxes) for boxes in sampled] == [0, 16]
    assert all(losses[name] == 0 for name in LOSSES[1::2]) and all(losses[name] > 0 for name in LOSSES[::2])
    targets[1].instances = None
    assert head(features, proposals, targets)[1] == {}
    empty = [boxes[:0] for boxes in proposals]
    assert [len(boxes) for boxes in head.eval()(features, empty)[0]] == [0, 0]


def test_classes_that_a_data_set_does_not_know_are_background_in_no_stage(make_head, features, proposals, targets):
    head = make_head().train()
    for target in targets:
        target.instances = target.instances[:0]
        target.known_labels = torch.tensor([True, True, False])
    _, losses = head(features, proposals, targets)
    sum(losses.values()).backward()
    for stage in head.stages:
        gradient = stage.predictor.cls_score.weight.grad
        assert (gradient[2] == 0).all() and (gradient[:2] != 0).any()


def test_all_tasks_of_regions_train_and_predict_behind_a_cascade(make_config, vocabulary, features, proposals, targets):
    torch.manual_seed(0)
    heads = build_roi_heads(make_config(*ON, "MODEL.ROI_HEADS.SCORE_THRESH", 0.0), CHANNELS, vocabulary)
    assert isinstance(heads["box"], CascadeROIBoxHead)
    sampled, losses = heads(features, proposals, targets)
    assert set(losses) == {*LOSSES, "loss_mask", "loss_kp", "loss_part"}
    assert all("matched_idxs" in boxes.fields() for boxes in sampled)  # the first stage's, which the others learn
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in heads.parameters())
    detections, _ = heads.eval()(features, proposals)
    assert {"scores", "labels", "mask", "keypoints", "parts"} <= set(detections[0].fields()) and len(detections[0])


class Reader(torch.nn.Module):
    """A head that sums up the region features that it is handed."""

    def forward(self, features, proposals, targets=None):
        total = sum(boxes.get_field("roi_features").sum() for boxes in proposals)
        return proposals, {} if targets is None else {"loss_reader": total}


def test_heads_that_read_the_box_heads_features_get_the_first_stages_with_their_whole_gradient(
    make_head, features, proposals, targets
):
    box = make_head()
    heads = CombinedROIHeads({"box": box, "reader": Reader()}, ["reader"]).train()
    features[0].requires_grad_()
    sampled, losses = heads(features, proposals, targets)
    expected = box.stages[0].feature_extractor(features, sampled).sum()
    torch.testing.assert_close(losses["loss_reader"], expected)
    (ours,), (theirs,) = (torch.autograd.grad(loss, features[0]) for loss in (losses["loss_reader"], expected))
    torch.testing.assert_close(ours, theirs)
    assert len(heads.eval()(features, proposals)[0][0])


@pytest.mark.parametrize("share", [True, False])
def test_a_c4_network_has_a_last_stage_of_the_backbone_in_each_stage(make_config, proposals, targets, share):
    config = make_config(
        *ON,
        "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "ResNet50Conv5ROIFeatureExtractor",
        "MODEL.ROI_BOX_HEAD.PREDICTOR", "FastRCNNPredictor",
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 14,
        "MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.0625,),
        "MODEL.ROI_MASK_HEAD.POOLER_SCALES", (0.0625,),
        "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION", 14,
        "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR", "ResNet50Conv5ROIFeatureExtractor",
        "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR", share,
        "MODEL.RESNETS.RES2_OUT_CHANNELS", 8,
        "MODEL.RESNETS.WIDTH_PER_GROUP", 4,
        "MODEL.KEYPOINT_ON", False,
        "MODEL.PART_ON", False,
    )  # fmt: skip
    heads = build_roi_heads(config, 32)
    assert (heads["mask"].feature_extractor is heads["box"].stages[0].feature_extractor) == share
    features = [torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(0))]
    assert set(heads(features, proposals, targets)[1]) == {*LOSSES, "loss_mask"}
    assert heads.eval()(features, proposals)[0][0].has_field("mask")


def test_convolutional_heads_with_norms_stand_in_stages_too(make_config, features, proposals, targets):
    options = ("MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "FPNXconv1fcFeatureExtractor", "MODEL.ROI_BOX_HEAD.NORM", "BN")
    head = build_roi_box_head(make_config(*ON, *options, "MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM", 8), CHANNELS)
    names = set(head.state_dict())
    assert {f"stages.{stage}.feature_extractor.xconvs.1.running_var" for stage in range(3)} <= names
    assert list(head.train()(features, proposals, targets)[1]) == LOSSES


def test_there_are_as_many_stages_as_thresholds(make_config, features, proposals, targets):
    cascade = "MODEL.ROI_BOX_HEAD.CASCADE"
    config = make_config(*ON, f"{cascade}.IOUS", (0.5, 0.7), f"{cascade}.BBOX_REG_WEIGHTS", WEIGHTS[:2])
    head = build_roi_box_head(config, CHANNELS)
    assert list(head(features, proposals, targets)[1]) == LOSSES[:4]
