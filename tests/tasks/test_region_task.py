"""A task per region that a user adds: one file, no table of the package."""

import functools

import numpy as np
import pytest
import torch
from added_tasks import registered
from PIL import Image
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary, make_data_loader
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.bbox_aug import build_bbox_aug
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.poolers import make_pooler
from maskrcnn_benchmark.modeling.roi_heads.conv_stack import ConvStackFeatureExtractor
from maskrcnn_benchmark.modeling.roi_heads.region_vectors import RegionVectorHead
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.task_gradients import own_parameters
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.target_batch import TargetBatch
from maskrcnn_benchmark.tasks.task import TASKS, Task, annotated_tasks, enabled_tasks


class Truncated(Task):
    """Yes or no for every object, from the box head's features; -1 is not known."""

    key = "truncated"
    title = "truncated objects"
    switch = "TRUNCATED_ON"
    losses = ("loss_truncated",)
    headline = "accuracy"
    parameter_prefixes = ("roi_heads.truncated.",)
    per = "region"
    requires = ("detection",)

    def reads(self, cfg):
        return "box"

    def build_head(self, cfg, in_channels, vocabulary):
        return RegionVectorHead(in_channels, 1, self.key, self.label_of, yes_or_no, torch.sigmoid)


class Kind(Task):
    """One of three kinds, from features of its own."""

    key = "kind"
    title = "kinds of objects"
    switch = "KIND_ON"
    losses = ("loss_kind",)
    headline = "accuracy"
    parameter_prefixes = ("roi_heads.kind.",)
    per = "region"
    requires = ("detection",)

    def build_head(self, cfg, in_channels, vocabulary):
        extractor = ConvStackFeatureExtractor(in_channels, make_pooler(cfg, "ROI_MASK_HEAD"), (8,))
        loss = functools.partial(F.cross_entropy, reduction="none")
        return RegionVectorHead(8, 3, self.key, self.label_of, loss, feature_extractor=extractor)


def yes_or_no(logits, labels):
    return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")


@pytest.fixture(scope="module", autouse=True)
def added_tasks():
    with registered(Truncated(), Kind()):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("region")
    write_mini_detail(folder / "mini_detail", num_train=4, num_val=1, seed=3)
    return folder


@pytest.fixture
def make_network(folder, tmp_path):
    """A function (KEY, value, ...) -> (config, network, images, targets with the labels of both tasks)."""

    def make(*options):
        cfg = default_cfg.clone()
        cfg.merge_from_file("configs/detail/mini_R_18_FPN.yaml")
        cfg.merge_from_list(
            [
                *("MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", 0, "SOLVER.SEED", 1, "SOLVER.IMS_PER_BATCH", 2),
                *("MODEL.RESNETS.STEM_OUT_CHANNELS", 8, "MODEL.RESNETS.RES2_OUT_CHANNELS", 8),
                *("MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 16, "MODEL.DENSE_TRUNK.CHANNELS", 16),
                *("MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 32, "MODEL.ROI_HEADS.SCORE_THRESH", 0.0),
                *("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 6, "MODEL.KEYPOINT_ON", False, "MODEL.PART_ON", False),
                *("MODEL.BOUNDARY_ON", False, "MODEL.OCCLUSION_ON", False, "MODEL.SEMANTIC_ON", False),
                *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MAX_SIZE_TRAIN", 96, "MODEL.CLASSIFICATION_ON", True),
                *("MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN", 60, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 32),
                *("INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 96),
                *("MODEL.TRUNCATED_ON", True, "DATASETS.DATA_DIR", str(folder), "OUTPUT_DIR", str(tmp_path)),
                *options,
            ]
        )
        vocabulary = load_vocabulary(cfg)
        bind_vocabulary(cfg, vocabulary)
        plain = cfg.clone()  # no data set has their labels: they are given here
        plain.merge_from_list(["MODEL.TRUNCATED_ON", False, "MODEL.KIND_ON", False])
        images, targets = next(iter(make_data_loader(plain)))[:2]
        for target in targets:
            labels = target.instances.get_field("labels")
            target.instances.add_field("truncated", labels % 2)
            target.instances.add_field("kind", labels % 3)
        torch.manual_seed(0)
        return cfg, build_detection_model(cfg, vocabulary), images, TargetBatch.of(targets)

    return make


def head_losses(model, images, targets):
    torch.manual_seed(7)
    losses = model.train()(images, targets)
    return {name: loss.item() for name, loss in losses.items() if name in ("loss_truncated", "loss_kind")}


def test_a_network_learns_it_and_says_it_of_every_detection(make_network):
    cfg, model, images, targets = make_network(
        "SOLVER.BASE_LR", 0.005, "SOLVER.WARMUP_ITERS", 0, "MODEL.MASK_ON", False
    )
    own = {
        name
        for name, p in model.named_parameters()
        if any(p is q for q in own_parameters(model, TASKS.values())["truncated"])
    }
    assert own == {"roi_heads.truncated.predictor.weight", "roi_heads.truncated.predictor.bias"}
    assert not any(name.startswith("roi_heads.truncated.feature") for name in model.state_dict())
    step = TrainingStep(
        model.train(), build_loss_combiner(cfg, enabled_tasks(cfg)), make_optimizer(cfg, model), "cpu", clip_norm=10.0
    )
    outcomes = [step(images, targets, list) for _ in range(15)]
    assert outcomes[0].losses["loss_truncated"] == pytest.approx(np.log(2), rel=0.2)
    assert outcomes[-1].losses["loss_truncated"] < 0.5 * outcomes[0].losses["loss_truncated"]
    with torch.no_grad():
        predictions = model.eval()(images)
    for prediction in predictions:
        (field,) = (
            prediction.instances.get_field(name) for name in prediction.instances.fields() if name == "truncated"
        )
        assert field.shape == (len(prediction.instances), 1) and len(field)
        assert ((field > 0) & (field < 1)).all()
        assert not prediction.instances.has_field("roi_features")
        assert prediction.resize((30, 40)).instances[:2].get_field("truncated").equal(field[:2])


def test_it_is_a_task_like_any_other_for_gradients_by_task(make_network):
    cfg, model, images, targets = make_network("MULTITASK.LOG_PERIOD", 1, "MULTITASK.LOSS_WEIGHTS.TRUNCATED", 3.0)
    step = TrainingStep(model.train(), build_loss_combiner(cfg, enabled_tasks(cfg)), make_optimizer(cfg, model), "cpu")
    outcome = step(images, targets, list)
    assert outcome.tasks["truncated"] == pytest.approx(3 * outcome.losses["loss_truncated"])
    assert outcome.gradient_statistics.norms["truncated"] > 0


def test_the_other_tasks_lose_nothing_by_it(make_network):
    _, model, images, targets = make_network("MODEL.KIND_ON", True)
    _, without, _, _ = make_network("MODEL.TRUNCATED_ON", False)
    missing = without.load_state_dict(model.state_dict(), strict=False)
    assert missing.missing_keys == []
    assert {name.split(".")[1] for name in missing.unexpected_keys} == {"truncated", "kind"}
    torch.manual_seed(7)
    losses = model.train()(images, targets)
    torch.manual_seed(7)
    expected = without.train()(images, targets)
    assert set(losses) - set(expected) == {"loss_truncated", "loss_kind"}
    assert all(losses[name].equal(loss) for name, loss in expected.items())


def test_what_is_not_known_adds_no_loss(make_network):
    _, model, images, targets = make_network("MODEL.KIND_ON", True)
    everything = head_losses(model, images, targets)
    assert set(everything) == {"loss_truncated", "loss_kind"}
    for target in targets:
        labels = target.instances.get_field("truncated")
        target.instances.add_field("truncated", torch.where(labels == 1, labels, -1))
    some = head_losses(model, images, targets)
    weight, bias = model.roi_heads["truncated"].predictor.parameters()
    with torch.no_grad():
        weight.zero_(), bias.fill_(2.0)
    assert head_losses(model, images, targets)["loss_truncated"] == pytest.approx(np.log1p(np.exp(-2.0)), rel=1e-5)
    assert some["loss_truncated"] != everything["loss_truncated"]
    for target in targets:
        target.instances.add_field("truncated", -torch.ones(len(target.instances), dtype=torch.int64))
    assert set(head_losses(model, images, targets)) == {"loss_kind"}
    bare = [ImageAnnotations(t.size, t.instances.copy_with_fields(["labels", "masks"])) for t in targets]
    assert head_losses(model, images, bare) == {}
    assert head_losses(model, images, [ImageAnnotations(target.size) for target in targets]) == {}


def test_a_measure_that_is_nan_is_not_known():
    head = RegionVectorHead(4, 2, "size", lambda target: None, functools.partial(F.l1_loss, reduction="none"))
    labels = torch.tensor([[1.0, float("nan")], [float("nan"), float("nan")], [2.0, 3.0]])
    assert head.is_known(labels).tolist() == [[True, False], [False, False], [True, True]]


def test_labels_that_are_not_one_per_object_are_refused(make_network):
    _, model, images, targets = make_network()
    targets[1].instances.add_field("truncated", torch.zeros(99))
    with pytest.raises(ValueError, match="target 1 has 99 labels of 'truncated', but"):
        model.train()(images, targets)


def test_crowds_are_left_out_with_their_labels(make_network):
    _, model, images, targets = make_network()
    expected = head_losses(model, images, targets)
    for target in targets:
        instances = target.instances
        order = torch.tensor([0, *range(len(instances))])
        target.instances = instances[order]
        crowd = torch.zeros(len(order), dtype=torch.bool)
        crowd[0] = True
        target.instances.add_field("iscrowd", crowd)
        target.instances.get_field("truncated")[0] = 1 - target.instances.get_field("truncated")[0]
    assert head_losses(model, images, targets) == expected


def test_labels_follow_their_objects_through_transforms_and_transport(make_network):
    _, _, _, targets = make_network()
    target = targets[0]
    boxes, labels = target.instances.convert("xyxy").bbox, target.instances.get_field("truncated")
    assert "truncated" in annotated_tasks(target)
    width, height = target.size
    assert target.transpose(0).resize((2 * width, height)).instances.get_field("truncated").equal(labels)
    left = int(boxes[:, 0].max())  # a window that some object is not in
    cropped = target.crop((left, 0, width, height))
    inside = boxes[:, 2] >= left
    kept = [index for index in range(len(boxes)) if inside[index]]
    assert 0 < len(cropped.instances) <= len(kept)
    sent = TargetBatch.of(targets).to("cpu")[0]
    assert sent.instances.get_field("truncated").equal(labels)
    assert target.pad((width + 5, height)).instances.get_field("truncated").equal(labels)


@pytest.mark.parametrize("pasted", [False, True])
def test_test_time_augmentation_describes_the_joined_boxes(make_network, pasted):
    options = ("TEST.BBOX_AUG.ENABLED", True, "TEST.BBOX_AUG.H_FLIP", True, "TEST.BBOX_AUG.SCALES", (48,))
    postprocess = ("MODEL.ROI_MASK_HEAD.POSTPROCESS_MASKS", pasted)
    cfg, model, _, _ = make_network("MODEL.KIND_ON", True, *options, *postprocess)
    pixels = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    with torch.no_grad():
        (prediction,) = build_bbox_aug(cfg, model.eval())([Image.fromarray(pixels)], "cpu")
    found = prediction.instances
    assert len(found) and set(found.fields()) == {"scores", "labels", "mask", "truncated", "kind"}
    assert found.get_field("truncated").shape == (len(found), 1) and found.get_field("kind").shape == (len(found), 3)
