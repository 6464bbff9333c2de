import pytest
import torch

from maskrcnn_benchmark.modeling.roi_heads.roi_heads import CombinedROIHeads, build_roi_heads
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartSet
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.utils.errors import UserError

CHANNELS = 16
ALL_LOSSES = {"loss_classifier", "loss_box_reg", "loss_mask", "loss_kp", "loss_part"}


@pytest.fixture
def heads(make_config, vocabulary):
    torch.manual_seed(0)
    return build_roi_heads(make_config(), CHANNELS, vocabulary)


def test_a_batch_with_everything_annotated_gives_every_loss(heads, features, proposals, targets):
    sampled, losses = heads(features, proposals, targets)
    assert set(losses) == ALL_LOSSES
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert [len(boxes) for boxes in sampled] == [16, 16]
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in heads.parameters())


def test_heads_that_learn_two_images_find_their_objects_again(heads, features, proposals, targets):
    optimizer = torch.optim.Adam(heads.parameters(), lr=5e-3)
    history = []
    for _ in range(60):
        losses = heads(features, proposals, targets)[1]
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    for name, first in history[0].items():
        assert history[-1][name] < 0.5 * first, (name, first, history[-1][name])
    with torch.no_grad():
        detections, losses = heads.eval()(features, proposals)
    assert losses == {}
    for boxes in detections:
        best = boxes[boxes.get_field("scores").topk(2).indices].get_field("labels")
        assert sorted(best.tolist()) == [1, 2]
        person = boxes[int((boxes.get_field("scores") * (boxes.get_field("labels") == 1)).argmax())]
        torch.testing.assert_close(person.bbox[0], torch.tensor([8.0, 6.0, 39.0, 57.0]), atol=4, rtol=0)
        assert person.get_field("mask")[0, 0, :, 1:-1].mean() > 0.5
        head, torso = person.get_field("parts")[0, 1:, 3, 12], person.get_field("parts")[0, 1:, 20, 12]
        assert head[0] > 0.5 and torso[1] > 0.5


def test_an_image_without_annotated_objects_is_not_even_background(heads, features, proposals, targets):
    targets[1] = ImageAnnotations(targets[1].size)
    sampled, losses = heads(features, proposals, targets)
    assert set(losses) == ALL_LOSSES
    assert [len(boxes) for boxes in sampled] == [16, 0]


def test_a_batch_without_any_annotated_object_gives_no_loss(heads, features, proposals):
    nothing = [ImageAnnotations((64, 64)) for _ in range(2)]
    _, losses = heads(features, proposals, nothing)
    assert losses == {}


def test_joints_are_learnt_on_an_image_whose_objects_were_not_annotated(heads, features, proposals, targets):
    for target in targets:
        target.instances = None
    _, losses = heads(features, proposals, targets)
    assert set(losses) == {"loss_kp"}


def test_images_without_objects_are_background_alone(heads, features, proposals):
    empty = BoxList(torch.zeros(0, 4), (64, 64))
    empty.add_field("labels", torch.zeros(0, dtype=torch.int64))
    sampled, losses = heads(features, proposals, [ImageAnnotations((64, 64), instances=empty, people=empty)] * 2)
    assert set(losses) == {"loss_classifier", "loss_box_reg"}
    assert losses["loss_box_reg"] == 0
    assert all((boxes.get_field("labels") == 0).all() for boxes in sampled)


def test_no_proposals_give_no_losses_and_no_detections(heads, features, targets):
    empty = BoxList(torch.zeros(0, 4), (64, 64))
    assert heads(features, [empty, empty], targets)[1] == {}
    detections, _ = heads.eval()(features, [empty, empty])
    for boxes in detections:
        assert len(boxes) == 0
        assert boxes.get_field("mask").shape == (0, 1, 14, 14)
        assert boxes.get_field("parts").shape == (0, 3, 28, 28)
        assert boxes.get_field("keypoints").keypoints.shape == (0, 14, 3)


def test_only_people_are_given_joints_and_parts(make_config, vocabulary, features, proposals):
    config = make_config("MODEL.ROI_HEADS.SCORE_THRESH", 0.0)
    detections, _ = build_roi_heads(config, CHANNELS, vocabulary).eval()(features, proposals)
    for boxes in detections:
        person = boxes.get_field("labels") == 1
        joints, parts = boxes.get_field("keypoints").keypoints, boxes.get_field("parts")
        assert 0 < person.sum() < len(boxes)
        assert (joints[~person] == 0).all() and (joints[person][..., 2] == 1).all()
        assert (parts[~person][:, 0] == 1).all() and (parts[~person][:, 1:] == 0).all()
        torch.testing.assert_close(parts.sum(1), torch.ones_like(parts[:, 0]))


def test_without_a_vocabulary_every_detection_is_given_both(make_config, features, proposals):
    config = make_config("MODEL.ROI_HEADS.SCORE_THRESH", 0.0)
    detections, _ = build_roi_heads(config, CHANNELS).eval()(features, proposals)
    boxes = detections[0]
    assert (boxes.get_field("keypoints").keypoints[..., 2] == 1).all()
    assert (boxes.get_field("parts")[:, 1:] > 0).all()


def test_gradients_may_be_on_while_testing(heads, features, proposals):
    features[0].requires_grad_()
    detections, _ = heads.eval()(features, proposals)
    assert detections[0].bbox.requires_grad


def test_mixed_precision_trains_and_answers_in_single(make_config, vocabulary, features, proposals, targets):
    heads = build_roi_heads(make_config("MODEL.ROI_HEADS.SCORE_THRESH", 0.0), CHANNELS, vocabulary)
    half = [level.bfloat16() for level in features]
    with torch.autocast("cpu", torch.bfloat16):
        _, losses = heads(half, proposals, targets)
        with torch.no_grad():
            detections, _ = heads.eval()(half, proposals)
    assert set(losses) == ALL_LOSSES
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())
    boxes = detections[0]
    answers = [boxes.bbox, *(boxes.get_field(field) for field in ("scores", "mask", "parts"))]
    answers.append(boxes.get_field("keypoints").keypoints)
    assert {answer.dtype for answer in answers} == {torch.float32}


def test_parts_belong_to_the_classes_that_own_them(make_config, features, proposals):
    parts = PartSet.from_names("all", {"person": ["head"], "dog": ["tail"]})
    vocabulary = Vocabulary(thing_names=("dog", "person"), parts=parts)
    config = make_config("MODEL.ROI_HEADS.SCORE_THRESH", 0.0)
    detections, _ = build_roi_heads(config, CHANNELS, vocabulary).eval()(features, proposals)
    boxes = detections[0]
    for thing, part in (("dog", "tail"), ("person", "head")):
        own = boxes.get_field("parts")[boxes.get_field("labels") == vocabulary.thing_names.index(thing) + 1]
        label = parts.label_of(thing, part)
        assert len(own) and (own[:, label] > 0).all() and (own[:, 3 - label] == 0).all()


def test_c4_heads_share_their_features(make_config, proposals, targets):
    config = make_config(
        "MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR", "ResNet50Conv5ROIFeatureExtractor",
        "MODEL.ROI_BOX_HEAD.PREDICTOR", "FastRCNNPredictor",
        "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 14,
        "MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.0625,),
        "MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR", "ResNet50Conv5ROIFeatureExtractor",
        "MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR", True,
        "MODEL.RESNETS.RES2_OUT_CHANNELS", 8,
        "MODEL.RESNETS.WIDTH_PER_GROUP", 4,
        "MODEL.KEYPOINT_ON", False,
        "MODEL.PART_ON", False,
    )  # fmt: skip
    heads = build_roi_heads(config, 32)
    assert heads["mask"].feature_extractor is heads["box"].feature_extractor
    features = [torch.randn(2, 32, 4, 4, generator=torch.Generator().manual_seed(0))]
    losses = {}
    for keep in (True, False):
        heads["box"].keep_roi_features = keep
        torch.manual_seed(0)
        losses[keep] = heads(features, proposals, targets)[1]["loss_mask"]
    torch.testing.assert_close(losses[True], losses[False])


def test_a_resolution_that_the_head_does_not_have_is_the_users_error(make_config, features, proposals, targets):
    heads = build_roi_heads(make_config("MODEL.ROI_KEYPOINT_HEAD.RESOLUTION", 56), CHANNELS)
    with pytest.raises(UserError, match=r"MODEL.ROI_KEYPOINT_HEAD.RESOLUTION is 56, .* 28 cells"):
        heads(features, proposals, targets)


def test_maps_that_no_pooler_reads_are_not_converted(heads, features, proposals, monkeypatch):
    seen = []
    forward = heads["box"].forward
    monkeypatch.setattr(heads["box"], "forward", lambda maps, *rest: seen.extend(maps) or forward(maps, *rest))
    scales = len(heads["box"].feature_extractor.pooler.scales)
    maps = [level.bfloat16() for level in (*features[:scales], features[-1][:, :, :1, :1])]
    with torch.autocast("cpu", torch.bfloat16):
        heads.eval()(maps, proposals)
    assert [level.dtype for level in seen] == [torch.float32] * scales + [torch.bfloat16]
    assert seen[-1] is maps[-1]


class Reader(torch.nn.Module):
    """A head that notes which region features it is handed, and has none of its own."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, features, proposals, targets=None):
        self.seen.append([boxes.extra_fields.get("roi_features") for boxes in proposals])
        return proposals, {}


def test_only_heads_that_share_them_get_the_box_heads_features(make_config, features, proposals, targets):
    box = build_roi_heads(make_config("MODEL.MASK_ON", False, "MODEL.PART_ON", False), CHANNELS)["box"]
    heads = CombinedROIHeads({"box": box, "reader": Reader(), "stranger": Reader()}, ["reader"])
    heads.train()(features, proposals, targets)
    detections, _ = heads.eval()(features, proposals)
    (sampled, found), strange = heads["reader"].seen, heads["stranger"].seen
    assert [x.shape for x in sampled] == [(16, 32)] * 2
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(found), box.feature_extractor(features, detections))
    assert strange == [[None, None]] * 2 and not detections[0].has_field("roi_features")
