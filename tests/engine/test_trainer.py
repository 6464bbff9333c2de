"""The training loop on a tiny network."""

import logging
import os
import signal
import threading

import pytest
import torch
from fakes import Numbers, TwoTasks, make_cfg, run_training
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.trainer import Training
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
    ("MULTITASK.WEIGHTING", "log", "MULTITASK.AGGREGATION", "db_mtl", "MULTITASK.GRADIENTS_AT", "parameters"),
    ("MULTITASK.WEIGHTING", "pbi", "MULTITASK.PBI.WARMUP", 2, "MULTITASK.AGGREGATION", "cr_mogm"),
    ("MULTITASK.AGGREGATION", "moco", "MULTITASK.GRADIENTS_AT", "parameters"),
    ("MULTITASK.AGGREGATION", "modo", "MULTITASK.GRADIENTS_AT", "parameters", "SOLVER.ACCUMULATE_STEPS", 2),
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


AVERAGED = ("SOLVER.EMA_DECAY", 0.5)
# one evaluation after every second iteration; the one after the second is the best
JUDGED = ("SOLVER.TEST_PERIOD", 2, "SOLVER.MAX_ITER", 12, "SOLVER.BEST.METRIC", "semantic/mIoU")


def scores(*values):
    """An evaluation that finds these one after the other, "stop" among them standing for a signal."""
    left = list(values)

    def evaluate():
        value = left.pop(0)
        if value == "stop":
            os.kill(os.getpid(), signal.SIGTERM)
        return {"semantic": {"headline": "mIoU", "metrics": {"mIoU": value}, "trivial": {}}}

    return evaluate


def entries(folder, name="model_final"):
    return torch.load(folder / f"{name}.pth", weights_only=True)


@pytest.mark.parametrize("options", [(), ("SOLVER.ACCUMULATE_STEPS", 2), ("DTYPE", "bfloat16")], ids=str)
def test_the_average_of_the_weights_resumes_bit_for_bit(tmp_path, options):
    plain = run_training(make_cfg(tmp_path / "plain", *options))
    whole = run_training(make_cfg(tmp_path / "whole", *AVERAGED, *options))
    assert_same_weights(whole, plain)
    cfg = make_cfg(tmp_path / "stopped", *AVERAGED, *options)
    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    run_training(cfg)
    expected, found = entries(tmp_path / "whole"), entries(tmp_path / "stopped")
    assert_equal_trees(found["model_ema"], expected["model_ema"])
    assert found["ema_updates"] == 6 and found["model_ema"].keys() == found["model"].keys()
    assert not found["model_ema"]["semantic.weight"].equal(found["model"]["semantic.weight"])
    assert "model_ema" not in entries(tmp_path / "plain")


def test_the_average_begins_where_a_checkpoint_has_none_and_is_given_up_without_the_option(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run_training(make_cfg(tmp_path, "SOLVER.MAX_ITER", 3))
    run_training(make_cfg(tmp_path, *AVERAGED, "SOLVER.MAX_ITER", 4))
    assert "it begins from those of iteration 3" in caplog.text
    before, after = entries(tmp_path, "model_0000002"), entries(tmp_path)
    assert "model_ema" not in before and after["ema_updates"] == 1
    run_training(make_cfg(tmp_path))
    assert "SOLVER.EMA_DECAY is 0: the average" in caplog.text and "model_ema" not in entries(tmp_path)


def test_a_damaged_average_is_named_with_the_checkpoint(tmp_path):
    cfg = make_cfg(tmp_path, *AVERAGED)
    with pytest.raises(Interrupted):
        run_training(cfg, before_forward=at_call(3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    checkpoint = entries(tmp_path, "model_0000003")
    for value in ({}, {**checkpoint["model_ema"], "semantic.bias": torch.tensor([torch.inf])}):
        torch.save({**checkpoint, "model_ema": value}, tmp_path / "model_0000003.pth")
        with pytest.raises(UserError, match=r"0003\.pth: its entry model_ema is damaged: .*0000002\.pth"):
            run_training(cfg)


@pytest.mark.parametrize("is_tested", [True, False])
def test_evaluations_see_the_average_unless_told_otherwise(tmp_path, is_tested):
    model, seen = TwoTasks(), []
    cfg = make_cfg(tmp_path, *AVERAGED, "TEST.EMA", is_tested, "SOLVER.TEST_PERIOD", 2)

    def evaluate():
        seen.append(model.semantic.weight.detach().clone())

    run_training(cfg, evaluate=evaluate, model=model)
    saved = entries(tmp_path, "model_0000004")["model_ema" if is_tested else "model"]
    assert seen[1].equal(saved["semantic.weight"])
    assert model.semantic.weight.equal(entries(tmp_path)["model"]["semantic.weight"])


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")  # a first step that is skipped
def test_a_step_that_gradient_scaling_skips_is_not_averaged(tmp_path):
    model = TwoTasks()

    def overflow():
        if not model.steps:
            model.semantic.weight.register_hook(lambda gradient: gradient * torch.inf)
        model.steps += 1

    model.steps = 0
    cfg = make_cfg(tmp_path, *AVERAGED, "DTYPE", "float16", "SOLVER.MAX_ITER", 2)
    before = model.classes.weight.detach().clone()
    run_training(cfg, before_forward=overflow, model=model)
    assert entries(tmp_path)["ema_updates"] == 0
    assert entries(tmp_path)["model_ema"]["classes.weight"].equal(before)


def test_the_best_network_is_kept_and_a_stop_amid_an_evaluation_does_not_change_which(tmp_path):
    whole, stopped = (make_cfg(tmp_path / name, *JUDGED, "SOLVER.CHECKPOINT_PERIOD", 4) for name in ("whole", "other"))
    run_training(whole, evaluate=scores(0.1, 0.4, 0.3, 0.2, 0.35))
    best = entries(tmp_path / "whole", "model_best")
    known = {"metric": "semantic/mIoU", "value": 0.4, "iteration": 4, "evaluated": 4, "since": 0}
    assert best["iteration"] == 4 and best["best_evaluation"] == known
    assert entries(tmp_path / "whole")["best_evaluation"] == {**known, "evaluated": 10, "since": 3}
    assert (tmp_path / "whole" / "last_checkpoint").read_text().endswith("model_final.pth")
    with pytest.raises(Interrupted, match="amid the evaluation after iteration 4 "):
        run_training(stopped, evaluate=scores(0.1, "stop"))
    run_training(stopped, evaluate=scores(0.4, 0.3, 0.2, 0.35))
    assert_equal_trees(entries(tmp_path / "other", "model_best"), best)
    assert_equal_trees(entries(tmp_path / "other"), entries(tmp_path / "whole"))


def test_evaluations_that_stay_behind_end_the_training_until_it_is_given_more_patience(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    cfg = make_cfg(tmp_path, *JUDGED, "SOLVER.BEST.PATIENCE", 2)
    run_training(cfg, evaluate=scores(0.4, 0.3, 0.4))
    assert "ends after iteration 6 of 12: its last 2 evaluations were no better than semantic/mIoU 40.0" in caplog.text
    assert entries(tmp_path)["iteration"] == 6 and entries(tmp_path, "model_best")["iteration"] == 2
    before = (tmp_path / "model_final.pth").read_bytes()
    run_training(cfg, evaluate=scores())
    assert (tmp_path / "model_final.pth").read_bytes() == before
    run_training(make_cfg(tmp_path, *JUDGED, "SOLVER.BEST.PATIENCE", 3), evaluate=scores(0.5, 0.1))
    assert entries(tmp_path)["iteration"] == 12 and entries(tmp_path, "model_best")["iteration"] == 8


def test_the_newest_checkpoints_are_kept(tmp_path):
    (tmp_path / "model_0000099.pth").write_bytes(b"of another training")
    options = ("SOLVER.KEEP_CHECKPOINTS", 2, "SOLVER.CHECKPOINT_PERIOD", 1, "SOLVER.BEST.METRIC", "semantic/mIoU")
    run_training(make_cfg(tmp_path, *options, "SOLVER.TEST_PERIOD", 1), evaluate=scores(0.4, 0.3, 0.2, 0.1, 0.1))
    assert {path.name for path in tmp_path.glob("*.pth")} == {
        *("model_0000004.pth", "model_0000005.pth", "model_0000099.pth", "model_best.pth", "model_final.pth"),
    }


def test_a_rule_for_weights_of_classes_of_which_none_were_made_is_refused():
    cfg = default_cfg.clone()
    cfg.MODEL.ROI_BOX_HEAD.CLASS_WEIGHTS = ("inverse_sqrt",)
    with pytest.raises(UserError, match=r"ROI_BOX_HEAD.CLASS_WEIGHTS is a rule.*call data.class_weights.bind_class"):
        Training(cfg, nn.Identity(), None, None, None, "cpu", {"iteration": 0})
