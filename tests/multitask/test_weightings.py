"""Loss weightings: two-task quadratics worked out by hand, torchjd's scalarizers, absent tasks, state."""

import io
import math

import numpy as np
import pytest
import scipy.optimize
import torch

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS
from maskrcnn_benchmark.utils.errors import UserError

NAMES = ("fixed", "uncertainty", "dwa", "random", "geometric_mean", "imtl_l", "famo", "gradnorm", "stch", "log", "pbi")
SHORT = ["DWA.PERIOD", 3, "STCH.WARMUP", 2, "PBI.WARMUP", 2]  # methods that average over many steps, over few


def weighting(name, tasks, *options):
    config = cfg.clone()
    given = [*SHORT, *options]
    config.merge_from_list([f"MULTITASK.{o}" if i % 2 == 0 else o for i, o in enumerate(given)])
    return WEIGHTINGS[name].from_config(config.MULTITASK, list(tasks))


def weights_of(module, **values):
    """(scalar, {task: its derivative by the task's loss})."""
    losses = {key: torch.tensor(float(value), requires_grad=True) for key, value in values.items()}
    total = module(losses)
    gradients = torch.autograd.grad(total, list(losses.values()))
    return total.item(), {key: g.item() for key, g in zip(losses, gradients)}


class Quadratics:
    """Tasks c |x - p|^2 that share x in the plane, and what trains them: gradient descent without any state."""

    PLACES = {"a": (1.0, 0.0), "b": (0.0, 2.0), "c": (-1.0, -1.0)}
    SCALES = {"a": 1.0, "b": 3.0, "c": 0.1}

    def __init__(self, module, x=(0.0, 0.0), lr=0.02, scales=SCALES):
        self.module = module
        self.lr = lr
        self.scales = scales
        self.x = torch.tensor(x, requires_grad=True)
        self.iteration = 0

    def losses(self, keys):
        return {key: self.scales[key] * (self.x - torch.tensor(self.PLACES[key])).square().sum() for key in keys}

    def step(self, keys="abc"):
        """One step with the tasks of `keys`; returns the scalar."""
        self.iteration += 1
        torch.manual_seed(self.iteration)
        losses = self.losses(keys)
        total = self.module(losses)
        moved = [self.x, *self.module.learned_parameters()]
        told = {}
        if self.module.learns_from == "gradients":
            _, weights = weights_of(self.module, **{key: loss.item() for key, loss in losses.items()})
            for key, loss in losses.items():
                told[key] = torch.autograd.grad(weights[key] * loss, self.x, retain_graph=True)[0].norm().item()
        for parameter, gradient in zip(moved, torch.autograd.grad(total, moved, allow_unused=True)):
            if gradient is not None:
                parameter.data -= self.lr * gradient
        if self.module.learns_from == "later":
            told = {key: loss.item() for key, loss in self.losses(keys).items()}
        if self.module.learns_from:
            self.module.learn({key: loss.item() for key, loss in losses.items()}, told)
        return total.item()

    def steps(self, count, keys="abc"):
        return [self.step(keys) for _ in range(count)]


def state_of(module, key):
    """What a method's state says of one task: {name: list of numbers}."""
    place, found = module.tasks.index(key), {}
    for name, value in module.state_dict().items():
        if name.endswith("_extra_state"):
            found |= {n: v.tolist() for n, v in value["state"].get(place, {}).items()}
        elif name.endswith(f".{key}"):
            found[name] = value.tolist()
        elif value.shape == (len(module.tasks),):
            found[name] = str(value[place].item())  # as text, nan is nan
    return found


def test_all_eleven_are_registered():
    assert set(WEIGHTINGS) >= set(NAMES)


# At the origin a's loss is 1 and its gradient (-2, 0), b's loss is 12 and its gradient (0, -12).
HALF = 0.5 * math.exp(0.5)  # 1 / (2 e^s), s = -0.5
MEAN = math.sqrt(12)
RATE = 1 / (0.5 / 1 + 0.5 / 12)  # FAMO's c
BY_HAND = {
    "fixed": (13, 1, 1),
    "uncertainty": (13 * HALF - 0.5, HALF, HALF),
    "dwa": (13, 1, 1),
    "geometric_mean": (MEAN, MEAN / 2, MEAN / 24),
    "imtl_l": (13, 1, 1),
    "famo": (RATE * 0.5 * math.log(12), RATE * 0.5, RATE * 0.5 / 12),
    "gradnorm": (13, 1, 1),
    "stch": (math.log(12), 1, 1 / 12),
    "log": (math.log(12), 1, 1 / 12),
    "pbi": (math.log(12), 1, 1 / 12),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_first_step_by_hand(name):
    problem = Quadratics(weighting(name, "ab"))
    scalar = problem.module(problem.losses("ab"))
    scalar.backward()
    total, weight_a, weight_b = BY_HAND[name]
    assert scalar.item() == pytest.approx(total, rel=1e-5)
    assert problem.x.grad.tolist() == pytest.approx([-2 * weight_a, -12 * weight_b], rel=1e-5)


def test_the_plain_sum_ends_at_the_weighted_mean_of_the_optima():
    problem = Quadratics(weighting("fixed", "ab"))
    problem.steps(300, "ab")
    assert problem.x.tolist() == pytest.approx([1 / 4, 3 * 2 / 4], abs=1e-5)


def test_uncertainty_and_imtl_l_learn_the_inverse_of_a_constant_loss():
    for name, best in (("uncertainty", lambda loss: 1 / (2 * loss)), ("imtl_l", lambda loss: 1 / loss)):
        module = weighting(name, "ab")
        optimizer = torch.optim.SGD(module.learned_parameters(), lr=0.1)
        for _ in range(300):
            optimizer.zero_grad()
            module({"a": torch.tensor(2.0), "b": torch.tensor(0.5)}).backward()
            optimizer.step()
        _, weights = weights_of(module, a=2.0, b=0.5)
        assert weights == pytest.approx({"a": best(2.0), "b": best(0.5)}, rel=1e-3)


def test_dynamic_weights_are_a_softmax_of_the_ratio_of_two_periods():
    module = weighting("dwa", "ab", "DWA.PERIOD", 2, "DWA.TEMPERATURE", 0.5)
    for a, b in ((3.0, 1.0), (5.0, 1.0)):  # means 4 and 1
        module.learn({"a": a, "b": b}, {})
    assert weights_of(module, a=1, b=1)[1] == {"a": 1.0, "b": 1.0}
    for a, b in ((1.0, 1.5), (3.0, 0.5)):  # means 2 and 1
        module.learn({"a": a, "b": b}, {})
    first, second = math.exp(0.5 / 0.5), math.exp(1.0 / 0.5)
    expected = {"a": 2 * first / (first + second), "b": 2 * second / (first + second)}
    assert weights_of(module, a=1, b=1)[1] == pytest.approx(expected, rel=1e-6)


def test_random_weights_are_a_softmax_of_normal_numbers_and_sum_to_the_number_of_tasks():
    module, drawn = weighting("random", "abc"), []
    for seed in range(200):
        torch.manual_seed(seed)
        weights = weights_of(module, a=1, b=2, c=3)[1]
        torch.manual_seed(seed)
        powers = torch.randn(3).double().exp()
        assert list(weights.values()) == pytest.approx((3 * powers / powers.sum()).tolist(), rel=1e-5)
        drawn.append(list(weights.values()))
    assert torch.tensor(drawn).mean(0).tolist() == pytest.approx([1, 1, 1], abs=0.15)


def test_smooth_tchebycheff_ends_where_the_relative_losses_are_equal():
    module = weighting("stch", "ab", "STCH.WARMUP", 1, "STCH.MU", 0.01)
    module.learn({"a": 1.0, "b": 4.0}, {})  # the nadir
    module.learn({"a": 9.0, "b": 9.0}, {})  # is complete, and stays
    problem = Quadratics(module, x=(0.5, 0.5), lr=0.003, scales={"a": 1.0, "b": 16.0})
    problem.steps(600, "ab")
    # on the line between the optima, with |x - a|^2 / 1 = 16 |x - b|^2 / 4: twice as far from a as from b
    assert problem.x.tolist() == pytest.approx([1 / 3, 4 / 3], abs=0.01)


def test_smooth_tchebycheff_weighs_by_the_softmax_of_relative_logarithms():
    module = weighting("stch", "ab", "STCH.WARMUP", 2, "STCH.MU", 0.5)
    for a, b in ((1.0, 8.0), (3.0, 12.0)):  # nadir 2 and 10
        module.learn({"a": a, "b": b}, {})
    powers = (4 / 2) ** 2, (5 / 10) ** 2  # exp(log(L / n) / mu)
    total, weights = weights_of(module, a=4, b=5)
    assert total == pytest.approx(2 * 0.5 * math.log(sum(powers)), rel=1e-6)
    assert weights == pytest.approx({"a": 2 * powers[0] / sum(powers) / 4, "b": 2 * powers[1] / sum(powers) / 5})


def test_the_logarithm_brings_every_loss_down_by_its_proportion():
    total, weights = weights_of(weighting("log", "abc"), a=4.0, b=0.5, c=1.0)
    assert total == pytest.approx(math.log(2)) and weights == pytest.approx({"a": 0.25, "b": 2, "c": 1})
    assert weights_of(weighting("log", "abc"), a=4.0, b=5e4)[1]["b"] == pytest.approx(2e-5)


def test_boundary_intersection_ends_where_its_scalar_is_lowest():
    module = weighting("pbi", "ab", "PBI.WARMUP", 1)
    module.learn({"a": 1.0, "b": 4.0}, {})  # the nadir
    module.learn({"a": 9.0, "b": 9.0}, {})  # is complete, and stays
    problem = Quadratics(module, x=(0.5, 0.5), lr=0.001, scales={"a": 1.0, "b": 16.0})
    problem.steps(400, "ab")

    def scalar(x):
        losses = np.array([((x - (1, 0)) ** 2).sum() / 1, 16 * ((x - (0, 2)) ** 2).sum() / 4])
        along = losses @ np.full(2, math.sqrt(0.5))
        return along + 5 * np.linalg.norm(losses - along * math.sqrt(0.5))

    best = scipy.optimize.minimize(scalar, (0.5, 0.5), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}).x
    assert best.tolist() == pytest.approx([1 / 3, 4 / 3], abs=1e-3)  # on the line between the optima, equally far off
    assert problem.x.tolist() == pytest.approx(best.tolist(), abs=0.03)


def test_boundary_intersection_never_raises_a_loss_that_is_ahead():
    module = weighting("pbi", "ab", "PBI.WARMUP", 0)
    total, weights = weights_of(module, a=1.0, b=3.0)
    assert total == pytest.approx(4 + 5 * math.sqrt(2) * math.sqrt(2))  # sqrt(2) (d1 + 5 d2)
    assert weights == {"a": 0.0, "b": pytest.approx(1 + 5)}
    mild = weights_of(weighting("pbi", "ab", "PBI.WARMUP", 0, "PBI.THETA", 0.5), a=1.0, b=3.0)[1]
    assert mild == pytest.approx({"a": 0.5, "b": 1.5})
    assert weights_of(module, a=2.0, b=2.0)[1] == {"a": 1.0, "b": 1.0}  # on the line


def test_boundary_intersection_without_penalty_is_the_sum_of_relative_losses():
    module = weighting("pbi", "ab", "PBI.THETA", 0.0)
    for a, b in ((1.0, 8.0), (3.0, 12.0)):  # nadir 2 and 10
        module.learn({"a": a, "b": b}, {})
    total, weights = weights_of(module, a=4, b=5)
    assert total == pytest.approx(2.5) and weights == pytest.approx({"a": 0.5, "b": 0.1})


def test_famo_moves_its_weights_to_the_task_whose_logarithm_fell_less():
    module = weighting("famo", "ab", "FAMO.LR", 0.1, "FAMO.WEIGHT_DECAY", 0.0)
    module.learn({"a": 1.0, "b": 12.0}, {"a": 0.5, "b": 11.0})
    z = [1 / (1 + math.exp(0.2)), 1 / (1 + math.exp(-0.2))]  # Adam's first step is its rate: logits -0.1 and 0.1
    c = 1 / (z[0] / 1 + z[1] / 12)
    assert weights_of(module, a=1, b=12)[1] == pytest.approx({"a": c * z[0], "b": c * z[1] / 12}, rel=1e-5)


def test_famo_leaves_out_a_loss_that_left_the_numbers_range():
    module, other = weighting("famo", "abc"), weighting("famo", "abc")
    module.learn({"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 0.5, "b": 1.5, "c": math.inf})
    other.learn({"a": 1.0, "b": 2.0}, {"a": 0.5, "b": 1.5})
    assert weights_of(module, a=1, b=2, c=3) == weights_of(other, a=1, b=2, c=3)


def gradnorm_reference(steps, bare_norms, alpha, lr):
    """{task: weight} after steps of {task: loss}, the gradient of L_grad being autograd's, one Adam for each task."""
    keys = list(bare_norms)
    logits = {key: torch.zeros((), dtype=torch.float64, requires_grad=True) for key in keys}
    adams = {key: torch.optim.Adam([logits[key]], lr=lr) for key in keys}
    first = {}
    for losses in steps:
        first = {**losses, **first}
        weights = dict(zip(keys, len(keys) * torch.stack(list(logits.values())).softmax(0)))
        norms = torch.stack([weights[key] * bare_norms[key] for key in losses])
        rates = torch.tensor([loss / first[key] for key, loss in losses.items()], dtype=torch.float64)
        target = (norms.mean() * (rates / rates.mean()) ** alpha).detach()
        (norms - target).abs().sum().backward()
        for key in keys:
            if key in losses:
                adams[key].step()
            logits[key].grad = None
    return dict(zip(keys, (len(keys) * torch.stack(list(logits.values())).softmax(0)).tolist()))


def test_gradnorm_follows_autograds_gradient_of_its_loss():
    module = weighting("gradnorm", "abc", "GRADNORM.ALPHA", 0.7, "GRADNORM.LR", 0.05)
    bare_norms = {"a": 1.0, "b": 7.0, "c": 2.5}
    steps = [{"a": 1.0 / n, "b": 3.0 + 0.1 * n, "c": 2.0 / n**0.5} for n in range(1, 13)]
    del steps[4]["b"], steps[5]["b"], steps[8]["a"]
    for losses in steps:
        weights = weights_of(module, a=1, b=1, c=1)[1]
        module.learn(losses, {key: weights[key] * bare_norms[key] for key in losses})
    expected = gradnorm_reference(steps, bare_norms, 0.7, 0.05)
    assert weights_of(module, a=1, b=1, c=1)[1] == pytest.approx(expected, rel=1e-5)
    assert max(expected.values()) > 1.2


def test_gradnorm_without_pull_makes_gradients_equally_long():
    module = weighting("gradnorm", "ab", "GRADNORM.ALPHA", 0.0)
    for _ in range(500):
        weights = weights_of(module, a=1, b=1)[1]
        module.learn({"a": 1.0, "b": 1.0}, {"a": weights["a"] * 1.0, "b": weights["b"] * 100.0})
    weights = weights_of(module, a=1, b=1)[1]
    assert sum(weights.values()) == pytest.approx(2, rel=1e-5)
    assert math.log(weights["a"] / weights["b"]) == pytest.approx(math.log(100), abs=0.15)


def test_gradnorm_ends_with_a_small_weight_for_a_task_of_a_hundred_times_the_scale():
    problem = Quadratics(weighting("gradnorm", "ab"), lr=1e-3, scales={"a": 1.0, "b": 100.0})
    problem.steps(150, "ab")
    weights = weights_of(problem.module, a=1, b=1)[1]
    assert weights["b"] < weights["a"] / 5


def test_gradnorm_needs_two_gradients_and_takes_a_vanished_loss():
    module = weighting("gradnorm", "abc")
    module.learn({"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 0.0})
    assert weights_of(module, a=1, b=1, c=1)[1] == pytest.approx({"a": 1, "b": 1, "c": 1})
    module.learn({"a": 0.0, "b": 0.0}, {"a": 3.0, "b": 1.0})
    assert all(math.isfinite(weight) for weight in weights_of(module, a=1, b=1, c=1)[1].values())


@pytest.fixture(scope="module")
def scalarization():
    return pytest.importorskip("torchjd.scalarization")


def compare_with(name, theirs, steps=8, after=lambda theirs, losses: None, prepare=lambda module: None):
    """Train the same quadratics by both, and compare what they minimise, its gradients, and where they end."""
    ours, other = Quadratics(weighting(name, "abc", "FAMO.LR", 0.1)), Quadratics(None)
    prepare(ours.module)
    for _ in range(steps):
        values = torch.stack(list(other.losses("abc").values()))
        scalar = theirs(values)
        moved = [other.x, *(theirs.parameters() if name in ("uncertainty", "imtl_l") else [])]
        for parameter, gradient in zip(moved, torch.autograd.grad(scalar, moved)):
            parameter.data -= other.lr * gradient
        after(theirs, torch.stack(list(other.losses("abc").values())))
        assert ours.step() == pytest.approx(scalar.item(), rel=2e-5)
        torch.testing.assert_close(ours.x, other.x, rtol=2e-5, atol=1e-6)


def test_uncertainty_is_torchjds(scalarization):
    theirs = scalarization.UW(3)
    theirs.log_var.data.fill_(-0.5)
    compare_with("uncertainty", theirs)


def test_imtl_l_is_torchjds(scalarization):
    compare_with("imtl_l", scalarization.IMTLL(3))


def test_geometric_mean_is_torchjds(scalarization):
    compare_with("geometric_mean", scalarization.GeometricMean())


def test_dwa_is_torchjds(scalarization):
    count = iter(range(1, 100))
    compare_with(
        "dwa", scalarization.DWA(), 14, after=lambda theirs, _: theirs.step() if next(count) % 3 == 0 else None
    )


def test_famo_is_torchjds(scalarization):
    theirs = scalarization.FAMO(3, lr=0.1)
    compare_with("famo", theirs, after=lambda theirs, later: theirs.update(later))


def test_smooth_tchebycheff_is_torchjds_on_relative_logarithms(scalarization):
    nadir = {"a": 2.0, "b": 5.0, "c": 0.5}

    class OnLogarithms(scalarization.STCH):
        def forward(self, values):
            return 3 * super().forward((values / torch.tensor(list(nadir.values()))).log())

    def prepare(module):
        for _ in range(2):
            module.learn(nadir, {})

    compare_with("stch", OnLogarithms(1.0, weights=torch.ones(3)), prepare=prepare)


def test_boundary_intersection_is_torchjds_where_no_derivative_is_negative(scalarization):
    class OfUnitSum(scalarization.PBI):
        def forward(self, values):
            return math.sqrt(3) * super().forward(values / torch.tensor([2.0, 5.0, 0.5]))

    def prepare(module):
        module.theta = 0.5
        for _ in range(2):
            module.learn({"a": 2.0, "b": 5.0, "c": 0.5}, {})

    compare_with("pbi", OfUnitSum(0.5, torch.ones(3)), prepare=prepare)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_a_step_lacks_keeps_its_state_and_gets_no_weight(name):
    problem = Quadratics(weighting(name, "abc"))
    problem.steps(6)
    before = state_of(problem.module, "c")
    problem.steps(3, "ab")
    assert state_of(problem.module, "c") == before
    assert name in ("fixed", "random", "geometric_mean", "log") or before
    assert list(weights_of(problem.module, b=2.0)[1]) == ["b"]


@pytest.mark.parametrize(
    "name", ["fixed", "uncertainty", "dwa", "geometric_mean", "imtl_l", "famo", "stch", "log", "pbi"]
)
def test_a_task_that_never_comes_leaves_the_others_as_if_they_were_alone(name):
    alone, beside = Quadratics(weighting(name, "ab")), Quadratics(weighting(name, "abc"))
    for keys in ("ab", "ab", "a", "b", "ab", "b", "ab"):
        totals = alone.step(keys), beside.step(keys)
        if name == "dwa":  # its weights sum to the number of all tasks
            beside.x.data.copy_(alone.x.data)
        else:
            assert totals[0] == totals[1] and alone.x.equal(beside.x)
        for key in "ab":
            assert state_of(alone.module, key) == state_of(beside.module, key)


@pytest.mark.parametrize("name", ["dwa", "random", "gradnorm"])
def test_weights_that_sum_to_the_number_of_tasks_do_not_change_when_one_is_absent(name):
    problem = Quadratics(weighting(name, "abc"))
    problem.steps(8)
    torch.manual_seed(0)
    with_all = weights_of(problem.module, a=1, b=2, c=3)[1]
    torch.manual_seed(0)
    without = weights_of(problem.module, a=1, c=3)[1]
    assert without == {"a": with_all["a"], "c": with_all["c"]} and sum(with_all.values()) == pytest.approx(3)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_bit_for_bit(name):
    problem = Quadratics(weighting(name, "abc"))
    for keys in ("abc", "ab", "bc", "abc", "abc"):
        problem.step(keys)
    file = io.BytesIO()
    torch.save(problem.module.state_dict(), file)
    file.seek(0)
    resumed = Quadratics(weighting(name, "abc"), x=problem.x.tolist())
    resumed.module.load_state_dict(torch.load(file, weights_only=True))
    resumed.iteration = problem.iteration
    for keys in ("abc", "c", "ab", "abc", "abc", "bc"):
        assert problem.step(keys) == resumed.step(keys)
    assert problem.x.equal(resumed.x) and not problem.x.equal(torch.zeros(2))
    for key in "abc":
        assert state_of(problem.module, key) == state_of(resumed.module, key)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_another_module_took_over_is_its_own(name):
    problem, other = Quadratics(weighting(name, "abc")), Quadratics(weighting(name, "abc"))
    problem.steps(5)
    other.module.load_state_dict(problem.module.state_dict())
    before = {key: state_of(problem.module, key) for key in "abc"}
    other.steps(5)
    assert {key: state_of(problem.module, key) for key in "abc"} == before


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_of_zero_gives_finite_weights(name):
    problem = Quadratics(weighting(name, "ab"))
    problem.steps(3, "ab")
    _, weights = weights_of(problem.module, a=0.0, b=1.0)
    assert all(math.isfinite(weight) for weight in weights.values())


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("stch", "STCH.MU", 0.0),
        ("stch", "STCH.WARMUP", 0),
        ("pbi", "PBI.THETA", -1.0),
        ("pbi", "PBI.WARMUP", -1),
        ("dwa", "DWA.PERIOD", 0),
        ("dwa", "DWA.TEMPERATURE", 0.0),
        ("famo", "FAMO.LR", -1.0),
        ("famo", "FAMO.WEIGHT_DECAY", -1.0),
        ("gradnorm", "GRADNORM.LR", -1.0),
        ("gradnorm", "GRADNORM.ALPHA", -1.0),
    ],
)
def test_an_option_out_of_range_is_named(name, option, value):
    with pytest.raises(UserError, match=r"MULTITASK\.") as error:
        weighting(name, "ab", option, value)
    assert all(part in str(error.value) for part in option.split(".")) and "\n" not in str(error.value)


def test_an_unknown_weighting_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"MULTITASK\.WEIGHTING.*did you mean uncertainty"):
        WEIGHTINGS["uncertain"]
