"""What only a GPU shows: it starts there, computes what the CPU computes, and goes on from a checkpoint."""

import copy
import itertools

import pytest
import torch

from maskrcnn_benchmark.data.build import make_data_loader
from maskrcnn_benchmark.engine.determinism import deterministic_kernels, fix_cublas_workspace
from maskrcnn_benchmark.engine.precision import float32_precision
from maskrcnn_benchmark.engine.random_state import get_random_state, seed_everything, set_random_state
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.experiments.run import train
from maskrcnn_benchmark.experiments.setup import start_run
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.structures.target_batch import TargetBatch
from maskrcnn_benchmark.tasks.task import enabled_tasks

pytestmark = pytest.mark.cuda

CUDA = torch.device("cuda", 0)


@pytest.fixture(scope="module")
def network(save_small_network, tmp_path_factory):
    """A small network of all eight tasks, as `save_small_network` returns it; its batches have two images."""
    return save_small_network(tmp_path_factory.mktemp("cuda"), "SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 4)


@pytest.fixture(scope="module")
def batches(network):
    return [batch[:2] for batch in itertools.islice(make_data_loader(network.cfg), 3)]


def copied(batch):
    """Images and a list of targets that a step may change; the batch stays as it is."""
    images, targets = batch
    return copy.copy(images), [copy.copy(target) for target in targets]


def run_steps(network, batches, device, dtype="float32", tf32=False, hand_over=copied):
    """The `StepOutcome`s of training steps, each from the same random numbers, and the trained model.

    Args:
        hand_over: makes what a step gets of a batch.
    """
    torch.manual_seed(0)
    model = build_detection_model(network.cfg, network.vocabulary)
    model.load_state_dict(network.model.state_dict())
    model.to(device).train()
    combiner = build_loss_combiner(network.cfg, enabled_tasks(network.cfg)).to(device)
    step = TrainingStep(model, combiner, make_optimizer(network.cfg, model, combiner), device, dtype, clip_norm=10.0)
    outcomes = []
    for batch in batches:
        seed_everything(1)
        with float32_precision(tf32):
            outcomes.append(step(*hand_over(batch), list))
    return outcomes, model


def test_a_run_starts_there_in_one_process(network, tmp_path):
    cfg = network.cfg.clone()
    cfg.merge_from_list(["MODEL.DEVICE", "cuda", "OUTPUT_DIR", str(tmp_path)])
    with start_run(cfg) as device:
        assert device == CUDA and torch.cuda.current_device() == 0
    log = (tmp_path / "log.txt").read_text()
    assert "this one on cuda:0" in log and torch.cuda.get_device_name(0) in log


def test_the_first_losses_are_those_of_the_cpu(network, batches):
    (here, *_), _ = run_steps(network, batches[:1], torch.device("cpu"))
    (there, *_), _ = run_steps(network, batches[:1], CUDA)
    # which regions are sampled is drawn by each device's own generator: losses of the dense tasks need no sample
    for name in ("loss_semantic", "loss_boundary", "loss_occlusion_edge", "loss_classification"):
        assert there.losses[name] == pytest.approx(here.losses[name], rel=2e-3), name


@pytest.mark.parametrize(("dtype", "tf32"), [("float32", True), ("bfloat16", True), ("float16", True)])
def test_lower_precision_trains(network, batches, dtype, tf32):
    exact, _ = run_steps(network, batches[:1], CUDA)
    # of float16 the first steps are skipped, and the scale of the loss halved, until it fits
    batches = list(itertools.islice(itertools.cycle(batches), 20 if dtype == "float16" else 3))
    outcomes, model = run_steps(network, batches, CUDA, dtype, tf32)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    assert outcomes[0].losses["loss_semantic"] == pytest.approx(exact[0].losses["loss_semantic"], rel=0.05)
    before = network.model.state_dict()
    assert any(not torch.equal(p.cpu(), before[name]) for name, p in model.named_parameters())


def test_a_pinned_batch_is_moved_as_a_whole_and_has_the_losses_of_its_copies(network, batches):
    (copies, *_), _ = run_steps(network, batches[:1], CUDA)
    images, targets = batches[0]
    pinned = images.pin_memory(), targets.pin_memory()
    assert isinstance(pinned[1], TargetBatch) and pinned[0].tensors.is_pinned()
    (whole, *_), _ = run_steps(network, [pinned], CUDA, hand_over=lambda batch: batch)
    assert whole.losses == pytest.approx(copies.losses, rel=1e-3)


def test_random_numbers_of_the_device_go_on_from_a_saved_state(tmp_path):
    seed_everything(7)
    torch.rand(3, device=CUDA)
    torch.save(get_random_state(CUDA), tmp_path / "state.pth")
    expected = torch.rand(5, device=CUDA)
    set_random_state(torch.load(tmp_path / "state.pth", weights_only=True), CUDA)
    assert torch.equal(torch.rand(5, device=CUDA), expected)


def test_a_deterministic_run_that_is_resumed_ends_with_the_same_weights(network, tmp_path):
    """Whole runs: one trained in one go, one that goes on from the checkpoint of its second iteration."""

    def trained(folder):
        cfg = network.cfg.clone()
        cfg.merge_from_list(["MODEL.DEVICE", "cuda", "SOLVER.DETERMINISTIC", True, "SOLVER.CHECKPOINT_PERIOD", 2])
        cfg.OUTPUT_DIR = str(tmp_path / folder)
        return train(cfg, skip_test=True).state_dict()

    whole = trained("whole")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "last_checkpoint").write_text(str(tmp_path / "whole" / "model_0000002.pth"))
    resumed = trained("parts")
    assert [name for name, tensor in whole.items() if not torch.equal(tensor, resumed[name])] == []


def test_every_task_has_deterministic_kernels(network, batches):
    fix_cublas_workspace()
    with deterministic_kernels(True):
        first, _ = run_steps(network, batches, CUDA)
        second, _ = run_steps(network, batches, CUDA)
    assert [outcome.losses for outcome in first] == [outcome.losses for outcome in second]
    assert set(first[0].losses) >= {"loss_mask", "loss_kp", "loss_part", "loss_semantic"}


def test_predictions_are_those_of_the_cpu(network):
    here = Predictor(network.checkpoint, device="cpu", thresholds={"detection": 0.0})(network.images[0])
    predictor = Predictor(network.checkpoint, device="cuda", thresholds={"detection": 0.0})
    there = predictor(network.images[0])
    assert "on cuda:0" in repr(predictor) and len(there.detection) == len(here.detection)
    torch.testing.assert_close(there.detection.scores, here.detection.scores, atol=1e-3, rtol=0)
    assert (there.semantic == here.semantic).float().mean() > 0.99
    assert abs(there.boundary - here.boundary).max() < 0.01
