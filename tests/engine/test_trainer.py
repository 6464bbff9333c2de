"""The training loop on a tiny network."""

import logging
import os
import signal
import threading

import pytest
import torch
from fakes import Numbers, TwoTasks, make_cfg, run_training

from maskrcnn_benchmark.utils.errors import Interrupted, UserError
from maskrcnn_benchmark.utils.files import NotWritten


def assert_same_weights(first, second):
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values()):
        assert a.equal(b), name


def assert_equal_trees(a, b):
    """Nested dicts, lists and tensors that hold the same, bit for bit."""
    if isinstance(a, torch.Tensor):
        assert a.equal(b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal_trees(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b):
            assert_equal_trees(one, other)
    else:
        assert a == b


def at_call(number, action):
    """A function that runs `action` when it is called for the `number`th time."""
    calls = []

    def count():
        calls.append(None)
        if len(calls) == number:
            action()

    return count


BALANCED = (
    ("SOLVER.OPTIMIZER", "AdamW", "MULTITASK.WEIGHTING", "uncertainty"),
    ("MULTITASK.WEIGHTING", "dwa", "MULTITASK.DWA.PERIOD", 1, "MULTITASK.LOG_PERIOD", 2),
    ("MULTITASK.WEIGHTING", "famo"),
    ("MULTITASK.WEIGHTING", "gradnorm", "MULTITASK.AGGREGATION", "pcgrad"),
    ("MULTITASK.WEIGHTING", "random", "MULTITASK.AGGREGATION", "graddrop"),
    ("MULTITASK.WEIGHTING", "stch", "MULTITASK.STCH.WARMUP", 2, "MULTITASK.TASKS_PER_STEP", 1),
    ("MULTITASK.AGGREGATION", "gradvac", "MULTITASK.GRADIENTS_AT", "parameters", "SOLVER.ACCUMULATE_STEPS", 2),
)


@pytest.mark.parametrize("options", BALANCED, ids=lambda options: "-".join(map(str, options[1::2])))
def test_every_way_to_balance_resumes_bit_for_bit(tmp_path, options):
    whole = run_training(make_cfg(tmp_path / "whole", *options))
    cfg = make_cfg(tmp_path / "stopped", *options)
    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert_same_weights(run_training(cfg), whole)
    states = [torch.load(p / "model_final.pth", weights_only=True)["loss_combiner"] for p in tmp_path.iterdir()]
    assert_equal_trees(*states)


@pytest.mark.parametrize("other", [("MULTITASK.WEIGHTING", "dwa"), ("MULTITASK.AGGREGATION", "gradvac")])
def test_going_on_with_another_way_to_balance_is_the_users_error(tmp_path, other):
    cfg = make_cfg(tmp_path, "MULTITASK.WEIGHTING", "famo")
    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(UserError, match=r"combines its losses in another way \(MULTITASK.WEIGHTING"):
        run_training(make_cfg(tmp_path, *other))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, number):
    whole = run_training(make_cfg(tmp_path / "whole"))
    cfg = make_cfg(tmp_path / "stopped")
    with pytest.raises(Interrupted, match="stopped after iteration 3 of 6; run the same command again"):
        run_training(cfg, before_forward=at_call(3, lambda: os.kill(os.getpid(), number)))
    assert (tmp_path / "stopped" / "last_checkpoint").read_text().endswith("model_0000003.pth")
    assert_same_weights(run_training(cfg), whole)


@pytest.mark.parametrize(("period", "saved"), [(3, "model_0000003.pth"), (2, "model_0000002.pth")])
def test_an_evaluation_is_cut_short_and_the_resumed_training_equals_uninterrupted_bit_for_bit(tmp_path, period, saved):
    def evaluate():
        torch.rand(5)  # which the training must not notice
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the evaluation went on")

    whole = run_training(make_cfg(tmp_path / "whole", "SOLVER.TEST_PERIOD", period), evaluate=dict)
    cfg = make_cfg(tmp_path / "stopped", "SOLVER.TEST_PERIOD", period)
    with pytest.raises(Interrupted, match=f"amid the evaluation after iteration {period} of 6; run the same command"):
        run_training(cfg, evaluate=evaluate)
    assert (tmp_path / "stopped" / "last_checkpoint").read_text().endswith(saved)
    assert_same_weights(run_training(cfg, evaluate=dict), whole)


def test_a_request_that_comes_after_the_last_step_is_not_lost(tmp_path):
    class SignalledAtTheEnd(TwoTasks):
        def state_dict(self, *args, **options):
            if self.steps == 6:  # that is, while the last checkpoint is written
                self.steps = 0
                os.kill(os.getpid(), signal.SIGTERM)
            return super().state_dict(*args, **options)

    model = SignalledAtTheEnd()
    model.steps = 0

    def count():
        model.steps += 1

    with pytest.raises(KeyboardInterrupt):
        run_training(make_cfg(tmp_path), before_forward=count, model=model)
    assert (tmp_path / "last_checkpoint").read_text().endswith("model_final.pth")


def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    def die():
        raise RuntimeError("killed")

    whole = run_training(make_cfg(tmp_path / "whole"))
    cfg = make_cfg(tmp_path / "killed")
    with pytest.raises(RuntimeError, match="killed"):
        run_training(cfg, before_forward=at_call(6, die))
    assert (tmp_path / "killed" / "last_checkpoint").read_text().endswith("model_0000004.pth")
    assert_same_weights(run_training(cfg), whole)


def test_a_checkpoint_of_another_number_of_processes_goes_on(tmp_path, caplog):
    cfg = make_cfg(tmp_path)
    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    path = tmp_path / "model_0000003.pth"
    checkpoint = torch.load(path, weights_only=True)
    torch.save({**checkpoint, "random_states": checkpoint["random_states"] * 2}, path)
    with caplog.at_level(logging.INFO):
        run_training(cfg)
    assert "1 process(es) go on where 2 had come to: batches and schedule go on" in caplog.text
    final = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert final["iteration"] == 6 and final["scheduler"] == {"last_epoch": 6} and len(final["random_states"]) == 1


def test_loader_workers_do_not_change_the_weights_and_survive_a_stop(tmp_path):
    whole = run_training(make_cfg(tmp_path / "whole"))
    cfg = make_cfg(tmp_path / "stopped")

    def stop_all():
        for pid in [os.getpid(), *(w.pid for w in torch.multiprocessing.active_children())]:
            os.kill(pid, signal.SIGINT)

    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(2, stop_all), workers=1)
    assert_same_weights(run_training(cfg), whole)


def test_a_stop_while_no_batch_comes_saves_what_is_trained(tmp_path):
    whole = run_training(make_cfg(tmp_path / "whole"))
    cfg = make_cfg(tmp_path / "stopped", "SOLVER.CHECKPOINT_PERIOD", 0)

    def stop_with_workers_that_stand_still():
        for worker in torch.multiprocessing.active_children():
            os.kill(worker.pid, signal.SIGSTOP)
        threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    with pytest.raises(Interrupted, match=r"stopped after iteration \d of 6, waiting for a batch"):
        run_training(cfg, before_forward=at_call(2, stop_with_workers_that_stand_still), workers=1)
    assert torch.multiprocessing.active_children() == []
    (saved,) = (tmp_path / "stopped").glob("model_*.pth")
    assert torch.load(saved, weights_only=True)["iteration"] in (2, 3, 4)
    assert_same_weights(run_training(cfg), whole)


def test_evaluating_on_the_way_does_not_change_the_weights(tmp_path):
    whole = run_training(make_cfg(tmp_path / "whole"))
    iterations = []
    model = TwoTasks()

    def evaluate():
        iterations.append(None)
        model.eval()
        torch.rand(5)
        return {"semantic": {"headline": "mIoU", "metrics": {"mIoU": 0.5}, "trivial": {}}}

    torch.manual_seed(0)
    model = TwoTasks()
    other = run_training(make_cfg(tmp_path / "other", "SOLVER.TEST_PERIOD", 2), evaluate=evaluate, model=model)
    assert len(iterations) == 2 and other.training
    assert_same_weights(other, whole)


def test_the_output_folder_holds_checkpoints_that_say_everything(tmp_path):
    run_training(make_cfg(tmp_path))
    names = {path.name for path in tmp_path.glob("*.pth")}
    assert names == {"model_0000002.pth", "model_0000004.pth", "model_final.pth"}
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "model_final.pth")
    final = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert final["iteration"] == 6 and final["scheduler"] == {"last_epoch": 6}
    assert set(final) == {
        *("model", "optimizer", "scheduler", "iteration", "loss_combiner", "grad_scaler", "random_states", "threads"),
    }
    assert final["threads"] == torch.get_num_threads()
    assert len(list((tmp_path / "tensorboard").glob("events.*"))) == 1


def test_a_finished_training_is_left_alone(tmp_path):
    trained = run_training(make_cfg(tmp_path))
    before = (tmp_path / "model_final.pth").read_bytes()
    assert_same_weights(run_training(make_cfg(tmp_path)), trained)
    assert (tmp_path / "model_final.pth").read_bytes() == before


def test_a_loss_that_is_not_finite_names_loss_and_images_and_spares_the_weights(tmp_path, monkeypatch):
    seen = {}

    def poison(model):
        def forward(images, targets=None):
            losses = TwoTasks.forward(model, images, targets)
            if model.calls == 2:
                losses["loss_semantic"] = losses["loss_semantic"] * float("nan")
            model.calls += 1
            return losses

        model.calls = 0
        model.forward = forward
        return model

    model = poison(TwoTasks())
    cfg = make_cfg(tmp_path)
    model.before_forward = lambda: None

    def remember():
        seen["weights"] = [p.detach().clone() for p in model.parameters()]

    with pytest.raises(UserError) as caught:
        run_training(cfg, before_forward=remember, model=model)
    text = str(caught.value)
    assert text.startswith("iteration 3: loss_semantic is nan on the images 0008.jpg, 0009.jpg, 0010.jpg, 0011.jpg;")
    assert "no weight was changed" in text and "SOLVER.BASE_LR" in text and "\n" not in text
    assert all(a.equal(b) for a, b in zip(seen["weights"], model.parameters()))
    assert (tmp_path / "last_checkpoint").read_text().endswith("model_0000002.pth")


def test_batches_without_any_annotation_change_no_weight(tmp_path, monkeypatch):
    fetch = Numbers.__getitem__

    def blank(self, index):
        image, target, index = fetch(self, index)
        target.semantic = target.classes = None
        return image, target, index

    monkeypatch.setattr(Numbers, "__getitem__", blank)
    torch.manual_seed(0)
    before = [p.detach().clone() for p in TwoTasks().parameters()]
    model = run_training(make_cfg(tmp_path))
    assert all(a.equal(b) for a, b in zip(before, model.parameters()))


def test_training_learns(tmp_path):
    losses = []

    class Watched(TwoTasks):
        def forward(self, images, targets=None):
            found = super().forward(images, targets)
            losses.append(sum(found.values()).item())
            return found

    torch.manual_seed(0)
    model = Watched()
    model.backbone[3] = torch.nn.Identity()
    options = ("SOLVER.MAX_ITER", 100, "SOLVER.STEPS", (90,), "SOLVER.CHECKPOINT_PERIOD", 0, "SOLVER.LOG_PERIOD", 100)
    run_training(make_cfg(tmp_path, *options), model=model)
    assert sum(losses[-30:]) < 0.5 * sum(losses[:30])


def test_an_evaluation_that_the_disk_does_not_take_ends_the_training_with_what_it_had_come_to(tmp_path):
    whole = run_training(make_cfg(tmp_path / "whole"))

    def full():
        torch.rand(5)
        raise NotWritten("cannot write predictions.json: No space left on device; free some space there")

    cfg = make_cfg(tmp_path / "run", "SOLVER.TEST_PERIOD", 3)
    with pytest.raises(NotWritten, match=r"predictions\.json: No space .*\. Saved to iteration 3: the same command"):
        run_training(cfg, evaluate=full)
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith("model_0000003.pth")
    assert_same_weights(whole, run_training(make_cfg(tmp_path / "run")))


def test_a_damaged_way_to_balance_is_named_with_the_checkpoint(tmp_path):
    cfg = make_cfg(tmp_path, "MULTITASK.WEIGHTING", "famo")
    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(5, lambda: os.kill(os.getpid(), signal.SIGINT)))
    path = tmp_path / "model_0000003.pth"
    checkpoint = torch.load(path, weights_only=True)
    for name, value in (
        ("_extra_state", {"iteration": -1, "seed": 0}),
        ("weighting.logits.semantic", torch.tensor(1j)),
    ):
        torch.save({**checkpoint, "loss_combiner": {**checkpoint["loss_combiner"], name: value}}, path)
        with pytest.raises(UserError, match=r"model_0000003\.pth: its entry loss_combiner is damaged: .*0000002\.pth"):
            run_training(cfg)
