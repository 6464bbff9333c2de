"""The module as the detector sees it."""

import copy

import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.rpn import rpn as rpn_module
from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn
from maskrcnn_benchmark.modeling.rpn.utils import patches_of_levels, permute_and_flatten
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.utils.errors import UserError


def fpn_options(*pairs):
    options = cfg.clone()
    options.merge_from_list(
        [
            *("MODEL.RPN.USE_FPN", True, "MODEL.RPN.ANCHOR_STRIDE", (8, 16), "MODEL.RPN.ANCHOR_SIZES", (16, 32)),
            *("MODEL.RPN.STRADDLE_THRESH", -1, "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST", 20),
            *pairs,
        ]
    )
    return options


def batch(n=2, channels=8, height=64, width=96):
    torch.manual_seed(0)
    images = ImageList(torch.rand(n, 3, height, width), [(height, width - 10 * i) for i in range(n)])
    features = [torch.randn(n, channels, height // s, width // s) for s in (8, 16)]
    return images, features


def target(image_size, *boxes):
    height, width = image_size
    instances = BoxList(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), (width, height))
    return ImageAnnotations((width, height), instances=instances)


@pytest.mark.parametrize("name", sorted(registry.RPN_HEADS))
def test_heads_build_from_the_default_config(name):
    head = registry.RPN_HEADS[name](cfg, 64, 10)
    features = [torch.rand(2, 64, 24, 32), torch.rand(2, 64, 12, 16)]
    logits, offsets = head(features)
    assert [tuple(x.shape) for x in logits] == [(2, 10, 24, 32), (2, 10, 12, 16)]
    assert [tuple(x.shape) for x in offsets] == [(2, 40, 24, 32), (2, 40, 12, 16)]


def test_rows_follow_the_anchors():
    layer = torch.arange(2 * 3 * 4.0).reshape(1, 6, 2, 2)  # 3 anchors of 2 values on a 2x2 map
    rows = permute_and_flatten(layer, 3)
    assert rows.shape == (1, 12, 2)
    # Position (0, 0): anchor a has the channels 2a and 2a + 1; then position (0, 1).
    assert rows[0, :4].tolist() == [[0, 4], [8, 12], [16, 20], [1, 5]]


def test_training_gives_losses_and_proposals_with_the_objects():
    images, features = batch()
    rpn = build_rpn(fpn_options(), 8).train()
    targets = [target(images.image_sizes[0], [4, 4, 30, 40]), ImageAnnotations((86, 64))]
    proposals, losses = rpn(images, features, targets)
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg"}
    assert proposals[0].bbox[-1].tolist() == [4, 4, 30, 40]
    assert not proposals[0].bbox.requires_grad
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in rpn.parameters())


def test_a_batch_nobody_looked_at_still_proposes():
    images, features = batch()
    proposals, losses = build_rpn(fpn_options(), 8).train()(
        images, features, [ImageAnnotations((w, h)) for h, w in images.image_sizes]
    )
    assert losses == {}
    assert all(len(p) > 0 for p in proposals)


def test_evaluation_gives_the_best_first_within_the_image():
    images, features = batch()
    rpn = copy.deepcopy(build_rpn(fpn_options(), 8)).eval()
    features = [f.requires_grad_() for f in features]
    proposals, losses = rpn(images, features)
    assert losses == {}
    for proposal, (height, width) in zip(proposals, images.image_sizes):
        assert 0 < len(proposal) <= 20
        assert (proposal.get_field("objectness").diff() <= 0).all()
        assert proposal.bbox.min() >= 0
        assert (proposal.bbox.amax(0)[2:] <= torch.tensor([width - 1.0, height - 1.0])).all()
    sum(p.bbox.sum() for p in proposals).backward()


def test_proposals_as_the_answer():
    images, features = batch()
    rpn = build_rpn(fpn_options("MODEL.RPN_ONLY", True), 8)
    anchors, losses = rpn.train()(images, features, [target(s, [4, 4, 30, 40]) for s in images.image_sizes])
    assert [len(a) for a in anchors] == [(8 * 12 + 4 * 6) * 3] * 2
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg"}
    assert (rpn.eval()(images, features)[0][0].get_field("objectness").diff() <= 0).all()


def test_one_feature_map_with_many_anchors():
    images, features = batch()
    proposals, _ = build_rpn(cfg, 8).eval()(images, features[1:])
    assert len(proposals) == 2
    assert all((p.get_field("objectness").diff() <= 0).all() for p in proposals)
    assert build_rpn(cfg, 8).head.cls_logits.out_channels == 15


def test_half_precision_features_give_single_precision_boxes():
    images, features = batch()
    rpn = build_rpn(fpn_options(), 8).train()
    with torch.autocast("cpu", torch.bfloat16):
        proposals, losses = rpn(images, features, [target(s, [4, 4, 30, 40]) for s in images.image_sizes])
    assert proposals[0].bbox.dtype == torch.float32
    assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())


def test_state_dict_names():
    assert sorted(build_rpn(fpn_options(), 8).state_dict()) == [
        "anchor_generator.cell_anchors.0",
        "anchor_generator.cell_anchors.1",
        "head.bbox_pred.bias",
        "head.bbox_pred.weight",
        "head.cls_logits.bias",
        "head.cls_logits.weight",
        "head.conv.bias",
        "head.conv.weight",
    ]


def test_same_seed_same_losses():
    images, features = batch()
    rpn = build_rpn(fpn_options("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 8), 8).train()
    targets = [target(s, [4, 4, 30, 40]) for s in images.image_sizes]

    def losses(seed):
        torch.manual_seed(seed)
        return [loss.item() for loss in rpn(images, features, targets)[1].values()]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_loss_falls_on_bright_squares():
    torch.manual_seed(0)
    options = fpn_options("MODEL.RPN.ANCHOR_STRIDE", (8,), "MODEL.RPN.ANCHOR_SIZES", (16,), "MODEL.RPN.USE_FPN", False)
    boxes = [[4, 8, 23, 27], [40, 30, 61, 49], [20, 38, 33, 57]]
    images = ImageList(torch.zeros(3, 3, 64, 64), [(64, 64)] * 3)
    for image, (x1, y1, x2, y2) in zip(images.tensors, boxes):
        image[:, y1 : y2 + 1, x1 : x2 + 1] = 1
    targets = [target((64, 64), box) for box in boxes]
    trunk, rpn = nn.Conv2d(3, 32, 16, stride=8, padding=4), build_rpn(options, 32).train()
    optimizer = torch.optim.Adam([*trunk.parameters(), *rpn.parameters()], lr=5e-3)
    history = []
    for _ in range(40):
        losses = rpn(images, [trunk(images.tensors)], targets)[1]
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append([losses["loss_objectness"].item(), losses["loss_rpn_box_reg"].item()])
    first, last = torch.tensor(history[:3]).mean(0), torch.tensor(history[-3:]).mean(0)
    assert (last < 0.5 * first).all(), (first, last)
    best = [p.bbox[0] for p in rpn.eval()(images, [trunk(images.tensors)])[0]]
    assert all((b - torch.tensor(t)).abs().max() < 6 for b, t in zip(best, torch.tensor(boxes).tolist()))


@pytest.mark.parametrize(
    "pairs, message",
    [
        (("MODEL.RPN.RPN_HEAD", "SingleConvHead"), "MODEL.RPN.RPN_HEAD.*SingleConvRPNHead"),
    ],
)
def test_a_wrong_option_is_the_users_error(pairs, message):
    with pytest.raises(UserError, match=message):
        build_rpn(fpn_options(*pairs), 8)


def training_step(layout=torch.contiguous_format, mixed=False):
    """Losses, gradients of features and parameters, and proposals of a step that trains few anchors."""
    images, features = batch()
    features = [level.contiguous(memory_format=layout).requires_grad_() for level in features]
    rpn = build_rpn(fpn_options("MODEL.RPN.BATCH_SIZE_PER_IMAGE", 8), 8).train()
    targets = [target(images.image_sizes[0], [4, 4, 30, 40], [50, 10, 95, 63]), target(images.image_sizes[1])]
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        proposals, losses = rpn(images, features, targets)
    gradients = torch.autograd.grad(sum(losses.values()), [*features, *rpn.parameters()])
    return losses, gradients, proposals


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_head_differentiated_at_the_sampled_anchors_learns_the_same(monkeypatch, layout):
    few = training_step(layout)
    monkeypatch.setattr(rpn_module, "POSITIONS_PER_SAMPLE", 10**6)
    everywhere = training_step(layout)
    for one, other in zip(few[:2], everywhere[:2]):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    for one, other in zip(few[2], everywhere[2]):
        assert torch.equal(one.bbox, other.bbox)


def test_in_mixed_precision_every_parameter_learns_though_the_head_ran_without_gradients_before(monkeypatch):
    few = training_step(mixed=True)[1]
    monkeypatch.setattr(rpn_module, "POSITIONS_PER_SAMPLE", 10**6)
    for one, other in zip(few, training_step(mixed=True)[1]):
        assert one.norm() > 0
        torch.testing.assert_close(one.norm(), other.norm(), rtol=0.02, atol=0)


def test_the_head_at_some_positions_predicts_as_everywhere():
    _, features = batch()
    head = registry.RPN_HEADS["SingleConvRPNHead"](cfg, 8, 3)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    everywhere = head(features)
    sizes, places = [], []
    for level in features:
        grid = torch.cartesian_prod(*map(torch.arange, (2, *level.shape[2:])))
        places.append(grid[torch.randperm(len(grid))])
        sizes.append(len(grid))
    patches = patches_of_levels(features, sizes, *torch.cat(places).unbind(1), head.side)
    for some, maps in zip(head.at_patches(patches), everywhere):
        for rows, level, (image, row, column) in zip(some.split(sizes), maps, (p.unbind(1) for p in places)):
            torch.testing.assert_close(rows, level[image, :, row, column], atol=1e-4, rtol=1e-4)
