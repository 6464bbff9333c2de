"""Test-time augmentation per pixel: what is averaged, how each task's output is mirrored back, and what is left."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.transforms import build_byte_transforms
from maskrcnn_benchmark.engine.dense_aug import DenseView, build_test_augmentation, dense_views
from maskrcnn_benchmark.evaluation.evaluator import build_evaluators
from maskrcnn_benchmark.modeling.detector.generalized_rcnn import GeneralizedRCNN
from maskrcnn_benchmark.structures.dense_map import NormalMap, OcclusionMap
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.structures.image_prediction import label_probability
from maskrcnn_benchmark.structures.tensors import FLIP_LEFT_RIGHT
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.errors import UserError

DENSE = ("semantic", "boundary", "occlusion", "classification", "part", "saliency", "normals", "depth")


@pytest.fixture(scope="module")
def small(save_small_network, tmp_path_factory):
    """A network of all tasks, parts per image and with names of the left and the right side."""
    options = ("MODEL.PART_HEAD", "fpn", "DATASETS.PARTS", "person24", "MODEL.ROI_HEADS.DETECTIONS_PER_IMG", 3)
    options += ("MODEL.SALIENCY_ON", True, "MODEL.NORMALS_ON", True, "MODEL.DEPTH_ON", True)
    return save_small_network(tmp_path_factory.mktemp("small"), *options)


def augmented(small, pictures, *options):
    cfg = small.cfg.clone()
    cfg.merge_from_list(["TEST.DENSE_AUG.ENABLED", True, *options])
    with torch.no_grad():
        return build_test_augmentation(cfg, small.model, small.vocabulary)(pictures, "cpu")


def plain(small, picture, scale=1.0, mirrored=False):
    """The network's own prediction on a view."""
    cfg = small.cfg.clone()
    cfg.INPUT.MIN_SIZE_TEST = round(scale * cfg.INPUT.MIN_SIZE_TEST)
    cfg.INPUT.MAX_SIZE_TEST = round(scale * cfg.INPUT.MAX_SIZE_TEST)
    pixels = build_byte_transforms(cfg, is_train=False)(picture)[0]
    pixels = pixels.flip(-1) if mirrored else pixels
    with torch.no_grad():
        (prediction,) = small.model(to_image_list([pixels], cfg.DATALOADER.SIZE_DIVISIBILITY))
    return prediction


def pictures(small, count=2):
    return [Image.open(path).convert("RGB") for path in small.images[:count]]


def maps(prediction, size):
    """{task: scores [C, H, W] or [L]} at a size."""
    return {k: getattr(v, "scores", v) for k, v in prediction.resize(size).outputs.items() if k in DENSE}


def test_the_views():
    cfg = default_cfg.clone()
    assert dense_views(cfg) == [(1.0, False), (1.0, True)]
    cfg.merge_from_list(["TEST.DENSE_AUG.SCALES", (0.5, 1, 1.0), "TEST.DENSE_AUG.H_FLIP", False])
    assert dense_views(cfg) == [DenseView(0.5), DenseView(1.0)]


def test_with_the_plain_view_alone_the_predictions_are_the_networks(small):
    for picture in pictures(small):
        (prediction,), expected = augmented(small, [picture], "TEST.DENSE_AUG.H_FLIP", False), plain(small, picture)
        assert prediction.size == expected.size and prediction.instances.bbox.equal(expected.instances.bbox)
        ours, theirs = maps(prediction, picture.size), maps(expected, picture.size)
        assert set(ours) == set(DENSE) and all(ours[key].equal(theirs[key]) for key in DENSE)


def test_protocols_of_averaged_tasks_say_so(small):
    cfg = small.cfg.clone()
    cfg.merge_from_list(["TEST.DENSE_AUG.ENABLED", True])
    for flip, words in ((True, "; outputs averaged over 2 views of each image"), (False, "")):
        cfg.TEST.DENSE_AUG.H_FLIP = flip
        tasks = [TASKS[key] for key in ("normals", "detection")]
        normals, detection = (plain_ones := build_evaluators(tasks, small.vocabulary)).values()
        before = normals.protocol, detection.protocol
        build_test_augmentation(cfg, small.model, small.vocabulary).name_views(plain_ones)
        assert (normals.protocol, detection.protocol) == (before[0] + words, before[1])


def test_outputs_are_means_of_probabilities_at_the_images_size(small):
    (picture,) = pictures(small, 1)
    options = ("TEST.DENSE_AUG.SCALES", (0.75, 1.0), "TEST.DENSE_AUG.H_FLIP", True)
    (prediction,) = augmented(small, [picture], *options)
    views = [(scale, mirrored) for scale in (0.75, 1.0) for mirrored in (False, True)]
    sums = dict.fromkeys(DENSE, 0)
    flips = list(small.vocabulary.parts.flip_indices)
    assert flips != sorted(flips)
    for scale, mirrored in views:
        of_view = maps(plain(small, picture, scale, mirrored), picture.size)
        if mirrored:
            of_view = {key: x.flip(-1) if x.ndim == 3 else x for key, x in of_view.items()}
            of_view["part"] = of_view["part"][flips]
            of_view["occlusion"] = of_view["occlusion"] * torch.tensor([1.0, -1, 1])[:, None, None]
            of_view["normals"] = of_view["normals"] * torch.tensor([-1.0, 1, 1])[:, None, None]
        for key in ("semantic", "part"):
            of_view[key] = of_view[key].softmax(dim=0)
        of_view["occlusion"][1:] *= of_view["occlusion"][:1]
        sums = {key: sums[key] + of_view[key] for key in DENSE}
    means = {key: value / len(views) for key, value in sums.items()}
    assert prediction.size == picture.size
    ours = maps(prediction, picture.size)
    for key in ("semantic", "part"):
        torch.testing.assert_close(ours[key].softmax(dim=0), means[key])
        assert ours[key].argmax(dim=0).equal(means[key].argmax(dim=0))
    for key in ("boundary", "classification", "saliency", "depth"):
        torch.testing.assert_close(ours[key], means[key])
    torch.testing.assert_close(ours["occlusion"][:1], means["occlusion"][:1])
    torch.testing.assert_close(ours["occlusion"][1:], F.normalize(means["occlusion"][1:], dim=0))
    torch.testing.assert_close(ours["normals"], F.normalize(means["normals"], dim=0))
    probability = label_probability(prediction.resize(picture.size).semantic)
    torch.testing.assert_close(probability, means["semantic"].amax(dim=0))
    for key in DENSE:  # scored and drawn as any other
        TASKS[key].encode(prediction, small.vocabulary)


def test_the_mean_of_depth_is_scaled_as_depth_is(small):
    (prediction,) = augmented(small, pictures(small, 1), "TEST.DENSE_AUG.SCALES", (0.5, 1.0))
    half = prediction.resize([side // 2 for side in prediction.size])
    near, far = (float(each.outputs["depth"].scores.mean()) for each in (prediction, half))
    assert far == pytest.approx(2 * near, rel=0.1)


def test_what_normals_mirror_back_is_what_their_labels_do():
    label = NormalMap(F.normalize(torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0)), dim=0))
    mirrored = label.transpose(FLIP_LEFT_RIGHT).normals
    torch.testing.assert_close(TASKS["normals"].mirror_back(mirrored, None), label.normals)


def test_boxes_are_those_of_the_plain_view_or_of_the_views_of_box_augmentation(small):
    (picture,) = pictures(small, 1)
    options = ("TEST.DENSE_AUG.SCALES", (0.5, 1.0))
    (prediction,) = augmented(small, [picture], *options)
    assert prediction.instances.bbox.equal(plain(small, picture).resize(picture.size).instances.bbox)
    (both,) = augmented(small, [picture], *options, "TEST.BBOX_AUG.ENABLED", True, "TEST.BBOX_AUG.H_FLIP", True)
    assert not both.instances.bbox.equal(prediction.instances.bbox)
    assert both.semantic.scores.equal(prediction.semantic.scores)


def test_of_a_symmetric_image_the_mean_is_symmetric(small):
    half = np.asarray(pictures(small, 1)[0].resize((64, 96)))
    picture = Image.fromarray(np.concatenate([half, half[:, ::-1]], axis=1))
    (prediction,) = augmented(small, [picture])
    for key in ("semantic", "boundary"):
        scores = prediction.outputs[key].scores
        torch.testing.assert_close(scores, scores.flip(-1), rtol=1e-4, atol=1e-5)


def test_what_occlusion_mirrors_back_is_what_its_labels_do():
    edges = torch.zeros(6, 8, dtype=torch.uint8)
    edges[1:5, 2] = 1
    theta = torch.linspace(-3, 3, 48).view(6, 8)
    label = OcclusionMap(edges, torch.stack((theta.sin(), theta.cos())) * edges)
    mirrored = label.transpose(FLIP_LEFT_RIGHT)
    back = TASKS["occlusion"].mirror_back(torch.cat((mirrored.edges[None].float(), mirrored.direction)), None)
    torch.testing.assert_close(back, torch.cat((label.edges[None].float(), label.direction)))


def test_parts_without_names_are_not_mirrored():
    with pytest.raises(UserError, match=r"TEST\.DENSE_AUG\.H_FLIP mirrors parts, whose left and right names"):
        TASKS["part"].mirror_back(torch.zeros(3, 2, 2), None)


def test_an_output_without_a_mean_is_refused(small, monkeypatch):
    class Words:
        def resize(self, size):
            return self

    forward = type(small.model.fpn_heads).forward

    def with_words(self, *arguments):
        outputs, losses = forward(self, *arguments)
        return {**outputs, "semantic": [Words() for _ in outputs["semantic"]]}, losses

    monkeypatch.setattr(type(small.model.fpn_heads), "forward", with_words)
    with pytest.raises(UserError, match=r"the output of the task 'semantic' is a Words, of which there is no mean"):
        augmented(small, pictures(small, 1))


def test_photographs_of_many_megapixels_are_averaged_at_the_networks_size(small, monkeypatch):
    monkeypatch.setattr("maskrcnn_benchmark.engine.dense_aug.MOST_SCORES", 128 * 96)
    (picture,) = pictures(small, 1)
    (prediction,) = augmented(small, [picture.resize((400, 300))])
    width, height = plain(small, picture.resize((400, 300))).size
    assert prediction.outputs["semantic"].scores.shape[1:] == (height, width)
    assert prediction.size == (400, 300)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (torch.nn.Linear(1, 1), "works on GeneralizedRCNN, not on a Linear"),
        (GeneralizedRCNN(torch.nn.Identity(), None), "averages outputs per image, and this network has none"),
    ],
    ids=["foreign", "boxes alone"],
)
def test_networks_without_outputs_per_image_are_refused(small, model, message):
    cfg = small.cfg.clone()
    cfg.TEST.DENSE_AUG.ENABLED = True
    with pytest.raises(UserError, match=message):
        build_test_augmentation(cfg, model)
