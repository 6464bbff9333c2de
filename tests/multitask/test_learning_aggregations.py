"""Aggregations that learn from step to step: against NumPy, SciPy and torchjd; absent tasks, state, halves."""

import io
import math

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy_network import PARTIAL, WHOLE, ToyNetwork, annotations, images_of

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.multitask.learning_aggregations import project_onto_simplex
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.loss_normalizers import LossNormalizer
from maskrcnn_benchmark.tasks.task import enabled_tasks
from maskrcnn_benchmark.utils.errors import UserError

AT_PARAMETERS = ("moco", "modo", "sdmgrad", "db_mtl", "excess_mtl")
NAMES = (*AT_PARAMETERS, "cr_mogm")
HALVES = ("modo", "sdmgrad")
TASKS = ("semantic", "boundary", "classification")
PLACES = {"semantic": (1.0, 0.0, 0.5), "boundary": (0.0, 2.0, 0.0), "classification": (-1.0, -1.0, 1.0)}
SCALES = {"semantic": 1.0, "boundary": 3.0, "classification": 0.2}
QUICK = ("EXCESS_MTL.WARMUP", 2, "EXCESS_MTL.STEP_SIZE", 0.5, "MODO.GAMMA", 0.5, "MOCO.GAMMA", 1.0)


def options_of(options):
    return [f"MULTITASK.{o}" if i % 2 == 0 else o for i, o in enumerate(options)]


def aggregation(name, tasks, *options):
    config = cfg.clone()
    config.merge_from_list(options_of(options))
    return AGGREGATIONS[name].from_config(config.MULTITASK, list(tasks))


class Quadratics(nn.Module):
    """Losses scale |x - place|^2 of a backbone that is the point x alone: gradients 2 scale (x - place)."""

    def __init__(self, name, *options, lr=0.02, seed=0):
        super().__init__()
        self.backbone = nn.Linear(1, 3, bias=False)
        nn.init.zeros_(self.backbone.weight)
        config = cfg.clone()
        switches = ["MODEL.DETECTION_ON", False, *(o for key in TASKS for o in (f"MODEL.{key.upper()}_ON", True))]
        chosen = ["AGGREGATION", name, "GRADIENTS_AT", "parameters", *QUICK, *options]
        config.merge_from_list([*switches, *options_of(chosen), "SOLVER.ACCUMULATE_STEPS", 2, "SOLVER.SEED", seed])
        self.combiner = build_loss_combiner(config, enabled_tasks(config))
        self.combiner.attach(self)
        self.lr, self.generator = lr, torch.Generator().manual_seed(3)

    @property
    def x(self):
        return self.backbone.weight.detach()[:, 0].numpy().astype(np.float64)

    def step(self, keys=TASKS, noise=0.0, scales=SCALES):
        """A step of two micro-batches; returns ({task: its gradient in the first and second}, what was moved along)."""
        tasks = self.combiner.tasks
        self.zero_grad()
        self.combiner.begin()
        seen = {key: [] for key in keys}
        for _ in range(2):
            point, losses = self.backbone(torch.ones(1)), {}
            for key in keys:
                off = noise * torch.randn(3, generator=self.generator)
                losses[f"loss_{key}"] = scales[key] * (point - torch.tensor(PLACES[key]) - off).square().sum()
                place = np.array(PLACES[key]) + off.numpy().astype(np.float64)
                seen[key].append(2 * scales[key] * (self.x - place))
            half = LossNormalizer(dict.fromkeys(tasks, 0.5), dict.fromkeys(tasks, 0.5), 0.5)
            self.combiner.backward(losses, half)
        self.combiner.finish()
        moved = self.backbone.weight.grad[:, 0].numpy().astype(np.float64)
        with torch.no_grad():
            self.backbone.weight -= self.lr * self.backbone.weight.grad
        return {key: np.array(rows) for key, rows in seen.items()}, moved


def state_of(module, key):
    """What a method keeps for one task: {name: list of numbers}."""
    place, found = module.tasks.index(key), {}
    for name, value in module.state_dict().items():
        if f".{key}_" in name:
            found[name] = value.tolist()
        elif value.shape == (len(module.tasks),):
            found[name] = value[place].item()
    return found


def nearest_on_simplex(values):
    """By definition: the threshold that leaves a sum of 1, found by bisection."""
    values = np.asarray(values, dtype=np.float64)
    threshold = scipy.optimize.brentq(
        lambda t: np.maximum(values - t, 0).sum() - 1, values.min() - 1, values.max(), xtol=1e-14
    )
    return np.maximum(values - threshold, 0)


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=8))
def test_the_projection_onto_the_simplex_is_the_nearest_point(values):
    found = project_onto_simplex(torch.tensor(values, dtype=torch.float64))
    assert found.tolist() == pytest.approx(nearest_on_simplex(values).tolist(), abs=1e-10)


def test_modo_follows_its_formula_on_the_two_halves():
    problem, w = Quadratics("modo", "MODO.RHO", 0.05), np.full(3, 1 / 3)
    for _ in range(12):
        seen, moved = problem.step(noise=0.5)
        first, second = (np.stack([seen[key][half] for key in problem.combiner.tasks]) for half in (0, 1))
        whole = (first + second) / 2
        products = (first @ second.T + second @ first.T) / 2 / np.trace(whole @ whole.T)
        w = nearest_on_simplex(w - 0.5 * (products @ w + 0.05 * w))
        np.testing.assert_allclose(moved, 3 * w @ whole, rtol=1e-4, atol=1e-5)
    assert w.min() < 0.2


def test_modo_without_noise_comes_to_mgdas_weights():
    gradients = torch.tensor([[1.0, 0.0, 0.3], [-2.0, 2.0, 0.0], [0.5, 3.0, 1.0]], dtype=torch.float64)
    gramian = gradients @ gradients.T
    method = aggregation("modo", "abc", "MODO.RHO", 0.0, "MODO.GAMMA", 1.0)
    for _ in range(600):
        weights = method.forward_halves(gramian, gramian, list("abc"))
    torch.testing.assert_close(weights, aggregation("mgda", "abc")(gramian, list("abc")), atol=1e-6, rtol=0)


def test_the_products_of_halves_have_no_bias():
    """Those of a batch with itself do: they add the noise to a task's own."""
    problem = Quadratics("modo", lr=0.0)
    asked, forward = [], problem.combiner.aggregation.forward_halves
    problem.combiner.aggregation.forward_halves = lambda g, p, k: (asked.append((g, p)), forward(g, p, k))[1]
    for _ in range(150):
        problem.step(noise=1.0)
    places = np.array([PLACES[key] for key in problem.combiner.tasks])
    rows = -2 * np.array([[SCALES[key]] for key in problem.combiner.tasks]) * places
    own, crossed = (torch.stack(each).mean(0).numpy() for each in zip(*asked))
    size = np.outer(*[np.linalg.norm(rows, axis=1)] * 2)
    np.testing.assert_allclose(crossed / size, rows @ rows.T / size, atol=0.4)
    assert (np.diag(own / size) > 1.2).all()


def test_sdmgrad_comes_to_the_minimum_that_it_is_defined_by():
    gradients = torch.tensor([[1.0, 0.0, 0.3], [-2.0, 2.0, 0.0], [0.5, 3.0, 1.0]], dtype=torch.float64)
    rows, gramian = gradients.numpy(), gradients @ gradients.T
    method = aggregation("sdmgrad", "abc", "SDMGRAD.LAMBDA", 0.4)
    assert method.forward_halves(gramian, gramian, list("abc")).tolist() == pytest.approx([1, 1, 1])
    for _ in range(60):
        weights = method.forward_halves(gramian, gramian, list("abc"))
    best = scipy.optimize.minimize(
        lambda w: ((w @ rows + 0.4 * rows.mean(0)) ** 2).sum(),
        np.full(3, 1 / 3),
        bounds=[(0, 1)] * 3,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-14},
    ).x
    assert weights.tolist() == pytest.approx((3 * (best + 0.4 / 3) / 1.4).tolist(), abs=1e-4)


def test_sdmgrad_is_torchjds_a_step_later():
    theirs = pytest.importorskip("torchjd.aggregation").SDMGradWeighting
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    products = gradients @ gradients.T
    unit = products.diagonal().sqrt().mean() ** 2
    other = theirs(lr=0.5 * (unit / products.trace()).item(), momentum=0.0, n_iter=20, lambda_=0.3)
    method, before = aggregation("sdmgrad", "abc"), torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(5):
        torch.testing.assert_close(method.forward_halves(products, products, list("abc")), 3 * before)
        before = other(products)
    assert (before - 1 / 3).abs().max() > 0.1


def test_with_a_strong_pull_sdmgrad_is_the_plain_sum():
    gramian = torch.tensor([[1.0, -1.0], [-1.0, 9.0]], dtype=torch.float64)
    method = aggregation("sdmgrad", "ab", "SDMGRAD.LAMBDA", 1e6)
    for _ in range(3):
        weights = method.forward_halves(gramian, gramian, ["a", "b"])
    assert weights.tolist() == pytest.approx([1, 1], abs=1e-5)


def test_a_task_that_one_half_lacks_keeps_its_weight_and_is_trained():
    products = torch.tensor([[1.0, -0.5, math.nan], [-0.5, 3.0, math.nan], [math.nan] * 3], dtype=torch.float64)
    gramian = torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64))
    method, pair = (aggregation("modo", tasks) for tasks in ("abc", "ab"))
    weights = method.forward_halves(gramian, products, list("abc"))
    assert weights[2] == 1 and weights.sum().item() == pytest.approx(3)
    # the trace is that of all three
    alone = pair.forward_halves(2 * gramian[:2, :2] * 0.75, products[:2, :2], list("ab"))
    torch.testing.assert_close(weights[:2], alone)
    nothing = torch.full((3, 3), math.nan, dtype=torch.float64)
    assert torch.equal(method.forward_halves(gramian, nothing, list("abc")), weights)


def moco_reference(rows_by_step, beta, gamma, decay, rho):
    """The directions, all tasks being there in every step."""
    count = len(rows_by_step[0])
    running, w = None, np.full(count, 1 / count)
    for t, rows in enumerate(rows_by_step, 1):
        running = rows.copy() if running is None else running - beta / t**decay * (running - rows)
        inner = running @ running.T
        w = nearest_on_simplex(w - gamma / t**decay * (inner / np.trace(inner) + rho * np.eye(count)) @ w)
        yield count * w @ running


def test_moco_follows_its_formula():
    problem, rows, moved = Quadratics("moco", "MOCO.RHO", 0.05, "MOCO.DECAY", 0.3), [], []
    for _ in range(12):
        seen, direction = problem.step(noise=0.5)
        rows.append(np.stack([seen[key].mean(0) for key in problem.combiner.tasks]))
        moved.append(direction)
    expected = list(moco_reference(rows, 0.5, 1.0, 0.3, 0.05))
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(moved[-1] - 3 * rows[-1].mean(0)).max() > 0.1


def test_the_running_gradient_of_moco_forgets_the_noise():
    problem = Quadratics("moco", "MOCO.DECAY", 1.0, "MOCO.BETA", 1.0, lr=0.0)  # beta 1 / t: the mean of all
    for _ in range(150):
        problem.step(noise=1.0)
    for key in TASKS:
        kept = problem.combiner.aggregation.running.of(key, 0)[:, 0]
        wanted = -2 * SCALES[key] * torch.tensor(PLACES[key])
        torch.testing.assert_close(kept, wanted, atol=0.4 * SCALES[key], rtol=0)


def test_db_mtl_adds_averages_of_the_greatest_length():
    problem, running = Quadratics("db_mtl", "DB_MTL.BETA", 0.8), np.zeros((3, 3))
    for _ in range(8):
        seen, moved = problem.step(noise=0.3)
        running = 0.8 * running + 0.2 * np.stack([seen[key].mean(0) for key in problem.combiner.tasks])
        norms = np.linalg.norm(running, axis=1, keepdims=True)
        np.testing.assert_allclose(moved, (running / norms).sum(0) * norms.max(), rtol=1e-4, atol=1e-5)


def test_db_mtl_with_logarithms_does_not_know_the_unit_of_a_loss():
    small, large = (Quadratics("db_mtl", "WEIGHTING", "log") for _ in range(2))
    for _ in range(5):
        small.step()
        large.step(scales={key: 1000 * scale if key == "boundary" else scale for key, scale in SCALES.items()})
    np.testing.assert_allclose(small.x, large.x, rtol=1e-4)
    assert np.abs(small.x).max() > 0.01


def excess_reference(rows_by_step, step_size, warmup):
    """The weights after each step, all tasks being there in every step."""
    squares, risks, weights = 0.0, [], np.full(len(rows_by_step[0]), 1 / len(rows_by_step[0]))
    for rows in rows_by_step:
        squares = squares + rows**2
        risks.append((rows**2 / np.sqrt(squares + 1e-7)).sum(1))
        if len(risks) > warmup:
            weights = weights * np.exp(step_size * risks[-1] / np.mean(risks[:warmup], 0))
            weights /= weights.sum()
        yield weights


def test_excess_mtl_follows_its_formula():
    problem, rows, moved = Quadratics("excess_mtl"), [], []
    for _ in range(10):
        seen, direction = problem.step(noise=0.3)
        rows.append(np.stack([seen[key].mean(0) for key in problem.combiner.tasks]))
        moved.append(direction)
    weights = list(excess_reference(rows, 0.5, 2))
    np.testing.assert_allclose(moved, [3 * w @ g for w, g in zip(weights, rows)], rtol=1e-4, atol=1e-5)
    assert np.ptp(weights[-1]) > 0.1 and np.ptp(weights[1]) == 0


def test_excess_mtl_is_torchjds():
    theirs = pytest.importorskip("torchjd.aggregation").ExcessMTLWeighting(0.5, 2)
    problem = Quadratics("excess_mtl", "EXCESS_MTL.WARMUP", 2)
    for _ in range(8):
        seen, moved = problem.step(noise=0.3)
        rows = torch.from_numpy(np.stack([seen[key].mean(0) for key in problem.combiner.tasks]))
        np.testing.assert_allclose(moved, (3 * theirs(rows) @ rows).numpy(), rtol=1e-4, atol=1e-5)


def test_excess_mtl_does_not_know_the_unit_of_a_loss():
    """Its estimate is as long as the gradient, and counts beside its first mean."""
    small, large = (Quadratics("excess_mtl", lr=0.0) for _ in range(2))
    for _ in range(6):
        small.step(noise=0.3)
        large.step(noise=0.3, scales={key: 1000 * scale for key, scale in SCALES.items()})
    logits = (problem.combiner.aggregation.logits for problem in (small, large))
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-4)


def test_cr_mogm_averages_the_weights_of_its_method():
    generator = torch.Generator().manual_seed(0)
    method, inner = aggregation("cr_mogm", "abc", "CR_MOGM.ALPHA", 0.7), aggregation("mgda", "abc")
    mean = None
    for _ in range(6):
        gradients = torch.randn(3, 5, generator=generator, dtype=torch.float64)
        now = inner(gradients @ gradients.T, list("abc"))
        mean = now if mean is None else 0.7 * mean + 0.3 * now
        torch.testing.assert_close(method(gradients @ gradients.T, list("abc")), mean)


def test_cr_mogm_is_torchjds():
    theirs = pytest.importorskip("torchjd.aggregation")
    other = theirs.CRMOGMWeighting(theirs.AlignedMTLWeighting(), 0.9)
    method = aggregation("cr_mogm", "abc", "CR_MOGM.OF", "aligned_mtl")
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        gradients = torch.randn(3, 5, generator=generator, dtype=torch.float64)
        gramian = gradients @ gradients.T
        torch.testing.assert_close(method(gramian, list("abc")), 3 * other(gramian))


def test_cr_mogm_draws_where_its_method_does():
    pytest.importorskip("torchjd.aggregation")
    assert [aggregation("cr_mogm", "ab", "CR_MOGM.OF", name).draws for name in ("pcgrad", "mgda")] == [True, False]


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_a_step_lacks_keeps_its_state(name):
    problem = Quadratics(name)
    for _ in range(4):
        problem.step(noise=0.2)
    before = state_of(problem.combiner.aggregation, "classification")
    for _ in range(3):
        problem.step(("semantic", "boundary"), noise=0.2)
    assert before and state_of(problem.combiner.aggregation, "classification") == before


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_never_comes_leaves_the_others_as_if_they_were_alone(name):
    beside, alone = Quadratics(name), Quadratics(name)
    alone.combiner.aggregation = aggregation(name, ("semantic", "boundary"), *QUICK)
    alone.combiner.attach(alone)
    for keys in (("semantic", "boundary"), ("semantic",), ("boundary",), ("semantic", "boundary")) * 2:
        moved = [problem.step(keys, noise=0.2)[1] for problem in (beside, alone)]
        assert np.array_equal(*moved)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_bit_for_bit(name):
    problem, resumed = Quadratics(name), Quadratics(name)
    steps = (TASKS, TASKS[:2], TASKS, TASKS[1:], TASKS)
    for keys in steps:
        problem.step(keys, noise=0.2)
    file = io.BytesIO()
    torch.save((problem.state_dict(), problem.generator.get_state()), file)
    file.seek(0)
    state, noise = torch.load(file, weights_only=True)
    resumed.load_state_dict(state)
    resumed.generator.set_state(noise)
    for keys in steps:
        assert np.array_equal(problem.step(keys, noise=0.2)[1], resumed.step(keys, noise=0.2)[1])
    for key in TASKS:
        assert state_of(problem.combiner.aggregation, key) == state_of(resumed.combiner.aggregation, key)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_losses_times_a_factor_are_joined_with_the_same_weights(name):
    if name == "excess_mtl":
        pytest.skip("its 1e-7 under the root has a unit")
    small, large = (Quadratics(name, lr=0.0) for _ in range(2))
    for _ in range(5):
        one = small.step(noise=0.2)[1]
        other = large.step(noise=0.2, scales={key: 2.0**12 * scale for key, scale in SCALES.items()})[1]
        np.testing.assert_allclose(other, 2.0**12 * one, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_every_method_brings_the_quadratics_down(name):
    problem = Quadratics(name, lr=0.01)

    def losses():
        return [SCALES[key] * ((problem.x - PLACES[key]) ** 2).sum() for key in TASKS]

    before = losses()
    for _ in range(60):
        problem.step(noise=0.1)
    assert sum(losses()) < sum(before)


def gradients_of_halves(level_values, halves):
    """{task: [its gradient of the mean loss over each half's images]} of `ToyNetwork`, straight from autograd."""
    network, found = ToyNetwork(), {key: [] for key in TASKS}
    for images in halves:
        losses = network(images_of(images), [annotations(level_values[i]) for i in images])
        for key in TASKS:
            row = None
            if f"loss_{key}" in losses:
                parts = torch.autograd.grad(
                    losses[f"loss_{key}"], list(network.backbone.body.parameters()), retain_graph=True
                )
                row = torch.cat([part.flatten() for part in parts]).double()
            found[key].append(row)
    return found


@pytest.mark.parametrize(("values", "portions"), [(WHOLE, 2), (WHOLE, 4), (PARTIAL, 2), (PARTIAL, 3)])
def test_halves_are_every_other_micro_batch_and_their_gradients_those_of_means(values, portions):
    network = ToyNetwork()
    config = cfg.clone()
    switches = ["MODEL.DETECTION_ON", False, *(o for key in TASKS for o in (f"MODEL.{key.upper()}_ON", True))]
    config.merge_from_list([*switches, "MULTITASK.AGGREGATION", "modo", "MULTITASK.GRADIENTS_AT", "parameters"])
    config.merge_from_list(["SOLVER.ACCUMULATE_STEPS", portions])
    combiner = build_loss_combiner(config, enabled_tasks(config))
    asked = []
    combiner.aggregation.forward_halves = lambda *given: (asked.append(given), torch.ones(3).double())[1]
    combiner.attach(network)
    bounds = [(4 * i // portions, 4 * (i + 1) // portions) for i in range(portions)]
    targets = [annotations(value) for value in values]
    normalizers = combiner.normalizers_of([targets[a:b] for a, b in bounds])
    combiner.begin()
    for (a, b), normalizer in zip(bounds, normalizers):
        combiner.backward(network(images_of(range(a, b)), targets[a:b]), normalizer)
    combiner.finish()
    ((_, products, keys),) = asked
    halves = [[i for a, b in bounds[start::2] for i in range(a, b)] for start in (0, 1)]
    rows = gradients_of_halves(values, halves)
    for i, one in enumerate(keys):
        for j, other in enumerate(keys):
            four = rows[one] + rows[other]
            if any(row is None for row in four):
                assert products[i, j].isnan()
            else:
                wanted = (rows[one][0] @ rows[other][1] + rows[one][1] @ rows[other][0]) / 2
                torch.testing.assert_close(products[i, j], wanted, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", AT_PARAMETERS)
def test_gradients_at_features_are_refused(name):
    with pytest.raises(UserError, match=r"different images.*set MULTITASK\.GRADIENTS_AT parameters") as error:
        Quadratics(name, "GRADIENTS_AT", "features")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [("SOLVER.ACCUMULATE_STEPS", 1), ("SOLVER.IMS_PER_BATCH", 1)])
@pytest.mark.parametrize("name", HALVES)
def test_a_batch_without_halves_is_refused(name, options):
    config = cfg.clone()
    config.merge_from_list(["MULTITASK.AGGREGATION", name, "MULTITASK.GRADIENTS_AT", "parameters"])
    config.merge_from_list(["SOLVER.ACCUMULATE_STEPS", 2, *options])
    with pytest.raises(UserError, match=rf"{name} compares .* two halves.*SOLVER\.ACCUMULATE_STEPS 2"):
        build_loss_combiner(config, enabled_tasks(config))


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("cr_mogm", "CR_MOGM.ALPHA", 1.0),
        ("cr_mogm", "CR_MOGM.OF", "mgdaa"),
        ("cr_mogm", "CR_MOGM.OF", "cr_mogm"),
        ("cr_mogm", "CR_MOGM.OF", "moco"),
        ("cr_mogm", "CR_MOGM.OF", "modo"),
        ("modo", "MODO.GAMMA", -1.0),
        ("modo", "MODO.RHO", -1.0),
        ("sdmgrad", "SDMGRAD.LAMBDA", -1.0),
        ("sdmgrad", "SDMGRAD.LR", -1.0),
        ("sdmgrad", "SDMGRAD.ITERATIONS", 0),
        ("moco", "MOCO.BETA", 0.0),
        ("moco", "MOCO.GAMMA", -1.0),
        ("moco", "MOCO.DECAY", -1.0),
        ("moco", "MOCO.RHO", -1.0),
        ("db_mtl", "DB_MTL.BETA", 1.0),
        ("excess_mtl", "EXCESS_MTL.STEP_SIZE", -1.0),
        ("excess_mtl", "EXCESS_MTL.WARMUP", 0),
    ],
)
def test_an_option_out_of_range_is_named(name, option, value):
    with pytest.raises(UserError, match=r"MULTITASK\.") as error:
        aggregation(name, "ab", option, value)
    assert all(part in str(error.value) for part in option.split(".")) and "\n" not in str(error.value)
