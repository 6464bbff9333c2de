"""Batch norm over all processes: two give what one does, and wait for none, whatever their images are annotated for."""

import pytest
import synchronized
import torch
from synchronized import DIVISIONS, cascade_cfg, detector_cfg, normalized, semantic_cfg, trained
from torch import nn

from maskrcnn_benchmark.engine.data_parallel import average_batch_norm_statistics
from maskrcnn_benchmark.layers import SyncBatchNorm2d
from maskrcnn_benchmark.modeling.detector import build_detection_model


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, in_two_processes):
    """What each of two processes came to."""
    folder = tmp_path_factory.mktemp("synchronized")
    in_two_processes(synchronized.main, str(folder))
    return [torch.load(folder / f"rank{rank}.pth") for rank in (0, 1)]


@pytest.mark.parametrize("name", DIVISIONS)
def test_two_processes_normalise_by_what_both_have(ranks, name):
    parts = DIVISIONS[name]
    whole, gradient, of_parameters, *statistics = normalized(nn.BatchNorm2d(3), parts)
    for rank in (0, 1):
        result, own_gradient, _, *own_statistics = ranks[rank][name]
        torch.testing.assert_close(result, whole.split(parts)[rank])
        torch.testing.assert_close(own_gradient, gradient.split(parts)[rank], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(own_statistics, statistics)
    torch.testing.assert_close(ranks[0][name][2] + ranks[1][name][2], of_parameters, atol=1e-4, rtol=1e-4)


def test_one_process_has_batch_norm():
    ours, theirs = (normalized(norm(3), (2, 5)) for norm in (SyncBatchNorm2d, nn.BatchNorm2d))
    assert all(a.equal(b) for a, b in zip(ours, theirs))
    norm = SyncBatchNorm2d(3)
    assert list(norm.state_dict()) == list(nn.BatchNorm2d(3).state_dict())
    x = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(norm.eval()(x), nn.BatchNorm2d(3).eval()(x))


@pytest.mark.parametrize("portions", [1, 2])
def test_a_network_trains_in_two_processes_as_in_one_also_where_one_knows_nothing_of_its_images(ranks, portions):
    alone = trained(semantic_cfg("BN"), portions=portions)
    for rank in ranks:
        state = rank["semantic", portions]
        assert state.keys() == alone.keys()
        for name in alone:
            torch.testing.assert_close(state[name], alone[name], atol=2e-5, rtol=1e-3, msg=name)


@pytest.mark.parametrize("name", ["detector", "cascade"])
def test_a_detector_waits_for_nobody_and_its_norms_hold_the_same_in_both_processes(ranks, name):
    first, second = (rank[name] for rank in ranks)
    started = build_detection_model(detector_cfg() if name == "detector" else cascade_cfg()).state_dict()
    for name, value in first.items():
        assert value.isfinite().all() and value.equal(second[name]), name
    moved = [name for name in first if name.endswith("running_mean") and not first[name].equal(started[name])]
    assert {name.split(".")[0] for name in moved} == {"backbone", "roi_heads", "fpn_heads"}
    counts = {name: int(value) for name, value in first.items() if name.endswith("num_batches_tracked")}
    # every step in backbone and decoder; in the box head the two that have regions, in the mask head those with objects
    assert {count for name, count in counts.items() if not name.startswith("roi_heads")} == {4}
    assert {count for name, count in counts.items() if name.startswith("roi_heads.box")} == {2}
    assert {count for name, count in counts.items() if name.startswith("roi_heads.mask")} == {2}


def test_gradients_by_task_do_not_go_with_it_in_several_processes(ranks):
    assert "MULTITASK.AGGREGATION, FREEZE_TRUNK, LOG_PERIOD" in ranks[0]["refused"]
    assert "choose BN or GN, or leave those options at their defaults" in ranks[1]["refused"]


def test_running_statistics_that_agree_are_left_as_they_are():
    norm = nn.Sequential(SyncBatchNorm2d(2))
    before = norm[0].running_var.clone()
    average_batch_norm_statistics(norm)
    assert norm[0].running_var.equal(before)
