"""Gradient aggregations: directions by hand, the law that each method claims, torchjd's aggregators, absent tasks."""

import io
import itertools
import math
import sys

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.utils.errors import UserError

OF_TORCHJD = ("pcgrad", "cagrad", "aligned_mtl", "upgrad", "dualproj", "graddrop")
OWN = ("gradvac", "mgda", "imtl_g", "nash_mtl", "fairgrad", "config")
NAMES = OF_TORCHJD + OWN
DETERMINISTIC = tuple(name for name in NAMES if name not in ("pcgrad", "gradvac", "graddrop"))
SPREADS = st.sampled_from([0, 1, 3])  # lengths within 10^-spread .. 10^spread


@pytest.fixture(scope="module", autouse=True)
def _torchjd():
    pytest.importorskip("torchjd.aggregation")


def aggregation(name, tasks, *options):
    config = cfg.clone()
    config.merge_from_list([f"MULTITASK.{o}" if i % 2 == 0 else o for i, o in enumerate(options)])
    return AGGREGATIONS[name].from_config(config.MULTITASK, list(tasks))


def matrix(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def weights_of(name, gradients, *options):
    """float64 [m], of a method that has seen nothing yet."""
    keys = [f"task {i}" for i in range(len(gradients))]
    return aggregation(name, keys, *options)(gradients @ gradients.T, keys)


def direction(name, gradients, *options):
    """float64 [n]."""
    if name == "graddrop":
        keys = [f"task {i}" for i in range(len(gradients))]
        return aggregation(name, keys)(gradients, keys)
    return weights_of(name, gradients, *options) @ gradients


@st.composite
def random_gradients(draw, spreads=SPREADS, agreeing=False):
    """float64 [m, n], m in 2..6, linearly independent."""
    count, spread = draw(st.integers(2, 6)), draw(spreads)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    gradients = torch.randn(count, count + 4, generator=generator, dtype=torch.float64)
    lengths = 10 ** (spread * (2 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 1))
    return (gradients.abs() if agreeing else gradients) * lengths


def slopes(gradients, joint):
    """How fast each task's loss falls along a direction: cosines [m]."""
    return gradients @ joint / (gradients.norm(dim=1) * joint.norm())


def test_all_twelve_are_registered():
    assert set(AGGREGATIONS) >= set(NAMES)


CONFLICT, AGREEMENT = ((1.0, 0.0), (-2.0, 2.0)), ((1.0, 0.0), (1.0, 1.0))
R2, R8 = math.sqrt(2), math.sqrt(8)
CAGRAD = 0.5 * math.sqrt(1.25)  # c times the norm of the mean, which is (-1/2, 1) and (1, 1/2)
IMTL = 2 / (2.5 + 1.5 * R2), 2.0
CONFIG = (1 + 2 * R2) / (4 + 2 * R2), (1 + R2) / (4 - 2 * R2)
NASH = 2 / (1 + 1 / R8), 2 / (1 + 1 / R2)
BY_HAND = {  # with the gradients above
    "pcgrad": ((0.5, 2.5), (2, 1)),  # (1, 0) + (-2, 2) / 4 and (-2, 2) + 2 (1, 0)
    "gradvac": ((0.5, 2.5), (2, 1)),
    "upgrad": ((0.5, 2.5), (2, 1)),
    "dualproj": ((0, 2), (2, 1)),  # the sum (-1, 2), without what (1, 0) is against
    "mgda": ((8 / 13, 12 / 13), (2, 0)),  # twice the foot of the perpendicular on the line between them; an end of it
    "cagrad": ((-1 + 2 * CAGRAD, 2), (2 + 2 * CAGRAD, 1)),  # the first is the worse off: the mean, moved towards it
    "imtl_g": ((IMTL[0], IMTL[0] * (1 + R2)), (IMTL[1], IMTL[1] * (R2 - 1))),  # on the line between the unit vectors
    "config": ((CONFIG[0], CONFIG[0] * (1 + R2)), (CONFIG[1], CONFIG[1] * (R2 - 1))),
    "nash_mtl": ((NASH[0] * (1 - 2 / R8), NASH[0] * 2 / R8), (NASH[1] * (1 + 1 / R2), NASH[1] / R2)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_gradients_by_hand(name):
    for gradients, expected in zip((CONFLICT, AGREEMENT), BY_HAND[name]):
        assert direction(name, matrix(*gradients)).tolist() == pytest.approx(list(expected), abs=1e-6)


def test_aligned_mtl_by_hand():
    # a symmetric positive matrix has the identity as its nearest rotation, and both have 1 as smallest singular value
    assert direction("aligned_mtl", matrix((2.0, 1.0), (1.0, 2.0))).tolist() == pytest.approx([1, 1])
    assert direction("aligned_mtl", matrix((2.0, -1.0), (-1.0, 2.0))).tolist() == pytest.approx([1, 1])


def test_fairgrad_by_hand():
    # orthogonal gradients: |g|^2 w = w^(-1/2), w = |g|^(-4/3)
    assert weights_of("fairgrad", matrix((8.0, 0.0), (0.0, 1.0))).tolist() == pytest.approx([2 / 17, 32 / 17])
    for gradients in (CONFLICT, AGREEMENT):
        gramian = (matrix(*gradients) @ matrix(*gradients).T).numpy()

        def unfair(first, gramian=gramian):
            w = np.array([first, 1 - first])
            return (gramian @ w * np.sqrt(w)) @ [1, -1]

        first = scipy.optimize.brentq(unfair, 1e-9, 1 - 1e-9, xtol=1e-14)
        assert weights_of("fairgrad", matrix(*gradients)).tolist() == pytest.approx([2 * first, 2 - 2 * first])
        nash = weights_of("nash_mtl", matrix(*gradients))
        torch.testing.assert_close(weights_of("fairgrad", matrix(*gradients), "FAIRGRAD.ALPHA", 1.0), nash)


def test_graddrop_takes_one_sign_of_each_entry_by_its_share():
    torch.manual_seed(0)
    entries = 4000
    joint = direction("graddrop", torch.cat([matrix(*CONFLICT)] * entries, 1)).view(entries, 2)
    assert set(joint[:, 0].tolist()) == {1.0, -2.0} and set(joint[:, 1].tolist()) == {2.0}
    assert (joint[:, 0] == 1).double().mean().item() == pytest.approx(1 / 3, abs=0.03)
    assert direction("graddrop", matrix((1.0, 0.0), (1.0, 0.0))).tolist() == [2.0, 0.0]


def test_gradvac_raises_a_cosine_to_its_running_mean():
    method = aggregation("gradvac", "ab", "GRADVAC.BETA", 0.5)
    gradients = matrix((1.0, 0.0), (1.0, 1.0))  # cosine 0.707, of which the mean takes half
    assert (method(gradients @ gradients.T, "ab") @ gradients).tolist() == pytest.approx([2, 1])
    gradients = matrix((3.0, 0.0), (0.0, 2.0))
    weights = method(gradients @ gradients.T, "ab") - 1  # what each takes of the other
    moved = gradients + torch.stack([weights[1] * gradients[1], weights[0] * gradients[0]])
    for i, j in ((0, 1), (1, 0)):
        assert torch.cosine_similarity(moved[i], gradients[j], dim=0).item() == pytest.approx(0.5 / R2)


@given(random_gradients(agreeing=True))
def test_without_conflict_projections_give_the_plain_sum(gradients):
    for name in ("pcgrad", "gradvac", "upgrad", "dualproj"):
        torch.testing.assert_close(weights_of(name, gradients), torch.ones(len(gradients), dtype=torch.float64))


@given(random_gradients())
def test_no_loss_rises_where_a_method_promises_that(gradients):
    for name in ("upgrad", "dualproj", "mgda", "imtl_g", "config", "nash_mtl", "fairgrad"):
        assert slopes(gradients, direction(name, gradients)).min() >= -1e-9, name


@given(random_gradients())
def test_upgrad_and_dualproj_are_the_nearest_points_of_the_dual_cone(gradients):
    def project(vector):
        added, _ = scipy.optimize.nnls(gradients.numpy().T / lengths, -vector.numpy())
        return vector + gradients.T @ torch.from_numpy(added / lengths)

    lengths = gradients.norm(dim=1).numpy()
    size = gradients.norm()
    for name, expected in (
        ("upgrad", sum(project(g) for g in gradients)),
        ("dualproj", project(gradients.sum(0))),
    ):
        torch.testing.assert_close(direction(name, gradients) / size, expected / size, rtol=1e-6, atol=1e-9)


@given(random_gradients())
def test_mgda_is_the_shortest_vector_of_the_hull(gradients):
    weights = weights_of("mgda", gradients)
    assert weights.min() >= 0 and weights.sum().item() == pytest.approx(len(gradients))
    point = weights @ gradients / len(gradients)
    # no step towards another gradient shortens it
    assert ((gradients - point) @ point >= -1e-7 * point.norm() * gradients.norm(dim=1).clamp_min(point.norm())).all()
    shares = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    between = (shares * gradients[0] + (1 - shares) * gradients[1]).norm(dim=1).min()
    assert (direction("mgda", gradients[:2]) / 2).norm() <= between * (1 + 1e-9)


@given(random_gradients())
def test_imtl_g_has_equal_projections_on_unit_gradients(gradients):
    weights = weights_of("imtl_g", gradients)
    projections = gradients @ (weights @ gradients) / gradients.norm(dim=1)
    assert weights.abs().sum().item() == pytest.approx(len(gradients))
    assert (projections / projections.mean()).tolist() == pytest.approx([1] * len(gradients), rel=1e-5)


@given(random_gradients())
def test_config_has_equal_cosines_and_the_length_of_all_projections(gradients):
    joint = direction("config", gradients)
    cosines = slopes(gradients, joint)
    assert (cosines / cosines.mean()).tolist() == pytest.approx([1] * len(gradients), rel=1e-5)
    assert joint.norm().item() == pytest.approx((gradients @ joint).sum().item() / joint.norm().item(), rel=1e-5)


@given(random_gradients(), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_nash_and_fairgrad_solve_their_equation(gradients, alpha):
    for weights, power in (
        (weights_of("nash_mtl", gradients), 1.0),
        (weights_of("fairgrad", gradients, "FAIRGRAD.ALPHA", alpha), 1 / alpha),
    ):
        assert weights.min() > 0 and weights.sum().item() == pytest.approx(len(gradients))
        constant = (gradients @ gradients.T @ weights) * weights**power
        assert (constant / constant.mean()).tolist() == pytest.approx([1] * len(gradients), rel=1e-5)


@given(random_gradients(st.sampled_from([0, 1])), st.sampled_from([0.2, 0.5, 0.9]))
def test_cagrad_is_the_best_for_the_worst_off_within_its_ball(gradients, c):
    mean = gradients.mean(0)
    joint = direction("cagrad", gradients, "CAGRAD.C", c) / len(gradients)
    assert (joint - mean).norm() <= c * mean.norm() * (1 + 1e-5)
    generator = torch.Generator().manual_seed(0)
    tried = torch.randn(300, len(gradients), generator=generator, dtype=torch.float64) @ gradients
    tried = mean + c * mean.norm() * tried / tried.norm(dim=1, keepdim=True)
    best = (torch.cat([tried, mean[None]]) @ gradients.T).min(1).values.max()
    assert (gradients @ joint).min() >= best - 1e-5 * mean.norm() * gradients.norm(dim=1).max()


@given(random_gradients(st.sampled_from([0, 1])))
def test_aligned_mtl_adds_up_gradients_of_condition_number_one(gradients):
    left, singular, right = torch.linalg.svd(gradients, full_matrices=False)
    balanced = singular.min() * left @ right  # orthogonal rows, as long as the smallest singular value
    torch.testing.assert_close(direction("aligned_mtl", gradients), balanced.sum(0))


@given(random_gradients())
def test_the_order_of_tasks_does_not_matter(gradients):
    order = torch.arange(len(gradients)).roll(1)
    for name in DETERMINISTIC:
        torch.testing.assert_close(
            weights_of(name, gradients)[order], weights_of(name, gradients[order]), rtol=1e-3, atol=1e-4, msg=name
        )


@pytest.mark.parametrize("name", ["pcgrad", "gradvac"])
def test_the_order_of_tasks_does_not_matter_in_the_mean_of_drawn_ones(name):
    gradients = matrix((1.0, 0.0, 0.0), (-1.0, 0.5, 0.0), (-0.5, -1.0, 0.3))
    order = [2, 0, 1]
    means = []
    for rows in (gradients, gradients[order]):
        torch.manual_seed(0)
        means.append(torch.stack([weights_of(name, rows) for _ in range(600)]).mean(0))
    torch.testing.assert_close(means[0][order], means[1], rtol=0.05, atol=0.05)


@given(random_gradients(st.just(3)), st.sampled_from([1e-6, 1.0, 1e6]))
def test_lengths_over_six_orders_of_magnitude_give_finite_directions(gradients, unit):
    for name in NAMES:
        assert direction(name, unit * gradients).isfinite().all(), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [((1.0, 2.0), (-1.0, -2.0)), ((1.0, 2.0), (1.0, 2.0)), ((3.0, 0.0),)], ids=str)
def test_dependent_gradients_give_finite_directions(name, rows):
    torch.manual_seed(0)
    joint = direction(name, matrix(*rows))
    assert joint.isfinite().all()
    if len(rows) == 1:
        assert joint.tolist() == pytest.approx([4.5 if name == "cagrad" else 3, 0])  # (1 + c) times a lonely one
    elif rows[0] != rows[1] and name != "graddrop":
        assert joint.tolist() == pytest.approx([0, 0], abs=1e-3)


def torchjds(name):
    """torchjd's aggregator of gradients, and the number that ours is multiplied by beside it."""
    import torchjd.aggregation as theirs
    from torchjd.linalg import QuadprogProjector

    exactly = QuadprogProjector(norm_eps=0.0, reg_eps=0.0)
    return {
        "pcgrad": lambda m: theirs.PCGrad(),
        "cagrad": lambda m: lambda matrix: m * theirs.CAGrad(0.5, 1e-7)(matrix),
        "aligned_mtl": lambda m: lambda matrix: m * theirs.AlignedMTL()(matrix),
        "upgrad": lambda m: lambda matrix: m * theirs.UPGrad(projector=exactly)(matrix),
        "dualproj": lambda m: lambda matrix: m * theirs.DualProj(projector=exactly)(matrix),
        "graddrop": lambda m: theirs.GradDrop(),
        "config": lambda m: theirs.ConFIG(),
    }[name]


@pytest.mark.parametrize("name", ["pcgrad", "cagrad", "aligned_mtl", "upgrad", "dualproj", "graddrop", "config"])
@given(gradients=random_gradients(st.sampled_from([0, 1])))
def test_weights_from_the_gramian_give_torchjds_direction_from_the_gradients(name, gradients):
    torch.manual_seed(0)
    ours = direction(name, gradients)
    torch.manual_seed(0)
    theirs = torchjds(name)(len(gradients))(gradients)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 if name == "cagrad" else 1e-7)


@given(random_gradients(st.just(0)))
def test_solved_here_the_directions_are_still_torchjds(gradients):
    import torchjd.aggregation as theirs

    mgda = direction("mgda", gradients) / len(gradients)
    assert mgda.norm() <= theirs.MGDA(1e-6, 2000)(gradients).norm() * (1 + 1e-9)
    torch.testing.assert_close(mgda, theirs.MGDA(1e-6, 2000)(gradients), rtol=0.1, atol=0.03)
    fair = theirs.FairGrad(2.0)(gradients)
    assert torch.cosine_similarity(direction("fairgrad", gradients), fair, dim=0) > 1 - 1e-5
    equal = theirs.IMTLG()(gradients)
    ours = direction("imtl_g", gradients)
    assert torch.cosine_similarity(ours, equal, dim=0).abs() > 1 - 1e-9
    if weights_of("imtl_g", gradients).min() >= 0:
        torch.testing.assert_close(ours, len(gradients) * equal)


def test_gradvac_of_two_is_torchjds_over_several_steps():
    from torchjd.aggregation import GradVac

    theirs, ours = GradVac(beta=0.5), aggregation("gradvac", "ab")
    generator = torch.Generator().manual_seed(3)
    for _ in range(8):
        gradients = torch.randn(2, 4, generator=generator, dtype=torch.float64) + 0.5
        torch.testing.assert_close(
            ours(gradients @ gradients.T, "ab") @ gradients, theirs(gradients), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
def test_tasks_that_a_step_lacks_do_not_matter(name):
    gradients = matrix((1.0, 0.0, 2.0), (-1.0, 0.5, 0.0), (-0.5, -1.0, 0.3))
    beside, alone = aggregation(name, "abcd"), aggregation(name, "abd")
    for _ in range(3):
        joint = []
        for method in (beside, alone):
            torch.manual_seed(1)
            joint.append(method(gradients if method.elementwise else gradients @ gradients.T, list("abd")))
        assert torch.equal(*joint)


def test_gradvac_keeps_the_means_of_pairs_that_a_step_lacks():
    gradients = matrix((1.0, 0.0, 2.0), (1.0, 0.5, 0.0), (0.5, 1.0, 0.3))
    interrupted, straight = aggregation("gradvac", "abc"), aggregation("gradvac", "abc")
    for method in (interrupted, straight):
        torch.manual_seed(0)
        method(gradients @ gradients.T, list("abc"))
    interrupted(gradients[[2]] @ gradients[[2]].T, ["c"])
    interrupted(gradients[[0, 2]] @ gradients[[0, 2]].T, ["a", "c"])
    opposed = matrix((1.0, 0.0, 2.0), (-1.0, 0.5, 0.0))
    pair = opposed @ opposed.T
    assert torch.equal(interrupted(pair, ["a", "b"]), straight(pair, ["a", "b"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_bit_for_bit(name):
    generator = torch.Generator().manual_seed(0)
    steps = [torch.randn(3, 5, generator=generator, dtype=torch.float64) for _ in range(8)]
    method = aggregation(name, "abc")

    def joined(method, step):
        rows = list(itertools.islice("abc", 2 + step % 2))
        gradients = steps[step][: len(rows)]
        torch.manual_seed(step)
        return method(gradients if method.elementwise else gradients @ gradients.T, rows)

    for step in range(4):
        joined(method, step)
    file = io.BytesIO()
    torch.save(method.state_dict(), file)
    file.seek(0)
    resumed = aggregation(name, "abc")
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for step in range(4, 8):
        assert torch.equal(joined(method, step), joined(resumed, step))


@pytest.mark.parametrize("name", OF_TORCHJD)
def test_without_torchjd_the_extra_is_named(name, monkeypatch):
    for module in ("torchjd", "torchjd.aggregation", "torchjd.linalg"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r'needs torchjd: pip install "maskrcnn-benchmark\[balancing\]"') as error:
        aggregation(name, "ab")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", OWN)
def test_methods_of_our_own_need_no_torchjd(name, monkeypatch):
    for module in ("torchjd", "torchjd.aggregation", "torchjd.linalg"):
        monkeypatch.setitem(sys.modules, module, None)
    assert direction(name, matrix(*CONFLICT)).isfinite().all()


@pytest.mark.parametrize(("name", "solver"), [("upgrad", "quadprog"), ("dualproj", "quadprog"), ("cagrad", "cvxpy")])
def test_without_a_solver_the_extra_is_named(name, solver, monkeypatch):
    monkeypatch.setitem(sys.modules, solver, None)
    with pytest.raises(UserError, match=r"MULTITASK\.AGGREGATION.*\[balancing\]") as error:
        aggregation(name, "ab")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [("gradvac", "GRADVAC.BETA", 1.5), ("fairgrad", "FAIRGRAD.ALPHA", 0.0), ("cagrad", "CAGRAD.C", -0.5)],
)
def test_an_option_out_of_range_is_named(name, option, value):
    with pytest.raises(UserError, match=rf"MULTITASK\.{option} is {value}"):
        aggregation(name, "ab", option, value)


def test_an_unknown_aggregation_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"MULTITASK\.AGGREGATION.*did you mean pcgrad"):
        AGGREGATIONS["pc_grad"]
