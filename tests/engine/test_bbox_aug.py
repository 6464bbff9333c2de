"""Test-time augmentation: where boxes of other views come to lie, and what is left as it was."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from toy_coco import YAML

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.transforms import build_byte_transforms
from maskrcnn_benchmark.engine.bbox_aug import BoxAugmentation, View, build_bbox_aug, views_of
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN
from maskrcnn_benchmark.modeling.detector.pixels import PixelNormalizer
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.errors import UserError


def make_cfg(tmp_path, *options):
    (tmp_path / "toy.yaml").write_text(YAML)
    cfg = default_cfg.clone()
    cfg.merge_from_file(tmp_path / "toy.yaml")
    cfg.merge_from_list(["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 3, "TEST.BBOX_AUG.ENABLED", True, *options])
    return cfg


def picture(width=96, height=80, seed=0):
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)


def network(cfg):
    torch.manual_seed(0)
    return build_detection_model(cfg).eval()


def plain_answers(cfg, model, pictures):
    transform = build_byte_transforms(cfg, is_train=False)
    batch = to_image_list([transform(image)[0] for image in pictures], cfg.DATALOADER.SIZE_DIVISIBILITY)
    with torch.no_grad():
        return model(batch)


def augmented(cfg, model, pictures):
    with torch.no_grad():
        return build_bbox_aug(cfg, model)(pictures, "cpu")


def assert_same(first, second):
    assert first.size == second.size and set(first.fields()) == set(second.fields())
    assert first.bbox.equal(second.bbox)
    for name in ("scores", "labels", "mask"):
        assert first.get_field(name).equal(second.get_field(name)), name
    assert first.get_field("keypoints").keypoints.equal(second.get_field("keypoints").keypoints)


def test_the_views_are_the_originals(tmp_path):
    options = ("TEST.BBOX_AUG.H_FLIP", True, "TEST.BBOX_AUG.SCALES", (40, 90), "TEST.BBOX_AUG.MAX_SIZE", 200)
    views = views_of(make_cfg(tmp_path, *options, "TEST.BBOX_AUG.SCALE_H_FLIP", True))
    assert views == [
        View(64, 128),
        View(64, 128, True),
        View(40, 200),
        View(40, 200, True),
        View(90, 200),
        (90, 200, True),
    ]
    assert views_of(make_cfg(tmp_path, *options)) == [View(64, 128), View(64, 128, True), View(40, 200), View(90, 200)]


CASCADE = ("MODEL.ROI_BOX_HEAD.CASCADE.ENABLED", True, "MODEL.CLS_AGNOSTIC_BBOX_REG", True)


@pytest.mark.parametrize("options", [(), CASCADE], ids=["one box head", "cascade"])
def test_without_further_views_the_answers_are_the_models(tmp_path, options):
    cfg = make_cfg(tmp_path, "MODEL.KEYPOINT_ON", True, *options)
    model = network(cfg)
    pictures = [picture(), picture(80, 96, seed=1), picture(seed=2)]
    expected = plain_answers(cfg, model, pictures)
    assert len(expected[0]) == 8
    for answer, plain in zip(augmented(cfg, model, pictures), expected):
        assert_same(answer, plain)


def test_dense_answers_are_those_of_the_image_itself(tmp_path):
    cfg = make_cfg(tmp_path, "MODEL.SEMANTIC_ON", True, "TEST.BBOX_AUG.H_FLIP", True, "TEST.BBOX_AUG.SCALES", (40,))
    cfg.MODEL.DENSE_TRUNK.CHANNELS = 8
    model = network(cfg)
    (answer,), (plain,) = augmented(cfg, model, [picture()]), plain_answers(cfg, model, [picture()])
    assert answer.semantic.scores.equal(plain.semantic.scores) and answer.size == plain.size
    assert not answer.instances.bbox.equal(plain.instances.bbox)


def test_masks_and_joints_of_joined_boxes_are_read_from_the_image_at_its_normal_size(tmp_path):
    cfg = make_cfg(tmp_path, "MODEL.KEYPOINT_ON", True, "TEST.BBOX_AUG.H_FLIP", True, "TEST.BBOX_AUG.SCALES", (100,))
    model = network(cfg)
    (answer,) = augmented(cfg, model, [picture()])
    images = to_image_list([build_byte_transforms(cfg, is_train=False)(picture())[0]], cfg.DATALOADER.SIZE_DIVISIBILITY)
    batch = model.batch(images)
    with torch.no_grad():
        given = [answer.copy_with_fields(["scores", "labels"])]
        (described,) = model.roi_heads.describe(model.backbone(batch.tensors), given)
    assert_same(answer, described)


def test_on_a_symmetric_image_the_mirrored_views_boxes_are_the_mirrored_boxes(tmp_path):
    cfg = make_cfg(tmp_path, "TEST.BBOX_AUG.H_FLIP", True)
    half = np.asarray(picture(48, 64))
    symmetric = Image.fromarray(np.concatenate([half, half[:, ::-1]], axis=1))  # already of the network's size
    augmentation = build_bbox_aug(cfg, network(cfg))
    select, seen = augmentation.select, []
    augmentation.select = lambda candidates: select(seen.append(candidates) or candidates)
    with torch.no_grad():
        augmentation([symmetric], "cpu")
    ((joined,),) = seen
    count = len(joined) // 2
    first, second = joined.bbox[:count], joined.bbox[count:]
    assert count > 20 and joined.get_field("scores")[:count].equal(joined.get_field("scores")[count:])
    torch.testing.assert_close(second[:, 0], 95 - first[:, 2])
    torch.testing.assert_close(second[:, [1, 3]], first[:, [1, 3]])


RGB_IN_0_1 = PixelNormalizer([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], to_bgr255=False)


class Spot(nn.Module):
    """A detector of bright rectangles, in the place of an RPN that answers with detections."""

    def forward(self, images, features, targets=None):
        found = []
        for pixels, (height, width) in zip(images.tensors, images.image_sizes):
            y, x = torch.nonzero(pixels[0] > 0.5, as_tuple=True)
            boxes = BoxList(
                [[x.min().item(), y.min().item(), x.max().item(), y.max().item()]], (int(width), int(height))
            )
            boxes.add_field("scores", torch.tensor([0.5 + width / 1000]))
            boxes.add_field("labels", torch.tensor([1]))
            found.append(boxes)
        return found, {}


def test_a_box_found_in_any_view_comes_to_lie_where_it_is():
    pixels = np.zeros((80, 120, 3), dtype=np.uint8)
    pixels[20:60, 30:50] = 255
    model = GeneralizedRCNN(nn.Identity(), Spot(), normalize=RGB_IN_0_1).eval()
    views = [View(80, 200), View(80, 200, True), View(160, 400), View(160, 400, True), View(40, 200, True)]
    augmentation = BoxAugmentation(model, views, lambda found: found)
    other = np.ascontiguousarray(pixels[:, ::-1])
    first, second = augmentation([Image.fromarray(pixels), Image.fromarray(other)], "cpu")
    assert first.size == second.size == (120, 80) and len(first) == 5
    for boxes, truth in ((first, [30, 20, 49, 59]), (second, [70, 20, 89, 59])):
        assert boxes.bbox[:2].tolist() == [truth, truth]
        assert (boxes.bbox - torch.tensor(truth)).abs().max() <= 2


def test_a_retinanets_detections_are_joined_and_duplicates_removed(tmp_path):
    cfg = make_cfg(tmp_path, "TEST.BBOX_AUG.H_FLIP", True, "TEST.BBOX_AUG.SCALES", (120,))
    cfg.MODEL.RETINANET_ON = True
    pixels = np.zeros((80, 120, 3), dtype=np.uint8)
    pixels[20:60, 30:50] = 255
    model = GeneralizedRCNN(nn.Identity(), Spot(), normalize=RGB_IN_0_1).eval()
    (answer,) = build_bbox_aug(cfg, model)([Image.fromarray(pixels)], "cpu")
    assert answer.size == (96, 64) and answer.get_field("scores").tolist() == pytest.approx([0.5 + 180 / 1000])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("MODEL.RPN_ONLY", True, "MODEL.MASK_ON", False), "MODEL.RPN_ONLY ends after the proposals"),
        (("MODEL.DETECTION_ON", False, "MODEL.MASK_ON", False, "MODEL.SEMANTIC_ON", True), "DETECTION_ON is False"),
    ],
)
def test_networks_without_detections_are_refused(tmp_path, options, message):
    cfg = make_cfg(tmp_path, *options)
    with pytest.raises(UserError, match=message):
        build_bbox_aug(cfg, network(cfg))


def test_a_model_of_somebody_elses_is_refused(tmp_path):
    with pytest.raises(UserError, match="works on GeneralizedRCNN, not on a Linear"):
        build_bbox_aug(make_cfg(tmp_path), nn.Linear(1, 1))
