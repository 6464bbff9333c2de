"""The whole network on tiny inputs: any subset of tasks trains and predicts, partial labels leave no trace."""

import itertools

import pytest
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.data.transforms import Normalize
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.keypoint import DetailKeypoints
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.tasks.task import task_of_loss, tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

SIZE = (96, 64)  # width, height
PARTS = PartSet.from_names("person6", {"person": ["head", "torso", "lhand", "rhand"]})

TINY = """
MODEL.DEVICE cpu MODEL.BACKBONE.CONV_BODY R-18-FPN MODEL.BACKBONE.FREEZE_CONV_BODY_AT 0
MODEL.RESNETS.STEM_FUNC StemWithBatchNorm MODEL.RESNETS.TRANS_FUNC BasicBlockWithBatchNorm
MODEL.RESNETS.STEM_OUT_CHANNELS 8 MODEL.RESNETS.RES2_OUT_CHANNELS 8 MODEL.RESNETS.BACKBONE_OUT_CHANNELS 16
MODEL.RPN.USE_FPN True MODEL.RPN.ANCHOR_STRIDE (4,8,16,32,64) MODEL.RPN.ANCHOR_SIZES (8,16,32,48,64)
MODEL.RPN.STRADDLE_THRESH -1 MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN 40 MODEL.RPN.FPN_POST_NMS_TOP_N_TEST 20
MODEL.ROI_HEADS.USE_FPN True MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 16 MODEL.ROI_HEADS.SCORE_THRESH 0.0
MODEL.ROI_HEADS.DETECTIONS_PER_IMG 5 MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR FPN2MLPFeatureExtractor
MODEL.ROI_BOX_HEAD.PREDICTOR FPNPredictor MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION 7
MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM 16 MODEL.ROI_BOX_HEAD.NUM_CLASSES 4
MODEL.ROI_MASK_HEAD.FEATURE_EXTRACTOR MaskRCNNFPNFeatureExtractor MODEL.ROI_MASK_HEAD.RESOLUTION 28
MODEL.ROI_MASK_HEAD.CONV_LAYERS (8,) MODEL.ROI_MASK_HEAD.SHARE_BOX_FEATURE_EXTRACTOR False
MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS (8,) MODEL.ROI_KEYPOINT_HEAD.RESOLUTION 56
MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES 14 MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR False
MODEL.ROI_PART_HEAD.CONV_LAYERS (8,) MODEL.ROI_PART_HEAD.RESOLUTION 28 MODEL.DENSE_TRUNK.CHANNELS 8
MODEL.EDGE_DECODER.CHANNELS 8 MODEL.EDGE_DECODER.STEM_CHANNELS 4 MODEL.SEMANTIC_HEAD.NUM_CLASSES 5
MODEL.CLASSIFICATION_HEAD.NUM_CLASSES 6
"""


def tiny_config(*on, part_head="roi"):
    config = cfg.clone()
    config.merge_from_list(TINY.split())
    for head in ("BOX", "MASK", "KEYPOINT", "PART"):
        config.MODEL[f"ROI_{head}_HEAD"].POOLER_SCALES = (0.25, 0.125, 0.0625, 0.03125)
        config.MODEL[f"ROI_{head}_HEAD"].POOLER_SAMPLING_RATIO = 2
    config.MODEL.PART_HEAD = part_head
    for task in TASKS.values():
        config.MODEL[task.switch] = task.key in on
    return config


def annotations(*tasks, objects=2):
    """An image on which exactly these tasks are annotated."""
    width, height = SIZE
    made = {}
    if {"detection", "instance", "part"} & set(tasks):
        boxes = torch.tensor([[5.0, 5, 40, 60], [50, 10, 90, 55]])[:objects]
        instances = BoxList(boxes.reshape(-1, 4), SIZE)
        instances.add_field("labels", torch.tensor([1, 2])[:objects])
        masks = torch.zeros(objects, height, width, dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
            mask[y1 : y2 + 1, x1 : x2 + 1] = 1
        if "instance" in tasks:
            instances.add_field("masks", SegmentationMask(masks, SIZE, "mask"))
        if "part" in tasks:
            instances.add_field("parts", PartMask(masks, torch.ones(objects, dtype=torch.bool), SIZE, PARTS))
        made["instances"] = instances
    if "keypoint" in tasks:
        people = BoxList(torch.tensor([[5.0, 5, 40, 60]])[:objects].reshape(-1, 4), SIZE)
        people.add_field("labels", torch.ones(min(objects, 1), dtype=torch.int64))
        joints = torch.tensor([[[10.0 + j, 8 + 3 * j, 1] for j in range(14)]])[:objects]
        people.add_field("keypoints", DetailKeypoints(joints.reshape(-1, 14, 3), SIZE))
        made["people"] = people
    edges = torch.zeros(height, width, dtype=torch.uint8)
    edges[:, 40] = 1
    if "semantic" in tasks:
        made["semantic"] = SemanticMap(torch.ones(height, width, dtype=torch.uint8))
    if "boundary" in tasks:
        made["boundary"] = BoundaryMap(edges)
    if "occlusion" in tasks:
        made["occlusion"] = OcclusionMap(edges, torch.stack([edges.float(), torch.zeros(height, width)]))
    if "classification" in tasks:
        made["classes"] = torch.tensor([1.0, 0, 0, 1, 0, 0])
    return ImageAnnotations(SIZE, **made)


def images(count=2):
    torch.manual_seed(3)
    return to_image_list([torch.randn(3, SIZE[1], SIZE[0]) for _ in range(count)], 32)


def test_eight_tasks_give_all_their_losses_and_gradients():
    torch.manual_seed(0)
    model = build_detection_model(tiny_config(*TASKS)).train()
    losses = model(images(), [annotations(*TASKS), annotations(*TASKS)])
    assert {task_of_loss(name).key for name in losses} == set(TASKS)
    sum(losses.values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_eight_tasks_give_eight_answers():
    torch.manual_seed(0)
    model = build_detection_model(tiny_config(*TASKS)).eval()
    with torch.no_grad():
        predictions = model(images())
    for prediction in predictions:
        assert isinstance(prediction, ImagePrediction) and prediction.size == SIZE
        at_full_size = prediction.resize((192, 128))
        assert at_full_size.size == (192, 128)
        assert {"scores", "labels", "mask", "keypoints", "parts"} <= set(at_full_size.instances.fields())
        assert at_full_size.semantic.scores.shape == (5, 128, 192)
        assert at_full_size.boundary.scores.shape == (1, 128, 192)
        assert at_full_size.occlusion.scores.shape == (3, 128, 192)
        assert at_full_size.classes.shape == (6,)


SUBSETS = [(key,) for key in ("detection", "semantic", "boundary", "occlusion", "classification")]
SUBSETS += [("detection", key) for key in ("instance", "keypoint", "part", "semantic")]
SUBSETS += [("semantic", "classification"), ("boundary", "occlusion")]


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_any_subset_trains_and_predicts(subset):
    torch.manual_seed(0)
    model = build_detection_model(tiny_config(*subset)).train()
    losses = model(images(), [annotations(*TASKS), annotations(*TASKS)])
    assert {task_of_loss(name).key for name in losses} == set(subset)
    with torch.no_grad():
        predictions = model.eval()(images())
    region_only = set(subset) <= {"detection", "instance", "keypoint", "part"}
    assert all(isinstance(p, BoxList if region_only else ImagePrediction) for p in predictions)


@pytest.mark.parametrize("convention", ["torchvision", "detectron2"])
def test_other_conventions_and_norms_in_the_heads_train_and_predict(convention):
    torch.manual_seed(0)
    config = tiny_config("detection", "instance", "keypoint", "part")
    config.MODEL.BOX_CONVENTION, config.MODEL.RPN.RPN_HEAD = convention, "StackedConvRPNHead"
    config.MODEL.ROI_BOX_HEAD.FEATURE_EXTRACTOR = "FPNXconv1fcFeatureExtractor"
    config.MODEL.ROI_BOX_HEAD.CONV_HEAD_DIM = 8
    config.MODEL.FPN.NORM = config.MODEL.ROI_BOX_HEAD.NORM = config.MODEL.ROI_MASK_HEAD.NORM = "BN"
    model = build_detection_model(config).train()
    losses = model(images(), [annotations(*TASKS), annotations(*TASKS)])
    assert {"loss_objectness", "loss_box_reg", "loss_mask", "loss_kp", "loss_part"} <= set(losses)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.rpn.head.conv.conv1.weight.grad.abs().sum() > 0
    with torch.no_grad():
        predictions = model.eval()(images())
    assert all(prediction.is_continuous for prediction in predictions)


def test_part_head_on_the_dense_trunk():
    torch.manual_seed(0)
    model = build_detection_model(tiny_config("part", part_head="fpn")).train()
    assert model.rpn is None
    assert set(model(images(), [annotations("part")] * 2)) == {"loss_part"}
    with torch.no_grad():
        prediction = model.eval()(images())[0].resize(SIZE)
    assert prediction.part_map.scores.shape == (7, SIZE[1], SIZE[0])


@pytest.mark.parametrize("missing", list(TASKS))
def test_a_task_without_labels_adds_no_loss(missing):
    torch.manual_seed(0)
    present = [key for key in TASKS if key != missing]
    if missing == "detection":  # masks and parts belong to the same records
        present = [key for key in present if key not in ("instance", "part")]
    model = build_detection_model(tiny_config(*TASKS)).train()
    losses = model(images(), [annotations(*present), annotations(*present)])
    assert missing not in {task_of_loss(name).key for name in losses}
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("counts", list(itertools.product((0, 2), repeat=2)))
def test_images_without_objects_are_background(counts):
    torch.manual_seed(0)
    model = build_detection_model(tiny_config(*TASKS)).train()
    losses = model(images(), [annotations(*TASKS, objects=n) for n in counts])
    assert "loss_objectness" in losses and "loss_classifier" in losses
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert ("loss_mask" in losses) == (sum(counts) > 0)
    sum(losses.values()).backward()


def test_nothing_annotated_gives_no_loss():
    model = build_detection_model(tiny_config(*TASKS)).train()
    assert model(images(), [annotations(), annotations()]) == {}


def test_upstream_targets_are_accepted():
    torch.manual_seed(0)
    model = build_detection_model(tiny_config("detection", "instance")).train()
    targets = [annotations("detection", "instance").instances for _ in range(2)]
    assert "loss_mask" in model(images(), targets)


def test_targets_are_checked_at_the_door():
    model = build_detection_model(tiny_config("detection")).train()
    with pytest.raises(ValueError, match="needs targets"):
        model(images())
    with pytest.raises(ValueError, match="2 images but 1 targets"):
        model(images(), [annotations("detection")])
    with pytest.raises(ValueError, match="target 1 is for an image of"):
        model(images(), [annotations("detection"), ImageAnnotations((10, 10))])
    with pytest.raises(TypeError, match="target 0 must be"):
        model(images(), [{}, {}])


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ((), "no task is turned on"),
        (("instance",), r"MODEL\.DETECTION_ON is False, but needed for MODEL\.MASK_ON; turn it on"),
        (
            ("keypoint", "part"),
            r'is False, but needed for MODEL\.KEYPOINT_ON and MODEL\.PART_ON with MODEL\.PART_HEAD "roi"; turn it on',
        ),
    ],
)
def test_contradicting_tasks_are_refused(on, message):
    with pytest.raises(UserError, match=message):
        build_detection_model(tiny_config(*on))


def test_a_retinanet_has_no_regions_for_masks():
    config = tiny_config("detection", "instance", "semantic")
    config.MODEL.RETINANET_ON = True
    with pytest.raises(UserError, match=r"none of the regions .* needed for MODEL\.MASK_ON; turn it off"):
        build_detection_model(config)


def test_each_loss_of_a_mixed_batch_is_that_of_the_images_that_carry_its_task():
    config = tiny_config(*TASKS)
    # every region takes part, whatever the draw, and no image takes another's proposals
    for node in (config.MODEL.RPN, config.MODEL.ROI_HEADS):
        node.BATCH_SIZE_PER_IMAGE, node.POSITIVE_FRACTION = 4096, 1.0
    config.MODEL.RPN.FPN_POST_NMS_PER_BATCH = False
    torch.manual_seed(0)
    model = build_detection_model(config).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # nor its statistics
    batch = images(2)
    regions = annotations("detection", "instance", "keypoint")
    regions.known_labels = torch.tensor([True, True, True, False])
    maps = annotations("semantic", "boundary", "occlusion", "classification")

    def losses_and_gradients(images, targets):
        model.zero_grad()
        losses = model(images, targets)
        sum(losses.values()).backward()
        gradients = {name: p.grad.clone() for name, p in model.backbone.named_parameters() if p.grad is not None}
        return losses, gradients

    alone = [
        losses_and_gradients(to_image_list([batch.tensors[k, :, : SIZE[1], : SIZE[0]]], 32), [target])
        for k, target in enumerate((regions, maps))
    ]
    assert {task_of_loss(name).key for name in alone[0][0]} == {"detection", "instance", "keypoint"}
    assert {task_of_loss(name).key for name in alone[1][0]} == {"semantic", "boundary", "occlusion", "classification"}
    losses, gradients = losses_and_gradients(batch, [regions, maps])
    torch.testing.assert_close(losses, {**alone[0][0], **alone[1][0]})
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, sum(each[name] for _, each in alone if name in each), atol=1e-5, rtol=1e-3)


def test_bytes_give_the_losses_of_the_floats_that_they_become():
    config = tiny_config(*TASKS)
    torch.manual_seed(0)
    model = build_detection_model(config).train()
    pixels = [torch.randint(0, 256, (SIZE[1], SIZE[0], 3), dtype=torch.uint8).permute(2, 0, 1) for _ in range(2)]
    normalize = Normalize(config.INPUT.PIXEL_MEAN, config.INPUT.PIXEL_STD, config.INPUT.TO_BGR255)
    floats = [normalize(image.float().div(255))[0] for image in pixels]
    targets = [annotations(*TASKS), annotations(*TASKS)]

    def losses(images):
        torch.manual_seed(1)
        return model(to_image_list(images, 32), targets)

    ours, theirs = losses(pixels), losses(floats)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-5), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_type_predicts_in_that_type(dtype):
    config = cfg.clone()
    config.merge_from_list(TINY.split())
    config.merge_from_list(["MODEL.MASK_ON", True])
    torch.manual_seed(0)
    model = build_detection_model(config).eval().to(dtype)
    with torch.no_grad():
        (prediction,) = model(torch.rand(1, 3, 64, 96, dtype=dtype))
    assert len(prediction) == 5 and prediction.get_field("mask").isfinite().all()


def test_a_whole_network_can_be_saved(tmp_path):
    config = cfg.clone()
    config.merge_from_list(TINY.split())
    model = build_detection_model(config).eval()
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(loaded(image)[0].bbox, model(image)[0].bbox)
