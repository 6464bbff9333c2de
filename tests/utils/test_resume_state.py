"""Every entry of a checkpoint that a training goes on from: a damaged one is named with what can still be used."""

import copy
import logging
import random

import numpy as np
import pytest
import torch
from task_weights import of_tasks
from torch import nn

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.engine.random_state import get_random_state
from maskrcnn_benchmark.multitask.interactions import Interactions
from maskrcnn_benchmark.multitask.loss_combiner import LossCombiner
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS
from maskrcnn_benchmark.utils.checkpoint import Checkpointer, DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.resume_state import ENTRIES, check_entries, check_module_state
from maskrcnn_benchmark.utils.schema import Unfit

NAN, INF = float("nan"), float("inf")


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def trained(folder, optimizer_class=torch.optim.AdamW, **options):
    """A checkpointer whose folder has the checkpoints of three steps of a training, whole."""
    torch.manual_seed(0)
    model = network()
    optimizer = optimizer_class(model.parameters(), lr=0.1, **options)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    checkpointer = DetectronCheckpointer(default_cfg, model, optimizer, scheduler, str(folder))
    for iteration in range(1, 4):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
        checkpointer.save(f"model_{iteration:07d}", **entries(iteration))
    return checkpointer


def entries(iteration):
    return {
        "iteration": iteration,
        "seed": 3,
        "threads": 2,
        "config": "MODEL:\n  MASK_ON: true\n",
        "vocabulary": {},
        "grad_scaler": torch.amp.GradScaler("cpu", init_scale=64.0).state_dict(),
        "random_states": [get_random_state()],
        "loss_combiner": LossCombiner(of_tasks({"semantic": 1.0, "boundary": 1.0})).state_dict(),
        "model_ema": network().state_dict(),
        "ema_updates": iteration,
        "best_evaluation": {
            "metric": "gain",
            "value": 0.5,
            "iteration": 1,
            "evaluated": iteration,
            "since": iteration - 1,
        },
        "note": "what others save along",
    }


def fresh(folder, optimizer_class=torch.optim.AdamW, **options):
    model = network()
    optimizer = optimizer_class(model.parameters(), lr=0.1, **options)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    return DetectronCheckpointer(default_cfg, model, optimizer, scheduler, str(folder))


def leaves(tree, path=()):
    """Paths of everything in a tree of dictionaries, lists and tuples but the thousands of words of generators."""
    yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, (*path, key))
    elif isinstance(tree, list | tuple) and len(tree) < 600:
        for index, value in enumerate(tree):
            yield from leaves(value, (*path, index))


def changed(tree, path, value):
    """A copy of a tree with another value at a path."""
    if not path:
        return value
    key, *rest = path
    if isinstance(tree, dict):
        return {**tree, key: changed(tree[key], rest, value)}
    parts = [changed(part, rest, value) if index == key else part for index, part in enumerate(tree)]
    return type(tree)(parts)


def damages(value):
    """Values that nothing would save in place of another."""
    found = ["\x00text", NAN, [], torch.tensor([NAN]), b"bytes"]
    if not isinstance(value, dict):
        found.append({"no": "entry"})
    if value is not None and not isinstance(value, float | torch.Tensor):  # which a number may stand for
        found += [-18, 2**70, 1.5, *([] if isinstance(value, bool) else [True])]
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        found += [value * NAN, value.to(torch.complex64), value.to(torch.int8)]
    if isinstance(value, list | tuple) and value:
        found += [value[:-1], [*value, *value]]
    return [each for each in found if type(each) is not type(value) or isinstance(each, int | float | torch.Tensor)]


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_entry_is_named_with_the_checkpoint_before(tmp_path, seed):
    trained(tmp_path)
    path = tmp_path / "model_0000003.pth"
    whole = torch.load(path, weights_only=True)
    draw = random.Random(seed)
    paths = [each for name in (*ENTRIES, "optimizer", "scheduler") for each in leaves(whole[name], (name,))]
    # what a shape is for is `load_state_dict`'s to say, and a note or a name inside of a vocabulary its owner's
    paths = [each for each in paths if each[0] not in ("loss_combiner", "vocabulary", "model_ema") or len(each) == 1]
    for place in draw.sample(paths, 25):
        value = whole
        for key in place:
            value = value[key]
        damaged = draw.choice(damages(value))
        torch.save(changed(whole, place, damaged), path)
        with pytest.raises(UserError) as caught:
            fresh(tmp_path).load()
        message = str(caught.value)
        assert message.startswith(f"{path}: its entry {place[0]} is damaged: "), (place, damaged, message)
        assert f"the newest whole one beside it is {tmp_path / 'model_0000002.pth'}" in message
        assert f"MODEL.WEIGHT {path}" in message and "\n" not in message and len(message) < 1500


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("iteration",), -18, "is -18, but must be an integer from 0"),
        (("iteration",), True, "is True"),
        (("iteration",), "12", "is '12'"),
        (("seed",), 2**70, "is 1180591620717411303424, but"),
        (("threads",), 0, "is 0"),
        (("grad_scaler", "scale"), 0.0, "scale is 0.0, but must be a number above 0"),
        (("grad_scaler", "_growth_tracker"), -1, "_growth_tracker is -1"),
        (
            ("random_states", 0, "numpy", 2),
            10**9,
            r"\[0\]\.numpy\[2\] is 1000000000, but must be an integer from 0 to 624",
        ),
        (("random_states", 0, "numpy", 1), torch.zeros(624, dtype=torch.int64), "not all zero"),
        (("random_states", 0, "python", 1), (5,) * 10, "python"),
        (("random_states", 0, "torch"), torch.zeros(5056, dtype=torch.uint8), "a random number generator of PyTorch"),
        (("random_states", 0, "cuda"), torch.ones(16, dtype=torch.uint8), "on a GPU"),
        (("random_states",), [], "a list of 0"),
        (("scheduler", "last_epoch"), "3", "last_epoch is '3'"),
        (("scheduler", "last_epoch"), -1, "last_epoch is -1"),
        (("scheduler", "base_lrs"), [NAN], r"base_lrs\[0\] is nan"),
        (("scheduler", "base_lrs"), [0.1, 0.1], "base_lrs is a list of 2, but must be a list of 1"),
        (("scheduler", "gamma"), -0.1, "gamma is -0.1"),
        (("optimizer", "param_groups", 0, "lr"), NAN, r"param_groups\[0\]\.lr is nan"),
        (("optimizer", "param_groups", 0, "weight_decay"), -1.0, "weight_decay is -1.0"),
        (("optimizer", "param_groups", 0, "maximize"), True, "maximize is True, where this training has False"),
        (("optimizer", "param_groups", 0, "params"), [0, 1, 2, 2], "name a parameter twice"),
        (("optimizer", "state", 0, "step"), torch.tensor(-3.0), r"state\[0\]\.step has numbers"),
        (("optimizer", "state", 0, "exp_avg"), torch.full((3, 2), INF), "not finite"),
        (("optimizer", "state", 0, "exp_avg_sq"), torch.full((3, 2), -1.0), "must lie from 0"),
        (("optimizer", "state", 0), {"step": torch.tensor(3.0)}, r"state\[0\] has no 'exp_avg'"),
    ],
)
def test_what_would_be_taken_silently_is_damage_too(tmp_path, place, value, message):
    trained(tmp_path)
    path = tmp_path / "model_0000003.pth"
    torch.save(changed(torch.load(path, weights_only=True), place, value), path)
    with pytest.raises(UserError, match=rf"its entry {place[0]} is damaged: .*{message}"):
        fresh(tmp_path).load()


@pytest.mark.parametrize("missing", ["lr", "betas", "eps"])
def test_a_group_without_a_number_is_damaged(tmp_path, missing):
    trained(tmp_path)
    path = tmp_path / "model_0000003.pth"
    whole = torch.load(path, weights_only=True)
    del whole["optimizer"]["param_groups"][0][missing]
    torch.save(whole, path)
    with pytest.raises(UserError, match=rf"optimizer is damaged: param_groups\[0\] has no '{missing}'"):
        fresh(tmp_path).load()


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [(torch.optim.AdamW, {}), (torch.optim.SGD, {"momentum": 0.9}), (torch.optim.SGD, {}), (torch.optim.Adagrad, {})],
)
def test_undamaged_entries_come_back_as_they_were(tmp_path, optimizer, options):
    before = trained(tmp_path, optimizer, **options)
    after = fresh(tmp_path, optimizer, **options)
    rest = after.load()
    assert rest["iteration"] == 3 and rest["note"] == "what others save along"
    assert after.scheduler.state_dict() == before.scheduler.state_dict()
    old, new = before.optimizer.state_dict(), after.optimizer.state_dict()
    assert old["param_groups"] == new["param_groups"]
    for key, state in old["state"].items():
        for name, value in state.items():
            assert value is new["state"][key][name] or torch.equal(value, new["state"][key][name])


def test_the_state_of_another_processs_generators_is_looked_at(tmp_path):
    states = [get_random_state(), copy.deepcopy(get_random_state())]
    states[1]["torch"] = states[1]["torch"][:100]
    with pytest.raises(
        UserError, match=r"random_states is damaged: \[1\]\.torch is a tensor of uint8 and shape \[100\]"
    ):
        check_entries({"random_states": states}, "f.pth")


def test_an_entry_that_would_take_anothers_place_is_refused():
    with pytest.raises(UserError, match=r"f\.pth: its entry 'name' is damaged"):
        check_entries({"iteration": 3, "name": "x"}, "f.pth")
    with pytest.raises(UserError, match="its entry 5 is damaged"):
        check_entries({5: "x"}, "f.pth")


def test_a_checkpoint_without_its_iteration_does_not_begin_anew(tmp_path):
    trained(tmp_path)
    path = tmp_path / "model_0000003.pth"
    whole = torch.load(path, weights_only=True)
    del whole["iteration"]
    torch.save(whole, path)
    with pytest.raises(UserError, match=r"its entry iteration is damaged: it is not there.*model_0000002\.pth"):
        fresh(tmp_path).load()
    DetectronCheckpointer(default_cfg, network(), save_dir=str(tmp_path)).load()  # a test needs the weights alone


def test_a_checkpoint_of_the_originals_has_fewer_entries_and_is_taken(tmp_path):
    trained(tmp_path, torch.optim.SGD, momentum=0.9)
    path = tmp_path / "model_0000003.pth"
    whole = torch.load(path, weights_only=True)
    torch.save({key: whole[key] for key in ("model", "optimizer", "scheduler", "iteration")}, path)
    assert fresh(tmp_path, torch.optim.SGD, momentum=0.9).load() == {"iteration": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"a.pth\nb.pth", "which is no path on one line"),
        (b"a\x00.pth", "which is no path on one line"),
        (b"\xff\x00a", "which is no path on one line"),
        (b"x" * 10_000_000, "which is no path on one line"),
    ],
    ids=["empty", "blank", "two lines", "NUL", "no UTF-8", "ten million letters"],
)
def test_a_last_checkpoint_that_holds_no_path_never_means_a_new_beginning(tmp_path, content, message):
    trained(tmp_path)
    damaged = tmp_path / "model_0000003.pth"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    pointer = tmp_path / "last_checkpoint"
    pointer.write_bytes(content)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError) as caught:
        fresh(tmp_path).load()
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert f"the newest whole checkpoint beside it is {tmp_path / 'model_0000002.pth'}" in str(caught.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_a_last_checkpoint_that_is_or_names_a_folder(tmp_path):
    trained(tmp_path)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path))
    with pytest.raises(UserError, match=r"last_checkpoint names the folder .*model_0000003\.pth"):
        fresh(tmp_path).load()
    (tmp_path / "last_checkpoint").unlink()
    (tmp_path / "last_checkpoint").mkdir()
    with pytest.raises(UserError, match=r"last_checkpoint is no file; the newest .*model_0000003\.pth"):
        fresh(tmp_path).load()


def test_with_no_whole_checkpoint_left_the_way_out_is_said(tmp_path):
    (tmp_path / "last_checkpoint").write_text("")
    with pytest.raises(UserError, match="there is no whole checkpoint beside it: remove it to start over"):
        fresh(tmp_path).load()


def test_a_folder_whose_name_is_no_utf8_is_resumed(tmp_path):
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    checkpointer = Checkpointer(network(), save_dir=str(folder))
    checkpointer.tag_last_checkpoint(str(folder / "x.pth"))
    assert checkpointer.get_checkpoint_file() == str(folder / "x.pth")


def test_a_new_training_beside_old_checkpoints_is_announced(tmp_path, caplog):
    trained(tmp_path)
    (tmp_path / "last_checkpoint").unlink()
    with caplog.at_level(logging.WARNING):
        assert fresh(tmp_path).load() == {}
    assert "has checkpoints, such as model_0000003.pth, but no last_checkpoint" in caplog.text


def test_a_checkpointer_of_somebody_elses_entries_does_not_look_at_them(tmp_path):
    Checkpointer(network(), save_dir=str(tmp_path)).save("x", config={"a": 1}, iteration="the third")
    assert Checkpointer(network(), save_dir=str(tmp_path)).load() == {"config": {"a": 1}, "iteration": "the third"}


def combiner(weighting):
    keys = ["semantic", "boundary"]
    return LossCombiner(of_tasks(keys), WEIGHTINGS[weighting].from_config(default_cfg.MULTITASK, keys))


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty", "dwa", "stch", "famo", "gradnorm", "pbi"])
def test_the_state_of_every_weighting_is_taken_and_a_damaged_one_is_not(weighting):
    mine = combiner(weighting)
    state = mine.state_dict()
    check_module_state(state, mine)
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            for damaged in (value.to(torch.complex64), value.double() * INF, [1.0], None):
                with pytest.raises(Unfit, match=name.rpartition(".")[2]):
                    check_module_state({**state, name: damaged}, mine)
        else:
            for damaged in (None, 5, {}, {"iteration": -1, "seed": 0}, [value]):
                with pytest.raises(Unfit):
                    mine.load_state_dict({**state, name: damaged})


def test_what_nobody_has_seen_yet_may_be_nan():
    mine = combiner("gradnorm")
    assert mine.weighting.first.isnan().all()
    check_module_state(mine.state_dict(), mine)


@pytest.mark.parametrize(
    "changes",
    [
        {"interactions._extra_state": {"tasks": 5}},
        {"interactions._extra_state": {"tasks": ["semantic"] * 900}},
        {"interactions._extra_state": None},
        {"interactions.seen": torch.zeros(2)},
        {"interactions.norms": torch.full((2,), NAN, dtype=torch.float64)},
        {"interactions.more": 5},
    ],
)
def test_interactions_of_a_damaged_state_are_refused(changes):
    state = combiner("fixed").state_dict()
    assert Interactions.of_state(state).tasks == ["semantic", "boundary"]
    with pytest.raises(Unfit):
        Interactions.of_state({**state, **changes})
    with pytest.raises(Unfit):
        Interactions.of_state("text")


def test_numpys_words_are_checked_before_numpy_reads_beyond_them():
    state = get_random_state()
    name, keys, _, *rest = state["numpy"]
    assert int(np.random.get_state()[2]) <= 624
    with pytest.raises(UserError, match="numpy"):
        check_entries({"random_states": [{**state, "numpy": (name, keys, 625, *rest)}]}, "f.pth")
