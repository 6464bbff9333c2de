"""One step's losses become gradients: weights, absent tasks, gradients by task at either place, frozen tasks, looks."""

import math
import weakref

import pytest
import torch
from task_weights import of_tasks
from torch import nn
from toy_network import PARTIAL, TASKS, WHOLE, ToyNetwork, annotations, images_of

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.detector.detectors import compile_backbone
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS, Aggregation
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner, build_loss_combiner
from maskrcnn_benchmark.multitask.task_schedule import TaskSchedule
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS, FixedWeighting
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError

LEVELS = ("features", "parameters")
AT_PARAMETERS = ("MULTITASK.GRADIENTS_AT", "parameters")


class Chosen(Aggregation):
    """Weights that the test names."""

    def __init__(self, weights):
        super().__init__(list(weights))
        self.chosen = weights
        self.asked = []

    def forward(self, gramian, keys):
        self.asked.append((gramian, keys))
        return torch.tensor([self.chosen[key] for key in keys], dtype=torch.float64)


def step(combiner, network, values=WHOLE, portions=1, scaler=None):
    """One step's gradients, without an optimizer; returns what `finish` says."""
    combiner.attach(network)
    network.zero_grad()
    targets = [annotations(v) for v in values]
    count = len(values)
    bounds = [(count * i // portions, count * (i + 1) // portions) for i in range(portions)]
    shares = combiner.normalizers_of([targets[a:b] for a, b in bounds])
    combiner.begin()
    for (first, last), share in zip(bounds, shares):
        losses = network(images_of(range(first, last)), targets[first:last]) if last > first else {}
        combiner.backward(losses, share, scaler)
    return combiner.finish(scaler)


def gradients(network):
    return {name: p.grad for name, p in network.named_parameters()}


def assert_same_gradients(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        assert (one[name] is None) == (other[name] is None), name
        if one[name] is not None:
            torch.testing.assert_close(one[name], other[name], msg=lambda m, name=name: f"{name}: {m}", **tolerance)


def plain(weights=None, values=WHOLE, backbone_weights=None, layout=torch.contiguous_format):
    """Gradients of the sum of weight * loss, the trunk's with weights of their own, straight from autograd."""
    network = ToyNetwork(layout)
    losses = network(images_of(range(len(values))), [annotations(v) for v in values])
    weights = weights or {}
    trunk = {id(p) for p in network.backbone.parameters()}
    for name, loss in losses.items():
        key = name.removeprefix("loss_")
        for parameter in network.parameters():
            if not parameter.requires_grad:
                continue
            (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)
            if gradient is None:
                continue
            weight = weights.get(key, 1.0)
            if id(parameter) in trunk and backbone_weights is not None:
                weight *= backbone_weights[key]
            parameter.grad = gradient * weight + (0 if parameter.grad is None else parameter.grad)
    return gradients(network)


def combiner_of(*options):
    config = cfg.clone()
    config.MODEL.DETECTION_ON = False
    for switch in ("SEMANTIC_ON", "BOUNDARY_ON", "CLASSIFICATION_ON"):
        config.MODEL[switch] = True
    config.merge_from_list(list(options))
    return build_loss_combiner(config, enabled_tasks(config))


def test_fixed_weights_add_up_per_task_and_per_loss():
    weights = {"semantic": 0.5, "occlusion": 2.0}
    combiner = LossCombiner(of_tasks(weights), loss_weights={"loss_occlusion_edge": 3.0})
    losses = {
        name: torch.tensor(value, requires_grad=True)
        for name, value in (("loss_semantic", 4.0), ("loss_occlusion_edge", 1.0), ("loss_occlusion_direction", 5.0))
    }
    combiner.begin()
    combiner.backward(losses)
    combined = combiner.finish()
    assert {name: loss.grad.item() for name, loss in losses.items()} == {
        "loss_semantic": 0.5,
        "loss_occlusion_edge": 6.0,
        "loss_occlusion_direction": 2.0,
    }
    assert {key: value.item() for key, value in combined.tasks.items()} == {"semantic": 2.0, "occlusion": 16.0}
    assert combined.total.item() == 18.0 and combined.weights == weights
    assert {name: value.item() for name, value in combined.losses.items()} == {
        "loss_semantic": 4.0,
        "loss_occlusion_edge": 1.0,
        "loss_occlusion_direction": 5.0,
    }


def test_the_losses_of_stages_count_as_their_sum_with_the_weight_of_their_loss():
    node = cfg.clone()
    node.merge_from_list(["MULTITASK.SINGLE_LOSS_WEIGHTS.LOSS_BOX_REG", 4.0, "MULTITASK.LOSS_WEIGHTS.DETECTION", 2.0])
    combiner = build_loss_combiner(node, enabled_tasks(node))
    parameter = torch.tensor([1.0, 10.0, 100.0], requires_grad=True)
    losses = {"loss_box_reg_stage0": parameter[0], "loss_box_reg_stage1": parameter[1], "loss_classifier": parameter[2]}
    combiner.begin()
    combiner.backward(losses)
    outcome = combiner.finish()
    assert parameter.grad.tolist() == [8, 8, 2] and outcome.tasks["detection"].item() == 2 * (4 * 11 + 100)
    assert {name: loss.item() for name, loss in outcome.losses.items()} == {
        "loss_box_reg_stage0": 1,
        "loss_box_reg_stage1": 10,
        "loss_classifier": 100,
    }
    combiner.begin()
    with pytest.raises(KeyError, match="'loss_stage_stage0' is of no task"):
        combiner.backward({"loss_stage_stage0": parameter.sum()})


def test_fixed_weights_give_autograds_own_gradients():
    network = ToyNetwork()
    weights = {"semantic": 0.5, "boundary": 3.0, "classification": 1.0}
    step(LossCombiner(of_tasks(weights)), network)
    assert_same_gradients(gradients(network), plain(weights))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("values", [WHOLE, PARTIAL, WHOLE[:1]])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_by_task_join_to_what_their_weights_say(level, values, layout):
    chosen = {"semantic": 2.0, "boundary": -0.5, "classification": 0.25}
    network, aggregation = ToyNetwork(layout), Chosen(chosen)
    combined = step(LossCombiner(of_tasks(TASKS), aggregation=aggregation, level=level), network, values)
    assert_same_gradients(gradients(network), plain(values=values, backbone_weights=chosen, layout=layout))
    assert combined.backbone_weights == {key: chosen[key] for key in aggregation.asked[0][1]}


def test_the_gramian_at_parameters_is_that_of_the_trunks_gradients():
    network, aggregation = ToyNetwork(), Chosen(dict.fromkeys(TASKS, 1.0))
    step(
        LossCombiner(
            of_tasks({"semantic": 2.0, "boundary": 1.0, "classification": 1.0}),
            aggregation=aggregation,
            level="parameters",
        ),
        network,
    )
    rows = []
    losses = network(images_of(range(4)), [annotations(v) for v in WHOLE])
    for key in TASKS:
        own = torch.autograd.grad(
            losses[f"loss_{key}"], list(network.backbone.body.parameters()), retain_graph=True, allow_unused=True
        )
        rows.append(torch.cat([g.flatten() for g in own]) * (2.0 if key == "semantic" else 1.0))
    rows = torch.stack(rows).double()
    torch.testing.assert_close(aggregation.asked[0][0], rows @ rows.T, rtol=1e-4, atol=1e-9)


def test_the_gramian_at_features_is_that_of_the_gradients_there():
    network, aggregation = ToyNetwork(), Chosen(dict.fromkeys(TASKS, 1.0))
    step(LossCombiner(of_tasks(TASKS), aggregation=aggregation), network)
    copies = []

    def cut(module, inputs, output):
        copies.extend(f.detach().requires_grad_() for f in output)
        return list(copies)

    network.backbone.register_forward_hook(cut)
    losses = network(images_of(range(4)), [annotations(v) for v in WHOLE])
    rows = []
    for key in TASKS:
        own = torch.autograd.grad(losses[f"loss_{key}"], copies, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([torch.zeros(c.numel()) if g is None else g.flatten() for c, g in zip(copies, own)]))
    rows = torch.stack(rows).double()
    torch.testing.assert_close(aggregation.asked[0][0], rows @ rows.T, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "level"), [(name, level) for name in sorted(AGGREGATIONS) for level in AGGREGATIONS[name].levels]
)
def test_every_aggregation_leaves_the_heads_alone_and_moves_the_trunk(name, level):
    network, options = ToyNetwork(), ("SOLVER.ACCUMULATE_STEPS", 2, "MULTITASK.GRADIENTS_AT", level)
    portions = 2 if AGGREGATIONS[name].halves else 1
    step(combiner_of("MULTITASK.AGGREGATION", name, *options), network, PARTIAL, portions)
    own, wanted = gradients(network), plain(values=PARTIAL)
    heads = [n for n in own if not n.startswith("backbone")]
    assert_same_gradients({n: own[n] for n in heads}, {n: wanted[n] for n in heads})
    trunk = [own[n] for n in own if n.startswith("backbone.body")]
    assert all(g.isfinite().all() for g in trunk) and any(g.abs().max() > 0 for g in trunk)


@pytest.mark.parametrize("name", sorted(WEIGHTINGS))
def test_every_weighting_gives_the_gradients_of_its_weights(name):
    network = ToyNetwork()
    combined = step(combiner_of("MULTITASK.WEIGHTING", name), network, PARTIAL)
    weights = {key: float(weight) for key, weight in combined.weights.items()}
    assert_same_gradients(gradients(network), plain(weights, PARTIAL), rtol=1e-4, atol=1e-6)


def test_a_weighting_that_builds_on_the_plain_sum_is_asked():
    class Half(FixedWeighting):
        def forward(self, losses):
            return super().forward(losses) / 2

    network = ToyNetwork()
    step(LossCombiner(of_tasks(TASKS), Half(TASKS)), network)
    assert_same_gradients(gradients(network), plain(dict.fromkeys(TASKS, 0.5)))


def test_weighting_and_aggregation_work_together():
    chosen = {"semantic": 2.0, "boundary": 0.5, "classification": 1.0}
    network = ToyNetwork()
    combiner = LossCombiner(
        of_tasks(dict.fromkeys(TASKS, 1.0)),
        WEIGHTINGS["geometric_mean"](TASKS),
        Chosen(chosen),
        loss_weights={"loss_boundary": 5.0},
    )
    combined = step(combiner, network)
    weights = {key: float(w) * (5.0 if key == "boundary" else 1.0) for key, w in combined.weights.items()}
    assert_same_gradients(gradients(network), plain(weights, backbone_weights=chosen), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("level", LEVELS)
def test_an_absent_task_does_not_exist(level):
    """Neither in the gradients nor in what the methods are asked."""
    aggregation = Chosen(dict.fromkeys(TASKS, 1.0))
    network = ToyNetwork()
    values = [{"semantic": 2}, {"semantic": 1, "boundary": 3}]
    combined = step(LossCombiner(of_tasks(TASKS), aggregation=aggregation, level=level), network, values)
    assert aggregation.asked[0][1] == ["semantic", "boundary"] and aggregation.asked[0][0].shape == (2, 2)
    assert set(combined.tasks) == set(combined.weights) == {"semantic", "boundary"}
    assert network.classes.weight.grad is None


@pytest.mark.parametrize(
    "options", [(), ("MULTITASK.WEIGHTING", "famo"), ("MULTITASK.AGGREGATION", "upgrad"), ("MULTITASK.LOG_PERIOD", 1)]
)
def test_a_batch_without_any_label_gives_no_gradient(options):
    network = ToyNetwork()
    combined = step(combiner_of(*options), network, [{}, {}])
    assert all(g is None for g in gradients(network).values())
    assert combined.total == 0.0 and combined.tasks == {} and combined.losses == {}


def test_a_task_whose_gradient_is_zero_gets_no_say():
    """MGDA would give it all the weight."""

    class Flat(ToyNetwork):
        def forward(self, images, targets):
            losses = super().forward(images, targets)
            return {**losses, "loss_boundary": 0.0 * losses["loss_boundary"]}

    network = Flat()
    combined = step(combiner_of("MULTITASK.AGGREGATION", "mgda"), network)
    assert set(combined.backbone_weights) == {"semantic", "classification"}
    assert network.backbone.body[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize("options", [{}, {"log_period": 1}, {"aggregation": Chosen(dict.fromkeys(TASKS, 1.0))}])
def test_a_frozen_task_trains_its_head_and_spares_the_trunk(options):
    network = ToyNetwork()
    step(LossCombiner(of_tasks(TASKS), frozen=("boundary",), **options), network)
    spared = {"semantic": 1.0, "boundary": 0.0, "classification": 1.0}
    assert_same_gradients(gradients(network), plain(backbone_weights=spared))


def test_where_all_tasks_are_frozen_the_trunk_has_no_gradient():
    network = ToyNetwork()
    step(LossCombiner(of_tasks(TASKS), frozen=TASKS), network)
    assert network.backbone.body[0].weight.grad is None and network.boundary.weight.grad is not None


@pytest.mark.parametrize("portions", [2, 3, 7])
@pytest.mark.parametrize("values", [WHOLE, PARTIAL])
@pytest.mark.parametrize("options", [(), *(("MULTITASK.AGGREGATION", n, *AT_PARAMETERS) for n in ("upgrad", "moco"))])
def test_portions_add_up_to_the_undivided_batch(portions, values, options):
    whole, divided = ToyNetwork(), ToyNetwork()
    one = step(combiner_of(*options), whole, values)
    other = step(combiner_of(*options), divided, values, portions)
    assert_same_gradients(gradients(divided), gradients(whole), rtol=1e-4, atol=1e-6)
    for name, value in one.losses.items():
        torch.testing.assert_close(other.losses[name], value)
    torch.testing.assert_close(torch.as_tensor(other.total), torch.as_tensor(one.total))


@pytest.mark.parametrize(
    ("method", "level"),
    [
        *((method, level) for method in ("upgrad", "nash_mtl") for level in LEVELS),
        *((method, "parameters") for method in ("modo", "moco", "db_mtl", "excess_mtl")),
    ],
)
def test_a_scaled_loss_gives_scaled_gradients_and_the_same_choice(level, method):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    network, scaled = ToyNetwork(), ToyNetwork()
    options = ("MULTITASK.AGGREGATION", method, "MULTITASK.GRADIENTS_AT", level, "MULTITASK.WEIGHTING", "imtl_l")
    learning = ("SOLVER.ACCUMULATE_STEPS", 2, "MULTITASK.EXCESS_MTL.WARMUP", 1, "MULTITASK.EXCESS_MTL.STEP_SIZE", 1.0)
    combiners = combiner_of(*options, *learning), combiner_of(*options, *learning)
    portions = 2 if AGGREGATIONS[method].halves else 1
    for _ in range(2):
        one = step(combiners[0], network, portions=portions)
        other = step(combiners[1], scaled, portions=portions, scaler=scaler)
    assert other.backbone_weights == pytest.approx(one.backbone_weights, rel=1e-3)
    for parameter in scaled.parameters():
        if parameter.grad is not None:
            parameter.grad /= 1024
    assert_same_gradients(gradients(scaled), gradients(network), rtol=1e-3, atol=1e-6)
    for one, other in zip(*(c.learned_parameters() for c in combiners)):
        torch.testing.assert_close(other.grad / 1024, one.grad)


def test_a_look_sees_the_trunks_gradients_and_changes_nothing():
    looked, network = ToyNetwork(), ToyNetwork()
    combiner = LossCombiner(of_tasks(TASKS), log_period=2)
    assert step(combiner, ToyNetwork()).gradients is None
    seen = step(combiner, looked).gradients
    step(LossCombiner(of_tasks(TASKS)), network)
    assert_same_gradients(gradients(looked), gradients(network))
    losses = network(images_of(range(4)), [annotations(v) for v in WHOLE])
    rows = {
        key: torch.cat(
            [
                g.flatten()
                for g in torch.autograd.grad(
                    losses[f"loss_{key}"], list(network.backbone.body.parameters()), retain_graph=True
                )
            ]
        )
        for key in TASKS
    }
    assert seen.norms == pytest.approx({key: row.norm().item() for key, row in rows.items()}, rel=1e-4)
    for (a, b), cosine in seen.cosines.items():
        assert cosine == pytest.approx(nn.functional.cosine_similarity(rows[a], rows[b], 0).item(), abs=1e-4)
    assert len(seen.cosines) == 3
    combiner.learn(None)
    assert combiner.interactions.summary()["looks"] == [1, 1, 1]


@pytest.mark.parametrize(
    "options", [{"log_period": 1}, {"aggregation": Chosen(dict.fromkeys(TASKS, 1.0)), "level": "parameters"}]
)
def test_gradients_at_parameters_keep_neither_features_gradients_nor_graphs_that_were_gone_through(options):
    """They are what fills the memory, and there are as many as tasks."""
    alive = []

    class Watched(ToyNetwork):
        def forward(self, images, targets):
            self.graphs, self.gradients = [], []
            self.backbone.register_forward_hook(self.watch)
            losses = super().forward(images, targets)
            for name in losses:
                saved = torch.ones(())  # multiplication keeps it for its backward pass
                self.graphs.append(weakref.ref(saved))
                losses[name] = losses[name] * saved.requires_grad_()
            return losses

        def watch(self, module, inputs, features):
            features[0].register_post_accumulate_grad_hook(self.came)

        def came(self, feature):
            alive.append((sum(ref() is not None for ref in self.gradients), [r() is not None for r in self.graphs]))
            self.gradients.append(weakref.ref(feature.grad))

    step(LossCombiner(of_tasks(TASKS), **options), Watched())
    # when the gradient of the second task of this feature map comes, that of the first one and its graph are gone
    assert alive == [(0, [True, True, True]), (0, [False, True, True])]


def test_the_schedule_leaves_losses_out():
    network = ToyNetwork()
    schedule = TaskSchedule(TASKS, start={"boundary": 2}, stop={"semantic": 1})
    combiner = LossCombiner(of_tasks(TASKS), schedule=schedule)
    assert set(step(combiner, network).tasks) == {"semantic", "classification"}
    assert network.boundary.weight.grad is None
    combined = step(combiner, network)
    assert set(combined.tasks) == {"boundary", "classification"} and "loss_semantic" in combined.losses


def test_a_gradient_that_is_not_finite_asks_no_method_and_stays_visible():
    class Infinite(ToyNetwork):
        def forward(self, images, targets):
            losses = super().forward(images, targets)
            return {**losses, "loss_semantic": losses["loss_semantic"] / 0.0}

    network, aggregation = Infinite(), Chosen(dict.fromkeys(TASKS, 1.0))
    combined = step(LossCombiner(of_tasks(TASKS), aggregation=aggregation), network)
    assert aggregation.asked == [] and math.isinf(combined.losses["loss_semantic"])
    assert not network.backbone.body[0].weight.grad.isfinite().all()


def test_a_loss_of_a_task_that_is_off_is_an_error():
    combiner = LossCombiner(of_tasks({"semantic": 1.0}))
    combiner.begin()
    with pytest.raises(KeyError, match="boundary"):
        combiner.backward({"loss_boundary": torch.tensor(1.0, requires_grad=True)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("MULTITASK.WEIGHTING", "magic"), r"MULTITASK\.WEIGHTING: there is no weighting named 'magic'"),
        (("MULTITASK.AGGREGATION", "pcgard"), "did you mean pcgrad"),
        (("MULTITASK.GRADIENTS_AT", "heads"), r"MULTITASK\.GRADIENTS_AT is 'heads'.*features, parameters"),
        (("MULTITASK.FREEZE_TRUNK", ("edges",)), r"MULTITASK\.FREEZE_TRUNK names 'edges'; there are the tasks"),
        (("MULTITASK.LOG_PERIOD", -1), r"MULTITASK\.LOG_PERIOD"),
        (("MULTITASK.START.SEMANTIC", 9, "MULTITASK.STOP.SEMANTIC", 3), r"STOP\.SEMANTIC is 3, before"),
    ],
)
def test_wrong_options_are_the_users_error(options, message):
    with pytest.raises(UserError, match=message):
        combiner_of(*options)


def test_a_network_without_a_trunk_or_with_a_frozen_one_is_the_users_error():
    combiner = combiner_of("MULTITASK.AGGREGATION", "pcgrad")
    with pytest.raises(UserError, match="Linear has none"):
        combiner.attach(nn.Linear(1, 1))
    frozen = ToyNetwork()
    frozen.backbone.requires_grad_(False)
    with pytest.raises(UserError, match="FREEZE_CONV_BODY_AT"):
        combiner.attach(frozen)
    combiner_of().attach(nn.Linear(1, 1))  # the plain sum needs no trunk


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_a_compiled_trunk_gives_the_same_gradients(level, backend):
    options = ("MULTITASK.AGGREGATION", "aligned_mtl", "MULTITASK.GRADIENTS_AT", level, "MULTITASK.LOG_PERIOD", 1)
    compiled, network = ToyNetwork(), ToyNetwork()
    compile_backbone(compiled.backbone, backend=backend)
    one, other = step(combiner_of(*options), compiled), step(combiner_of(*options), network)
    assert_same_gradients(gradients(compiled), gradients(network), rtol=1e-4, atol=1e-6)
    assert one.gradients.cosines == pytest.approx(other.gradients.cosines, abs=1e-4)
