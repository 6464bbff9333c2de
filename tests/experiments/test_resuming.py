"""Which options a training that goes on can change, by its checkpoint's own config; what a finished one keeps."""

import pytest
import torch

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.experiments.resuming import FIXED, changed_options, find_begun
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def begin(tmp_path):
    """Function options -> the config of a training with them, of which OUTPUT_DIR has a checkpoint at iteration 5."""

    def begin(*options, entries=None):
        cfg = default_cfg.clone()
        cfg.merge_from_list(["OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_ITER", 9, *options])
        bound = cfg.clone()
        bound.MODEL.ROI_BOX_HEAD.NUM_CLASSES = 5  # as the data set has them
        entries = {"config": bound.dump()} if entries is None else entries
        torch.save({"model": {"w": torch.ones(1)}, "iteration": 5, **entries}, tmp_path / "model_0000005.pth")
        (tmp_path / "last_checkpoint").write_text(str(tmp_path / "model_0000005.pth"))
        return cfg

    return begin


def test_there_is_nothing_to_go_on_from(tmp_path):
    cfg = default_cfg.clone()
    cfg.OUTPUT_DIR = str(tmp_path)
    assert find_begun(cfg) is None and changed_options(None) == {}


def test_the_same_options_differ_in_nothing(begin):
    begun = find_begun(
        begin("SOLVER.STEPS", (3, 4), "SOLVER.BASE_LR", 1e-5, "TEST.EXPECTED_RESULTS", [["a"] * 3 + [1, 2]])
    )
    assert (begun.iteration, begun.changes) == (5, ())


@pytest.mark.parametrize("entries", [{}, {"config": ""}])
def test_a_checkpoint_without_a_config_differs_in_nothing(begin, entries):
    assert find_begun(begin(entries=entries)).changes == ()


def test_what_can_change_is_told_and_recorded(begin, caplog):
    cfg = begin()
    cfg.merge_from_list(["SOLVER.MAX_ITER", 12, "SOLVER.WEIGHT_DECAY", 0.1, "SOLVER.STEPS", (7, 8)])
    cfg.merge_from_list(["SOLVER.SCHEDULE", "cosine", "SOLVER.SEED", -1])  # -1 goes on with the checkpoint's
    begun = find_begun(cfg)
    begun.refuse(cfg)
    begun.tell()
    assert [line.split() for line in caplog.messages[0].splitlines()[1:]] == [
        ["SOLVER.MAX_ITER:", "9", "->", "12", "takes", "effect"],
        ["SOLVER.WEIGHT_DECAY:", "0.0005", "->", "0.1", "takes", "effect"],
        ["SOLVER.SCHEDULE:", "'step'", "->", "'cosine'", "takes", "effect"],
        ["SOLVER.STEPS:", "[30000]", "->", "[7,", "8]", "is", "not", "read", "with", "SOLVER.SCHEDULE", "cosine"],
    ]
    assert changed_options(begun)["SOLVER.STEPS"] == [[30000], [7, 8]]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOLVER.OPTIMIZER", "AdamW"),
        ("SOLVER.SEED", 7),
        ("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0),
        ("MULTITASK.LR_FACTORS.SEMANTIC", 0.5),
    ],
)
def test_what_cannot_is_refused_with_both_values(begin, key, value, caplog):
    assert set(FIXED) <= set(default_cfg.keys_of_options())
    cfg = begin()
    before = cfg.value_of(key)
    cfg.merge_from_list([key, value, "SOLVER.BASE_LR", 0.3])
    with pytest.raises(UserError, match="another OUTPUT_DIR") as error:
        find_begun(cfg).refuse(cfg)
    assert f"cannot change {key}: {before!r} -> {value!r};" in str(error.value)
    assert "SOLVER.BASE_LR" in caplog.text and "takes effect" in caplog.text and "cannot change" in caplog.text


def test_the_weights_that_it_began_with_stay_in_its_config(begin, caplog):
    cfg = begin("MODEL.WEIGHT", "/here/R-50.pkl")
    cfg.merge_from_list(["MODEL.WEIGHT", "/there/R-50.pkl"])
    begun = find_begun(cfg)
    begun.refuse(cfg)
    begun.tell()
    assert cfg.MODEL.WEIGHT == "/here/R-50.pkl" and changed_options(begun) == {}
    assert "MODEL.WEIGHT: '/here/R-50.pkl' -> '/there/R-50.pkl'  has no effect: it began with the other" in caplog.text


def test_a_factor_can_change_while_the_same_tasks_share_one(begin):
    cfg = begin("MULTITASK.LR_FACTORS.SEMANTIC", 0.5, "MULTITASK.LR_FACTORS.BOUNDARY", 0.25)
    cfg.merge_from_list(["MULTITASK.LR_FACTORS.SEMANTIC", 0.75])
    find_begun(cfg).refuse(cfg)
    cfg.merge_from_list(["MULTITASK.LR_FACTORS.SEMANTIC", 0.25])
    with pytest.raises(UserError, match=r"cannot change MULTITASK\.LR_FACTORS\.SEMANTIC: 0\.5 -> 0\.25"):
        find_begun(cfg).refuse(cfg)


def test_a_finished_training_keeps_what_was_run(begin, caplog):
    cfg = begin("SOLVER.MAX_ITER", 5, "MODEL.RPN.ANCHOR_SIZES", ((32,), (64,)))
    cfg.merge_from_list(["SOLVER.OPTIMIZER", "AdamW", "SOLVER.BASE_LR", 0.5, "MODEL.RPN.ANCHOR_SIZES", ((8,), (16,))])
    cfg.merge_from_list(["SOLVER.MAX_ITER", 4, "TEST.EDGE_THRESHOLDS", 9, "MODEL.DEVICE", "cpu"])
    untested = cfg.clone()
    find_begun(cfg).settle(cfg, is_tested=True)
    solver = cfg.SOLVER
    assert (solver.OPTIMIZER, solver.BASE_LR, solver.MAX_ITER, cfg.TEST.EDGE_THRESHOLDS) == ("SGD", 0.001, 5, 99)
    assert cfg.MODEL.DEVICE == "cpu" and [list(size) for size in cfg.MODEL.RPN.ANCHOR_SIZES] == [[32], [64]]
    assert "is finished" in caplog.text and "raise SOLVER.MAX_ITER" in caplog.text
    assert "SOLVER.BASE_LR: 0.001 -> 0.5" in caplog.text and "MODEL.DEVICE" not in caplog.text
    find_begun(untested).settle(untested, is_tested=False)
    assert untested.TEST.EDGE_THRESHOLDS == 9 and untested.SOLVER.BASE_LR == 0.001


def test_one_that_is_ended_early_was_trained_to_where_it_is(begin):
    cfg = begin()
    cfg.merge_from_list(["SOLVER.MAX_ITER", 4])
    find_begun(cfg).settle(cfg, is_tested=False)
    assert cfg.SOLVER.MAX_ITER == 5


def test_what_does_not_fit_is_named_with_the_options_that_differ(begin):
    cfg = begin()
    cfg.merge_from_list(["MODEL.RESNETS.RES2_OUT_CHANNELS", 8, "DATALOADER.NUM_WORKERS", 1])
    message = r"^it does not fit; of its options differ \S+RES2_OUT_CHANNELS: 256 -> 8$"
    with pytest.raises(UserError, match=message), find_begun(cfg).named():
        raise UserError("it does not fit")


def test_a_damaged_config_is_the_users_error(begin):
    with pytest.raises(UserError, match=r"the config in \S+model_0000005\.pth is not valid yaml.*another checkpoint"):
        find_begun(begin(entries={"config": "a: [1"}))


def test_a_training_that_has_ended_early_is_finished_and_keeps_the_patience_of_the_command(begin):
    best = {"metric": "gain", "value": 0.5, "iteration": 1, "evaluated": 5, "since": 2}
    judged = ("SOLVER.BEST.METRIC", "gain", "SOLVER.TEST_PERIOD", 1)
    cfg = begin(*judged)
    path = cfg.OUTPUT_DIR + "/model_0000005.pth"
    torch.save({**torch.load(path, weights_only=True), "best_evaluation": best}, path)
    for patience, is_finished in ((0, False), (3, False), (2, True), (1, True)):
        cfg.SOLVER.BEST.PATIENCE = patience
        assert find_begun(cfg).is_finished == is_finished
    find_begun(cfg).settle(cfg, is_tested=True)
    assert cfg.SOLVER.BEST.PATIENCE == 1 and cfg.SOLVER.MAX_ITER == 9
    torch.save({**torch.load(path, weights_only=True), "best_evaluation": {**best, "since": -1}}, path)
    with pytest.raises(UserError, match="its entry best_evaluation is damaged"):
        find_begun(cfg)
