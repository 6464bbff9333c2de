"""Task exchanges: their formulas beside plain computations, who gets which gradient, and what the heads read."""

import math
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.fpn_heads.dense_decoder import DenseFeatures
from maskrcnn_benchmark.modeling.fpn_heads.exchange import (
    TASK_EXCHANGES,
    AttentionLayer,
    CrossTaskAttention,
    Exchanged,
    FeaturePropagation,
    GatedMessages,
    MultiScaleDistillation,
    TaskExchange,
    cell_means,
    cell_reading,
)
from maskrcnn_benchmark.modeling.fpn_heads.fpn_heads import CombinedFPNHeads, build_fpn_heads
from maskrcnn_benchmark.multitask.task_gradients import own_parameters
from maskrcnn_benchmark.structures.dense_map import BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks, task_of_loss
from maskrcnn_benchmark.utils.errors import UserError

DOCS = Path(__file__).parents[3] / "docs" / "exchange.md"
EXCHANGES = ("distillation", "attention")
SIZES = [(64, 96), (50, 70)]  # height, width
READERS = ("semantic", "part_map", "fine")


def make_heads(name, *options):
    config = cfg.clone()
    config.merge_from_list(
        [
            *("MODEL.SEMANTIC_ON", True, "MODEL.BOUNDARY_ON", True, "MODEL.OCCLUSION_ON", True),
            *("MODEL.PART_ON", True, "MODEL.PART_HEAD", "fpn", "MODEL.CLASSIFICATION_ON", True),
            *("MODEL.DETECTION_ON", False, "MODEL.SEMANTIC_HEAD.NUM_CLASSES", 5, "MODEL.DENSE_TRUNK.CHANNELS", 16),
            *("MODEL.CLASSIFICATION_HEAD.NUM_CLASSES", 7, "MODEL.EDGE_DECODER.CHANNELS", 8),
            *("MODEL.TASK_EXCHANGE.CHANNELS", 8, "MODEL.TASK_EXCHANGE.GRID", 3, "MODEL.TASK_EXCHANGE.NAME", name),
            *options,
        ]
    )
    torch.manual_seed(0)
    return build_fpn_heads(config, 12, enabled_tasks(config))


def batch(sizes=SIZES):
    torch.manual_seed(1)
    images = to_image_list([torch.randn(3, h, w) for h, w in sizes], 32)
    height, width = images.tensors.shape[-2:]
    return [torch.randn(len(sizes), 12, -(-height // s), -(-width // s)) for s in (4, 8, 16, 32)], images


def annotations(size, *keys):
    height, width = size
    edges = torch.zeros(height, width, dtype=torch.uint8)
    edges[height // 2] = 1
    made = {
        "semantic": SemanticMap(torch.full((height, width), 2, dtype=torch.uint8)),
        "boundary": BoundaryMap(edges),
        "occlusion": OcclusionMap(edges, torch.stack([torch.zeros(height, width), edges.float()])),
    }
    return ImageAnnotations((width, height), **{key: made[key] for key in keys})


def reached(module):
    return {name for name, parameter in module.named_parameters() if parameter.grad is not None}


# The seam -------------------------------------------------------------------------------------------------------------


def test_none_adds_nothing():
    heads = make_heads("none")
    assert heads.exchange is None
    assert not [name for name in heads.state_dict() if "exchange" in name or "initial" in name]


@pytest.mark.parametrize("name", EXCHANGES)
def test_all_other_weights_are_drawn_as_without_an_exchange(name):
    plain, heads = make_heads("none").state_dict(), make_heads(name).state_dict()
    assert all(torch.equal(heads[key], value) for key, value in plain.items())
    added = {key.partition(".")[0] for key in heads.keys() - plain.keys()} - {"heads"}
    assert added == {"exchange"}
    count = {"distillation": 4, "attention": 1}[name]
    assert {key for key in heads if key.startswith("heads.semantic.initial")} == {
        f"heads.semantic.initial.{number}.predict.{kind}" for number in range(count) for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_head_reads_its_own_features_and_those_on_the_pyramid_read_it(name):
    heads, (pyramid, images) = make_heads(name).eval(), batch()
    features = heads.features(pyramid, images.tensors, images.image_sizes)
    made = heads.exchange(features)
    assert tuple(made.refined) == heads.exchange.readers == READERS
    for reader in ("semantic", "part_map"):
        read = features.read_by(heads.heads[reader])
        torch.testing.assert_close(read.dense, made.refined[reader])
        assert read.dense.shape == features.dense.shape and read.fine is features.fine
    assert features.read_by(heads.heads["classes"]) is features
    torch.testing.assert_close(features.fine, heads.edge_decoder(made.refined["fine"], images.tensors))
    outputs, _ = heads(pyramid, images)
    torch.testing.assert_close(
        outputs["semantic"][1].scores, heads.heads["semantic"].predict(made.refined["semantic"])[1]
    )


def test_readers_of_one_kind_have_nothing_to_exchange():
    with pytest.raises(UserError, match=r'is one reader of dense features \(fine\).*or set it to "none"'):
        make_heads("attention", "MODEL.SEMANTIC_ON", False, "MODEL.PART_ON", False)
    with pytest.raises(UserError, match="there is no reader of dense features"):
        make_heads(
            "attention",
            *("MODEL.SEMANTIC_ON", False, "MODEL.PART_ON", False, "MODEL.BOUNDARY_ON", False),
            *("MODEL.OCCLUSION_ON", False),
        )


def test_an_unknown_exchange_is_named():
    with pytest.raises(UserError, match=r"MODEL.TASK_EXCHANGE.NAME: .*'atention'; did you mean attention\?"):
        make_heads("atention")
    with pytest.raises(UserError, match=r"CHANNELS 8 is no multiple of MODEL.TASK_EXCHANGE.HEADS 3"):
        make_heads("attention", "MODEL.TASK_EXCHANGE.HEADS", 3)


def test_an_exchange_of_ones_own_as_it_stands_in_the_docs(monkeypatch):
    (script,) = re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.setattr(TASK_EXCHANGES, "register", lambda name: partial(monkeypatch.setitem, TASK_EXCHANGES, name))
    exec(compile(script, DOCS.name, "exec"), {"__name__": "own_exchange"})
    heads, (pyramid, images) = make_heads("mean"), batch()
    features = heads.features(pyramid, images.tensors, images.image_sizes)
    mean = sum(heads.exchange.own[k](features.dense) for k in READERS) / 3
    torch.testing.assert_close(features.read_by(heads.heads["part_map"]).dense, features.dense + mean)
    losses = heads(pyramid, images, [annotations(size, "semantic") for size in SIZES])[1]
    assert list(losses) == ["loss_semantic", "loss_semantic_initial0"]


def test_an_exchange_without_initial_maps_has_no_initial_predictions(monkeypatch):
    class Scaled(TaskExchange):
        @classmethod
        def from_config(cls, node, readers, in_channels, channels, norm):
            return cls(readers)

        def forward(self, features):
            return Exchanged({k: features.dense * (2 + i) for i, k in enumerate(self.readers)}, {})

    monkeypatch.setitem(TASK_EXCHANGES, "scaled", Scaled)
    heads, (pyramid, images) = make_heads("scaled"), batch()
    losses = heads(pyramid, images, [annotations(size, "semantic") for size in SIZES])[1]
    assert list(losses) == ["loss_semantic"] and heads.state_dict().keys() == make_heads("none").state_dict().keys()


def test_names_that_an_exchange_needs_are_free():
    heads = make_heads("none")
    heads.heads["semantic"].initial = nn.Identity()
    with pytest.raises(ValueError, match=r"the head 'semantic' \(PixelClassifier\) has an `initial` of its own"):
        CombinedFPNHeads(heads.heads, initial={"semantic": [nn.Identity()]})


# Losses and gradients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXCHANGES)
def test_initial_predictions_are_supervised_where_there_are_labels(name):
    heads, (pyramid, images) = make_heads(name), batch()
    everything = [annotations(size, "semantic", "boundary", "occlusion") for size in SIZES]
    losses = heads(pyramid, images, everything)[1]
    final = ["loss_semantic", "loss_boundary", "loss_occlusion_edge", "loss_occlusion_direction"]
    count = heads.exchange.num_initial
    assert set(losses) == {*final, *(f"{loss}_initial{number}" for loss in final for number in range(count))}
    assert {task_of_loss(f"{loss}_initial{count - 1}").key for loss in final} == {"semantic", "boundary", "occlusion"}
    some = heads(pyramid, images, [annotations(SIZES[0], "semantic"), annotations(SIZES[1])])[1]
    assert set(some) == {"loss_semantic", *(f"loss_semantic_initial{number}" for number in range(count))}
    assert heads(pyramid, images, [annotations(size) for size in SIZES])[1] == {}
    assert len(heads.eval()(pyramid, images)[1]) == 0


def test_the_weight_of_initial_losses():
    (pyramid, images), targets = batch(), [annotations(size, "semantic") for size in SIZES]
    full, half, none = (
        make_heads("attention", "MODEL.TASK_EXCHANGE.INITIAL_LOSS_WEIGHT", weight)(pyramid, images, targets)[1]
        for weight in (1.0, 0.5, 0.0)
    )
    assert half["loss_semantic_initial0"].item() == pytest.approx(0.5 * full["loss_semantic_initial0"].item())
    assert half["loss_semantic"] == full["loss_semantic"] == none["loss_semantic"]
    assert list(none) == ["loss_semantic"]


def test_an_initial_prediction_on_a_coarse_map_is_enlarged():
    """A 1x1 head on the enlarged features: the enlarged logits of the coarse ones."""
    heads, (pyramid, images) = make_heads("distillation"), batch()
    targets = [annotations(size, "semantic") for size in SIZES]
    losses = heads(pyramid, images, targets)[1]
    features = heads.features(pyramid, images.tensors, images.image_sizes)
    head = heads.heads["semantic"]
    coarse = features.initial[head][2]
    assert coarse.shape[-2:] == pyramid[2].shape[-2:]
    logits = nn.functional.interpolate(head.initial[2].predict(coarse), features.dense.shape[-2:], mode="bilinear")
    logits = nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")  # MODEL.DENSE_TRUNK.LOSS_STRIDE
    labels = torch.full((2, *logits.shape[-2:]), 255)
    for row, (height, width) in zip(labels, SIZES):
        row[: height // 2, : width // 2] = 2
    expected = nn.functional.cross_entropy(logits, labels, ignore_index=255)
    torch.testing.assert_close(losses["loss_semantic_initial2"], expected)


@pytest.mark.parametrize("name", EXCHANGES)
def test_gradients_reach_what_a_task_uses_and_nothing_else(name):
    heads, (pyramid, images) = make_heads(name), batch()
    losses = heads(pyramid, images, [annotations(size, "semantic") for size in SIZES])[1]
    losses["loss_semantic"].backward()
    found = reached(heads)
    # the features of tasks without labels are messages, their heads and what they would have read are left alone
    assert {"exchange.out.semantic.weight", "heads.semantic.predict.weight"} <= found
    blocks = "exchange.blocks.0." if name == "distillation" else "exchange.blocks."
    assert {f"{blocks}{reader}.0.weight" for reader in READERS} <= found
    untouched = (
        "exchange.out.part_map",
        "exchange.out.fine",
        "heads.part_map",
        "heads.boundary",
        "heads.semantic.initial",
    )
    assert not [each for each in found if each.startswith((*untouched, "edge_decoder", "heads.classes"))]
    if name == "distillation":
        assert "exchange.messages.0.pairs.semantic.fine.weight" in found
        assert not [each for each in found if ".pairs.part_map." in each or ".pairs.fine." in each]
    grads = {each: p.grad for each, p in heads.named_parameters() if p.grad is not None}
    # but for the squeezed units, few here, that happen to be off
    assert all(grad.abs().sum() > 0 for each, grad in grads.items() if ".excite." not in each)


@pytest.mark.parametrize("name", EXCHANGES)
def test_initial_heads_are_their_tasks_own_and_the_exchange_is_nobodys(name):
    model = nn.Module()
    model.fpn_heads = make_heads(name)
    own = own_parameters(model, TASKS.values())
    names = {id(p): each for each, p in model.named_parameters()}
    of_boundary = {names[id(p)] for p in own["boundary"]}
    assert of_boundary == {each for each in names.values() if each.startswith("fpn_heads.heads.boundary.")}
    assert any(".initial.0." in each for each in of_boundary)
    everybody = {names[id(p)] for parameters in own.values() for p in parameters}
    assert not [each for each in everybody if ".exchange." in each]


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_image_is_predicted_alike_whatever_it_is_batched_with(name):
    """Where norms and convolutions do not see the padding, as next to the left upper corner, nothing else does."""
    heads = make_heads(name, "MODEL.DENSE_TRUNK.NORM", "").eval()
    pyramid, images = batch()
    alone, _ = heads.exchange(heads.features(pyramid, images.tensors, images.image_sizes))
    other = [torch.cat([x[:1], 5 * x[:1]]) for x in pyramid]
    sizes = [SIZES[0], SIZES[0]]
    beside, _ = heads.exchange(heads.features(other, images.tensors, sizes))
    for reader in READERS:
        torch.testing.assert_close(beside[reader][0], alone[reader][0], rtol=1e-4, atol=1e-5)


# Multi-scale distillation ---------------------------------------------------------------------------------------------


def test_gated_messages_by_the_formula():
    messages = GatedMessages("abc", 4)
    own = {k: torch.randn(2, 4, 5, 6) for k in "abc"}
    told = messages(own)
    for k in "abc":
        expected = 0
        for other in set("abc") - {k}:
            gate, message = messages.pairs[k][other].weight.split(4)
            gate, message = (nn.functional.conv2d(own[other], w, padding=1) for w in (gate, message))
            expected = expected + torch.sigmoid(gate) * message
        torch.testing.assert_close(told[k], expected)


def test_what_is_propagated_by_the_formula():
    module = FeaturePropagation("ab", 8, "")
    own = {k: torch.randn(2, 8, 4, 5) for k in "ab"}
    inside = torch.ones(2, 4, 5, dtype=torch.bool)
    inside[1, 2:] = False
    found = module(own, inside)
    every = torch.cat([own["a"], own["b"]], 1)
    logits = module.harmonise(every)
    first = torch.sigmoid(logits[:, :8] - logits[:, 8:])  # the softmax of two
    shared = module.join(torch.cat([first * own["a"], (1 - first) * own["b"]], 1))
    mean = torch.stack([shared[0].mean((1, 2)), shared[1, :, :2].mean((1, 2))])
    for k in "ab":
        squeeze, _, widen = module.excite[k]
        scale = torch.sigmoid(widen(torch.relu(squeeze(mean))))
        torch.testing.assert_close(found[k], own[k] + shared * scale[:, :, None, None])


def test_distillation_without_messages_is_the_dense_features_and_its_own():
    """A[k] of 0 leaves the shared features; V of 0 what a reader makes of the pyramid itself."""
    pyramid, images = batch()
    exchange = MultiScaleDistillation("ab", 12, 16, 8, "")
    features = DenseFeatures(pyramid, images.image_sizes, torch.randn(2, 16, *pyramid[0].shape[-2:]))
    for messages in exchange.messages:
        for receiver in messages.pairs.values():
            for conv in receiver.values():
                nn.init.zeros_(conv.weight[8:].data)
    made = exchange(features)
    joined = made.initial["a"][3]
    for x in reversed(made.initial["a"][:3]):
        joined = x + nn.functional.interpolate(joined, size=x.shape[-2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(made.refined["a"], features.dense + exchange.out["a"](joined))
    nn.init.zeros_(exchange.out["a"].weight)
    assert torch.equal(exchange(features).refined["a"], features.dense)


def test_levels_of_odd_sizes():
    pyramid = [torch.randn(1, 12, h, w) for h, w in ((25, 33), (13, 17), (7, 9), (4, 5))]
    features = DenseFeatures(pyramid, [(98, 130)], torch.randn(1, 16, 25, 33))
    for exchange in (MultiScaleDistillation("ab", 12, 16, 8), CrossTaskAttention("ab", 16, 8, grid=4)):
        assert exchange(features).refined["b"].shape == (1, 16, 25, 33)


# Attention ------------------------------------------------------------------------------------------------------------


def test_attention_is_that_of_its_formula():
    torch.manual_seed(2)
    layer = AttentionLayer(6, 2).double()
    tokens = torch.randn(1, 5, 6, dtype=torch.float64)
    x = tokens[0].numpy()

    def linear(module, value):
        return value @ module.weight.detach().numpy().T + module.bias.detach().numpy()

    def norm(value):
        centred = value - value.mean(1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)

    read = np.zeros_like(x)
    q, k, v = np.split(linear(layer.qkv, norm(x)), 3, axis=1)
    for head in range(2):
        part = slice(3 * head, 3 * head + 3)
        for i in range(5):
            weights = np.array([math.exp(q[i, part] @ k[j, part] / math.sqrt(3)) for j in range(5)])
            read[i, part] = weights / weights.sum() @ v[:, part]
    y = x + linear(layer.join, read)
    hidden = linear(layer.mlp[0], norm(y))
    hidden *= 0.5 * (1 + torch.erf(torch.from_numpy(hidden) / math.sqrt(2)).numpy())
    expected = y + linear(layer.mlp[2], hidden)
    np.testing.assert_allclose(layer(tokens)[0].detach().numpy(), expected, rtol=1e-9)


def test_attention_does_not_care_for_the_order_of_tokens():
    layer, tokens, order = AttentionLayer(8, 2), torch.randn(2, 12, 8), torch.randperm(12)
    torch.testing.assert_close(layer(tokens[:, order]), layer(tokens)[:, order], rtol=1e-4, atol=1e-5)


def test_readers_in_another_order_are_refined_alike():
    torch.manual_seed(0)
    one = CrossTaskAttention("abc", 16, 8, grid=3)
    other = CrossTaskAttention("cab", 16, 8, grid=3)
    other.load_state_dict(one.state_dict())
    features = DenseFeatures([], [(50, 70)], torch.randn(1, 16, 16, 24))
    found, expected = other(features).refined, one(features).refined
    for reader in "abc":
        torch.testing.assert_close(found[reader], expected[reader], rtol=1e-4, atol=1e-5)


def test_a_mirrored_map_is_refined_to_the_mirror_image():
    """Without convolutions over neighbours nothing in the exchange knows left from right."""
    exchange = CrossTaskAttention("ab", 16, 8, "", grid=5)
    for block in exchange.blocks.values():
        block[0].weight.data[..., [0, 2]] = 0  # the middle column alone
    dense = torch.randn(1, 16, 9, 17)
    straight, mirrored = (exchange(DenseFeatures([], [(36, 68)], x)).refined["a"] for x in (dense, dense.flip(-1)))
    torch.testing.assert_close(mirrored, straight.flip(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "extent", "grid"), [(8, 8.0, 4), (8, 6.5, 4), (3, 3.0, 5), (16, 11.25, 7)])
def test_cells_are_means_by_areas_and_are_read_linearly(side, extent, grid):
    means = cell_means(side, torch.tensor([[[extent]]]), grid)[0].numpy()
    fine = 840  # every pixel in so many slices
    slices = (np.arange(side * fine) + 0.5) / fine
    for cell in range(grid):
        within = (slices >= cell * extent / grid) & (slices < (cell + 1) * extent / grid)
        expected = np.bincount(np.arange(side * fine)[within] // fine, minlength=side) / within.sum()
        np.testing.assert_allclose(means[cell], expected, atol=2 / fine)
    reading = cell_reading(side, torch.tensor([[[extent]]]), grid)[0].numpy()
    values = np.random.default_rng(0).normal(size=grid)
    centres = (np.arange(grid) + 0.5) * extent / grid
    np.testing.assert_allclose(reading @ values, np.interp(np.arange(side) + 0.5, centres, values), atol=1e-5)


def test_tokens_do_not_see_the_padding():
    exchange = CrossTaskAttention("ab", 16, 8, "", grid=3)
    dense = torch.randn(1, 16, 12, 16)
    dense[..., 9:] = 0  # as the block's 3x3 convolution would find it beyond the map
    wide = exchange(DenseFeatures([], [(48, 36)], dense)).refined["a"]
    narrow = exchange(DenseFeatures([], [(48, 36)], dense[..., :9])).refined["a"]
    torch.testing.assert_close(wide[..., :9], narrow, rtol=1e-4, atol=1e-5)
